//! What plans find becomes work: files one by one, small ones in packs.
//!
//! Invariant: a step of a plan that is not open any more changes nothing.

use std::sync::Arc;

use sampan_protocol::limits::{MAX_PACK_BYTES, MAX_PACK_MEMBER_BYTES, MAX_PACK_MEMBERS};

use super::Director;
use super::jobs::Work;
use crate::transfer::command::{Batch, BatchId};
use crate::transfer::decide::Replace;
use crate::transfer::event::{Event, Outcome};
use crate::transfer::item::{FilePlan, Settled};
use crate::transfer::plan::{PlanId, PlanStep, Steps, plan};
use crate::transfer::upload::PackMember;

/// Bytes of a pack while there is a limit on the pace.
const PACED_PACK_BYTES: u64 = 1 << 20;

impl Director {
    /// The journal has it.
    pub(super) fn begin(&mut self, id: PlanId, batch: Batch) {
        let Some(state) = self.batches.get_mut(&id.batch) else { return };
        state.is_written = true;
        let plan = plan(Arc::clone(&self.context), id, batch, self.steps_of(id.batch));
        self.run_plan(id, plan);
    }

    /// Where a plan of a batch tells its steps.
    pub(super) fn steps_of(&self, id: BatchId) -> Steps {
        let held = self.batches.get(&id).map(|batch| batch.plans_held.subscribe());
        Steps { sender: self.step_sender.clone(), held }
    }

    /// A batch has one more plan, and is not planned before that has ended.
    pub(super) fn open_plan(&mut self, id: BatchId) -> Option<PlanId> {
        let batch = self.batches.get_mut(&id)?;
        self.last_plan += 1;
        batch.plans.insert(self.last_plan, None);
        Some(PlanId { batch: id, number: self.last_plan })
    }

    /// Runs a plan that was opened, unless it was stopped meanwhile.
    pub(super) fn run_plan(&mut self, id: PlanId, plan: impl Future<Output = ()> + Send + 'static) {
        let batch = self.batches.get_mut(&id.batch);
        if let Some(open) = batch.and_then(|batch| batch.plans.get_mut(&id.number)) {
            *open = Some(self.plans.spawn(plan));
        }
    }

    pub(super) fn step(&mut self, PlanId { batch: id, number }: PlanId, step: PlanStep) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        if !batch.plans.contains_key(&number) {
            return;
        }
        match step {
            PlanStep::File(plan) => self.ready(id, plan),
            PlanStep::Folder(folder) => {
                batch.totals.folders += 1;
                if folder.existed.is_none() {
                    batch.touch(&folder.to());
                    if batch.is_upload {
                        batch.pack(PackMember::Folder(folder.clone()));
                    }
                }
                batch.folders.push(folder);
                self.cut_pack_if_full(id);
            }
            PlanStep::Settled(settled) => {
                let item = self.next_item();
                self.finished(id, item, settled);
            }
            PlanStep::Conflict(plan, target) => self.conflict(id, plan, target),
            PlanStep::Ended(result) => {
                batch.plans.remove(&number);
                batch.totals_told = true;
                let (totals, complete) = (batch.totals, batch.is_planned());
                let to = batch.target.clone();
                let from = batch.first_source.clone();
                self.outbox.push_back(Event::Planned { batch: id, totals, complete });
                if let Err(failure) = result {
                    let item = self.next_item();
                    let outcome = Outcome::Failed(failure);
                    self.finished(id, item, Settled { from, to, source: None, outcome });
                }
            }
        }
    }

    /// A file that is decided: small ones are gathered.
    pub(super) fn ready(&mut self, id: BatchId, plan: FilePlan) {
        let Some(plan) = self.enter(id, plan) else { return };
        let Some(batch) = self.batches.get_mut(&id) else { return };
        batch.totals.files += 1;
        batch.totals.bytes += plan.source.size;
        batch.totals_told = false;
        let small = plan.source.size <= MAX_PACK_MEMBER_BYTES;
        if small && plan.replace != Replace::KeepBoth {
            batch.pack(PackMember::File(plan));
            self.cut_pack_if_full(id);
        } else {
            self.push_work(id, Work::File(plan));
        }
    }

    fn cut_pack_if_full(&mut self, id: BatchId) {
        let limits = self.context.remote.limits();
        let members = usize::try_from(limits.pack_members).unwrap_or(usize::MAX);
        let (members, bytes) =
            (members.clamp(1, MAX_PACK_MEMBERS), limits.pack_bytes.min(MAX_PACK_BYTES));
        // Under a limit, small packs keep the pace even.
        let bytes =
            if self.context.pace.is_limited() { bytes.min(PACED_PACK_BYTES) } else { bytes };
        let Some(batch) = self.batches.get_mut(&id) else { return };
        if batch.is_pack_full(members, bytes) {
            self.cut_pack(id);
        }
    }

    /// What is gathered becomes work.
    pub(super) fn cut_pack(&mut self, id: BatchId) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        let members = batch.take_pack();
        if !members.is_empty() {
            self.push_work(id, Work::Pack(members));
        }
    }
}
