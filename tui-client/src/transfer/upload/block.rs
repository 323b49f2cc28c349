//! One stripe of a file up one connection: read, hash and send overlap, and several blocks are
//! underway.
//!
//! Invariant: a block counts as across only when the server's hash of it is our own.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use sampan_protocol::block::BlockIndex;
use sampan_protocol::limits::PIECE_BYTES;
use sampan_protocol::message::{UploadOpened, WriteBlock};
use sampan_protocol::{BlockHash, ErrorCode};

use crate::failure::{Failure, Situation};
use crate::local::Source;
use crate::remote::{Answers, CallError, Session};
use crate::step::{self, Step};
use crate::transfer::event::Phase;
use crate::transfer::job::{Context, Control, blocking};

/// Blocks that are read and hashed ahead of the connection.
const READ_AHEAD: usize = 3;
/// Blocks that may be unanswered on one connection: what a round trip of 100 ms needs at 80 MB/s.
const IN_FLIGHT: usize = 8;

/// Why sending stopped.
#[derive(Debug)]
pub(super) enum Setback {
    /// The connection broke: open again and compare.
    Lost,
    /// The server has another idea of the upload than we: open again and compare, not for ever.
    Disagreement,
    /// The source is not what it was.
    SourceChanged,
    /// For good.
    Failed(Failure),
}

/// The state of an upload's blocks on both sides, shared by its stripes.
pub(super) struct Rows {
    state: Mutex<State>,
}

struct State {
    /// By our own hashing.
    ours: Vec<Option<BlockHash>>,
    /// What the server has, by its hashing.
    theirs: Vec<Option<BlockHash>>,
    /// What nobody sends yet.
    stripes: VecDeque<Range<u64>>,
}

impl Rows {
    pub(super) fn new(blocks: usize) -> Self {
        let (ours, theirs) = (vec![None; blocks], vec![None; blocks]);
        Self { state: Mutex::new(State { ours, theirs, stripes: VecDeque::new() }) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the server's row, and lays out the stripes of `stripe` blocks that need work.
    pub(super) fn begin(&self, theirs: Vec<Option<BlockHash>>, stripe: u64) {
        let mut state = self.lock();
        state.theirs = theirs;
        let count = state.ours.len() as u64;
        let starts = (0..count).step_by(usize::try_from(stripe.max(1)).unwrap_or(usize::MAX));
        let stripes = starts.map(|start| start..count.min(start.saturating_add(stripe)));
        let needs_work = |range: &Range<u64>| range.clone().any(|block| !state.is_across(block));
        let stripes = stripes.filter(needs_work).collect();
        state.stripes = stripes;
    }

    /// A stripe that nobody sends yet.
    pub(super) fn take_stripe(&self) -> Option<Range<u64>> {
        self.lock().stripes.pop_front()
    }

    /// Stripes that nobody sends yet.
    pub(super) fn stripes_left(&self) -> usize {
        self.lock().stripes.len()
    }

    /// Our row, if every block is across.
    pub(super) fn whole(&self) -> Option<Vec<BlockHash>> {
        let state = self.lock();
        let all = (0..state.ours.len() as u64).all(|block| state.is_across(block));
        all.then(|| state.ours.iter().copied().flatten().collect())
    }

    /// Notes our hash of a block; says whether the server has the same.
    fn note_ours(&self, block: u64, hash: BlockHash) -> bool {
        let mut state = self.lock();
        if let Some(ours) = state.ours.get_mut(position(block)) {
            *ours = Some(hash);
        }
        state.is_across(block)
    }

    fn note_theirs(&self, block: u64, hash: BlockHash) -> bool {
        let mut state = self.lock();
        if let Some(theirs) = state.theirs.get_mut(position(block)) {
            *theirs = Some(hash);
        }
        state.is_across(block)
    }

    fn is_across(&self, block: u64) -> bool {
        self.lock().is_across(block)
    }
}

impl State {
    fn is_across(&self, block: u64) -> bool {
        let ours = self.ours.get(position(block)).copied().flatten();
        ours.is_some() && ours == self.theirs.get(position(block)).copied().flatten()
    }
}

fn position(block: u64) -> usize {
    usize::try_from(block).unwrap_or(usize::MAX)
}

/// What one upload's stripes share.
pub(super) struct Sending<'a> {
    pub(super) context: &'a Context,
    pub(super) control: &'a Control,
    pub(super) source: &'a Arc<Source>,
    pub(super) opened: &'a UploadOpened,
    pub(super) rows: &'a Rows,
}

struct ReadBlock {
    block: u64,
    hash: BlockHash,
    bytes: Bytes,
}

impl Sending<'_> {
    /// Sends what is missing of one stripe over `session`, in rising order.
    pub(super) async fn stripe(
        &self,
        session: &Session,
        stripe: Range<u64>,
    ) -> Result<(), Setback> {
        let wanted: Vec<u64> = stripe.filter(|block| !self.rows.is_across(*block)).collect();
        let mut blocks =
            futures_util::stream::iter(wanted).map(|block| self.read(block)).buffered(READ_AHEAD);
        let mut unanswered = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                // As soon as they come: what is known to be across is what the gauge shows.
                Some(settled) = unanswered.next() => settled?,
                read = blocks.next(), if unanswered.len() < IN_FLIGHT => {
                    let Some(read) = read else { break };
                    let read = read?;
                    if self.rows.note_ours(read.block, read.hash) {
                        // Staged by an earlier run, and the same. Nothing moves meanwhile.
                        if unanswered.is_empty() {
                            self.control.gauge.phase(Phase::Verifying);
                        }
                        continue;
                    }
                    self.control.gate().await;
                    self.control.gauge.phase(Phase::Running);
                    unanswered.push(self.settle(self.send(session, read).await?));
                }
            }
        }
        while let Some(settled) = unanswered.next().await {
            settled?;
        }
        Ok(())
    }

    async fn read(&self, block: u64) -> Result<ReadBlock, Setback> {
        let mut buffer = self.context.memory.block().await;
        let source = Arc::clone(self.source);
        let read = blocking(move || {
            let hash = source.read_block(BlockIndex(block), &mut buffer.bytes)?;
            Ok(ReadBlock { block, hash, bytes: buffer.freeze() })
        });
        read.await.map_err(|failure| match failure.situation {
            Situation::SourceChanged(_) => Setback::SourceChanged,
            _ => Setback::Failed(failure),
        })
    }

    async fn send(
        &self,
        session: &Session,
        read: ReadBlock,
    ) -> Result<(u64, u64, Answers<WriteBlock>), Setback> {
        let ReadBlock { block, hash, bytes } = read;
        let mut call = session.begin::<WriteBlock>(1).map_err(|error| self.setback(error))?;
        let mut offset = 0;
        while offset < bytes.len() {
            let end = bytes.len().min(offset + PIECE_BYTES);
            let is_last = end == bytes.len();
            let piece = WriteBlock {
                upload: self.opened.upload,
                epoch: self.opened.epoch,
                block,
                offset: u32::try_from(offset).unwrap_or(u32::MAX),
                hash: is_last.then_some(hash),
            };
            let length = (end - offset) as u64;
            self.context.pace.take(length).await;
            let sent = call.send(&piece, bytes.slice(offset..end), is_last).await;
            sent.map_err(|error| self.setback(error))?;
            self.control.gauge.add_moved(length);
            offset = end;
        }
        Ok((block, bytes.len() as u64, call.answers()))
    }

    async fn settle(&self, sent: (u64, u64, Answers<WriteBlock>)) -> Result<(), Setback> {
        let (block, length, answers) = sent;
        let (written, _) = answers.only().await.map_err(|error| self.setback(error))?;
        if !self.rows.note_theirs(block, written.hash) {
            return Err(Setback::Disagreement);
        }
        step::at(Step::BlockAcknowledged);
        self.control.gauge.add_acknowledged(length);
        Ok(())
    }

    fn setback(&self, error: CallError) -> Setback {
        match error {
            CallError::Lost => Setback::Lost,
            CallError::Refused(refusal)
                if matches!(refusal.code, ErrorCode::CLOSING | ErrorCode::BUSY) =>
            {
                Setback::Lost
            }
            CallError::Refused(refusal)
                if matches!(
                    refusal.code,
                    ErrorCode::BLOCK_REFUSED | ErrorCode::UPLOAD_NOT_FOUND
                ) =>
            {
                Setback::Disagreement
            }
            other => Setback::Failed(other.about(crate::place::shown(self.source.path()))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(number: u8) -> BlockHash {
        BlockHash([number; 32])
    }

    #[test]
    fn only_stripes_with_work_are_laid_out() {
        let rows = Rows::new(10);
        rows.begin(vec![None; 10], 4);
        let all: Vec<_> = std::iter::from_fn(|| rows.take_stripe()).collect();
        assert_eq!(all, [0..4, 4..8, 8..10]);

        for block in 0..8 {
            assert!(!rows.note_ours(block, hash(1)));
            assert!(rows.note_theirs(block, hash(1)));
        }
        assert_eq!(rows.whole(), None);
        // The server lost block 5, and block 2 there is another one.
        let mut theirs = vec![Some(hash(1)); 10];
        theirs[5] = None;
        theirs[2] = Some(hash(9));
        rows.begin(theirs, 4);
        let left: Vec<_> = std::iter::from_fn(|| rows.take_stripe()).collect();
        assert_eq!(left, [0..4, 4..8, 8..10]);
        assert!(rows.is_across(0) && !rows.is_across(2) && !rows.is_across(5));
        // What was staged by an earlier run and is the same needs no sending.
        assert!(rows.note_ours(8, hash(1)) && rows.note_ours(9, hash(1)));
        assert!(rows.note_theirs(2, hash(1)) && rows.note_theirs(5, hash(1)));
        assert_eq!(rows.whole(), Some(vec![hash(1); 10]));
        rows.begin(vec![Some(hash(1)); 10], 4);
        assert_eq!(rows.stripes_left(), 0);
    }

    #[test]
    fn an_answer_with_another_hash_does_not_count() {
        let rows = Rows::new(1);
        rows.begin(vec![None], 1);
        rows.note_ours(0, hash(1));
        assert!(!rows.note_theirs(0, hash(2)));
        assert_eq!(rows.whole(), None);
    }

    #[test]
    fn an_empty_file_is_whole_at_once() {
        let rows = Rows::new(0);
        rows.begin(Vec::new(), 1);
        assert_eq!(rows.take_stripe(), None);
        assert_eq!(rows.whole(), Some(Vec::new()));
    }
}
