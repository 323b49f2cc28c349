//! What the kernel answers, as a situation.
//!
//! Invariant: one place decides which errno is a fact about a request and which a failure of the
//! disk.

use std::io;

use rustix::io::Errno;
use sampan_protocol::RemotePath;

use crate::store::{Situation, StoreError};

/// The situation that an errno of a call on users' files stands for.
fn situation(error: &io::Error) -> Option<Situation> {
    Some(match Errno::from_io_error(error)? {
        Errno::NOENT => Situation::NotFound,
        Errno::EXIST => Situation::Exists,
        Errno::NOTDIR => Situation::NotAFolder,
        Errno::ISDIR => Situation::IsAFolder,
        Errno::NOTEMPTY => Situation::NotEmpty,
        Errno::LOOP => Situation::IsALink,
        // Busy is what a mount point itself is.
        Errno::XDEV | Errno::BUSY => Situation::OtherFileSystem,
        Errno::ACCESS | Errno::PERM | Errno::ROFS => Situation::PermissionDenied,
        Errno::NAMETOOLONG | Errno::INVAL | Errno::ILSEQ => Situation::NameNotStorable,
        Errno::NOSPC | Errno::DQUOT => Situation::DiskFull,
        Errno::FBIG => Situation::LimitExceeded {
            what: "the size of a file on the server's file system".to_owned(),
        },
        Errno::MLINK => Situation::LimitExceeded {
            what: "folders in a folder of the server's file system".to_owned(),
        },
        _ => return None,
    })
}

/// For calls on a user's file: a refusal about `path`, or a failure while `doing`.
pub(super) fn about<'a>(
    path: &'a RemotePath,
    doing: &'static str,
) -> impl Fn(io::Error) -> StoreError + 'a {
    move |source| match situation(&source) {
        Some(situation) => situation.about(path),
        None => StoreError::Disk { doing, source },
    }
}

/// For calls on the store's own files: only a full disk is not a failure.
pub(super) fn while_doing(doing: &'static str) -> impl Fn(io::Error) -> StoreError {
    // By its kind: some name the folder too, and are no plain errno any more.
    move |source| match source.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Situation::DiskFull.into(),
        _ => StoreError::Disk { doing, source },
    }
}

/// Takes a missing file as `None`.
pub(super) fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(there) => Ok(Some(there)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
