//! The quota's model beside the local store.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::Connection;
use sampan_protocol::Timestamp;

use super::Local;
use crate::store::conformance::Fixture;
use crate::store::conformance::model::{Books, EXPIRY, Modelled, the_quota_equals_its_model};
use crate::store::local::{Durability, LocalOptions};
use crate::store::{AccountId, Accounts, Store};

/// A local store whose clock is wound by hand.
struct Wound {
    local: Local,
    now: Arc<AtomicI64>,
}

impl Wound {
    async fn new() -> Self {
        let now = Arc::new(AtomicI64::new(1_000_000));
        let clock = now.clone();
        let local = Local::in_memory(LocalOptions {
            durability: Durability::Relaxed,
            disk_floor: 0,
            upload_expiry: Duration::from_secs(EXPIRY.unsigned_abs()),
            clock: Arc::new(move || Timestamp::new(clock.load(Ordering::Relaxed), 0).unwrap()),
            ..LocalOptions::default()
        })
        .await;
        Self { local, now }
    }
}

#[async_trait]
impl Fixture for Wound {
    fn store(&self) -> Arc<dyn Store> {
        self.local.store()
    }

    fn accounts(&self) -> Arc<dyn Accounts> {
        self.local.accounts()
    }

    async fn restart(&mut self) {
        self.local.restart().await;
    }

    async fn counted(&self, account: AccountId) -> (u64, u64) {
        self.local.counted(account).await
    }
}

#[async_trait]
impl Modelled for Wound {
    fn pass_time(&self, seconds: i64) {
        self.now.fetch_add(seconds, Ordering::Relaxed);
    }

    async fn expire(&self) {
        self.local.local().inner.expire_now().await.unwrap();
    }

    async fn audit(&self, account: AccountId) -> Result<Books, String> {
        let inner = self.local.local().inner.clone();
        let audit = move || inner.db.read(|connection| Ok(audited(connection, account)));
        tokio::task::spawn_blocking(audit).await.unwrap().unwrap()
    }
}

/// In one statement, so of one moment.
fn audited(connection: &Connection, account: AccountId) -> Result<Books, String> {
    let sql = "WITH held AS ( \
               SELECT 0 AS reserved_bytes, 0 AS reserved_entries UNION ALL \
               SELECT reserved_bytes, reserved_entries FROM uploads WHERE account = ?1 UNION ALL \
               SELECT reserved_bytes, reserved_entries FROM intents WHERE account = ?1) \
               SELECT used_bytes, used_entries, reserved_bytes, reserved_entries, scan_due, \
               (SELECT sum(reserved_bytes) FROM held), \
               (SELECT sum(reserved_entries) FROM held) \
               FROM accounts WHERE id = ?1";
    let row = connection.query_row(sql, [account.0], |row| {
        let number = |index| row.get::<_, i64>(index);
        let sums = [number(5)?, number(6)?];
        Ok(([number(0)?, number(1)?], [number(2)?, number(3)?], number(4)?, sums))
    });
    let (used, reserved, scan_due, sums) = row.map_err(|error| error.to_string())?;
    if used.iter().chain(&reserved).any(|number| *number < 0) {
        return Err(format!("below nothing: used {used:?}, reserved {reserved:?}"));
    }
    if reserved != sums {
        return Err(format!("reserved {reserved:?} is not the sum of its parts, {sums:?}"));
    }
    if scan_due != 0 {
        return Err("a scan is due, though no hand changed anything".to_owned());
    }
    let held = |index: usize| (used[index] + reserved[index]).unsigned_abs();
    Ok(Books { bytes: held(0), entries: held(1) })
}

/// HARDENING 3: exact at every step, for 64 accounts. Longer by `SAMPAN_MODEL_STEPS=100000`, the same
/// again by `SAMPAN_MODEL_SEED`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quota_model() {
    the_quota_equals_its_model(Wound::new).await;
}
