//! What the person stops, and what is tried again.
//!
//! Invariant: whatever of a cancelled batch is queued, held, gathered, running, behind others or
//! parked is told of as skipped, each file once, but for what is being committed.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Director;
use super::batch::Hold;
use super::jobs::Work;
use crate::transfer::command::{BatchId, ItemId};
use crate::transfer::event::{Outcome, SkipReason};
use crate::transfer::item::FilePlan;
use crate::transfer::plan::plan_again;
use crate::transfer::upload::PackMember;

/// What waited in a batch that was stopped.
#[derive(Default)]
pub(super) struct Stopped {
    pub(super) work: Vec<(ItemId, Work)>,
    pub(super) gathered: Vec<PackMember>,
    /// Files that waited for others, or to be decided again.
    pub(super) behind: Vec<FilePlan>,
    /// Files that somebody was asked about.
    pub(super) parked: Vec<(ItemId, FilePlan)>,
}

impl Director {
    pub(super) fn cancel_batch(&mut self, id: BatchId) {
        let Stopped { work, gathered, behind, parked } = self.stop_batch(id);
        for (item, work) in work {
            self.skip(id, item, work.files());
        }
        for files in [Work::Pack(gathered).files(), behind] {
            if !files.is_empty() {
                let item = self.next_item();
                self.skip(id, item, files);
            }
        }
        for (item, plan) in parked {
            self.skip(id, item, vec![plan]);
        }
    }

    /// Ends a batch but for its running jobs, which are told to end. What waited is not told of.
    pub(super) fn stop_batch(&mut self, id: BatchId) -> Stopped {
        // Before places are left, so that nothing of this batch is decided again.
        let mut behind = self.take_behind(id);
        let Some(batch) = self.batches.get_mut(&id) else { return Stopped::default() };
        batch.stop_plans();
        batch.cancelled = true;
        batch.hold = Hold::Free;
        batch.cancel.cancel();
        batch.pending -= behind.len();
        behind.append(&mut batch.again);
        let held: Vec<_> = batch.held.drain(..).collect();
        let gathered = batch.take_pack();
        let (queued, kept): (VecDeque<_>, VecDeque<_>) =
            std::mem::take(&mut self.queue).into_iter().partition(|work| work.1 == id);
        self.queue = kept;
        let queued = queued.into_iter().map(|(item, _, work)| (item, work));
        let work: Vec<_> = queued.chain(held).collect();
        let parked = std::mem::take(&mut batch.parked);
        let parked: Vec<_> = parked.into_iter().map(|(item, (plan, _))| (item, plan)).collect();
        batch.pending -= work.len() + parked.len();
        for plan in work.iter().flat_map(|(_, work)| work.clone().files()) {
            self.leave(&plan);
        }
        for plan in Work::Pack(gathered.clone()).files() {
            self.leave(&plan);
        }
        Stopped { work, gathered, behind, parked }
    }

    pub(super) fn cancel_item(&mut self, item: ItemId) {
        if let Some(running) = self.running.get(&item) {
            running.cancel.cancel();
        } else if let Some(at) = self.queue.iter().position(|work| work.0 == item) {
            if let Some((item, id, work)) = self.queue.remove(at) {
                self.drop_work(id, item, work);
            }
        } else if let Some((id, plan, _)) = self.take_parked(item) {
            if let Some(batch) = self.batches.get_mut(&id) {
                batch.pending -= 1;
            }
            self.skip(id, item, vec![plan]);
        }
    }

    /// Work that is not begun any more.
    pub(super) fn drop_work(&mut self, id: BatchId, item: ItemId, work: Work) {
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.pending -= 1;
        }
        let files = work.files();
        for plan in &files {
            self.leave(plan);
        }
        self.skip(id, item, files);
    }

    /// Tells that files were left out because the person, or a refusal, said so.
    pub(super) fn skip(&mut self, id: BatchId, item: ItemId, files: Vec<FilePlan>) {
        for plan in files {
            let settled = super::settled(&plan, Outcome::Skipped(SkipReason::Cancelled));
            self.finished(id, item, settled);
        }
    }

    pub(super) fn retry(&mut self, item: ItemId) {
        let found = self
            .batches
            .iter_mut()
            .find_map(|(id, batch)| batch.take_failed(item).map(|files| (*id, files)));
        let Some((id, files)) = found else { return };
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.reopen();
        }
        self.decide_again(id, files);
    }

    /// Looks at files once more, beside whatever else of their batch is planned.
    pub(super) fn decide_again(&mut self, id: BatchId, files: Vec<FilePlan>) {
        let Some(batch) = self.batches.get(&id) else { return };
        let options = batch.options.clone();
        let Some(plan) = self.open_plan(id) else { return };
        let (context, steps) = (Arc::clone(&self.context), self.steps_of(id));
        self.run_plan(plan, plan_again(context, plan, options, files, steps));
    }
}
