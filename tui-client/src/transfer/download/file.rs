//! One file down: take up what is staged, compare, fetch what differs, publish.
//!
//! What an earlier run staged is hashed here and compared with the server's row of the version that
//! is there now; so a resume after a crash, an altered part and an altered source are one case.
//!
//! Invariant: a file is published only if every block of one version of it was verified, and only
//! under the name that was decided about.

use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sampan_protocol::block::{BlockIndex, Blocks, root_of_row};
use sampan_protocol::message::ReadRow;
use sampan_protocol::{Attributes, BlockHash, EntryKind, ErrorCode, RemotePath, Root};
use tokio_util::task::TaskTracker;

use super::reading::{Left, Receiving, Row, Setback, request_blocks, source_changed};
use crate::failure::{Failure, Side, Situation};
use crate::local::{Condition, Group, Identity, NewFile, NotPublished, Staged, StagingName};
use crate::place::{Location, shown};
use crate::remote::{AskedRow, CallError, Session, persist_on};
use crate::state::StagedFile;
use crate::step::{self, Step};
use crate::transfer::beside::{Beside, beside_local};
use crate::transfer::decide::Replace;
use crate::transfer::event::{Outcome, Phase};
use crate::transfer::item::{Ends, FilePlan, LocalPlace, Settled};
use crate::transfer::job::{Context, Control, blocking};

/// How often a source that changes is begun again before it is given up.
const SOURCE_TRIES: u32 = 3;
/// Workers for each connection: while one's request ends, the other's is answered.
const WORKERS_PER_LANE: usize = 2;
/// Blocks that are compared at a time.
const COMPARE_BLOCKS: u64 = 64;
/// Comparisons at once: as many as there are hands for hashing, here and there.
const COMPARISONS: usize = 4;
/// Frames of a row that may wait.
const ROW_PARTS: usize = 8;

/// Carries one file down.
pub(in crate::transfer) async fn download_file(
    context: &Context,
    control: &Control,
    plan: &FilePlan,
    flush: bool,
) -> Settled {
    let Ends::Down { from, to, victim } = &plan.ends else {
        unreachable!("the engine gives downloads to this job");
    };
    let mut download = Download {
        context,
        control,
        from,
        to: to.clone(),
        replace: &plan.replace,
        victim: *victim,
        source: plan.source.clone(),
        flush,
    };
    let outcome = match download.run().await {
        Ok(Some(root)) => Outcome::Done { moved: control.gauge.moved(), root: Some(root) },
        Ok(None) => Outcome::Unchanged,
        Err(failure) => Outcome::Failed(failure),
    };
    Settled {
        from: plan.ends.from(),
        to: Location::Local(download.to.path()),
        source: Some(download.source),
        outcome,
    }
}

struct Download<'a> {
    context: &'a Context,
    control: &'a Control,
    from: &'a RemotePath,
    to: LocalPlace,
    replace: &'a Replace,
    victim: Option<Identity>,
    source: Attributes,
    flush: bool,
}

impl Download<'_> {
    /// The root of what is across now; `None` if it was there already.
    async fn run(&mut self) -> Result<Option<Root>, Failure> {
        if *self.replace == Replace::KeepBoth {
            match beside_local(self.context, self.from, &self.source, &self.to).await? {
                Beside::Free(to) => {
                    let (from, victim) = (self.from.clone(), None);
                    self.control.gauge.goes_to(Ends::Down { from, to: to.clone(), victim });
                    self.to = to;
                }
                Beside::There(to) => {
                    if self.flush && self.context.keys.are_continued() {
                        // An earlier run may have put it there and died before its flush.
                        let root = to.root.clone();
                        blocking(move || root.flush_earlier()).await?;
                    }
                    self.to = to;
                    return Ok(None);
                }
            }
        }
        for _ in 0..SOURCE_TRIES {
            match self.carry().await {
                Ok(root) => return Ok(Some(root)),
                Err(Setback::Failed(failure)) => {
                    self.discard_if_useless(&failure).await;
                    return Err(failure);
                }
                Err(Setback::VersionChanged) => {
                    self.source = match self.context.remote.stat(self.from).await {
                        Ok(source) => source,
                        Err(failure) => {
                            self.discard_if_useless(&failure).await;
                            return Err(failure);
                        }
                    };
                    if self.source.kind != EntryKind::File {
                        break;
                    }
                }
            }
        }
        let failure = source_changed(self.context, self.from);
        self.discard_if_useless(&failure).await;
        Err(failure)
    }

    /// Carries the version in `source`.
    async fn carry(&self) -> Result<Root, Setback> {
        let wrong = |text: String| {
            let subject = self.context.remote.show(self.from);
            Setback::Failed(Failure::new(Situation::Unexpected(text), subject))
        };
        let blocks = Blocks::of(self.source.size).map_err(|error| wrong(error.to_string()))?;
        let (staged, resumes) = self.stage().await.map_err(Setback::Failed)?;
        step::at(Step::DownloadStaged);
        let staged = Arc::new(staged);
        let ours = if resumes {
            self.control.gauge.phase(Phase::Verifying);
            self.compare(&staged, blocks).await?
        } else {
            vec![None; usize::try_from(blocks.count()).unwrap_or(usize::MAX)]
        };
        let here = (0_u64..).zip(&ours).filter(|(_, hash)| hash.is_some());
        let here = here.filter_map(|(block, _)| blocks.length_of(BlockIndex(block))).sum();
        self.control.gauge.begin(here);
        self.control.gauge.phase(Phase::Running);

        let receiving = Receiving {
            context: self.context,
            control: self.control,
            path: self.from,
            version: &self.source.version,
            blocks,
            staged: Arc::clone(&staged),
            flush: self.flush,
            row: Mutex::new(Row::new(ours, request_blocks(self.context))),
            dirty: Arc::new(AtomicU64::new(0)),
            damaged: AtomicU64::new(0),
            writes: TaskTracker::new(),
            unsure: AtomicBool::new(false),
        };
        let received = self.receive(&receiving).await;
        let writes = receiving.writes.clone();
        drop(receiving);
        // However it ended, nothing may write any more: neither into what is published now, nor
        // over what the next try finds right.
        writes.close();
        writes.wait().await;
        let row = received?;
        let root = root_of_row(&row, blocks).map_err(|error| wrong(error.to_string()))?;
        self.control.gauge.phase(Phase::Committing);
        self.publish(staged).await.map_err(Setback::Failed)?;
        Ok(root)
    }

    async fn receive(&self, receiving: &Receiving<'_>) -> Result<Vec<BlockHash>, Setback> {
        let first = self.context.next_lane();
        let workers = self.context.lanes * WORKERS_PER_LANE;
        loop {
            // A file of no blocks needs no worker; one of few needs no more than there are.
            let mut working: FuturesUnordered<_> =
                (0..workers).map(|worker| receiving.work(first, worker)).collect();
            while !receiving.is_idle()
                && let Some(left) = working.next().await
            {
                if left? == Left::Alone {
                    break;
                }
            }
            if let Some(row) = receiving.whole() {
                receiving.confirm().await?;
                return Ok(row);
            }
        }
    }

    /// The staged file, and whether an earlier run left something in it.
    async fn stage(&self) -> Result<(Staged, bool), Failure> {
        let to = self.to.clone();
        let staging = self.staging();
        let size = self.source.size;
        let keys = self.context.keys.clone();
        blocking(move || {
            keys.stage(&[staged_file(&to, &staging)]);
            stage(&to, NewFile { at: &to.at, staging: &staging, size })
        })
        .await
    }

    fn staging(&self) -> StagingName {
        staging_name(self.context, self.from, &self.to)
    }

    /// Our hashes of the staged blocks that are the server's too.
    async fn compare(
        &self,
        staged: &Arc<Staged>,
        blocks: Blocks,
    ) -> Result<Vec<Option<BlockHash>>, Setback> {
        let count = blocks.count();
        let starts = (0..count).step_by(usize::try_from(COMPARE_BLOCKS).unwrap_or(1));
        let mut parts = futures_util::stream::iter(starts)
            .map(|first| self.compare_part(staged, first, COMPARE_BLOCKS.min(count - first)))
            .buffered(COMPARISONS);
        let mut row = Vec::with_capacity(usize::try_from(count).unwrap_or_default());
        while let Some(part) = parts.next().await {
            row.extend(part?);
        }
        Ok(row)
    }

    async fn compare_part(
        &self,
        staged: &Arc<Staged>,
        first: u64,
        count: u64,
    ) -> Result<Vec<Option<BlockHash>>, Setback> {
        let staged = Arc::clone(staged);
        let hash = blocking(move || {
            let mut buffer = Vec::new();
            let blocks = first..first + count;
            blocks.map(|block| staged.hash_block(BlockIndex(block), &mut buffer)).collect()
        });
        let mut ours: Vec<Option<BlockHash>> = hash.await.map_err(Setback::Failed)?;
        let Some(start) = ours.iter().position(Option::is_some) else { return Ok(ours) };
        let end = ours.iter().rposition(Option::is_some).unwrap_or(start) + 1;
        let request = ReadRow {
            path: self.from.clone(),
            version: self.source.version.clone(),
            first: first + start as u64,
            count: (end - start) as u64,
            fine: false,
        };
        let theirs = self.their_row(&request).await.map_err(|error| {
            if error.is(ErrorCode::VERSION_CHANGED) {
                return Setback::VersionChanged;
            }
            Setback::Failed(error.about(self.context.remote.show(self.from)))
        })?;
        for (ours, theirs) in ours[start..end].iter_mut().zip(theirs) {
            if *ours != Some(theirs) {
                *ours = None;
            }
        }
        Ok(ours)
    }

    async fn their_row(&self, request: &ReadRow) -> Result<Vec<BlockHash>, CallError> {
        let collect = async |session: Session| {
            let mut answers = session.stream(request, ROW_PARTS).await?;
            let mut asked = AskedRow::new(request.first, request.count);
            let mut row = Vec::new();
            while let Some((part, body)) = answers.next().await? {
                row.extend(asked.take_next(part.first, &body)?);
            }
            if !asked.is_whole() {
                return Err(CallError::Malformed("a row has another length".to_owned()));
            }
            Ok(row)
        };
        persist_on(&self.context.remote.control(), collect).await
    }

    async fn publish(&self, staged: Arc<Staged>) -> Result<(), Failure> {
        let to = self.to.clone();
        let condition = condition(self.replace, self.victim);
        let (mode, mtime, flush) = (self.source.mode, self.source.mtime, self.flush);
        let staged = Arc::try_unwrap(staged).map_err(|_| {
            let text = "a staged file is still in use".to_owned();
            Failure::new(Situation::Unexpected(text), shown(&to.path()))
        })?;
        let keys = self.context.keys.clone();
        let file = staged_file(&to, &self.staging());
        blocking(move || {
            let mut group = Group::new(&to.root, flush);
            group.add(staged, mode, mtime, condition)?;
            if matches!(condition, Condition::Replaces(_)) {
                // For a moment this name may lead to a user's own file: nobody who comes after a
                // crash may take that for what was staged.
                keys.gone([&file.staging]);
            }
            let published = group.publish_each().into_iter().collect::<Result<(), NotPublished>>();
            keys.left(&file, published.as_ref().is_err_and(|why| why.is_staged));
            published.map_err(|why| why.failure)
        })
        .await
    }

    /// A staged file that can never be finished must not lie about.
    async fn discard_if_useless(&self, failure: &Failure) {
        let useless = matches!(
            failure.situation,
            Situation::SourceChanged(_)
                | Situation::TargetChanged(_)
                | Situation::NotVerified
                | Situation::NotFound(Side::Remote)
                | Situation::PermissionDenied(Side::Remote)
                | Situation::KindDiffers(_)
        );
        if useless && let Err(failure) = discard(self.context, self.from, &self.to).await {
            tracing::debug!(?failure, "a staged file stays");
        }
    }
}

/// The staged file for a place, and whether an earlier run left something in it.
fn stage(to: &LocalPlace, new: NewFile<'_>) -> Result<(Staged, bool), Failure> {
    let is_gone = |failure: &Failure| failure.situation == Situation::NotFound(Side::Local);
    match to.root.resume(new) {
        Ok(Some(staged)) => return Ok((staged, true)),
        Ok(None) => {}
        Err(failure) if is_gone(&failure) => {}
        Err(failure) => return Err(failure),
    }
    let staged = match to.root.stage(new) {
        // Its folder went away since it was planned, or was never planned.
        Err(failure) if is_gone(&failure) => {
            make_folders(to, to.at.parent())?;
            to.root.stage(new)
        }
        staged => staged,
    };
    staged.map(|staged| (staged, false))
}

/// What must be true of the target's name.
pub(super) fn condition(replace: &Replace, victim: Option<Identity>) -> Condition {
    match (replace, victim) {
        (Replace::This(_), Some(victim)) => Condition::Replaces(victim),
        _ => Condition::Absent,
    }
}

/// The name under which `from` is staged on its way to `to`, the same in every run of a journal.
pub(in crate::transfer) fn staging_name(
    context: &Context,
    from: &RemotePath,
    to: &LocalPlace,
) -> StagingName {
    use std::os::unix::ffi::OsStrExt;
    let target = to.path();
    let digits = context.keys.staging_digits(&from.to_bytes(), target.as_os_str().as_bytes());
    StagingName::new(&digits).expect("a journal gives sixteen hexadecimal digits")
}

/// Removes what is staged for a place.
pub(in crate::transfer) async fn discard(
    context: &Context,
    from: &RemotePath,
    to: &LocalPlace,
) -> Result<(), Failure> {
    let staging = staging_name(context, from, to);
    let (to, keys) = (to.clone(), context.keys.clone());
    blocking(move || {
        to.root.discard(&to.at, &staging)?;
        keys.gone([&staging]);
        Ok(())
    })
    .await
}

/// What the journal is to know of a file before it is staged.
pub(super) fn staged_file(to: &LocalPlace, staging: &StagingName) -> StagedFile {
    let root = to.root.path();
    // Without a current folder there is no absolute path; then the journal does not take it.
    let root = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    StagedFile { root, at: to.at.clone(), staging: staging.clone() }
}

/// Makes the folders above a place.
pub(super) fn make_folders(to: &LocalPlace, parent: Option<RemotePath>) -> Result<(), Failure> {
    let names = parent.unwrap_or_default();
    for depth in 1..=names.names().len() {
        let above = RemotePath::from_names(&names.names()[..depth]).unwrap_or_default();
        to.root.make_folder(&above)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::TargetRoot;

    #[test]
    fn a_file_whose_folder_went_away_gets_it_again() {
        let here = tempfile::tempdir().unwrap();
        let root = TargetRoot::open(here.path()).unwrap();
        let to = LocalPlace { root, at: RemotePath::parse(b"gone/deep/file").unwrap() };
        let staging = StagingName::of(1);
        let new = NewFile { at: &to.at, staging: &staging, size: 4 };
        let (staged, resumes) = stage(&to, new).unwrap();
        assert!(!resumes);
        drop(staged);
        assert!(here.path().join("gone/deep").join(staging.as_str()).exists());
        let (_, resumes) = stage(&to, new).unwrap();
        assert!(resumes);
    }
}
