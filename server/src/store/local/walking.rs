//! Counting what a folder holds.
//!
//! A walk is taken a page at a time, so that it can be left between two pages. Nothing is followed
//! and no mount is entered; what cannot be counted is named.
//!
//! Invariant: memory and descriptors do not grow with the tree's size, and descriptors not with its
//! depth beyond a bound.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use sampan_protocol::{EntryKind, Escaped};

use super::Inner;
use super::attributes::Meta;
use super::db::scans::Found;
use super::disk::Open;
use super::failure::if_there;
use crate::quota::Charge;
use crate::store::{Oddities, OddityKind};

/// Names read before their attributes are.
const PAGE: usize = if cfg!(test) { 64 } else { 1024 };
/// Folders kept open on the way down; those above are opened again on the way up.
const KEPT_OPEN: usize = 64;

/// A folder on the way down.
struct Level {
    folder: Option<OwnedFd>,
    /// Its name in the one above.
    name: Vec<u8>,
    /// Where its listing goes on.
    cookie: u64,
    /// Folders of the page that was read last, still to go down into.
    below: Vec<Vec<u8>>,
    done: bool,
}

/// A count that is under way.
pub(super) struct Walk {
    root: OwnedFd,
    levels: Vec<Level>,
    /// What was counted, without the root itself.
    pub(super) counted: Charge,
    pub(super) oddities: Oddities,
    /// Inodes of files that are looked for.
    wanted: Arc<HashSet<u64>>,
    /// Those that were found.
    pub(super) found: Vec<Found>,
}

impl Walk {
    /// Of the folder `root`, which was opened for it alone: the walk moves its cursor.
    pub(super) fn new(root: OwnedFd, wanted: Arc<HashSet<u64>>) -> Self {
        Self {
            root,
            levels: vec![Level::new(Vec::new())],
            counted: Charge::NONE,
            oddities: Oddities::default(),
            wanted,
            found: Vec::new(),
        }
    }

    /// A file of two names is one, however often it is counted.
    fn found_one(&mut self, meta: &Meta) {
        let file = meta.inode();
        if !self.found.iter().any(|found| found.file.is(file)) {
            self.found.push(Found { file, bytes: meta.size });
        }
    }

    /// Where the deepest level is, with `name` in it.
    fn path(&self, name: &[u8]) -> Vec<u8> {
        let names = self.levels.iter().skip(1).map(|level| level.name.as_slice()).chain([name]);
        let names: Vec<&[u8]> = names.filter(|name| !name.is_empty()).collect();
        names.join(&b'/')
    }

    /// An error of the disk that says where it was met.
    fn failed(&self, name: &[u8], error: &io::Error) -> io::Error {
        let path = self.path(name);
        io::Error::new(error.kind(), format!("`{}`: {error}", Escaped(&path)))
    }
}

/// What stands in the way of looking into something, if that is no failure of the disk.
fn oddity_of(error: &io::Error) -> Option<OddityKind> {
    match Errno::from_io_error(error)? {
        Errno::ACCESS | Errno::PERM => Some(OddityKind::Unreadable),
        Errno::XDEV => Some(OddityKind::Mount),
        _ => None,
    }
}

/// Whether a folder is no longer one: another hand was there since its name was read.
fn is_replaced(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::LOOP | Errno::NOTDIR))
}

impl Inner {
    /// For tests: bytes and entries below a folder, without itself; what cannot be looked into is left out.
    #[cfg(test)]
    pub(super) fn count(&self, root: &OwnedFd) -> io::Result<Charge> {
        // One of its own: the walk moves the cursor.
        let root = self.disk.open_beneath(root, b"", Open::Folder)?;
        let mut walk = Walk::new(root, Arc::default());
        while self.walk_on(&mut walk)? {}
        Ok(walk.counted)
    }

    /// Counts one more page. `false`: everything is counted.
    pub(super) fn walk_on(&self, walk: &mut Walk) -> io::Result<bool> {
        while let Some(depth) = walk.levels.len().checked_sub(1) {
            if let Some(name) = walk.levels[depth].below.pop() {
                if let Some(far) = (depth + 1).checked_sub(KEPT_OPEN) {
                    walk.levels[far].folder = None;
                }
                walk.levels.push(Level::new(name));
                continue;
            }
            if walk.levels[depth].done {
                walk.levels.pop();
                continue;
            }
            let folder = match self.reopen_level(walk) {
                Ok(Some(folder)) => folder,
                // Removed while it was counted.
                Ok(None) => {
                    walk.levels.pop();
                    continue;
                }
                Err(error) => {
                    let kind = oddity_of(&error).filter(|_| depth > 0);
                    let kind = kind.ok_or_else(|| walk.failed(b"", &error))?;
                    walk.oddities.add(walk.path(b""), kind);
                    walk.levels.pop();
                    continue;
                }
            };
            self.count_page(&folder, walk)?;
            walk.levels[depth].folder = Some(folder);
            return Ok(true);
        }
        Ok(false)
    }

    /// The deepest level's folder.
    fn reopen_level(&self, walk: &mut Walk) -> io::Result<Option<OwnedFd>> {
        let Walk { root, levels, .. } = walk;
        if let Some(folder) = levels.last_mut().and_then(|level| level.folder.take()) {
            return Ok(Some(folder));
        }
        let nearest = levels.iter().rposition(|level| level.folder.is_some());
        let mut folder: Option<OwnedFd> = None;
        for level in &levels[nearest.map_or(0, |nearest| nearest + 1)..] {
            let above = match (&folder, nearest) {
                (Some(folder), _) => folder.as_fd(),
                (None, Some(nearest)) => {
                    levels[nearest].folder.as_ref().map_or(root.as_fd(), AsFd::as_fd)
                }
                (None, None) => root.as_fd(),
            };
            match self.disk.open_beneath(above, &level.name, Open::Folder) {
                Err(error) if is_replaced(&error) => return Ok(None),
                opened => match if_there(opened)? {
                    Some(opened) => folder = Some(opened),
                    None => return Ok(None),
                },
            }
        }
        Ok(folder)
    }

    /// Counts one page of the deepest level.
    fn count_page(&self, folder: &OwnedFd, walk: &mut Walk) -> io::Result<()> {
        let Some(level) = walk.levels.last_mut() else { return Ok(()) };
        let mut names = Vec::new();
        let listed = self.disk.seek(folder, level.cookie).and_then(|()| {
            self.disk.names(folder, |name, next| {
                names.push(name.to_vec());
                level.cookie = next;
                names.len() < PAGE
            })
        });
        level.done = names.len() < PAGE;
        listed.map_err(|error| walk.failed(b"", &error))?;
        for name in names {
            let meta = match if_there(self.disk.stat(folder, &name)) {
                Ok(Some(meta)) => meta,
                Ok(None) => continue,
                Err(error) => {
                    // Its folder may be listed, and not entered.
                    let kind = oddity_of(&error).ok_or_else(|| walk.failed(&name, &error))?;
                    walk.oddities.add(walk.path(&name), kind);
                    continue;
                }
            };
            walk.counted = walk.counted.plus(meta.charge());
            let odd = match meta.kind {
                _ if meta.is_mount => Some(OddityKind::Mount),
                EntryKind::File | EntryKind::Folder => None,
                EntryKind::Link => Some(OddityKind::Link),
                EntryKind::Other => Some(OddityKind::Special),
            };
            match (odd, meta.kind) {
                (Some(kind), _) => walk.oddities.add(walk.path(&name), kind),
                (None, EntryKind::Folder) => {
                    if let Some(level) = walk.levels.last_mut() {
                        level.below.push(name);
                    }
                }
                (None, _) if walk.wanted.contains(&meta.inode) => {
                    walk.found_one(&meta);
                }
                (None, _) => {}
            }
        }
        Ok(())
    }
}

impl Level {
    fn new(name: Vec<u8>) -> Self {
        Self { folder: None, name, cookie: 0, below: Vec::new(), done: false }
    }
}
