//! A download on its way: written beside its target under a name of its own, made durable, then
//! renamed.
//!
//! ```text
//! open (or find again) → write blocks anywhere → attributes → flush, alone or as a group → rename
//! ```
//!
//! Invariant: under the target's own name there is the old file or the whole new one. A staged file
//! is only ever removed or renamed by whoever knows its name.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use rustix::fs::{AtFlags, Mode as OsMode, OFlags, SeekFrom, openat, renameat, seek, unlinkat};
use rustix::io::Errno;
use sampan_protocol::{Attributes, Name, Version};

use super::folder::set_attributes;
use super::{Folder, failed};
use crate::failure::{Failure, Side, Situation};
use crate::place::shown;

const PREFIX: &[u8] = b".sampan-";
const SUFFIX: &[u8] = b".part";
const DIGITS: usize = 16;

/// Bytes of every staging name.
pub const STAGING_NAME_BYTES: usize = PREFIX.len() + DIGITS + SUFFIX.len();

/// From so many files on, one flush of the whole file system is cheaper than one for each.
const FLUSH_ALL_FROM: usize = 8;

/// The name under which a download with these sixteen digits is staged.
pub fn staging_name(digits: &str) -> Name {
    let name = [PREFIX, digits.as_bytes(), SUFFIX].concat();
    Name::new(&name).expect("a prefix, sixteen digits and a suffix are a name")
}

/// Whether a name is one of ours for staging: hidden in panes, and never carried.
pub fn is_staging_name(name: &[u8]) -> bool {
    name.len() == STAGING_NAME_BYTES
        && name.starts_with(PREFIX)
        && name.ends_with(SUFFIX)
        && name[PREFIX.len()..PREFIX.len() + DIGITS].iter().all(u8::is_ascii_hexdigit)
}

/// What must be true of the target's name for a file to be published under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing is there.
    Absent,
    /// This file is there still.
    This(Version),
}

/// A staged file.
#[derive(Debug)]
pub struct Staged {
    folder: Folder,
    name: Name,
    file: File,
}

impl Staged {
    /// Opens the staged file `name` in `folder`, as an earlier run left it, or new.
    pub fn open(folder: Folder, name: Name) -> Result<Self, Failure> {
        Self::open_with(folder, name, OFlags::empty())
    }

    /// The same, and empties it.
    pub fn open_empty(folder: Folder, name: Name) -> Result<Self, Failure> {
        Self::open_with(folder, name, OFlags::TRUNC)
    }

    fn open_with(folder: Folder, name: Name, extra: OFlags) -> Result<Self, Failure> {
        let flags = OFlags::RDWR
            | OFlags::CREATE
            | OFlags::NOFOLLOW
            | OFlags::NONBLOCK
            | OFlags::CLOEXEC
            | extra;
        let mode = OsMode::RUSR | OsMode::WUSR;
        let open = || openat(folder.handle(), name.as_bytes(), flags, mode);
        let opened = match open() {
            // An earlier run had given it its last mode, which forbids writing, and was stopped
            // before the rename: begin anew.
            Err(Errno::ACCESS) => {
                unlinkat(folder.handle(), name.as_bytes(), AtFlags::empty()).and_then(|()| open())
            }
            opened => opened,
        };
        let handle = opened.map_err(|error| failed(&folder.path_of(&name), error))?;
        Ok(Self { folder, name, file: File::from(handle) })
    }

    /// Where it is, for messages.
    pub fn path(&self) -> PathBuf {
        self.folder.path_of(&self.name)
    }

    /// Writes `bytes` at `offset`.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Failure> {
        self.file.write_all_at(bytes, offset).map_err(|error| failed(&self.path(), error))
    }

    /// Reads what was written; false if the file ends before.
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> Result<bool, Failure> {
        match self.file.read_exact_at(into, offset) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(false),
            Err(error) => Err(failed(&self.path(), error)),
        }
    }

    /// Ranges of bytes that were written, at most; a file system that knows no holes says all.
    pub fn written(&self) -> Result<Vec<std::ops::Range<u64>>, Failure> {
        let wrong = |error: Errno| failed(&self.path(), error);
        let length = self.file.metadata().map_err(|error| failed(&self.path(), error))?.len();
        let mut ranges = Vec::new();
        let mut at = 0;
        while at < length {
            let start = match seek(&self.file, SeekFrom::Data(at)) {
                Ok(start) => start,
                Err(Errno::NXIO) => break,
                Err(Errno::INVAL | Errno::NOTSUP) => {
                    ranges.push(at..length);
                    break;
                }
                Err(error) => return Err(wrong(error)),
            };
            let end = seek(&self.file, SeekFrom::Hole(start)).map_err(wrong)?;
            ranges.push(start..end.min(length));
            at = end;
        }
        Ok(ranges)
    }

    /// Makes it exactly so long; what is new reads as zeros and is no data.
    pub fn set_length(&self, bytes: u64) -> Result<(), Failure> {
        self.file.set_len(bytes).map_err(|error| failed(&self.path(), error))
    }

    /// Gives it the mode and modification time that it will be published with.
    pub fn set_attributes(&self, attributes: &Attributes) -> Result<(), Failure> {
        set_attributes(self.file.as_fd(), attributes).map_err(|error| failed(&self.path(), error))
    }

    /// Makes its bytes durable.
    pub fn flush(&self) -> Result<(), Failure> {
        self.file.sync_all().map_err(|error| failed(&self.path(), error))
    }

    /// Removes it; one that is gone is success.
    pub fn discard(self) -> Result<(), Failure> {
        match unlinkat(self.folder.handle(), self.name.as_bytes(), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed(&self.path(), error)),
        }
    }

    /// Its folder, to be flushed once its names are right.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }
}

/// Makes the bytes of all `files` durable; a failure is one of the whole group.
pub fn flush_group(files: &[Staged]) -> Result<(), Failure> {
    #[cfg(target_os = "linux")]
    if files.len() >= FLUSH_ALL_FROM
        && let Some(first) = files.first()
    {
        // One tree is on one file system, or each folder's own is met by its first file here.
        let mut devices = std::collections::BTreeSet::new();
        for file in files {
            use std::os::unix::fs::MetadataExt;
            let device = file.file.metadata().map_err(|error| failed(&file.path(), error))?.dev();
            if devices.insert(device) {
                let flushed = rustix::fs::syncfs(&file.file);
                flushed.map_err(|error| failed(&first.path(), error))?;
            }
        }
        return Ok(());
    }
    files.iter().try_for_each(Staged::flush)
}

/// Publishes a staged file under `name`, if what is `wanted` holds.
pub fn publish(staged: &Staged, name: &Name, wanted: &Wanted) -> Result<(), Failure> {
    let Staged { folder, name: from, .. } = staged;
    let path = folder.path_of(name);
    let changed = || Failure::new(Situation::TargetChanged(Side::Local), shown(&path));
    match wanted {
        Wanted::Absent => match rename_into_nothing(folder, from, name) {
            Err(Errno::EXIST) => Err(changed()),
            renamed => renamed.map_err(|error| failed(&path, error)),
        },
        Wanted::This(version) => {
            match folder.look(name)? {
                Some(there) if there.version == *version => {}
                _ => return Err(changed()),
            }
            renameat(folder.handle(), from.as_bytes(), folder.handle(), name.as_bytes())
                .map_err(|error| failed(&path, error))
        }
    }
}

#[cfg(target_os = "linux")]
fn rename_into_nothing(folder: &Folder, from: &Name, to: &Name) -> Result<(), Errno> {
    use rustix::fs::{RenameFlags, renameat_with};
    let handle = folder.handle();
    match renameat_with(handle, from.as_bytes(), handle, to.as_bytes(), RenameFlags::NOREPLACE) {
        // A file system without it: look first.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => look_and_rename(folder, from, to),
        renamed => renamed,
    }
}

#[cfg(not(target_os = "linux"))]
fn rename_into_nothing(folder: &Folder, from: &Name, to: &Name) -> Result<(), Errno> {
    look_and_rename(folder, from, to)
}

fn look_and_rename(folder: &Folder, from: &Name, to: &Name) -> Result<(), Errno> {
    let handle = folder.handle();
    match rustix::fs::statat(handle, to.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => renameat(handle, from.as_bytes(), handle, to.as_bytes()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use sampan_protocol::{EntryKind, Mode, Timestamp};

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text.as_bytes()).unwrap()
    }

    fn staged(folder: &std::path::Path, digits: &str) -> Staged {
        Staged::open(Folder::open(folder).unwrap(), staging_name(digits)).unwrap()
    }

    #[test]
    fn staging_names_are_told_from_others() {
        assert_eq!(staging_name("0123456789abcdef").as_bytes(), b".sampan-0123456789abcdef.part");
        assert!(is_staging_name(b".sampan-0123456789abcdef.part"));
        for other in [&b".sampan-0123456789abcde.part"[..], b".sampan-0123456789abcdeg.part", b"x"]
        {
            assert!(!is_staging_name(other));
        }
    }

    #[test]
    fn a_whole_file_appears_with_its_attributes() {
        let base = tempfile::tempdir().unwrap();
        let file = staged(base.path(), "0123456789abcdef");
        file.set_length(6).unwrap();
        file.write_at(b"def", 3).unwrap();
        file.write_at(b"abc", 0).unwrap();
        let attributes = Attributes {
            kind: EntryKind::File,
            size: 6,
            mtime: Timestamp::new(1_000_000_001, 123_456_789).unwrap(),
            mode: Mode::new(0o640),
            version: Version::default(),
        };
        file.set_attributes(&attributes).unwrap();
        flush_group(std::slice::from_ref(&file)).unwrap();
        publish(&file, &name("target"), &Wanted::Absent).unwrap();
        file.folder().flush().unwrap();

        let target = base.path().join("target");
        assert_eq!(fs::read(&target).unwrap(), b"abcdef");
        let found = fs::metadata(&target).unwrap();
        assert_eq!(found.permissions().mode() & 0o7777, 0o640);
        assert_eq!((found.mtime(), found.mtime_nsec()), (1_000_000_001, 123_456_789));
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_appeared_at_the_target_meanwhile_stays() {
        let base = tempfile::tempdir().unwrap();
        let target = base.path().join("target");
        fs::write(&target, b"old").unwrap();
        let file = staged(base.path(), "0123456789abcdef");
        let failure = publish(&file, &name("target"), &Wanted::Absent).unwrap_err();
        assert_eq!(failure.situation, Situation::TargetChanged(Side::Local));

        let version = file.folder().look(&name("target")).unwrap().unwrap().version;
        fs::write(&target, b"newer").unwrap();
        let failure = publish(&file, &name("target"), &Wanted::This(version)).unwrap_err();
        assert_eq!(failure.situation, Situation::TargetChanged(Side::Local));
        assert_eq!(fs::read(&target).unwrap(), b"newer");

        let version = file.folder().look(&name("target")).unwrap().unwrap().version;
        publish(&file, &name("target"), &Wanted::This(version)).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"");
    }

    #[test]
    fn what_was_written_is_found_again() {
        let base = tempfile::tempdir().unwrap();
        let file = staged(base.path(), "0123456789abcdef");
        file.set_length(16 << 20).unwrap();
        file.write_at(&vec![1; 1 << 20], 4 << 20).unwrap();
        file.flush().unwrap();
        drop(file);
        let file = staged(base.path(), "0123456789abcdef");
        let written = file.written().unwrap();
        assert!(written.iter().any(|range| range.contains(&(4 << 20))), "{written:?}");
        let mut byte = [0];
        assert!(file.read_at(&mut byte, 4 << 20).unwrap());
        assert_eq!(byte, [1]);
        assert!(!file.read_at(&mut byte, 16 << 20).unwrap());
        file.discard().unwrap();
        assert_eq!(fs::read_dir(base.path()).unwrap().count(), 0);
    }
}
