//! Moves across: each file is removed from its old side only after it is across and verified.
//!
//! Removals are collected while one is under way, so that ten thousand small files are no ten
//! thousand requests one after the other. Folders go last, deepest first, and only if nothing is in
//! them any more: what was skipped or failed keeps its folder.
//!
//! Invariant: nothing is ever removed that the engine did not report as across; what is removed is
//! pinned to the state in which it was read.

use std::collections::BTreeMap;

use sampan_protocol::{Attributes, EntryKind};

use super::changes::{Change, Seen};
use crate::place::Location;
use crate::transfer::{BatchId, Outcome};

/// Most files that one removal names, so that the gauge gets on.
const MOST_AT_ONCE: usize = 256;

/// All moves that run.
#[derive(Clone, Debug, Default)]
pub struct Moves {
    running: BTreeMap<BatchId, Move>,
}

#[derive(Clone, Debug, Default)]
struct Move {
    across: Vec<Seen>,
    folders: Vec<Location>,
    removing: bool,
    /// The engine is done with the batch.
    settled: bool,
}

impl Moves {
    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// This batch is a move.
    pub fn begin(&mut self, batch: BatchId) {
        self.running.insert(batch, Move::default());
    }

    /// One file or folder of a batch is done with.
    pub fn finished(
        &mut self,
        batch: BatchId,
        from: &Location,
        source: Option<&Attributes>,
        outcome: &Outcome,
    ) {
        let (Some(running), Some(source)) = (self.running.get_mut(&batch), source) else { return };
        // Unchanged means equal contents here: moves compare roots.
        if !matches!(outcome, Outcome::Done { .. } | Outcome::Unchanged) {
            return;
        }
        if source.kind == EntryKind::Folder {
            running.folders.push(from.clone());
        } else {
            running.across.push(Seen { location: from.clone(), attributes: source.clone() });
        }
    }

    /// The engine is done with a batch.
    pub fn settled(&mut self, batch: BatchId) {
        if let Some(running) = self.running.get_mut(&batch) {
            running.settled = true;
        }
    }

    /// A removal of this batch ended.
    pub fn removed(&mut self, batch: BatchId) {
        if let Some(running) = self.running.get_mut(&batch) {
            running.removing = false;
        }
    }

    /// What can be removed now.
    pub fn due(&mut self) -> Vec<(BatchId, Change)> {
        let mut due = Vec::new();
        for (batch, running) in &mut self.running {
            if let Some(change) = running.next() {
                due.push((*batch, change));
            }
        }
        self.running.retain(|_, running| running.removing || !running.settled);
        due
    }
}

impl Move {
    fn next(&mut self) -> Option<Change> {
        if self.removing {
            return None;
        }
        let change = if !self.across.is_empty() {
            let rest = self.across.split_off(self.across.len().min(MOST_AT_ONCE));
            Change::Remove(std::mem::replace(&mut self.across, rest))
        } else if self.settled && !self.folders.is_empty() {
            let mut folders = std::mem::take(&mut self.folders);
            folders.sort_by_key(|folder| std::cmp::Reverse(depth(folder)));
            Change::RemoveEmptied(folders)
        } else {
            return None;
        };
        self.removing = true;
        Some(change)
    }
}

fn depth(location: &Location) -> usize {
    match location {
        Location::Local(path) => path.components().count(),
        Location::Remote(path) => path.names().len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{file, folder, home, name};
    use crate::failure::{Failure, Side, Situation};

    const BATCH: BatchId = BatchId(1);
    const DONE: Outcome = Outcome::Done { moved: 1, root: None };

    fn at(text: &str) -> Location {
        home().join(&name(text)).unwrap()
    }

    #[test]
    fn a_file_goes_only_after_it_is_across() {
        let mut moves = Moves::default();
        moves.begin(BATCH);
        assert_eq!(moves.due(), []);
        let read = file("a", 1).attributes;
        moves.finished(BATCH, &at("a"), Some(&read), &DONE);
        let failed = Outcome::Failed(Failure::new(Situation::NotFound(Side::Local), "b"));
        moves.finished(BATCH, &at("b"), Some(&read), &failed);
        let seen = Seen { location: at("a"), attributes: read };
        assert_eq!(moves.due(), [(BATCH, Change::Remove(vec![seen]))]);
        assert_eq!(moves.due(), [], "one removal at a time");
        moves.removed(BATCH);
        moves.settled(BATCH);
        assert_eq!(moves.due(), []);
        assert!(moves.is_empty());
    }

    #[test]
    fn folders_go_last_and_deepest_first() {
        let mut moves = Moves::default();
        moves.begin(BATCH);
        let read = folder("x").attributes;
        let deep = at("docs").join(&name("deep")).unwrap();
        moves.finished(BATCH, &at("docs"), Some(&read), &DONE);
        moves.finished(BATCH, &deep, Some(&read), &DONE);
        assert_eq!(moves.due(), [], "the engine may still put something there");
        moves.settled(BATCH);
        let folders = Change::RemoveEmptied(vec![deep, at("docs")]);
        assert_eq!(moves.due(), [(BATCH, folders)]);
        assert!(!moves.is_empty());
        moves.removed(BATCH);
        assert_eq!(moves.due(), []);
        assert!(moves.is_empty());
    }

    #[test]
    fn what_is_no_move_stays() {
        let mut moves = Moves::default();
        moves.finished(BATCH, &at("a"), Some(&file("a", 1).attributes), &DONE);
        assert_eq!(moves.due(), []);
    }
}
