//! One file up: open, blocks in any order, commit.
//!
//! An upload belongs to the account, not to a connection. Bytes that did not move by copying travel
//! as pieces in the bodies of [`WriteBlock`] frames.

use serde::{Deserialize, Serialize};

use super::change::{Durability, Precondition};
use crate::block::{BlockHash, BlockSet, Root};
use crate::entry::{Attributes, Mode, Version};
use crate::id::{ChangeKey, Epoch, UploadId, UploadKey};
use crate::path::RemotePath;
use crate::time::Timestamp;

/// Opens an upload, or resumes the one that this key has opened. Reserves its bytes and its entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenUpload {
    /// Drawn by the client; the same key means the same upload.
    pub key: UploadKey,
    /// Where it will be published.
    pub path: RemotePath,
    /// Its bytes.
    pub size: u64,
    /// Permission bits it will have; owner's rw is always added.
    pub mode: Mode,
    /// Modification time it will have.
    pub mtime: Timestamp,
    /// What may be replaced at `path`, checked now and again at commit.
    #[serde(default)]
    pub if_target: Precondition,
    /// Make missing parent folders at commit.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub parents: bool,
}

/// The upload is open, and its space is reserved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadOpened {
    /// Its id at this server.
    pub upload: UploadId,
    /// This writer's epoch; older ones are refused from now on.
    pub epoch: Epoch,
    /// Bytes, a power of two ≥ 1 MiB: a stripe's missing blocks go in rising order over one
    /// connection; stripes go anywhere.
    pub stripe: u64,
    /// Blocks that are here and proved.
    pub staged: BlockSet,
    /// When it is given up if no byte comes.
    pub expires: Timestamp,
}

/// One piece of a block. All frames of one request are pieces of one block, in rising order and
/// without a gap, the last one marked; the body holds the bytes, at most
/// [`crate::limits::PIECE_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriteBlock {
    /// Which upload.
    pub upload: UploadId,
    /// This writer's epoch.
    pub epoch: Epoch,
    /// Which block.
    pub block: u64,
    /// Where in the block this piece begins, in bytes.
    pub offset: u32,
    /// The block's hash, if the sender has it before the last byte is sent; a block that differs is
    /// refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<BlockHash>,
}

/// The block is staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlockWritten {
    /// What the receiver computed. Of a file of at most one block: the root.
    pub hash: BlockHash,
}

/// Fills a whole block of an upload from a file that the server has, instead of sending it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyBlock {
    /// Which upload.
    pub upload: UploadId,
    /// This writer's epoch.
    pub epoch: Epoch,
    /// Which block.
    pub block: u64,
    /// The file to copy from.
    pub base: RemotePath,
    /// Its version.
    pub version: Version,
    /// Where in `base` the bytes begin.
    pub offset: u64,
}

/// Publishes an upload under its name, if every block is there and the root is `root`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommitUpload {
    /// Names the change.
    pub change: ChangeKey,
    /// Which upload.
    pub upload: UploadId,
    /// This writer's epoch.
    pub epoch: Epoch,
    /// BLAKE3 of the whole file, by the sender's own hashing.
    pub root: Root,
}

/// The file is published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Committed {
    /// What lies under its name now.
    pub attributes: Attributes,
    /// What the acknowledgement means.
    pub durability: Durability,
}

/// Gives an upload up; its reservation is free again. An upload that is gone is success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AbortUpload {
    /// Names the change.
    pub change: ChangeKey,
    /// Which upload.
    pub upload: UploadId,
}

/// Asks for the receiver's hashes of the staged blocks among `count` from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRow {
    /// Which upload.
    pub upload: UploadId,
    /// First block.
    pub first: u64,
    /// At most [`crate::limits::MAX_BLOCKS_PER_REQUEST`].
    pub count: u64,
}

/// The hashes of `blocks`, in rising order, 32 bytes each, are the body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadRowPart {
    /// Which blocks.
    pub blocks: BlockSet,
}

/// Asks for the account's unfinished uploads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListUploads {}

/// Some of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UploadsPage {
    /// In order of their ids, at most [`crate::limits::MAX_LIST_ENTRIES`] in one frame.
    #[serde(deserialize_with = "crate::bin::row::<_, _, { crate::limits::MAX_LIST_ENTRIES }>")]
    pub uploads: Vec<Unfinished>,
}

/// An unfinished upload. It holds quota until it is committed, aborted or expired.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unfinished {
    /// Its id.
    pub upload: UploadId,
    /// Its opener's key.
    pub key: UploadKey,
    /// Where it will be published.
    pub path: RemotePath,
    /// Its bytes.
    pub size: u64,
    /// Bytes that are staged.
    pub staged: u64,
    /// Bytes of quota that it holds.
    pub reserved: u64,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it is given up if no byte comes.
    pub expires: Timestamp,
}

impl super::Change for CommitUpload {
    fn key(&self) -> ChangeKey {
        self.change
    }
}

impl super::Change for AbortUpload {
    fn key(&self) -> ChangeKey {
        self.change
    }
}
