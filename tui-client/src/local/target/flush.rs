//! Making durable what was written.
//!
//! On Linux one call flushes a whole file system, which for many small files is a hundred times
//! faster than one call for each; since Linux 5.8 it also tells of every write that failed since
//! the descriptor it is called on was opened. So that descriptor is opened before the first write.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use super::super::folder::Folder;

/// The three ways to flush; a value, so that a test can let one fail.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flush {
    /// One file.
    pub(super) file: fn(&File) -> io::Result<()>,
    /// Everything on the file system that something lies on.
    pub(super) disk: fn(BorrowedFd<'_>) -> io::Result<()>,
    /// The names in a folder.
    pub(super) folder: fn(&Folder) -> io::Result<()>,
}

impl Flush {
    /// The real ones.
    pub(super) const DISK: Self = Self { file: flush_file, disk: flush_disk, folder: flush_folder };
}

/// Whether files of a group have to be flushed one by one, as they are written.
pub(super) const ONE_BY_ONE: bool = !cfg!(target_os = "linux");

fn flush_file(file: &File) -> io::Result<()> {
    file.sync_data()
}

#[cfg(target_os = "linux")]
fn flush_disk(handle: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::syncfs(handle)?)
}

/// Flushes what `handle` is: the most that there is elsewhere.
#[cfg(not(target_os = "linux"))]
fn flush_disk(handle: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::fs::fsync(handle)?)
}

fn flush_folder(folder: &Folder) -> io::Result<()> {
    let handle = folder.reopen()?;
    Ok(rustix::fs::fsync(handle.as_fd())?)
}
