//! Carrying changes out, on the disk here or in the home there.
//!
//! Invariant: what is removed or renamed is what was seen: its version goes along, and another thing
//! under the same name is a failure.

use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use futures_util::stream;
use sampan_protocol::message::Precondition;
use sampan_protocol::{EntryKind, RemotePath, Version};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::runner::Report;
use crate::app::changes::{Change, ChangeId, Renaming, Seen};
use crate::app::event::Event;
use crate::failure::{Failure, Situation};
use crate::local::change as disk;
use crate::place::Location;
use crate::remote::Remote;

/// Requests of one change that are under way at once.
const AT_ONCE: usize = 8;

/// Progress is told at most this often.
const TELL_EVERY: Duration = Duration::from_millis(100);

/// What a change is carried out with.
#[derive(Clone)]
pub(super) struct Hands {
    /// The home, if there is a connection.
    pub(super) remote: Option<Remote>,
    /// Ends removals of trees, and waiting for a server.
    pub(super) stopping: CancellationToken,
}

/// One thing of a change.
enum Step {
    NewFolder(Location),
    Rename(Renaming),
    Remove(Seen),
    RemoveEmptied(Location),
}

/// Carries a change out and tells how it went. Steps go on when one fails.
pub(super) async fn carry_out(
    id: ChangeId,
    change: Change,
    hands: Hands,
    reports: mpsc::Sender<Report>,
) {
    // Folders that are to be empty must go one after the other: the inner one first.
    let at_once = if matches!(change, Change::RemoveEmptied(_)) { 1 } else { AT_ONCE };
    let mut results =
        stream::iter(steps(change).into_iter().map(|step| run(step, &hands))).buffered(at_once);
    let (mut done, mut failures) = (0, Vec::new());
    let mut told = Instant::now();
    while let Some(result) = results.next().await {
        done += 1;
        failures.extend(result);
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            send(&reports, Event::ChangeProgress { id, done }).await;
        }
    }
    send(&reports, Event::Changed { id, failures }).await;
}

async fn send(reports: &mpsc::Sender<Report>, event: Event) {
    // A loop that has ended asks no more.
    let _ending = reports.send(Report::Event(event)).await;
}

fn steps(change: Change) -> Vec<Step> {
    match change {
        Change::NewFolder(at) => vec![Step::NewFolder(at)],
        Change::Rename(renamings) => renamings.into_iter().map(Step::Rename).collect(),
        Change::Remove(seen) => seen.into_iter().map(Step::Remove).collect(),
        Change::RemoveEmptied(folders) => folders.into_iter().map(Step::RemoveEmptied).collect(),
    }
}

/// What did not work.
async fn run(step: Step, hands: &Hands) -> Vec<Failure> {
    let result = match step {
        Step::NewFolder(Location::Local(path)) => blocking(move || disk::make_folder(&path)).await,
        Step::NewFolder(Location::Remote(path)) => {
            hands.at_home(&path, async |home| home.mkdir(&path, false, None).await).await
        }
        Step::Rename(renaming) => rename(renaming, hands).await,
        Step::Remove(seen) => return remove(seen, hands).await,
        Step::RemoveEmptied(folder) => match remove_emptied(folder, hands).await {
            // What was skipped or failed is in it still, and was told.
            Err(Failure { situation: Situation::NotEmpty(_), .. }) => Ok(()),
            other => other,
        },
    };
    result.err().into_iter().collect()
}

async fn rename(renaming: Renaming, hands: &Hands) -> Result<(), Failure> {
    let Renaming { from: Seen { location, attributes }, to } = renaming;
    match (location, to) {
        (Location::Local(from), Location::Local(to)) => {
            blocking(move || disk::rename(&from, &to, Some(&attributes.version))).await
        }
        (Location::Remote(from), Location::Remote(to)) => {
            let version = Some(attributes.version);
            let rename =
                async |home: &Remote| home.rename(&from, &to, version, Precondition::Absent).await;
            hands.at_home(&from, rename).await
        }
        (from, _) => Err(Failure::new(Situation::InvalidTarget, from)),
    }
}

async fn remove(seen: Seen, hands: &Hands) -> Vec<Failure> {
    let Seen { location, attributes } = seen;
    let version = attributes.version;
    match location {
        Location::Local(path) => {
            let stopping = hands.stopping.clone();
            let removed = blocking(move || remove_from_disk(&path, &version, &stopping)).await;
            removed.unwrap_or_else(|failure| vec![failure])
        }
        Location::Remote(path) => {
            let is_folder = attributes.kind == EntryKind::Folder;
            let remove = async |home: &Remote| home.remove(&path, is_folder, Some(version)).await;
            hands.at_home(&path, remove).await.err().into_iter().collect()
        }
    }
}

fn remove_from_disk(
    path: &Path,
    version: &Version,
    stopping: &CancellationToken,
) -> Result<Vec<Failure>, Failure> {
    disk::remove(path, Some(version), |_| !stopping.is_cancelled()).map(|removed| removed.failures)
}

async fn remove_emptied(folder: Location, hands: &Hands) -> Result<(), Failure> {
    match folder {
        Location::Local(path) => blocking(move || disk::remove_empty_folder(&path)).await,
        Location::Remote(path) => {
            hands.at_home(&path, async |home| home.remove(&path, false, None).await).await
        }
    }
}

impl Hands {
    /// Changes something in the home, unless the person stops it. What was sent by then is not taken
    /// back: the server may have done it, or do it still.
    async fn at_home<T>(
        &self,
        path: &RemotePath,
        change: impl AsyncFnOnce(&Remote) -> Result<T, Failure>,
    ) -> Result<(), Failure> {
        let Some(home) = &self.remote else { return Err(Failure::new(Situation::LinkLost, path)) };
        let changed = unless_stopped(&self.stopping, change(home)).await;
        changed
            .unwrap_or_else(|| Err(Failure::new(Situation::Interrupted, home.show(path))))
            .map(drop)
    }
}

/// `None` if it was stopped before it came to an end, or to a beginning.
async fn unless_stopped<T>(
    stopping: &CancellationToken,
    work: impl Future<Output = T>,
) -> Option<T> {
    tokio::select! {
        biased;
        () = stopping.cancelled() => None,
        done = work => Some(done),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(broken) => match broken.try_into_panic() {
            // The panic is this task's, too: the loop ends with it.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Failure::new(Situation::Interrupted, "")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Side;
    use crate::local;

    fn hands() -> Hands {
        Hands { remote: None, stopping: CancellationToken::new() }
    }

    async fn outcome(change: Change) -> Vec<Failure> {
        let (sender, mut reports) = mpsc::channel(8);
        carry_out(ChangeId(1), change, hands(), sender).await;
        loop {
            match reports.recv().await {
                Some(Report::Event(Event::Changed { failures, .. })) => return failures,
                Some(_) => {}
                None => panic!("it must end with an answer"),
            }
        }
    }

    fn seen(path: &Path) -> Seen {
        let attributes = local::look(path).unwrap().attributes();
        Seen { location: Location::Local(path.to_owned()), attributes }
    }

    #[tokio::test]
    async fn what_changed_since_it_was_seen_is_neither_removed_nor_renamed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, b"old").unwrap();
        let before = seen(&file);
        std::fs::write(&file, b"newer").unwrap();

        let failures = outcome(Change::Remove(vec![before.clone()])).await;
        assert_eq!(failures[0].situation, Situation::TargetChanged(Side::Local));
        let to = Location::Local(folder.path().join("b"));
        let failures = outcome(Change::Rename(vec![Renaming { from: before, to }])).await;
        assert_eq!(failures[0].situation, Situation::TargetChanged(Side::Local));
        assert_eq!(std::fs::read(&file).unwrap(), b"newer");
    }

    /// While the link is lost it would wait for as long as that.
    #[tokio::test]
    async fn a_change_that_waits_for_the_server_can_be_stopped() {
        let stopping = CancellationToken::new();
        let stop = async { stopping.cancel() };
        let waiting = unless_stopped(&stopping, std::future::pending::<()>());
        assert_eq!(tokio::join!(waiting, stop).0, None);
        let begun = std::cell::Cell::new(false);
        assert_eq!(unless_stopped(&stopping, async { begun.set(true) }).await, None);
        assert!(!begun.get(), "what comes after it in the same change is not begun");
    }

    #[tokio::test]
    async fn the_rest_goes_on_when_one_fails() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in ["a", "b"] {
            std::fs::write(at(name), b"x").unwrap();
        }
        let all = vec![seen(&at("a")), seen(&at("b"))];
        std::fs::remove_file(at("a")).unwrap();
        let failures = outcome(Change::Remove(all)).await;
        assert_eq!(failures.len(), 1);
        assert!(!at("b").exists());
    }

    #[tokio::test]
    async fn emptied_folders_go_and_others_stay_without_a_word() {
        let folder = tempfile::tempdir().unwrap();
        let (outer, inner) = (folder.path().join("o"), folder.path().join("o/i"));
        let full = folder.path().join("full");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::create_dir(&full).unwrap();
        std::fs::write(full.join("kept"), b"x").unwrap();
        let folders = [&inner, &outer, &full].map(|path| Location::Local(path.clone()));
        assert_eq!(outcome(Change::RemoveEmptied(folders.into())).await, []);
        assert!(!outer.exists() && full.join("kept").exists());
    }

    #[tokio::test]
    async fn nothing_is_renamed_across_sides() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        std::fs::write(&file, b"x").unwrap();
        let to = Location::Remote(RemotePath::parse(b"a").unwrap());
        let failures = outcome(Change::Rename(vec![Renaming { from: seen(&file), to }])).await;
        assert_eq!(failures[0].situation, Situation::InvalidTarget);
    }
}
