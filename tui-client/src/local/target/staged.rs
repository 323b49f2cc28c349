//! One file on its way in: staged beside its final name until it is whole.
//!
//! Invariant: a staged file is a regular file of this user with one name and mode 0600. What an
//! earlier run left in it is worth what its hashes say, and nothing before that.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::OnceLock;

use rustix::fs::{AtFlags, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;
use sampan_protocol::block::{BlockIndex, Blocks};
use sampan_protocol::limits::BLOCK_BYTES;
use sampan_protocol::{BlockHash, EntryKind, Name, RemotePath};

use super::super::attributes::Look;
use super::super::failed::{about, failed, failed_naming};
use super::super::folder::Folder;
use super::super::source::hash_block;
use super::super::staging_name::StagingName;
use super::{TargetRoot, in_the_way, kind_differs, unlink_staging};
use crate::failure::{Failure, Side, Situation};

/// What is to come.
#[derive(Clone, Copy, Debug)]
pub struct NewFile<'a> {
    /// Its final place.
    pub at: &'a RemotePath,
    /// Its name until then.
    pub staging: &'a StagingName,
    /// Its bytes.
    pub size: u64,
}

/// A staged file, to be written at any place by any number of threads. Dropped, it stays on the disk
/// and can be taken up again; [`Self::discard`] removes it.
#[derive(Debug)]
pub struct Staged {
    pub(super) folder: Folder,
    /// The way to the folder below the chosen one.
    pub(super) parent: RemotePath,
    pub(super) name: Name,
    pub(super) staging: StagingName,
    pub(super) file: OwnedFd,
    pub(super) size: u64,
    /// Why its bytes are worth nothing. The system tells of a failed flush once, and what it did not
    /// get onto the disk it may show as if it were there.
    lost: OnceLock<Failure>,
}

impl TargetRoot {
    /// Begins a file. What an earlier run staged for it is removed. Refuses at once what cannot
    /// end well: a folder in its place, a name that the disk cannot hold, a full disk.
    pub fn stage(&self, new: NewFile<'_>) -> Result<Staged, Failure> {
        let (folder, name) = self.place_for(new.at)?;
        let file = create_staging(&folder, new.staging)?;
        let staged = Staged::new(folder, name, new, file);
        match staged.reserve(0) {
            Ok(()) => Ok(staged),
            Err(failure) => {
                // The disk is full; if it will not even unlink, that is the same news.
                match staged.discard() {
                    Ok(()) => Err(failure),
                    Err(worse) => Err(worse),
                }
            }
        }
    }

    /// Takes up what an earlier run staged; `None` if there is nothing of use, which is then gone.
    pub fn resume(&self, new: NewFile<'_>) -> Result<Option<Staged>, Failure> {
        let (folder, name) = self.place_for(new.at)?;
        let disk = folder.disk();
        let path = folder.path().join(new.staging.as_str());
        let failed = |error: Errno| failed(&path, error);
        let seen = match disk.look(&folder, new.staging.as_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        if !is_ours(&seen) {
            return unlink_staging(&folder, new.staging).map(|()| None);
        }
        let Some((file, opened)) = open_staging(&folder, new.staging).map_err(failed)? else {
            return unlink_staging(&folder, new.staging).map(|()| None);
        };
        disk.set_mode(&file, Mode::RUSR | Mode::WUSR).map_err(failed)?;
        let there = Look::of(&opened).identity.size;
        let staged = Staged::new(folder, name, new, file);
        if there > staged.size {
            let cut = staged.folder.disk().truncate(&staged.file, staged.size);
            cut.map_err(|error| staged.failed(error))?;
        }
        staged.reserve(allocated(&opened))?;
        Ok(Some(staged))
    }

    /// The folder for a file, and its name there, if a file may get it.
    fn place_for(&self, at: &RemotePath) -> Result<(Folder, Name), Failure> {
        let (folder, name) = self.folder().parent_of(at).map_err(in_the_way)?;
        match folder.look_at(&name) {
            Ok(look) if look.is_folder() => Err(kind_differs(&folder.path_to(&name))),
            Ok(_) | Err(Errno::NOENT) => Ok((folder, name.clone())),
            Err(error) => Err(failed_naming(&folder.path_to(&name), error)),
        }
    }
}

impl Staged {
    fn new(folder: Folder, name: Name, new: NewFile<'_>, file: OwnedFd) -> Self {
        let parent = new.at.parent().unwrap_or_default();
        let (staging, size, lost) = (new.staging.clone(), new.size, OnceLock::new());
        Self { folder, parent, name, staging, file, size, lost }
    }

    /// Bytes that it will have.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its final path, for messages.
    pub fn path(&self) -> PathBuf {
        self.folder.path_to(&self.name)
    }

    /// Writes bytes at their place.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<(), Failure> {
        let end = offset.checked_add(bytes.len() as u64);
        if end.is_none_or(|end| end > self.size) {
            return Err(about(Situation::NotVerified, &self.path()));
        }
        self.is_worth_something()?;
        self.folder.disk().write_at(&self.file, bytes, offset).map_err(|error| self.failed(error))
    }

    /// Reads back block `index` through `buffer`, which it resizes. `None` if it was surely never
    /// written: it lies beyond the end, or in a hole.
    pub fn hash_block(
        &self,
        index: BlockIndex,
        buffer: &mut Vec<u8>,
    ) -> Result<Option<BlockHash>, Failure> {
        let unexpected = |text: &dyn std::fmt::Display| {
            about(Situation::Unexpected(text.to_string()), &self.path())
        };
        let blocks = Blocks::of(self.size).map_err(|error| unexpected(&error))?;
        let (Some(length), Some(offset)) = (blocks.length_of(index), blocks.offset_of(index))
        else {
            return Ok(None);
        };
        // The position that this moves is used by nobody. Where holes are not known, all is data.
        match self.folder.disk().seek_data(&self.file, offset) {
            Ok(data) if data >= offset + length => return Ok(None),
            Err(Errno::NXIO) => return Ok(None),
            Ok(_) | Err(Errno::INVAL) => {}
            Err(error) => return Err(self.failed(error)),
        }
        buffer.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        match self.folder.disk().read_at(&self.file, buffer, offset) {
            Ok(read) if read < buffer.len() => return Ok(None),
            Ok(_) => {}
            Err(error) => return Err(self.failed(error)),
        }
        hash_block(blocks, index, buffer).map(Some).map_err(|error| unexpected(&error))
    }

    /// Flushes what was written so far, so that the end has less to do. If that fails, nothing of it
    /// is worth anything: it is removed, and takes no more bytes (HARDENING 2.5, 2.10).
    pub fn flush(&self) -> Result<(), Failure> {
        self.is_worth_something()?;
        self.folder.disk().flush_bytes(&self.file).map_err(|error| self.lose(error))
    }

    /// A flush failed. What it left must not be found by a later run, which would read from memory
    /// what never came to the disk.
    pub(super) fn lose(&self, error: impl Into<io::Error>) -> Failure {
        let failure = self.lost.get_or_init(|| self.failed(error)).clone();
        if let Err(stays) = unlink_staging(&self.folder, &self.staging)
            && let Err(error) = self.folder.disk().truncate(&self.file, 0)
        {
            tracing::warn!(?stays, ?error, "what was not flushed stays");
        }
        failure
    }

    /// Whether no flush has failed.
    pub(super) fn is_worth_something(&self) -> Result<(), Failure> {
        self.lost.get().cloned().map_or(Ok(()), Err)
    }

    /// Gives it up and removes it.
    pub fn discard(self) -> Result<(), Failure> {
        unlink_staging(&self.folder, &self.staging)
    }

    pub(super) fn failed(&self, error: impl Into<io::Error>) -> Failure {
        failed(&self.path(), error)
    }

    /// Takes the disk space that is still missing, so that a full disk is known before bytes move.
    fn reserve(&self, allocated: u64) -> Result<(), Failure> {
        let missing = self.size.saturating_sub(allocated);
        // Small ones find out soon enough by writing.
        if missing <= BLOCK_BYTES {
            return Ok(());
        }
        let space = self.folder.disk().space(&self.file);
        let disk = space.map_err(|error| self.failed(error))?;
        let free = if geteuid().is_root() { disk.f_bfree } else { disk.f_bavail };
        // Asked for first: a file system takes what it has before it says that it is not enough.
        if is_too_much(missing, disk.f_frsize, disk.f_blocks, free) {
            return Err(about(Situation::DiskFull(Side::Local), &self.path()));
        }
        // The length stays that of what was written, so that a later run knows what is absent.
        match self.folder.disk().allocate(&self.file, self.size) {
            // Not every file system can; then writing will tell.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            Err(error) => Err(self.failed(error)),
        }
    }
}

/// Whether so many bytes are more than a disk of `blocks` units says that it has free. Some file
/// systems, FUSE's among them, say nothing: then writing will tell.
fn is_too_much(missing: u64, unit: u64, blocks: u64, free: u64) -> bool {
    blocks > 0 && missing / unit.max(1) >= free
}

/// Creates a staged file. What an earlier run left under its name is removed.
pub(super) fn create_staging(folder: &Folder, staging: &StagingName) -> Result<OwnedFd, Failure> {
    let (name, mode) = (staging.as_str().as_bytes(), Mode::RUSR | Mode::WUSR);
    let create = || folder.disk().create(folder, name, mode);
    let created = match create() {
        Err(Errno::EXIST) => {
            unlink_staging(folder, staging)?;
            create()
        }
        created => created,
    };
    // What a person knows is the folder, not the name that we chose.
    created.map_err(|error| failed_naming(folder.path(), error))
}

/// Opens what an earlier run staged, and describes it; `None` if it is of no use.
fn open_staging(
    folder: &Folder,
    staging: &StagingName,
) -> rustix::io::Result<Option<(OwnedFd, Stat)>> {
    let disk = folder.disk();
    let common = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |access: OFlags| match disk.open(folder, staging.as_str(), common | access) {
        Ok(file) => disk.look_open(&file).map(|stat| is_ours(&stat).then_some((file, stat))),
        Err(Errno::LOOP | Errno::NXIO) => Ok(None),
        Err(error) => Err(error),
    };
    let opened = match open(OFlags::RDWR) {
        // The run that staged it died between giving it its mode and giving it its name.
        Err(Errno::ACCESS) => match open(OFlags::RDONLY) {
            Ok(Some((file, _))) => {
                disk.set_mode(&file, Mode::RUSR | Mode::WUSR)?;
                open(OFlags::RDWR)
            }
            opened => opened,
        },
        opened => opened,
    };
    match opened {
        Err(Errno::ACCESS) => Ok(None),
        opened => opened,
    }
}

/// Whether we can have made it.
fn is_ours(stat: &Stat) -> bool {
    Look::of(stat).kind == EntryKind::File
        && stat.st_nlink == 1
        && stat.st_uid == geteuid().as_raw()
}

/// Bytes of disk that a file takes; the unit is POSIX'.
// The field's type differs from platform to platform; it is never negative.
#[allow(clippy::cast_sign_loss, clippy::unnecessary_cast)]
fn allocated(stat: &Stat) -> u64 {
    (stat.st_blocks as u64).saturating_mul(512)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_says_nothing_is_not_full() {
        assert!(!is_too_much(1 << 30, 0, 0, 0));
        assert!(!is_too_much(1 << 30, 4096, 0, 0));
        assert!(is_too_much(4096, 4096, 10, 1));
        assert!(is_too_much(4096, 4096, 10, 0));
        assert!(!is_too_much(4096, 4096, 10, 2));
    }
}
