//! Every file-system call of the store, in one place.
//!
//! Tests wrap them by [`Faults`]; after [`Disk::kill`] every call fails, which is how a test drops
//! dead in the middle of a change and opens the same folder again.
//!
//! Users' paths are opened by `openat2` below an open folder, never through a link and never into
//! another mount; all else works on (folder, name) or on an open file.
//!
//! A call that may be made twice is made again while a signal interrupts it, and a write goes on where
//! it stopped. One that gives or takes a name is made once: interrupted it may have been done, and
//! whoever asked looks, as after any failure.
//!
//! Invariant: no call here takes an absolute path but `/proc/self/fd/N` of a descriptor that it was
//! given, and the kernel's own name of its boot.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::buffer::spare_capacity;
use rustix::fs::{
    self, Access, AtFlags, FallocateFlags, Mode as Bits, OFlags, RawDir, RenameFlags, ResolveFlags,
    SeekFrom, StatxFlags, Timespec, Timestamps,
};
use rustix::io::Errno;
use sampan_protocol::{Mode, Timestamp};

use super::attributes::Meta;
use super::faults::{Call, Faults};
use super::step::Step;

/// The file system, as the store uses it.
#[derive(Clone)]
pub(super) struct Disk {
    faults: Option<Arc<dyn Faults>>,
    dead: Arc<AtomicBool>,
    durable: bool,
}

/// Tries of a lookup that raced with a rename, before it counts as a failure.
const LOOKUP_TRIES: usize = 64;

/// Bytes of names that the kernel gives at once: some hundreds.
const NAMES_BYTES: usize = 32 << 10;

/// How users' paths are looked up.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_MAGICLINKS)
    .union(ResolveFlags::NO_XDEV);

/// What is asked of a file.
const STATS: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

/// What an open is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Open {
    /// A folder, to look things up in.
    FolderToLook,
    /// A folder, to list or flush.
    Folder,
    /// Anything, to describe it and perhaps open it again.
    Handle,
    /// A file of ours, to read and write.
    OurFile,
}

impl Open {
    const fn flags(self) -> OFlags {
        let flags = match self {
            Self::FolderToLook => OFlags::PATH.union(OFlags::DIRECTORY),
            Self::Folder => OFlags::RDONLY.union(OFlags::DIRECTORY),
            Self::Handle => OFlags::PATH.union(OFlags::NOFOLLOW),
            Self::OurFile => OFlags::RDWR.union(OFlags::NOFOLLOW),
        };
        flags.union(OFlags::CLOEXEC)
    }
}

impl Disk {
    pub(super) fn new(faults: Option<Arc<dyn Faults>>, durable: bool) -> Self {
        Self { faults, dead: Arc::default(), durable }
    }

    /// Whether acknowledged changes are flushed.
    pub(super) fn is_durable(&self) -> bool {
        self.durable
    }

    /// Ends everything, as if the process had died.
    pub(super) fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// A named step of a change.
    pub(super) fn step(&self, step: Step) -> io::Result<()> {
        if let Some(faults) = &self.faults
            && !faults.lives_at(step.name())
        {
            self.kill();
        }
        self.alive()
    }

    fn alive(&self) -> io::Result<()> {
        if self.dead.load(Ordering::Relaxed) {
            return Err(io::Error::other("the store was ended by a test"));
        }
        Ok(())
    }

    pub(super) fn gate(&self, call: Call) -> io::Result<()> {
        self.alive()?;
        match &self.faults {
            Some(faults) => faults.before(call),
            None => Ok(()),
        }
    }

    /// A call that may be made twice.
    fn again<T>(&self, call: Call, mut make: impl FnMut() -> Result<T, Errno>) -> io::Result<T> {
        loop {
            match self.gate(call).and_then(|()| Ok(make()?)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                answer => return answer,
            }
        }
    }

    /// A flush; without one to make, the place of it.
    fn flush(
        &self,
        call: Call,
        file: BorrowedFd<'_>,
        make: Option<impl Fn(BorrowedFd<'_>) -> Result<(), Errno> + Copy>,
    ) -> io::Result<()> {
        loop {
            self.alive()?;
            let before =
                self.faults.as_ref().map_or(Ok(()), |faults| faults.before_flush(call, file));
            match before.and_then(|()| make.map_or(Ok(()), |make| Ok(make(file)?))) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                answer => return answer,
            }
        }
    }

    /// Opens `path`, names with `/` between them, below `folder`.
    pub(super) fn open_beneath(
        &self,
        folder: impl AsFd,
        path: &[u8],
        open: Open,
    ) -> io::Result<OwnedFd> {
        let path = if path.is_empty() { b"." } else { path };
        for _ in 0..LOOKUP_TRIES {
            let opened = self.again(Call::Open, || {
                fs::openat2(folder.as_fd(), path, open.flags(), Bits::empty(), BENEATH)
            });
            match opened {
                Err(error) if Errno::from_io_error(&error) == Some(Errno::AGAIN) => {}
                opened => return opened,
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Opens a file again for reading that [`Open::Handle`] found to be regular.
    pub(super) fn reopen(&self, handle: BorrowedFd<'_>) -> io::Result<OwnedFd> {
        let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
        self.again(Call::Open, || fs::openat(fs::CWD, &path, flags, Bits::empty()))
    }

    /// Makes and opens a file that must not be there.
    pub(super) fn create(&self, folder: impl AsFd, name: &[u8], mode: Mode) -> io::Result<OwnedFd> {
        self.gate(Call::Create)?;
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(fs::openat(folder, name, flags, Bits::from_raw_mode(mode.bits()))?)
    }

    pub(super) fn make_folder(&self, folder: impl AsFd, name: &[u8], mode: Mode) -> io::Result<()> {
        self.gate(Call::MakeFolder)?;
        Ok(fs::mkdirat(folder, name, Bits::from_raw_mode(mode.bits()))?)
    }

    /// Describes a name; a link is described itself.
    pub(super) fn stat(&self, folder: impl AsFd, name: &[u8]) -> io::Result<Meta> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        let stat = self.again(Call::Stat, || fs::statx(&folder, name, flags, STATS))?;
        Ok(self.meta(&stat))
    }

    /// Describes what is open.
    pub(super) fn stat_open(&self, file: impl AsFd) -> io::Result<Meta> {
        let stat = self.again(Call::Stat, || fs::statx(&file, "", AtFlags::EMPTY_PATH, STATS))?;
        Ok(self.meta(&stat))
    }

    fn meta(&self, stat: &fs::Statx) -> Meta {
        let mut meta = Meta::of(stat);
        if let Some(faults) = &self.faults {
            (meta.inode, meta.born) = faults.inode(meta.inode, meta.born);
        }
        meta
    }

    /// Which mount and device an open folder lies on.
    pub(super) fn mount_of(&self, folder: impl AsFd) -> io::Result<(u64, u32, u32)> {
        let flags = StatxFlags::BASIC_STATS | StatxFlags::MNT_ID;
        let stat = self.again(Call::Stat, || fs::statx(&folder, "", AtFlags::EMPTY_PATH, flags))?;
        Ok((stat.stx_mnt_id, stat.stx_dev_major, stat.stx_dev_minor))
    }

    /// Names of an open folder from where its cursor stands, with the cookie after each, until
    /// `each` says `false`. `.` and `..` are left out.
    pub(super) fn names(
        &self,
        folder: impl AsFd,
        mut each: impl FnMut(&[u8], u64) -> bool,
    ) -> io::Result<()> {
        self.gate(Call::List)?;
        let mut buffer = Vec::<u8>::with_capacity(NAMES_BYTES);
        let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." && !each(name, entry.next_entry_cookie()) {
                break;
            }
        }
        Ok(())
    }

    /// Puts a folder's cursor at a cookie; 0 is its start.
    pub(super) fn seek(&self, folder: impl AsFd, cookie: u64) -> io::Result<()> {
        self.gate(Call::List)?;
        fs::seek(folder, SeekFrom::Start(cookie))?;
        Ok(())
    }

    /// Fills `buffer`'s spare room from `offset` on, at most `length` bytes; fewer at the end.
    pub(super) fn read_at(
        &self,
        file: impl AsFd,
        buffer: &mut Vec<u8>,
        length: usize,
        offset: u64,
    ) -> io::Result<()> {
        let start = buffer.len();
        buffer.reserve_exact(length);
        while buffer.len() - start < length {
            let at = offset + (buffer.len() - start) as u64;
            // The spare room may be more than was asked for.
            let wanted = length - (buffer.len() - start);
            let read = if buffer.capacity() - buffer.len() <= wanted {
                self.again(Call::Read, || rustix::io::pread(&file, spare_capacity(buffer), at))?
            } else {
                let from = buffer.len();
                buffer.resize(from + wanted, 0);
                let read =
                    self.again(Call::Read, || rustix::io::pread(&file, &mut buffer[from..], at));
                buffer.truncate(from + *read.as_ref().unwrap_or(&0));
                read?
            };
            if read == 0 {
                break;
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` at `offset`.
    pub(super) fn write_at(
        &self,
        file: impl AsFd,
        mut bytes: &[u8],
        mut offset: u64,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let takes = self.faults.as_ref().map(|faults| faults.takes(bytes.len()));
            let some = &bytes[..takes.unwrap_or(bytes.len())];
            let written = self.again(Call::Write, || rustix::io::pwrite(&file, some, offset))?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            bytes = &bytes[written..];
            offset += written as u64;
        }
        Ok(())
    }

    pub(super) fn truncate(&self, file: impl AsFd, length: u64) -> io::Result<()> {
        self.again(Call::Write, || fs::ftruncate(&file, length))
    }

    /// Takes the space of a file, so that a full disk shows before its bytes move. Says whether the
    /// file system can.
    pub(super) fn allocate(&self, file: impl AsFd, length: u64) -> io::Result<bool> {
        if length == 0 {
            return Ok(true);
        }
        let flags = FallocateFlags::KEEP_SIZE;
        self.again(Call::Allocate, || match fs::fallocate(file.as_fd(), flags, 0, length) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Ok(false),
            taken => taken.map(|()| true),
        })
    }

    pub(super) fn set_mode(&self, file: impl AsFd, mode: Mode) -> io::Result<()> {
        self.again(Call::SetAttributes, || fs::fchmod(&file, Bits::from_raw_mode(mode.bits())))
    }

    /// Sets the mode of a folder that may keep us out: of what the handle holds, whatever has its
    /// name by now.
    pub(super) fn set_mode_of(&self, handle: BorrowedFd<'_>, mode: Mode) -> io::Result<()> {
        let path = format!("/proc/self/fd/{}", handle.as_raw_fd());
        let mode = Bits::from_raw_mode(mode.bits());
        self.again(Call::SetAttributes, || fs::chmodat(fs::CWD, &path, mode, AtFlags::empty()))
    }

    pub(super) fn set_mtime(&self, file: impl AsFd, mtime: Timestamp) -> io::Result<()> {
        let last_modification =
            Timespec { tv_sec: mtime.seconds(), tv_nsec: i64::from(mtime.nanos()) };
        let last_access = Timespec { tv_sec: 0, tv_nsec: fs::UTIME_OMIT };
        let times = Timestamps { last_access, last_modification };
        self.again(Call::SetAttributes, || fs::futimens(&file, &times))
    }

    /// Moves a name; one that is there already is an error.
    pub(super) fn rename(
        &self,
        from: (impl AsFd, &[u8]),
        to: (impl AsFd, &[u8]),
    ) -> io::Result<()> {
        self.gate(Call::Rename)?;
        Ok(fs::renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE)?)
    }

    /// Exchanges two names in one step.
    pub(super) fn exchange(
        &self,
        one: (impl AsFd, &[u8]),
        other: (impl AsFd, &[u8]),
    ) -> io::Result<()> {
        self.gate(Call::Rename)?;
        Ok(fs::renameat_with(one.0, one.1, other.0, other.1, RenameFlags::EXCHANGE)?)
    }

    /// Whether names may be taken from a folder and given in it; asked to explain a refusal, never
    /// to foretell one.
    pub(super) fn may_change(&self, folder: impl AsFd) -> bool {
        let wanted = Access::WRITE_OK | Access::EXEC_OK;
        self.gate(Call::Stat).is_ok()
            && fs::accessat(folder, c".", wanted, AtFlags::EACCESS).is_ok()
    }

    pub(super) fn unlink(&self, folder: impl AsFd, name: &[u8]) -> io::Result<()> {
        self.gate(Call::Unlink)?;
        Ok(fs::unlinkat(folder, name, AtFlags::empty())?)
    }

    pub(super) fn remove_folder(&self, folder: impl AsFd, name: &[u8]) -> io::Result<()> {
        self.gate(Call::Unlink)?;
        Ok(fs::unlinkat(folder, name, AtFlags::REMOVEDIR)?)
    }

    /// Makes a file's bytes and attributes durable, unless durability is relaxed.
    pub(super) fn flush_file(&self, file: impl AsFd) -> io::Result<()> {
        self.flush(
            Call::FlushFile,
            file.as_fd(),
            self.durable.then_some(|file: BorrowedFd<'_>| fs::fsync(file)),
        )?;
        self.flushed(file)
    }

    /// Makes a file's bytes durable, to bound what is dirty.
    pub(super) fn flush_bytes(&self, file: impl AsFd) -> io::Result<()> {
        self.flush(
            Call::FlushFile,
            file.as_fd(),
            self.durable.then_some(|file: BorrowedFd<'_>| fs::fdatasync(file)),
        )?;
        self.flushed(file)
    }

    /// Flushes a file's bytes, also if durability is relaxed, and lets the page cache of it go, so
    /// that what is read next is what the disk has. After a flush that failed the kernel keeps the
    /// bytes as clean, and no later flush of another descriptor says so (fsync(2), "EIO").
    pub(super) fn settle_bytes(&self, file: impl AsFd) -> io::Result<()> {
        self.flush(
            Call::FlushFile,
            file.as_fd(),
            Some(|file: BorrowedFd<'_>| fs::fdatasync(file)),
        )?;
        Ok(fs::fadvise(file, 0, None, fs::Advice::DontNeed)?)
    }

    /// Makes a folder's names durable, unless durability is relaxed.
    pub(super) fn flush_folder(&self, folder: impl AsFd) -> io::Result<()> {
        self.flush(
            Call::FlushFolder,
            folder.as_fd(),
            self.durable.then_some(|file: BorrowedFd<'_>| fs::fsync(file)),
        )?;
        self.flushed(folder)
    }

    /// Makes all of the file system durable, unless durability is relaxed.
    pub(super) fn flush_all(&self, folder: impl AsFd) -> io::Result<()> {
        if self.durable {
            return self.sync(folder);
        }
        self.flush(Call::FlushAll, folder.as_fd(), None::<fn(BorrowedFd<'_>) -> Result<(), Errno>>)
    }

    /// Makes all of the file system durable, also if durability is relaxed.
    pub(super) fn sync(&self, folder: impl AsFd) -> io::Result<()> {
        self.flush(Call::FlushAll, folder.as_fd(), Some(|file: BorrowedFd<'_>| fs::syncfs(file)))?;
        if let Some(faults) = &self.faults {
            faults.flushed(None);
        }
        Ok(())
    }

    /// Tells a test.
    fn flushed(&self, file: impl AsFd) -> io::Result<()> {
        if let Some(faults) = &self.faults
            && self.durable
        {
            faults.flushed(Some(fs::fstat(file)?.st_ino));
        }
        Ok(())
    }

    /// What the kernel calls the time since the machine started: under another name nothing that
    /// was not flushed can be there.
    pub(super) fn boot(&self) -> io::Result<Vec<u8>> {
        let (path, flags) = ("/proc/sys/kernel/random/boot_id", OFlags::RDONLY | OFlags::CLOEXEC);
        let file = self.again(Call::Open, || fs::openat(fs::CWD, path, flags, Bits::empty()))?;
        let mut boot = Vec::new();
        self.read_at(&file, &mut boot, 64, 0)?;
        Ok(boot)
    }

    /// Bytes that the file system still gives us.
    pub(super) fn space(&self, folder: impl AsFd) -> io::Result<u64> {
        let space = self.again(Call::Space, || fs::fstatvfs(&folder))?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}
