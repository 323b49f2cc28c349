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
//! (another user's, made immutable, a mount, or another thing than it was: only an administrator
//! brings such in) is set aside under a name that is no number, logged, and no longer charged: it is
//! not in the home any more.
//!
//! Invariant: a name is credited once; its bytes are charged until it is gone from the disk, or set
//! aside.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use sampan_protocol::{EntryKind, Escaped, Mode};
use serde::{Deserialize, Serialize};

use super::Inner;
use super::attributes::Meta;
use super::change::{Answer, Effect, Gone};
use super::db::answers::Request;
use super::db::{intents, ledger};
use super::disk::Open;
use super::encoding::encode;
use super::failure::{if_there, while_doing};
use super::step::Step;
use crate::quota::Charge;
use crate::store::{AccountId, Removed, Result, StoreError};

/// Names in a batch: two transactions and a flush for so many.
const BATCH: usize = if cfg!(test) { 32 } else { 1024 };

/// How far a purge is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Purge {
    pub(super) staged: String,
    removed: Removed,
    batch: Vec<Doomed>,
    /// The next number. Never one that the batch names: its folders are removed again after a crash.
    next: u64,
}

/// A name that is being deleted.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Doomed {
    /// The numbered folder that it lies in; `None` for a numbered folder itself.
    folder: Option<u64>,
    #[serde(with = "serde_bytes")]
    name: Vec<u8>,
    gone: Gone,
}

impl Purge {
    /// What the tree is called in its folder in staging.
    pub(super) const FIRST: &'static [u8] = b"0";

    pub(super) fn new(staged: String) -> Self {
        Self { staged, removed: Removed { entries: 0, bytes: 0 }, batch: Vec::new(), next: 1 }
    }
}

/// A folder that goes.
const FOLDER: Gone = Gone { inode: None, bytes: 0, entries: 1 };

/// Whether what could not be deleted never can be, as far as the server knows.
fn is_kept(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
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
        // Without it another hand was quicker.
        if let Some(root) = if_there(root).map_err(&failed)? {
            self.unlink_batch(&root, &purge.batch).map_err(&failed)?;
            self.step(Step::BatchUnlinked)?;
            next = self.next_batch(&root, &mut purge.next).map_err(&failed)?;
        }
        let done = std::mem::replace(&mut purge.batch, next);
        count(&mut purge.removed, &done);
        if purge.batch.is_empty() {
            let went = done.iter().map(|doomed| doomed.gone).collect();
            let effect = Effect { went, ..Effect::default() };
            self.settle(request, id, effect, Some(&Answer::Removed(purge.removed)))?;
            self.step(Step::Settled)?;
            self.sweep(purge.staged);
            return Ok(true);
        }
        let (account, body) = (request.account, encode(&Intent(&purge)));
        self.db.write("deleting a removed folder", move |connection| {
            credit(connection, account, &done)?;
            intents::update(connection, id, &body)
        })?;
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
            Some(number) => number.to_string().into_bytes(),
            None => doomed.name.clone(),
        };
        let name = Escaped(&doomed.name).to_string();
        let aside = super::staging::fresh('k');
        tracing::error!(error = %why, name, aside, "cannot delete from a removed folder; it stays in staging");
        if_there(self.disk.rename((root, &number), (root, aside.as_bytes()))).map(drop)
    }

    fn flush(&self, folder: Option<(u64, OwnedFd)>) -> io::Result<()> {
        folder.map_or(Ok(()), |(_, folder)| self.disk.flush_folder(folder))
    }

    /// The next names to delete, folders after what is in them. Moves folders up on the way.
    fn next_batch(&self, root: &OwnedFd, next: &mut u64) -> io::Result<Vec<Doomed>> {
        let mut folders: Vec<u64> = Vec::new();
        self.disk.seek(root, 0)?;
        self.disk.names(root, |name, _| {
            folders
                .extend(std::str::from_utf8(name).ok().and_then(|name| name.parse::<u64>().ok()));
            folders.len() < BATCH
        })?;
        // Larger ones that are not known here are found when the number is tried.
        *next = folders.iter().max().map_or(*next, |most| (*next).max(most + 1));
        let mut batch = Vec::new();
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
            let (names, whole) = self.names_of(&folder, BATCH - batch.len())?;
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

    /// At most `most` names of a folder from its start, and whether these are all.
    fn names_of(&self, folder: &OwnedFd, most: usize) -> io::Result<(Vec<Vec<u8>>, bool)> {
        let mut names = Vec::new();
        let mut whole = true;
        self.disk.names(folder, |name, _| {
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
        if meta.mode.bits() & 0o700 != 0o700 {
            // Its move and what lies in it need that. By a handle: a name may be a link by now.
            let handle = self.disk.open_beneath(folder, name, Open::FolderToLook)?;
            self.disk.set_mode_of(handle.as_fd(), Mode::new(0o700))?;
        }
        loop {
            let number = next.to_string();
            *next += 1;
            match self.disk.rename((folder, name), (root, number.as_bytes())) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                moved => return moved,
            }
        }
    }

    /// Deletes a name in staging that nothing hangs on any more, with all below it. Asks before each
    /// step whether to `go_on`; if not, what is left is swept later.
    pub(super) fn delete_staged(&self, name: &str, go_on: &dyn Fn() -> bool) -> Result<()> {
        let mut open = vec![name.to_owned()];
        while let Some(name) = open.pop() {
            let mut folders = Vec::new();
            let gone = self
                .delete_some(&name, &mut folders)
                .map_err(while_doing("deleting what is no longer needed in staging"))?;
            self.step(Step::Swept)?;
            if !gone {
                open.push(name);
            }
            open.append(&mut folders);
            if !open.is_empty() && !go_on() {
                for name in open {
                    self.sweep_later(name);
                }
                return Ok(());
            }
        }
        Ok(())
    }

    /// Deletes some of what lies in a name in staging, and then itself, if that was all: `true`.
    /// Folders are moved up beside it.
    fn delete_some(&self, name: &str, folders: &mut Vec<String>) -> io::Result<bool> {
        let staging = &self.layout.staging;
        let Some(meta) = if_there(self.disk.stat(staging, name.as_bytes()))? else {
            return Ok(true);
        };
        if !meta.is_folder() {
            return self.disk.unlink(staging, name.as_bytes()).map(|()| true);
        }
        let folder = self.disk.open_beneath(staging, name.as_bytes(), Open::Folder)?;
        let (names, whole) = self.names_of(&folder, BATCH)?;
        for name in &names {
            let Some(meta) = if_there(self.disk.stat(&folder, name))? else { continue };
            if meta.is_folder() {
                let up = super::staging::fresh(super::staging::GONE);
                self.disk.rename((&folder, name), (staging, up.as_bytes()))?;
                folders.push(up);
            } else {
                if_there(self.disk.unlink(&folder, name))?;
            }
        }
        if whole {
            if_there(self.disk.remove_folder(staging, name.as_bytes()))?;
        }
        Ok(whole)
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
    let inode = (meta.kind == EntryKind::File).then_some(meta.inode);
    Gone { inode, bytes: meta.size, entries: 1 }
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
        let charge = Charge { bytes: gone.bytes, entries: gone.entries };
        match gone.inode {
            Some(inode) if ledger::claim(connection, account, inode)?.is_some() => {
                ledger::credit(connection, account, Some(inode), charge)?;
            }
            _ => rest = rest.plus(charge),
        }
    }
    ledger::credit(connection, account, None, rest)
}
