//! Blocks of a file down one connection into a staged file: receive, hash and write overlap.
//!
//! Invariant: a block counts as here only when it was written and its hash by our own hashing is the
//! one that the server read; a row is whole only once the server said, after its last block was
//! read, that the version is still the same.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt};
use sampan_protocol::block::{BlockHasher, BlockIndex, Blocks};
use sampan_protocol::limits::{BLOCK_BYTES, PIECE_BYTES};
use sampan_protocol::message::{Read, ReadPiece};
use sampan_protocol::{BlockHash, ErrorCode, RemotePath, Version};
use tokio_util::task::TaskTracker;

use crate::failure::{Failure, Side, Situation};
use crate::local::Staged;
use crate::remote::{Answers, CallError, Frames, Session, persist_on};
use crate::step::{self, Step};
use crate::transfer::event::Phase;
use crate::transfer::job::{Context, Control, joined};

/// Blocks in one request: what a connection's loss can cost, and what memory is asked for.
const REQUEST_BLOCKS: u64 = 8;
/// Pieces of a block as the server cuts them; more only wait.
pub(super) const PIECES: usize = 4;
/// Blocks that may be on their way to the disk beside the one that arrives.
const WRITING: usize = 3;
/// How often a block may arrive damaged.
const DAMAGES: u64 = 3;
/// Bytes after which what was written is flushed in the background.
const FLUSH_BYTES: u64 = 64 << 20;

/// Why receiving stopped.
#[derive(Debug)]
pub(super) enum Setback {
    /// The file on the server is another one now.
    VersionChanged,
    /// For good.
    Failed(Failure),
}

/// How a worker left that met no setback.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing is wanted, or there is no lane for it.
    Done,
    /// Its lane broke, and nobody else is at what it gave back: others must begin, who take a lane
    /// that lives.
    Alone,
}

/// What one download's requests share.
pub(super) struct Receiving<'a> {
    pub(super) context: &'a Context,
    pub(super) control: &'a Control,
    pub(super) path: &'a RemotePath,
    pub(super) version: &'a Version,
    pub(super) blocks: Blocks,
    pub(super) staged: Arc<Staged>,
    pub(super) flush: bool,
    pub(super) row: Mutex<Row>,
    /// Bytes written since the last flush in the background.
    pub(super) dirty: Arc<AtomicU64>,
    pub(super) damaged: AtomicU64,
    /// Everything that works on the staged file off the async threads.
    pub(super) writes: TaskTracker,
    /// Blocks were noted whose run did not end in order: that they are of one version, nobody said.
    pub(super) unsure: AtomicBool,
}

/// Which blocks are here, and what nobody asks for yet.
pub(super) struct Row {
    pub(super) ours: Vec<Option<BlockHash>>,
    wanted: VecDeque<Range<u64>>,
    underway: usize,
}

impl Row {
    /// Everything that `ours` lacks is wanted, in pieces of at most `most` blocks.
    pub(super) fn new(ours: Vec<Option<BlockHash>>, most: u64) -> Self {
        let mut wanted: VecDeque<Range<u64>> = VecDeque::new();
        for (block, _) in (0_u64..).zip(&ours).filter(|(_, hash)| hash.is_none()) {
            match wanted.back_mut() {
                Some(last) if last.end == block && last.end - last.start < most => last.end += 1,
                _ => wanted.push_back(block..block + 1),
            }
        }
        Self { ours, wanted, underway: 0 }
    }

    /// Our row, if every block is here.
    pub(super) fn whole(&self) -> Option<Vec<BlockHash>> {
        self.ours.iter().copied().collect()
    }

    /// Whether something is wanted and nobody is at it.
    fn is_left_alone(&self) -> bool {
        self.underway == 0 && !self.wanted.is_empty()
    }

    fn has(&self, block: u64) -> bool {
        let hash = usize::try_from(block).ok().and_then(|at| self.ours.get(at));
        hash.copied().flatten().is_some()
    }
}

/// How many blocks one request asks for.
pub(super) fn request_blocks(context: &Context) -> u64 {
    // Under a limit, small requests keep the pace even.
    if context.pace.is_limited() { 1 } else { REQUEST_BLOCKS }
}

impl Receiving<'_> {
    fn row(&self) -> std::sync::MutexGuard<'_, Row> {
        self.row.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn whole(&self) -> Option<Vec<BlockHash>> {
        self.row().whole()
    }

    /// Asks for what is wanted over one lane, request by request, until nothing is.
    pub(super) async fn work(&self, first: usize, worker: usize) -> Result<Left, Setback> {
        loop {
            let session = match self.context.worker_session(first, worker).await {
                Ok(Some(session)) => session,
                Ok(None) => return Ok(Left::Done),
                Err(CallError::Lost) => continue,
                Err(error) => return Err(self.failed(error)),
            };
            self.control.gate().await;
            let Some(run) = self.take() else { return Ok(Left::Done) };
            self.control.gauge.phase(Phase::Running);
            let bytes = self.blocks.length_of_run(BlockIndex(run.start), run.end - run.start);
            self.context.pace.take(bytes.unwrap_or_default()).await;
            let blocks = usize::try_from(run.end - run.start).unwrap_or(usize::MAX);
            let memory = self.context.memory.reserve(blocks).await;
            let request = Read {
                path: self.path.clone(),
                version: self.version.clone(),
                first: run.start,
                count: run.end - run.start,
            };
            let received = match session.stream(&request, blocks * PIECES + 1).await {
                Ok(answers) => self.receive(answers, run.clone()).await,
                Err(error) => Err(Broken::Call(error)),
            };
            if received.is_err() {
                self.unsure.store(true, Ordering::Relaxed);
            }
            drop(memory);
            self.give_back(run);
            match received {
                Ok(()) => {}
                Err(Broken::Local(failure)) => return Err(Setback::Failed(failure)),
                Err(Broken::Call(CallError::Lost)) => {
                    self.control.gauge.phase(Phase::Waiting);
                    // The first takes any lane by itself.
                    if worker > 0 && self.row().is_left_alone() {
                        return Ok(Left::Alone);
                    }
                }
                Err(Broken::Call(error)) if error.is(ErrorCode::CLOSING) => {
                    self.control.gauge.phase(Phase::Waiting);
                    tokio::time::sleep(AGAIN_AFTER).await;
                }
                Err(Broken::Call(error)) if error.is(ErrorCode::VERSION_CHANGED) => {
                    return Err(Setback::VersionChanged);
                }
                Err(Broken::Call(error)) => return Err(self.failed(error)),
            }
        }
    }

    fn failed(&self, error: CallError) -> Setback {
        Setback::Failed(error.about(self.context.remote.show(self.path)))
    }

    fn take(&self) -> Option<Range<u64>> {
        let mut row = self.row();
        let run = row.wanted.pop_front()?;
        row.underway += 1;
        Some(run)
    }

    /// Whether nothing is wanted and nothing is underway.
    pub(super) fn is_idle(&self) -> bool {
        let row = self.row();
        row.wanted.is_empty() && row.underway == 0
    }

    /// What did not come of a run is wanted again, before anything else.
    fn give_back(&self, run: Range<u64>) {
        let mut row = self.row();
        row.underway -= 1;
        let missing: Vec<u64> = run.filter(|block| !row.has(*block)).collect();
        for block in missing.into_iter().rev() {
            match row.wanted.front_mut() {
                Some(first) if first.start == block + 1 => first.start = block,
                _ => row.wanted.push_front(block..block + 1),
            }
        }
    }

    /// Whether all that came is of one version. A run's last frame says so; where one was lost, the
    /// server is asked once more.
    pub(super) async fn confirm(&self) -> Result<(), Setback> {
        if !self.unsure.swap(false, Ordering::Relaxed) {
            return Ok(());
        }
        let (path, version) = (self.path.clone(), self.version.clone());
        let request = Read { path, version, first: 0, count: 0 };
        let ask =
            async |session: Session| session.stream(&request, 1).await?.only().await.map(drop);
        match persist_on(&self.context.remote.control(), ask).await {
            Err(error) if error.is(ErrorCode::VERSION_CHANGED) => Err(Setback::VersionChanged),
            said => said.map_err(|error| self.failed(error)),
        }
    }

    async fn receive(&self, answers: Answers<Read>, run: Range<u64>) -> Result<(), Broken> {
        let mut writing = Writing::new();
        let mut received = self.receive_into(&mut writing, answers, &run).await;
        // Also what came before it broke is written to its end, before anyone else may ask for the
        // same blocks.
        while !writing.is_empty() {
            let noted = self.note(writing.next().await);
            received = received.and(noted);
        }
        received
    }

    async fn receive_into(
        &self,
        writing: &mut Writing,
        mut answers: Answers<Read>,
        run: &Range<u64>,
    ) -> Result<(), Broken> {
        let mut block = Arriving::new(run.start);
        let mut frames = Frames::default();
        loop {
            let next = answers.next().await;
            let Some((piece, body)) = next.map_err(Broken::Call)? else {
                return block.end(run, &frames).map_err(Broken::Call);
            };
            frames.take(!body.is_empty()).map_err(Broken::Call)?;
            if body.is_empty() {
                // The last frame: the version was checked again.
                continue;
            }
            self.control.gauge.add_moved(body.len() as u64);
            let whole = block.take(self.blocks, run, piece, body).map_err(Broken::Call)?;
            let Some(whole) = whole else { continue };
            while writing.len() >= WRITING {
                self.note(writing.next().await)?;
            }
            let staged = Arc::clone(&self.staged);
            let blocks = self.blocks;
            let write = self.writes.spawn_blocking(move || write(&staged, blocks, &whole));
            writing.push(joined(write).boxed());
        }
    }

    fn note(&self, written: Option<Result<Written, Failure>>) -> Result<(), Broken> {
        let Some(written) = written else { return Ok(()) };
        match written.map_err(Broken::Local)? {
            Written::Damaged if self.damaged.fetch_add(1, Ordering::Relaxed) >= DAMAGES => {
                let subject = self.context.remote.show(self.path);
                Err(Broken::Local(Failure::new(Situation::NotVerified, subject)))
            }
            Written::Damaged => Ok(()),
            Written::Whole { block, hash, bytes } => {
                let at = usize::try_from(block).unwrap_or(usize::MAX);
                if let Some(place) = self.row().ours.get_mut(at) {
                    *place = Some(hash);
                }
                self.control.gauge.add_acknowledged(bytes);
                self.flush_some(bytes);
                Ok(())
            }
        }
    }

    /// Starts a flush once much was written, so that the end has little to wait for. It runs beside;
    /// what it fails with, the last flush fails with again.
    fn flush_some(&self, bytes: u64) {
        let dirty = self.dirty.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if !self.flush || dirty < FLUSH_BYTES || self.dirty.swap(0, Ordering::Relaxed) == 0 {
            return;
        }
        let staged = Arc::clone(&self.staged);
        self.writes.spawn_blocking(move || {
            if let Err(failure) = staged.flush() {
                tracing::debug!(?failure, "a flush beside a download failed");
            }
        });
    }
}

/// Blocks on their way to the disk.
type Writing = FuturesUnordered<BoxFuture<'static, Result<Written, Failure>>>;

/// A server that closes is met again after this.
const AGAIN_AFTER: std::time::Duration = std::time::Duration::from_millis(200);

enum Broken {
    Call(CallError),
    Local(Failure),
}

fn malformed(text: &str) -> CallError {
    CallError::Malformed(text.to_owned())
}

/// Pieces of one block that are taken: far more than any server that cuts blocks as it should sends.
const MOST_PIECES: usize = 1024;

/// A block whose pieces come.
pub(super) struct Arriving {
    block: u64,
    pieces: Vec<Bytes>,
    seen: u64,
}

pub(super) struct WholeBlock {
    pub(super) block: u64,
    pub(super) pieces: Vec<Bytes>,
    /// As the server read it.
    pub(super) hash: BlockHash,
}

impl Arriving {
    pub(super) fn new(block: u64) -> Self {
        Self { block, pieces: Vec::new(), seen: 0 }
    }

    /// The answer has ended: all must have come, and the frame that says of which version.
    pub(super) fn end(&self, run: &Range<u64>, frames: &Frames) -> Result<(), CallError> {
        if self.block != run.end || self.seen > 0 || !frames.have_ended() {
            return Err(malformed("an answer ends before what was asked for"));
        }
        Ok(())
    }

    /// Takes the next piece; gives the block when it is whole.
    pub(super) fn take(
        &mut self,
        blocks: Blocks,
        run: &Range<u64>,
        piece: ReadPiece,
        body: Bytes,
    ) -> Result<Option<WholeBlock>, CallError> {
        let length = blocks.length_of(BlockIndex(self.block)).unwrap_or_default();
        let fits = piece.block == self.block
            && run.contains(&piece.block)
            && u64::from(piece.offset) == self.seen
            && self.seen + body.len() as u64 <= length;
        if !fits {
            return Err(malformed("a piece of a file does not follow the one before"));
        }
        if self.pieces.len() == MOST_PIECES {
            return Err(malformed("a block comes in too many pieces"));
        }
        self.seen += body.len() as u64;
        // A piece of a frame keeps all of the frame.
        let is_small = body.len() < PIECE_BYTES;
        self.pieces.push(if is_small { Bytes::copy_from_slice(&body) } else { body });
        if self.seen < length {
            return Ok(None);
        }
        let hash = piece.hash.ok_or_else(|| malformed("a block came without its hash"))?;
        let pieces = std::mem::take(&mut self.pieces);
        let block = self.block;
        *self = Self::new(block + 1);
        Ok(Some(WholeBlock { block, pieces, hash }))
    }
}

enum Written {
    Whole {
        block: u64,
        hash: BlockHash,
        bytes: u64,
    },
    /// What came is not what the server read.
    Damaged,
}

fn write(staged: &Staged, blocks: Blocks, whole: &WholeBlock) -> Result<Written, Failure> {
    let wrong = |error: &dyn std::fmt::Display| {
        let subject = crate::place::shown(&staged.path()).to_string();
        Failure::new(Situation::Unexpected(error.to_string()), subject)
    };
    let mut hasher =
        BlockHasher::new(blocks, BlockIndex(whole.block)).map_err(|error| wrong(&error))?;
    let mut at = whole.block * BLOCK_BYTES;
    let mut bytes = 0;
    for piece in &whole.pieces {
        hasher.update(piece).map_err(|error| wrong(&error))?;
        staged.write_at(piece, at)?;
        at += piece.len() as u64;
        bytes += piece.len() as u64;
    }
    step::at(Step::BlockWritten);
    let hash = hasher.finish().map_err(|error| wrong(&error))?;
    if hash != whole.hash {
        return Ok(Written::Damaged);
    }
    Ok(Written::Whole { block: whole.block, hash, bytes })
}

/// What a source that keeps changing is called.
pub(super) fn source_changed(context: &Context, path: &RemotePath) -> Failure {
    Failure::new(Situation::SourceChanged(Side::Remote), context.remote.show(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_wanted_in_bounded_runs() {
        let hash = Some(BlockHash([1; 32]));
        let mut ours = vec![None; 12];
        ours[3] = hash;
        ours[11] = hash;
        let row = Row::new(ours, 4);
        assert_eq!(row.wanted, [0..3, 4..8, 8..11]);
        assert!(row.whole().is_none());
        assert_eq!(Row::new(vec![hash; 3], 4).whole().map(|row| row.len()), Some(3));
        assert_eq!(Row::new(Vec::new(), 4).whole(), Some(Vec::new()));
    }

    #[test]
    fn what_a_broken_lane_gave_back_is_left_alone_if_nobody_is_at_work() {
        let mut row = Row::new(vec![None; 2], 1);
        row.underway = 1;
        assert!(!row.is_left_alone(), "whoever is at work takes it next");
        row.underway = 0;
        assert!(row.is_left_alone());
        row.wanted.clear();
        assert!(!row.is_left_alone());
    }

    #[test]
    fn s12_an_answer_ends_once_all_of_it_came_and_not_before() {
        let blocks = Blocks::of(BLOCK_BYTES + 10).unwrap();
        let piece = |block, offset| ReadPiece { block, offset, hash: Some(BlockHash([1; 32])) };
        let mut frames = Frames::default();
        let mut arriving = Arriving::new(1);
        assert!(arriving.end(&(1..2), &frames).is_err(), "nothing came");
        let came = arriving.take(blocks, &(1..2), piece(1, 0), Bytes::from(vec![0; 10]));
        assert!(matches!(came, Ok(Some(_))));
        frames.take(true).unwrap();
        assert!(arriving.end(&(1..2), &frames).is_err(), "of which version, nobody said");
        frames.take(false).unwrap();
        assert!(arriving.end(&(1..2), &frames).is_ok());
        assert!(arriving.end(&(1..3), &frames).is_err(), "a block is missing");
        assert!(frames.take(false).is_err(), "empty frames for ever");
    }

    #[test]
    fn s12_a_block_in_crumbs_is_refused_and_keeps_no_frames_meanwhile() {
        let blocks = Blocks::of(BLOCK_BYTES).unwrap();
        let mut arriving = Arriving::new(0);
        let frame = Bytes::from(vec![7; PIECE_BYTES]);
        for offset in 0..u32::try_from(MOST_PIECES).unwrap() {
            let piece = ReadPiece { block: 0, offset, hash: None };
            arriving.take(blocks, &(0..1), piece, frame.slice(..1)).unwrap();
        }
        assert!(frame.is_unique(), "a piece keeps the frame in which it came");
        let piece = ReadPiece { block: 0, offset: 1024, hash: None };
        assert!(arriving.take(blocks, &(0..1), piece, frame.slice(..1)).is_err());
    }

    #[test]
    fn pieces_make_a_block_only_in_order() {
        let blocks = Blocks::of(BLOCK_BYTES + 10).unwrap();
        let piece = |block, offset, hash: bool| ReadPiece {
            block,
            offset,
            hash: hash.then_some(BlockHash([1; 32])),
        };
        let body = |length: usize| Bytes::from(vec![0; length]);
        let half = usize::try_from(BLOCK_BYTES / 2).unwrap();
        let start = u32::try_from(half).unwrap();

        let mut arriving = Arriving::new(0);
        assert!(matches!(arriving.take(blocks, &(0..2), piece(0, 0, false), body(half)), Ok(None)));
        let whole = arriving.take(blocks, &(0..2), piece(0, start, true), body(half));
        let Ok(Some(whole)) = whole else { panic!("a whole block came") };
        assert_eq!((whole.block, whole.pieces.len()), (0, 2));
        let whole = arriving.take(blocks, &(0..2), piece(1, 0, true), body(10));
        assert!(matches!(whole, Ok(Some(_))));

        for (wrong, length) in [
            (piece(1, 0, false), half),
            (piece(0, 1, false), half),
            (piece(0, 0, false), 2 * half + 1),
            (piece(0, 0, false), 2 * half),
        ] {
            let mut arriving = Arriving::new(0);
            assert!(arriving.take(blocks, &(0..2), wrong, body(length)).is_err(), "{wrong:?}");
        }
    }
}
