//! What every job of the engine works with: connections, memory, pace, and how it is held or watched.
//!
//! Invariant: a job takes memory for bytes from [`Memory`] alone, so all jobs together stay within
//! its bound.

use std::sync::atomic::{AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use sampan_protocol::limits::BLOCK_BYTES;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;

use super::event::Phase;
use super::item::Ends;
use super::pace::Pace;
use crate::failure::{Failure, Situation};
use crate::local::Disk;
use crate::remote::{CallError, Remote, Session};
use crate::state::TransferKeys;

/// Bytes that transfers may hold in memory at once, all together, as a number of blocks.
const MEMORY_BLOCKS: usize = 96;

/// Shared by all jobs of an engine.
pub(super) struct Context {
    pub(super) remote: Remote,
    /// What this machine's files are read from and written to.
    pub(super) disk: Disk,
    pub(super) keys: TransferKeys,
    pub(super) pace: Pace,
    pub(super) memory: Memory,
    /// Connections for bulk.
    pub(super) lanes: usize,
    pub(super) paused: watch::Sender<bool>,
    /// Where the next job begins among them.
    pub(super) turn: AtomicUsize,
}

impl Context {
    /// A lane to begin with, each in turn.
    pub(super) fn next_lane(&self) -> usize {
        self.turn.fetch_add(1, Ordering::Relaxed) % self.lanes
    }

    /// The session of a worker among several on one file. The first takes any lane, so that one
    /// works; the others wait for their own, and `None` says that there is none to wait for.
    pub(super) async fn worker_session(
        &self,
        first: usize,
        worker: usize,
    ) -> Result<Option<Session>, CallError> {
        if worker == 0 {
            return self.session(first).await.map(Some);
        }
        let lane = self.remote.lane((first + worker) % self.lanes);
        match lane.session().await {
            Ok(session) => Ok(Some(session)),
            Err(CallError::Down(_)) if !self.remote.is_down() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A session on the lane `first`, or on any other that is there.
    pub(super) async fn session(&self, first: usize) -> Result<Session, CallError> {
        self.remote.bulk_session(self.lanes, first).await
    }
}

/// What a job tells while it runs, read by the engine at its ticks.
#[derive(Debug, Default)]
pub(super) struct Gauge {
    /// Bytes across and acknowledged, with those of an earlier try.
    acknowledged: AtomicU64,
    /// Bytes that moved, counting those sent again.
    moved: AtomicU64,
    phase: AtomicU8,
    /// The phase is another one.
    changed: Notify,
    /// Bytes that were there already, and one more; zero before that is known.
    resumed: AtomicU64,
    /// Where it goes, if that is not where it was planned to go: both files are kept.
    chosen: OnceLock<Ends>,
}

impl Gauge {
    pub(super) fn phase(&self, phase: Phase) {
        if self.phase.swap(phase as u8, Ordering::Relaxed) != phase as u8 {
            self.changed.notify_waiters();
        }
    }

    /// Waits until nothing is being committed.
    pub(super) async fn commits_no_more(&self) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if self.current_phase() != Phase::Committing {
                return;
            }
            changed.await;
        }
    }

    pub(super) fn current_phase(&self) -> Phase {
        const PHASES: [Phase; 5] =
            [Phase::Waiting, Phase::Running, Phase::Verifying, Phase::Committing, Phase::Paused];
        PHASES
            .into_iter()
            .find(|phase| *phase as u8 == self.phase.load(Ordering::Relaxed))
            .unwrap_or(Phase::Waiting)
    }

    /// Another name was chosen.
    pub(super) fn goes_to(&self, ends: Ends) {
        // Chosen once, before anything is begun under it.
        let _ = self.chosen.set(ends);
    }

    /// Where it goes, if another name was chosen.
    pub(super) fn chosen(&self) -> Option<&Ends> {
        self.chosen.get()
    }

    /// The job begins to move; so much is there from an earlier try.
    pub(super) fn begin(&self, resumed: u64) {
        self.acknowledged.store(resumed, Ordering::Relaxed);
        // The first beginning is what people are told of.
        let _ = self.resumed.compare_exchange(0, resumed + 1, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// `None` before the job has begun.
    pub(super) fn resumed(&self) -> Option<u64> {
        self.resumed.load(Ordering::Relaxed).checked_sub(1)
    }

    pub(super) fn add_acknowledged(&self, bytes: u64) {
        self.acknowledged.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub(super) fn add_moved(&self, bytes: u64) {
        self.moved.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn moved(&self) -> u64 {
        self.moved.load(Ordering::Relaxed)
    }
}

/// A job's hold on the engine.
#[derive(Clone)]
pub(super) struct Control {
    pub(super) gauge: Arc<Gauge>,
    pub(super) paused: watch::Receiver<bool>,
}

impl Control {
    /// Waits while the person holds the transfers.
    pub(super) async fn gate(&self) {
        let mut paused = self.paused.clone();
        if !*paused.borrow_and_update() {
            return;
        }
        let before = self.gauge.current_phase();
        self.gauge.phase(Phase::Paused);
        // The engine that holds the sender outlives its jobs.
        let _ = paused.wait_for(|paused| !*paused).await;
        self.gauge.phase(before);
    }
}

/// Buffers of a block each, used again and again: fresh ones would cost the kernel more than the
/// copy.
#[derive(Clone)]
pub(super) struct Memory {
    permits: Arc<Semaphore>,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { permits: Arc::new(Semaphore::new(MEMORY_BLOCKS)), free: Arc::default() }
    }

    /// A buffer for one block, empty.
    pub(super) async fn block(&self) -> Buffer {
        let permit = self.reserve(1).await;
        let vector = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: vector.unwrap_or_default(), free: Arc::clone(&self.free), permit }
    }

    /// The right to hold so many blocks, at most a quarter of all.
    pub(super) async fn reserve(&self, blocks: usize) -> Option<OwnedSemaphorePermit> {
        let blocks = u32::try_from(blocks.min(MEMORY_BLOCKS / 4)).unwrap_or(1);
        // The semaphore is never closed.
        Arc::clone(&self.permits).acquire_many_owned(blocks).await.ok()
    }
}

/// Room for one block, given back when dropped.
pub(super) struct Buffer {
    pub(super) bytes: Vec<u8>,
    free: Arc<Mutex<Vec<Vec<u8>>>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl Buffer {
    /// Its bytes for sending; the room is given back when the last part of them is dropped.
    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() >= usize::try_from(BLOCK_BYTES).unwrap_or(usize::MAX) {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(bytes);
        }
        self.permit.take();
    }
}

/// Runs what blocks off the async threads.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    joined(tokio::task::spawn_blocking(work)).await
}

/// What blocking work came to that was begun elsewhere.
pub(super) async fn joined<T>(work: JoinHandle<Result<T, Failure>>) -> Result<T, Failure> {
    match work.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Failure::new(Situation::Interrupted, "")),
        },
    }
}
