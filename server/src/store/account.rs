//! Accounts as the store keeps them.

use async_trait::async_trait;
use sampan_protocol::Timestamp;
use sampan_protocol::scram::Verifier;
use serde::{Deserialize, Serialize};

use super::{Oddities, Result};

/// Names an account for ever; never reused, so that what hangs on it cannot fall to a namesake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AccountId(pub i64);

/// What an account may hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaLimits {
    /// Bytes; `None` is no limit.
    pub bytes: Option<u64>,
    /// Files and folders; `None` is no limit.
    pub entries: Option<u64>,
}

/// An account as it is known.
#[derive(Clone, Debug)]
pub struct Account {
    /// For ever.
    pub id: AccountId,
    /// `[a-z0-9_][a-z0-9_.-]{0,31}`; also its home's folder.
    pub name: String,
    /// What proves its password.
    pub verifier: Verifier,
    /// A disabled account cannot log in.
    pub disabled: bool,
    /// What it may hold.
    pub limits: QuotaLimits,
    /// Rises with each change that voids sessions and keys: password, disabling.
    pub generation: u64,
    /// When it was made.
    pub created: Timestamp,
}

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Checked by [`super::Accounts::add`].
    pub name: String,
    /// What proves its password.
    pub verifier: Verifier,
    /// What it may hold.
    pub limits: QuotaLimits,
    /// Take a home that lies there already, and count it.
    pub take_home: bool,
}

/// What an account's home held when it was made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HomeFound {
    /// Bytes.
    pub bytes: u64,
    /// Files and folders.
    pub entries: u64,
    /// What no user put there.
    pub oddities: Oddities,
}

/// A key that may log in until it is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolledKey {
    /// Ed25519.
    pub public_key: [u8; 32],
    /// What its owner called it.
    pub label: String,
    /// When it was enrolled.
    pub enrolled: Timestamp,
    /// When it last logged in.
    pub used: Option<Timestamp>,
}

/// Who may log in.
#[async_trait]
pub trait Accounts: Send + Sync + 'static {
    /// Makes an account and its home. A home that lies there already is refused without
    /// `take_home`, else counted.
    async fn add(&self, account: NewAccount) -> Result<(Account, HomeFound)>;

    /// The account of this name.
    async fn find(&self, name: &str) -> Result<Option<Account>>;

    /// All accounts, by name.
    async fn all(&self) -> Result<Vec<Account>>;

    /// Sets a new password's verifier; voids all keys and raises the generation.
    async fn set_verifier(&self, id: AccountId, verifier: Verifier) -> Result<Account>;

    /// Disables, which voids all keys and raises the generation, or enables.
    async fn set_disabled(&self, id: AccountId, disabled: bool) -> Result<Account>;

    /// Sets what an account may hold; a limit below what it holds deletes nothing.
    async fn set_limits(&self, id: AccountId, limits: QuotaLimits) -> Result<Account>;

    /// Forgets the account and gives its uploads up; with `purge` deletes its home too.
    async fn remove(&self, id: AccountId, purge: bool) -> Result<()>;

    /// Enrols a key until it is revoked.
    async fn enrol_key(&self, id: AccountId, key: EnrolledKey) -> Result<()>;

    /// The same, unless the account has another generation by now: `false`, and nothing is kept.
    async fn enrol_key_of(&self, id: AccountId, generation: u64, key: EnrolledKey) -> Result<bool>;

    /// Ends a key; `false` if there was none.
    async fn revoke_key(&self, id: AccountId, public_key: [u8; 32]) -> Result<bool>;

    /// The account's keys, in order of enrolment.
    async fn keys(&self, id: AccountId) -> Result<Vec<EnrolledKey>>;

    /// Notes that a key logged in.
    async fn key_used(&self, id: AccountId, public_key: [u8; 32], when: Timestamp) -> Result<()>;

    /// 32 secret bytes, made once for this store: the salt of what unknown users get.
    async fn login_secret(&self) -> Result<[u8; 32]>;
}
