//! Every file-system call on users' files and on the program's own, in one place.
//!
//! Tests wrap them: a [`Faults`] is asked before each call, may answer in its place or let it carry
//! fewer bytes, and hears of each that was done, with what it was done to, so that the order of
//! writes and flushes can be played back. In the program nobody wraps them, and a call costs one
//! look at an empty option more than it would alone.
//!
//! Invariant: a disk is a value that comes with whatever was opened on it, never a global; nothing
//! here decides anything.

use std::fmt;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{
    self, AtFlags, Dir, DirEntry, FallocateFlags, FlockOperation, Mode, OFlags, RenameFlags,
    SeekFrom, Stat, StatVfs, Timespec, Timestamps,
};
use rustix::io::{Errno, retry_on_intr};
use rustix::path::Arg;
use sampan_protocol::Timestamp;

/// A call, and what it is about.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is named like the system's call and its parts")]
#[non_exhaustive]
pub enum Call<'a> {
    Open {
        flags: OFlags,
    },
    /// Makes a file that must not be there.
    Create {
        folder: BorrowedFd<'a>,
        name: &'a [u8],
    },
    MakeFolder {
        folder: BorrowedFd<'a>,
        name: &'a [u8],
    },
    Look,
    List,
    Space,
    Read,
    Write {
        file: BorrowedFd<'a>,
        bytes: &'a [u8],
        offset: u64,
    },
    Truncate {
        file: BorrowedFd<'a>,
        length: u64,
    },
    Allocate,
    /// Takes a lock that one process at a time can have, or lets it go.
    Lock {
        file: BorrowedFd<'a>,
    },
    SetMode {
        file: BorrowedFd<'a>,
        mode: Mode,
    },
    SetTime {
        file: BorrowedFd<'a>,
        mtime: Timestamp,
    },
    Rename {
        from: (BorrowedFd<'a>, &'a [u8]),
        to: (BorrowedFd<'a>, &'a [u8]),
        flags: RenameFlags,
    },
    Link {
        from: (BorrowedFd<'a>, &'a [u8]),
        to: (BorrowedFd<'a>, &'a [u8]),
    },
    Unlink {
        folder: BorrowedFd<'a>,
        name: &'a [u8],
    },
    RemoveFolder {
        folder: BorrowedFd<'a>,
        name: &'a [u8],
    },
    /// Makes bytes and attributes of a file, or the names in a folder, durable.
    Flush {
        file: BorrowedFd<'a>,
    },
    /// Makes bytes of a file durable.
    FlushBytes {
        file: BorrowedFd<'a>,
    },
    /// Makes all durable that lies on the file system of `on`.
    FlushDisk {
        on: BorrowedFd<'a>,
    },
}

/// What a test does to a disk.
pub trait Faults: Send + Sync + 'static {
    /// Before a call: an error is what the call answers; a number is the most bytes that it carries.
    fn before(&self, call: Call<'_>) -> Result<usize, Errno> {
        let _ = call;
        Ok(usize::MAX)
    }

    /// A call was done. Of a write the bytes are those that were carried.
    fn after(&self, call: Call<'_>) {
        let _ = call;
    }
}

/// The disk, as this program uses it.
#[derive(Clone, Default)]
pub struct Disk {
    /// Thin, for a disk is kept with everything that was opened on it.
    faults: Option<Arc<Arc<dyn Faults>>>,
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.faults.is_some() { "Disk(faulty)" } else { "Disk" })
    }
}

type Result<T, E = Errno> = std::result::Result<T, E>;

impl Disk {
    /// One that a test disturbs.
    pub fn with(faults: Arc<dyn Faults>) -> Self {
        Self { faults: Some(Arc::new(faults)) }
    }

    fn before(&self, call: Call<'_>) -> Result<usize> {
        self.faults.as_ref().map_or(Ok(usize::MAX), |faults| faults.before(call))
    }

    fn run<T>(&self, call: Call<'_>, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.before(call)?;
        let done = work()?;
        if let Some(faults) = &self.faults {
            faults.after(call);
        }
        Ok(done)
    }

    /// Opens what is there.
    pub(crate) fn open(&self, folder: impl AsFd, path: impl Arg, flags: OFlags) -> Result<OwnedFd> {
        self.run(Call::Open { flags }, || fs::openat(folder, path, flags, Mode::empty()))
    }

    /// Opens names with `/` between them below `folder`, over no link.
    #[cfg(target_os = "linux")]
    pub(crate) fn open_beneath(
        &self,
        folder: impl AsFd,
        path: &[u8],
        flags: OFlags,
    ) -> Result<OwnedFd> {
        use rustix::fs::ResolveFlags;
        let within =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        self.run(Call::Open { flags }, || fs::openat2(folder, path, flags, Mode::empty(), within))
    }

    /// Makes and opens a file, for reading and writing, that must not be there.
    pub(crate) fn create(&self, folder: impl AsFd, name: &[u8], mode: Mode) -> Result<OwnedFd> {
        let folder = folder.as_fd();
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.run(Call::Create { folder, name }, || fs::openat(folder, name, flags, mode))
    }

    pub(crate) fn make_folder(&self, folder: impl AsFd, name: &[u8], mode: Mode) -> Result<()> {
        let folder = folder.as_fd();
        self.run(Call::MakeFolder { folder, name }, || fs::mkdirat(folder, name, mode))
    }

    /// Describes what lies at a path.
    pub(crate) fn look(&self, folder: impl AsFd, path: impl Arg, flags: AtFlags) -> Result<Stat> {
        self.run(Call::Look, || fs::statat(folder, path, flags))
    }

    /// Describes what is open.
    pub(crate) fn look_open(&self, file: impl AsFd) -> Result<Stat> {
        self.run(Call::Look, || fs::fstat(file))
    }

    /// The names in an open folder, which [`Self::next_name`] reads.
    pub(crate) fn names(&self, folder: OwnedFd) -> Result<Dir> {
        self.run(Call::List, || Dir::new(folder))
    }

    pub(crate) fn next_name(&self, names: &mut Dir) -> Option<Result<DirEntry>> {
        match self.before(Call::List) {
            Ok(_) => names.read(),
            Err(error) => Some(Err(error)),
        }
    }

    pub(crate) fn space(&self, file: impl AsFd) -> Result<StatVfs> {
        self.run(Call::Space, || fs::fstatvfs(file))
    }

    /// Fills `buffer` from `offset` on; says how many bytes there were.
    pub(crate) fn read_at(&self, file: impl AsFd, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            let read = retry_on_intr(|| {
                let most = self.before(Call::Read)?.min(buffer.len() - filled);
                let part = &mut buffer[filled..filled + most];
                rustix::io::pread(&file, part, offset + filled as u64)
            })?;
            if read == 0 {
                break;
            }
            filled += read;
        }
        Ok(filled)
    }

    /// Writes all of `bytes` at `offset`.
    pub(crate) fn write_at(
        &self,
        file: impl AsFd,
        mut bytes: &[u8],
        mut offset: u64,
    ) -> Result<()> {
        let file = file.as_fd();
        while !bytes.is_empty() {
            let written = retry_on_intr(|| {
                let most = self.before(Call::Write { file, bytes, offset })?.min(bytes.len());
                rustix::io::pwrite(file, &bytes[..most], offset)
            })?;
            if written == 0 {
                // No disk says so without an error, and none is asked for ever.
                return Err(Errno::IO);
            }
            if let Some(faults) = &self.faults {
                faults.after(Call::Write { file, bytes: &bytes[..written], offset });
            }
            bytes = &bytes[written..];
            offset += written as u64;
        }
        Ok(())
    }

    pub(crate) fn truncate(&self, file: impl AsFd, length: u64) -> Result<()> {
        let file = file.as_fd();
        retry_on_intr(|| self.run(Call::Truncate { file, length }, || fs::ftruncate(file, length)))
    }

    /// Takes the space of so many bytes; the length stays.
    pub(crate) fn allocate(&self, file: impl AsFd, length: u64) -> Result<()> {
        let flags = FallocateFlags::KEEP_SIZE;
        retry_on_intr(|| self.run(Call::Allocate, || fs::fallocate(&file, flags, 0, length)))
    }

    /// Where the next bytes after `offset` are that were written. The position that this moves must
    /// be used by nobody.
    pub(crate) fn seek_data(&self, file: impl AsFd, offset: u64) -> Result<u64> {
        self.run(Call::Look, || fs::seek(file, SeekFrom::Data(offset)))
    }

    /// Takes the lock on a file, or lets it go.
    pub(crate) fn lock(&self, file: impl AsFd, how: FlockOperation) -> Result<()> {
        let file = file.as_fd();
        retry_on_intr(|| self.run(Call::Lock { file }, || fs::flock(file, how)))
    }

    pub(crate) fn set_mode(&self, file: impl AsFd, mode: Mode) -> Result<()> {
        let file = file.as_fd();
        self.run(Call::SetMode { file, mode }, || fs::fchmod(file, mode))
    }

    /// Sets the time of the last change; that of the last reading stays.
    pub(crate) fn set_time(&self, file: impl AsFd, mtime: Timestamp) -> Result<()> {
        let file = file.as_fd();
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: fs::UTIME_OMIT },
            last_modification: Timespec {
                tv_sec: mtime.seconds(),
                tv_nsec: fs::Nsecs::from(mtime.nanos()),
            },
        };
        self.run(Call::SetTime { file, mtime }, || fs::futimens(file, &times))
    }

    /// Renames, with what `flags` demand; without any it replaces what is there.
    pub(crate) fn rename(
        &self,
        from: (BorrowedFd<'_>, &[u8]),
        to: (BorrowedFd<'_>, &[u8]),
        flags: RenameFlags,
    ) -> Result<()> {
        self.run(Call::Rename { from, to, flags }, || {
            if flags.is_empty() {
                return fs::renameat(from.0, from.1, to.0, to.1);
            }
            fs::renameat_with(from.0, from.1, to.0, to.1, flags)
        })
    }

    /// Gives a file a second name, where nothing may be.
    pub(crate) fn link(
        &self,
        from: (BorrowedFd<'_>, &[u8]),
        to: (BorrowedFd<'_>, &[u8]),
    ) -> Result<()> {
        self.run(Call::Link { from, to }, || {
            fs::linkat(from.0, from.1, to.0, to.1, AtFlags::empty())
        })
    }

    pub(crate) fn unlink(&self, folder: impl AsFd, name: &[u8]) -> Result<()> {
        let folder = folder.as_fd();
        self.run(Call::Unlink { folder, name }, || fs::unlinkat(folder, name, AtFlags::empty()))
    }

    pub(crate) fn remove_folder(&self, folder: impl AsFd, name: &[u8]) -> Result<()> {
        let folder = folder.as_fd();
        self.run(Call::RemoveFolder { folder, name }, || {
            fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
        })
    }

    /// Makes bytes and attributes of a file, or the names in a folder, durable.
    pub(crate) fn flush(&self, file: impl AsFd) -> Result<()> {
        let file = file.as_fd();
        retry_on_intr(|| self.run(Call::Flush { file }, || flush(file)))
    }

    /// Makes bytes of a file durable.
    pub(crate) fn flush_bytes(&self, file: impl AsFd) -> Result<()> {
        let file = file.as_fd();
        #[cfg(target_vendor = "apple")]
        let flush_bytes = flush;
        #[cfg(not(target_vendor = "apple"))]
        let flush_bytes = fs::fdatasync;
        retry_on_intr(|| self.run(Call::FlushBytes { file }, || flush_bytes(file)))
    }

    /// Makes all durable that lies on the file system of `on`. On Linux it tells of every write that
    /// failed there since `on` was opened; elsewhere flushing what `on` is is the most that there is.
    pub(crate) fn flush_disk(&self, on: impl AsFd) -> Result<()> {
        let on = on.as_fd();
        retry_on_intr(|| {
            self.run(Call::FlushDisk { on }, || {
                #[cfg(target_os = "linux")]
                return fs::syncfs(on);
                #[cfg(not(target_os = "linux"))]
                return flush(on);
            })
        })
    }
}

/// Where `fsync` only hands bytes to the drive, another call makes the drive write them.
fn flush(file: BorrowedFd<'_>) -> Result<()> {
    #[cfg(target_vendor = "apple")]
    return fs::fcntl_fullfsync(file);
    #[cfg(not(target_vendor = "apple"))]
    return fs::fsync(file);
}
