//! One file up: open, compare, send what differs, commit.
//!
//! ```text
//! open (the journal's key) ─▶ their row ─▶ stripes over all lanes ─▶ source still the same? ─▶ commit
//!        ▲                                        │ lost                        │ no
//!        └────────────────────────────────────────┘             read it again ◀─┘
//! ```
//!
//! A block that the server has from an earlier run is read and hashed here all the same, so that a
//! prefix which was altered meanwhile is noticed; only what differs is sent.
//!
//! Invariant: a commit names the root by our own hashing of a source that stood still.

use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sampan_protocol::block::{BlockIndex, Blocks, root_of_row};
use sampan_protocol::limits::{BLOCK_BYTES, MAX_BLOCKS_PER_REQUEST};
use sampan_protocol::message::{
    AbortUpload, CommitUpload, Committed, OpenUpload, Unfinished, UploadOpened, UploadRow,
};
use sampan_protocol::{Attributes, BlockHash, ErrorCode, RemotePath, Root, UploadId, UploadKey};

use super::block::{Rows, Sending, Setback};
use crate::failure::{Failure, Side, Situation};
use crate::local::Source;
use crate::place::{Location, shown};
use crate::remote::{AskedRow, CallError, persist_on};
use crate::step::{self, Step};
use crate::transfer::beside::{Beside, beside_remote};
use crate::transfer::decide::Replace;
use crate::transfer::event::{Outcome, Phase};
use crate::transfer::item::{Ends, FilePlan, LocalSource, Settled};
use crate::transfer::job::{Context, Control, blocking};

/// How often a source that changes is read again before it is given up.
const SOURCE_TRIES: u32 = 3;
/// How often the two sides may disagree about what is across.
const DISAGREEMENTS: u32 = 3;

/// Carries one file up.
pub(in crate::transfer) async fn upload_file(
    context: &Context,
    control: &Control,
    plan: &FilePlan,
) -> Settled {
    let Ends::Up { from, to } = &plan.ends else {
        unreachable!("the engine gives uploads to this job");
    };
    let mut upload = Upload {
        context,
        control,
        from,
        to: to.clone(),
        replace: &plan.replace,
        source: plan.source.clone(),
    };
    let outcome = match upload.run().await {
        Ok(Some(root)) => Outcome::Done { moved: control.gauge.moved(), root: Some(root) },
        Ok(None) => Outcome::Unchanged,
        Err(failure) => Outcome::Failed(failure),
    };
    Settled {
        from: plan.ends.from(),
        to: Location::Remote(upload.to),
        source: Some(upload.source),
        outcome,
    }
}

struct Upload<'a> {
    context: &'a Context,
    control: &'a Control,
    from: &'a LocalSource,
    to: RemotePath,
    replace: &'a Replace,
    source: Attributes,
}

impl Upload<'_> {
    /// The root of what is across now; `None` if it was there already.
    async fn run(&mut self) -> Result<Option<Root>, Failure> {
        if *self.replace == Replace::KeepBoth {
            match beside_remote(self.context, self.from, &self.source, &self.to).await? {
                Beside::Free(to) => {
                    let from = self.from.clone();
                    self.control.gauge.goes_to(Ends::Up { from, to: to.clone() });
                    self.to = to;
                }
                Beside::There(to) => {
                    self.to = to;
                    return Ok(None);
                }
            }
        }
        for _ in 0..SOURCE_TRIES {
            let from = self.from.clone();
            let source = match blocking(move || from.open()).await {
                Ok(source) => Arc::new(source),
                Err(failure) => {
                    // An earlier try may have opened an upload.
                    self.give_up_if_useless(&failure).await;
                    return Err(failure);
                }
            };
            self.source = source.attributes();
            match self.carry(&source).await {
                Ok(root) => return Ok(Some(root)),
                Err(Setback::SourceChanged) => {}
                Err(Setback::Failed(failure)) => {
                    self.give_up_if_useless(&failure).await;
                    return Err(failure);
                }
                Err(Setback::Lost | Setback::Disagreement) => {
                    return Err(self.about(Situation::NotVerified));
                }
            }
        }
        let failure = Failure::new(Situation::SourceChanged(Side::Local), shown(&self.from.path()));
        self.give_up_if_useless(&failure).await;
        Err(failure)
    }

    fn about(&self, situation: Situation) -> Failure {
        Failure::new(situation, self.context.remote.show(&self.to))
    }

    fn key(&self) -> UploadKey {
        self.context.keys.upload_key(&self.from.to_bytes(), &self.to.to_bytes())
    }

    /// Carries a source that should stand still.
    async fn carry(&self, source: &Arc<Source>) -> Result<Root, Setback> {
        let blocks = source.blocks().map_err(Setback::Failed)?;
        let count = usize::try_from(blocks.count()).unwrap_or(usize::MAX);
        let rows = Rows::new(count);
        let mut disagreements = 0;
        loop {
            let opened = self.open(source.attributes()).await?;
            step::at(Step::UploadOpened);
            let theirs = self.their_row(&opened, blocks).await?;
            self.control.gauge.begin(bytes_of(blocks, &theirs));
            let resumes = theirs.iter().any(Option::is_some);
            self.control.gauge.phase(if resumes { Phase::Verifying } else { Phase::Running });
            rows.begin(theirs, opened.stripe / BLOCK_BYTES);
            let sending = Sending {
                context: self.context,
                control: self.control,
                source,
                opened: &opened,
                rows: &rows,
            };
            let setback = match self.send(&sending).await {
                Ok(()) => match self.commit(source, blocks, &rows, &opened).await {
                    Ok(root) => return Ok(root),
                    Err(setback) => setback,
                },
                Err(setback) => setback,
            };
            match setback {
                Setback::Lost => self.control.gauge.phase(Phase::Waiting),
                Setback::Disagreement if disagreements < DISAGREEMENTS => disagreements += 1,
                other => return Err(other),
            }
        }
    }

    /// Sends every stripe with work, over as many lanes as there are.
    async fn send(&self, sending: &Sending<'_>) -> Result<(), Setback> {
        let lanes = self.context.lanes.min(sending.rows.stripes_left());
        let first = self.context.next_lane();
        let mut workers: FuturesUnordered<_> =
            (0..lanes).map(|worker| self.worker(sending, first, worker)).collect();
        while let Some(ended) = workers.next().await {
            ended?;
            // A lane that has no connection yet must not hold the others up.
            if sending.rows.whole().is_some() {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn worker(
        &self,
        sending: &Sending<'_>,
        first: usize,
        worker: usize,
    ) -> Result<(), Setback> {
        let session = self.context.worker_session(first, worker).await;
        let session = session.map_err(|error| match error {
            CallError::Lost => Setback::Lost,
            other => Setback::Failed(other.about(shown(&self.from.path()))),
        })?;
        let Some(session) = session else { return Ok(()) };
        while let Some(stripe) = sending.rows.take_stripe() {
            sending.stripe(&session, stripe).await?;
        }
        Ok(())
    }

    /// Opens the upload, or takes it up again.
    async fn open(&self, source: Attributes) -> Result<UploadOpened, Setback> {
        let request = OpenUpload {
            key: self.key(),
            path: self.to.clone(),
            size: source.size,
            mode: source.mode,
            mtime: source.mtime,
            if_target: self.replace.precondition(),
            parents: true,
        };
        let remote = &self.context.remote;
        let opened = match remote.call(&request).await {
            // The source had another size when an earlier run opened it.
            Err(error) if error.is(ErrorCode::UPLOAD_DIFFERS) => {
                self.abort().await.map_err(|error| self.failed(error))?;
                remote.call(&request).await
            }
            opened => opened,
        };
        opened.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: CallError) -> Setback {
        let is_target = error.is(ErrorCode::VERSION_CHANGED)
            || (error.is(ErrorCode::EXISTS) && *self.replace == Replace::Nothing);
        if is_target {
            return Setback::Failed(self.about(Situation::TargetChanged(Side::Remote)));
        }
        Setback::Failed(error.about(self.context.remote.show(&self.to)))
    }

    /// The server's hashes of what it has of an upload.
    async fn their_row(
        &self,
        opened: &UploadOpened,
        blocks: Blocks,
    ) -> Result<Vec<Option<BlockHash>>, Setback> {
        let mut row = vec![None; usize::try_from(blocks.count()).unwrap_or(usize::MAX)];
        let Some(last) = opened.staged.runs().last() else { return Ok(row) };
        let mut first = opened.staged.runs().next().map_or(0, |run| run.start);
        while first < last.end.min(blocks.count()) {
            let count = MAX_BLOCKS_PER_REQUEST.min(blocks.count() - first);
            let request = UploadRow { upload: opened.upload, first, count };
            let parts = self.row_parts(&request).await.map_err(|error| self.failed(error))?;
            for (block, hash) in parts {
                if let Some(place) = usize::try_from(block).ok().and_then(|at| row.get_mut(at)) {
                    *place = Some(hash);
                }
            }
            first += count;
        }
        Ok(row)
    }

    async fn row_parts(&self, request: &UploadRow) -> Result<Vec<(u64, BlockHash)>, CallError> {
        let collect = async |session: crate::remote::Session| {
            let mut answers = session.stream(request, ROW_PARTS).await?;
            let mut asked = AskedRow::new(request.first, request.count);
            let mut hashes = Vec::new();
            while let Some((part, body)) = answers.next().await? {
                hashes.extend(asked.take_some(&part.blocks, &body)?);
            }
            Ok(hashes)
        };
        persist_on(&self.context.remote.control(), collect).await
    }

    /// Publishes it, if the source stood still.
    async fn commit(
        &self,
        source: &Arc<Source>,
        blocks: Blocks,
        rows: &Rows,
        opened: &UploadOpened,
    ) -> Result<Root, Setback> {
        let row = rows.whole().ok_or(Setback::Disagreement)?;
        let root = root_of_row(&row, blocks).map_err(|_| Setback::Disagreement)?;
        let held = Arc::clone(source);
        match blocking(move || held.is_proven(|| root)).await {
            Ok(true) => {}
            Ok(false) => return Err(Setback::SourceChanged),
            Err(failure) if matches!(failure.situation, Situation::SourceChanged(_)) => {
                return Err(Setback::SourceChanged);
            }
            Err(failure) => return Err(Setback::Failed(failure)),
        }
        self.control.gauge.phase(Phase::Committing);
        step::at(Step::UploadSent);
        let (upload, epoch) = (opened.upload, opened.epoch);
        let committed =
            self.context.remote.change(|change| CommitUpload { change, upload, epoch, root }).await;
        match committed {
            Ok(committed) => {
                step::at(Step::UploadCommitted);
                self.match_attributes(source, &committed).await.map_err(Setback::Failed)?;
                Ok(root)
            }
            Err(error)
                if [
                    ErrorCode::ROOT_MISMATCH,
                    ErrorCode::INCOMPLETE,
                    ErrorCode::UPLOAD_NOT_FOUND,
                ]
                .iter()
                .any(|code| error.is(*code)) =>
            {
                Err(Setback::Disagreement)
            }
            Err(error) => Err(self.failed(error)),
        }
    }

    /// An upload that was opened before the source was touched or given another mode has the old
    /// ones.
    async fn match_attributes(
        &self,
        source: &Source,
        committed: &Committed,
    ) -> Result<(), Failure> {
        let wanted = source.attributes();
        if committed.attributes.mtime != wanted.mtime {
            let remote = &self.context.remote;
            remote.set_attributes(&self.to, Some(wanted.mode), Some(wanted.mtime)).await?;
        }
        Ok(())
    }

    /// An upload that can never be finished holds quota for nothing.
    async fn give_up_if_useless(&self, failure: &Failure) {
        let useless = matches!(
            failure.situation,
            Situation::SourceChanged(_)
                | Situation::TargetChanged(_)
                | Situation::NotVerified
                | Situation::NotFound(Side::Local)
                | Situation::NotAFolder(Side::Local)
                | Situation::IsAFolder(Side::Local)
                | Situation::IsALink(Side::Local)
                | Situation::NotAFile(Side::Local)
                | Situation::PermissionDenied(Side::Local)
                | Situation::KindDiffers(_)
        );
        if useless && let Err(error) = self.abort().await {
            tracing::debug!(?error, "an upload that failed stays until it expires");
        }
    }

    /// Gives up whatever upload has our key.
    async fn abort(&self) -> Result<(), CallError> {
        abort_upload(self.context, self.key()).await
    }
}

/// Frames of a row that may wait.
const ROW_PARTS: usize = 8;

/// Gives up the upload with this key, if there is one.
pub(in crate::transfer) async fn abort_upload(
    context: &Context,
    key: UploadKey,
) -> Result<(), CallError> {
    match find_upload(context, key).await? {
        None => Ok(()),
        Some(upload) => {
            context.remote.change(|change| AbortUpload { change, upload }).await.map(|_| ())
        }
    }
}

async fn find_upload(context: &Context, key: UploadKey) -> Result<Option<UploadId>, CallError> {
    let search = async |session: crate::remote::Session| {
        let mut found = None;
        let take = |upload: Unfinished| {
            if upload.key == key {
                found = found.or(Some(upload.upload));
            }
        };
        session.unfinished(take).await?;
        Ok(found)
    };
    persist_on(&context.remote.control(), search).await
}

/// Bytes of the blocks that are there.
fn bytes_of(blocks: Blocks, row: &[Option<BlockHash>]) -> u64 {
    let there = row.iter().enumerate().filter(|(_, hash)| hash.is_some());
    there.filter_map(|(block, _)| blocks.length_of(BlockIndex(block as u64))).sum()
}
