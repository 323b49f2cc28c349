//! An upload as pure state: which blocks are staged, which are being written, and by whom.
//!
//! ```text
//!   absent --begin(offset 0)--> taken --finish, more to come--> idle --begin(next offset)--> taken
//!      ^                          |                              |
//!      |                          '--finish, whole--> staged     '--begin(offset 0)--> taken
//!      '------------------- begin(offset 0) again -----'
//! ```
//!
//! A piece is first [`UploadState::begin`]-ed, which checks it and hands its block's running hash
//! out; then its bytes go to the disk and into the hash, without this state being held; then it is
//! [`UploadState::finish`]-ed. Raising the epoch or starting to commit waits until no piece is out.
//!
//! Invariant: a block is staged only after every byte of it was taken in order by one epoch; and
//! what an older epoch began changes nothing.

use std::collections::{BTreeMap, HashMap};

use sampan_protocol::block::{BlockHasher, BlockIndex, Blocks};
use sampan_protocol::limits::BLOCK_BYTES;
use sampan_protocol::{BlockHash, BlockSet, Epoch};

use crate::store::Situation;

/// Blocks of one upload that may be half written at once: each holds a running hash of 2 KiB.
pub(crate) const MAX_OPEN_BLOCKS: usize = 1024;

/// The largest stripe: enough that a lane is busy, little enough to send again.
const MAX_STRIPE_BYTES: u64 = 64 << 20;

/// How many bytes in a row one connection should send: about a sixteenth of the file.
pub(crate) fn stripe(size: u64) -> u64 {
    let sixteenth = (size / 16).min(MAX_STRIPE_BYTES);
    sixteenth.max(1).next_power_of_two().clamp(BLOCK_BYTES, MAX_STRIPE_BYTES)
}

/// Who may do what with an upload now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Blocks may come.
    Open,
    /// Its commit is under way.
    Committing,
    /// Published, given up, or its staging was lost.
    Gone,
}

#[derive(Debug)]
enum OpenBlock {
    /// A piece is being written.
    Taken,
    /// Waits for its next piece.
    Idle(Box<BlockHasher>),
}

/// The state of one upload.
#[derive(Debug)]
pub(crate) struct UploadState {
    blocks: Blocks,
    epoch: Epoch,
    phase: Phase,
    staged: BTreeMap<u64, BlockHash>,
    open: HashMap<u64, OpenBlock>,
    out: usize,
}

/// A piece that may be written now. It must come back by `finish` or `give_back`.
#[derive(Debug)]
#[must_use]
pub(crate) struct Taken {
    /// Which block.
    pub(crate) block: u64,
    /// The hash of what came before it.
    pub(crate) hasher: Box<BlockHasher>,
    /// The block was staged and is so no longer: to be noted before its bytes change.
    pub(crate) unstaged: bool,
    epoch: Epoch,
}

impl UploadState {
    /// An upload of which `staged` is proved to be there.
    pub(crate) fn new(blocks: Blocks, epoch: Epoch, staged: BTreeMap<u64, BlockHash>) -> Self {
        Self { blocks, epoch, phase: Phase::Open, staged, open: HashMap::new(), out: 0 }
    }

    /// Who may do what.
    pub(crate) fn phase(&self) -> Phase {
        self.phase
    }

    /// Sets it. Going from [`Phase::Open`] to another needs [`Self::is_quiet`].
    pub(crate) fn set_phase(&mut self, phase: Phase) {
        self.phase = phase;
    }

    /// Takes pieces again after a commit that came to nothing. What is gone stays gone.
    pub(crate) fn reopen(&mut self) {
        if self.phase == Phase::Committing {
            self.phase = Phase::Open;
        }
    }

    /// Whether no piece is being written.
    pub(crate) fn is_quiet(&self) -> bool {
        self.out == 0
    }

    /// Whether a block is half written: forgetting the state would lose its first pieces.
    pub(crate) fn has_open_blocks(&self) -> bool {
        !self.open.is_empty()
    }

    /// Makes `epoch` the current one; older writers are refused and their half blocks forgotten.
    pub(crate) fn take_over(&mut self, epoch: Epoch) {
        self.epoch = epoch;
        self.open.retain(|_, block| matches!(block, OpenBlock::Taken));
    }

    /// Refuses a writer of another epoch.
    pub(crate) fn check_epoch(&self, epoch: Epoch) -> Result<(), Situation> {
        match self.phase {
            Phase::Gone => Err(Situation::UploadNotFound),
            _ if epoch != self.epoch => Err(Situation::UploadTaken),
            _ => Ok(()),
        }
    }

    /// Takes a piece's place: `length` bytes at `offset` of `block`.
    pub(crate) fn begin(
        &mut self,
        epoch: Epoch,
        block: u64,
        offset: u64,
        length: u64,
    ) -> Result<Taken, Situation> {
        self.check_epoch(epoch)?;
        if self.phase != Phase::Open || length == 0 {
            return Err(Situation::BlockRefused);
        }
        let whole = self.blocks.length_of(BlockIndex(block)).ok_or(Situation::BlockRefused)?;
        if offset.checked_add(length).is_none_or(|end| end > whole) {
            return Err(Situation::BlockRefused);
        }
        let hasher = match self.open.remove(&block) {
            Some(OpenBlock::Taken) => {
                self.open.insert(block, OpenBlock::Taken);
                return Err(Situation::BlockRefused);
            }
            // Sent from its start again, by a writer that lost a connection.
            Some(OpenBlock::Idle(_)) | None if offset == 0 => {
                if self.open.len() >= MAX_OPEN_BLOCKS {
                    return Err(Situation::LimitExceeded { what: "half written blocks".into() });
                }
                let hasher = BlockHasher::new(self.blocks, BlockIndex(block));
                Box::new(hasher.map_err(|_| Situation::BlockRefused)?)
            }
            Some(OpenBlock::Idle(hasher)) if hasher.seen() == offset => hasher,
            Some(idle) => {
                self.open.insert(block, idle);
                return Err(Situation::BlockRefused);
            }
            None => return Err(Situation::BlockRefused),
        };
        self.open.insert(block, OpenBlock::Taken);
        self.out += 1;
        let unstaged = self.staged.remove(&block).is_some();
        Ok(Taken { block, hasher, unstaged, epoch })
    }

    /// The piece is written and hashed. With the block's last piece: its hash, to be noted and then
    /// [`Self::stage`]d.
    pub(crate) fn finish(&mut self, taken: Taken) -> Result<Option<BlockHash>, Situation> {
        let Taken { block, hasher, epoch, .. } = taken;
        self.give_back(block);
        self.check_epoch(epoch)?;
        if hasher.missing() > 0 {
            self.open.insert(block, OpenBlock::Idle(hasher));
            return Ok(None);
        }
        hasher.finish().map(Some).map_err(|_| Situation::BlockRefused)
    }

    /// The piece could not be written: its block starts again.
    pub(crate) fn give_back(&mut self, block: u64) {
        if matches!(self.open.get(&block), Some(OpenBlock::Taken)) {
            self.open.remove(&block);
            self.out -= 1;
        }
    }

    /// The block is there, and noted.
    pub(crate) fn stage(&mut self, block: u64, hash: BlockHash) {
        self.staged.insert(block, hash);
    }

    /// The block is not there after all.
    pub(crate) fn unstage(&mut self, block: u64) {
        self.staged.remove(&block);
    }

    /// Blocks that are not staged.
    pub(crate) fn missing(&self) -> u64 {
        self.blocks.count() - self.staged.len() as u64
    }

    /// The staged blocks.
    pub(crate) fn staged(&self) -> BlockSet {
        self.staged.keys().copied().map(BlockIndex).collect()
    }

    /// Bytes of the staged blocks.
    pub(crate) fn staged_bytes(&self) -> u64 {
        let length = |block: &u64| self.blocks.length_of(BlockIndex(*block)).unwrap_or(0);
        let count = self.staged.len() as u64;
        match self.staged.last_key_value() {
            // Only the file's last block may be shorter.
            Some((last, _)) => (count - 1) * BLOCK_BYTES + length(last),
            None => 0,
        }
    }

    /// The hashes of staged blocks among `count` from `first` on.
    pub(crate) fn hashes(&self, first: u64, count: u64) -> Vec<(u64, BlockHash)> {
        let end = first.saturating_add(count);
        self.staged.range(first..end).map(|(block, hash)| (*block, *hash)).collect()
    }

    /// The whole row, if every block is staged.
    pub(crate) fn row(&self) -> Result<Vec<BlockHash>, Situation> {
        match self.missing() {
            0 => Ok(self.staged.values().copied().collect()),
            missing => Err(Situation::Incomplete { missing }),
        }
    }
}

#[cfg(test)]
mod tests;
