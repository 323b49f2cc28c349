//! Hashing as bytes arrive: one block, or a whole file.
//!
//! Invariant: a hash comes out only of exactly the bytes that the file's size says, in order.

use blake3::Hasher;
use blake3::hazmat::HasherExt;

use super::{BlockHash, BlockIndex, Blocks, Root, root_of_row};

/// Why bytes do not make the block, or the file, that they were announced as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The file has no such block.
    #[error("block {index} is outside a file of {count} blocks")]
    NoSuchBlock {
        /// The block asked for.
        index: BlockIndex,
        /// Blocks of the file.
        count: u64,
    },
    /// More bytes than there should be.
    #[error("more bytes came than the {expected} announced")]
    TooMany {
        /// Bytes announced.
        expected: u64,
    },
    /// Fewer bytes than there should be.
    #[error("only {seen} of {expected} bytes came")]
    TooFew {
        /// Bytes fed.
        seen: u64,
        /// Bytes announced.
        expected: u64,
    },
}

/// The running hash of one block of one file.
#[derive(Clone, Debug)]
pub struct BlockHasher {
    hasher: Hasher,
    expected: u64,
    seen: u64,
    is_root: bool,
}

impl BlockHasher {
    /// Starts on block `index` of a file cut as `blocks`.
    pub fn new(blocks: Blocks, index: BlockIndex) -> Result<Self, HashError> {
        let (Some(expected), Some(offset)) = (blocks.length_of(index), blocks.offset_of(index))
        else {
            return Err(HashError::NoSuchBlock { index, count: blocks.count() });
        };
        let mut hasher = Hasher::new();
        hasher.set_input_offset(offset);
        Ok(Self { hasher, expected, seen: 0, is_root: blocks.is_single() })
    }

    /// Takes the next bytes of the block.
    pub fn update(&mut self, piece: &[u8]) -> Result<(), HashError> {
        if piece.len() as u64 > self.missing() {
            return Err(HashError::TooMany { expected: self.expected });
        }
        self.hasher.update(piece);
        self.seen += piece.len() as u64;
        Ok(())
    }

    /// Bytes taken so far: the offset in the block at which the next piece starts.
    pub const fn seen(&self) -> u64 {
        self.seen
    }

    /// Bytes still to come.
    pub const fn missing(&self) -> u64 {
        self.expected - self.seen
    }

    /// The block's hash, once every byte was taken.
    pub fn finish(self) -> Result<BlockHash, HashError> {
        if self.missing() > 0 {
            return Err(HashError::TooFew { seen: self.seen, expected: self.expected });
        }
        Ok(BlockHash(if self.is_root {
            *self.hasher.finalize().as_bytes()
        } else {
            self.hasher.finalize_non_root()
        }))
    }
}

/// Hashes a whole file, fed in order, into its row and root.
#[derive(Clone, Debug)]
pub struct RowHasher {
    blocks: Blocks,
    block: Option<BlockHasher>,
    row: Vec<BlockHash>,
}

impl RowHasher {
    /// Starts on a file cut as `blocks`.
    pub fn new(blocks: Blocks) -> Self {
        Self { blocks, block: None, row: Vec::new() }
    }

    /// Takes the next bytes of the file.
    pub fn update(&mut self, mut bytes: &[u8]) -> Result<(), HashError> {
        while !bytes.is_empty() {
            let mut block = match self.block.take() {
                Some(block) => block,
                None => BlockHasher::new(self.blocks, BlockIndex(self.row.len() as u64))
                    .map_err(|_| HashError::TooMany { expected: self.blocks.file_bytes() })?,
            };
            let missing = usize::try_from(block.missing()).unwrap_or(usize::MAX);
            let (piece, rest) = bytes.split_at(bytes.len().min(missing));
            block.update(piece)?;
            bytes = rest;
            if block.missing() == 0 {
                self.row.push(block.finish()?);
            } else {
                self.block = Some(block);
            }
        }
        Ok(())
    }

    /// Bytes taken so far.
    pub fn seen(&self) -> u64 {
        let whole = self.blocks.length_of_run(BlockIndex(0), self.row.len() as u64);
        let whole = whole.expect("the row never grows past the file's blocks");
        whole + self.block.as_ref().map_or(0, BlockHasher::seen)
    }

    /// The row and the root, once every byte was taken.
    pub fn finish(self) -> Result<(Vec<BlockHash>, Root), HashError> {
        let (seen, expected) = (self.seen(), self.blocks.file_bytes());
        if seen < expected {
            return Err(HashError::TooFew { seen, expected });
        }
        let root = root_of_row(&self.row, self.blocks).expect("a whole file has a whole row");
        Ok((self.row, root))
    }
}
