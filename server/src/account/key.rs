//! Keys that live as long as this process: what reconnects and further lanes log in with.
//!
//! Invariant: a key serves only while its account's generation is the one it was enrolled under, so
//! a new password or a disabled account voids it even if nobody told this table.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use sampan_protocol::login_key::{KeyFingerprint, PublicKey};

use crate::store::AccountId;

/// Session keys of one account; one more takes the oldest one's place.
const MAX_KEYS_PER_ACCOUNT: usize = 64;

/// What a key may prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KnownKey {
    /// The key.
    pub(crate) public: PublicKey,
    /// The account's generation when it was enrolled.
    pub(crate) generation: u64,
}

/// Session keys of all accounts.
#[derive(Debug, Default)]
pub(crate) struct SessionKeys {
    rows: Mutex<HashMap<AccountId, VecDeque<KnownKey>>>,
}

impl SessionKeys {
    /// Lets a key in; again is once.
    pub(crate) fn enrol(&self, account: AccountId, key: KnownKey) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let keys = rows.entry(account).or_default();
        keys.retain(|known| known.public != key.public);
        if keys.len() == MAX_KEYS_PER_ACCOUNT {
            keys.pop_front();
        }
        keys.push_back(key);
    }

    /// Whether the account has the key under its present generation.
    pub(crate) fn holds(&self, account: AccountId, key: KnownKey) -> bool {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.get(&account).is_some_and(|keys| keys.contains(&key))
    }

    /// Ends one key; `false` if there was none.
    pub(crate) fn revoke(&self, account: AccountId, fingerprint: KeyFingerprint) -> bool {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(keys) = rows.get_mut(&account) else { return false };
        let before = keys.len();
        keys.retain(|known| known.public.fingerprint() != fingerprint);
        keys.len() < before
    }

    /// Ends all keys of an account.
    pub(crate) fn end(&self, account: AccountId) {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner).remove(&account);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANNA: AccountId = AccountId(1);

    fn key(number: u8, generation: u64) -> KnownKey {
        KnownKey { public: PublicKey([number; 32]), generation }
    }

    #[test]
    fn a_key_holds_for_its_account_and_generation() {
        let keys = SessionKeys::default();
        keys.enrol(ANNA, key(1, 5));
        assert!(keys.holds(ANNA, key(1, 5)));
        assert!(!keys.holds(ANNA, key(1, 6)));
        assert!(!keys.holds(ANNA, key(2, 5)));
        assert!(!keys.holds(AccountId(2), key(1, 5)));
    }

    #[test]
    fn keys_end() {
        let keys = SessionKeys::default();
        keys.enrol(ANNA, key(1, 0));
        keys.enrol(ANNA, key(2, 0));
        assert!(keys.revoke(ANNA, key(1, 0).public.fingerprint()));
        assert!(!keys.revoke(ANNA, key(1, 0).public.fingerprint()));
        assert!(!keys.holds(ANNA, key(1, 0)) && keys.holds(ANNA, key(2, 0)));
        keys.end(ANNA);
        assert!(!keys.holds(ANNA, key(2, 0)));
    }

    /// HARDENING S10: an account cannot fill the server's memory with keys.
    #[test]
    fn s10_the_oldest_key_gives_way() {
        let keys = SessionKeys::default();
        for number in 0..=64 {
            keys.enrol(ANNA, key(number, 0));
        }
        assert!(!keys.holds(ANNA, key(0, 0)));
        assert!(keys.holds(ANNA, key(1, 0)) && keys.holds(ANNA, key(64, 0)));
    }
}
