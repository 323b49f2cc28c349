//! What the store does by itself does not end in silence, and waits for nobody.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::io::Errno;
use sampan_protocol::Mode;

use super::Local;
use super::scenario::{again, check_books, check_staging};
use crate::store::conformance::{Fixture, bytes, path, root_of, user};
use crate::store::local::{Call, Durability, Faults, Inner, LocalOptions};
use crate::store::{StoreError, Target};

/// Panics in the next call of a kind.
struct Panics {
    call: Call,
    armed: AtomicBool,
}

impl Faults for Panics {
    fn before(&self, call: Call) -> io::Result<()> {
        assert!(
            call != self.call || !self.armed.swap(false, Ordering::SeqCst),
            "a test made this call panic"
        );
        Ok(())
    }
}

async fn panicking(call: Call) -> (Arc<Panics>, Local) {
    let panics = Arc::new(Panics { call, armed: AtomicBool::new(false) });
    let options = LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        faults: Some(panics.clone()),
        ..LocalOptions::default()
    };
    (panics, Local::in_memory(options).await)
}

/// From a step on, no transaction can be committed, though each can begin.
#[derive(Default)]
struct NoCommits {
    at: Mutex<Option<&'static str>>,
    errno: Mutex<Option<Errno>>,
    calls: AtomicU32,
}

impl NoCommits {
    fn arm(&self, at: Option<&'static str>, errno: Option<Errno>) {
        *self.at.lock().unwrap() = at;
        *self.errno.lock().unwrap() = errno;
    }
}

impl Faults for NoCommits {
    fn before(&self, call: Call) -> io::Result<()> {
        let (at, errno) = (*self.at.lock().unwrap(), *self.errno.lock().unwrap());
        match errno {
            Some(errno) if at.is_none() && call == Call::Transaction => {
                // The first of two begins it.
                let begins = self.calls.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
                if begins { Ok(()) } else { Err(errno.into()) }
            }
            _ => Ok(()),
        }
    }

    fn lives_at(&self, step: &'static str) -> bool {
        let mut at = self.at.lock().unwrap();
        if *at == Some(step) {
            *at = None;
            self.calls.store(0, Ordering::SeqCst);
        }
        true
    }
}

/// A panic while staging is swept is said, and the next sweep goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweeping_survives_a_panic() {
    let (panics, mut local) = panicking(Call::Unlink).await;
    let anna = user(&local).await;
    anna.put("f", b"1", Target::Absent).await.unwrap();
    anna.put("g", b"1", Target::Absent).await.unwrap();
    let staging = local.path().join("staging");
    let is_empty = || std::fs::read_dir(&staging).unwrap().next().is_none();
    while !is_empty() {
        tokio::task::yield_now().await;
    }
    panics.armed.store(true, Ordering::SeqCst);
    anna.remove("f").await.unwrap();
    while panics.armed.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    // What the panic dropped is for the next start; what comes now is deleted.
    anna.remove("g").await.unwrap();
    while std::fs::read_dir(&staging).unwrap().count() > 1 {
        tokio::task::yield_now().await;
    }
    check_staging(&mut local, &anna).await;
}

/// A task that panics itself begins anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_background_task_that_panics_begins_anew() {
    static BEGUN: AtomicU32 = AtomicU32::new(0);
    async fn work(inner: Arc<Inner>) {
        assert!(BEGUN.fetch_add(1, Ordering::SeqCst) >= 2, "a test made this task panic");
        inner.closing.cancelled().await;
    }
    let mut local = Local::new().await;
    local.local().inner.spawn_worker("test", work);
    while BEGUN.load(Ordering::SeqCst) < 3 {
        tokio::task::yield_now().await;
    }
    local.close().await;
    assert_eq!(BEGUN.load(Ordering::SeqCst), 3);
}

/// Without its database's thread a store says that it cannot go on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_database_panicked_has_failed() {
    let (panics, local) = panicking(Call::Transaction).await;
    let anna = user(&local).await;
    panics.armed.store(true, Ordering::SeqCst);
    assert!(matches!(anna.mkdir("d").await, Err(StoreError::Closed)));
    anna.store.failed().await;
}

/// An upload that is being proved holds up no other's expiry.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expiry_waits_behind_no_proof() {
    let mut local = Local::new().await;
    local.options.upload_expiry = Duration::ZERO;
    local.restart().await;
    let anna = user(&local).await;
    let opened = |at: &'static str| {
        let upload = anna.upload(at, 1, Target::Absent);
        anna.store.open_upload(anna.id, upload)
    };
    let proved = opened("proved").await.unwrap().by.upload;
    opened("idle").await.unwrap();
    let inner = local.local().inner.clone();
    // As a proof holds it, for as long as it takes.
    let slot = inner.slot((anna.id, proved)).await.unwrap();
    assert_eq!(inner.expire_now().await.unwrap(), 1);
    drop(slot);
    assert_eq!(inner.expire_now().await.unwrap(), 1);
    assert_eq!(anna.held().await, (0, 0, 0, 0));
}

/// HARDENING 2.7: a change whose settlement the database refuses may have happened: what is answered
/// is no refusal, and the same key then gives the change's answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_settled_is_not_refused() {
    // As SQLite says that its disk is full.
    for errno in [Errno::NOSPC, Errno::IO] {
        for what in ["mkdir", "commit", "remove", "tree"] {
            let faults = Arc::new(NoCommits::default());
            let mut local = Local::in_memory(LocalOptions {
                durability: Durability::Relaxed,
                disk_floor: 0,
                faults: Some(faults.clone()),
                ..LocalOptions::default()
            })
            .await;
            let anna = user(&local).await;
            anna.put("f", b"12345", Target::Absent).await.unwrap();
            anna.put("tree/g", b"1", Target::Absent).await.unwrap();
            let content = bytes(1, 10);
            let upload = anna.upload("new", 10, Target::Absent);
            let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
            anna.write_all(by, &content).await.unwrap();
            let (key, root) = (anna.key(), root_of(&content));
            let run = async || match what {
                "mkdir" => {
                    let at = path("d");
                    anna.store.mkdir(anna.id, key, &at, false, Mode::FOLDER).await.map(drop)
                }
                "commit" => anna.store.commit(anna.id, key, by, root).await.map(drop),
                "remove" => {
                    anna.store.remove(anna.id, key, &path("f"), false, None).await.map(drop)
                }
                _ => anna.store.remove(anna.id, key, &path("tree"), true, None).await.map(drop),
            };
            faults.arm(Some(if what == "tree" { "renamed" } else { "steps done" }), Some(errno));
            for _ in 0..2 {
                match run().await {
                    Err(StoreError::Refused { situation, .. }) => {
                        panic!("{what}: refused for {situation:?}")
                    }
                    Err(_) => {}
                    Ok(()) => panic!("{what}: settled without a database"),
                }
            }
            faults.arm(None, None);
            run().await.unwrap();
            run().await.unwrap();
            if what != "commit" {
                anna.store.abort(anna.id, anna.key(), by.upload).await.unwrap();
            }
            check_books(&local, &anna).await;
            check_staging(&mut local, &anna).await;
            let anna = again(&local, anna);
            assert_eq!(anna.held().await.2, 0);
            local.close().await;
        }
    }
}

/// Counts slices of sweeping and their steps.
#[derive(Default)]
struct Steps(AtomicU32);

impl Faults for Steps {
    fn lives_at(&self, step: &'static str) -> bool {
        self.0.fetch_add(u32::from(step == "swept"), Ordering::SeqCst);
        true
    }
}

/// However much is to be swept, it goes in short slices, and none of them takes a place from those who
/// wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staging_is_swept_in_slices() {
    let steps = Arc::new(Steps::default());
    let options = LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        jobs: 1,
        faults: Some(steps.clone()),
        ..LocalOptions::default()
    };
    let mut local = Local::in_memory(options).await;
    let anna = user(&local).await;
    let inner = local.local().inner.clone();
    let slow = u32::try_from(super::super::SLOW_JOBS).unwrap();
    let held_up = inner.slow_jobs.clone().acquire_many_owned(slow).await.unwrap();
    let staging = local.path().join("staging");
    for number in 0..10 {
        let tree = staging.join(format!("gtree{number}"));
        std::fs::create_dir_all(tree.join("below")).unwrap();
        for file in 0..50 {
            std::fs::write(tree.join("below").join(file.to_string()), "1").unwrap();
        }
        inner.sweep_later(format!("gtree{number}"));
    }
    // The only place among the ordinary jobs is free.
    anna.mkdir("d").await.unwrap();
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 10);
    let mut slices = 0;
    loop {
        let (inner, before) = (inner.clone(), steps.0.load(Ordering::SeqCst));
        let more = tokio::task::spawn_blocking(move || inner.sweep_slice()).await.unwrap();
        let taken = steps.0.load(Ordering::SeqCst) - before;
        assert!((1..=3).contains(&taken), "{taken} steps in a slice");
        slices += 1;
        if !more {
            break;
        }
    }
    assert!(slices >= 10, "{slices}");
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0);
    drop(held_up);
    check_staging(&mut local, &anna).await;
}

/// Whoever has something swept waits for none of what is swept already, however many folders that has,
/// and deletes little of it, however many others wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_to_be_swept_holds_up_nobody() {
    let steps = Arc::new(Steps::default());
    let options = LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        faults: Some(steps.clone()),
        ..LocalOptions::default()
    };
    let mut local = Local::in_memory(options).await;
    let anna = user(&local).await;
    let inner = local.local().inner.clone();
    let slow = u32::try_from(super::super::SLOW_JOBS).unwrap();
    let held_up = inner.slow_jobs.clone().acquire_many_owned(slow).await.unwrap();
    let staging = local.path().join("staging");
    let make = |tree: &str| {
        for folder in 0..100 {
            std::fs::create_dir_all(staging.join(tree).join(folder.to_string())).unwrap();
        }
    };
    let taken_by = |sweep: &dyn Fn()| {
        let before = steps.0.load(Ordering::SeqCst);
        sweep();
        steps.0.load(Ordering::SeqCst) - before
    };
    make("gfirst");
    inner.sweep("gfirst".to_owned());
    assert!(inner.sweep_slice());
    // More folders lie beside each other now than names may wait.
    assert!(std::fs::read_dir(&staging).unwrap().count() > 20);
    for waiting in 0..16 {
        let tree = format!("gtree{waiting}");
        make(&tree);
        assert_eq!(taken_by(&|| inner.sweep(tree.clone())), 0, "{tree}");
    }
    make("glast");
    assert_eq!(taken_by(&|| inner.sweep("glast".to_owned())), 1);
    while inner.sweep_slice() {}
    assert_eq!(std::fs::read_dir(&staging).unwrap().count(), 0);
    drop((held_up, inner));
    check_staging(&mut local, &anna).await;
}

/// The first names that are removed cannot be.
#[derive(Default)]
struct Keeps {
    left: AtomicU32,
    calls: AtomicU32,
}

impl Faults for Keeps {
    fn before(&self, call: Call) -> io::Result<()> {
        if call != Call::Unlink {
            return Ok(());
        }
        self.calls.fetch_add(1, Ordering::SeqCst);
        let less = |left: u32| left.checked_sub(1);
        match self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, less) {
            Ok(_) => Err(Errno::ACCESS.into()),
            Err(_) => Ok(()),
        }
    }
}

/// What cannot be deleted is tried, and told, once until the next start, not in each slice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_swept_is_tried_once() {
    let keeps = Arc::new(Keeps::default());
    let options = LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        faults: Some(keeps.clone()),
        ..LocalOptions::default()
    };
    let mut local = Local::in_memory(options).await;
    let anna = user(&local).await;
    let inner = local.local().inner.clone();
    let slow = u32::try_from(super::super::SLOW_JOBS).unwrap();
    let held_up = inner.slow_jobs.clone().acquire_many_owned(slow).await.unwrap();
    let tree = local.path().join("staging/gtree");
    std::fs::create_dir(&tree).unwrap();
    for file in 0..60 {
        std::fs::write(tree.join(file.to_string()), "1").unwrap();
    }
    keeps.calls.store(0, Ordering::SeqCst);
    keeps.left.store(5, Ordering::SeqCst);
    inner.delete_staged("gtree", &|| false).unwrap();
    assert!((1..60).contains(&keeps.calls.load(Ordering::SeqCst)), "it is cut in slices");
    while inner.sweep_slice() {}
    assert_eq!(keeps.calls.load(Ordering::SeqCst), 60);
    assert_eq!(std::fs::read_dir(&tree).unwrap().count(), 5);
    drop((held_up, inner));
    check_staging(&mut local, &anna).await;
}
