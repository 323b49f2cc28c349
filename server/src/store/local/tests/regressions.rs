//! Defects that were found once: each test fails without its remedy.

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use rustix::io::Errno;
use sampan_protocol::{Mode, RemotePath, Timestamp};

use super::Local;
use super::scenario::{check_books, check_staging};
use crate::store::conformance::{
    Fixture, User, bytes, folder_member, limited, member, new_account, path, root_of, situation,
    user,
};
use crate::store::local::pack::MAX_PATH_BYTES_OF_PACKS;
use crate::store::local::{Call, Durability, Faults, LocalOptions};
use crate::store::{PackContent, PackItem, QuotaLimits, Situation, StoreError, Target};

/// Fails every call of some kind while it is armed; arms itself at a step.
#[derive(Default)]
pub(super) struct FailCalls {
    pub(super) armed: AtomicBool,
    pub(super) at: std::sync::Mutex<Option<&'static str>>,
    /// Instead of failing calls, the store ends at its step.
    pub(super) dies: AtomicBool,
    what: std::sync::Mutex<Option<(Call, Errno)>>,
}

impl FailCalls {
    pub(super) fn of(call: Call, errno: Errno) -> Arc<Self> {
        let fails = Self::default();
        *fails.what.lock().unwrap() = Some((call, errno));
        Arc::new(fails)
    }

    pub(super) fn arm(&self, armed: bool) {
        self.armed.store(armed, Ordering::Relaxed);
    }

    pub(super) fn arm_at(&self, step: &'static str) {
        *self.at.lock().unwrap() = Some(step);
    }
}

impl Faults for FailCalls {
    fn before(&self, call: Call) -> io::Result<()> {
        match *self.what.lock().unwrap() {
            Some((fails, errno)) if call == fails && self.armed.load(Ordering::Relaxed) => {
                Err(errno.into())
            }
            _ => Ok(()),
        }
    }

    fn lives_at(&self, step: &'static str) -> bool {
        if *self.at.lock().unwrap() == Some(step) {
            self.arm(true);
            return !self.dies.load(Ordering::Relaxed);
        }
        true
    }
}

pub(super) async fn failing(faults: &Arc<FailCalls>) -> Local {
    Local::in_memory(LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        faults: Some(faults.clone()),
        ..LocalOptions::default()
    })
    .await
}

/// A folder whose first names, more than a purge looks at in one step, are all folders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_of_many_folders_and_no_file_is_removed_and_credited() {
    let mut local = Local::new().await;
    let anna = user(&local).await;
    let folders = (0..100).map(|number| folder_member(&format!("tree/{number}")));
    anna.pack(anna.key(), folders.collect()).await.unwrap();
    anna.put("tree/99/f", b"file", Target::Absent).await.unwrap();
    let removed = anna.remove("tree").await.unwrap();
    assert_eq!((removed.entries, removed.bytes), (102, 4));
    assert_eq!(anna.held().await, (0, 0, 0, 0));
    check_books(&local, &anna).await;
    check_staging(&mut local, &anna).await;
}

/// Four blocks staged; then the store stops cleanly, and one of them changes on the disk, as if it
/// had never been written back. Gives what a resumed upload believes.
async fn staged_after_loss(
    local: &mut Local,
    anna: User,
    between: impl FnOnce(&Local),
) -> (Vec<u64>, User) {
    let content = bytes(1, 4 << 20);
    let upload = anna.upload("f", content.len() as u64, Target::Absent);
    let by = anna.store.open_upload(anna.id, upload.clone()).await.unwrap().by;
    anna.write_all(by, &content).await.unwrap();
    local.close().await;
    between(local);
    let data = local.path().join(format!("staging/u{}/data", by.upload));
    let mut staged = fs::read(&data).unwrap();
    staged[1 << 20] ^= 1;
    fs::write(&data, staged).unwrap();
    local.open().await;
    let anna = anna.again(local);
    let resumed = anna.store.open_upload(anna.id, upload).await.unwrap();
    (resumed.staged.iter().map(|block| block.0).collect(), anna)
}

/// HARDENING 2.2: a stop is clean only if what is staged was flushed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_whose_flush_fails_is_not_clean() {
    let faults = FailCalls::of(Call::FlushAll, Errno::IO);
    let mut local = failing(&faults).await;
    let anna = user(&local).await;
    faults.arm(true);
    let (staged, _) = staged_after_loss(&mut local, anna, |_| faults.arm(false)).await;
    assert_eq!(staged, [0, 2, 3]);
}

/// HARDENING 2.2: after the machine itself stopped, nothing is believed unseen.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_staged_is_doubted_under_another_boot() {
    let mut local = Local::new().await;
    let anna = user(&local).await;
    let (staged, _) = staged_after_loss(&mut local, anna, |local| {
        let database = rusqlite::Connection::open(local.path().join("sampand.db")).unwrap();
        let boot = fs::read("/proc/sys/kernel/random/boot_id").unwrap();
        let sql = "UPDATE settings SET value = x'00' WHERE key = 'clean' AND value = ?1";
        assert_eq!(database.execute(sql, [boot]).unwrap(), 1, "the boot is written down");
    })
    .await;
    assert_eq!(staged, [0, 2, 3]);
}

/// S10, S12: a few deep members cannot make the server plan gigabytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn folders_on_the_way_to_a_packs_members_are_bounded() {
    let mut local = Local::new().await;
    let anna = user(&local).await;
    let deep = |number: u64| member(&format!("{number}{}/f", "/x".repeat(400)), b"", Target::Any);
    let outcomes = anna.pack(anna.key(), (0..40).map(deep).collect()).await.unwrap();
    assert!(outcomes[0].is_ok(), "{:?}", outcomes[0]);
    let made = outcomes.iter().filter(|outcome| outcome.is_ok()).count() as u64;
    assert!(made * 401 <= 4096, "{made}");
    for outcome in outcomes.into_iter().skip(usize::try_from(made).unwrap()) {
        assert!(matches!(situation(outcome), Situation::LimitExceeded { .. }));
    }
    assert_eq!(anna.held().await, (0, made * 402, 0, 0));
    check_books(&local, &anna).await;
    check_staging(&mut local, &anna).await;
}

/// A member that does not fit takes none of the folders that its pack may make.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_that_do_not_fit_make_no_folders() {
    let local = Local::new().await;
    let anna = limited(&local, None, Some(100)).await;
    let deep = |number: u64| member(&format!("{number}{}/f", "/x".repeat(400)), b"", Target::Any);
    let outcomes = anna.pack(anna.key(), (0..40).map(deep).collect()).await.unwrap();
    for outcome in outcomes {
        assert_eq!(situation(outcome), Situation::TooManyFiles { needed: 402, available: 100 });
    }
    assert_eq!(anna.held().await, (0, 0, 0, 0));
}

/// A block that is sent again and again costs its journal no space.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_journal_does_not_grow_with_blocks_that_come_again() {
    let mut local = Local::new().await;
    let anna = user(&local).await;
    let upload = anna.upload("f", 1, Target::Absent);
    let by = anna.store.open_upload(anna.id, upload.clone()).await.unwrap().by;
    for _ in 0..2000 {
        anna.write_all(by, b"1").await.unwrap();
    }
    let journal = local.path().join(format!("staging/u{}/journal", by.upload));
    let length = fs::metadata(&journal).unwrap().len();
    assert!(length <= 48 * 1100, "{length}");
    local.crash().await;
    local.open().await;
    let anna = anna.again(&local);
    let resumed = anna.store.open_upload(anna.id, upload).await.unwrap();
    assert_eq!(resumed.staged.iter().count(), 1);
    anna.store.commit(anna.id, anna.key(), resumed.by, root_of(b"1")).await.unwrap();
    check_staging(&mut local, &anna).await;
}

/// Whoever names an upload of another account changes nothing of it, not even in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_another_account_names_is_kept() {
    let mut local = Local::new().await;
    let anna = user(&local).await;
    let bert = local.accounts().add(new_account("bert", QuotaLimits::default())).await.unwrap().0;
    let by = anna.store.open_upload(anna.id, anna.upload("f", 1, Target::Absent)).await.unwrap().by;
    local.restart().await;
    let (anna, inner) = (anna.again(&local), local.local().inner.clone());
    let slot = inner.uploads.slot((anna.id, by.upload));
    let refused = anna.store.upload_row(bert.id, by.upload, 0, 1).await;
    assert_eq!(situation(refused), Situation::UploadNotFound);
    anna.store.abort(bert.id, anna.key(), by.upload).await.unwrap();
    let again = inner.uploads.slot((anna.id, by.upload));
    assert!(Arc::ptr_eq(&slot, &again), "a second slot of one upload");
    // One that nobody has leaves nothing behind.
    let nobody = sampan_protocol::UploadId(77);
    let refused = anna.store.upload_row(bert.id, nobody, 0, 1).await;
    assert_eq!(situation(refused), Situation::UploadNotFound);
}

/// One home that was moved by hand is its account's trouble only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_home_does_not_stop_the_server() {
    let faults = FailCalls::of(Call::Transaction, Errno::IO);
    let mut local = failing(&faults).await;
    let anna = user(&local).await;
    let bert = local.accounts().add(new_account("bert", QuotaLimits::default())).await.unwrap().0;
    faults.arm_at("steps done");
    let key = anna.key();
    let at = path("d");
    anna.store.mkdir(anna.id, key, &at, false, Mode::FOLDER).await.unwrap_err();
    local.crash().await;
    *faults.at.lock().unwrap() = None;
    faults.arm(false);
    let (home, away) = (local.path().join("homes/anna"), local.path().join("away"));
    fs::rename(&home, &away).unwrap();
    local.open().await;
    let anna = anna.again(&local);
    let bert = User::of(&local, bert.id);
    bert.mkdir("d").await.unwrap();
    assert!(matches!(anna.mkdir("e").await, Err(StoreError::Disk { .. })));
    fs::rename(away, home).unwrap();
    anna.store.mkdir(anna.id, key, &at, false, Mode::FOLDER).await.unwrap();
    assert_eq!(anna.held().await, (0, 1, 0, 0));
    check_books(&local, &anna).await;
    local.close().await;
}

/// Only a failed flush costs what is staged: without a free descriptor a commit may be tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_descriptors_keeps_what_is_staged() {
    let faults = FailCalls::of(Call::Open, Errno::MFILE);
    let mut local = failing(&faults).await;
    let anna = user(&local).await;
    let content = bytes(1, 3 << 20);
    let upload = anna.upload("f", content.len() as u64, Target::Absent);
    let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
    anna.write_all(by, &content).await.unwrap();
    faults.arm_at("intent written");
    let key = anna.key();
    let failed = anna.store.commit(anna.id, key, by, root_of(&content)).await;
    assert!(matches!(failed, Err(StoreError::Disk { .. })), "{failed:?}");
    *faults.at.lock().unwrap() = None;
    faults.arm(false);
    anna.store.commit(anna.id, key, by, root_of(&content)).await.unwrap();
    assert_eq!(anna.get("f").await.unwrap(), content);
    check_books(&local, &anna).await;
    check_staging(&mut local, &anna).await;
}

/// An upload whose commit came as far as `step`, where transactions begin to fail.
async fn committed_until(
    local: &Local,
    faults: &FailCalls,
    step: &'static str,
    dies: bool,
) -> (User, sampan_protocol::UploadId) {
    let anna = user(local).await;
    let upload = anna.upload("x/f", 3, Target::Absent);
    let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
    anna.write_all(by, b"abc").await.unwrap();
    faults.dies.store(dies, Ordering::Relaxed);
    faults.arm_at(step);
    anna.store.commit(anna.id, anna.key(), by, root_of(b"abc")).await.unwrap_err();
    (anna, by.upload)
}

/// What an intent names outlives the wish to give it up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_is_given_up_only_after_its_commit_is_settled() {
    let faults = FailCalls::of(Call::Transaction, Errno::IO);
    let mut local = failing(&faults).await;
    let (anna, upload) = committed_until(&local, &faults, "steps done", false).await;
    anna.store.abort(anna.id, anna.key(), upload).await.unwrap_err();
    *faults.at.lock().unwrap() = None;
    faults.arm(false);
    anna.store.abort(anna.id, anna.key(), upload).await.unwrap();
    anna.mkdir("d").await.unwrap();
    assert_eq!(anna.get("x/f").await.unwrap(), b"abc", "it was published");
    assert_eq!(anna.held().await, (3, 3, 0, 0));
    check_books(&local, &anna).await;
    check_staging(&mut local, &anna).await;
}

/// A commit whose staging is gone is finished if its file lies there, and given up if not; either
/// way its account goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_staging_is_gone_is_settled() {
    for (step, held) in [("steps done", (3, 3, 0, 0)), ("intent written", (0, 2, 3, 2))] {
        let faults = FailCalls::of(Call::Transaction, Errno::IO);
        let mut local = failing(&faults).await;
        let (anna, upload) = committed_until(&local, &faults, step, true).await;
        local.crash().await;
        *faults.at.lock().unwrap() = None;
        faults.arm(false);
        fs::remove_dir_all(local.path().join(format!("staging/u{upload}"))).unwrap();
        local.open().await;
        let anna = anna.again(&local);
        anna.mkdir("d").await.unwrap();
        assert_eq!(anna.held().await, held, "{step}");
        if held.0 == 0 {
            anna.put("x/f", b"abc", Target::Absent).await.unwrap();
        }
        assert_eq!(anna.get("x/f").await.unwrap(), b"abc");
        check_books(&local, &anna).await;
        check_staging(&mut local, &anna).await;
        local.close().await;
    }
}

/// The same for a tree whose removal could neither go on nor be given up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removal_that_cannot_be_given_up_keeps_its_staging() {
    let faults = FailCalls::of(Call::Transaction, Errno::IO);
    let mut local = failing(&faults).await;
    let anna = user(&local).await;
    anna.put("tree/f", b"abc", Target::Absent).await.unwrap();
    faults.dies.store(true, Ordering::Relaxed);
    faults.arm_at("intent written");
    anna.remove("tree").await.unwrap_err();
    local.crash().await;
    *faults.at.lock().unwrap() = None;
    faults.arm(false);
    for staged in fs::read_dir(local.path().join("staging")).unwrap() {
        fs::remove_dir_all(staged.unwrap().path()).unwrap();
    }
    local.open().await;
    let anna = anna.again(&local);
    anna.remove("tree").await.unwrap();
    assert_eq!(anna.held().await, (0, 0, 0, 0));
    check_books(&local, &anna).await;
    check_staging(&mut local, &anna).await;
}

/// Proofs and purges take no place from those who wait, and a store that closes waits for none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_work_holds_up_nobody() {
    let mut local = Local::new().await;
    local.options.jobs = 1;
    local.restart().await;
    let anna = user(&local).await;
    anna.put("tree/f", b"f", Target::Absent).await.unwrap();
    let content = bytes(1, 10 << 20);
    let upload = anna.upload("f", content.len() as u64, Target::Absent);
    let by = anna.store.open_upload(anna.id, upload.clone()).await.unwrap().by;
    anna.write_all(by, &content).await.unwrap();
    local.crash().await;
    local.open().await;
    let anna = anna.again(&local);
    let inner = local.local().inner.clone();
    let slow = u32::try_from(super::super::SLOW_JOBS).unwrap();
    let all = inner.slow_jobs.clone().acquire_many_owned(slow).await.unwrap();
    let (store, id, again) = (anna.store.clone(), anna.id, upload.clone());
    let resumed = tokio::spawn(async move { store.open_upload(id, again).await });
    let (store, key) = (anna.store.clone(), anna.key());
    let removed =
        tokio::spawn(async move { store.remove(id, key, &path("tree"), true, None).await });
    // Both come as far as they can, and others are served.
    while anna.stat("tree").await.is_ok() {
        tokio::task::yield_now().await;
    }
    anna.mkdir("d").await.unwrap();
    local.close().await;
    drop(all);
    assert!(matches!(resumed.await.unwrap(), Err(StoreError::Closed)));
    assert!(matches!(removed.await.unwrap(), Err(StoreError::Closed)));
    drop(inner);

    local.open().await;
    let anna = anna.again(&local);
    let resumed = anna.store.open_upload(anna.id, upload).await.unwrap();
    assert_eq!(resumed.staged.iter().count(), 10);
    anna.store.commit(anna.id, anna.key(), resumed.by, root_of(&content)).await.unwrap();
    check_staging(&mut local, &anna).await;
    assert_eq!(anna.again(&local).held().await, (10 << 20, 2, 0, 0));
}

/// What is deleted from staging when the store closes is left where that ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sweeping_ends_between_two_steps() {
    let mut local = Local::new().await;
    let anna = user(&local).await;
    let deep = local.path().join("staging/gone/a/b/c");
    fs::create_dir_all(&deep).unwrap();
    for number in 0..100 {
        fs::write(deep.join(number.to_string()), "x").unwrap();
    }
    let inner = local.local().inner.clone();
    let steps = std::cell::Cell::new(3);
    let go_on = || {
        steps.set(steps.get() - 1);
        steps.get() > 0
    };
    inner.delete_staged("gone", &go_on).unwrap();
    assert_eq!(steps.get(), 0);
    drop(inner);
    check_staging(&mut local, &anna).await;
}

/// One account whose home is missing does not keep the others' idle uploads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_cannot_expire_holds_up_no_other() {
    let mut local = Local::new().await;
    local.options.upload_expiry = std::time::Duration::ZERO;
    local.restart().await;
    let anna = user(&local).await;
    let bert = local.accounts().add(new_account("bert", QuotaLimits::default())).await.unwrap().0;
    let bert = User::of(&local, bert.id);
    for user in [&anna, &bert] {
        user.store.open_upload(user.id, user.upload("f", 1, Target::Absent)).await.unwrap();
    }
    local.close().await;
    let (home, away) = (local.path().join("homes/anna"), local.path().join("away"));
    fs::rename(&home, &away).unwrap();
    local.open().await;
    assert_eq!(local.local().inner.expire_now().await.unwrap(), 1);
    assert!(bert.again(&local).store.uploads(bert_id(&local).await).await.unwrap().is_empty());
    fs::rename(away, home).unwrap();
    assert_eq!(local.local().inner.expire_now().await.unwrap(), 1);
}

async fn bert_id(local: &Local) -> crate::store::AccountId {
    local.accounts().find("bert").await.unwrap().unwrap().id
}

/// A half block keeps its upload's files open for a while only.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_blocks_are_forgotten_when_nobody_goes_on() {
    let now = Arc::new(AtomicI64::new(1_000_000));
    let clock = now.clone();
    let local = Local::with(LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        clock: Arc::new(move || Timestamp::new(clock.load(Ordering::Relaxed), 0).unwrap()),
        ..LocalOptions::default()
    })
    .await;
    let anna = user(&local).await;
    let upload = anna.upload("f", 2, Target::Absent);
    let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
    let piece = crate::store::Piece {
        block: 0,
        offset: 0,
        bytes: bytes::Bytes::from_static(b"1"),
        expected: None,
    };
    anna.store.write(anna.id, by, piece).await.unwrap();
    let inner = local.local().inner.clone();
    let _others = super::staged::many_slots(&inner);
    super::staged::make_room(&inner).await;
    assert!(inner.uploads.get((anna.id, by.upload)).is_some());
    let now = now.fetch_add(120, Ordering::Relaxed);
    super::staged::make_room(&inner).await;
    assert!(inner.uploads.get((anna.id, by.upload)).is_none(), "{now}");
    // Begun again, it arrives.
    anna.write_all(by, b"12").await.unwrap();
    anna.store.commit(anna.id, anna.key(), by, root_of(b"12")).await.unwrap();
}

/// A tree in which something cannot be deleted is removed all the same, once and for all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_deleted_ends_its_removal_all_the_same() {
    let faults = FailCalls::of(Call::Unlink, Errno::PERM);
    let mut local = failing(&faults).await;
    let anna = user(&local).await;
    anna.put("tree/a/f", b"abc", Target::Absent).await.unwrap();
    anna.put("tree/g", b"de", Target::Absent).await.unwrap();
    faults.arm(true);
    let removed = anna.remove("tree").await.unwrap();
    assert_eq!((removed.entries, removed.bytes), (4, 5));
    assert_eq!(anna.held().await, (0, 0, 0, 0));
    check_books(&local, &anna).await;
    // The next start deletes it, if it can by then.
    faults.arm(false);
    check_staging(&mut local, &anna).await;
}

/// Folders that keep their owner out are opened up before they are emptied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closed_folders_are_removed() {
    use std::os::unix::fs::PermissionsExt;

    let faults = FailCalls::of(Call::SetAttributes, Errno::IO);
    let mut local = failing(&faults).await;
    let anna = user(&local).await;
    anna.put("tree/closed/f", b"abc", Target::Absent).await.unwrap();
    let closed = local.path().join("homes/anna/tree/closed");
    fs::set_permissions(closed, fs::Permissions::from_mode(0o555)).unwrap();
    // Whoever runs this may be allowed everything: that it is tried is what counts.
    faults.arm(true);
    anna.remove("tree").await.unwrap_err();
    faults.arm(false);
    local.restart().await;
    let anna = anna.again(&local);
    while anna.held().await != (0, 0, 0, 0) {
        tokio::task::yield_now().await;
    }
    check_staging(&mut local, &anna).await;
}

/// Packs of one account that arrive at once are bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn packs_that_arrive_are_bounded() {
    let local = Local::new().await;
    let anna = user(&local).await;
    let mut senders = Vec::new();
    let mut packs = Vec::new();
    for _ in 0..64 {
        let (sender, items) = tokio::sync::mpsc::channel(1);
        let (store, id, key) = (anna.store.clone(), anna.id, anna.key());
        packs.push(tokio::spawn(async move { store.pack(id, key, items).await }));
        // Once a second one has room, the first was taken: the pack has begun.
        sender.send(folder_member("d")).await.unwrap();
        sender.send(folder_member("d")).await.unwrap();
        senders.push(sender);
    }
    let refused = anna.pack(anna.key(), vec![folder_member("e")]).await;
    assert!(matches!(situation(refused), Situation::LimitExceeded { .. }));
    drop(senders);
    for pack in packs {
        pack.await.unwrap().unwrap();
    }
}

/// S12: what the paths of arriving packs hold in memory is bounded over all packs of an account, and
/// free again when they end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_paths_of_packs_that_arrive_are_bounded() {
    let local = Local::new().await;
    let anna = user(&local).await;
    let deep = vec![&b"x"[..]; 2000].join(&b'/');
    let deep = RemotePath::parse(&deep).unwrap();
    let members = MAX_PATH_BYTES_OF_PACKS / deep.as_bytes().len();
    let (mut senders, mut packs, mut sent) = (Vec::new(), tokio::task::JoinSet::new(), 0);
    while sent <= members {
        let (sender, items) = tokio::sync::mpsc::channel(1);
        let (store, id, key) = (anna.store.clone(), anna.id, anna.key());
        packs.spawn(async move { store.pack(id, key, items).await });
        for _ in 0..200.min(members + 1 - sent) {
            let member = PackItem::Member {
                path: deep.clone(),
                mode: Mode::FOLDER,
                content: PackContent::Folder,
            };
            // Its pack may be the one that is refused.
            drop(sender.send(member).await);
            sent += 1;
        }
        senders.push(sender);
    }
    // One was too many; whichever was taken last, its pack alone fails.
    let refused = packs.join_next().await.unwrap().unwrap();
    assert!(matches!(situation(refused), Situation::LimitExceeded { .. }));
    for sender in senders {
        // The refused one listens no more.
        drop(sender.send(PackItem::Abandoned).await);
    }
    while let Some(pack) = packs.join_next().await {
        assert!(matches!(situation(pack.unwrap()), Situation::Incomplete { .. }));
    }
    anna.pack(anna.key(), vec![folder_member("d")]).await.unwrap();
}

/// An upload whose half-done commit had to be given up can be begun again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_whose_commit_is_given_up_takes_pieces_again() {
    let faults = FailCalls::of(Call::FlushFolder, Errno::IO);
    let mut local = failing(&faults).await;
    let (anna, _) = committed_until(&local, &faults, "renamed", false).await;
    *faults.at.lock().unwrap() = None;
    faults.arm(false);
    // Another hand takes the name meanwhile.
    fs::write(local.path().join("homes/anna/x/f"), "other").unwrap();
    anna.mkdir("d").await.unwrap();
    fs::remove_file(local.path().join("homes/anna/x/f")).unwrap();
    anna.put("x/f", b"abc", Target::Absent).await.unwrap();
    assert_eq!(anna.get("x/f").await.unwrap(), b"abc");
    check_books(&local, &anna).await;
    check_staging(&mut local, &anna).await;
}
