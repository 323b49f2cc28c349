//! Limits and use of an account.

use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Asks for limits and use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaRequest {}

/// Limits and use. `used` plus `reserved` never passes a limit by what this server accepts; it may
/// lie above one that was lowered later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaAnswer {
    /// Bytes, or no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// Bytes of published files.
    pub used: u64,
    /// Bytes that unfinished uploads hold.
    pub reserved: u64,
    /// Bytes that an upload could still reserve: the quota's rest or the disk's, whichever is less.
    pub available: u64,
    /// Files and folders, or no limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_entries: Option<u64>,
    /// Files and folders that are published.
    pub entries: u64,
    /// Files and folders that unfinished uploads hold.
    pub reserved_entries: u64,
    /// When the home was last counted: what the server's administrator changed by hand since then
    /// is not in `used` and `entries`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<Timestamp>,
}

/// Would an upload of this much be accepted now? Reserves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fits {
    /// Bytes on top of what is there.
    pub bytes: u64,
    /// Files and folders on top of what is there.
    pub entries: u64,
}

/// By how much it would not fit; both 0: it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FitsAnswer {
    /// Bytes too many.
    pub missing_bytes: u64,
    /// Files and folders too many.
    pub missing_entries: u64,
    /// The bytes are missing on the server's disk, not in the quota.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub disk_full: bool,
}
