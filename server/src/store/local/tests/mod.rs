//! The local store: every property of a store, then its own.

mod accounts;
mod chores;
mod conformance;
mod crash;
mod disk;
mod fairness;
mod faults;
mod flushes;
mod full;
mod isolation;
mod model;
mod power;
mod quota;
mod regressions;
mod scans;
mod scenario;
mod staged;
mod unsteady;
mod workers;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use tempfile::TempDir;

use super::{LocalOptions, LocalStore};
use crate::store::conformance::Fixture;
use crate::store::{AccountId, Accounts, Store};

/// A local store in a folder of its own.
pub(super) struct Local {
    data: TempDir,
    pub(super) options: LocalOptions,
    store: Option<Arc<LocalStore>>,
}

impl Local {
    pub(super) async fn new() -> Self {
        // Flushing is what tests with faults are about; the others need not wait for the disk.
        let options = LocalOptions {
            durability: super::Durability::Relaxed,
            disk_floor: 0,
            max_uploads: 300,
            ..LocalOptions::default()
        };
        Self::with(options).await
    }

    pub(super) async fn with(options: LocalOptions) -> Self {
        Self::within(tempfile::tempdir().unwrap(), options).await
    }

    /// In memory, if the machine has a file system there: for tests that open many.
    pub(super) async fn in_memory(options: LocalOptions) -> Self {
        let data = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
        Self::within(data, options).await
    }

    pub(super) async fn within(data: TempDir, options: LocalOptions) -> Self {
        let mut local = Self { data, options, store: None };
        local.open().await;
        local
    }

    pub(super) async fn open(&mut self) {
        let opened = LocalStore::open(self.path().to_owned(), self.options.clone()).await;
        self.store = Some(opened.unwrap());
    }

    pub(super) fn path(&self) -> &Path {
        self.data.path()
    }

    pub(super) fn local(&self) -> Arc<LocalStore> {
        self.store.clone().unwrap()
    }

    pub(super) async fn close(&mut self) {
        self.store.take().unwrap().close().await;
    }

    /// Opens it; whether that works is not the point.
    pub(super) async fn try_open(&mut self) {
        let opened = LocalStore::open(self.path().to_owned(), self.options.clone()).await;
        self.store = opened.ok();
    }

    /// Ends the store as if its process had died.
    pub(super) async fn crash(&mut self) {
        let Some(store) = self.store.take() else { return };
        let inner = &store.inner;
        inner.disk.kill();
        inner.closing.cancel();
        inner.tasks.close();
        inner.tasks.wait().await;
        let inner = store.inner.clone();
        tokio::task::spawn_blocking(move || inner.db.close()).await.unwrap();
    }
}

#[async_trait]
impl Fixture for Local {
    fn store(&self) -> Arc<dyn Store> {
        self.local()
    }

    fn accounts(&self) -> Arc<dyn Accounts> {
        self.local()
    }

    async fn restart(&mut self) {
        self.close().await;
        self.open().await;
    }

    async fn counted(&self, account: AccountId) -> (u64, u64) {
        let inner = self.local().inner.clone();
        let counted = tokio::task::spawn_blocking(move || {
            let account = inner.db.read(|c| super::db::accounts::get(c, account)).unwrap();
            let home = std::fs::File::open(
                inner.layout.database.parent().unwrap().join("homes").join(account.name),
            );
            inner.count(&home.unwrap().into()).unwrap()
        });
        let counted = counted.await.unwrap();
        (counted.bytes, counted.entries)
    }
}
