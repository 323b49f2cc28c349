//! Names in staging, and deleting what nothing hangs on any more.
//!
//! Invariant: a fresh name is never one that lies there already.

use std::cell::Cell;
use std::collections::HashSet;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sampan_protocol::{Escaped, UploadId};
use tokio::sync::Notify;

use super::Inner;
use super::disk::Open;
use super::failure::{if_there, while_doing};
use super::purge::{BATCH, is_kept};
use super::step::Step;
use crate::store::Result;

/// An upload's bytes.
pub(super) const DATA: &[u8] = b"data";
/// An upload's journal.
pub(super) const JOURNAL: &[u8] = b"journal";
/// An upload's journal while it is written anew.
pub(super) const NEW_JOURNAL: &[u8] = b"journal.new";
/// What begins the name of something to be deleted.
pub(super) const GONE: char = 'g';
/// What begins the name of a pack that arrives.
pub(super) const PACK: char = 'p';

/// The folder of an upload; each time its bytes were given up it gets another one.
pub(super) fn of_upload(upload: UploadId, generation: u64) -> String {
    match generation {
        0 => format!("u{upload}"),
        _ => format!("u{upload}.{generation}"),
    }
}

/// A new name.
pub(super) fn fresh(kind: char) -> String {
    format!("{kind}{:032x}", rand::random::<u128>())
}

/// Names in staging that may wait to be deleted; beyond that whoever adds one begins to delete it.
const QUEUED_SWEEPS: usize = if cfg!(test) { 16 } else { 1024 };
/// How long a closing store deletes what is to be deleted; the rest is for its next start.
pub(super) const SWEEP_WHEN_CLOSING: Duration = Duration::from_secs(5);

/// Small steps (a name in staging, or a batch of a folder) in one slice of sweeping: at most some ten
/// thousand names deleted, most often a few.
const STEPS_A_SLICE: u32 = if cfg!(test) { 3 } else { 16 };

/// What is to be deleted soon.
#[derive(Default)]
pub(super) struct Sweeps {
    waiting: Mutex<Waiting>,
    pub(super) added: Notify,
}

#[derive(Default)]
struct Waiting {
    /// At most [`QUEUED_SWEEPS`].
    names: Vec<String>,
    /// What an earlier run left, and the folders of trees that are half deleted: not counted, as one
    /// tree has any number of them, for which nobody else is to wait.
    begun: Vec<Sweeping>,
}

impl Waiting {
    fn next(&mut self) -> Option<Sweeping> {
        self.begun.pop().or_else(|| self.names.pop().map(Sweeping::of))
    }

    fn is_empty(&self) -> bool {
        self.begun.is_empty() && self.names.is_empty()
    }
}

impl Sweeps {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Deletes a name in staging soon: before the store closes, or after its next start. Here it does
    /// one small step of that at most, since its callers may have their account's turn.
    pub(super) fn sweep(&self, name: String) {
        let mut waiting = self.sweeps.lock();
        if waiting.names.len() < QUEUED_SWEEPS {
            waiting.names.push(name);
            drop(waiting);
            self.sweeps.added.notify_one();
        } else {
            drop(waiting);
            self.delete_swept_while(Sweeping::of(name), &|| false);
        }
    }

    /// The same, however many wait, and without a step.
    pub(super) fn sweep_later(&self, name: String) {
        self.sweeps.lock().begun.push(Sweeping::of(name));
        self.sweeps.added.notify_one();
    }

    /// Deletes what is to be deleted, one name after the other, for at most `time`.
    pub(super) fn sweep_for(&self, time: Duration) {
        let started = Instant::now();
        self.sweep_while(&|| started.elapsed() < time);
    }

    /// One slice of it. `true`: there is more.
    pub(super) fn sweep_slice(&self) -> bool {
        let left = Cell::new(STEPS_A_SLICE);
        self.sweep_while(&|| {
            let before = left.get();
            left.set(before.saturating_sub(1));
            before > 0 && !self.is_closing()
        });
        !self.sweeps.lock().is_empty()
    }

    /// The same as long as `go_on` says so; asked between small steps.
    fn sweep_while(&self, go_on: &dyn Fn() -> bool) {
        while go_on() {
            let Some(sweeping) = self.sweeps.lock().next() else { return };
            self.delete_swept_while(sweeping, go_on);
        }
    }

    /// Deletes a name in staging; a failure costs space, not correctness.
    pub(super) fn delete_swept(&self, name: &str) {
        self.delete_swept_while(Sweeping::of(name.to_owned()), &|| true);
    }

    fn delete_swept_while(&self, sweeping: Sweeping, go_on: &dyn Fn() -> bool) {
        let name = sweeping.name.clone();
        if let Err(error) = self.delete_on(sweeping, go_on) {
            tracing::warn!(%error, name, "cannot delete from staging");
        }
    }

    /// Deletes a name in staging that nothing hangs on any more, with all below it. Asks before each
    /// step whether to `go_on`; if not, what is left is swept later. What cannot be deleted is named
    /// and left behind, and so are the folders in which it lies: for the next start.
    pub(super) fn delete_staged(&self, name: &str, go_on: &dyn Fn() -> bool) -> Result<()> {
        self.delete_on(Sweeping::of(name.to_owned()), go_on)
    }

    fn delete_on(&self, sweeping: Sweeping, go_on: &dyn Fn() -> bool) -> Result<()> {
        let mut open = vec![sweeping];
        while let Some(mut sweeping) = open.pop() {
            let mut folders = Vec::new();
            let ended = self
                .delete_some(&mut sweeping, &mut folders)
                .map_err(while_doing("deleting what is no longer needed in staging"))?;
            self.step(Step::Swept)?;
            if !ended {
                open.push(sweeping);
            }
            open.extend(folders.into_iter().map(Sweeping::of));
            if !open.is_empty() && !go_on() {
                // With what cannot be deleted of them: that is not tried, or told, once more.
                self.sweeps.lock().begun.append(&mut open);
                self.sweeps.added.notify_one();
                return Ok(());
            }
        }
        Ok(())
    }

    /// Deletes some of what lies in a name in staging, and then itself, if that was all: `true`, and
    /// also if no more of it can be deleted. Folders are moved up beside it.
    fn delete_some(&self, sweeping: &mut Sweeping, folders: &mut Vec<String>) -> io::Result<bool> {
        let staging = &self.layout.staging;
        let Sweeping { name: swept, kept } = sweeping;
        let keep = |name: &[u8], error: &io::Error| {
            let name = Escaped(name).to_string();
            tracing::error!(%error, name, within = swept, "cannot delete from staging; it is tried again at the next start");
        };
        let Some(meta) = if_there(self.disk.stat(staging, swept.as_bytes()))? else {
            return Ok(true);
        };
        let folder = if meta.is_folder() {
            match self.disk.open_beneath(staging, swept.as_bytes(), Open::Folder) {
                Err(error) if is_kept(&error) => {
                    keep(b".", &error);
                    return Ok(true);
                }
                opened => opened?,
            }
        } else {
            return self.disk.unlink(staging, swept.as_bytes()).map(|()| true);
        };
        let (names, whole) = self.names_of(&folder, BATCH, kept)?;
        for name in names {
            let Some(meta) = if_there(self.disk.stat(&folder, &name))? else { continue };
            let deleted = if meta.is_folder() {
                let up = fresh(GONE);
                self.open_up(&folder, &name, &meta)
                    .and_then(|()| self.disk.rename((&folder, &name), (staging, up.as_bytes())))
                    .map(|()| folders.push(up))
            } else {
                self.disk.unlink(&folder, &name)
            };
            match if_there(deleted) {
                Ok(_) => {}
                Err(error) if is_kept(&error) => {
                    keep(&name, &error);
                    kept.insert(name);
                }
                Err(error) => return Err(error),
            }
        }
        if kept.is_empty() && whole {
            if_there(self.disk.remove_folder(staging, swept.as_bytes()))?;
        }
        // So many that cannot be deleted are not worth more memory.
        Ok(whole || kept.len() >= BATCH)
    }
}

/// A name in staging that is being deleted.
struct Sweeping {
    name: String,
    /// Names in it that cannot be deleted.
    kept: HashSet<Vec<u8>>,
}

impl Sweeping {
    fn of(name: String) -> Self {
        Self { name, kept: HashSet::new() }
    }
}
