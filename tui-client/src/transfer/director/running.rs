//! A job that runs, and what was told of it.
//!
//! Invariant: of a file or group that is told of, `Started` comes first: once it moves, or right
//! before it ends without having moved. Folders that are made by themselves are not told of before
//! they are done with.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::Director;
use super::jobs::Work;
use crate::place::Location;
use crate::transfer::command::{BatchId, Direction, ItemId};
use crate::transfer::event::{Event, Phase, Transfer};
use crate::transfer::item::FilePlan;
use crate::transfer::job::Gauge;
use crate::transfer::upload::PackMember;

pub(super) struct Running {
    pub(super) batch: BatchId,
    pub(super) gauge: Arc<Gauge>,
    pub(super) cancel: CancellationToken,
    pub(super) work: Work,
    pub(super) is_group: bool,
    /// Until it was told.
    transfer: Option<Transfer>,
    bytes: u64,
    told_bytes: u64,
    told_phase: Phase,
}

impl Running {
    pub(super) fn new(batch: BatchId, work: &Work, cancel: CancellationToken) -> Self {
        let transfer = transfer_of(work);
        Self {
            batch,
            gauge: Arc::default(),
            cancel,
            work: work.clone(),
            is_group: matches!(work, Work::Pack(_)),
            bytes: transfer.bytes,
            transfer: (transfer.files > 0).then_some(transfer),
            told_bytes: 0,
            told_phase: Phase::Running,
        }
    }

    /// What changed since it was told.
    fn events(&mut self, item: ItemId) -> Vec<Event> {
        let Some(resumed) = self.gauge.resumed() else { return Vec::new() };
        let mut events: Vec<_> = self.started(item, resumed).into_iter().collect();
        let bytes = self.gauge.acknowledged().min(self.bytes);
        if bytes != self.told_bytes {
            self.told_bytes = bytes;
            events.push(Event::Progress { item, bytes });
        }
        let phase = self.gauge.current_phase();
        if phase != self.told_phase {
            self.told_phase = phase;
            events.push(Event::Phase { item, phase });
        }
        events
    }

    fn started(&mut self, item: ItemId, resumed: u64) -> Option<Event> {
        let transfer = self.transfer.take()?;
        let transfer = Transfer { resumed, ..transfer };
        Some(Event::Started { batch: self.batch, item, transfer })
    }

    /// The same at its end: what was so quick that no tick saw it is told now, and what never moved
    /// too, for it was counted as something that will.
    pub(super) fn last_events(&mut self, item: ItemId) -> Vec<Event> {
        let mut events = self.events(item);
        events.extend(self.started(item, 0));
        events.retain(|event| !matches!(event, Event::Phase { .. }));
        events
    }
}

impl Director {
    /// Tells what changed in everything that runs.
    pub(super) fn read_gauges(&mut self) {
        let mut events = Vec::new();
        for (item, running) in &mut self.running {
            events.extend(running.events(*item));
        }
        self.outbox.extend(events);
    }
}

fn transfer_of(work: &Work) -> Transfer {
    match work {
        Work::File(plan) => of_file(plan),
        Work::Pack(members) => match &members[..] {
            [PackMember::File(plan)] => of_file(plan),
            members => of_group(members),
        },
    }
}

fn of_file(plan: &FilePlan) -> Transfer {
    Transfer {
        direction: plan.ends.direction(),
        from: plan.ends.from(),
        to: plan.ends.to(),
        files: 1,
        bytes: plan.source.size,
        resumed: 0,
    }
}

/// Named by the innermost folder that holds all of it.
fn of_group(members: &[PackMember]) -> Transfer {
    let mut ends = members.iter().map(|member| match member {
        PackMember::File(FilePlan { ends, .. }) => {
            (ends.direction(), above(ends.from()), above(ends.to()))
        }
        PackMember::Folder(folder) => (Direction::Upload, folder.from.clone(), folder.to()),
    });
    let Some(first) = ends.next() else { unreachable!("no pack is empty") };
    let (direction, from, to) = ends.fold(first, |(direction, from, to), other| {
        (direction, shared(from, &other.1), shared(to, &other.2))
    });
    let files = members.iter().filter(|member| matches!(member, PackMember::File(_)));
    let bytes = members.iter().map(PackMember::bytes).sum();
    Transfer { direction, from, to, files: files.count() as u64, bytes, resumed: 0 }
}

fn above(place: Location) -> Location {
    place.parent().unwrap_or(place)
}

/// The innermost folder that holds both, or is one of them.
fn shared(mut one: Location, other: &Location) -> Location {
    let holds = |one: &Location| {
        std::iter::successors(Some(other.clone()), Location::parent).any(|above| above == *one)
    };
    while !holds(&one) {
        let Some(above) = one.parent() else { break };
        one = above;
    }
    one
}
