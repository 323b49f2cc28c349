//! The local store: every property of a store, then its own.

mod conformance;

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
        let mut local = Self { data: tempfile::tempdir().unwrap(), options, store: None };
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
