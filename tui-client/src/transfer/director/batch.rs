//! What the engine knows of one batch.
//!
//! Invariant: `pending` counts the jobs, questions and files behind others that are not done with, so
//! a batch ends when nothing plans it any more and `pending` is zero.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use sampan_protocol::{Attributes, EntryKind, Mode};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::jobs::Work;
use crate::failure::Failure;
use crate::place::Location;
use crate::transfer::command::{Batch, ItemId, Options, Resolution, Route};
use crate::transfer::decide::Replace;
use crate::transfer::event::{Outcome, SkipReason, Summary, Totals};
use crate::transfer::item::{FilePlan, FolderPlan};
use crate::transfer::plan::Target;
use crate::transfer::upload::PackMember;

/// Failures that are kept word for word.
const KEPT_FAILURES: usize = 1000;
/// Files that are kept so that they can be tried again.
const KEPT_FILES: usize = 10_000;

/// What the owner of a folder needs to make something in it.
const WRITABLE: u32 = 0o300;

/// Whether the work of a batch may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hold {
    /// Not before it is known whether there is room. Since the first of it was found.
    Since(Instant),
    /// The server was asked.
    Asking,
    /// It may.
    Free,
}

/// Folders at the end of a batch.
pub(super) struct Folders {
    /// Must get mode and time.
    pub(super) to_finish: Vec<FolderPlan>,
    /// Are right already.
    pub(super) unchanged: Vec<FolderPlan>,
    /// Were finished and told of before something in them was tried again.
    pub(super) again: Vec<FolderPlan>,
}

#[allow(clippy::struct_excessive_bools)] // each is a fact of its own, and none excludes another
pub(super) struct BatchState {
    pub(super) options: Options,
    pub(super) is_upload: bool,
    /// For what concerns the batch as a whole.
    pub(super) first_source: Location,
    pub(super) target: Location,
    pub(super) totals: Totals,
    pub(super) totals_told: bool,
    /// The journal has it: it may be shown.
    pub(super) is_written: bool,
    /// What plans it still, by number; those that run can be stopped.
    pub(super) plans: HashMap<u64, Option<AbortHandle>>,
    /// Whether what plans it is to wait.
    pub(super) plans_held: watch::Sender<bool>,
    /// Files that somebody was asked about, and what lies in their places.
    pub(super) parked: BTreeMap<ItemId, (FilePlan, Target)>,
    /// To be decided again: another transfer to the same place has ended.
    pub(super) again: Vec<FilePlan>,
    pub(super) hold: Hold,
    pub(super) held: VecDeque<(ItemId, Work)>,
    pub(super) pending: usize,
    pub(super) cancelled: bool,
    pub(super) cancel: CancellationToken,
    /// What the person said for all conflicts.
    pub(super) answered: Option<Resolution>,
    pub(super) folders: Vec<FolderPlan>,
    /// Folders that could not be made.
    pub(super) lost_folders: HashMap<Location, Failure>,
    /// Folders in which something was published.
    touched: HashSet<Location>,
    /// Folders that directly hold what failed, with how much: bounded by the folders, not by what
    /// fails in them.
    lacking: HashMap<Location, u64>,
    /// Folders that may be written to, against their mode, for something in them is not across.
    kept_open: HashSet<Location>,
    folders_finished: bool,
    /// Folders that got their time already, while something in them may still be tried again.
    finished_folders: Vec<FolderPlan>,
    gathered: Vec<PackMember>,
    gathered_bytes: u64,
    summary: Summary,
    failures: Vec<(ItemId, Failure)>,
    failed: BTreeMap<ItemId, Vec<FilePlan>>,
    is_closed: bool,
}

impl BatchState {
    pub(super) fn new(batch: &Batch, now: Instant) -> Self {
        let (is_upload, first_source, target) = match &batch.route {
            Route::Upload { sources, target } => (
                true,
                sources.first().map(|source| Location::Local(source.path.clone())),
                Location::Remote(target.path.clone()),
            ),
            Route::Download { sources, target } => (
                false,
                sources.first().map(|source| Location::Remote(source.path.clone())),
                Location::Local(target.path.clone()),
            ),
        };
        Self {
            options: batch.options.clone(),
            is_upload,
            first_source: first_source.unwrap_or_else(|| target.clone()),
            target,
            totals: Totals::default(),
            totals_told: true,
            is_written: false,
            plans: HashMap::new(),
            plans_held: watch::Sender::new(false),
            parked: BTreeMap::new(),
            again: Vec::new(),
            hold: if is_upload { Hold::Since(now) } else { Hold::Free },
            held: VecDeque::new(),
            pending: 0,
            cancelled: false,
            cancel: CancellationToken::new(),
            answered: None,
            folders: Vec::new(),
            lost_folders: HashMap::new(),
            touched: HashSet::new(),
            lacking: HashMap::new(),
            kept_open: HashSet::new(),
            folders_finished: false,
            finished_folders: Vec::new(),
            gathered: Vec::new(),
            gathered_bytes: 0,
            summary: Summary {
                planned: batch.options.dry_run.then(Totals::default),
                ..Summary::default()
            },
            failures: Vec::new(),
            failed: BTreeMap::new(),
            is_closed: false,
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.is_closed
    }

    /// Whether everything was found and decided about.
    pub(super) fn is_planned(&self) -> bool {
        self.plans.is_empty() && self.again.is_empty()
    }

    /// Ends all planning. What plans still tell is not listened to any more.
    pub(super) fn stop_plans(&mut self) {
        for plan in self.plans.drain().filter_map(|(_, plan)| plan) {
            plan.abort();
        }
        self.totals_told = true;
    }

    /// Something failed is tried again: the batch is open once more, or still.
    pub(super) fn reopen(&mut self) {
        if self.is_closed {
            self.is_closed = false;
            self.hold = Hold::Free;
        }
        if self.cancelled {
            self.cancelled = false;
            self.cancel = CancellationToken::new();
        }
    }

    /// The totals, if they grew since they were told.
    pub(super) fn untold_totals(&mut self) -> Option<Totals> {
        if self.is_closed || !self.is_written || (self.totals_told && self.is_planned()) {
            return None;
        }
        self.totals_told = true;
        Some(self.totals)
    }

    /// Keeps work until it may begin.
    pub(super) fn hold(&mut self, item: ItemId, work: Work, now: Instant) {
        if self.held.is_empty() && matches!(self.hold, Hold::Since(_)) {
            self.hold = Hold::Since(now);
        }
        self.held.push_back((item, work));
    }

    /// Whether room is to be asked for: all that needs it is known, or enough of it for long enough.
    /// A plan that has found nothing yet, for a slow link, holds up nothing.
    pub(super) fn was_held_for(&self, hold: Duration, now: Instant) -> bool {
        let Hold::Since(since) = self.hold else { return false };
        let is_enough = !self.held.is_empty() && now.duration_since(since) >= hold;
        self.is_planned() || is_enough
    }

    pub(super) fn pack(&mut self, member: PackMember) {
        self.gathered_bytes += member.bytes();
        self.gathered.push(member);
    }

    /// Whether nothing more may be gathered: one more member must always fit.
    pub(super) fn is_pack_full(&self, members: usize, bytes: u64) -> bool {
        let largest = sampan_protocol::limits::MAX_PACK_MEMBER_BYTES;
        self.gathered.len() >= members || self.gathered_bytes + largest > bytes
    }

    pub(super) fn take_pack(&mut self) -> Vec<PackMember> {
        self.gathered_bytes = 0;
        std::mem::take(&mut self.gathered)
    }

    /// Something was published at `place`: the folder that holds it changed.
    pub(super) fn touch(&mut self, place: &Location) {
        self.touched.extend(super::holder(place));
    }

    /// Counts an item that is done with.
    pub(super) fn count(
        &mut self,
        item: ItemId,
        source: Option<&Attributes>,
        to: &Location,
        outcome: &Outcome,
    ) {
        let summary = &mut self.summary;
        match outcome {
            Outcome::Done { .. } => {
                summary.done += 1;
                if let Some(source) = source.filter(|source| source.kind == EntryKind::File) {
                    summary.bytes += source.size;
                    self.touch(to);
                }
            }
            Outcome::Unchanged => summary.unchanged += 1,
            Outcome::Skipped(reason) => {
                summary.skipped += 1;
                if let (SkipReason::DryRun, Some(source)) = (reason, source) {
                    summary.planned.get_or_insert_default().add(source);
                    self.totals.add(source);
                }
                if *reason == SkipReason::Cancelled {
                    self.lacks(to);
                }
            }
            Outcome::Failed(failure) => {
                summary.failed += 1;
                self.lacks(to);
                if self.failures.len() < KEPT_FAILURES {
                    self.failures.push((item, failure.clone()));
                }
            }
        }
    }

    /// The folder that holds `place` is not whole.
    fn lacks(&mut self, place: &Location) {
        if let Some(folder) = super::holder(place) {
            *self.lacking.entry(folder).or_default() += 1;
        }
    }

    /// What failed at `place` is tried again: if it fails again, that counts anew.
    fn lacks_no_more(&mut self, place: &Location) {
        if let Some(folder) = super::holder(place)
            && let Entry::Occupied(mut lacks) = self.lacking.entry(folder)
        {
            *lacks.get_mut() -= 1;
            if *lacks.get() == 0 {
                lacks.remove();
            }
        }
    }

    pub(super) fn count_moved(&mut self, bytes: u64) {
        self.summary.moved += bytes;
    }

    /// A file failed and may be tried again.
    pub(super) fn keep_failed(&mut self, item: ItemId, plan: FilePlan) {
        let kept: usize = self.failed.values().map(Vec::len).sum();
        if kept < KEPT_FILES {
            self.failed.entry(item).or_default().push(plan);
        }
    }

    /// The failed files of an item, which do not count as failed any more.
    pub(super) fn take_failed(&mut self, item: ItemId) -> Option<Vec<FilePlan>> {
        let files = self.failed.remove(&item)?;
        for file in &files {
            self.lacks_no_more(&file.ends.to());
        }
        self.summary.failed = self.summary.failed.saturating_sub(files.len() as u64);
        self.failures.retain(|(failed, _)| *failed != item);
        Some(files)
    }

    pub(super) fn can_be_retried(&self) -> bool {
        !self.failed.is_empty()
    }

    /// Bytes and entries that the held work needs on top of what is there.
    pub(super) fn room(&self) -> (u64, u64) {
        let mut bytes = 0_u64;
        let mut entries = 0_u64;
        for (_, work) in &self.held {
            work.for_each_member(|file| match file {
                PackMember::File(plan) => {
                    bytes = bytes.saturating_add(plan.source.size.saturating_sub(plan.credit));
                    entries += u64::from(!matches!(plan.replace, Replace::This(_)));
                }
                PackMember::Folder(_) => entries += 1,
            });
        }
        (bytes, entries)
    }

    /// Whether the server must be asked for room. One big file asks by itself when it is opened.
    pub(super) fn needs_room(&self) -> bool {
        match self.held.len() {
            0 => false,
            1 => matches!(self.held.front(), Some((_, Work::Pack(_)))),
            _ => true,
        }
    }

    pub(super) fn has_folders_to_finish(&self) -> bool {
        let is_touched = |folder: &FolderPlan| self.touched.contains(&folder.to());
        let any = !self.folders.is_empty()
            || !self.kept_open.is_empty()
            || self.finished_folders.iter().any(is_touched);
        !self.folders_finished && any && !self.cancelled
    }

    /// The folders that are to be finished. In each row an outer folder comes after what is in it.
    ///
    /// One that lacks something stays writable for its owner, whatever its mode is to be: whoever
    /// gives the same command again could not write into it otherwise, and gives it its mode then.
    pub(super) fn take_folders(&mut self) -> Folders {
        self.folders_finished = true;
        let touched = std::mem::take(&mut self.touched);
        let is_touched = |folder: &FolderPlan| touched.contains(&folder.to());
        let kept_open = std::mem::take(&mut self.kept_open);
        let lacking = self.all_lacking();
        let mut again: Vec<_> = self
            .finished_folders
            .iter()
            .filter(|folder| is_touched(folder) || kept_open.contains(&folder.to()))
            .cloned()
            .collect();
        let mut folders = std::mem::take(&mut self.folders);
        folders.reverse();
        if self.can_be_retried() {
            self.finished_folders.extend(folders.iter().cloned());
        }
        let (mut to_finish, unchanged): (Vec<_>, Vec<_>) =
            folders.into_iter().partition(|folder| match &folder.existed {
                None => true,
                Some(there) => {
                    there.mtime != folder.source.mtime
                        || there.mode != folder.source.mode
                        || is_touched(folder)
                }
            });
        for folder in to_finish.iter_mut().chain(&mut again) {
            let (mode, to) = (folder.source.mode, folder.to());
            if mode.bits() & WRITABLE != WRITABLE && lacking.contains(&to) {
                folder.source.mode = Mode::new(mode.bits() | WRITABLE);
                self.kept_open.insert(to);
            }
        }
        Folders { to_finish, unchanged, again }
    }

    /// Folders in which, or below which, something failed.
    fn all_lacking(&self) -> HashSet<Location> {
        let mut all = HashSet::new();
        for folder in self.lacking.keys() {
            let above = std::iter::successors(Some(folder.clone()), Location::parent);
            // What is above one that is known is known.
            for folder in above {
                if !all.insert(folder) {
                    break;
                }
            }
        }
        all
    }

    /// The batch is done with.
    pub(super) fn close(&mut self) -> Summary {
        self.is_closed = true;
        self.folders_finished = false;
        let failures = self.failures.iter().map(|(_, failure)| failure.clone()).collect();
        Summary { failures, ..self.summary.clone() }
    }
}

#[cfg(test)]
mod tests {
    use sampan_protocol::{RemotePath, Timestamp, Version};

    use super::*;
    use crate::transfer::command::{self, Links, Source};
    use crate::transfer::item::{Ends, FolderTarget, LocalSource};

    fn path(path: &str) -> RemotePath {
        RemotePath::parse(path.as_bytes()).unwrap()
    }

    fn batch() -> BatchState {
        let source = Source { path: "/tree".into(), contents: false };
        let target = command::Target { path: path("to"), is_folder: true };
        let route = Route::Upload { sources: vec![source], target };
        BatchState::new(&Batch { route, options: Options::default() }, Instant::now())
    }

    fn attributes(kind: EntryKind) -> Attributes {
        let (mtime, mode) = (Timestamp::default(), Mode::FOLDER);
        Attributes { kind, size: 0, mtime, mode, version: Version::default() }
    }

    fn file(to: &str) -> FilePlan {
        let from =
            LocalSource::new(std::path::Path::new("/f").into(), RemotePath::home(), Links::Skip);
        let ends = Ends::Up { from, to: path(to) };
        let (source, replace) = (attributes(EntryKind::File), Replace::Nothing);
        FilePlan { source, ends, replace, credit: 0 }
    }

    #[tokio::test]
    async fn a_retry_beside_an_open_plan_ends_neither_it_nor_its_hold() {
        let mut batch = batch();
        batch.plans.insert(1, None);
        batch.held.push_back((ItemId(1), Work::File(file("to/a"))));
        let cancel = batch.cancel.child_token();
        batch.reopen();
        batch.plans.insert(2, None);
        assert!(matches!(batch.hold, Hold::Since(_)), "what is held is still asked for");
        batch.plans.remove(&2);
        assert!(!batch.is_planned(), "the first plan is still open");
        batch.plans.remove(&1);
        assert!(batch.is_planned());
        batch.cancel.cancel();
        assert!(cancel.is_cancelled(), "what runs can still be stopped");
    }

    /// A plan over a slow link takes long to find its first file: what it finds then is asked for as
    /// well.
    #[tokio::test]
    async fn a_batch_is_held_from_its_first_find_on() {
        let mut batch = batch();
        batch.plans.insert(1, None);
        let (hold, second) = (Duration::from_secs(1), Duration::from_secs(1));
        let found = Instant::now() + 60 * second;
        assert!(!batch.was_held_for(hold, found), "nothing is known yet");
        batch.hold(ItemId(1), Work::File(file("to/a")), found);
        batch.hold(ItemId(2), Work::File(file("to/b")), found + second / 2);
        assert!(!batch.was_held_for(hold, found + second / 2));
        assert!(batch.was_held_for(hold, found + second));
        batch.plans.remove(&1);
        assert!(batch.was_held_for(hold, found), "all of it is known");
        batch.hold = Hold::Free;
        assert!(!batch.was_held_for(hold, found + second), "it was let go already");
    }

    #[tokio::test]
    async fn a_folder_gets_its_time_again_after_a_retry_in_it() {
        let mut batch = batch();
        for name in ["to/in", "to/other"] {
            let (source, from) = (attributes(EntryKind::Folder), Location::Local(name.into()));
            let target = FolderTarget::Remote(path(name));
            batch.folders.push(FolderPlan { source, from, target, existed: None });
        }
        batch.keep_failed(ItemId(1), file("to/in/file"));
        assert_eq!(batch.take_folders().to_finish.len(), 2);
        batch.close();

        assert!(batch.take_failed(ItemId(1)).is_some());
        batch.reopen();
        assert!(!batch.has_folders_to_finish(), "nothing was published yet");
        batch.touch(&Location::Remote(path("to/in/file")));
        assert!(batch.has_folders_to_finish());
        let Folders { to_finish, unchanged, again } = batch.take_folders();
        assert!(to_finish.is_empty() && unchanged.is_empty());
        let again: Vec<_> = again.iter().map(FolderPlan::to).collect();
        assert_eq!(again, [Location::Remote(path("to/in"))]);
        assert!(!batch.has_folders_to_finish());
    }

    #[tokio::test]
    async fn a_folder_that_lacks_something_stays_writable_until_it_does_not() {
        let mut batch = batch();
        for name in ["to", "to/in", "to/other"] {
            let source = Attributes { mode: Mode::new(0o555), ..attributes(EntryKind::Folder) };
            let (from, target) = (Location::Local(name.into()), FolderTarget::Remote(path(name)));
            batch.folders.push(FolderPlan { source, from, target, existed: None });
        }
        let modes = |folders: &[FolderPlan]| -> Vec<_> {
            folders.iter().map(|folder| folder.source.mode.bits()).collect()
        };
        let place = Location::Remote(path("to/in/file"));
        let failed = Failure::new(crate::failure::Situation::LinkLost, "");
        batch.count(ItemId(1), None, &place, &Outcome::Failed(failed));
        batch.keep_failed(ItemId(1), file("to/in/file"));
        assert_eq!(modes(&batch.take_folders().to_finish), [0o555, 0o755, 0o755]);
        batch.close();

        assert!(batch.take_failed(ItemId(1)).is_some());
        batch.reopen();
        batch.touch(&place);
        assert!(batch.has_folders_to_finish());
        let Folders { to_finish, again, .. } = batch.take_folders();
        assert!(to_finish.is_empty());
        assert_eq!(modes(&again), [0o555, 0o555], "both get their mode now");
        batch.close();
        batch.reopen();
        assert!(!batch.has_folders_to_finish());
    }

    /// However much fails, a folder is known once; and what is tried again of it says nothing of what
    /// is not.
    #[tokio::test]
    async fn a_folder_lacks_what_failed_in_it_until_the_last_of_it_is_tried_again() {
        let mut batch = batch();
        let all = 2 * KEPT_FILES;
        for number in 0..all {
            let item = ItemId(number as u64 % 10);
            let plan = file(&format!("to/in/{number}"));
            let failed = Failure::new(crate::failure::Situation::LinkLost, "");
            let place = plan.ends.to();
            batch.keep_failed(item, plan);
            batch.count(item, None, &place, &Outcome::Failed(failed));
        }
        assert_eq!(batch.lacking.len(), 1);
        let retried = (0..10).filter_map(|item| batch.take_failed(ItemId(item)));
        assert_eq!(retried.map(|files| files.len()).sum::<usize>(), KEPT_FILES);
        assert!(batch.all_lacking().contains(&Location::Remote(path("to/in"))));
        for number in 0..KEPT_FILES {
            batch.lacks_no_more(&file(&format!("to/in/{number}")).ends.to());
        }
        assert!(batch.all_lacking().is_empty());
    }
}
