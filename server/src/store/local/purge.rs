//! Deleting a tree that was moved into staging, and crediting it as it goes.
//!
//! ```text
//! staging/gXXXX/0        the tree; folders found in it are moved up beside it as 1, 2, 3 …
//! ```
//!
//! So no path grows and no descriptor is held for a level. Names are deleted in batches: each is
//! written down with its bytes, unlinked, flushed, and credited together with writing the next one
//! down. A crash finds either a batch to unlink again and credit, or none.
//!
//! Folders that keep their owner out are opened up first. What the server cannot delete all the same
//! (another user's, a mount, made immutable, or another thing than it was: only an administrator
//! brings such in) is named in the log, and the folder in which it lies is set aside with all that is
//! left in it: as `kN`, for which no batch looks. At the end it is credited whole (`aside`), since it
//! is not in the home any more, and swept as far as it can be.
//!
//! Invariant: a name is credited once; its bytes are charged until it is gone from the disk, or set
//! aside.

use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use sampan_protocol::{EntryKind, Escaped, Mode};
use serde::{Deserialize, Serialize};

use super::Inner;
use super::attributes::Meta;
use super::change::{Answer, Effect, Gone};
use super::db::answers::Request;
use super::db::{intents, ledger, scans};
use super::disk::Open;
use super::encoding::encode;
use super::failure::{if_there, while_doing};
use super::staging;
use super::step::Step;
use crate::quota::Charge;
use crate::store::{AccountId, Removed, Result, StoreError};

/// Names in a batch: two transactions and a flush for so many.
pub(super) const BATCH: usize = if cfg!(test) { 32 } else { 1024 };

/// How far a purge is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Purge {
    pub(super) staged: String,
    removed: Removed,
    pub(super) batch: Vec<Doomed>,
    /// The next number. Never one that the batch names: its folders are removed again after a crash.
    next: u64,
}

/// A name that is being deleted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Doomed {
    /// The numbered folder that it lies in; `None` for a numbered folder itself.
    pub(super) folder: Option<u64>,
    #[serde(with = "serde_bytes")]
    pub(super) name: Vec<u8>,
    pub(super) gone: Gone,
}

impl Purge {
    /// What the tree is called in its folder in staging.
    pub(super) const FIRST: &'static [u8] = b"0";

    pub(super) fn new(staged: String) -> Self {
        Self { staged, removed: Removed { entries: 0, bytes: 0 }, batch: Vec::new(), next: 1 }
    }
}

/// What begins the name of a folder that was set aside.
const ASIDE: char = 'k';

/// A folder beside the others in a removed tree's place in staging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beside {
    /// It is being emptied.
    Numbered(u64),
    /// It was set aside, under its number as a rule.
    Aside(Option<u64>),
}

impl Beside {
    pub(super) fn of(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        match name.strip_prefix(ASIDE) {
            Some(number) => Some(Self::Aside(number.parse().ok())),
            None => name.parse().ok().map(Self::Numbered),
        }
    }

    /// The name under which the folder of this number is set aside.
    pub(super) fn aside(number: &str) -> String {
        format!("{ASIDE}{number}")
    }
}

/// A folder that goes.
const FOLDER: Gone = Gone::uncredited(Charge::entries(1));

/// Whether what could not be deleted never can be, as far as the server knows.
pub(super) fn is_kept(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        // A mount is busy, or on another device.
        Some(
            Errno::ACCESS
                | Errno::PERM
                | Errno::NOTEMPTY
                | Errno::ISDIR
                | Errno::NOTDIR
                | Errno::LOOP
                | Errno::BUSY
                | Errno::XDEV
        )
    )
}

const DOING: &str = "deleting a removed folder";

impl Inner {
    /// Deletes and credits one batch, and writes the next one down. `true`: nothing is left, and it
    /// is answered.
    pub(super) fn purge_batch(&self, request: &Request, id: i64, mut purge: Purge) -> Result<bool> {
        let failed = while_doing(DOING);
        let root =
            self.disk.open_beneath(&self.layout.staging, purge.staged.as_bytes(), Open::Folder);
        let mut next = Vec::new();
        let mut done = std::mem::take(&mut purge.batch);
        let mut surprise = false;
        // Without it another hand was quicker.
        if let Some(root) = if_there(root).map_err(&failed)? {
            self.unlink_batch(&root, &done).map_err(&failed)?;
            self.step(Step::BatchUnlinked)?;
            next = self.next_batch(&root, &mut purge.next).map_err(&failed)?;
            self.leave_out_aside(&root, &mut done).map_err(&failed)?;
            if next.is_empty() {
                let account = request.account;
                let credits = self.db.read(|connection| scans::credits(connection, account))?;
                let aside = self.count_aside(&root, &scans::files(&credits)).map_err(&failed)?;
                surprise = aside.is_short;
                done.extend(aside.gone());
            }
        }
        purge.batch = next;
        count(&mut purge.removed, &done);
        if purge.batch.is_empty() {
            let went = done.iter().map(|doomed| doomed.gone).collect();
            let effect = Effect { went, surprise, ..Effect::default() };
            self.settle(request, id, effect, Some(&Answer::Removed(purge.removed)))?;
            self.step(Step::Settled)?;
            self.sweep(purge.staged);
            return Ok(true);
        }
        let (account, body) = (request.account, encode(&Intent(&purge)));
        let due = self.db.write("deleting a removed folder", move |connection| {
            credit(connection, account, &done)?;
            intents::update(connection, id, &body)?;
            scans::is_due(connection, account)
        })?;
        self.scans.wake_if(due);
        self.step(Step::BatchWrittenDown)?;
        Ok(false)
    }

    /// Unlinks what a batch names. What is gone already was unlinked before a crash.
    fn unlink_batch(&self, root: &OwnedFd, batch: &[Doomed]) -> io::Result<()> {
        let mut open: Option<(u64, OwnedFd)> = None;
        for doomed in batch {
            let removed = match doomed.folder {
                None => {
                    open = None;
                    self.disk.remove_folder(root, &doomed.name)
                }
                Some(number) => {
                    if open.as_ref().is_none_or(|(opened, _)| *opened != number) {
                        self.flush(open.take())?;
                        let name = number.to_string();
                        let folder = self.disk.open_beneath(root, name.as_bytes(), Open::Folder);
                        open = if_there(folder)?.map(|folder| (number, folder));
                    }
                    match &open {
                        Some((_, folder)) => self.disk.unlink(folder, &doomed.name),
                        None => Ok(()),
                    }
                }
            };
            if let Err(error) = if_there(removed) {
                if !is_kept(&error) {
                    return Err(error);
                }
                open = None;
                self.set_aside(root, doomed, &error)?;
            }
        }
        self.flush(open)?;
        if batch.is_empty() { Ok(()) } else { self.disk.flush_folder(root) }
    }

    /// Leaves a folder alone from now on, in which something cannot be deleted.
    fn set_aside(&self, root: &OwnedFd, doomed: &Doomed, why: &io::Error) -> io::Result<()> {
        let number = match doomed.folder {
            Some(number) => number.to_string(),
            None => String::from_utf8_lossy(&doomed.name).into_owned(),
        };
        let name = Escaped(&doomed.name).to_string();
        let aside = Beside::aside(&number);
        tracing::error!(error = %why, name, aside, "cannot delete from a removed folder; it stays in staging");
        match self.disk.rename((root, number.as_bytes()), (root, aside.as_bytes())) {
            // After a crash a number may have been given twice.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let aside = staging::fresh(ASIDE);
                self.disk.rename((root, number.as_bytes()), (root, aside.as_bytes()))
            }
            renamed => if_there(renamed).map(drop),
        }
    }

    fn flush(&self, folder: Option<(u64, OwnedFd)>) -> io::Result<()> {
        folder.map_or(Ok(()), |(_, folder)| self.disk.flush_folder(folder))
    }

    /// The next names to delete, folders after what is in them. Moves folders up on the way.
    fn next_batch(&self, root: &OwnedFd, next: &mut u64) -> io::Result<Vec<Doomed>> {
        let mut folders: Vec<u64> = Vec::new();
        self.disk.seek(root, 0)?;
        self.disk.names(root, |name, _| {
            match Beside::of(name) {
                Some(Beside::Numbered(number)) => folders.push(number),
                // Its number is not given again: what a batch says of it would be another's.
                Some(Beside::Aside(Some(number))) => *next = (*next).max(number + 1),
                Some(Beside::Aside(None)) | None => {}
            }
            folders.len() < BATCH
        })?;
        // Larger ones that are not known here are found when the number is tried.
        *next = folders.iter().max().map_or(*next, |most| (*next).max(most + 1));
        let (mut batch, none) = (Vec::new(), HashSet::new());
        while let Some(number) = folders.pop() {
            let name = number.to_string().into_bytes();
            let folder = match self.disk.open_beneath(root, &name, Open::Folder) {
                Err(error) if is_kept(&error) => {
                    let doomed = Doomed { folder: None, name, gone: FOLDER };
                    self.set_aside(root, &doomed, &error)?;
                    batch.push(doomed);
                    continue;
                }
                opened => opened?,
            };
            let (names, whole) = self.names_of(&folder, BATCH - batch.len(), &none)?;
            let mut moved = Vec::new();
            for name in names {
                let Some(meta) = if_there(self.disk.stat(&folder, &name))? else { continue };
                if meta.kind == EntryKind::Folder {
                    match self.move_up(&folder, &name, &meta, root, next) {
                        // Its deletion will fail too, and set aside what it lies in.
                        Err(error) if is_kept(&error) => {
                            batch.push(Doomed { folder: Some(number), name, gone: FOLDER });
                        }
                        moved_up => {
                            moved_up?;
                            moved.push(*next - 1);
                        }
                    }
                } else {
                    batch.push(Doomed { folder: Some(number), name, gone: gone(&meta) });
                }
            }
            if !moved.is_empty() {
                // The moves must be on disk before anything that they left behind is deleted.
                self.disk.flush_folder(&folder)?;
                self.disk.flush_folder(root)?;
            }
            if whole {
                batch.push(Doomed { folder: None, name, gone: FOLDER });
            } else {
                folders.push(number);
            }
            folders.extend(moved);
            // An empty batch says that nothing is left: folders alone that were moved up are none.
            if batch.len() >= BATCH || (!whole && !batch.is_empty()) {
                break;
            }
        }
        Ok(batch)
    }

    /// At most `most` names of a folder from its start, without those in `but`, and whether these
    /// are all.
    pub(super) fn names_of(
        &self,
        folder: &OwnedFd,
        most: usize,
        but: &HashSet<Vec<u8>>,
    ) -> io::Result<(Vec<Vec<u8>>, bool)> {
        let mut names = Vec::new();
        let mut whole = true;
        self.disk.names(folder, |name, _| {
            if but.contains(name) {
                return true;
            }
            whole = names.len() < most;
            if whole {
                names.push(name.to_vec());
            }
            whole
        })?;
        Ok((names, whole))
    }

    /// Moves a folder up beside the others, under the next free number.
    fn move_up(
        &self,
        folder: &OwnedFd,
        name: &[u8],
        meta: &Meta,
        root: &OwnedFd,
        next: &mut u64,
    ) -> io::Result<()> {
        self.open_up(folder, name, meta)?;
        loop {
            let number = next.to_string();
            *next += 1;
            match self.disk.rename((folder, name), (root, number.as_bytes())) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                moved => return moved,
            }
        }
    }

    /// Opens a folder up that keeps its owner out: its move and what lies in it need that.
    pub(super) fn open_up(&self, folder: &OwnedFd, name: &[u8], meta: &Meta) -> io::Result<()> {
        if meta.mode.bits() & 0o700 == 0o700 {
            return Ok(());
        }
        // By a handle: a name may be a link by now.
        let handle = self.disk.open_beneath(folder, name, Open::FolderToLook)?;
        self.disk.set_mode_of(handle.as_fd(), Mode::new(0o700))
    }
}

/// An intent's body without copying the batch.
struct Intent<'a>(&'a Purge);

impl Serialize for Intent<'_> {
    fn serialize<S: serde::Serializer>(
        &self,
        serializer: S,
    ) -> std::result::Result<S::Ok, S::Error> {
        serializer.serialize_newtype_variant("Intent", 7, "Purge", self.0)
    }
}

fn gone(meta: &Meta) -> Gone {
    match meta.kind {
        EntryKind::File => meta.id().gone(),
        _ => Gone::uncredited(meta.charge()),
    }
}

fn count(removed: &mut Removed, batch: &[Doomed]) {
    for Doomed { gone, .. } in batch {
        removed.bytes += gone.bytes;
        removed.entries += gone.entries;
    }
}

/// One credit for all but the files that an upload may count on.
fn credit(
    connection: &rusqlite::Connection,
    account: AccountId,
    batch: &[Doomed],
) -> std::result::Result<(), StoreError> {
    let mut rest = Charge::NONE;
    for Doomed { gone, .. } in batch {
        let charge = gone.charge();
        match gone.inode() {
            Some(inode) if ledger::claim(connection, account, inode)?.is_some() => {
                ledger::credit(connection, account, Some(inode), charge)?;
            }
            _ => rest = rest.plus(charge),
        }
    }
    ledger::credit(connection, account, None, rest)
}
