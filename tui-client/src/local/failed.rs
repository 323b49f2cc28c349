//! The operating system's errors as situations.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::failure::{Failure, Side, Situation};
use crate::place::shown;

/// What went wrong with `path`.
pub fn failed(path: &Path, error: impl Into<io::Error>) -> Failure {
    Failure::new(situation(&error.into()), shown(path))
}

fn situation(error: &io::Error) -> Situation {
    let side = Side::Local;
    let Some(errno) = error.raw_os_error().map(Errno::from_raw_os_error) else {
        return Situation::DiskFailed(side, error.to_string());
    };
    match errno {
        Errno::NOENT => Situation::NotFound(side),
        Errno::EXIST => Situation::Exists(side),
        Errno::NOTDIR => Situation::NotAFolder(side),
        Errno::ISDIR => Situation::IsAFolder(side),
        Errno::NOTEMPTY => Situation::NotEmpty(side),
        Errno::LOOP => Situation::IsALink(side),
        Errno::ACCESS | Errno::PERM | Errno::ROFS => Situation::PermissionDenied(side),
        Errno::NAMETOOLONG | Errno::ILSEQ => Situation::NameNotStorable(side),
        Errno::NOSPC | Errno::DQUOT | Errno::FBIG => Situation::DiskFull(side),
        _ => Situation::DiskFailed(side, error.to_string()),
    }
}
