//! Why a verb was refused: situations of storage, not codes of the wire.

use std::io;

use sampan_protocol::RemotePath;
use serde::{Deserialize, Serialize};

/// A refusal. What is a fact about the request is cloned into stored answers; the private cause of
/// a failure is for the log only.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A fact about the request.
    #[error("{situation}{}", .path.as_ref().map(|path| format!(": {path}")).unwrap_or_default())]
    Refused {
        /// Which.
        situation: Situation,
        /// Which of the request's paths it is about.
        path: Option<RemotePath>,
    },
    /// The disk or its file system failed.
    #[error("the disk failed while {doing}")]
    Disk {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The database failed.
    #[error("the database failed while {doing}")]
    Database {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is stored contradicts itself.
    #[error("what is stored is broken: {0}")]
    Corrupt(String),
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the account's limits leave too little.
    pub(crate) fn is_over_quota(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                situation: Situation::OverQuota { .. } | Situation::TooManyFiles { .. },
                ..
            }
        )
    }
}

/// What can be wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[non_exhaustive]
pub enum Situation {
    /// No such name.
    #[error("no such file or folder")]
    NotFound,
    /// Wanted absent.
    #[error("the name exists")]
    Exists,
    /// A folder was needed.
    #[error("not a folder")]
    NotAFolder,
    /// A file was needed.
    #[error("is a folder")]
    IsAFolder,
    /// The folder holds something.
    #[error("the folder is not empty")]
    NotEmpty,
    /// A link stands in the way.
    #[error("a symbolic link is not followed")]
    IsALink,
    /// A socket, FIFO or device.
    #[error("not a regular file")]
    NotAFile,
    /// The file system does not let us.
    #[error("the server's file system does not allow it")]
    PermissionDenied,
    /// The disk cannot hold the name.
    #[error("the server's file system cannot hold this name")]
    NameNotStorable,
    /// Into itself, or the home.
    #[error("the home itself, or a folder into itself")]
    InvalidTarget,
    /// Another file by now.
    #[error("the file is another one by now")]
    VersionChanged,
    /// A cursor that is no longer good.
    #[error("the listing must start again")]
    Restart,
    /// A mount point below the home.
    #[error("the path leaves the home's file system")]
    OtherFileSystem,
    /// Bytes.
    #[error("over quota: {needed} bytes needed, {available} available")]
    OverQuota {
        /// Bytes that the request needs.
        needed: u64,
        /// Bytes that are left.
        available: u64,
    },
    /// Files and folders.
    #[error("too many files: {needed} needed, {available} available")]
    TooManyFiles {
        /// Entries that the request needs.
        needed: u64,
        /// Entries that are left.
        available: u64,
    },
    /// The disk is full or at its floor.
    #[error("the server's disk is full")]
    DiskFull,
    /// Too many unfinished uploads.
    #[error("too many unfinished uploads: {limit} are allowed")]
    TooManyUploads {
        /// How many are allowed.
        limit: u64,
    },
    /// No such upload.
    #[error("no such upload")]
    UploadNotFound,
    /// An older epoch.
    #[error("another writer has taken the upload over")]
    UploadTaken,
    /// Same key, other size or target.
    #[error("the upload was opened for another size or place")]
    UploadDiffers,
    /// Out of order, beyond the end, or written by another request.
    #[error("block data out of order or beyond the file")]
    BlockRefused,
    /// Blocks are missing.
    #[error("{missing} blocks are missing")]
    Incomplete {
        /// How many.
        missing: u64,
    },
    /// Another root.
    #[error("what arrived is not what was sent")]
    RootMismatch,
    /// Same key, other change.
    #[error("the change key was used for another change")]
    ChangeKeyReused,
    /// Not for a pack.
    #[error("too large for a pack")]
    TooLargeForPack,
    /// A number beyond a limit.
    #[error("beyond a limit: {what}")]
    LimitExceeded {
        /// Which.
        what: String,
    },
    /// An account of this name exists.
    #[error("the account exists")]
    AccountExists,
    /// No such account.
    #[error("no such account")]
    AccountNotFound,
    /// The home exists and may not be taken.
    #[error("the home's folder exists already")]
    HomeExists,
    /// Its removal began, and only that can be gone on with.
    #[error("the account is being removed with its home; remove it again to finish that")]
    AccountBeingRemoved,
    /// Not an account's name.
    #[error("not a name for an account")]
    BadAccountName,
}

impl Situation {
    /// The refusal, about `path`.
    pub fn about(self, path: &RemotePath) -> StoreError {
        StoreError::Refused { situation: self, path: Some(path.clone()) }
    }
}

impl From<Situation> for StoreError {
    fn from(situation: Situation) -> Self {
        Self::Refused { situation, path: None }
    }
}
