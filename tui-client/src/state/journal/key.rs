//! What a journal is found by, and what follows from its seed.
//!
//! Invariant: the same command of the same account has the same journal, and the same journal gives
//! the same keys and names; another one gives others.

use std::sync::{Mutex, Weak};

use sampan_protocol::UploadKey;

use super::locked;
use super::log::Log;
use super::staged::StagedFile;
use crate::address::Account;
use crate::local::StagingName;

/// What a journal belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalScope {
    /// One headless command, by what it does and its absolute operands, without flags.
    Command {
        /// `put` or `get`.
        verb: &'static str,
        /// Absolute local paths and remote paths, in order.
        operands: Vec<Vec<u8>>,
    },
    /// The queue of the screen.
    Queue,
}

/// Names a journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalKey {
    pub(super) name: String,
    /// A command is given again by the person; a queue must remember what was ordered.
    pub(super) keeps_batches: bool,
}

impl JournalKey {
    /// The journal of `scope` for transfers with `account`.
    pub fn new(account: &Account, scope: &JournalScope) -> Self {
        let mut hasher = blake3::Hasher::new();
        feed(&mut hasher, account.user.as_bytes());
        feed(&mut hasher, account.server.to_string().as_bytes());
        match scope {
            JournalScope::Queue => feed(&mut hasher, b"queue"),
            JournalScope::Command { verb, operands } => {
                feed(&mut hasher, verb.as_bytes());
                for operand in operands {
                    feed(&mut hasher, operand);
                }
            }
        }
        let name = hasher.finalize().to_hex()[..32].to_owned();
        Self { name, keeps_batches: *scope == JournalScope::Queue }
    }
}

/// Keys and names for transfers, the same whenever the same journal is opened.
#[derive(Clone, Debug)]
pub struct TransferKeys {
    pub(super) seed: [u8; 32],
    pub(super) continued: bool,
    /// Nothing once the journal was let go, or if it is in memory only.
    pub(super) log: Weak<Mutex<Log>>,
}

impl TransferKeys {
    /// Whether an earlier run with these keys may have left something behind.
    pub fn are_continued(&self) -> bool {
        self.continued
    }

    /// The key under which `source` is uploaded to `target`, both whole.
    pub fn upload_key(&self, source: &[u8], target: &[u8]) -> UploadKey {
        let hash = self.derive(b"upload", source, target);
        let mut key = [0; 16];
        key.copy_from_slice(&hash.as_bytes()[..16]);
        UploadKey(key)
    }

    /// The sixteen hexadecimal digits in the name of the file in which `source` is staged on its way
    /// to `target`.
    pub fn staging_digits(&self, source: &[u8], target: &[u8]) -> String {
        self.derive(b"download", source, target).to_hex()[..16].to_owned()
    }

    /// Names downloads that are about to be staged. Waits for the disk, for nothing to be flushed.
    pub fn stage(&self, files: &[StagedFile]) {
        if let Some(log) = self.log.upgrade() {
            locked(&log).stage(files);
        }
    }

    /// Staged downloads are published, or removed.
    pub fn gone<'a>(&self, names: impl IntoIterator<Item = &'a StagingName>) {
        if let Some(log) = self.log.upgrade() {
            locked(&log).gone(names.into_iter().map(StagingName::as_str));
        }
    }

    /// Whether a staged download is named after what was tried with it.
    pub fn left(&self, file: &StagedFile, is_staged: bool) {
        if is_staged {
            self.stage(std::slice::from_ref(file));
        } else {
            self.gone([&file.staging]);
        }
    }

    fn derive(&self, what: &[u8], source: &[u8], target: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.seed);
        feed(&mut hasher, what);
        feed(&mut hasher, source);
        feed(&mut hasher, target);
        hasher.finalize()
    }
}

/// Lengths keep two rows of parts apart that are equal when joined.
fn feed(hasher: &mut blake3::Hasher, part: &[u8]) {
    hasher.update(&(part.len() as u64).to_le_bytes());
    hasher.update(part);
}
