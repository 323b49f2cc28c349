//! Files down: blocks of one, or many small ones at once.
//!
//! Reads name the version they mean; if the file is another one now, before or while it is read,
//! they end with [`crate::ErrorCode::VERSION_CHANGED`], and what came is not of one file.

use serde::{Deserialize, Serialize};

use crate::block::{BlockHash, Root};
use crate::entry::{Attributes, Version};
use crate::error::Refusal;
use crate::path::RemotePath;

/// Blocks of a file, in rising order, as pieces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// The file.
    pub path: RemotePath,
    /// Which state of it.
    pub version: Version,
    /// First block.
    pub first: u64,
    /// At most [`crate::limits::MAX_BLOCKS_PER_REQUEST`]; 0 only checks the version.
    pub count: u64,
}

/// A piece of a block; the body holds the bytes. The last frame of the answer has no body and is
/// sent once the version was checked again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadPiece {
    /// Which block.
    pub block: u64,
    /// Where in the block this piece begins, in bytes.
    pub offset: u32,
    /// With a block's last piece: its hash, as the sender read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<BlockHash>,
}

/// The hashes of a file's blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadRow {
    /// The file.
    pub path: RemotePath,
    /// Which state of it.
    pub version: Version,
    /// First block.
    pub first: u64,
    /// At most [`crate::limits::MAX_BLOCKS_PER_REQUEST`].
    pub count: u64,
    /// Instead of one hash for each block, the sixteen of its 64 KiB subtrees (fewer in a short
    /// last block).
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub fine: bool,
}

/// Hashes, 32 bytes each, are the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowPart {
    /// The block of the first hash.
    pub first: u64,
}

/// The root of a file: its plain BLAKE3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// The file.
    pub path: RemotePath,
}

/// What `b3sum` prints.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SumAnswer {
    /// BLAKE3 of the file.
    pub root: Root,
    /// Of which state of it.
    pub attributes: Attributes,
}

/// Many small files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadPack {
    /// At most [`crate::limits::MAX_PACK_MEMBERS`].
    #[serde(deserialize_with = "crate::bin::row::<_, _, { crate::limits::MAX_PACK_MEMBERS }>")]
    pub files: Vec<PackFile>,
}

/// One file that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackFile {
    /// The file.
    pub path: RemotePath,
    /// Which state of it.
    pub version: Version,
}

/// Some of the files; the body holds the bytes of those that were read, whole, one after the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadPackPage {
    /// In the order of their bytes; one for each file, over all frames.
    #[serde(deserialize_with = "crate::bin::row::<_, _, { crate::limits::MAX_PACK_MEMBERS }>")]
    pub members: Vec<Member>,
}

/// One file of a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Which of the request's files.
    pub index: u32,
    /// The file, or why not.
    pub outcome: MemberOutcome,
}

/// A file of a pack, or why it is not there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberOutcome {
    /// `size` bytes of the body.
    File {
        /// Its bytes in the body.
        size: u64,
        /// BLAKE3 of them, as the sender read them.
        root: Root,
    },
    /// Not read.
    Refused(Refusal),
}
