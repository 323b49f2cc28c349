//! Reading a file that must stand still meanwhile.
//!
//! Device, inode, size, mtime and ctime are looked at when it is opened and again when everything was
//! read; if they differ, what was read is not of one file (HARDENING 2.9).
//!
//! Invariant: only regular files are opened; a FIFO or device at the name is never touched.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode as OsMode, OFlags, fstat, openat};
use sampan_protocol::{Attributes, EntryKind};

use super::{attributes_of, failed};
use crate::failure::{Failure, Side, Situation};
use crate::place::shown;

/// An open file, and how it was when it was opened.
#[derive(Debug)]
pub struct Source {
    file: File,
    path: PathBuf,
    attributes: Attributes,
}

/// Whether a file is still the one it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceState {
    /// It is.
    Same,
    /// It was written to, replaced, renamed or given other attributes.
    Changed,
}

impl Source {
    /// Opens `path` for reading. `follow`: a link there leads to the file.
    pub fn open(path: &Path, follow: bool) -> Result<Self, Failure> {
        // Without NONBLOCK the open of a FIFO would wait for a writer.
        let mut flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        if !follow {
            flags |= OFlags::NOFOLLOW;
        }
        let handle =
            openat(CWD, path, flags, OsMode::empty()).map_err(|error| failed(path, error))?;
        let stat = fstat(&handle).map_err(|error| failed(path, error))?;
        let attributes = attributes_of(&stat);
        match attributes.kind {
            EntryKind::File => {}
            EntryKind::Folder => {
                return Err(Failure::new(Situation::IsAFolder(Side::Local), shown(path)));
            }
            EntryKind::Link | EntryKind::Other => {
                return Err(Failure::new(Situation::NotAFile(Side::Local), shown(path)));
            }
        }
        Ok(Self { file: File::from(handle), path: path.to_owned(), attributes })
    }

    /// How it was when it was opened.
    pub fn attributes(&self) -> &Attributes {
        &self.attributes
    }

    /// Fills `into` from `offset` on. A file that ends earlier has changed.
    pub fn read_at(&self, into: &mut [u8], offset: u64) -> Result<SourceState, Failure> {
        match self.file.read_exact_at(into, offset) {
            Ok(()) => Ok(SourceState::Same),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                Ok(SourceState::Changed)
            }
            Err(error) => Err(failed(&self.path, error)),
        }
    }

    /// Whether it is still as it was when it was opened, by its handle and by its name.
    pub fn check(&self) -> Result<SourceState, Failure> {
        let now = fstat(self.file.as_fd()).map_err(|error| failed(&self.path, error))?;
        let same = attributes_of(&now).version == self.attributes.version;
        Ok(if same { SourceState::Same } else { SourceState::Changed })
    }

    /// Tells the kernel that it will be read from start to end.
    pub fn will_be_read_in_order(&self) {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{Advice, fadvise};
            // Only a hint: a file system that takes none loses a little speed.
            let _ = fadvise(&self.file, 0, None, Advice::Sequential);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_file_that_changes_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, b"before").unwrap();
        let source = Source::open(&path, false).unwrap();
        let mut bytes = [0; 6];
        assert_eq!(source.read_at(&mut bytes, 0).unwrap(), SourceState::Same);
        assert_eq!(source.check().unwrap(), SourceState::Same);
        fs::write(&path, b"longer than before").unwrap();
        assert_eq!(source.check().unwrap(), SourceState::Changed);
        fs::write(&path, b"cut").unwrap();
        assert_eq!(source.read_at(&mut bytes, 0).unwrap(), SourceState::Changed);
    }

    #[test]
    fn what_is_no_file_is_not_opened() {
        let folder = tempfile::tempdir().unwrap();
        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, rustix::fs::FileType::Fifo, OsMode::RUSR, 0).unwrap();
        let failure = Source::open(&fifo, false).unwrap_err();
        assert_eq!(failure.situation, Situation::NotAFile(Side::Local));
        let failure = Source::open(folder.path(), false).unwrap_err();
        assert_eq!(failure.situation, Situation::IsAFolder(Side::Local));

        let link = folder.path().join("link");
        fs::write(folder.path().join("file"), b"x").unwrap();
        std::os::unix::fs::symlink("file", &link).unwrap();
        let failure = Source::open(&link, false).unwrap_err();
        assert_eq!(failure.situation, Situation::IsALink(Side::Local));
        assert_eq!(Source::open(&link, true).unwrap().attributes().size, 1);
    }
}
