//! What a test does to the disk: it is asked before each call of [`super::disk`] and at each named
//! step of a change, and may answer with an error.
//!
//! Invariant: a store without [`Faults`] does what it does with those that answer nothing.

use std::io;
use std::os::fd::BorrowedFd;

use sampan_protocol::Timestamp;

/// The kinds of calls, as a fault layer tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// Opening a file or folder.
    Open,
    /// Making a file.
    Create,
    /// Making a folder.
    MakeFolder,
    /// Reading attributes.
    Stat,
    /// Reading a folder's names.
    List,
    /// Reading bytes.
    Read,
    /// Writing bytes.
    Write,
    /// Setting mode or times.
    SetAttributes,
    /// Taking space for a file.
    Allocate,
    /// Giving a name, or exchanging two.
    Rename,
    /// Removing a name.
    Unlink,
    /// Flushing a file.
    FlushFile,
    /// Flushing a folder.
    FlushFolder,
    /// Flushing the file system.
    FlushAll,
    /// Asking for free space.
    Space,
    /// A transaction of the database.
    Transaction,
}

/// What a test does to the disk.
pub trait Faults: Send + Sync + 'static {
    /// Before a call; an error is what the call answers.
    fn before(&self, call: Call) -> io::Result<()> {
        let _ = call;
        Ok(())
    }

    /// Before a file, a folder or its file system is flushed. A flush that fails may lose what it was
    /// to make durable, and the next one need not say so (fsync(2), "EIO"): here is the place to.
    fn before_flush(&self, call: Call, file: BorrowedFd<'_>) -> io::Result<()> {
        let _ = file;
        self.before(call)
    }

    /// How many of `length` bytes one write takes.
    fn takes(&self, length: usize) -> usize {
        length
    }

    /// At a named step of a change. `false` ends the store there, as a power cut would.
    fn lives_at(&self, step: &'static str) -> bool {
        let _ = step;
        true
    }

    /// After a flush that worked: of this inode, or of the whole file system.
    fn flushed(&self, inode: Option<u64>) {
        let _ = inode;
    }

    /// What the store takes a file's inode for, and when that was made: a test that puts files back as
    /// a power cut left them cannot give them what they had.
    fn inode(&self, inode: u64, born: Option<Timestamp>) -> (u64, Option<Timestamp>) {
        (inode, born)
    }
}
