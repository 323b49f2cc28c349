//! A folder on the server, counted folder by folder.
//!
//! Invariant: a folder is given once, after everything in it; what waits is the folders that are
//! known and not yet counted, and those above them.

use std::collections::{HashMap, VecDeque};

use sampan_protocol::{Attributes, EntryKind, RemotePath};
use tokio_util::task::AbortOnDropHandle;

use crate::catalogue::cli as text;
use crate::failure::{Failure, Side, Situation};
use crate::remote::{ListStep, Remote};

/// Listings at once.
const LISTINGS: usize = 16;

/// What lies somewhere, as the quota counts it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) bytes: u64,
    /// Files and folders.
    pub(super) entries: u64,
}

impl Sum {
    pub(super) fn of(attributes: &Attributes) -> Self {
        let is_file = attributes.kind == EntryKind::File;
        Self { bytes: if is_file { attributes.size } else { 0 }, entries: 1 }
    }

    fn add(&mut self, more: Self) {
        self.bytes = self.bytes.saturating_add(more.bytes);
        self.entries = self.entries.saturating_add(more.entries);
    }
}

/// What a folder holds by itself, and the folders in it.
#[derive(Default)]
struct Counted {
    sum: Sum,
    folders: Vec<RemotePath>,
    failures: Vec<Failure>,
}

/// A folder that was listed, and waits for those in it.
struct Waiting {
    sum: Sum,
    /// Folders in it that are not counted yet.
    left: usize,
}

/// A folder whose listing is underway; read by a task of its own, for a listing that nobody reads
/// holds up its connection.
struct Listing {
    folder: RemotePath,
    counted: AbortOnDropHandle<Counted>,
}

pub(super) struct Tree {
    remote: Remote,
    root: RemotePath,
    /// Last in, first out: what waits stays as small as a tree is deep, not as it is wide.
    known: Vec<RemotePath>,
    listings: VecDeque<Listing>,
    waiting: HashMap<RemotePath, Waiting>,
    ready: VecDeque<(RemotePath, Sum)>,
}

impl Tree {
    pub(super) fn new(remote: Remote, root: RemotePath) -> Self {
        let known = vec![root.clone()];
        let (listings, ready) = (VecDeque::new(), VecDeque::new());
        Self { remote, root, known, listings, waiting: HashMap::new(), ready }
    }

    /// The next folder that is counted; `None` after the root. `tell` hears of what could not be.
    pub(super) async fn next(
        &mut self,
        mut tell: impl FnMut(Failure),
    ) -> Option<(RemotePath, Sum)> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Some(ready);
            }
            while self.listings.len() < LISTINGS
                && let Some(folder) = self.known.pop()
            {
                let counted = tokio::spawn(count(self.remote.clone(), folder.clone()));
                self.listings
                    .push_back(Listing { folder, counted: AbortOnDropHandle::new(counted) });
            }
            let Listing { folder, counted } = self.listings.pop_front()?;
            let counted = counted.await.unwrap_or_else(|error| {
                let situation = Situation::Unexpected(error.to_string());
                let failures = vec![Failure::new(situation, self.remote.show(&folder))];
                Counted { failures, ..Counted::default() }
            });
            counted.failures.into_iter().for_each(&mut tell);
            // A folder that is made anew while it is listed may be listed twice.
            let mut folders = counted.folders;
            folders.sort();
            folders.dedup();
            let left = folders.len();
            self.known.extend(folders);
            self.waiting.insert(folder.clone(), Waiting { sum: counted.sum, left });
            self.close(folder);
        }
    }

    /// Ends a folder in which nothing is left to count, and those above it.
    fn close(&mut self, mut folder: RemotePath) {
        while self.waiting.get(&folder).is_some_and(|waiting| waiting.left == 0) {
            let Some(Waiting { mut sum, .. }) = self.waiting.remove(&folder) else { return };
            if !folder.is_home() {
                sum.add(Sum { bytes: 0, entries: 1 });
            }
            self.ready.push_back((folder.clone(), sum));
            let above = folder.parent().filter(|_| folder != self.root);
            let Some(above) = above else { return };
            if let Some(waiting) = self.waiting.get_mut(&above) {
                waiting.sum.add(sum);
                waiting.left -= 1;
            }
            folder = above;
        }
    }
}

/// Counts what lies right in a folder, page by page.
async fn count(remote: Remote, folder: RemotePath) -> Counted {
    let mut listing = remote.list(&folder);
    let mut counted = Counted::default();
    loop {
        match listing.next().await {
            Ok(None) => return counted,
            Ok(Some(ListStep::Restart)) => counted = Counted::default(),
            Ok(Some(ListStep::Unreadable(names))) => {
                let situation = Situation::Unexpected(text::unreadable_names(names));
                counted.failures.push(Failure::new(situation, remote.show(&folder)));
            }
            Ok(Some(ListStep::Entries(entries))) => {
                for entry in entries {
                    if entry.attributes.kind != EntryKind::Folder {
                        counted.sum.add(Sum::of(&entry.attributes));
                        continue;
                    }
                    // It counts as soon as it is listed.
                    if let Ok(path) = folder.join(&entry.name) {
                        counted.folders.push(path);
                    } else {
                        let subject = format!("{}/{}", remote.show(&folder), entry.name);
                        let situation = Situation::NameNotStorable(Side::Remote);
                        counted.failures.push(Failure::new(situation, subject));
                    }
                }
            }
            Err(failure) => {
                counted.failures.push(failure);
                return counted;
            }
        }
    }
}
