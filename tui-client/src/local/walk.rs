//! What is in a tree, for planning an upload.
//!
//! One thing after another, a folder before what is in it, in no particular order. Folders down to
//! [`OPEN_LEVELS`] stay open while what is below them is walked; below that a folder is read to its
//! end first and the names of its folders are kept, so that neither descriptors nor memory grow with
//! the size of the tree. No name is passed over in silence.
//!
//! Invariant: unless links are followed, everything found lies below the folder that was given; a
//! folder is never found inside itself.

use std::ffi::OsStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, OFlags};
use rustix::io::Errno;
use sampan_protocol::{Attributes, EntryKind, Name, RemotePath};

use super::attributes::{Identity, Look};
use super::failed::{about, failed};
use super::folder::{AsOsStr, open_way};
use super::staging_name::StagingName;
use super::stream::Stream;
use crate::disk::Disk;
use crate::failure::{Failure, Side, Situation};
use crate::transfer::{Links, SkipReason};

/// Levels that are walked with their folders open.
const OPEN_LEVELS: usize = 64;
/// Things in one piece of a stream: the first comes soon, the rest at low cost.
const FIRST_PIECE: usize = 16;
const PIECE: usize = 256;

/// Something in a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// A folder; what is in it follows.
    Folder(Item),
    /// A regular file.
    File(Item),
    /// Something that is left out.
    Skipped(Item, SkipReason),
    /// Something that cannot be carried, or a folder that cannot be read.
    Failed {
        /// Where; `None` if no such place can be named to the other side.
        below: Option<RemotePath>,
        /// Why.
        failure: Failure,
    },
}

/// A thing and its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// Its place below what was walked, which itself is the empty path.
    pub below: RemotePath,
    /// What it is.
    pub look: Look,
}

impl Item {
    /// What it is, in the words of both sides.
    pub fn attributes(&self) -> Attributes {
        self.look.attributes()
    }

    /// Which one, in which state.
    pub fn identity(&self) -> &Identity {
        &self.look.identity
    }
}

/// A tree that is being walked.
#[derive(Debug)]
pub struct Walk {
    path: PathBuf,
    disk: Disk,
    links: Links,
    start: Option<Start>,
    /// The folder that everything lies below, once it is open.
    anchor: Option<OwnedFd>,
    levels: Vec<Level>,
    /// The names of the levels below the first.
    way: Vec<Name>,
    /// A folder that was told of and is entered next.
    entering: Option<Name>,
}

#[derive(Clone, Copy, Debug)]
enum Start {
    /// What lies at the path.
    Itself,
    /// What is in the folder at the path.
    Contents,
}

#[derive(Debug)]
struct Level {
    /// Which folder, to notice that a link leads back to it.
    identity: Identity,
    /// Its names that were not read yet.
    names: Option<Dir>,
    /// Its folders that were read but not entered.
    folders: Vec<Name>,
}

impl Walk {
    /// Walks what lies at the user's own path: it and, if it is a folder, what is in it.
    pub fn of(path: &Path, links: Links) -> Self {
        Self::new(path, links, Start::Itself)
    }

    /// Walks what is in the folder at the user's own path (`DIR/.`), without the folder itself.
    pub fn of_contents(path: &Path, links: Links) -> Self {
        Self::new(path, links, Start::Contents)
    }

    fn new(path: &Path, links: Links, start: Start) -> Self {
        Self {
            path: path.to_owned(),
            disk: Disk::default(),
            links,
            start: Some(start),
            anchor: None,
            levels: Vec::new(),
            way: Vec::new(),
            entering: None,
        }
    }

    /// The same, on a disk that may fail.
    #[must_use]
    pub fn on(self, disk: &Disk) -> Self {
        Self { disk: disk.clone(), ..self }
    }

    /// The same as a stream, for tasks. Dropping it ends the walk.
    pub fn stream(self) -> Stream<Vec<Found>> {
        Stream::start(move || Ok(Pieces { walk: self, length: FIRST_PIECE }))
    }

    fn begin(&mut self, start: Start) -> Option<Found> {
        let here = RemotePath::home();
        let follow = matches!(start, Start::Contents) || self.links == Links::Follow;
        let at = if follow { AtFlags::empty() } else { AtFlags::SYMLINK_NOFOLLOW };
        let look = match self.disk.look(CWD, &self.path, at) {
            Ok(found) => Look::of(&found),
            Err(error) => return Some(self.failed_at(Some(here), error)),
        };
        let is_staging =
            self.path.file_name().is_some_and(|name| StagingName::matches(name.as_bytes()));
        if matches!(start, Start::Itself) && (!look.is_folder() || is_staging) {
            return Some(self.leaf(here, look, is_staging));
        }
        let nofollow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        match self.open_anchor(nofollow) {
            Err(error) => Some(self.failed_at(Some(here), error)),
            Ok(()) if matches!(start, Start::Contents) => self.next(),
            Ok(()) => Some(Found::Folder(Item { below: here, look })),
        }
    }

    fn open_anchor(&mut self, nofollow: OFlags) -> rustix::io::Result<()> {
        let anchor = self.disk.open(CWD, &self.path, READ | nofollow)?;
        let names = self.disk.open(&anchor, c".", READ)?;
        self.levels.push(Level::new(&self.disk, names)?);
        self.anchor = Some(anchor);
        Ok(())
    }

    /// What `name`, just read from the innermost folder, is.
    fn meet(&mut self, bytes: &[u8]) -> Option<Found> {
        if matches!(bytes, b"." | b"..") {
            return None;
        }
        let below = Name::new(bytes).ok().and_then(|name| self.below(&name));
        let Some(below) = below else {
            // No server could hold such a name or such a path.
            let path = self.path_of(Some(bytes));
            let failure = about(Situation::NameNotStorable(Side::Remote), &path);
            return Some(Found::Failed { below: None, failure });
        };
        let look = match self.look(bytes, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(look) if look.kind == EntryKind::Link && self.links == Links::Follow => {
                match self.look(bytes, AtFlags::empty()) {
                    Err(Errno::NOENT | Errno::LOOP) => {
                        let path = self.path_of(Some(bytes));
                        let failure = about(Situation::LinkToNowhere, &path);
                        return Some(Found::Failed { below: Some(below), failure });
                    }
                    look => look,
                }
            }
            // It went away since the folder was read: it is not there.
            Err(Errno::NOENT) => return None,
            look => look,
        };
        let look = match look {
            Ok(look) => look,
            Err(error) => return Some(self.failed_at(Some(below), error)),
        };
        if StagingName::matches(bytes) || !look.is_folder() {
            return Some(self.leaf(below, look, StagingName::matches(bytes)));
        }
        if self.levels.iter().any(|level| level.identity.is_same_file(&look.identity)) {
            let failure = about(Situation::LinkLoop, &self.path_of(Some(bytes)));
            return Some(Found::Failed { below: Some(below), failure });
        }
        if self.levels.len() < OPEN_LEVELS {
            self.entering = below.name();
        } else if let (Some(level), Some(name)) = (self.levels.last_mut(), below.name()) {
            level.folders.push(name.clone());
        }
        Some(Found::Folder(Item { below, look }))
    }

    /// Anything but a folder to be walked.
    fn leaf(&self, below: RemotePath, look: Look, is_staging: bool) -> Found {
        let item = Item { below, look };
        match look.kind {
            _ if is_staging => Found::Skipped(item, SkipReason::Staging),
            EntryKind::File => Found::File(item),
            EntryKind::Link if self.links == Links::Fail => {
                let path = self.path_below(&item.below);
                let failure = about(Situation::LinkRefused, &path);
                Found::Failed { below: Some(item.below), failure }
            }
            EntryKind::Link => Found::Skipped(item, SkipReason::Link),
            EntryKind::Folder | EntryKind::Other => Found::Skipped(item, SkipReason::NotAFile),
        }
    }

    fn look(&self, bytes: &[u8], at: AtFlags) -> rustix::io::Result<Look> {
        let names = self.levels.last().and_then(|level| level.names.as_ref());
        let folder = names.ok_or(Errno::BADF)?.fd()?;
        Ok(Look::of(&self.disk.look(folder, bytes, at)?))
    }

    /// Goes into a folder of the innermost one.
    fn enter(&mut self, name: Name) -> Option<Found> {
        let opened = self.open_folder(&name).and_then(|folder| Level::new(&self.disk, folder));
        self.way.push(name);
        match opened {
            // A folder that was put in the place of the one that was looked at may hold us.
            Ok(level)
                if !self
                    .levels
                    .iter()
                    .any(|above| above.identity.is_same_file(&level.identity)) =>
            {
                self.levels.push(level);
                None
            }
            opened => {
                let below = RemotePath::from_names(self.way.clone()).ok();
                self.way.pop();
                let error = opened.err().unwrap_or(Errno::LOOP);
                Some(self.failed_at(below, error))
            }
        }
    }

    fn open_folder(&self, name: &Name) -> rustix::io::Result<OwnedFd> {
        let open = self.levels.last().and_then(|level| level.names.as_ref());
        if let Some(names) = open {
            return self.open_in(names.fd()?, name);
        }
        // Deep down only names were kept.
        let anchor = self.anchor.as_ref().ok_or(Errno::BADF)?;
        let folder = open_way(&self.disk, anchor.as_fd(), &self.way, self.links == Links::Follow)?;
        self.open_in(folder.as_fd(), name)
    }

    fn open_in(&self, folder: BorrowedFd<'_>, name: &Name) -> rustix::io::Result<OwnedFd> {
        let follow = self.links == Links::Follow;
        let nofollow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        self.disk.open(folder, name.as_bytes(), READ | nofollow)
    }

    fn below(&self, name: &Name) -> Option<RemotePath> {
        let mut names = Vec::with_capacity(self.way.len() + 1);
        names.extend_from_slice(&self.way);
        names.push(name.clone());
        RemotePath::from_names(names).ok()
    }

    fn path_below(&self, below: &RemotePath) -> PathBuf {
        let mut path = self.path.clone();
        path.extend(below.names().iter().map(AsOsStr::as_os_str));
        path
    }

    fn path_of(&self, name: Option<&[u8]>) -> PathBuf {
        let mut path = self.path.clone();
        path.extend(self.way.iter().map(AsOsStr::as_os_str));
        path.extend(name.map(OsStr::from_bytes));
        path
    }

    fn failed_at(&self, below: Option<RemotePath>, error: Errno) -> Found {
        let path =
            below.as_ref().map_or_else(|| self.path_of(None), |below| self.path_below(below));
        Found::Failed { below, failure: failed(&path, error) }
    }
}

const READ: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl Level {
    fn new(disk: &Disk, folder: OwnedFd) -> rustix::io::Result<Self> {
        let identity = Look::of(&disk.look_open(&folder)?).identity;
        Ok(Self { identity, names: Some(disk.names(folder)?), folders: Vec::new() })
    }
}

impl Iterator for Walk {
    type Item = Found;

    fn next(&mut self) -> Option<Found> {
        if let Some(start) = self.start.take() {
            return self.begin(start);
        }
        loop {
            if let Some(name) = self.entering.take()
                && let Some(failure) = self.enter(name)
            {
                return Some(failure);
            }
            let level = self.levels.last_mut()?;
            let found = match level.names.as_mut().map(|names| self.disk.next_name(names)) {
                Some(Some(Ok(entry))) => self.meet(entry.file_name().to_bytes()),
                Some(Some(Err(error))) => {
                    level.names = None;
                    let below = RemotePath::from_names(self.way.clone()).ok();
                    Some(self.failed_at(below, error))
                }
                Some(None) => {
                    level.names = None;
                    None
                }
                None => {
                    self.entering = level.folders.pop();
                    if self.entering.is_none() {
                        self.levels.pop();
                        self.way.pop();
                    }
                    None
                }
            };
            if found.is_some() {
                return found;
            }
        }
    }
}

/// A walk in pieces; what fails is inside them.
struct Pieces {
    walk: Walk,
    length: usize,
}

impl Iterator for Pieces {
    type Item = Result<Vec<Found>, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let piece: Vec<_> = self.walk.by_ref().take(self.length).collect();
        self.length = PIECE;
        (!piece.is_empty()).then_some(Ok(piece))
    }
}

#[cfg(test)]
mod tests;
