//! What of an account's transfers outlives this run.
//!
//! Invariant: a queue belongs to one process at a time. A second screen on the same account works,
//! but remembers nothing, and says so.

use rand::RngExt;

use crate::address::Account;
use crate::failure::{Failure, Situation};
use crate::state::{Journal, JournalKey, JournalScope, State};

/// The journal of an account's transfers.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) journal: Journal,
    /// The process that holds the real one.
    pub(super) elsewhere: Option<u32>,
}

impl Queue {
    /// Opens it. Reads and writes a small file.
    pub(super) fn open(state: &State, account: &Account) -> Result<Self, Failure> {
        let key = JournalKey::new(account, &JournalScope::Queue);
        let seed = rand::rng().random();
        match Journal::open(state, &key, seed, std::process::id()) {
            Ok(journal) => Ok(Self { journal, elsewhere: None }),
            Err(Failure { situation: Situation::AlreadyRunning { process }, .. }) => {
                Ok(Self { journal: Journal::in_memory(seed), elsewhere: Some(process) })
            }
            Err(failure) => Err(failure),
        }
    }
}
