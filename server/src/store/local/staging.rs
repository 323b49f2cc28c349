//! Names in staging, and deleting what nothing hangs on any more.
//!
//! Invariant: a fresh name is never one that lies there already.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sampan_protocol::UploadId;
use tokio::sync::Notify;

use super::Inner;

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

/// Names in staging that may wait to be deleted; beyond that whoever adds one deletes it.
const QUEUED_SWEEPS: usize = 1024;
/// How long a closing store deletes what is to be deleted; the rest is for its next start.
pub(super) const SWEEP_WHEN_CLOSING: Duration = Duration::from_secs(5);

/// What is to be deleted soon.
#[derive(Default)]
pub(super) struct Sweeps {
    names: Mutex<Vec<String>>,
    pub(super) added: Notify,
}

impl Sweeps {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Deletes a name in staging soon: before the store closes, or after its next start.
    pub(super) fn sweep(&self, name: String) {
        let mut names = self.sweeps.lock();
        if names.len() < QUEUED_SWEEPS {
            names.push(name);
            drop(names);
            self.sweeps.added.notify_one();
        } else {
            drop(names);
            self.delete_swept(&name);
        }
    }

    /// The same, however many wait.
    pub(super) fn sweep_later(&self, name: String) {
        self.sweeps.lock().push(name);
        self.sweeps.added.notify_one();
    }

    /// Deletes what is to be deleted, one name after the other, for at most `time`.
    pub(super) fn sweep_for(&self, time: Duration) {
        let started = Instant::now();
        self.sweep_while(&|| started.elapsed() < time);
    }

    /// The same as long as `go_on` says so; asked between small steps.
    pub(super) fn sweep_while(&self, go_on: &dyn Fn() -> bool) {
        while go_on() {
            let Some(name) = self.sweeps.lock().pop() else { return };
            self.delete_swept_while(&name, go_on);
        }
    }

    /// Deletes a name in staging; a failure costs space, not correctness.
    pub(super) fn delete_swept(&self, name: &str) {
        self.delete_swept_while(name, &|| true);
    }

    fn delete_swept_while(&self, name: &str, go_on: &dyn Fn() -> bool) {
        if let Err(error) = self.delete_staged(name, go_on) {
            tracing::warn!(%error, name, "cannot delete from staging");
        }
    }
}
