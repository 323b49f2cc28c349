//! The receiving side of downloads.
//!
//! The folder that the user chose is opened once, as the user named it, and from then on every name
//! of the other side is resolved below that open folder, one by one, without following any link.
//! A file is staged beside its final name ([`Staged`], or all at once as [`Whole`]), and published
//! with others of its [`Group`].
//!
//! Invariant: nothing is written, made or removed outside the chosen folder, whatever names the
//! other side sends and whatever links lie in the tree (HARDENING S1, S7); under a final name
//! there is the old file or the new one, whole.

mod durable;
mod group;
mod staged;
#[cfg(test)]
mod tests;

use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{CWD, Mode};
use rustix::io::Errno;
use sampan_protocol::{RemotePath, Timestamp};

use super::attributes::{Identity, Look};
use super::failed::{about, failed, failed_naming};
use super::folder::Folder;
use super::staging_name::StagingName;
use crate::disk::Disk;
use crate::failure::{Failure, Side, Situation};
use crate::step::{self, Step};

use self::durable::Durable;
#[cfg(test)]
pub(super) use self::durable::Names;
pub use group::{Group, NotPublished, Whole};
pub use staged::{NewFile, Staged};

/// What must be true of the final name when a file is published under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// There is nothing.
    Absent,
    /// There is this, or nothing any more. It is replaced.
    Replaces(Identity),
}

/// Whether a folder had to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// It was made.
    New,
    /// It was there.
    Existing,
}

/// The folder that downloads go into.
#[derive(Clone, Debug)]
pub struct TargetRoot {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    folder: Folder,
    durable: Durable,
}

impl TargetRoot {
    /// Opens the user's own path, following the user's own links.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        Self::open_on(&Disk::default(), path)
    }

    /// The same, on a disk that may fail.
    pub fn open_on(disk: &Disk, path: &Path) -> Result<Self, Failure> {
        Self::open_with(disk, path, Durable::default())
    }

    /// Opens the user's own path and makes what is missing of it.
    pub fn create(path: &Path) -> Result<Self, Failure> {
        Self::create_on(&Disk::default(), path)
    }

    /// The same, on a disk that may fail.
    pub fn create_on(disk: &Disk, path: &Path) -> Result<Self, Failure> {
        let mut missing = Vec::new();
        for above in path.ancestors().filter(|above| !above.as_os_str().is_empty()) {
            match Self::open_on(disk, above) {
                Err(failure) if failure.situation == Situation::NotFound(Side::Local) => {
                    missing.push(above);
                }
                opened if missing.is_empty() => return opened,
                Err(failure) => return Err(failure),
                Ok(_) => break,
            }
        }
        let all = Mode::RWXU | Mode::RWXG | Mode::RWXO;
        for folder in missing.iter().rev() {
            match disk.make_folder(CWD, folder.as_os_str().as_bytes(), all) {
                // Somebody else was quicker, or it is a link that leads nowhere, as will show.
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(in_the_way(failed_naming(folder, error))),
            }
        }
        Self::open_with(disk, path, Durable::with_made_above(missing.len()))
    }

    fn open_with(disk: &Disk, path: &Path, durable: Durable) -> Result<Self, Failure> {
        let folder = Folder::open_on(disk, path).map_err(in_the_way)?;
        Ok(Self { inner: Arc::new(Inner { folder, durable }) })
    }

    fn folder(&self) -> &Folder {
        &self.inner.folder
    }

    fn durable(&self) -> &Durable {
        &self.inner.durable
    }

    /// What it lies on.
    pub fn disk(&self) -> &Disk {
        self.folder().disk()
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder().path()
    }

    /// What lies at a place; `None` if nothing does. A link is described, not followed.
    pub fn look(&self, at: &RemotePath) -> Result<Option<Look>, Failure> {
        if at.is_home() {
            return self.folder().look().map(Some);
        }
        let (folder, name) = match self.folder().parent_of(at) {
            Ok(parent) => parent,
            Err(failure) if failure.situation == Situation::NotFound(Side::Local) => {
                return Ok(None);
            }
            Err(failure) => return Err(in_the_way(failure)),
        };
        match folder.look_at(&name) {
            Ok(look) => Ok(Some(look)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(failed_naming(&folder.path_to(&name), error)),
        }
    }

    /// Makes a folder, for this user only until [`Self::finish_folder`]; one that is there is
    /// merged into. The folder that holds it must be there.
    pub fn make_folder(&self, at: &RemotePath) -> Result<Made, Failure> {
        if at.is_home() {
            return Ok(Made::Existing);
        }
        let (folder, name) = self.folder().parent_of(at).map_err(in_the_way)?;
        match folder.disk().make_folder(&folder, name.as_bytes(), Mode::RWXU) {
            Ok(()) => {
                step::at(Step::FolderMade);
                self.durable().forget(at);
                Ok(Made::New)
            }
            Err(Errno::EXIST) => {
                self.folder().below(at).map_err(in_the_way).map(|_| Made::Existing)
            }
            Err(error) => Err(failed_naming(&folder.path_to(&name), error)),
        }
    }

    /// Gives a folder its mode and time, once everything in it is published.
    pub fn finish_folder(
        &self,
        at: &RemotePath,
        mode: sampan_protocol::Mode,
        mtime: Timestamp,
    ) -> Result<(), Failure> {
        let folder = self.folder().below(at).map_err(in_the_way)?;
        let failed = |error: Errno| failed(folder.path(), error);
        let handle = folder.reopen().map_err(failed)?;
        set_attributes(folder.disk(), &handle, mode, mtime).map_err(failed)
    }

    /// Makes durable all that was done here, folders and their attributes included.
    pub fn flush(&self) -> Result<(), Failure> {
        let flushed =
            self.folder().reopen().and_then(|handle| self.folder().disk().flush_disk(handle));
        flushed.map_err(|error| failed(self.folder().path(), error))
    }

    /// Removes what a broken run staged for a place, if it is there.
    pub fn discard(&self, at: &RemotePath, staging: &StagingName) -> Result<(), Failure> {
        let (folder, _) = match self.folder().parent_of(at) {
            Ok(parent) => parent,
            Err(failure) if failure.situation == Situation::NotFound(Side::Local) => return Ok(()),
            Err(failure) => return Err(failure),
        };
        unlink_staging(&folder, staging)
    }
}

fn unlink_staging(folder: &Folder, staging: &StagingName) -> Result<(), Failure> {
    match folder.disk().unlink(folder, staging.as_str().as_bytes()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(failed(&folder.path().join(staging.as_str()), error)),
    }
}

/// Permission bits and time of something that we made.
fn set_attributes(
    disk: &Disk,
    file: impl AsFd,
    mode: sampan_protocol::Mode,
    mtime: Timestamp,
) -> Result<(), Errno> {
    match disk.set_mode(&file, Mode::from_raw_mode(mode.bits())) {
        // We made it, so it is not for lack of permission: this file system (FAT and its kin) has no
        // such bits. What it can hold arrives all the same.
        Ok(()) | Err(Errno::PERM | Errno::OPNOTSUPP) => {}
        Err(error) => return Err(error),
    }
    disk.set_time(&file, mtime)
}

/// What a resolution failed at, in the words of a receiver.
fn in_the_way(failure: Failure) -> Failure {
    match failure.situation {
        Situation::NotAFolder(side) | Situation::IsAFolder(side) | Situation::Exists(side) => {
            Failure { situation: Situation::KindDiffers(side), ..failure }
        }
        _ => failure,
    }
}

/// Something there is a folder where a file is to be, or the other way round.
fn kind_differs(path: &Path) -> Failure {
    about(Situation::KindDiffers(Side::Local), path)
}
