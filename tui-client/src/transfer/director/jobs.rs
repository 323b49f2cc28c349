//! Work, and the tasks that do it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Director;
use super::batch::Folders;
use super::folders::{FolderEnd, finish};
use super::running::Running;
use crate::failure::Failure;
use crate::remote::LinkState;
use crate::transfer::beside::came_meanwhile;
use crate::transfer::command::{BatchId, ItemId};
use crate::transfer::download::{discard, download_file, download_pack};
use crate::transfer::event::{Event, Outcome};
use crate::transfer::item::{Ends, FilePlan, FolderPlan, Settled};
use crate::transfer::job::{Context, Control, Gauge};
use crate::transfer::upload::{PackMember, abort_upload, upload_file, upload_pack};

/// For clearing away when the engine ends.
const CLEANED_WITHIN: Duration = Duration::from_secs(5);

/// What one job does.
#[derive(Clone, Debug)]
pub(super) enum Work {
    File(FilePlan),
    /// Small files of one direction, and folders on the server.
    Pack(Vec<PackMember>),
}

impl Work {
    /// Its files.
    pub(super) fn files(self) -> Vec<FilePlan> {
        match self {
            Self::File(plan) => vec![plan],
            Self::Pack(members) => members
                .into_iter()
                .filter_map(|member| match member {
                    PackMember::File(plan) => Some(plan),
                    PackMember::Folder(_) => None,
                })
                .collect(),
        }
    }

    /// Whether its commit is the server's.
    fn commits_on_server(&self) -> bool {
        let is_up = |plan: &FilePlan| matches!(plan.ends, Ends::Up { .. });
        match self {
            Self::File(plan) => is_up(plan),
            Self::Pack(members) => members.iter().all(|member| match member {
                PackMember::File(plan) => is_up(plan),
                PackMember::Folder(_) => true,
            }),
        }
    }

    pub(super) fn for_each_member(&self, mut take: impl FnMut(&PackMember)) {
        match self {
            Self::File(plan) => take(&PackMember::File(plan.clone())),
            Self::Pack(members) => members.iter().for_each(take),
        }
    }
}

/// How a job ended.
pub(super) enum JobEnd {
    Work {
        item: ItemId,
        done: Box<Done>,
    },
    /// Stopped by the person.
    Cancelled {
        item: ItemId,
    },
    /// The server said whether a batch fits.
    Room {
        batch: BatchId,
        answer: Result<(), Failure>,
    },
    /// The folders of a batch have their modes and times.
    Folders {
        batch: BatchId,
        folders: Vec<FolderEnd>,
    },
}

/// What a job came to.
#[derive(Default)]
pub(super) struct Done {
    settled: Vec<(FilePlan, Settled)>,
    folders: Vec<(FolderPlan, Failure)>,
    /// To be carried one by one: too large for a pack, or another file by now.
    again: Vec<FilePlan>,
}

impl Director {
    /// Starts as many jobs as may run.
    pub(super) fn dispatch(&mut self) {
        while !self.paused && self.running.len() < self.most_jobs() {
            let Some((item, id, work)) = self.queue.pop_front() else { return };
            let Some(batch) = self.batches.get(&id) else { continue };
            if batch.cancelled {
                self.drop_work(id, item, work);
                continue;
            }
            let running = Running::new(id, &work, batch.cancel.child_token());
            let control = Control {
                gauge: Arc::clone(&running.gauge),
                paused: self.context.paused.subscribe(),
            };
            let (context, cancel) = (Arc::clone(&self.context), running.cancel.clone());
            let (flush, asks) = (batch.options.flush, work.commits_on_server());
            self.running.insert(item, running);
            self.jobs.spawn(async move {
                let job = carry(&context, &control, work, flush);
                let lost = link_lost(context.remote.link());
                // What is put under its name here does not wait for the other side.
                let lost = async { if asks { lost.await } else { std::future::pending().await } };
                match unless_cancelled(job, &control.gauge, &cancel, lost).await {
                    Some(done) => JobEnd::Work { item, done: Box::new(done) },
                    None => JobEnd::Cancelled { item },
                }
            });
        }
    }

    pub(super) fn job_ended(&mut self, end: JobEnd) {
        match end {
            JobEnd::Work { item, done } => self.work_ended(item, *done),
            JobEnd::Cancelled { item } => {
                let Some(running) = self.running.remove(&item) else { return };
                if let Some(batch) = self.batches.get_mut(&running.batch) {
                    batch.count_moved(running.gauge.moved());
                }
                let chosen = running.gauge.chosen().cloned();
                self.stopped(running.batch, item, running.work, chosen);
            }
            JobEnd::Room { batch, answer } => self.room_answered(batch, answer),
            JobEnd::Folders { batch, folders } => self.folders_finished(batch, folders),
        }
    }

    /// Tells of work that the person stopped, and clears away what it leaves. That may take as long
    /// as a lost link: the person is told before, and only the places stay taken until then.
    fn stopped(&mut self, id: BatchId, item: ItemId, work: Work, chosen: Option<Ends>) {
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.pending -= 1;
        }
        let is_pack = matches!(work, Work::Pack(_));
        let files = work.files();
        self.skip(id, item, files.clone());
        let context = Arc::clone(&self.context);
        self.cleaning.spawn(async move {
            if let [plan] = &files[..]
                && !is_pack
            {
                clean_up(&context, plan, chosen.as_ref()).await;
            }
            files
        });
    }

    /// Nothing is left of what was stopped: its places are free.
    pub(super) fn cleaned(&mut self, files: &[FilePlan]) {
        for plan in files {
            self.leave(plan);
        }
    }

    /// Clears the rest away before the engine ends. A lost link is not waited for.
    pub(super) async fn clean_rest(&mut self) {
        let lost = link_lost(self.context.remote.link());
        let cleaned = async { while self.cleaning.join_next().await.is_some() {} };
        tokio::select! {
            cleaned = tokio::time::timeout(CLEANED_WITHIN, cleaned) => {
                if cleaned.is_err() {
                    tracing::debug!("what was stopped is not cleared away in time");
                }
            }
            () = lost => {}
        }
        self.cleaning.shutdown().await;
    }

    fn work_ended(&mut self, item: ItemId, done: Done) {
        let Some(mut running) = self.running.remove(&item) else { return };
        let id = running.batch;
        self.outbox.extend(running.last_events(item));
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.pending -= 1;
            batch.count_moved(running.gauge.moved());
            for (folder, failure) in done.folders {
                batch.lost_folders.insert(folder.to(), failure);
            }
        }
        for (plan, settled) in done.settled {
            if matches!(settled.outcome, Outcome::Failed(_))
                && let Some(batch) = self.batches.get_mut(&id)
            {
                batch.keep_failed(item, plan.clone());
            }
            self.leave(&plan);
            self.finished(id, item, settled);
        }
        for plan in done.again {
            self.push_work(id, Work::File(plan));
        }
        if running.is_group {
            self.outbox.push_back(Event::GroupFinished { item });
        }
    }

    /// Gives the folders of a batch their modes and times, in a job.
    pub(super) fn finish_folders(&mut self, id: BatchId) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        let Folders { to_finish, unchanged, again } = batch.take_folders();
        let mut lost = std::mem::take(&mut batch.lost_folders);
        batch.pending += 1;
        let mut ends = Vec::new();
        for folder in unchanged {
            ends.push(FolderEnd { folder, outcome: Outcome::Unchanged });
        }
        let mut folders = Vec::new();
        for folder in to_finish {
            match lost.remove(&folder.to()) {
                Some(failure) => {
                    ends.push(FolderEnd { folder, outcome: Outcome::Failed(failure) });
                }
                None => folders.push(folder),
            }
        }
        let (context, flush) = (Arc::clone(&self.context), batch.options.flush);
        self.jobs.spawn(async move {
            ends.extend(finish(&context, folders, flush).await);
            // They were told of, so only news is.
            let again = finish(&context, again, flush).await;
            ends.extend(again.into_iter().filter(|end| matches!(end.outcome, Outcome::Failed(_))));
            JobEnd::Folders { batch: id, folders: ends }
        });
    }

    fn folders_finished(&mut self, id: BatchId, folders: Vec<FolderEnd>) {
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.pending -= 1;
        }
        for FolderEnd { folder, outcome } in folders {
            let item = self.next_item();
            let (from, to) = (folder.from.clone(), folder.to());
            let source = Some(folder.source);
            self.finished(id, item, Settled { from, to, source, outcome });
        }
    }

    /// The server said whether the held work of a batch fits.
    fn room_answered(&mut self, id: BatchId, answer: Result<(), Failure>) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        if batch.cancelled {
            return;
        }
        let Err(failure) = answer else { return self.release(id) };
        // Refused as a whole, before the first byte.
        batch.folders.clear();
        let (from, to) = (batch.first_source.clone(), batch.target.clone());
        let stopped = self.stop_batch(id);
        for (item, plan) in stopped.parked {
            self.skip(id, item, vec![plan]);
        }
        let item = self.next_item();
        let outcome = Outcome::Failed(failure);
        self.finished(id, item, Settled { from, to, source: None, outcome });
    }
}

async fn carry(context: &Context, control: &Control, work: Work, flush: bool) -> Done {
    let mut done = run(context, control, work, flush).await;
    for (plan, settled) in &mut done.settled {
        if came_meanwhile(context, plan, settled).await {
            settled.outcome = Outcome::Unchanged;
        }
    }
    done
}

async fn run(context: &Context, control: &Control, work: Work, flush: bool) -> Done {
    match work {
        Work::File(plan) => {
            let settled = match plan.ends {
                Ends::Up { .. } => upload_file(context, control, &plan).await,
                Ends::Down { .. } => download_file(context, control, &plan, flush).await,
            };
            Done { settled: vec![(plan, settled)], ..Done::default() }
        }
        Work::Pack(members) => {
            let lane = context.next_lane();
            let is_download = members.iter().any(|member| {
                matches!(member, PackMember::File(FilePlan { ends: Ends::Down { .. }, .. }))
            });
            if is_download {
                let plans = Work::Pack(members).files();
                let report = download_pack(context, control, lane, plans, flush).await;
                let (settled, again) = (report.settled, report.changed);
                return Done { settled, again, ..Done::default() };
            }
            let report = upload_pack(context, control, lane, members).await;
            Done { settled: report.settled, folders: report.folders, again: report.grown }
        }
    }
}

/// Until nobody can be asked how a commit went.
async fn link_lost(mut link: watch::Receiver<LinkState>) {
    let is_lost =
        |link: &LinkState| matches!(link, LinkState::Reconnecting { .. } | LinkState::Down { .. });
    // The engine's remote outlives its jobs; an end of it is a loss, too.
    let _ = link.wait_for(is_lost).await;
}

/// What a job comes to; `None` if it was cancelled before it began to commit. After that it ends by
/// itself, for nobody knows on this side what has happened on the other; only while the link is lost
/// nobody waits to be told.
async fn unless_cancelled<T>(
    job: impl Future<Output = T>,
    gauge: &Gauge,
    cancel: &CancellationToken,
    link_lost: impl Future<Output = ()>,
) -> Option<T> {
    let mut job = std::pin::pin!(job);
    tokio::select! {
        done = &mut job => return Some(done),
        () = cancel.cancelled() => {}
    }
    tokio::select! {
        biased;
        () = gauge.commits_no_more() => None,
        done = &mut job => Some(done),
        () = link_lost => None,
    }
}

/// What the person stopped must hold neither quota nor disk.
async fn clean_up(context: &Context, plan: &FilePlan, chosen: Option<&Ends>) {
    match chosen.unwrap_or(&plan.ends) {
        Ends::Up { from, to } => {
            let key = context.keys.upload_key(&from.to_bytes(), &to.to_bytes());
            if let Err(error) = abort_upload(context, key).await {
                tracing::debug!(?error, "a cancelled upload stays until it expires");
            }
        }
        Ends::Down { from, to, .. } => {
            if let Err(failure) = discard(context, from, to).await {
                tracing::debug!(?failure, "a cancelled download's staged file stays");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::transfer::event::Phase;

    #[tokio::test]
    async fn what_commits_when_it_is_cancelled_is_told_as_it_ends() {
        for (phase, expected) in
            [(Phase::Running, None), (Phase::Waiting, None), (Phase::Committing, Some(7))]
        {
            let (gauge, cancel) = (Gauge::default(), CancellationToken::new());
            let (mut sender, receiver) = oneshot::channel();
            let job = async {
                gauge.phase(phase);
                cancel.cancel();
                receiver.await.unwrap()
            };
            let told = async {
                cancel.cancelled().await;
                match expected {
                    // The job is dropped before it comes to anything.
                    None => sender.closed().await,
                    Some(end) => sender.send(end).unwrap(),
                }
            };
            let linked = std::future::pending();
            let (done, ()) = tokio::join!(unless_cancelled(job, &gauge, &cancel, linked), told);
            assert_eq!(done, expected, "{phase:?}");
        }
    }

    #[tokio::test]
    async fn a_commit_that_did_not_come_about_is_not_tried_again_after_a_cancel() {
        let (gauge, cancel) = (Gauge::default(), CancellationToken::new());
        let job = async {
            gauge.phase(Phase::Committing);
            cancel.cancel();
            tokio::task::yield_now().await;
            gauge.phase(Phase::Running);
            std::future::pending::<()>().await;
        };
        assert_eq!(unless_cancelled(job, &gauge, &cancel, std::future::pending()).await, None);
    }

    #[tokio::test]
    async fn a_commit_whose_link_is_lost_holds_up_nobody_who_stops_it() {
        let (gauge, cancel) = (Gauge::default(), CancellationToken::new());
        gauge.phase(Phase::Committing);
        cancel.cancel();
        let job = std::future::pending::<()>();
        assert_eq!(unless_cancelled(job, &gauge, &cancel, std::future::ready(())).await, None);
    }
}
