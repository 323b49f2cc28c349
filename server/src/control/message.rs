//! What a command asks and what it is answered.
//!
//! Both ends come from one build as a rule; fields added later have defaults.

use sampan_protocol::Timestamp;
use sampan_protocol::scram::{Challenge, SALT_BYTES, Verifier};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteArray;

/// One administrator's request.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AdminRequest {
    /// Makes an account.
    AddUser {
        /// Its name.
        name: String,
        /// What is stored of its password.
        verifier: StoredVerifier,
        /// Bytes it may hold.
        bytes: Option<u64>,
        /// Files and folders it may hold.
        entries: Option<u64>,
        /// Take a home that lies there.
        take_home: bool,
    },
    /// All accounts.
    ListUsers,
    /// Sets a password; ends sessions, voids keys.
    SetPassword {
        /// Whose.
        name: String,
        /// What is stored of it.
        verifier: StoredVerifier,
    },
    /// Disables, which ends sessions and voids keys, or enables.
    SetDisabled {
        /// Whom.
        name: String,
        /// Which of both.
        disabled: bool,
    },
    /// Forgets an account; ends its sessions.
    RemoveUser {
        /// Whom.
        name: String,
        /// Delete its home too.
        purge: bool,
    },
    /// Sets what an account may hold.
    SetQuota {
        /// Whose.
        name: String,
        /// Bytes.
        bytes: Option<u64>,
        /// Files and folders.
        entries: Limit,
    },
    /// Limits and use of one account, or of all.
    ShowQuota {
        /// Whose; `None`: everyone's.
        name: Option<String>,
    },
    /// Counts a home anew.
    ScanQuota {
        /// Whose.
        name: String,
    },
    /// How the server is.
    Status,
}

/// A limit that may be left as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Limit {
    /// As it is.
    Keep,
    /// This, or none.
    Set(Option<u64>),
}

/// What is stored of a password.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StoredVerifier {
    salt: ByteArray<SALT_BYTES>,
    iterations: u32,
    stored_key: ByteArray<32>,
    server_key: ByteArray<32>,
}

impl From<&Verifier> for StoredVerifier {
    fn from(verifier: &Verifier) -> Self {
        Self {
            salt: ByteArray::new(verifier.challenge().salt),
            iterations: verifier.challenge().iterations,
            stored_key: ByteArray::new(*verifier.stored_key()),
            server_key: ByteArray::new(*verifier.server_key()),
        }
    }
}

impl From<StoredVerifier> for Verifier {
    fn from(stored: StoredVerifier) -> Self {
        let StoredVerifier { salt, iterations, stored_key, server_key } = stored;
        let challenge = Challenge { salt: salt.into_array(), iterations };
        Self::from_parts(challenge, stored_key.into_array(), server_key.into_array())
    }
}

/// What a request came to.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AdminAnswer {
    /// Nothing more to say.
    Done,
    /// The account was made.
    Added {
        /// Bytes found in a home that was taken.
        bytes: u64,
        /// Files and folders found in it.
        entries: u64,
        /// What no user put there.
        #[serde(default)]
        unusual: UnusualRows,
    },
    /// Accounts, by name.
    Users(Vec<AccountRow>),
    /// Limits and use, by name.
    Quotas(Vec<QuotaRow>),
    /// A home was counted.
    Scanned(ScanRow),
    /// How far the count of a home is; another answer follows.
    Counting {
        /// Files and folders that were counted.
        entries: u64,
        /// Which count it is: the home was changed during the earlier ones.
        round: u64,
    },
    /// How the server is.
    Status(StatusRow),
    /// It was not done.
    Refused(AdminRefusal),
}

/// An account, as `user list` shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountRow {
    /// Its name.
    pub name: String,
    /// A disabled account cannot log in.
    pub disabled: bool,
    /// When it was made.
    pub created: Timestamp,
    /// Its limits and use.
    pub quota: QuotaRow,
}

/// Limits and use of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaRow {
    /// Whose.
    pub name: String,
    /// Bytes it may hold.
    pub limit: Option<u64>,
    /// Bytes of its files.
    pub used: u64,
    /// Bytes that its unfinished uploads hold.
    pub reserved: u64,
    /// Files and folders it may hold.
    pub max_files: Option<u64>,
    /// Files and folders it has.
    pub files: u64,
    /// Files and folders that its unfinished uploads hold.
    pub reserved_files: u64,
    /// When its home was last counted.
    #[serde(default)]
    pub as_of: Option<Timestamp>,
}

/// What a count of a home found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanRow {
    /// Whose.
    pub name: String,
    /// Bytes of its files.
    pub used: u64,
    /// Files and folders.
    pub files: u64,
    /// What was believed before: bytes.
    pub used_before: u64,
    /// What was believed before: files and folders.
    pub files_before: u64,
    /// When the count began.
    pub as_of: Timestamp,
    /// What no user put there.
    pub unusual: UnusualRows,
}

/// What no user put into a home.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusualRows {
    /// The first of it.
    pub named: Vec<UnusualRow>,
    /// All of it, also what is not named.
    pub count: u64,
}

/// One such thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnusualRow {
    /// Its path below the home, control bytes escaped.
    pub path: String,
    /// What it is, and how it counts.
    pub what: String,
}

/// How the server is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusRow {
    /// Version of the program that answers.
    pub version: String,
    /// Accounts.
    pub accounts: u64,
    /// Unfinished uploads.
    pub uploads: u64,
    /// Bytes staged for them.
    pub staged: u64,
    /// Open sessions; `None`: no server runs.
    pub sessions: Option<u64>,
    /// Seconds since the server's start.
    pub uptime: Option<u64>,
}

/// Why a request was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct AdminRefusal {
    /// What kind of reason: decides the exit code.
    pub kind: RefusalKind,
    /// For the administrator.
    pub message: String,
}

/// Kinds of reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalKind {
    /// No such account.
    NotFound,
    /// Such an account, or its home, exists.
    Exists,
    /// What was asked cannot be.
    Wrong,
    /// Not allowed by the file system.
    NotAllowed,
    /// No space.
    NoSpace,
    /// The server failed.
    Failed,
}
