//! The gauges: one for each transfer that runs, and one for all.
//!
//! ```text
//! Planned ▶ Started ▶ Progress … Phase … ▶ Finished ▶ … ▶ Summary
//! ```
//!
//! The gauge for all covers every batch since the panel was last at rest, by bytes: planned ones
//! against those of finished files and the progress of running ones.
//!
//! Invariant: bytes that were there before a transfer began raise a gauge and not a rate.

mod item;
mod lost;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use sampan_protocol::{Attributes, EntryKind};

use super::rate::Rate;
use super::route;
use crate::place::Location;
use crate::transfer::{
    Batch, BatchId, Direction, Event, ItemId, Outcome, SkipReason, Summary, Totals, Transfer,
};

pub use item::{Item, STALL, State};
pub use lost::Lost;

/// Most failures that the panel keeps and that can be tried again, and most that was left out; the
/// counts go on.
const MOST_LOST: usize = 10_000;

/// A target that exists and differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Conflict {
    /// Its batch.
    pub batch: BatchId,
    /// Its id.
    pub item: ItemId,
    /// What is carried.
    pub from: (Location, Attributes),
    /// What lies at the target.
    pub to: (Location, Attributes),
}

/// A batch.
#[derive(Clone, Debug)]
struct BatchState {
    order: Batch,
    totals: Totals,
    planned: bool,
    settled_bytes: u64,
    settled_files: u64,
    summary: Option<Summary>,
    /// The person answered for all its questions.
    answered: bool,
}

/// All transfers.
#[derive(Clone, Debug)]
pub struct Transfers {
    batches: BTreeMap<BatchId, BatchState>,
    items: BTreeMap<ItemId, Item>,
    lost: VecDeque<Lost>,
    left_out: VecDeque<LeftOut>,
    conflicts: VecDeque<Conflict>,
    rates: [Rate; 2],
    began: Instant,
    ended: Option<Instant>,
    /// The first line in view of those below the gauge for all.
    pub offset: usize,
}

/// The gauge for all.
#[derive(Clone, Debug, PartialEq)]
pub struct Overall {
    /// Bytes that are settled.
    pub bytes: u64,
    /// Bytes known so far.
    pub total: u64,
    /// Everything was found: `total` does not grow any more.
    pub planned: bool,
    /// Files and folders that are done with.
    pub settled: u64,
    /// Files and folders known so far.
    pub count: u64,
    /// Bytes a second to the server and from it.
    pub rates: (f64, f64),
    /// Until all is done.
    pub left: Option<Duration>,
    /// Transfers that move.
    pub active: usize,
    /// Questions that wait for an answer.
    pub asking: usize,
    /// How it all ended, once nothing runs.
    pub ended: Option<Ended>,
}

/// How it all ended.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Ended {
    /// Files and folders across.
    pub done: u64,
    /// There already.
    pub unchanged: u64,
    /// Left out.
    pub skipped: u64,
    /// Failed.
    pub failed: u64,
    /// Bytes of files across.
    pub bytes: u64,
    /// How long it took.
    pub took: Duration,
}

/// A line of the panel below the gauge for all.
#[derive(Clone, Debug)]
pub enum Line<'a> {
    /// A transfer that runs.
    Running(&'a Item),
    /// One that failed.
    Failed(&'a Lost),
    /// What cannot be carried.
    LeftOut(&'a LeftOut),
}

/// Something that is never carried, such as a link.
#[derive(Clone, Debug, PartialEq)]
pub struct LeftOut {
    /// Where it lies.
    pub from: Location,
    /// Why.
    pub reason: SkipReason,
}

impl Transfers {
    /// None.
    pub fn new(now: Instant) -> Self {
        Self {
            batches: BTreeMap::new(),
            items: BTreeMap::new(),
            lost: VecDeque::new(),
            left_out: VecDeque::new(),
            conflicts: VecDeque::new(),
            rates: [Rate::new(now); 2],
            began: now,
            ended: None,
            offset: 0,
        }
    }

    /// Whether there is nothing to show.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether a batch is not done with.
    pub fn is_running(&self) -> bool {
        self.batches.values().any(|batch| batch.summary.is_none())
    }

    /// Whether a batch of this direction is not done with.
    pub fn runs(&self, direction: Direction) -> bool {
        self.batches.values().any(|batch| {
            batch.summary.is_none() && route::direction(&batch.order.route) == direction
        })
    }

    /// Batches that are not done with.
    pub fn running_batches(&self) -> Vec<BatchId> {
        let running = self.batches.iter().filter(|(_, batch)| batch.summary.is_none());
        running.map(|(id, _)| *id).collect()
    }

    /// A batch was handed to the engine.
    pub fn begin(&mut self, batch: BatchId, order: Batch, now: Instant) {
        if !self.is_running() {
            *self = Self::new(now);
        }
        let state = BatchState {
            order,
            totals: Totals::default(),
            planned: false,
            settled_bytes: 0,
            settled_files: 0,
            summary: None,
            answered: false,
        };
        self.batches.insert(batch, state);
    }

    /// Forgets what ended, if nothing runs. Answers whether there was anything.
    pub fn dismiss(&mut self, now: Instant) -> bool {
        if self.is_empty() || self.is_running() {
            return false;
        }
        *self = Self::new(now);
        true
    }

    /// The engine tells something.
    pub fn apply(&mut self, event: Event, now: Instant) {
        match event {
            Event::Planned { batch, totals, complete } => self.planned(batch, totals, complete),
            Event::Started { batch, item, transfer } => self.started(batch, item, transfer, now),
            Event::Progress { item, bytes } => self.progress(item, bytes, now),
            Event::Phase { item, phase } => {
                if let Some(item) = self.items.get_mut(&item) {
                    item.enter(phase, now);
                }
            }
            Event::Finished { batch, item, from, to, source, outcome } => {
                self.finished(batch, item, source.as_ref(), &outcome);
                match outcome {
                    Outcome::Failed(failure) => self.lose(Lost { batch, from, to, failure }),
                    // What a person chose to leave out needs no naming.
                    Outcome::Skipped(reason @ (SkipReason::Link | SkipReason::NotAFile)) => {
                        self.leave_out(LeftOut { from, reason });
                    }
                    Outcome::Skipped(_) | Outcome::Done { .. } | Outcome::Unchanged => {}
                }
            }
            Event::GroupFinished { item } => self.group_finished(item),
            Event::Conflict { batch, item, from, to } => {
                // On its way when the answer for all was given, which the engine gives it too.
                if !self.batches.get(&batch).is_some_and(|batch| batch.answered) {
                    self.conflicts.push_back(Conflict { batch, item, from, to });
                }
            }
            Event::Summary { batch, summary } => self.summed_up(batch, summary, now),
        }
    }

    fn planned(&mut self, batch: BatchId, totals: Totals, complete: bool) {
        if let Some(batch) = self.batches.get_mut(&batch) {
            (batch.totals, batch.planned) = (totals, complete);
        }
    }

    fn started(&mut self, batch: BatchId, item: ItemId, transfer: Transfer, now: Instant) {
        self.items.insert(item, Item::new(batch, transfer, now));
    }

    fn progress(&mut self, id: ItemId, bytes: u64, now: Instant) {
        let Some(item) = self.items.get_mut(&id) else { return };
        let moved = item.progress(bytes, now);
        let direction = item.transfer.direction;
        self.rates[rate_index(direction)].add(moved, now);
    }

    fn finished(
        &mut self,
        batch: BatchId,
        item: ItemId,
        source: Option<&Attributes>,
        outcome: &Outcome,
    ) {
        self.conflicts.retain(|conflict| conflict.item != item);
        let is_member = self.items.get(&item).is_some_and(Item::is_group);
        let carried = if is_member { None } else { self.items.remove(&item) };
        // The totals hold what is carried, and every folder; what was there already, is left out or
        // failed before it began is not in them.
        let is_folder = source.is_some_and(|source| source.kind == EntryKind::Folder);
        let began = is_member || carried.is_some();
        if !began && !is_folder && !matches!(outcome, Outcome::Done { .. }) {
            return;
        }
        if let Some(state) = self.batches.get_mut(&batch) {
            state.settled_files += 1;
            if !is_member {
                let bytes = carried.map(|item| item.transfer.bytes);
                let bytes = bytes.or(source.filter(|_| !is_folder).map(|source| source.size));
                let bytes = bytes.unwrap_or(0);
                state.settled_bytes = state.settled_bytes.saturating_add(bytes);
            }
        }
    }

    fn lose(&mut self, lost: Lost) {
        if self.lost.len() == MOST_LOST {
            self.lost.pop_front();
        }
        self.lost.push_back(lost);
    }

    fn leave_out(&mut self, left: LeftOut) {
        if self.left_out.len() == MOST_LOST {
            self.left_out.pop_front();
        }
        self.left_out.push_back(left);
    }

    /// Batches that carry again what failed, which does not count as failed any more.
    pub fn take_lost(&mut self) -> Vec<Batch> {
        let mut of_batches: BTreeMap<BatchId, Vec<Lost>> = BTreeMap::new();
        for lost in self.lost.drain(..) {
            of_batches.entry(lost.batch).or_default().push(lost);
        }
        let mut orders = Vec::new();
        for (id, lost) in of_batches {
            let Some(batch) = self.batches.get_mut(&id) else { continue };
            orders.extend(lost::again(&batch.order, &lost));
            if let Some(summary) = &mut batch.summary {
                summary.failed = summary.failed.saturating_sub(lost.len() as u64);
            }
        }
        orders
    }

    /// What failed, latest first.
    pub fn lost(&self) -> impl Iterator<Item = &Lost> {
        self.lost.iter().rev()
    }

    fn group_finished(&mut self, item: ItemId) {
        let Some(item) = self.items.remove(&item) else { return };
        if let Some(batch) = self.batches.get_mut(&item.batch) {
            batch.settled_bytes = batch.settled_bytes.saturating_add(item.transfer.bytes);
        }
    }

    fn summed_up(&mut self, id: BatchId, summary: Summary, now: Instant) {
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.summary = Some(summary);
        }
        self.items.retain(|_, item| item.batch != id);
        self.conflicts.retain(|conflict| conflict.batch != id);
        if !self.is_running() {
            self.ended = Some(now);
        }
    }

    /// The oldest question of the engine.
    pub fn conflict(&self) -> Option<&Conflict> {
        self.conflicts.front()
    }

    /// Whether this question still waits for an answer.
    pub fn asks(&self, conflict: &Conflict) -> bool {
        self.conflicts.iter().any(|waiting| waiting.item == conflict.item)
    }

    /// A question was answered, for one item or for all of its batch.
    pub fn answered(&mut self, answered: &Conflict, whole_batch: bool) {
        if let Some(batch) = self.batches.get_mut(&answered.batch) {
            batch.answered |= whole_batch;
        }
        self.conflicts.retain(|conflict| {
            conflict.item != answered.item && !(whole_batch && conflict.batch == answered.batch)
        });
    }

    /// Lines below the gauge for all: what runs first, then what failed and what was left out, each
    /// latest first.
    pub fn lines(&self) -> impl Iterator<Item = Line<'_>> {
        let running = self.items.values().map(Line::Running);
        let left_out = self.left_out.iter().rev().map(Line::LeftOut);
        running.chain(self.lost().map(Line::Failed)).chain(left_out)
    }

    /// How many lines there are below the gauge for all.
    pub fn line_count(&self) -> usize {
        self.items.len() + self.lost.len() + self.left_out.len()
    }

    /// The gauge for all; `None` if there is nothing to show.
    pub fn overall(&self, now: Instant) -> Option<Overall> {
        if self.is_empty() {
            return None;
        }
        let batches = self.batches.values();
        let total = batches.clone().map(|batch| batch.totals.bytes.max(batch.settled_bytes)).sum();
        let settled: u64 = batches.clone().map(|batch| batch.settled_bytes).sum();
        let running: u64 = self.items.values().map(|item| item.bytes).sum();
        let bytes = settled.saturating_add(running).min(total);
        let [up, down] = self.rates;
        let rate = up.value(now) + down.value(now);
        let left = if rate < 1.0 {
            None
        } else {
            Duration::try_from_secs_f64((total - bytes) as f64 / rate).ok()
        };
        Some(Overall {
            bytes,
            total,
            planned: batches.clone().all(|batch| batch.planned || batch.summary.is_some()),
            settled: batches.clone().map(|batch| batch.settled_files).sum(),
            count: batches.clone().map(|batch| batch.totals.files + batch.totals.folders).sum(),
            rates: (up.value(now), down.value(now)),
            left,
            active: self.items.len(),
            asking: self.conflicts.len(),
            ended: self.ended(now),
        })
    }

    fn ended(&self, now: Instant) -> Option<Ended> {
        if self.is_running() {
            return None;
        }
        let ended = self.ended.unwrap_or(now);
        let start = Ended { took: ended.saturating_duration_since(self.began), ..Ended::default() };
        let summaries = self.batches.values().filter_map(|batch| batch.summary.as_ref());
        Some(summaries.fold(start, |sum, summary| Ended {
            done: sum.done + summary.done,
            unchanged: sum.unchanged + summary.unchanged,
            skipped: sum.skipped + summary.skipped,
            failed: sum.failed + summary.failed,
            bytes: sum.bytes.saturating_add(summary.bytes),
            took: sum.took,
        }))
    }
}

fn rate_index(direction: Direction) -> usize {
    match direction {
        Direction::Upload => 0,
        Direction::Download => 1,
    }
}

#[cfg(test)]
mod tests;
