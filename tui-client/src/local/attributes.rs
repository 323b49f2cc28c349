//! What the disk says of a file, in the protocol's words.

use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Stat, statat};
use rustix::io::Errno;
use sampan_protocol::{Attributes, EntryKind, Mode, Timestamp, Version};

use super::failed;
use crate::failure::Failure;

/// What lies at `path`; a link is described, not followed.
pub fn look(path: &Path) -> Result<Attributes, Failure> {
    let stat = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| failed(path, error))?;
    Ok(attributes_of(&stat))
}

/// The same, with `None` for what is not there.
pub fn look_if_there(path: &Path) -> Result<Option<Attributes>, Failure> {
    match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(attributes_of(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

/// The protocol's words for `stat`.
///
/// The version is made of device, inode, size, mtime and ctime: what must stand still while a file
/// is read.
#[allow(clippy::useless_conversion)] // the fields have other widths on other systems
pub fn attributes_of(stat: &Stat) -> Attributes {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => EntryKind::File,
        FileType::Directory => EntryKind::Folder,
        FileType::Symlink => EntryKind::Link,
        _ => EntryKind::Other,
    };
    let size = match kind {
        EntryKind::File => u64::try_from(stat.st_size).unwrap_or(0),
        _ => 0,
    };
    let mtime = timestamp(stat.st_mtime.into(), stat.st_mtime_nsec.into());
    let mut version = [0; 48];
    let fields = [
        u64::from(stat.st_dev),
        u64::from(stat.st_ino),
        size,
        clock(stat.st_mtime.into(), stat.st_mtime_nsec.into()),
        clock(stat.st_ctime.into(), stat.st_ctime_nsec.into()),
        u64::from(stat.st_mode),
    ];
    for (part, field) in version.chunks_exact_mut(8).zip(fields) {
        part.copy_from_slice(&field.to_le_bytes());
    }
    Attributes {
        kind,
        size,
        mtime,
        mode: Mode::new(stat.st_mode),
        version: Version::new(&version).unwrap_or_default(),
    }
}

fn timestamp(seconds: i64, nanos: i128) -> Timestamp {
    let nanos = u32::try_from(nanos).unwrap_or_default();
    Timestamp::new(seconds, nanos).unwrap_or_default()
}

/// A moment as one number that differs whenever the moment does, for as long as files exist.
fn clock(seconds: i64, nanos: i128) -> u64 {
    let nanos = u64::try_from(nanos).unwrap_or_default();
    seconds.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(nanos)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn kinds_and_versions() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("file"), b"12345").unwrap();
        symlink("nowhere", at("link")).unwrap();
        let file = look(&at("file")).unwrap();
        assert_eq!((file.kind, file.size), (EntryKind::File, 5));
        let link = look(&at("link")).unwrap();
        assert_eq!((link.kind, link.size), (EntryKind::Link, 0));
        assert_eq!(look(folder.path()).unwrap().kind, EntryKind::Folder);
        assert_eq!(look_if_there(&at("none")).unwrap(), None);

        assert_eq!(look(&at("file")).unwrap().version, file.version);
        std::fs::write(at("file"), b"123456").unwrap();
        assert_ne!(look(&at("file")).unwrap().version, file.version);
    }
}
