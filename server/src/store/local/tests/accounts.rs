//! Accounts that go: cut short, without a home, with one that cannot be deleted.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::io::Errno;

use super::Local;
use super::regressions::{FailCalls, failing};
use super::scans::hooked;
use crate::store::conformance::{Fixture, new_account, situation, user};
use crate::store::local::Call;
use crate::store::{HomeFound, QuotaLimits, Situation, StoreError, Target};

/// Names in a folder of the store.
fn names(local: &Local, folder: &str) -> Vec<String> {
    fs::read_dir(local.path().join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

/// HARDENING 2.6: a removal with the home is whole or not there, wherever it is cut short.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_at_every_step_of_removing_an_account() {
    for step in ["removal written", "home taken", "account removed"] {
        let (at, mut local) = hooked().await;
        let anna = user(&local).await;
        anna.put("d/f", b"12345", Target::Absent).await.unwrap();
        anna.store.open_upload(anna.id, anna.upload("u", 7, Target::Absent)).await.unwrap();
        at.hook(step, || false);
        local.accounts().remove(anna.id, true).await.unwrap_err();
        local.crash().await;
        at.clear();
        local.open().await;
        assert!(local.accounts().find("anna").await.unwrap().is_none(), "{step}");
        assert!(names(&local, "homes").is_empty(), "{step}");
        let (_, found) =
            local.accounts().add(new_account("anna", QuotaLimits::default())).await.unwrap();
        assert_eq!(found, HomeFound::default(), "{step}");
        local.restart().await;
        local.close().await;
        assert!(names(&local, "staging").is_empty(), "{step}");
    }
}

/// An account whose home another hand took away, or put something else in its place, can go.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_without_its_home_is_removed() {
    for (other, purge) in [(false, false), (false, true), (true, false), (true, true)] {
        let mut local = Local::new().await;
        let anna = user(&local).await;
        anna.store.open_upload(anna.id, anna.upload("u", 7, Target::Absent)).await.unwrap();
        local.restart().await;
        let home = local.path().join("homes/anna");
        fs::remove_dir(&home).unwrap();
        if other {
            std::os::unix::fs::symlink("/etc", &home).unwrap();
        }
        local.accounts().remove(anna.id, purge).await.unwrap();
        assert!(local.accounts().find("anna").await.unwrap().is_none());
        assert_eq!(names(&local, "homes").len(), usize::from(other && !purge));
        assert!(fs::metadata("/etc").unwrap().is_dir());
        local.restart().await;
        local.close().await;
        assert!(names(&local, "staging").is_empty());
    }
}

/// A home that cannot be taken away keeps its account, closed; removing it again finishes that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_that_cannot_go_keeps_its_account_closed() {
    let faults = FailCalls::of(Call::Rename, Errno::BUSY);
    let mut local = failing(&faults).await;
    let anna = user(&local).await;
    let accounts = local.accounts();
    faults.arm(true);
    let failed = accounts.remove(anna.id, true).await;
    assert!(matches!(failed, Err(StoreError::Disk { .. })), "{failed:?}");
    let found = accounts.find("anna").await.unwrap().unwrap();
    assert!(found.disabled && found.generation > 1);
    let enabled = accounts.set_disabled(anna.id, false).await;
    assert_eq!(situation(enabled), Situation::AccountBeingRemoved);
    drop(accounts);
    faults.arm(false);
    local.restart().await;
    assert!(local.accounts().find("anna").await.unwrap().is_none(), "finished at the next start");
    local.close().await;
}

/// What cannot be deleted of a home that goes is left alone, and all else goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_deleted_of_a_home_is_left_alone() {
    let faults = Arc::new(super::scans::KeepsOne::default());
    let mut local = Local::in_memory(crate::store::local::LocalOptions {
        durability: crate::store::local::Durability::Relaxed,
        disk_floor: 0,
        faults: Some(faults.clone()),
        ..crate::store::local::LocalOptions::default()
    })
    .await;
    let anna = user(&local).await;
    for at in ["a/f", "a/g", "b/c/f", "d"] {
        anna.put(at, b"1", Target::Absent).await.unwrap();
    }
    local.restart().await;
    faults.armed.store(true, Ordering::Relaxed);
    local.accounts().remove(anna.id, true).await.unwrap();
    local.close().await;
    let kept: Vec<_> = names(&local, "staging");
    let files = |folder: &String| {
        let at = local.path().join("staging").join(folder);
        fs::read_dir(at).unwrap().count()
    };
    assert_eq!(kept.iter().map(files).sum::<usize>(), 1, "one file in one folder: {kept:?}");
    // The next start deletes it.
    local.open().await;
    local.close().await;
    assert!(names(&local, "staging").is_empty());
}
