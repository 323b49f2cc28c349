//! An open folder, and the way down from it.
//!
//! Names from the other side are resolved here and nowhere else: below an open folder, each one by
//! itself, by the kernel, which is told to follow no link. Where it can do so in one step
//! (`openat2`), it does; else the way is walked one folder at a time. A name is never put together
//! with others into a path that the kernel would take apart its own way.
//!
//! Invariant: whatever is opened below a folder lies below it, also when somebody moves links and
//! folders about at the same time (HARDENING S1, S3, S8).

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, OFlags};
use rustix::io::Errno;
use sampan_protocol::{Name, RemotePath};

use super::attributes::Look;
use super::failed::{about, failed};
use crate::disk::Disk;
use crate::failure::{Failure, Side, Situation};

/// How a folder is held: for the way down only, so that one without read permission will do.
#[cfg(target_os = "linux")]
const HELD: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);
#[cfg(not(target_os = "linux"))]
const HELD: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Most bytes of names given to the kernel in one call: what surely fits its bound of 4096.
#[cfg(target_os = "linux")]
const STEP_BYTES: usize = 3072;

/// An open folder. It stays the same one whatever becomes of its path, which serves messages only.
#[derive(Clone, Debug)]
pub struct Folder {
    handle: Arc<Handle>,
    path: PathBuf,
}

#[derive(Debug)]
struct Handle {
    fd: OwnedFd,
    disk: Disk,
}

impl Folder {
    /// Opens the user's own path, following the user's own links.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        Self::open_on(&Disk::default(), path)
    }

    /// The same, on a disk that may fail.
    pub fn open_on(disk: &Disk, path: &Path) -> Result<Self, Failure> {
        let handle = disk.open(CWD, path, HELD).map_err(|error| failed(path, error))?;
        Ok(Self::new(handle, path.to_owned(), disk))
    }

    fn new(fd: OwnedFd, path: PathBuf, disk: &Disk) -> Self {
        Self { handle: Arc::new(Handle { fd, disk: disk.clone() }), path }
    }

    /// What it lies on.
    pub(super) fn disk(&self) -> &Disk {
        &self.handle.disk
    }

    /// The path that it was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a folder below this one without following any link.
    pub fn below(&self, below: &RemotePath) -> Result<Self, Failure> {
        self.descend(&below.names())
    }

    /// Like [`Self::below`], for any number of names.
    pub(super) fn descend(&self, names: &[Name]) -> Result<Self, Failure> {
        if names.is_empty() {
            return Ok(self.clone());
        }
        let handle = match open_below(self.disk(), self.as_fd(), names) {
            Ok(handle) => handle,
            // Which of the names it was, and what lies there, takes a look at each. Old kernels
            // and other systems always take this way.
            Err(_) => self.step_by_step(names)?,
        };
        Ok(Self::new(handle, self.path_of(names), self.disk()))
    }

    fn step_by_step(&self, names: &[Name]) -> Result<OwnedFd, Failure> {
        let mut at: Option<OwnedFd> = None;
        for (index, name) in names.iter().enumerate() {
            let folder = at.as_ref().map_or(self.as_fd(), AsFd::as_fd);
            let next = step(self.disk(), folder, name).map_err(|error| {
                let path = self.path_of(&names[..=index]);
                match (error, look_in(self.disk(), folder, name).map(|look| look.kind)) {
                    (Errno::NOTDIR | Errno::LOOP, Ok(sampan_protocol::EntryKind::Link)) => {
                        about(Situation::IsALink(Side::Local), &path)
                    }
                    _ => failed(&path, error),
                }
            })?;
            at = Some(next);
        }
        at.ok_or_else(|| failed(&self.path, Errno::NOENT))
    }

    /// The folder that holds `below`, and the name there.
    pub(super) fn parent_of(&self, below: &RemotePath) -> Result<(Self, Name), Failure> {
        let mut names = below.names();
        let Some(name) = names.pop() else {
            return Err(about(Situation::InvalidTarget, &self.path));
        };
        Ok((self.descend(&names)?, name))
    }

    /// What a name in this folder is; a link is described, not followed.
    pub(super) fn look_at(&self, name: &Name) -> rustix::io::Result<Look> {
        look_in(self.disk(), self.as_fd(), name)
    }

    /// What this folder itself is.
    pub(super) fn look(&self) -> Result<Look, Failure> {
        let looked = self.disk().look_open(self.as_fd());
        looked.map(|stat| Look::of(&stat)).map_err(|error| failed(&self.path, error))
    }

    /// Opens this folder anew, to read it, flush it or set its attributes.
    pub(super) fn reopen(&self) -> rustix::io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        self.disk().open(self.as_fd(), c".", flags)
    }

    /// Its names.
    pub(super) fn names(&self) -> rustix::io::Result<Dir> {
        self.disk().names(self.reopen()?)
    }

    /// The path of a name in this folder, for messages.
    pub(super) fn path_to(&self, name: &Name) -> PathBuf {
        self.path.join(name.as_os_str())
    }

    /// The path of names below this folder, for messages.
    pub(super) fn path_of(&self, names: &[Name]) -> PathBuf {
        let mut path = self.path.clone();
        path.extend(names.iter().map(AsOsStr::as_os_str));
        path
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.handle.fd.as_fd()
    }
}

/// A name as the standard library wants it.
pub(super) trait AsOsStr {
    fn as_os_str(&self) -> &OsStr;
}

impl AsOsStr for Name {
    fn as_os_str(&self) -> &OsStr {
        OsStr::from_bytes(self.as_bytes())
    }
}

/// What `name` in `folder` is; a link is described, not followed.
pub(super) fn look_in(
    disk: &Disk,
    folder: BorrowedFd<'_>,
    name: &Name,
) -> rustix::io::Result<Look> {
    let stat = disk.look(folder, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(Look::of(&stat))
}

/// Opens the folder at `names` below `folder`; with `follow` over any links.
pub(super) fn open_way(
    disk: &Disk,
    folder: BorrowedFd<'_>,
    names: &[Name],
    follow: bool,
) -> rustix::io::Result<OwnedFd> {
    if names.is_empty() {
        return disk.open(folder, c".", HELD);
    }
    if follow {
        let mut way = PathBuf::new();
        way.extend(names.iter().map(AsOsStr::as_os_str));
        return disk.open(folder, &way, HELD);
    }
    match open_below(disk, folder, names) {
        Err(Errno::NOSYS | Errno::PERM) => {}
        opened => return opened,
    }
    let mut at = step(disk, folder, &names[0])?;
    for name in &names[1..] {
        at = step(disk, at.as_fd(), name)?;
    }
    Ok(at)
}

/// One folder down, without following a link.
fn step(disk: &Disk, folder: BorrowedFd<'_>, name: &Name) -> rustix::io::Result<OwnedFd> {
    disk.open(folder, name.as_bytes(), HELD | OFlags::NOFOLLOW)
}

#[cfg(target_os = "linux")]
fn open_below(disk: &Disk, folder: BorrowedFd<'_>, names: &[Name]) -> rustix::io::Result<OwnedFd> {
    let mut at: Option<OwnedFd> = None;
    let mut rest = names;
    let mut path = Vec::new();
    while let Some((first, _)) = rest.split_first() {
        path.clear();
        path.extend_from_slice(first.as_bytes());
        let mut taken = 1;
        while let Some(name) = rest.get(taken) {
            if path.len() + name.as_bytes().len() >= STEP_BYTES {
                break;
            }
            path.push(b'/');
            path.extend_from_slice(name.as_bytes());
            taken += 1;
        }
        let from = at.as_ref().map_or(folder, AsFd::as_fd);
        at = Some(disk.open_beneath(from, &path, HELD)?);
        rest = &rest[taken..];
    }
    at.ok_or(Errno::NOENT)
}

#[cfg(not(target_os = "linux"))]
fn open_below(_: &Disk, _: BorrowedFd<'_>, _: &[Name]) -> rustix::io::Result<OwnedFd> {
    Err(Errno::NOSYS)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use rustix::fs::{Mode, fstat};

    use super::*;
    use crate::local::testing::{Flipper, at, name, names};

    /// Both ways down must agree; the second is what old kernels get.
    fn both(folder: &Folder, below: &[Name]) -> Result<Look, Situation> {
        let look = |handle: &OwnedFd| Look::of(&fstat(handle).unwrap());
        let steps = folder.step_by_step(below).map_err(|failure| failure.situation);
        let whole = folder.descend(below).map_err(|failure| failure.situation);
        let whole = whole.map(|folder| folder.look().unwrap());
        assert_eq!(steps.as_ref().map(look), whole.as_ref().copied(), "{below:?}");
        whole
    }

    #[test]
    fn the_way_down_follows_no_link_s1_s3() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("root");
        fs::create_dir_all(inside.join("a/b")).unwrap();
        fs::create_dir_all(dir.path().join("out/b")).unwrap();
        fs::write(inside.join("file"), "").unwrap();
        symlink("../out", inside.join("up")).unwrap();
        symlink("/", inside.join("slash")).unwrap();
        symlink("a", inside.join("within")).unwrap();
        symlink("/proc/self/cwd", inside.join("magic")).unwrap();
        symlink("gone", inside.join("dangling")).unwrap();
        let root = Folder::open(&inside).unwrap();

        assert!(both(&root, &names(&["a", "b"])).unwrap().is_folder());
        let link = Err(Situation::IsALink(Side::Local));
        let cases = [
            &["up"][..],
            &["up", "b"],
            &["slash", "etc"],
            &["within"],
            &["within", "b"],
            &["magic"],
            &["dangling", "x"],
        ];
        for below in cases {
            assert_eq!(both(&root, &names(below)), link, "{below:?}");
        }
        assert_eq!(both(&root, &names(&["file"])), Err(Situation::NotAFolder(Side::Local)));
        assert_eq!(both(&root, &names(&["file", "x"])), Err(Situation::NotAFolder(Side::Local)));
        assert_eq!(both(&root, &names(&["none", "x"])), Err(Situation::NotFound(Side::Local)));
        let failure = root.below(&at("a/none/x")).unwrap_err();
        assert_eq!(failure.subject, format!("{}/a/none", inside.display()));
        // The user's own path may lead over links.
        assert!(Folder::open(&inside.join("within")).is_ok());
    }

    #[test]
    fn names_that_a_wire_could_carry_stay_names_s3() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a\\..\\b")).unwrap();
        let root = Folder::open(dir.path()).unwrap();
        assert!(root.descend(&names(&["a\\..\\b"])).is_ok());
        for odd in ["...", "%2e%2e", "..%2f", "~", "~root", "-rf", " ", "C:", "a\\..\\c"] {
            let found = both(&root, &[name(odd.as_bytes())]);
            assert_eq!(found, Err(Situation::NotFound(Side::Local)), "{odd}");
        }
        for refused in ["", ".", "..", "/", "a/b", "../x", "a\0b"] {
            assert!(Name::new(refused.as_bytes()).is_err(), "{refused:?}");
        }
    }

    #[test]
    fn a_way_longer_than_the_kernels_bound_is_walked() {
        let dir = tempfile::tempdir().unwrap();
        let root = Folder::open(dir.path()).unwrap();
        let way = vec![name(&[b'x'; 255]); 40];
        let mut folder = root.clone();
        for name in &way {
            rustix::fs::mkdirat(&folder, name.as_bytes(), Mode::RWXU).unwrap();
            folder = folder.descend(std::slice::from_ref(name)).unwrap();
        }
        let found = both(&root, &way).unwrap();
        assert!(found.identity.is_same_file(&folder.look().unwrap().identity));
        crate::local::change::remove(&dir.path().join(way[0].as_os_str()), None, |_| true).unwrap();
    }

    #[test]
    fn a_folder_that_turns_into_a_link_while_we_look_leads_nowhere_s8() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["root/a/b", "out/b"] {
            fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        symlink("../out", dir.path().join("root/link")).unwrap();
        let root = Folder::open(&dir.path().join("root")).unwrap();
        let wanted = root.below(&at("a/b")).unwrap().look().unwrap().identity;
        let _flipper = Flipper::start(&dir.path().join("root"), "a", "link");
        let (mut inside, mut refused) = (0, 0);
        while (inside < 500 || refused < 500) && inside + refused < 1_000_000 {
            match root.below(&at("a/b")) {
                Ok(folder) => {
                    assert!(folder.look().unwrap().identity.is_same_file(&wanted));
                    inside += 1;
                }
                Err(_) => refused += 1,
            }
        }
        assert!(inside >= 500 && refused >= 500, "{inside} inside, {refused} refused");
    }
}
