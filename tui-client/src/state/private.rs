//! Files and folders that are for this user only.
//!
//! Invariant: what is told as written is on the disk, and so are the folders that lead to it; what
//! could not be replaced is as it was.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FlockOperation, Mode, OFlags, RenameFlags, Stat};
use rustix::io::Errno;

use crate::disk::Disk;
use crate::failure::{Failure, Side, Situation};
use crate::place::shown;

/// Levels that this program makes in the platform's folders: `sampan`, `state` and what is in it.
const OWN_LEVELS: usize = 3;
/// Read at once.
const READ_BYTES: usize = 64 << 10;
/// How often a file is looked for again that others make and remove meanwhile. Under a link that
/// leads nowhere none is ever found, and none can be made.
const ROUNDS: usize = 100;
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open folder of the program's own.
#[derive(Debug)]
pub(super) struct PrivateFolder<'a> {
    disk: &'a Disk,
    handle: OwnedFd,
    path: &'a Path,
}

impl<'a> PrivateFolder<'a> {
    pub(super) fn open(disk: &'a Disk, path: &'a Path) -> Result<Self, Errno> {
        Ok(Self { disk, handle: disk.open(CWD, path, FOLDER)?, path })
    }

    /// Opens it; makes it and those above it if they are missing.
    pub(super) fn create(disk: &'a Disk, path: &'a Path) -> Result<Self, Errno> {
        match Self::open(disk, path) {
            Err(Errno::NOENT) => {}
            opened => return opened,
        }
        let mut missing = Vec::new();
        for folder in path.ancestors().filter(|folder| !folder.as_os_str().is_empty()) {
            match disk.look(CWD, folder, AtFlags::empty()) {
                Ok(_) => break,
                Err(Errno::NOENT) => missing.push(folder),
                Err(error) => return Err(error),
            }
        }
        for folder in missing.iter().rev() {
            match disk.make_folder(CWD, folder.as_os_str().as_bytes(), Mode::RWXU) {
                // Somebody else was quicker.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
        }
        Self::open(disk, path)
    }

    /// Opens a file to read and write it; makes it if it is missing.
    pub(super) fn open_file(&self, name: &OsStr) -> Result<OwnedFd, Errno> {
        for _ in 0..ROUNDS {
            let flags = OFlags::RDWR | OFlags::CLOEXEC;
            match self.disk.open(&self.handle, name, flags) {
                Err(Errno::NOENT) => {}
                opened => return opened,
            }
            match self.disk.create(&self.handle, name.as_bytes(), Mode::RUSR | Mode::WUSR) {
                // Somebody else was quicker.
                Err(Errno::EXIST) => {}
                made => return made,
            }
        }
        Err(Errno::EXIST)
    }

    /// Opens a file that is there.
    pub(super) fn open_existing(&self, name: &OsStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        self.disk.open(&self.handle, name, flags | OFlags::CLOEXEC)
    }

    /// Describes a file.
    pub(super) fn look(&self, name: &OsStr) -> Result<Stat, Errno> {
        self.disk.look(&self.handle, name, AtFlags::empty())
    }

    /// The names in it.
    pub(super) fn names(&self) -> Result<Vec<Vec<u8>>, Errno> {
        let mut entries = self.disk.names(self.disk.open(&self.handle, c".", FOLDER)?)?;
        let mut names = Vec::new();
        while let Some(entry) = self.disk.next_name(&mut entries) {
            names.push(entry?.file_name().to_bytes().to_vec());
        }
        Ok(names)
    }

    /// Whether `file` is what lies under `name` now.
    pub(super) fn holds(&self, file: impl AsFd, name: &OsStr) -> Result<bool, Errno> {
        let ours = self.disk.look_open(file)?;
        match self.look(name) {
            Ok(there) => Ok((ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes a file.
    pub(super) fn unlink(&self, name: &OsStr) -> Result<(), Errno> {
        self.disk.unlink(&self.handle, name.as_bytes())
    }

    /// Makes its names durable, and itself.
    ///
    /// Whoever made a folder may have died before it flushed the one that holds it, so each of the
    /// levels that may be ours is flushed, whoever made it.
    pub(super) fn flush(&self) -> Result<(), Errno> {
        self.disk.flush(&self.handle)?;
        for above in self.path.ancestors().skip(1).take(OWN_LEVELS) {
            let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
            match self.disk.open(CWD, above, FOLDER) {
                Ok(handle) => match self.disk.flush(handle) {
                    // There folders are flushed by nobody.
                    Ok(()) | Err(Errno::INVAL | Errno::ROFS) => {}
                    Err(error) => return Err(error),
                },
                // Who may not look into it did not make it for us either: it is another's.
                Err(Errno::ACCESS | Errno::PERM) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Replaces a file as a whole, durably.
    pub(super) fn replace(&self, name: &OsStr, content: &[u8]) -> Result<(), Errno> {
        let beside = beside(name);
        let rename = || {
            let folder = self.handle.as_fd();
            let (from, to) = ((folder, beside.as_bytes()), (folder, name.as_bytes()));
            self.disk.rename(from, to, RenameFlags::empty())
        };
        if let Err(error) = self.write_new(&beside, content).and_then(|()| rename()) {
            // What is half written must not stay; if it cannot go, the first error says more.
            if let Err(error) = self.unlink(&beside) {
                tracing::debug!(%error, "a file that is half written stays beside the whole one");
            }
            return Err(error);
        }
        self.flush()
    }

    fn write_new(&self, name: &OsStr, content: &[u8]) -> Result<(), Errno> {
        let mode = Mode::RUSR | Mode::WUSR;
        let file = match self.disk.create(&self.handle, name.as_bytes(), mode) {
            // Left by a process of the same number that died.
            Err(Errno::EXIST) => {
                self.unlink(name)?;
                self.disk.create(&self.handle, name.as_bytes(), mode)?
            }
            created => created?,
        };
        self.disk.write_at(&file, content, 0)?;
        self.disk.flush(&file)
    }
}

fn beside(name: &OsStr) -> std::ffi::OsString {
    let mut beside = name.to_owned();
    beside.push(format!(".{}.new", std::process::id()));
    beside
}

/// The folder that holds a file of the program's own, and the file's name.
pub(super) fn parts(path: &Path) -> (&Path, &OsStr) {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    (folder.unwrap_or(Path::new(".")), path.file_name().unwrap_or_default())
}

/// Replaces `path` as a whole, durably.
pub(super) fn replace(disk: &Disk, path: &Path, content: &[u8]) -> Result<(), Errno> {
    let (folder, name) = parts(path);
    PrivateFolder::create(disk, folder)?.replace(name, content)
}

/// All of a file; `None` if there is none.
pub(super) fn read(disk: &Disk, path: &Path) -> Result<Option<Vec<u8>>, Errno> {
    match disk.open(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC) {
        Ok(file) => read_all(disk, &file).map(Some),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// All of an open file.
pub(super) fn read_all(disk: &Disk, file: impl AsFd) -> Result<Vec<u8>, Errno> {
    let mut content = Vec::new();
    loop {
        let filled = content.len();
        content.resize(filled + READ_BYTES, 0);
        let read = disk.read_at(&file, &mut content[filled..], filled as u64)?;
        content.truncate(filled + read);
        if read < READ_BYTES {
            return Ok(content);
        }
    }
}

/// Takes the lock on a file; false if another process has it.
pub(super) fn try_lock(disk: &Disk, file: impl AsFd) -> Result<bool, Errno> {
    match disk.lock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error),
    }
}

/// A failure with one of the program's own files.
pub(super) fn own_file(path: &Path, error: Errno) -> Failure {
    let situation = match error {
        Errno::ACCESS | Errno::PERM | Errno::ROFS => Situation::PermissionDenied(Side::Local),
        Errno::NOSPC | Errno::DQUOT => Situation::DiskFull(Side::Local),
        _ => Situation::DiskFailed(Side::Local, std::io::Error::from(error).to_string()),
    };
    Failure::new(situation, shown(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_that_leads_nowhere_is_no_file_to_open() {
        let home = tempfile::tempdir().unwrap();
        let disk = Disk::default();
        let folder = PrivateFolder::open(&disk, home.path()).unwrap();
        let name = OsStr::new("journal");
        std::os::unix::fs::symlink("nowhere", home.path().join(name)).unwrap();
        assert_eq!(folder.open_file(name).unwrap_err(), Errno::EXIST);
        std::fs::write(home.path().join("nowhere"), "there").unwrap();
        folder.open_file(name).unwrap();
    }
}
