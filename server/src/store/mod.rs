//! Where homes live: the one seam between sessions and storage.
//!
//! A [`Store`] keeps files, quota and unfinished uploads; its verbs are async, and each is atomic
//! with its quota change and, where it carries a [`ChangeKey`], with its stored answer: the same
//! key asked again gives the first answer and no second change. [`Accounts`] keeps who may log in.
//! `local` holds both in SQLite and plain files; a later implementation may serve many servers, and
//! one conformance suite holds for all.
//!
//! Invariant: nothing here knows a message or an error code of the wire. Paths, names, ids, hashes
//! and sizes are shared vocabulary. SQL and users' files are touched below this module only.

mod account;
mod answer;
mod error;
mod scan;
mod upload;

pub mod local;

#[cfg(test)]
mod conformance;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sampan_protocol::{
    Attributes, BlockHash, ChangeKey, Entry, Mode, RemotePath, Root, Timestamp, UploadId, Version,
};
use tokio::sync::mpsc;

pub use account::{Account, AccountId, Accounts, EnrolledKey, HomeFound, NewAccount, QuotaLimits};
pub use answer::{Changed, Removed};
pub use error::{Situation, StoreError};
pub use scan::{Oddities, Oddity, OddityKind, ScanProgress, Scanned};
pub use upload::{NewUpload, Opened, OpenedBy, PackOutcome, Piece, Staged, Target, Unfinished};
pub use upload::{PackContent, PackItem};

/// What a verb gives.
pub type Result<T> = std::result::Result<T, StoreError>;

/// A stream that ends with the first error. Dropping it stops the work behind it.
pub type Stream<T> = mpsc::Receiver<Result<T>>;

/// Files, quota and unfinished uploads of all accounts. Every verb acts inside one account's home.
///
/// Whoever asked may go away at any time, by dropping the verb's future. What has not begun is not
/// done then. A change that has begun comes to its end, with its stored answer, before the next
/// change of its account begins; one of several steps (a commit, a pack) is either published whole
/// or as if it had not been asked for, and may be asked for again.
#[allow(clippy::too_many_arguments, reason = "the account and the file lead every list")]
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// What lies at `path`; a link is described, not followed.
    async fn stat(&self, account: AccountId, path: &RemotePath) -> Result<Attributes>;

    /// A folder's entries in directory order, from `cursor` on if given.
    async fn list(
        &self,
        account: AccountId,
        path: &RemotePath,
        cursor: Option<&[u8]>,
    ) -> Result<Stream<ListPage>>;

    /// Makes a folder; with `parents` also those above it, and one that is there is success.
    async fn mkdir(
        &self,
        account: AccountId,
        change: ChangeKey,
        path: &RemotePath,
        parents: bool,
        mode: Mode,
    ) -> Result<Changed>;

    /// Moves `from` to `to` in one step.
    async fn rename(
        &self,
        account: AccountId,
        change: ChangeKey,
        rename: Rename,
    ) -> Result<Changed>;

    /// Removes a file, a link, an empty folder or, if `recursive`, a tree.
    async fn remove(
        &self,
        account: AccountId,
        change: ChangeKey,
        path: &RemotePath,
        recursive: bool,
        version: Option<&Version>,
    ) -> Result<Removed>;

    /// Sets permission bits and modification time.
    async fn set_attributes(
        &self,
        account: AccountId,
        change: ChangeKey,
        path: &RemotePath,
        mode: Option<Mode>,
        mtime: Option<Timestamp>,
    ) -> Result<Changed>;

    /// Opens an upload and reserves its quota, or resumes the one that its key names and raises its
    /// epoch.
    async fn open_upload(&self, account: AccountId, upload: NewUpload) -> Result<Opened>;

    /// Takes the next piece of a block. With the block's last piece: its hash.
    async fn write(
        &self,
        account: AccountId,
        by: OpenedBy,
        piece: Piece,
    ) -> Result<Option<BlockHash>>;

    /// Fills one block from `base` at `offset`.
    async fn copy_block(
        &self,
        account: AccountId,
        by: OpenedBy,
        block: u64,
        base: &RemotePath,
        version: &Version,
        offset: u64,
    ) -> Result<BlockHash>;

    /// Publishes an upload whose root is `root`.
    async fn commit(
        &self,
        account: AccountId,
        change: ChangeKey,
        by: OpenedBy,
        root: Root,
    ) -> Result<Changed>;

    /// Gives an upload up; one that is gone is success.
    async fn abort(&self, account: AccountId, change: ChangeKey, upload: UploadId) -> Result<()>;

    /// Hashes of the staged blocks among `count` from `first` on, in rising order.
    async fn upload_row(
        &self,
        account: AccountId,
        upload: UploadId,
        first: u64,
        count: u64,
    ) -> Result<Vec<(u64, BlockHash)>>;

    /// At most `most` of the account's unfinished uploads, in order of their ids, from the one behind
    /// `after` on.
    async fn uploads_after(
        &self,
        account: AccountId,
        after: Option<UploadId>,
        most: usize,
    ) -> Result<Vec<Unfinished>>;

    /// All of them; for whoever knows that they are few.
    async fn uploads(&self, account: AccountId) -> Result<Vec<Unfinished>> {
        self.uploads_after(account, None, usize::MAX).await
    }

    /// Publishes many small files and folders together; a result for each item, by index. Items
    /// come as they arrive from the wire and are staged at once; the sender closing the channel
    /// ends the pack. If the channel ends with [`PackItem::Abandoned`], nothing is published.
    async fn pack(
        &self,
        account: AccountId,
        change: ChangeKey,
        items: mpsc::Receiver<PackItem>,
    ) -> Result<Vec<PackOutcome>>;

    /// `count` blocks of a file from `first` on, as pieces in rising order. After the last one the
    /// version is checked again.
    async fn read(
        &self,
        account: AccountId,
        path: &RemotePath,
        version: &Version,
        first: u64,
        count: u64,
    ) -> Result<Stream<ReadPiece>>;

    /// The hashes of a file's blocks; with `fine` those of their 64 KiB subtrees. Pages in rising
    /// order.
    async fn read_row(
        &self,
        account: AccountId,
        path: &RemotePath,
        version: &Version,
        first: u64,
        count: u64,
        fine: bool,
    ) -> Result<Stream<RowPart>>;

    /// Many small files, each whole; a file that cannot be read is an item of its own.
    async fn read_pack(
        &self,
        account: AccountId,
        files: Vec<(RemotePath, Version)>,
    ) -> Result<mpsc::Receiver<PackedFile>>;

    /// The root of a file and of which state it is.
    async fn sum(&self, account: AccountId, path: &RemotePath) -> Result<(Root, Attributes)>;

    /// Limits and use.
    async fn usage(&self, account: AccountId) -> Result<Usage>;

    /// Counts a home anew and corrects what is used to it; what is reserved stays exact. Says how
    /// far it is in `progress`. Whoever stops waiting ends it, and the ledger stays as it was.
    async fn scan(&self, account: AccountId, progress: Arc<ScanProgress>) -> Result<Scanned>;

    /// Whether an acknowledged change is on disk.
    fn is_durable(&self) -> bool;

    /// What `status` says of unfinished uploads of all accounts: how many, and bytes staged.
    async fn staged(&self) -> Result<Staged>;

    /// Waits until the store cannot go on, and only another process can; as a rule for ever.
    async fn failed(&self);

    /// Finishes what is running, flushes, and refuses everything from then on.
    async fn close(&self);
}

/// Some entries of a folder, in directory order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListPage {
    /// Never more than [`sampan_protocol::limits::MAX_LIST_ENTRIES`].
    pub entries: Vec<Entry>,
    /// Where to go on after these; opaque.
    pub cursor: Vec<u8>,
    /// Names that could not be described.
    pub unreadable: u64,
}

/// A move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// What moves.
    pub from: RemotePath,
    /// Its new place and name.
    pub to: RemotePath,
    /// Which state of `from` is meant.
    pub version: Option<Version>,
    /// What may be replaced at `to`.
    pub if_target: Target,
}

/// A piece of a block that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadPiece {
    /// Which block.
    pub block: u64,
    /// Where in the block it begins.
    pub offset: u32,
    /// The bytes, at most [`sampan_protocol::limits::PIECE_BYTES`].
    pub bytes: Bytes,
    /// With the last piece of a block.
    pub hash: Option<BlockHash>,
}

/// Hashes from the block `first` on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowPart {
    /// The block of the first hash.
    pub first: u64,
    /// How many blocks the hashes are of; of a block in grains there are several.
    pub blocks: u64,
    /// The hashes.
    pub hashes: Vec<BlockHash>,
}

/// One small file that was asked for.
#[derive(Debug)]
pub struct PackedFile {
    /// Which of the files.
    pub index: u32,
    /// Its bytes and root.
    pub content: Result<(Bytes, Root)>,
}

/// Limits and use of one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// The limits.
    pub limits: QuotaLimits,
    /// Bytes of published files.
    pub used: u64,
    /// Bytes that unfinished uploads hold.
    pub reserved: u64,
    /// Files and folders that are published.
    pub entries: u64,
    /// Files and folders that unfinished uploads hold.
    pub reserved_entries: u64,
    /// Bytes that the server's disk still takes before its floor.
    pub disk_free: u64,
    /// When the home was last counted: what hands changed since then is not in it.
    pub as_of: Option<Timestamp>,
}
