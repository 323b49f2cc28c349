//! Files whose target is another one: parked until somebody, or an earlier answer, decides.
//!
//! Invariant: a parked file holds up itself and the end of its batch, and nothing else.

use super::Director;
use crate::transfer::command::{BatchId, ItemId, Resolution};
use crate::transfer::decide::{Decision, Replace, policy_of, resolve};
use crate::transfer::event::{Event, Outcome};
use crate::transfer::item::{Ends, FilePlan};
use crate::transfer::plan::Target;

impl Director {
    pub(super) fn conflict(&mut self, id: BatchId, plan: FilePlan, target: Target) {
        let item = self.next_item();
        let Some(batch) = self.batches.get_mut(&id) else { return };
        batch.pending += 1;
        let answered = batch.answered;
        if let Some(answer) = answered {
            self.decided(id, item, plan, &target, answer);
            return;
        }
        self.outbox.push_back(Event::Conflict {
            batch: id,
            item,
            from: (plan.ends.from(), plan.source.clone()),
            to: (plan.ends.to(), target.attributes.clone()),
        });
        batch.parked.insert(item, (plan, target));
    }

    pub(super) fn resolve(&mut self, item: ItemId, answer: Resolution, whole_batch: bool) {
        let Some((id, plan, target)) = self.take_parked(item) else { return };
        self.decided(id, item, plan, &target, answer);
        if !whole_batch {
            return;
        }
        let Some(batch) = self.batches.get_mut(&id) else { return };
        batch.answered = Some(answer);
        batch.options.on_conflict = policy_of(answer);
        for (other, (plan, target)) in std::mem::take(&mut batch.parked) {
            self.decided(id, other, plan, &target, answer);
        }
    }

    /// A file that somebody was asked about, and its batch.
    pub(super) fn take_parked(&mut self, item: ItemId) -> Option<(BatchId, FilePlan, Target)> {
        self.batches.iter_mut().find_map(|(id, batch)| {
            let (plan, target) = batch.parked.remove(&item)?;
            Some((*id, plan, target))
        })
    }

    /// A conflict has its answer.
    pub(super) fn decided(
        &mut self,
        id: BatchId,
        item: ItemId,
        mut plan: FilePlan,
        target: &Target,
        answer: Resolution,
    ) {
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.pending -= 1;
        }
        match resolve(answer, &plan.source, &target.attributes) {
            Decision::Send(replace) => {
                if let Ends::Down { victim, .. } = &mut plan.ends {
                    *victim = target.look.map(|look| look.identity);
                }
                if matches!(replace, Replace::This(_)) {
                    plan.credit = target.attributes.size;
                }
                plan.replace = replace;
                self.ready(id, plan);
            }
            Decision::Skip(reason) => {
                let settled = super::settled(&plan, Outcome::Skipped(reason));
                self.finished(id, item, settled);
            }
            Decision::Unchanged | Decision::Ask | Decision::Compare | Decision::Fail(_) => {
                unreachable!("an answer sends or skips")
            }
        }
    }
}
