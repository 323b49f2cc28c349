//! Whoever asks for much waits for himself.

use std::fs::File;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::JoinSet;

use super::Local;
use crate::store::QuotaLimits;
use crate::store::conformance::{Fixture, new_account, path, user};
use crate::store::local::{Call, Durability, Faults, LocalOptions};

/// Sums that are asked for at once: four connections full of them.
const SUMS: u64 = 256;
/// Reads of one slice.
const READS_OF_A_SLICE: u64 = 16;

/// Counts what is read.
#[derive(Default)]
struct Reads(AtomicU64);

impl Faults for Reads {
    fn before(&self, call: Call) -> io::Result<()> {
        if call == Call::Read {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Neither a login nor another account's own sum stands behind all that one account asked for.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_account_that_hashes_without_end_makes_nobody_late() {
    let reads = Arc::new(Reads::default());
    let mut local = Local::with(LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        jobs: 4,
        faults: Some(reads.clone()),
        ..LocalOptions::default()
    })
    .await;
    let anna = user(&local).await;
    let bert = local.accounts().add(new_account("bert", QuotaLimits::default())).await.unwrap().0;
    let homes = local.path().join("homes");
    let long = File::create(homes.join("anna/long")).unwrap();
    // Holes are read as fast as anything; no test waits for the end of it.
    long.set_len(1 << 36).unwrap();
    std::fs::write(homes.join("bert/short"), b"short").unwrap();

    let mut sums = JoinSet::new();
    for _ in 0..SUMS {
        let (store, account) = (anna.store.clone(), anna.id);
        sums.spawn(async move { store.sum(account, &path("long")).await });
    }
    while reads.0.load(Ordering::Relaxed) < 2 * READS_OF_A_SLICE {
        tokio::task::yield_now().await;
    }
    let mut fewest = u64::MAX;
    for _ in 0..5 {
        let before = reads.0.load(Ordering::Relaxed);
        local.accounts().find("bert").await.unwrap().unwrap();
        anna.store.sum(bert.id, &path("short")).await.unwrap();
        fewest = fewest.min(reads.0.load(Ordering::Relaxed) - before);
    }
    sums.shutdown().await;
    local.close().await;
    // A login and a sum take some jobs each; in one row with all others each would wait for a slice
    // of every sum.
    assert!(fewest < SUMS / 2 * READS_OF_A_SLICE, "{fewest} reads of others came before");
}
