//! The quota's model beside the local store.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use rusqlite::Connection;
use sampan_protocol::Timestamp;

use super::Local;
use crate::store::conformance::Fixture;
use crate::store::conformance::model::{
    Books, EXPIRY, Hand, Hands, Modelled, the_quota_equals_its_model,
};
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

    async fn hands(&self, account: AccountId) -> Arc<dyn Hands> {
        let accounts = self.accounts().all().await.unwrap();
        let name = accounts.into_iter().find(|other| other.id == account).unwrap().name;
        let (home, aside) = (self.local.path().join("homes").join(name), self.local.path());
        let aside = aside.join(format!("by-hand-{}", account.0));
        Arc::new(OnDisk { home, aside, changes: AtomicU64::new(0) })
    }
}

/// Hands on the server's disk.
struct OnDisk {
    home: PathBuf,
    /// Beside the home: what is not whole is not in it.
    aside: PathBuf,
    /// No two files have the same time by hand, so that each change makes another version.
    changes: AtomicU64,
}

impl OnDisk {
    fn new_time(&self) -> SystemTime {
        let number = self.changes.fetch_add(1, Ordering::Relaxed);
        SystemTime::UNIX_EPOCH + Duration::from_secs(1 + number)
    }

    fn put(&self, at: &str, bytes: u64) {
        let file = fs::File::create(&self.aside).unwrap();
        file.set_len(bytes).unwrap();
        file.set_modified(self.new_time()).unwrap();
        fs::rename(&self.aside, self.home.join(at)).unwrap();
    }
}

impl Hands for OnDisk {
    fn change(&self, hand: &Hand) {
        match hand {
            Hand::Replace { at, bytes } => self.put(at, *bytes),
            Hand::Write { at, bytes } => {
                match fs::File::options().write(true).open(self.home.join(at)) {
                    Ok(file) => {
                        file.set_len(*bytes).unwrap();
                        file.set_modified(self.new_time()).unwrap();
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => self.put(at, *bytes),
                    Err(error) => panic!("{at}: {error}"),
                }
            }
            Hand::Remove { at } => {
                // In one step: a count sees all of it or nothing.
                fs::rename(self.home.join(at), &self.aside).unwrap();
                if fs::symlink_metadata(&self.aside).unwrap().is_dir() {
                    fs::remove_dir_all(&self.aside).unwrap();
                } else {
                    fs::remove_file(&self.aside).unwrap();
                }
            }
            Hand::Rename { from, to } => {
                fs::rename(self.home.join(from), self.home.join(to)).unwrap();
                let moved = fs::File::open(self.home.join(to)).unwrap();
                if moved.metadata().unwrap().is_file() {
                    moved.set_modified(self.new_time()).unwrap();
                }
            }
            Hand::Mkdir { at } => fs::create_dir(self.home.join(at)).unwrap(),
        }
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
    let held = |index: usize| (used[index] + reserved[index]).unsigned_abs();
    Ok(Books { bytes: held(0), entries: held(1), scan_due: scan_due != 0 })
}

/// HARDENING 3: exact at every step, for 64 accounts. Longer by `SAMPAN_MODEL_STEPS=100000`, the same
/// again by `SAMPAN_MODEL_SEED`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quota_model() {
    the_quota_equals_its_model(Wound::new).await;
}
