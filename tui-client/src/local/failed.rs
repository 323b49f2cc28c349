//! What the operating system says, as a situation: the one place that knows its error numbers.

use std::io;
use std::path::Path;

use rustix::io::Errno;

use crate::failure::{Failure, Side, Situation};
use crate::place::shown;

/// `error`, about what lies at `path`.
pub fn failed(path: &Path, error: impl Into<io::Error>) -> Failure {
    about(situation(&error.into()), path)
}

/// Like [`failed`], where a name was to be made: file systems that cannot hold it say so in more
/// ways than one.
pub(super) fn failed_naming(path: &Path, error: impl Into<io::Error>) -> Failure {
    let error = error.into();
    if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) {
        return about(Situation::NameNotStorable(Side::Local), path);
    }
    failed(path, error)
}

/// `situation`, about what lies at `path`.
pub(super) fn about(situation: Situation, path: &Path) -> Failure {
    match std::path::absolute(path) {
        Ok(absolute) => Failure::new(situation, shown(&absolute)),
        // Without a current folder the path as it was written is the best there is.
        Err(_) => Failure::new(situation, shown(path)),
    }
}

/// What happened on the local disk.
pub fn situation(error: &io::Error) -> Situation {
    let number = error.raw_os_error().map(Errno::from_raw_os_error);
    match number {
        Some(Errno::NOENT) => Situation::NotFound(Side::Local),
        Some(Errno::EXIST) => Situation::Exists(Side::Local),
        Some(Errno::NOTDIR) => Situation::NotAFolder(Side::Local),
        Some(Errno::ISDIR) => Situation::IsAFolder(Side::Local),
        Some(Errno::NOTEMPTY) => Situation::NotEmpty(Side::Local),
        Some(Errno::LOOP) => Situation::IsALink(Side::Local),
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => Situation::PermissionDenied(Side::Local),
        Some(Errno::NAMETOOLONG | Errno::ILSEQ) => Situation::NameNotStorable(Side::Local),
        Some(Errno::XDEV) => Situation::OtherFileSystem,
        Some(Errno::NOSPC | Errno::DQUOT) => Situation::DiskFull(Side::Local),
        Some(_) => Situation::DiskFailed(Side::Local, error.to_string()),
        // What the standard library made up itself, such as a write that took no bytes.
        None => Situation::Unexpected(sampan_protocol::escape::escaped_text(&error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_its_situation() {
        use Situation as S;
        let local = Side::Local;
        let cases = [
            (Errno::NOENT, S::NotFound(local)),
            (Errno::EXIST, S::Exists(local)),
            (Errno::NOTDIR, S::NotAFolder(local)),
            (Errno::ISDIR, S::IsAFolder(local)),
            (Errno::NOTEMPTY, S::NotEmpty(local)),
            (Errno::LOOP, S::IsALink(local)),
            (Errno::ACCESS, S::PermissionDenied(local)),
            (Errno::PERM, S::PermissionDenied(local)),
            (Errno::ROFS, S::PermissionDenied(local)),
            (Errno::NAMETOOLONG, S::NameNotStorable(local)),
            (Errno::ILSEQ, S::NameNotStorable(local)),
            (Errno::XDEV, S::OtherFileSystem),
            (Errno::NOSPC, S::DiskFull(local)),
            (Errno::DQUOT, S::DiskFull(local)),
        ];
        for (number, expected) in cases {
            assert_eq!(situation(&number.into()), expected, "{number:?}");
        }
        for number in [Errno::IO, Errno::MFILE, Errno::FBIG, Errno::INVAL] {
            let Situation::DiskFailed(Side::Local, text) = situation(&number.into()) else {
                panic!("{number:?}");
            };
            assert!(text.contains("os error"), "{text}");
        }
    }

    #[test]
    fn a_name_that_a_disk_refuses_is_named_so_only_where_a_name_is_made() {
        let path = Path::new("/a\nb");
        let naming = failed_naming(path, Errno::INVAL);
        assert_eq!(naming.situation, Situation::NameNotStorable(Side::Local));
        assert_eq!(naming.subject, "/a\\x0ab");
        assert!(matches!(failed(path, Errno::INVAL).situation, Situation::DiskFailed(..)));
        let full = failed_naming(path, Errno::NOSPC);
        assert_eq!(full.situation, Situation::DiskFull(Side::Local));
    }
}
