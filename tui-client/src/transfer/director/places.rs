//! Who is on the way to which place.
//!
//! Two transfers of one source to one target would share the name that they stage under, and two of
//! any sources would each take the other's file for a stranger's. So the second waits until the first
//! has ended, and is then decided again.
//!
//! Invariant: of all files that are gathered, held, queued or running no two have one target.

use super::Director;
use crate::transfer::command::BatchId;
use crate::transfer::item::FilePlan;

impl Director {
    /// Takes a file's place. If another one has it, the file waits; `None` then.
    pub(super) fn enter(&mut self, id: BatchId, plan: FilePlan) -> Option<FilePlan> {
        let place = plan.ends.to();
        if self.places.contains(&place) {
            let batch = self.batches.get_mut(&id)?;
            batch.pending += 1;
            self.behind.entry(place).or_default().push((id, plan));
            return None;
        }
        self.places.insert(place);
        Some(plan)
    }

    /// A file has ended, or will not begin: those behind it may be decided.
    pub(super) fn leave(&mut self, plan: &FilePlan) {
        let place = plan.ends.to();
        self.places.remove(&place);
        for (id, waiting) in self.behind.remove(&place).unwrap_or_default() {
            if let Some(batch) = self.batches.get_mut(&id) {
                batch.pending -= 1;
                batch.again.push(waiting);
            }
        }
    }

    /// The files of a batch that wait for others.
    pub(super) fn take_behind(&mut self, id: BatchId) -> Vec<FilePlan> {
        let mut taken = Vec::new();
        self.behind.retain(|_, waiting| {
            taken.extend(waiting.extract_if(.., |(batch, _)| *batch == id).map(|(_, plan)| plan));
            !waiting.is_empty()
        });
        taken
    }
}
