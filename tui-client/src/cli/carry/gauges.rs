//! How far a batch is, counted from the engine's events.
//!
//! The engine's totals hold only what is to be carried. What began and failed is taken out of them, so
//! that the whole reaches its end when the work does.
//!
//! Invariant: `done` is at most `total`.

use std::collections::HashMap;

use sampan_protocol::EntryKind;

use crate::transfer::{Event, ItemId, Outcome, Transfer};

/// The whole and its parts, in bytes.
#[derive(Debug, Default)]
pub(super) struct Gauges {
    planned: u64,
    is_planned: bool,
    excluded: u64,
    finished: u64,
    active: HashMap<ItemId, Part>,
    files: u64,
}

#[derive(Debug)]
struct Part {
    bytes: u64,
    across: u64,
    is_group: bool,
}

impl Gauges {
    /// Takes an event in.
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::Planned { totals, complete, .. } => {
                (self.planned, self.is_planned) = (totals.bytes, *complete);
            }
            Event::Started { item, transfer, .. } => {
                let Transfer { bytes, resumed, files, .. } = *transfer;
                let part = Part { bytes, across: resumed, is_group: files > 1 };
                self.active.insert(*item, part);
            }
            Event::Progress { item, bytes } => {
                if let Some(part) = self.active.get_mut(item) {
                    part.across = (*bytes).min(part.bytes);
                }
            }
            Event::Finished { item, source, outcome, .. } => {
                let file = source.as_ref().filter(|source| source.kind == EntryKind::File);
                let size = file.map_or(0, |file| file.size);
                self.finish(*item, size, outcome);
            }
            Event::GroupFinished { item } => {
                self.active.remove(item);
            }
            Event::Phase { .. } | Event::Conflict { .. } | Event::Summary { .. } => {}
        }
    }

    fn finish(&mut self, item: ItemId, size: u64, outcome: &Outcome) {
        let is_done = matches!(outcome, Outcome::Done { .. });
        if is_done {
            self.files += 1;
        }
        if is_done {
            self.finished += size;
        } else if self.active.contains_key(&item) {
            self.excluded += size;
        }
        match self.active.get_mut(&item) {
            // A member's bytes are counted as finished from now on, no longer as its group's.
            Some(group) if group.is_group => {
                group.bytes = group.bytes.saturating_sub(size);
                group.across = group.across.saturating_sub(size);
            }
            _ => {
                self.active.remove(&item);
            }
        }
    }

    /// Whether a transfer runs; a group does until its last member is done with.
    pub(super) fn is_active(&self, item: ItemId) -> bool {
        self.active.contains_key(&item)
    }

    /// Bytes that are across.
    pub(super) fn done(&self) -> u64 {
        let across: u64 = self.active.values().map(|part| part.across).sum();
        (self.finished + across).min(self.total())
    }

    /// Bytes that are to be carried, as far as they are known.
    pub(super) fn total(&self) -> u64 {
        self.planned.saturating_sub(self.excluded)
    }

    /// Length and position of the bar for the whole. It has no length before there is anything, and
    /// is not full before everything was found.
    pub(super) fn whole(&self) -> (Option<u64>, u64) {
        match (self.is_planned, self.total()) {
            (true, total) => (Some(total), self.done()),
            (false, 0) => (None, 0),
            (false, total) => (Some(total), self.done().min(total - total.div_ceil(100))),
        }
    }

    /// Files and folders that are across.
    pub(super) fn files(&self) -> u64 {
        self.files
    }
}

#[cfg(test)]
mod tests {
    use sampan_protocol::{Attributes, Mode, Timestamp, Version};

    use super::*;
    use crate::failure::{Failure, Side, Situation};
    use crate::place::Location;
    use crate::transfer::{BatchId, Direction, Totals};

    const BATCH: BatchId = BatchId(1);

    fn here() -> Location {
        Location::Local("/x".into())
    }

    fn planned(bytes: u64) -> Event {
        let totals = Totals { files: 1, folders: 0, bytes };
        Event::Planned { batch: BATCH, totals, complete: false }
    }

    fn started(item: u64, files: u64, bytes: u64, resumed: u64) -> Event {
        let direction = Direction::Upload;
        let transfer = Transfer { direction, from: here(), to: here(), files, bytes, resumed };
        Event::Started { batch: BATCH, item: ItemId(item), transfer }
    }

    fn progress(item: u64, bytes: u64) -> Event {
        Event::Progress { item: ItemId(item), bytes }
    }

    fn finished(item: u64, size: u64, outcome: Outcome) -> Event {
        let source = Attributes {
            kind: EntryKind::File,
            size,
            mtime: Timestamp::default(),
            mode: Mode::FILE,
            version: Version::default(),
        };
        let item = ItemId(item);
        Event::Finished {
            batch: BATCH,
            item,
            from: here(),
            to: here(),
            source: Some(source),
            outcome,
        }
    }

    fn done() -> Outcome {
        Outcome::Done { moved: 0, root: None }
    }

    #[test]
    fn the_whole_follows_its_parts_to_the_end() {
        let failed = Outcome::Failed(Failure::new(Situation::NotFound(Side::Local), "x"));
        let steps = [
            (planned(1000), (0, 1000)),
            (started(1, 1, 400, 100), (100, 1000)),
            (progress(1, 300), (300, 1000)),
            (progress(9, 50), (300, 1000)),
            (started(2, 2, 300, 0), (300, 1000)),
            (progress(2, 300), (600, 1000)),
            (finished(1, 400, done()), (700, 1000)),
            (finished(2, 100, done()), (700, 1000)),
            (finished(2, 200, done()), (700, 1000)),
            (Event::GroupFinished { item: ItemId(2) }, (700, 1000)),
            (finished(3, 200, Outcome::Unchanged), (700, 1000)),
            (started(4, 1, 300, 0), (700, 1000)),
            (progress(4, 60), (760, 1000)),
            (finished(4, 300, failed), (700, 700)),
        ];
        let mut gauges = Gauges::default();
        for (event, expected) in steps {
            gauges.take(&event);
            assert_eq!((gauges.done(), gauges.total()), expected, "{event:?}");
        }
        assert_eq!(gauges.files(), 3);
    }

    #[test]
    fn the_whole_is_not_full_before_all_is_planned() {
        let mut gauges = Gauges::default();
        assert_eq!(gauges.whole(), (None, 0));
        gauges.take(&planned(1000));
        gauges.take(&started(1, 1, 1000, 0));
        gauges.take(&finished(1, 1000, done()));
        assert_eq!(gauges.whole(), (Some(1000), 990));
        for (bytes, expected) in [(1001, 1000), (1000, 1000)] {
            let totals = Totals { files: 2, folders: 0, bytes };
            gauges.take(&Event::Planned { batch: BATCH, totals, complete: true });
            assert_eq!(gauges.whole(), (Some(bytes), expected));
        }
        let mut nothing = Gauges::default();
        let totals = Totals { files: 1, folders: 0, bytes: 0 };
        nothing.take(&Event::Planned { batch: BATCH, totals, complete: true });
        assert_eq!(nothing.whole(), (Some(0), 0));
    }

    #[test]
    fn a_source_that_grew_does_not_pass_the_end() {
        let mut gauges = Gauges::default();
        gauges.take(&planned(10));
        gauges.take(&started(1, 1, 50, 0));
        gauges.take(&progress(1, 50));
        assert_eq!((gauges.done(), gauges.total()), (10, 10));
    }
}
