//! Uploads as the store takes them.

use bytes::Bytes;
use sampan_protocol::{
    Attributes, BlockHash, BlockSet, Epoch, Mode, RemotePath, Root, Timestamp, UploadId, UploadKey,
    Version,
};

use serde::{Deserialize, Serialize};

use super::StoreError;

/// What may be replaced at a target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Nothing may be there.
    #[default]
    Absent,
    /// Exactly this state of a file.
    This(Version),
    /// Whatever file is there, or nothing.
    Any,
}

/// An upload to be opened or resumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUpload {
    /// The client's; equal keys mean the same upload.
    pub key: UploadKey,
    /// Where it will be published.
    pub path: RemotePath,
    /// Bytes.
    pub size: u64,
    /// Permission bits it will have.
    pub mode: Mode,
    /// Modification time it will have.
    pub mtime: Timestamp,
    /// What may be replaced.
    pub if_target: Target,
    /// Make missing parents at commit.
    pub parents: bool,
}

/// An open upload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The upload and this writer's epoch.
    pub by: OpenedBy,
    /// Bytes, a power of two ≥ 1 MiB.
    pub stripe: u64,
    /// Blocks that are here and proved.
    pub staged: BlockSet,
    /// When it is given up if no byte comes.
    pub expires: Timestamp,
}

/// Names a writer: an older epoch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpenedBy {
    /// Which upload.
    pub upload: UploadId,
    /// Which of its openings.
    pub epoch: Epoch,
}

/// A piece of a block; a block's pieces come in rising order without a gap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// Which block.
    pub block: u64,
    /// Where in the block it begins.
    pub offset: u32,
    /// The bytes.
    pub bytes: Bytes,
    /// What the sender says the block's hash is; a block that differs is refused.
    pub expected: Option<BlockHash>,
}

/// An unfinished upload, as its owner sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unfinished {
    /// Its id.
    pub upload: UploadId,
    /// Its opener's key.
    pub key: UploadKey,
    /// Where it will be published.
    pub path: RemotePath,
    /// Bytes.
    pub size: u64,
    /// Bytes that are staged.
    pub staged: u64,
    /// Bytes of quota that it holds.
    pub reserved: u64,
    /// When it was opened.
    pub opened: Timestamp,
    /// When it is given up.
    pub expires: Timestamp,
}

/// Unfinished uploads of all accounts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Staged {
    /// How many.
    pub uploads: u64,
    /// Bytes that are staged.
    pub bytes: u64,
}

/// What arrives of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackItem {
    /// A member; they are numbered from 0 in the order of arrival.
    Member {
        /// Where it will be published.
        path: RemotePath,
        /// Permission bits it will have.
        mode: Mode,
        /// File or folder.
        content: PackContent,
    },
    /// The connection ended before the pack did: publish nothing.
    Abandoned,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PackContent {
    /// A folder; one that is there already is success.
    Folder,
    /// A file.
    File {
        /// All its bytes.
        bytes: Bytes,
        /// Modification time it will have.
        mtime: Timestamp,
        /// What its bytes must hash to.
        root: Root,
        /// What may be replaced.
        if_target: Target,
    },
}

/// What became of a member.
pub type PackOutcome = std::result::Result<Attributes, StoreError>;
