//! A home as a capability: one open folder, and the one way from a path to a place on the disk.
//!
//! A path's folders are looked up by the kernel in one step, below the open home, never through a
//! link and never into another mount; what comes out is an open folder, and everything else works
//! on it and a single name. So no check of strings stands between users, and no race between
//! checking and using.
//!
//! Invariant: nothing outside a home is reachable from its [`Home`].

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sampan_protocol::{EntryKind, Name, RemotePath};
use tokio::sync::Semaphore;

use super::attributes::Meta;
use super::disk::{Disk, Open};
use super::failure::{about, if_there};
use crate::store::{AccountId, Result, Situation};

/// Homes kept open. More accounts than these at once share nothing but the cost of opening again.
const OPEN_HOMES: usize = 256;

/// What a client compares at once.
const HASHES_OF_ACCOUNT: usize = 4;

/// An account's open home.
pub(super) struct Home {
    pub(super) account: AccountId,
    folder: OwnedFd,
    /// One permit: whoever holds it may change the home and its ledger. A job takes it along, so
    /// that a change goes on when its caller is gone.
    pub(super) turn: Arc<Semaphore>,
    /// Slices of whole files that are hashed for the account at once. So the places among all that
    /// hash are shared by accounts, not by requests.
    pub(super) hashing: Arc<Semaphore>,
    /// An intent was left over by a failure and must be dealt with before the next change.
    pub(super) unsettled: AtomicBool,
    /// Rises with each change that begins: who counts the home sees whether he has to count again.
    changes: AtomicU64,
}

/// Where a path leads: an open folder and a name in it, which may be there or not.
pub(super) struct Place<'a, F = OwnedFd> {
    pub(super) folder: F,
    pub(super) name: &'a [u8],
}

impl Home {
    pub(super) fn new(account: AccountId, folder: OwnedFd) -> Self {
        Self {
            account,
            folder,
            turn: Arc::new(Semaphore::new(1)),
            hashing: Arc::new(Semaphore::new(HASHES_OF_ACCOUNT)),
            unsettled: AtomicBool::new(false),
            changes: AtomicU64::new(0),
        }
    }

    /// Notes that a change begins. The caller has the home's turn.
    pub(super) fn note_change(&self) {
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// How many changes began. The caller has the home's turn.
    pub(super) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Relaxed)
    }

    /// Opens the folder at `path`.
    pub(super) fn folder_at(
        &self,
        disk: &Disk,
        path: &RemotePath,
        open: Open,
    ) -> io::Result<OwnedFd> {
        disk.open_beneath(&self.folder, path.as_bytes(), open)
    }

    /// Opens the folder that `names` lead to.
    pub(super) fn folder(&self, disk: &Disk, names: &[Name], open: Open) -> io::Result<OwnedFd> {
        disk.open_beneath(&self.folder, &joined(names), open)
    }

    /// Where `path` leads, for looking at it.
    pub(super) fn place<'a>(&self, disk: &Disk, path: &'a RemotePath) -> Result<Place<'a>> {
        self.open_place(disk, path, Open::FolderToLook)
    }

    /// Where `path` leads, for changing its folder.
    pub(super) fn place_to_change<'a>(
        &self,
        disk: &Disk,
        path: &'a RemotePath,
    ) -> Result<Place<'a>> {
        self.open_place(disk, path, Open::Folder)
    }

    fn open_place<'a>(&self, disk: &Disk, path: &'a RemotePath, open: Open) -> Result<Place<'a>> {
        let Some((parents, name)) = path.split_bytes() else {
            return Err(Situation::InvalidTarget.about(path));
        };
        let folder = disk.open_beneath(&self.folder, parents, open);
        Ok(Place { folder: folder.map_err(about(path, "opening a folder"))?, name })
    }

    /// What lies at `path`; the home itself too.
    pub(super) fn stat(&self, disk: &Disk, path: &RemotePath) -> Result<Meta> {
        if path.is_home() {
            return disk.stat_open(&self.folder).map_err(about(path, "reading attributes"));
        }
        let place = self.place(disk, path)?;
        disk.stat(&place.folder, place.name).map_err(about(path, "reading attributes"))
    }

    /// Opens the file at `path` for reading. Nothing but a regular file is ever opened.
    pub(super) fn open_file(&self, disk: &Disk, path: &RemotePath) -> Result<(OwnedFd, Meta)> {
        let Some((parents, name)) = path.split_bytes() else {
            return Err(Situation::IsAFolder.about(path));
        };
        let failed = about(path, "opening a file");
        let folder = disk.open_beneath(&self.folder, parents, Open::FolderToLook);
        let folder = folder.map_err(&failed)?;
        let handle = disk.open_beneath(folder, name, Open::Handle).map_err(&failed)?;
        let meta = disk.stat_open(&handle).map_err(&failed)?;
        match meta.kind {
            EntryKind::File => {}
            EntryKind::Folder => return Err(Situation::IsAFolder.about(path)),
            EntryKind::Link => return Err(Situation::IsALink.about(path)),
            EntryKind::Other => return Err(Situation::NotAFile.about(path)),
        }
        Ok((disk.reopen(handle.as_fd()).map_err(&failed)?, meta))
    }

    /// How many of `names`, from the first on, are folders that are there. A file or link among
    /// them is refused.
    pub(super) fn existing(&self, disk: &Disk, path: &RemotePath, names: &[Name]) -> Result<usize> {
        let failed = about(path, "looking for folders");
        let mut present = names.len();
        // Most often all are there, else most: so from the end.
        while present > 0 {
            let folder = self.folder(disk, &names[..present], Open::FolderToLook);
            if if_there(folder).map_err(&failed)?.is_some() {
                break;
            }
            present -= 1;
        }
        Ok(present)
    }
}

impl<F: AsFd> Place<'_, F> {
    /// What lies there, if anything.
    pub(super) fn stat(&self, disk: &Disk, path: &RemotePath) -> Result<Option<Meta>> {
        if_there(disk.stat(&self.folder, self.name)).map_err(about(path, "reading attributes"))
    }

    /// As the disk's calls take it.
    pub(super) fn at(&self) -> (&F, &[u8]) {
        (&self.folder, self.name)
    }

    /// The same for those who do not keep the folder.
    pub(super) fn borrowed(&self) -> Place<'_, &F> {
        Place { folder: &self.folder, name: self.name }
    }
}

/// `names` with `/` between them.
pub(super) fn joined(names: &[Name]) -> Vec<u8> {
    let mut path = Vec::with_capacity(names.iter().map(|name| name.as_bytes().len() + 1).sum());
    for (index, name) in names.iter().enumerate() {
        if index > 0 {
            path.push(b'/');
        }
        path.extend_from_slice(name.as_bytes());
    }
    path
}

/// The homes that are open.
#[derive(Default)]
pub(super) struct Homes {
    open: Mutex<HashMap<AccountId, Arc<Home>>>,
}

impl Homes {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Arc<Home>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, account: AccountId) -> Option<Arc<Home>> {
        self.lock().get(&account).cloned()
    }

    /// Keeps a home that was opened, unless another was meanwhile: there is one turn an account.
    pub(super) fn keep(&self, home: Home) -> Arc<Home> {
        let mut open = self.lock();
        if open.len() >= OPEN_HOMES {
            // Whoever works in a home holds it too.
            open.retain(|_, home| Arc::strong_count(home) > 1);
        }
        open.entry(home.account).or_insert_with(|| Arc::new(home)).clone()
    }

    pub(super) fn forget(&self, account: AccountId) {
        self.lock().remove(&account);
    }
}
