//! An open folder, and what lies below it, reached name by name.
//!
//! Invariant: from a [`Folder`] nothing outside it can be reached, whatever happens to the tree
//! meanwhile: each step opens a real folder and follows no link.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Mode as OsMode, OFlags, mkdirat, openat, statat};
use rustix::io::Errno;
use sampan_protocol::{Attributes, EntryKind, Mode, Name};

use super::attributes::attributes_of;
use super::failed;
use crate::failure::{Failure, Side, Situation};
use crate::place::shown;

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open folder.
#[derive(Debug)]
pub struct Folder {
    handle: OwnedFd,
    /// For messages only.
    path: PathBuf,
}

impl Folder {
    /// The folder that the person chose; links in this path are his own and are followed.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        let handle =
            openat(CWD, path, FOLDER, OsMode::empty()).map_err(|error| failed(path, error))?;
        Ok(Self { handle, path: path.to_owned() })
    }

    /// The same, made with its parents if it is missing.
    pub fn open_or_make(path: &Path) -> Result<Self, Failure> {
        std::fs::create_dir_all(path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::new(Situation::KindDiffers(Side::Local), shown(path))
            }
            _ => failed(path, error),
        })?;
        Self::open(path)
    }

    /// Where it is, for messages.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder `names` below this one.
    pub fn below(&self, names: &[Name]) -> Result<Self, Failure> {
        let mut folder = self.again()?;
        for name in names {
            folder = folder.child(name)?;
        }
        Ok(folder)
    }

    /// The same, with each folder made that is missing. The new ones are this user's alone until
    /// they get their mode.
    pub fn below_or_make(&self, names: &[Name]) -> Result<Self, Failure> {
        let mut folder = self.again()?;
        for name in names {
            folder.make_child(name)?;
            folder = folder.child(name)?;
        }
        Ok(folder)
    }

    fn again(&self) -> Result<Self, Failure> {
        let handle = self.handle.try_clone().map_err(|error| failed(&self.path, error))?;
        Ok(Self { handle, path: self.path.clone() })
    }

    fn child(&self, name: &Name) -> Result<Self, Failure> {
        let path = self.path_of(name);
        let handle =
            openat(&self.handle, name.as_bytes(), FOLDER | OFlags::NOFOLLOW, OsMode::empty())
                .map_err(|error| self.not_opened(name, &path, error))?;
        Ok(Self { handle, path })
    }

    /// A link and a file are both "not a folder" to the kernel; people want to know which.
    fn not_opened(&self, name: &Name, path: &Path, error: Errno) -> Failure {
        match (error, self.look(name)) {
            (Errno::NOTDIR, Ok(Some(found))) if found.kind == EntryKind::Link => {
                Failure::new(Situation::IsALink(Side::Local), shown(path))
            }
            _ => failed(path, error),
        }
    }

    /// Makes a folder; one that is there is success. Says whether it is new.
    pub fn make_child(&self, name: &Name) -> Result<bool, Failure> {
        match mkdirat(&self.handle, name.as_bytes(), OsMode::RWXU) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(failed(&self.path_of(name), error)),
        }
    }

    /// What lies under `name`; `None` if nothing does.
    pub fn look(&self, name: &Name) -> Result<Option<Attributes>, Failure> {
        match statat(&self.handle, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(attributes_of(&stat))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed(&self.path_of(name), error)),
        }
    }

    /// Gives this folder its mode and modification time.
    pub fn set_attributes(&self, attributes: &Attributes) -> Result<(), Failure> {
        let set = set_attributes(self.handle.as_fd(), attributes);
        set.map_err(|error| failed(&self.path, error))
    }

    /// Makes the names in it durable.
    pub fn flush(&self) -> Result<(), Failure> {
        rustix::fs::fsync(&self.handle).map_err(|error| failed(&self.path, error))
    }

    pub(super) fn handle(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    pub(super) fn path_of(&self, name: &Name) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        self.path.join(std::ffi::OsStr::from_bytes(name.as_bytes()))
    }
}

/// Sets mode and modification time, to the nanosecond.
pub(super) fn set_attributes(file: BorrowedFd<'_>, attributes: &Attributes) -> Result<(), Errno> {
    use rustix::fs::{Timespec, Timestamps, UTIME_OMIT, fchmod, futimens};
    let Attributes { mode, mtime, .. } = attributes;
    fchmod(file, os_mode(*mode))?;
    let omit = Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT };
    let last_modification = Timespec { tv_sec: mtime.seconds(), tv_nsec: i64::from(mtime.nanos()) };
    futimens(file, &Timestamps { last_access: omit, last_modification })
}

pub(super) fn os_mode(mode: Mode) -> OsMode {
    OsMode::from_raw_mode(mode.bits())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    /// HARDENING S6, S8: a link below the chosen folder is refused, wherever it points.
    #[test]
    fn s6_no_step_follows_a_link() {
        let base = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        symlink(outside.path(), base.path().join("link")).unwrap();
        let folder = Folder::open(base.path()).unwrap();
        for names in [vec![name("link")], vec![name("link"), name("new")]] {
            let failure = folder.below_or_make(&names).unwrap_err();
            assert_eq!(failure.situation, Situation::IsALink(Side::Local));
        }
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn s6_a_parent_that_becomes_a_link_does_not_lead_outside() {
        let base = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        let folder = Folder::open(base.path()).unwrap();
        let inner = folder.below_or_make(&[name("a"), name("b")]).unwrap();
        std::fs::rename(base.path().join("a"), base.path().join("moved")).unwrap();
        symlink(outside.path(), base.path().join("a")).unwrap();
        inner.make_child(&name("c")).unwrap();
        assert!(base.path().join("moved/b/c").is_dir());
        assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_in_the_way_is_named() {
        let base = tempfile::tempdir().unwrap();
        std::fs::write(base.path().join("file"), b"").unwrap();
        let folder = Folder::open(base.path()).unwrap();
        let failure = folder.below(&[name("file")]).unwrap_err();
        assert_eq!(failure.situation, Situation::NotAFolder(Side::Local));
        let failure = Folder::open_or_make(&base.path().join("file")).unwrap_err();
        assert_eq!(failure.situation, Situation::KindDiffers(Side::Local));
    }
}
