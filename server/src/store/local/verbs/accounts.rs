//! The verbs of accounts.
//!
//! Invariant: only removing an account touches a home, and it holds the account's turn.

use async_trait::async_trait;
use sampan_protocol::Timestamp;
use sampan_protocol::scram::Verifier;

use crate::store::local::accounts::is_without_home;
use crate::store::local::db::accounts;
use crate::store::local::{LocalStore, acquire};
use crate::store::{
    Account, AccountId, Accounts, EnrolledKey, HomeFound, NewAccount, QuotaLimits, Result,
    StoreError,
};

#[async_trait]
impl Accounts for LocalStore {
    async fn add(&self, account: NewAccount) -> Result<(Account, HomeFound)> {
        let inner = self.inner.clone();
        self.inner.job(move || inner.add_account(account)).await
    }

    async fn find(&self, name: &str) -> Result<Option<Account>> {
        let (inner, name) = (self.inner.clone(), name.to_owned());
        self.inner.job(move || inner.db.read(|c| accounts::find(c, &name))).await
    }

    async fn all(&self) -> Result<Vec<Account>> {
        let inner = self.inner.clone();
        self.inner.job(move || inner.db.read(accounts::all)).await
    }

    async fn set_verifier(&self, id: AccountId, verifier: Verifier) -> Result<Account> {
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                inner
                    .db
                    .write("setting a password", move |c| accounts::set_verifier(c, id, &verifier))
            })
            .await
    }

    async fn set_disabled(&self, id: AccountId, disabled: bool) -> Result<Account> {
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                inner
                    .db
                    .write("disabling an account", move |c| accounts::set_disabled(c, id, disabled))
            })
            .await
    }

    async fn set_limits(&self, id: AccountId, limits: QuotaLimits) -> Result<Account> {
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                inner.db.write("setting limits", move |c| accounts::set_limits(c, id, limits))
            })
            .await
    }

    async fn remove(&self, id: AccountId, purge: bool) -> Result<()> {
        // Nothing of it is deleted or counted meanwhile.
        let purging = acquire(&self.inner.purges.turn(id)).await?;
        let turn = match self.inner.turn(id).await {
            Ok(turn) => Some(turn),
            // Without its home nobody can change anything in it.
            Err(StoreError::Disk { source, .. }) if is_without_home(&source) => None,
            Err(error) => return Err(error),
        };
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                let home = turn.as_ref().map(|(home, _)| &**home);
                let removed = inner.remove_account(id, home, purge);
                drop((turn, purging));
                removed
            })
            .await
    }

    async fn enrol_key(&self, id: AccountId, key: EnrolledKey) -> Result<()> {
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                inner
                    .db
                    .write("enrolling a key", move |c| accounts::enrol(c, id, None, &key).map(drop))
            })
            .await
    }

    async fn enrol_key_of(&self, id: AccountId, generation: u64, key: EnrolledKey) -> Result<bool> {
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                inner.db.write("enrolling a key", move |c| {
                    accounts::enrol(c, id, Some(generation), &key)
                })
            })
            .await
    }

    async fn revoke_key(&self, id: AccountId, public_key: [u8; 32]) -> Result<bool> {
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                inner.db.write("revoking a key", move |c| accounts::revoke(c, id, &public_key))
            })
            .await
    }

    async fn keys(&self, id: AccountId) -> Result<Vec<EnrolledKey>> {
        let inner = self.inner.clone();
        self.inner.job(move || inner.db.read(|c| accounts::keys(c, id))).await
    }

    async fn key_used(&self, id: AccountId, public_key: [u8; 32], when: Timestamp) -> Result<()> {
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                inner.db.write("noting a key's use", move |c| {
                    accounts::key_used(c, id, &public_key, when)
                })
            })
            .await
    }

    async fn login_secret(&self) -> Result<[u8; 32]> {
        let inner = self.inner.clone();
        self.inner.job(move || inner.login_secret()).await
    }
}
