//! A disk that does what it is asked, but not at once: writes take a part of their bytes, and signals
//! interrupt whatever may be interrupted. No change notices.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::Local;
use super::scenario::{Attempt, Scenario, again, check_books, check_staging};
use crate::store::local::{Call, Durability, Faults, LocalOptions};

/// Every write takes less than it was asked to, and every other call of each kind is interrupted.
#[derive(Default)]
struct Unsteady {
    calls: Mutex<HashMap<Call, u64>>,
    interrupted: AtomicU64,
    shortened: AtomicU64,
}

/// Calls that the kernel gives or takes names by are not interrupted on a local disk, and are not
/// made twice; a transaction is SQLite's own affair.
fn is_interrupted(call: Call) -> bool {
    !matches!(
        call,
        Call::Create
            | Call::MakeFolder
            | Call::Rename
            | Call::Unlink
            | Call::List
            | Call::Transaction
    )
}

impl Faults for Unsteady {
    fn before(&self, call: Call) -> io::Result<()> {
        let mut calls = self.calls.lock().unwrap();
        let count = calls.entry(call).or_default();
        *count += 1;
        if is_interrupted(call) && *count % 2 == 1 {
            self.interrupted.fetch_add(1, Ordering::Relaxed);
            return Err(Errno::INTR.into());
        }
        Ok(())
    }

    fn takes(&self, length: usize) -> usize {
        let some = (length / 2).max(16).min(length);
        self.shortened.fetch_add(u64::from(some < length), Ordering::Relaxed);
        some
    }
}

/// HARDENING 2.11: short writes are gone on with, interrupted calls are made again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hardening_2_11_short_writes_and_interrupted_calls_are_gone_on_with() {
    for scenario in Scenario::ALL {
        let faults = Arc::new(Unsteady::default());
        let mut local = Local::in_memory(LocalOptions {
            durability: Durability::Full,
            disk_floor: 0,
            faults: Some(faults.clone()),
            ..LocalOptions::default()
        })
        .await;
        let (anna, attempt) = Attempt::prepare(&local, *scenario).await;
        attempt.run(&anna).await.unwrap();
        attempt.check_done(&anna).await;
        check_books(&local, &anna).await;
        check_staging(&mut local, &anna).await;
        let anna = again(&local, anna);
        attempt.check_done(&anna).await;
        local.close().await;
        assert!(faults.interrupted.load(Ordering::Relaxed) > 20, "{scenario:?}");
        assert!(faults.shortened.load(Ordering::Relaxed) > 3, "{scenario:?}");
        let calls = faults.calls.lock().unwrap();
        assert!(calls[&Call::FlushFolder] + calls[&Call::FlushFile] > 1, "{scenario:?}: {calls:?}");
    }
}
