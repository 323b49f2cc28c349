//! Reading a folder for a pane: sorted off the loop, shown as it comes.
//!
//! Invariant: the last event of a listing that is not replaced by another is `complete` or a
//! failure; staged downloads are no rows.

use std::path::PathBuf;

use sampan_protocol::{Entry, RemotePath};
use tokio::sync::mpsc;

use super::runner::Report;
use crate::app::Space;
use crate::app::event::Event;
use crate::app::listing::{Rows, Sorter};
use crate::app::order::Order;
use crate::app::pane::{Generation, PaneId};
use crate::failure::Failure;
use crate::local::{self, Listing, StagingName};
use crate::remote::{ListStep, Remote};

/// For whom a folder is read, and how it is sorted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) pane: PaneId,
    pub(super) generation: Generation,
    pub(super) order: Order,
}

/// Collects, sorts, tells.
struct Teller {
    asked: Asked,
    sorter: Sorter,
    unreadable: u64,
    reports: mpsc::Sender<Report>,
}

impl Teller {
    fn new(asked: Asked, reports: mpsc::Sender<Report>) -> Self {
        Self { asked, sorter: Sorter::new(asked.order), unreadable: 0, reports }
    }

    async fn push(&mut self, entries: Vec<Entry>) {
        let shown = entries.into_iter().filter(|e| !StagingName::matches(e.name.as_bytes()));
        if let Some(rows) = self.sorter.push(shown) {
            self.tell(rows, false).await;
        }
    }

    fn start_over(&mut self) {
        (self.sorter, self.unreadable) = (Sorter::new(self.asked.order), 0);
    }

    async fn finish(mut self, ended: Result<(), Failure>) {
        let Asked { pane, generation, order } = self.asked;
        match ended {
            Ok(()) => {
                let sorter = std::mem::replace(&mut self.sorter, Sorter::new(order));
                self.tell(sorter.finish(), true).await;
            }
            Err(failure) => {
                self.send(Event::ListingFailed { pane, generation, failure }).await;
            }
        }
    }

    async fn tell(&self, rows: Rows, complete: bool) {
        let Asked { pane, generation, .. } = self.asked;
        let unreadable = self.unreadable;
        self.send(Event::Rows { pane, generation, rows, unreadable, complete }).await;
    }

    async fn send(&self, event: Event) {
        // A loop that has ended wants no rows.
        let _ending = self.reports.send(Report::Event(event)).await;
    }
}

/// Reads a folder of this machine, and what its disk can hold.
pub(super) async fn local(path: PathBuf, asked: Asked, reports: mpsc::Sender<Report>) {
    let mut teller = Teller::new(asked, reports);
    let at = path.clone();
    let space = tokio::task::spawn_blocking(move || local::space(&at)).await;
    if let Ok(Some((free, total))) = space {
        teller.send(Event::Space(Space { free, total })).await;
    }
    let mut pages = Listing::stream(path);
    let mut ended = Ok(());
    while let Some(page) = pages.next().await {
        match page {
            Ok(page) => {
                teller.unreadable += page.unreadable.len() as u64;
                teller.push(page.entries).await;
            }
            Err(failure) => ended = Err(failure),
        }
    }
    teller.finish(ended).await;
}

/// Reads a folder of the home.
pub(super) async fn remote(
    remote: Remote,
    path: RemotePath,
    asked: Asked,
    reports: mpsc::Sender<Report>,
) {
    let mut teller = Teller::new(asked, reports);
    let mut listing = remote.list(&path);
    let ended = loop {
        match listing.next().await {
            Ok(Some(ListStep::Entries(entries))) => teller.push(entries).await,
            Ok(Some(ListStep::Unreadable(more))) => teller.unreadable += more,
            Ok(Some(ListStep::Restart)) => teller.start_over(),
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    teller.finish(ended).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::{Side, Situation};

    const ASKED: Asked =
        Asked { pane: PaneId::Left, generation: Generation(7), order: Order::Natural };

    async fn events(path: PathBuf) -> Vec<Event> {
        let (sender, mut reports) = mpsc::channel(8);
        let task = tokio::spawn(local(path, ASKED, sender));
        let mut events = Vec::new();
        while let Some(Report::Event(event)) = reports.recv().await {
            events.push(event);
        }
        task.await.unwrap();
        events
    }

    #[tokio::test]
    async fn rows_come_sorted_at_first_few_and_then_all_without_staged_downloads() {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..3000 {
            std::fs::write(folder.path().join(format!("f{index}")), b"").unwrap();
        }
        std::fs::write(folder.path().join(StagingName::of(1).as_str()), b"").unwrap();
        let events = events(folder.path().to_owned()).await;
        assert!(matches!(events[0], Event::Space(space) if space.total >= space.free));
        let rows: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Rows { rows, complete, .. } => Some((rows, *complete)),
                _ => None,
            })
            .collect();
        assert!(rows[0].0.len() < 100 && !rows[0].1, "a first screen comes early");
        let (last, complete) = rows[rows.len() - 1];
        assert_eq!((last.len(), complete), (3000, true));
        let sorted = last.windows(2).all(|two| Order::Natural.compare(&two[0], &two[1]).is_lt());
        assert!(sorted);
    }

    #[tokio::test]
    async fn a_folder_that_is_not_there_is_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let events = events(folder.path().join("gone")).await;
        let [Event::ListingFailed { failure, generation, .. }] = &events[..] else {
            panic!("{events:?}")
        };
        assert_eq!(failure.situation, Situation::NotFound(Side::Local));
        assert_eq!(*generation, ASKED.generation);
    }
}
