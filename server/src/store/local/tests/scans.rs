//! Homes that are counted anew: what hands changed, what changes meanwhile, what is cut short.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;
use sampan_protocol::{Mode, Timestamp};
use tokio::sync::Notify;

use super::Local;
use super::faults::FailAt;
use super::regressions::{FailCalls, failing};
use super::scenario::{again, check_books, check_staging};
use crate::store::conformance::{
    Fixture, User, bytes, limited, member, new_account, path, root_of, situation, user,
};
use crate::store::local::{Call, Durability, Faults, LocalOptions};
use crate::store::{OddityKind, QuotaLimits, ScanProgress, Scanned, Situation, StoreError, Target};

type Hook = Box<dyn FnMut() -> bool + Send>;

/// Does something at a named step, on the thread that takes it; `false` ends the store there.
#[derive(Default)]
pub(super) struct At {
    hooks: Mutex<HashMap<&'static str, Hook>>,
}

impl At {
    pub(super) fn hook(&self, step: &'static str, hook: impl FnMut() -> bool + Send + 'static) {
        self.hooks.lock().unwrap().insert(step, Box::new(hook));
    }

    pub(super) fn clear(&self) {
        self.hooks.lock().unwrap().clear();
    }
}

impl Faults for At {
    fn lives_at(&self, step: &'static str) -> bool {
        // Not held while it runs: what it does takes steps too.
        let Some(mut hook) = self.hooks.lock().unwrap().remove(step) else { return true };
        let lives = hook();
        self.hooks.lock().unwrap().entry(step).or_insert(hook);
        lives
    }
}

/// Lets one file of all be deleted by nobody.
#[derive(Default)]
pub(super) struct KeepsOne {
    pub(super) armed: AtomicBool,
}

impl Faults for KeepsOne {
    fn before(&self, call: Call) -> std::io::Result<()> {
        let refuses = call == Call::Unlink && self.armed.swap(false, Ordering::SeqCst);
        if refuses { Err(Errno::PERM.into()) } else { Ok(()) }
    }
}

pub(super) async fn hooked() -> (Arc<At>, Local) {
    let at = Arc::new(At::default());
    let options = LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        faults: Some(at.clone()),
        ..LocalOptions::default()
    };
    (at, Local::in_memory(options).await)
}

fn home(local: &Local) -> PathBuf {
    local.path().join("homes/anna")
}

async fn scan(anna: &User) -> Scanned {
    anna.store.scan(anna.id, Arc::default()).await.unwrap()
}

/// HARDENING 3: changes by hand count from the next scan, which says as of when.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_hands_changed_counts_from_the_next_scan() {
    let mut local = Local::new().await;
    let clock = Arc::new(std::sync::atomic::AtomicI64::new(1000));
    let now = clock.clone();
    local.options.clock = Arc::new(move || Timestamp::new(now.load(Ordering::Relaxed), 5).unwrap());
    local.restart().await;
    let anna = user(&local).await;
    let as_of = |seconds| Timestamp::new(seconds, 5);
    assert_eq!(anna.store.usage(anna.id).await.unwrap().as_of, as_of(1000));
    anna.put("d/f", b"12345", Target::Absent).await.unwrap();
    anna.put("gone", &[0; 100], Target::Absent).await.unwrap();
    let home = home(&local);
    fs::remove_file(home.join("gone")).unwrap();
    fs::create_dir_all(home.join("e/deep/er")).unwrap();
    fs::write(home.join("e/deep/er/file"), [7; 1000]).unwrap();
    fs::write(home.join("d/f"), "123").unwrap();
    symlink("/etc", home.join("d/link")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        home.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert_eq!(anna.held().await, (105, 3, 0, 0), "not before");

    clock.store(2000, Ordering::Relaxed);
    let scanned = scan(&anna).await;
    assert_eq!((scanned.used_before, scanned.entries_before), (105, 3));
    assert_eq!((scanned.used, scanned.entries), (1003, 8));
    assert_eq!(Some(scanned.as_of), as_of(2000));
    assert_eq!(anna.held().await, (1003, 8, 0, 0));
    assert_eq!(anna.store.usage(anna.id).await.unwrap().as_of, as_of(2000));
    let mut odd: Vec<_> =
        scanned.oddities.found.into_iter().map(|odd| (odd.path, odd.kind)).collect();
    odd.sort_by(|one, other| one.0.cmp(&other.0));
    let expected =
        [(b"d/link".to_vec(), OddityKind::Link), (b"fifo".to_vec(), OddityKind::Special)];
    assert_eq!((odd, scanned.oddities.count), (expected.to_vec(), 2));
    check_books(&local, &anna).await;
    local.restart().await;
    let anna = again(&local, anna);
    assert_eq!(anna.store.usage(anna.id).await.unwrap().as_of, as_of(2000), "kept");
}

/// What cannot be looked into is named, and counts itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_that_keep_the_server_out_are_named() {
    let faults = FailCalls::of(Call::Open, Errno::ACCESS);
    let local = failing(&faults).await;
    let anna = user(&local).await;
    anna.put("a/closed/f", b"1", Target::Absent).await.unwrap();
    anna.put("b", b"22", Target::Absent).await.unwrap();
    // Whoever runs this may be allowed everything: the call is made to fail.
    let inner = local.local().inner.clone();
    let counted = tokio::task::spawn_blocking(move || {
        let home = inner.open_home(anna.id).unwrap();
        let folder = home.folder(&inner.disk, &[], super::super::disk::Open::Folder).unwrap();
        let mut walk = super::super::walking::Walk::new(folder, Arc::default());
        assert!(inner.walk_on(&mut walk).unwrap());
        faults.arm(true);
        while inner.walk_on(&mut walk).unwrap() {}
        faults.arm(false);
        (walk.counted.bytes, walk.counted.entries, walk.oddities)
    });
    let (bytes, entries, oddities) = counted.await.unwrap();
    assert_eq!((bytes, entries, oddities.count), (2, 2, 1));
    assert_eq!(oddities.found[0].path, b"a");
    assert_eq!(oddities.found[0].kind, OddityKind::Unreadable);
}

/// HARDENING 3: a scan whose account changed meanwhile repeats, the third time it holds the
/// account's changes; and never anybody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_repeats_and_the_third_time_holds_the_accounts_changes() {
    let (at, mut local) = hooked().await;
    let anna = Arc::new(user(&local).await);
    let bert = local.accounts().add(new_account("bert", QuotaLimits::default())).await.unwrap().0;
    let bert = Arc::new(User::of(&local, bert.id));
    anna.put("f", b"12345", Target::Absent).await.unwrap();
    fs::write(home(&local).join("dropped"), "123").unwrap();

    let progress = Arc::new(ScanProgress::default());
    let held = Arc::new(AtomicBool::new(false));
    let (late, runtime) = (Arc::new(Notify::new()), tokio::runtime::Handle::current());
    let (user, seen, holds, begins) = (anna.clone(), progress.clone(), held.clone(), late.clone());
    let mut done = 0;
    at.hook("scan counts", move || {
        if seen.round() == done {
            return true;
        }
        done = seen.round();
        if done < 3 {
            runtime.block_on(user.mkdir(&format!("d{done}"))).unwrap();
            return true;
        }
        // The account's turn is taken; the other account's is not.
        begins.notify_one();
        let inner = runtime.block_on(bert.mkdir("meanwhile"));
        inner.unwrap();
        holds.store(true, Ordering::SeqCst);
        true
    });
    let (user, ended) = (anna.clone(), held.clone());
    let waits = tokio::spawn(async move {
        late.notified().await;
        user.mkdir("late").await.unwrap();
        assert!(ended.load(Ordering::SeqCst), "the change was not held");
    });
    let scanned = anna.store.scan(anna.id, progress.clone()).await.unwrap();
    assert_eq!(progress.round(), 3);
    assert_eq!((scanned.used, scanned.entries), (8, 4));
    waits.await.unwrap();
    assert_eq!(anna.held().await, (8, 5, 0, 0));
    check_books(&local, &anna).await;
    at.clear();
    check_staging(&mut local, &anna).await;
}

/// A scan without a change beside it counts once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_home_is_counted_once() {
    let local = Local::new().await;
    let anna = user(&local).await;
    for number in 0..5 {
        let members = (0..100)
            .map(|index| member(&format!("d{number}/{index}"), b"1", Target::Absent))
            .collect();
        anna.pack(anna.key(), members).await.unwrap();
    }
    let progress = Arc::new(ScanProgress::default());
    let before = anna.held().await;
    anna.store.scan(anna.id, progress.clone()).await.unwrap();
    assert_eq!((progress.round(), progress.entries()), (1, 505));
    assert_eq!(anna.held().await, before);
}

/// HARDENING 3: while a credit is held, what takes its file away moves its bytes into the holder's
/// reservation; a scan that does not find the file is no other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credits_for_what_hands_took_move_into_reservations() {
    let local = Local::new().await;
    let anna = limited(&local, Some(500), None).await;
    for name in ["gone", "less", "more", "swapped", "kept"] {
        anna.put(name, &bytes(1, 100), Target::Absent).await.unwrap();
    }
    let mut uploads = Vec::new();
    for name in ["gone", "less", "more", "swapped", "kept"] {
        let opened =
            anna.store.open_upload(anna.id, anna.upload(name, 100, Target::Any)).await.unwrap();
        uploads.push((name, opened.by));
    }
    assert_eq!(anna.held().await, (500, 5, 0, 0), "each counts on the file it replaces");
    let home = home(&local);
    fs::remove_file(home.join("gone")).unwrap();
    fs::write(home.join("less"), [1; 30]).unwrap();
    fs::write(home.join("more"), [1; 170]).unwrap();
    fs::write(home.join("other"), [1; 100]).unwrap();
    fs::rename(home.join("other"), home.join("swapped")).unwrap();
    scan(&anna).await;
    assert_eq!(anna.held().await, (30 + 170 + 100 + 100, 4, 100 + 70 + 100, 2));
    check_books(&local, &anna).await;
    // What was promised is kept: each can be committed, though the limit is passed by hand.
    for (name, by) in uploads {
        let content = bytes(2, 100);
        anna.write_all(by, &content).await.unwrap();
        anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await.unwrap();
        assert_eq!(anna.get(name).await.unwrap(), content);
    }
    assert_eq!(anna.held().await, (500, 5, 0, 0));
    check_books(&local, &anna).await;
}

/// What is removed and not deleted yet stays charged; its purge goes on where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_trees_stay_charged_until_they_are_deleted() {
    let faults = FailCalls::of(Call::Unlink, Errno::IO);
    let mut local = failing(&faults).await;
    let anna = user(&local).await;
    anna.put("f", b"12345", Target::Absent).await.unwrap();
    for number in 0..4 {
        let members = (0..50)
            .map(|index| member(&format!("tree/{number}/{index}"), b"123", Target::Absent))
            .collect();
        anna.pack(anna.key(), members).await.unwrap();
    }
    // Some batches are deleted, then the disk fails.
    faults.arm_at("batch written down");
    anna.remove("tree").await.unwrap_err();
    let before = anna.held().await;
    assert!(before.0 > 5 && before.0 <= 605, "{before:?}");
    fs::write(home(&local).join("dropped"), "1234567").unwrap();
    let scanned = scan(&anna).await;
    assert_eq!((scanned.used, scanned.entries), (before.0 + 7, before.1 + 1));
    *faults.at.lock().unwrap() = None;
    faults.arm(false);
    local.restart().await;
    let anna = again(&local, anna);
    while anna.held().await != (12, 2, 0, 0) {
        tokio::task::yield_now().await;
    }
    check_books(&local, &anna).await;
    check_staging(&mut local, &anna).await;
}

/// HARDENING 2.6: a scan that is killed anywhere leaves the ledger as it was or as it is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_at_every_step_of_a_scan() {
    for step in ["scan begun", "scan counts", "scan counted", "scan settled"] {
        let (at, mut local) = hooked().await;
        let anna = user(&local).await;
        anna.put("f", b"12345", Target::Absent).await.unwrap();
        let upload = anna.upload("f", 7, Target::Any);
        anna.store.open_upload(anna.id, upload).await.unwrap();
        fs::remove_file(home(&local).join("f")).unwrap();
        at.hook(step, || false);
        let result = anna.store.scan(anna.id, Arc::default()).await;
        assert!(result.is_err(), "{step}");
        local.crash().await;
        at.clear();
        local.open().await;
        let anna = again(&local, anna);
        let expected = if step == "scan settled" { (0, 0, 7, 1) } else { (5, 1, 2, 0) };
        assert_eq!(anna.held().await, expected, "{step}");
        scan(&anna).await;
        assert_eq!(anna.held().await, (0, 0, 7, 1), "{step}");
        check_books(&local, &anna).await;
        check_staging(&mut local, &anna).await;
    }
}

/// HARDENING 2.11: whichever call of a scan fails, the ledger is as it was, or right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_call_of_a_scan_fails() {
    let faults = Arc::new(FailAt::default());
    let local = Local::in_memory(LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        faults: Some(faults.clone()),
        ..LocalOptions::default()
    })
    .await;
    let anna = user(&local).await;
    anna.put("d/e/f", b"12345", Target::Absent).await.unwrap();
    let before = anna.held().await;
    fs::write(home(&local).join("dropped"), "123").unwrap();
    // What the upload left behind is swept beside it.
    while fs::read_dir(local.path().join("staging")).unwrap().next().is_some() {
        tokio::task::yield_now().await;
    }
    let mut calls = 0;
    loop {
        faults.arm(calls, None, Errno::IO);
        let result = anna.store.scan(anna.id, Arc::default()).await;
        let Some(failed) = faults.disarm() else { break };
        assert!(matches!(result, Err(StoreError::Disk { .. } | StoreError::Database { .. })));
        assert_eq!(anna.held().await, before, "{failed:?}");
        calls += 1;
    }
    assert!(calls > 8, "a scan made only {calls} calls");
    assert_eq!(anna.held().await, (8, 4, 0, 0));
}

/// HARDENING 3: a surprise queues a scan.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_surprise_queues_a_scan() {
    let mut local = Local::new().await;
    let anna = user(&local).await;
    let home = home(&local);
    anna.put("f", b"1", Target::Absent).await.unwrap();
    fs::write(home.join("big"), [0; 1000]).unwrap();
    fs::write(home.join("stays"), [0; 50]).unwrap();
    // Use would go below 0.
    anna.remove("big").await.unwrap();
    while anna.held().await != (51, 2, 0, 0) {
        tokio::task::yield_now().await;
    }

    // What is replaced in the end has not the bytes that it had.
    let upload = anna.upload("f", 3, Target::Any);
    let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
    fs::write(home.join("f"), [0; 20]).unwrap();
    fs::write(home.join("more"), [0; 4]).unwrap();
    anna.write_all(by, b"123").await.unwrap();
    anna.store.commit(anna.id, anna.key(), by, root_of(b"123")).await.unwrap();
    while anna.held().await != (57, 3, 0, 0) {
        tokio::task::yield_now().await;
    }

    // The same of a file that is removed while an upload counts on it: only what went moves into its
    // reservation.
    let upload = anna.upload("f", 3, Target::Any);
    let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
    fs::write(home.join("f"), [0; 1]).unwrap();
    anna.remove("f").await.unwrap();
    while anna.held().await != (54, 2, 1, 1) {
        tokio::task::yield_now().await;
    }
    anna.store.abort(anna.id, anna.key(), by.upload).await.unwrap();
    assert_eq!(anna.held().await, (54, 2, 0, 0));
    check_books(&local, &anna).await;

    // One that a stop cut short is done at the next start.
    fs::write(home.join("big"), [0; 1000]).unwrap();
    let inner = local.local().inner.clone();
    let slow = u32::try_from(super::super::SLOW_JOBS).unwrap();
    let all = inner.slow_jobs.clone().acquire_many_owned(slow).await.unwrap();
    anna.remove("big").await.unwrap();
    local.close().await;
    drop((all, inner));
    local.open().await;
    let anna = again(&local, anna);
    while anna.held().await != (54, 2, 0, 0) {
        tokio::task::yield_now().await;
    }
}

/// Who stops waiting ends a scan, and holds nothing up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_whose_caller_goes_ends() {
    let (at, local) = hooked().await;
    let anna = Arc::new(user(&local).await);
    anna.put("f", b"1", Target::Absent).await.unwrap();
    fs::write(home(&local).join("dropped"), "123").unwrap();
    let (begun, goes) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait, runtime) = (begun.clone(), goes.clone(), tokio::runtime::Handle::current());
    at.hook("scan counts", move || {
        tell.notify_one();
        runtime.block_on(wait.notified());
        true
    });
    let user = anna.clone();
    let scanning = tokio::spawn(async move { user.store.scan(user.id, Arc::default()).await });
    begun.notified().await;
    scanning.abort();
    assert!(scanning.await.unwrap_err().is_cancelled());
    at.clear();
    goes.notify_one();
    anna.mkdir("d").await.unwrap();
    anna.remove("d").await.unwrap();
    assert_eq!(anna.held().await, (1, 1, 0, 0));
    // The step's own hook came back after it was cleared.
    at.clear();
    assert_eq!(scan(&anna).await.used, 4);
}

/// A file that the server cannot delete is set aside with what lies beside it; all of it is credited
/// once, also if that is cut short, and what can be deleted is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_set_aside_is_no_longer_charged() {
    for errno in [Errno::PERM, Errno::BUSY] {
        for step in [None, Some("batch unlinked"), Some("batch written down"), Some("settled")] {
            let faults = FailCalls::of(Call::Unlink, errno);
            let mut local = failing(&faults).await;
            let anna = user(&local).await;
            anna.put("f", b"12345", Target::Absent).await.unwrap();
            // More than one batch in a folder.
            let members = (0..100)
                .map(|index| member(&format!("tree/d/{index}"), b"123", Target::Absent))
                .collect();
            anna.pack(anna.key(), members).await.unwrap();
            let key = anna.key();
            faults.arm(true);
            if let Some(step) = step {
                faults.dies.store(true, Ordering::Relaxed);
                faults.arm_at(step);
            }
            let removed = anna.store.remove(anna.id, key, &path("tree"), true, None).await;
            let anna = if step.is_some() {
                // Settled is settled, whoever hears of it.
                assert!(removed.is_err() || step == Some("settled"), "{errno} {step:?}");
                local.crash().await;
                *faults.at.lock().unwrap() = None;
                faults.arm(false);
                local.open().await;
                again(&local, anna)
            } else {
                anna
            };
            let removed = anna.store.remove(anna.id, key, &path("tree"), true, None).await;
            let removed = removed.unwrap();
            assert_eq!((removed.entries, removed.bytes), (102, 300), "{errno} {step:?}");
            assert_eq!(anna.held().await, (5, 1, 0, 0), "{errno} {step:?}");
            check_books(&local, &anna).await;
            faults.arm(false);
            check_staging(&mut local, &anna).await;
        }
    }
}

/// What is removed under a mount cannot be, and that is said.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_busy_lies_on_another_file_system() {
    let faults = FailCalls::of(Call::Rename, Errno::BUSY);
    let local = failing(&faults).await;
    let anna = user(&local).await;
    anna.mkdir("mount").await.unwrap();
    faults.arm(true);
    assert_eq!(situation(anna.remove("mount").await), Situation::OtherFileSystem);
    faults.arm(false);
    let at = path("mount/d");
    anna.store.mkdir(anna.id, anna.key(), &at, false, Mode::FOLDER).await.unwrap();
}

/// Fails to delete, and closes the store in one of a scan's slices.
#[derive(Default)]
struct ClosesAt {
    keeps: AtomicBool,
    slices: AtomicU64,
    last_slice: AtomicU64,
    closing: Mutex<Option<tokio_util::sync::CancellationToken>>,
}

impl Faults for ClosesAt {
    fn before(&self, call: Call) -> std::io::Result<()> {
        let fails = call == Call::Unlink && self.keeps.load(Ordering::SeqCst);
        if fails { Err(Errno::IO.into()) } else { Ok(()) }
    }

    fn lives_at(&self, step: &'static str) -> bool {
        if step == "scan counts"
            && self.slices.fetch_add(1, Ordering::SeqCst) + 1
                == self.last_slice.load(Ordering::SeqCst)
            && let Some(closing) = &*self.closing.lock().unwrap()
        {
            closing.cancel();
        }
        true
    }
}

/// A store that closes waits for one slice of a scan, also where that counts what was removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_of_removed_trees_stops_between_two_slices() {
    let faults = Arc::new(ClosesAt::default());
    let local = Local::in_memory(LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        faults: Some(faults.clone()),
        ..LocalOptions::default()
    })
    .await;
    let anna = user(&local).await;
    for number in 0..6 {
        let members = (0..100)
            .map(|index| member(&format!("tree/{number}/{index}"), b"123", Target::Absent))
            .collect();
        anna.pack(anna.key(), members).await.unwrap();
    }
    faults.keeps.store(true, Ordering::SeqCst);
    anna.remove("tree").await.unwrap_err();
    let before = anna.held().await;
    assert_eq!(before, (1800, 607, 0, 0));
    scan(&anna).await;
    assert_eq!(anna.held().await, before);
    let slices = faults.slices.swap(0, Ordering::SeqCst);
    assert!(slices > 12, "{slices}: the tree's folders are counted in slices of their own");
    *faults.closing.lock().unwrap() = Some(local.local().inner.closing.clone());
    faults.last_slice.store(slices / 2, Ordering::SeqCst);
    let ended = anna.store.scan(anna.id, Arc::default()).await;
    assert!(matches!(ended, Err(StoreError::Closed)), "{ended:?}");
    assert_eq!(faults.slices.load(Ordering::SeqCst), slices / 2);
}

/// What hands changed counts from a scan that somebody asked for or that is due: not from one that the
/// store had in mind when another one was quicker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_scan_that_is_no_longer_due_counts_nothing() {
    let local = Local::new().await;
    let anna = user(&local).await;
    fs::write(home(&local).join("dropped"), "123").unwrap();
    let inner = local.local().inner.clone();
    assert_eq!(inner.scan_if_due(anna.id).await.unwrap(), None);
    assert_eq!(anna.held().await, (0, 0, 0, 0));
    scan(&anna).await;
    assert_eq!(anna.held().await, (3, 1, 0, 0));
}
