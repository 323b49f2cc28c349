//! A file that is read: for an upload, for hashing.
//!
//! Invariant: only regular files are opened, and what was opened is what was looked at: a name that
//! turned into a FIFO, a device or a link in between is refused. What a [`Source`] gives is the
//! content of its [`Identity`] only while [`Source::is_still`] holds (HARDENING 2.9).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, OFlags};
use rustix::io::Errno;
use sampan_protocol::block::{BlockHasher, BlockIndex, Blocks, HashError, RowHasher};
use sampan_protocol::limits::BLOCK_BYTES;
use sampan_protocol::{Attributes, BlockHash, EntryKind, RemotePath, Root, Timestamp};

use super::attributes::{Identity, Look};
use super::failed::{about, failed};
use super::folder::Folder;
use crate::disk::Disk;
use crate::failure::{Failure, Side, Situation};
use crate::transfer::Links;

/// Longest wait for a file whose changes do not show yet.
const MOST_WAITED: Duration = Duration::from_secs(3);
/// How often a name that keeps changing under our hands is looked at again.
const TRIES: usize = 4;

/// An open regular file, to be read at any place by any number of threads.
#[derive(Debug)]
pub struct Source {
    file: OwnedFd,
    disk: Disk,
    look: Look,
    path: PathBuf,
    /// What was read before every change of it shows is read again to be believed.
    is_fresh: bool,
}

impl Source {
    /// Opens the user's own path. Its last name may be a link only with [`Links::Follow`].
    pub fn open(path: &Path, links: Links) -> Result<Self, Failure> {
        Self::open_on(&Disk::default(), path, links)
    }

    /// The same, on a disk that may fail.
    pub fn open_on(disk: &Disk, path: &Path, links: Links) -> Result<Self, Failure> {
        open_regular(disk, CWD, path, path, links)
    }

    /// Opens a file below an open folder. Unless links are followed, none on the way is.
    pub fn open_below(folder: &Folder, below: &RemotePath, links: Links) -> Result<Self, Failure> {
        let path = folder.path_of(&below.names());
        if links == Links::Follow {
            let mut way = PathBuf::new();
            way.extend(below.names().iter().map(super::folder::AsOsStr::as_os_str));
            return open_regular(folder.disk(), folder.as_fd(), &way, &path, links);
        }
        let (parent, name) = folder.parent_of(below)?;
        let name = Path::new(super::folder::AsOsStr::as_os_str(&name));
        open_regular(folder.disk(), parent.as_fd(), name, &path, links)
    }

    /// What was opened.
    pub fn identity(&self) -> &Identity {
        &self.look.identity
    }

    /// What was opened, in the words of both sides.
    pub fn attributes(&self) -> Attributes {
        self.look.attributes()
    }

    /// Where it was.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How it is cut into blocks.
    pub fn blocks(&self) -> Result<Blocks, Failure> {
        Blocks::of(self.look.identity.size)
            .map_err(|error| about(Situation::Unexpected(error.to_string()), &self.path))
    }

    /// Whether nothing changed the file since it was opened. What was read before the answer is the
    /// content of [`Self::identity`].
    pub fn is_still(&self) -> Result<bool, Failure> {
        let looked = self.disk.look_open(&self.file);
        let stat = looked.map_err(|error| failed(&self.path, error))?;
        Ok(Look::of(&stat).identity == self.look.identity)
    }

    /// Whether what was read since it was opened, whose root is `root`, is the content of
    /// [`Self::identity`]. A file that had only just changed when it was opened is read once more,
    /// for a change in that moment, or a write that was underway, left no trace.
    pub fn is_proven(&self, root: impl FnOnce() -> Root) -> Result<bool, Failure> {
        if !self.is_still()? {
            return Ok(false);
        }
        if !self.is_fresh {
            return Ok(true);
        }
        wait_until(self.look.identity.shows_changes_from());
        let (_, again) = self.row(|_| true)?;
        Ok(again == root() && self.is_still()?)
    }

    /// Fills `buffer` from `offset` on. A file that has become too short has changed.
    pub fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<(), Failure> {
        match self.disk.read_at(&self.file, buffer, offset) {
            Ok(read) if read < buffer.len() => Err(self.changed()),
            Ok(_) => Ok(()),
            Err(error) => Err(failed(&self.path, error)),
        }
    }

    /// Reads block `index` into `buffer`, which it resizes. Gives its hash.
    pub fn read_block(
        &self,
        index: BlockIndex,
        buffer: &mut Vec<u8>,
    ) -> Result<BlockHash, Failure> {
        let blocks = self.blocks()?;
        let outside = || self.wrong(&HashError::NoSuchBlock { index, count: blocks.count() });
        let length = blocks.length_of(index).ok_or_else(outside)?;
        let offset = blocks.offset_of(index).ok_or_else(outside)?;
        buffer.resize(usize::try_from(length).unwrap_or(usize::MAX), 0);
        self.read_at(buffer, offset)?;
        hash_block(blocks, index, buffer).map_err(|error| self.wrong(&error))
    }

    /// Reads the whole file for its row and root. `go_on` hears of the bytes read so far and may
    /// stop it.
    pub fn row(
        &self,
        mut go_on: impl FnMut(u64) -> bool,
    ) -> Result<(Vec<BlockHash>, Root), Failure> {
        let mut hasher = RowHasher::new(self.blocks()?);
        let size = self.look.identity.size;
        let mut buffer = vec![0; usize::try_from(size.min(BLOCK_BYTES)).unwrap_or_default()];
        while hasher.seen() < size {
            if !go_on(hasher.seen()) {
                return Err(about(Situation::Interrupted, &self.path));
            }
            let left = usize::try_from(size - hasher.seen()).unwrap_or(usize::MAX);
            let length = buffer.len().min(left);
            self.read_at(&mut buffer[..length], hasher.seen())?;
            hasher.update(&buffer[..length]).map_err(|error| self.wrong(&error))?;
        }
        hasher.finish().map_err(|error| self.wrong(&error))
    }

    /// That it changed while it was read.
    pub fn changed(&self) -> Failure {
        about(Situation::SourceChanged(Side::Local), &self.path)
    }

    fn wrong(&self, error: &HashError) -> Failure {
        about(Situation::Unexpected(error.to_string()), &self.path)
    }
}

/// The hash of block `index`, whose bytes are `bytes`.
pub(super) fn hash_block(
    blocks: Blocks,
    index: BlockIndex,
    bytes: &[u8],
) -> Result<BlockHash, HashError> {
    let mut hasher = BlockHasher::new(blocks, index)?;
    hasher.update(bytes)?;
    hasher.finish()
}

/// Looks first, for opening a device or a FIFO may do something by itself; then opens without
/// waiting and without a link; then makes sure that what is open is what was looked at.
fn open_regular(
    disk: &Disk,
    folder: BorrowedFd<'_>,
    name: &Path,
    path: &Path,
    links: Links,
) -> Result<Source, Failure> {
    let (at, open) = match links {
        Links::Follow => (AtFlags::empty(), OFlags::empty()),
        Links::Skip | Links::Fail => (AtFlags::SYMLINK_NOFOLLOW, OFlags::NOFOLLOW),
    };
    let flags = open | OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    for _ in 0..TRIES {
        let before = now();
        let seen = disk.look(folder, name, at).map_err(|error| failed(path, error))?;
        let seen = Look::of(&seen);
        require_file(seen.kind).map_err(|situation| about(situation, path))?;
        let file = match disk.open(folder, name, flags) {
            Ok(file) => file,
            // It was a regular file a moment ago.
            Err(Errno::LOOP | Errno::NXIO) => continue,
            Err(error) => return Err(failed(path, error)),
        };
        let opened = disk.look_open(&file).map_err(|error| failed(path, error))?;
        let opened = Look::of(&opened);
        if opened.kind == EntryKind::File && opened.identity.is_same_file(&seen.identity) {
            let (path, disk) = (path.to_owned(), disk.clone());
            let is_fresh = before <= opened.identity.shows_changes_from();
            return Ok(Source { file, disk, look: opened, path, is_fresh });
        }
    }
    Err(about(Situation::SourceChanged(Side::Local), path))
}

fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::default().plus(now)
}

/// Waits for the clock, on a thread that may: at most as long as a clock of files ticks, whatever
/// another machine's clock says.
fn wait_until(moment: Timestamp) {
    if now().plus(MOST_WAITED) < moment {
        // A clock that is ahead: no wait proves anything.
        return;
    }
    let deadline = Instant::now() + MOST_WAITED;
    while now() <= moment && Instant::now() < deadline {
        std::thread::park_timeout(Duration::from_millis(1));
    }
}

fn require_file(kind: EntryKind) -> Result<(), Situation> {
    match kind {
        EntryKind::File => Ok(()),
        EntryKind::Folder => Err(Situation::IsAFolder(Side::Local)),
        EntryKind::Link => Err(Situation::IsALink(Side::Local)),
        EntryKind::Other => Err(Situation::NotAFile(Side::Local)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileExt, symlink};
    use std::os::unix::net::UnixListener;

    use rustix::fs::fstat;
    use sampan_protocol::block::root_of_row;

    use super::*;
    use crate::local::folder::AsOsStr;
    use crate::local::testing::{Flipper, at, fifo, name, odd_names};

    fn refused(path: &Path, links: Links) -> Situation {
        Source::open(path, links).map(|_| ()).unwrap_err().situation
    }

    #[test]
    fn only_regular_files_are_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fifo(&path("pipe"));
        let _socket = UnixListener::bind(path("socket")).unwrap();
        fs::write(path("file"), "content").unwrap();
        for (link, to) in
            [("link", "file"), ("to_pipe", "pipe"), ("dangling", "gone"), ("self", "self")]
        {
            symlink(to, path(link)).unwrap();
        }
        let local = Side::Local;
        for links in [Links::Skip, Links::Follow] {
            assert_eq!(refused(&path("pipe"), links), Situation::NotAFile(local));
            assert_eq!(refused(&path("socket"), links), Situation::NotAFile(local));
            assert_eq!(refused(Path::new("/dev/null"), links), Situation::NotAFile(local));
            assert_eq!(refused(dir.path(), links), Situation::IsAFolder(local));
            assert_eq!(refused(&path("gone"), links), Situation::NotFound(local));
        }
        assert_eq!(refused(&path("link"), Links::Skip), Situation::IsALink(local));
        assert_eq!(refused(&path("to_pipe"), Links::Follow), Situation::NotAFile(local));
        assert_eq!(refused(&path("dangling"), Links::Follow), Situation::NotFound(local));
        assert_eq!(refused(&path("self"), Links::Follow), Situation::IsALink(local));
        let file = Source::open(&path("file"), Links::Skip).unwrap();
        let linked = Source::open(&path("link"), Links::Follow).unwrap();
        assert_eq!(file.identity(), linked.identity());
        let failure = Source::open(&path("a\nb"), Links::Skip).unwrap_err();
        assert!(failure.subject.ends_with("/a\\x0ab"), "{}", failure.subject);
    }

    #[test]
    fn odd_names_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        for name in odd_names() {
            fs::write(dir.path().join(name.as_os_str()), name.as_bytes()).unwrap();
            let below = RemotePath::home().join(&name).unwrap();
            let source = Source::open_below(&folder, &below, Links::Skip).unwrap();
            let mut content = vec![0; name.as_bytes().len()];
            source.read_at(&mut content, 0).unwrap();
            assert_eq!(content, name.as_bytes());
        }
    }

    #[test]
    fn below_a_folder_no_link_is_followed_unless_asked_s6() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("tree/real")).unwrap();
        fs::create_dir(dir.path().join("other")).unwrap();
        for file in ["tree/real/f", "other/f"] {
            fs::write(dir.path().join(file), file).unwrap();
        }
        symlink("../other", dir.path().join("tree/way")).unwrap();
        let tree = Folder::open(&dir.path().join("tree")).unwrap();
        assert!(Source::open_below(&tree, &at("real/f"), Links::Skip).is_ok());
        let failure = Source::open_below(&tree, &at("way/f"), Links::Skip).unwrap_err();
        assert_eq!(failure.situation, Situation::IsALink(Side::Local));
        let followed = Source::open_below(&tree, &at("way/f"), Links::Follow).unwrap();
        assert_eq!(followed.identity().size, 7);
    }

    #[test]
    fn a_change_while_reading_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let changes: [&dyn Fn(); 5] = [
            &|| fs::write(&path, "0123456789").unwrap(),
            &|| fs::write(&path, "01234").unwrap(),
            &|| fs::remove_file(&path).unwrap(),
            &|| {
                fs::write(dir.path().join("new"), "0123456789").unwrap();
                fs::rename(dir.path().join("new"), &path).unwrap();
            },
            &|| {
                // The time put back, as some editors do: ctime tells.
                let file = fs::File::options().write(true).open(&path).unwrap();
                let before = file.metadata().unwrap().modified().unwrap();
                file.write_all_at(b"X", 0).unwrap();
                file.set_modified(before).unwrap();
            },
        ];
        for (index, change) in changes.iter().enumerate() {
            fs::write(&path, "9876543210").unwrap();
            let source = Source::open(&path, Links::Skip).unwrap();
            assert!(source.is_still().unwrap());
            wait_for_a_tick(&source);
            change();
            assert!(!source.is_still().unwrap(), "change {index}");
        }
        fs::write(&path, "9876543210").unwrap();
        let source = Source::open(&path, Links::Skip).unwrap();
        fs::write(&path, "0").unwrap();
        let failure = source.read_at(&mut [0; 10], 0).unwrap_err();
        assert_eq!(failure.situation, Situation::SourceChanged(Side::Local));
    }

    /// Until the file system's clock shows another time than the file's.
    fn wait_for_a_tick(source: &Source) {
        let probe = tempfile::tempfile_in(source.path().parent().unwrap()).unwrap();
        let now = |round: u64| {
            probe.set_len(round).unwrap();
            Look::of(&fstat(&probe).unwrap()).identity.ctime
        };
        let mut round = 1;
        while now(round) <= source.identity().ctime {
            round += 1;
        }
    }

    #[test]
    fn rows_are_those_of_the_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        for size in [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 1] {
            let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
            fs::write(&path, &content).unwrap();
            let source = Source::open(&path, Links::Skip).unwrap();
            let (row, root) = source.row(|_| true).unwrap();
            assert_eq!(root.as_bytes(), blake3::hash(&content).as_bytes());
            let blocks = source.blocks().unwrap();
            let mut buffer = Vec::new();
            for (index, expected) in row.iter().enumerate() {
                let index = BlockIndex(index as u64);
                assert_eq!(source.read_block(index, &mut buffer).unwrap(), *expected);
                let start = usize::try_from(blocks.offset_of(index).unwrap()).unwrap();
                assert_eq!(buffer, content[start..start + buffer.len()]);
            }
            assert_eq!(root_of_row(&row, blocks).unwrap(), root);
            assert!(source.read_block(BlockIndex(blocks.count()), &mut buffer).is_err());
        }
        let source = Source::open(&path, Links::Skip).unwrap();
        let stopped = source.row(|seen| seen < BLOCK_BYTES).unwrap_err();
        assert_eq!(stopped.situation, Situation::Interrupted);
    }

    #[test]
    fn a_file_that_flips_into_a_fifo_is_never_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "content").unwrap();
        fifo(&dir.path().join("pipe"));
        let folder = Folder::open(dir.path()).unwrap();
        let _flipper = Flipper::start(dir.path(), "file", "pipe");
        let below = RemotePath::home().join(&name(b"file")).unwrap();
        let (mut opened, mut refused) = (0, 0);
        while (opened < 200 || refused < 200) && opened + refused < 1_000_000 {
            match Source::open_below(&folder, &below, Links::Skip) {
                Ok(source) => {
                    assert_eq!(source.attributes().kind, EntryKind::File);
                    opened += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(opened >= 200 && refused >= 200, "{opened} opened, {refused} refused");
    }
}
