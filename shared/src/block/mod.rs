//! A file is a row of blocks, and the row's root is the file's plain BLAKE3.
//!
//! A block is 1 MiB ([`BLOCK_BYTES`]); the last may be shorter. A file of at most one block has only
//! its root, `blake3(bytes)`, which stands in the row in the block's place. A longer file has one
//! BLAKE3 non-root chaining value for each block at its offset; merged by BLAKE3's left-subtree
//! rule they give what `b3sum` prints. So one hash serves resume, comparison and verification.
//! Inside a block the same tree can be cut at 64 KiB ([`GRAIN_BYTES`]).
//!
//! Invariant: no function here takes memory by a number that it was told; sizes and indices are
//! checked against the file they belong to before they are used.

mod hash;
mod hasher;
mod row;
mod set;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::hash::{BlockHash, GrainHash, Root};
pub use self::hasher::{BlockHasher, HashError, RowHasher};
pub use self::row::{
    GRAIN_BYTES, RowLengthError, differing_blocks, grains_of_block, merge_grains, root_of_row,
};
pub use self::set::{BlockSet, MAX_RUNS, NotInFile};
use crate::limits::{BLOCK_BYTES, MAX_FILE_BYTES};

/// A block's place in its file, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BlockIndex(pub u64);

impl fmt::Display for BlockIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// A file is larger than any file system can address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a file of {bytes} bytes is larger than {MAX_FILE_BYTES}")]
pub struct FileTooLarge {
    /// The size that was asked for.
    pub bytes: u64,
}

/// How a file of one size is cut into blocks. Invariant: the size is at most [`MAX_FILE_BYTES`],
/// so no offset inside it overflows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blocks {
    file_bytes: u64,
}

impl Blocks {
    /// The blocks of a file of `file_bytes` bytes.
    pub const fn of(file_bytes: u64) -> Result<Self, FileTooLarge> {
        if file_bytes > MAX_FILE_BYTES {
            return Err(FileTooLarge { bytes: file_bytes });
        }
        Ok(Self { file_bytes })
    }

    /// Bytes of the file.
    pub const fn file_bytes(self) -> u64 {
        self.file_bytes
    }

    /// Blocks of the file; an empty file has none.
    pub const fn count(self) -> u64 {
        self.file_bytes.div_ceil(BLOCK_BYTES)
    }

    /// Whether the file's only hash is its root.
    pub const fn is_single(self) -> bool {
        self.file_bytes <= BLOCK_BYTES
    }

    /// Bytes of one block; `None` outside the file.
    pub const fn length_of(self, index: BlockIndex) -> Option<u64> {
        if index.0 >= self.count() {
            return None;
        }
        let left = self.file_bytes - index.0 * BLOCK_BYTES;
        Some(if left < BLOCK_BYTES { left } else { BLOCK_BYTES })
    }

    /// Where a block starts in the file, in bytes; `None` outside the file.
    pub const fn offset_of(self, index: BlockIndex) -> Option<u64> {
        if index.0 >= self.count() { None } else { Some(index.0 * BLOCK_BYTES) }
    }

    /// The block that holds the byte at `offset`; `None` outside the file.
    pub const fn holding(self, offset: u64) -> Option<BlockIndex> {
        if offset >= self.file_bytes { None } else { Some(BlockIndex(offset / BLOCK_BYTES)) }
    }

    /// Bytes of `count` blocks from `first` on; `None` if any of them is outside the file.
    pub const fn length_of_run(self, first: BlockIndex, count: u64) -> Option<u64> {
        let Some(end) = first.0.checked_add(count) else { return None };
        if end > self.count() {
            return None;
        }
        let end_bytes = if end == self.count() { self.file_bytes } else { end * BLOCK_BYTES };
        // An empty run may start right at the end.
        Some(end_bytes.saturating_sub(first.0 * BLOCK_BYTES))
    }
}
