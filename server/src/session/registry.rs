//! Who is logged in: bounds, and the way to end an account's sessions from elsewhere.
//!
//! Invariant: a session is counted from before its account is read for the last time until none of
//! its requests is waited for; so whoever raises an account's generation and then calls [`Sessions::end`]
//! misses none.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::config::Bounds;
use crate::store::AccountId;

/// The open sessions of all accounts.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
    next: u64,
    count: usize,
    by_account: HashMap<AccountId, HashMap<u64, CancellationToken>>,
}

/// There is no room for one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoRoom {
    /// The server's bound.
    #[error("the server has its most connections")]
    Server,
    /// The account's bound.
    #[error("the account has its most connections")]
    Account,
}

/// A session that is counted until this is dropped.
#[derive(Debug)]
pub(crate) struct OpenSession {
    sessions: Arc<Sessions>,
    account: AccountId,
    number: u64,
    ended: CancellationToken,
}

impl Sessions {
    fn rows(&self) -> MutexGuard<'_, Rows> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one more session of `account`.
    pub(crate) fn open(
        self: &Arc<Self>,
        account: AccountId,
        bounds: &Bounds,
    ) -> Result<OpenSession, NoRoom> {
        let mut rows = self.rows();
        if rows.count >= bounds.connections as usize {
            return Err(NoRoom::Server);
        }
        let of_account = rows.by_account.get(&account).map_or(0, HashMap::len);
        if of_account >= bounds.connections_per_account as usize {
            return Err(NoRoom::Account);
        }
        let (number, ended) = (rows.next, CancellationToken::new());
        rows.next += 1;
        rows.count += 1;
        rows.by_account.entry(account).or_default().insert(number, ended.clone());
        Ok(OpenSession { sessions: Arc::clone(self), account, number, ended })
    }

    /// Ends every open session of `account`.
    pub(crate) fn end(&self, account: AccountId) {
        if let Some(sessions) = self.rows().by_account.get(&account) {
            sessions.values().for_each(CancellationToken::cancel);
        }
    }

    /// How many are open.
    pub(crate) fn count(&self) -> usize {
        self.rows().count
    }
}

impl OpenSession {
    /// Waits until someone ends the account's sessions.
    pub(crate) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for OpenSession {
    fn drop(&mut self) {
        let mut rows = self.sessions.rows();
        rows.count -= 1;
        if let Some(sessions) = rows.by_account.get_mut(&self.account) {
            sessions.remove(&self.number);
            if sessions.is_empty() {
                rows.by_account.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: AccountId = AccountId(1);
    const BERT: AccountId = AccountId(2);

    #[test]
    fn bounds_hold_and_places_are_given_back() {
        let bounds = Bounds { connections: 3, connections_per_account: 2, ..Bounds::default() };
        let sessions = Arc::new(Sessions::default());
        let first = sessions.open(ANNA, &bounds).unwrap();
        let _second = sessions.open(ANNA, &bounds).unwrap();
        assert_eq!(sessions.open(ANNA, &bounds).unwrap_err(), NoRoom::Account);
        let _third = sessions.open(BERT, &bounds).unwrap();
        assert_eq!(sessions.open(BERT, &bounds).unwrap_err(), NoRoom::Server);
        drop(first);
        assert_eq!(sessions.count(), 2);
        sessions.open(ANNA, &bounds).unwrap();
    }

    #[test]
    fn ending_an_account_ends_its_sessions_only() {
        let sessions = Arc::new(Sessions::default());
        let anna = sessions.open(ANNA, &Bounds::default()).unwrap();
        let bert = sessions.open(BERT, &Bounds::default()).unwrap();
        sessions.end(ANNA);
        assert!(anna.ended.is_cancelled() && !bert.ended.is_cancelled());
        assert_eq!(sessions.count(), 2, "counted until its requests have ended");
    }
}
