//! Counting what a folder holds.
//!
//! Invariant: memory and descriptors do not grow with the tree's size, and descriptors not with its
//! depth beyond a bound.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use sampan_protocol::EntryKind;

use super::Inner;
use super::disk::Open;
use super::failure::{if_entered, if_there};
use crate::quota::Charge;

/// Names read before their attributes are.
const PAGE: usize = 1024;
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

impl Inner {
    /// Bytes and entries below a folder, without itself.
    pub(super) fn count(&self, root: &OwnedFd) -> io::Result<Charge> {
        let mut total = Charge::NONE;
        let mut levels = vec![Level::new(Vec::new())];
        while let Some(depth) = levels.len().checked_sub(1) {
            if let Some(name) = levels[depth].below.pop() {
                if let Some(far) = (depth + 1).checked_sub(KEPT_OPEN) {
                    levels[far].folder = None;
                }
                levels.push(Level::new(name));
                continue;
            }
            if levels[depth].done {
                levels.pop();
                continue;
            }
            let Some(folder) = self.reopen_level(root, &mut levels)? else {
                // Removed while it was counted, or a mount.
                levels.pop();
                continue;
            };
            total = total.plus(self.count_page(&folder, &mut levels[depth])?);
            levels[depth].folder = Some(folder);
        }
        Ok(total)
    }

    /// The deepest level's folder.
    fn reopen_level(&self, root: &OwnedFd, levels: &mut [Level]) -> io::Result<Option<OwnedFd>> {
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
            let opened = self.disk.open_beneath(above, &level.name, Open::Folder);
            match if_entered(opened)? {
                Some(opened) => folder = Some(opened),
                None => return Ok(None),
            }
        }
        Ok(folder)
    }

    fn count_page(&self, folder: &OwnedFd, level: &mut Level) -> io::Result<Charge> {
        self.disk.seek(folder, level.cookie)?;
        let mut names = Vec::new();
        self.disk.names(folder, |name, next| {
            names.push(name.to_vec());
            level.cookie = next;
            names.len() < PAGE
        })?;
        level.done = names.len() < PAGE;
        let mut total = Charge::NONE;
        for name in names {
            let Some(meta) = if_there(self.disk.stat(folder, &name))? else { continue };
            total = total.plus(meta.charge());
            if meta.kind == EntryKind::Folder {
                level.below.push(name);
            }
        }
        Ok(total)
    }
}

impl Level {
    fn new(name: Vec<u8>) -> Self {
        Self { folder: None, name, cookie: 0, below: Vec::new(), done: false }
    }
}
