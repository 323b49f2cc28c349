//! One transfer that runs.

use std::time::{Duration, Instant};

use crate::app::rate::Rate;
use crate::transfer::{BatchId, Phase, Transfer};

/// Without a byte for so long, a running transfer is stalled.
pub const STALL: Duration = Duration::from_secs(2);

/// What a person is told that a transfer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Waits for its turn.
    Waiting,
    /// Bytes move.
    Running,
    /// No byte came for a while, though the link is there.
    Stalled,
    /// The link is gone; it goes on when that is back.
    Reconnecting,
    /// Both sides are compared, or the receiver makes it durable.
    Verifying,
    /// Held by the person.
    Paused,
}

/// A file, or a group of small ones, on its way.
#[derive(Clone, Debug)]
pub struct Item {
    /// Its batch.
    pub batch: BatchId,
    /// What it is.
    pub transfer: Transfer,
    /// Bytes that are across.
    pub bytes: u64,
    /// How fast it moves.
    pub rate: Rate,
    phase: Phase,
    advanced: Instant,
}

impl Item {
    /// One that just began.
    pub fn new(batch: BatchId, transfer: Transfer, now: Instant) -> Self {
        Self {
            batch,
            bytes: transfer.resumed.min(transfer.bytes),
            transfer,
            rate: Rate::new(now),
            phase: Phase::Running,
            advanced: now,
        }
    }

    /// Small files that travel together.
    pub fn is_group(&self) -> bool {
        self.transfer.files > 1
    }

    /// So many bytes are across. Answers how many moved.
    pub fn progress(&mut self, bytes: u64, now: Instant) -> u64 {
        let moved = bytes.saturating_sub(self.bytes);
        // Blocks that are sent again take the gauge back.
        self.bytes = bytes.min(self.transfer.bytes);
        if moved > 0 {
            self.advanced = now;
        }
        self.rate.add(moved, now);
        moved
    }

    /// It does something else now.
    pub fn enter(&mut self, phase: Phase, now: Instant) {
        if phase != self.phase {
            self.phase = phase;
            self.advanced = now;
        }
    }

    /// What a person is told; `link_is_broken` holds for all.
    pub fn state(&self, link_is_broken: bool, now: Instant) -> State {
        match self.phase {
            Phase::Paused => State::Paused,
            _ if link_is_broken => State::Reconnecting,
            Phase::Waiting => State::Waiting,
            Phase::Verifying | Phase::Committing => State::Verifying,
            Phase::Running if now.saturating_duration_since(self.advanced) >= STALL => {
                State::Stalled
            }
            Phase::Running => State::Running,
        }
    }

    /// Until it is across.
    pub fn left(&self, now: Instant) -> Option<Duration> {
        self.rate.time_for(self.transfer.bytes - self.bytes, now)
    }
}
