//! What the person stops, and what is tried again.
//!
//! Invariant: whatever of a stopped batch is queued, held, gathered, running or parked is told of as
//! skipped, each file once.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Director;
use super::batch::Hold;
use super::jobs::Work;
use crate::transfer::command::{BatchId, ItemId};
use crate::transfer::event::{Outcome, SkipReason};
use crate::transfer::plan::plan_again;

impl Director {
    pub(super) fn cancel_batch(&mut self, id: BatchId) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        if let Some(plan) = batch.plan.take() {
            plan.abort();
        }
        batch.cancelled = true;
        batch.planned();
        batch.hold = Hold::Free;
        batch.cancel.cancel();
        let held: Vec<_> = batch.held.drain(..).collect();
        let gathered = batch.take_pack();
        let (queued, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|work| work.1 == id);
        self.queue = kept;
        let waiting = queued.into_iter().map(|(item, _, work)| (item, work)).chain(held);
        for (item, work) in waiting.collect::<Vec<_>>() {
            self.drop_work(id, item, work);
        }
        if !gathered.is_empty() {
            let item = self.next_item();
            if let Some(batch) = self.batches.get_mut(&id) {
                batch.pending += 1;
            }
            self.drop_work(id, item, Work::Pack(gathered));
        }
        let parked: Vec<_> = self
            .parked
            .iter()
            .filter(|(_, parked)| parked.0 == id)
            .map(|(item, _)| *item)
            .collect();
        for item in parked {
            self.cancel_item(item);
        }
    }

    pub(super) fn cancel_item(&mut self, item: ItemId) {
        if let Some(running) = self.running.get(&item) {
            running.cancel.cancel();
        } else if let Some(at) = self.queue.iter().position(|work| work.0 == item) {
            if let Some((item, id, work)) = self.queue.remove(at) {
                self.drop_work(id, item, work);
            }
        } else if let Some((id, plan, _)) = self.parked.remove(&item) {
            self.drop_work(id, item, Work::File(plan));
        }
    }

    /// Work that is not begun any more.
    pub(super) fn drop_work(&mut self, id: BatchId, item: ItemId, work: Work) {
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.pending -= 1;
        }
        for plan in work.files() {
            let settled = super::settled(&plan, Outcome::Skipped(SkipReason::Cancelled));
            self.finished(id, item, settled);
        }
    }

    pub(super) fn retry(&mut self, item: ItemId) {
        let found = self.batches.iter_mut().find_map(|(id, batch)| {
            batch.take_failed(item).map(|files| (*id, batch.options.clone(), files))
        });
        let Some((id, options, files)) = found else { return };
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.reopen();
        }
        let again =
            plan_again(Arc::clone(&self.context), id, options, files, self.step_sender.clone());
        self.plans.spawn(again);
    }
}
