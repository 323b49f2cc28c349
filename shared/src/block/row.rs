//! From hashes to hashes: the root of a row, the grains of a block, the difference of two rows.
//!
//! Invariant: recursion is as deep as the tree, 43 levels for the largest file.

use blake3::Hasher;
use blake3::hazmat::{HasherExt, Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::{BlockHash, BlockIndex, BlockSet, Blocks, GrainHash, HashError, Root};

/// Bytes of a grain, at which two versions of a block are compared; the last may be shorter.
pub const GRAIN_BYTES: usize = 64 << 10;

/// A row has another number of hashes than its file has blocks (or a block grains).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{given} hashes for {expected} places")]
pub struct RowLengthError {
    /// Hashes needed.
    pub expected: u64,
    /// Hashes given.
    pub given: u64,
}

/// The root of the file that `row` belongs to.
pub fn root_of_row(row: &[BlockHash], blocks: Blocks) -> Result<Root, RowLengthError> {
    check_length(row.len(), blocks.count())?;
    Ok(Root(match row {
        [] => *blake3::hash(b"").as_bytes(),
        [only] => only.0,
        _ => {
            let (left, right) = halves(row, |hash| hash.0);
            *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
        }
    }))
}

/// The blocks of a file with row `wanted` that a file with row `present` does not hold at the same
/// place. Rows of one block hold roots, which equal no chaining value: what is said to differ may
/// be equal after all, but never the other way round.
pub fn differing_blocks(present: &[BlockHash], wanted: &[BlockHash]) -> BlockSet {
    let mut differing = BlockSet::new();
    for (index, hash) in wanted.iter().enumerate() {
        if present.get(index) != Some(hash) {
            differing.insert(BlockIndex(index as u64));
        }
    }
    differing
}

/// The grains of block `index`, whose bytes are `bytes`: at most 16.
pub fn grains_of_block(
    blocks: Blocks,
    index: BlockIndex,
    bytes: &[u8],
) -> Result<Vec<GrainHash>, HashError> {
    let (Some(expected), Some(offset)) = (blocks.length_of(index), blocks.offset_of(index)) else {
        return Err(HashError::NoSuchBlock { index, count: blocks.count() });
    };
    let seen = bytes.len() as u64;
    if seen > expected {
        return Err(HashError::TooMany { expected });
    }
    if seen < expected {
        return Err(HashError::TooFew { seen, expected });
    }
    if blocks.file_bytes() <= GRAIN_BYTES as u64 {
        return Ok(vec![GrainHash(*blake3::hash(bytes).as_bytes())]);
    }
    let grain = |(number, grain): (usize, &[u8])| {
        let start = offset + (number * GRAIN_BYTES) as u64;
        GrainHash(Hasher::new().set_input_offset(start).update(grain).finalize_non_root())
    };
    Ok(bytes.chunks(GRAIN_BYTES).enumerate().map(grain).collect())
}

/// The hash of block `index` from its grains.
pub fn merge_grains(
    grains: &[GrainHash],
    blocks: Blocks,
    index: BlockIndex,
) -> Result<BlockHash, RowLengthError> {
    let length = blocks.length_of(index).unwrap_or(0);
    check_length(grains.len(), length.div_ceil(GRAIN_BYTES as u64))?;
    Ok(BlockHash(match grains {
        [] => return Err(RowLengthError { expected: 1, given: 0 }),
        [only] => only.0,
        _ => {
            let (left, right) = halves(grains, |hash| hash.0);
            if blocks.is_single() {
                *merge_subtrees_root(&left, &right, Mode::Hash).as_bytes()
            } else {
                merge_subtrees_non_root(&left, &right, Mode::Hash)
            }
        }
    }))
}

fn check_length(given: usize, expected: u64) -> Result<(), RowLengthError> {
    let given = given as u64;
    if given == expected { Ok(()) } else { Err(RowLengthError { expected, given }) }
}

/// The two subtrees under the parent of all `leaves`, of which there are at least two. The left one
/// takes the largest power of two that leaves something for the right one.
fn halves<T>(leaves: &[T], bytes: fn(&T) -> [u8; 32]) -> ([u8; 32], [u8; 32]) {
    let (left, right) = leaves.split_at(leaves.len().div_ceil(2).next_power_of_two());
    (subtree(left, bytes), subtree(right, bytes))
}

fn subtree<T>(leaves: &[T], bytes: fn(&T) -> [u8; 32]) -> [u8; 32] {
    if let [only] = leaves {
        return bytes(only);
    }
    let (left, right) = halves(leaves, bytes);
    merge_subtrees_non_root(&left, &right, Mode::Hash)
}
