//! HARDENING 3 where other hands, a full disk or time play a part.

use std::fs;
use std::sync::Arc;

use rustix::io::Errno;
use sampan_protocol::Timestamp;

use super::Local;
use super::regressions::{FailCalls, failing};
use super::scenario::{check_books, check_staging};
use crate::store::conformance::{
    Fixture, bytes, limited, member, new_account, path, root_of, situation,
};
use crate::store::local::{Call, Durability, Faults, LocalOptions};
use crate::store::{QuotaLimits, Situation, Target};

/// A file that another hand cut moves no more into a reservation than it frees: or else use and
/// reservation together would rise, and the limit with them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credit_moves_no_more_than_its_file_frees() {
    let local = Local::new().await;
    let anna = limited(&local, Some(100), None).await;
    anna.put("f", &[1; 80], Target::Absent).await.unwrap();
    let by = anna.store.open_upload(anna.id, anna.upload("f", 90, Target::Any)).await.unwrap().by;
    assert_eq!(anna.held().await, (80, 1, 10, 0));
    let file = fs::OpenOptions::new().write(true).open(local.path().join("homes/anna/f")).unwrap();
    file.set_len(5).unwrap();
    // The scan that this calls for waits.
    let inner = local.local().inner.clone();
    let slow = u32::try_from(crate::store::local::SLOW_JOBS).unwrap();
    let held_up = inner.slow_jobs.clone().acquire_many_owned(slow).await.unwrap();
    anna.remove("f").await.unwrap();
    assert_eq!(anna.held().await, (75, 0, 15, 1), "5 bytes moved, as many as went");
    let content = bytes(1, 90);
    anna.write_all(by, &content).await.unwrap();
    let over = anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await;
    assert_eq!(situation(over), Situation::OverQuota { needed: 75, available: 10 });
    drop(held_up);
}

/// What would be refused anyway takes nothing from the other members of its pack.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_exists_takes_no_quota_from_the_others() {
    let local = Local::new().await;
    let anna = limited(&local, Some(100), Some(4)).await;
    anna.put("there", &[1; 60], Target::Absent).await.unwrap();
    let members = vec![
        member("there", &[1; 60], Target::Absent),
        member("new", &[2; 30], Target::Absent),
        member("new", &[2; 30], Target::Absent),
        member("new/below", &[2; 5], Target::Absent),
        member("last", &[2; 10], Target::Absent),
        member("more", b"1", Target::Absent),
    ];
    let outcomes = anna.pack(anna.key(), members).await.unwrap();
    let refused: Vec<_> = outcomes
        .into_iter()
        .map(|outcome| outcome.map(drop))
        .map(|outcome| outcome.is_err().then(|| situation(outcome)))
        .collect();
    assert_eq!(
        refused,
        [
            Some(Situation::Exists),
            None,
            Some(Situation::Exists),
            Some(Situation::NotAFolder),
            None,
            Some(Situation::OverQuota { needed: 1, available: 0 }),
        ]
    );
    assert_eq!(anna.held().await, (100, 3, 0, 0));
    check_books(&local, &anna).await;
}

/// Changes the ledger between what an account plans and what it then writes down, as what waits for
/// no turn may.
#[derive(Default)]
struct Meanwhile(std::sync::Mutex<Option<(std::path::PathBuf, &'static str)>>);

impl Faults for Meanwhile {
    fn before(&self, call: Call) -> std::io::Result<()> {
        let armed = self.0.lock().unwrap().take_if(|_| call == Call::Transaction);
        if let Some((database, sql)) = armed {
            rusqlite::Connection::open(database).unwrap().execute_batch(sql).unwrap();
        }
        Ok(())
    }
}

impl Meanwhile {
    fn arm(&self, local: &Local, sql: &'static str) {
        *self.0.lock().unwrap() = Some((local.path().join("sampand.db"), sql));
    }

    fn assert_done(&self) {
        assert!(self.0.lock().unwrap().is_none(), "the ledger was changed");
    }
}

async fn meanwhile() -> (Arc<Meanwhile>, Local) {
    let faults = Arc::new(Meanwhile::default());
    let local = Local::in_memory(LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        faults: Some(faults.clone()),
        ..LocalOptions::default()
    })
    .await;
    (faults, local)
}

/// HARDENING 3: what an upload counts on may move into its reservation while it is committed, for a
/// removed tree is credited in nobody's turn: it needs nothing more then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credit_that_moves_beside_a_commit_is_not_asked_for_again() {
    let (faults, local) = meanwhile().await;
    let anna = limited(&local, Some(100), None).await;
    anna.put("f", &[1; 80], Target::Absent).await.unwrap();
    let content = bytes(1, 90);
    let by = anna.store.open_upload(anna.id, anna.upload("f", 90, Target::Any)).await.unwrap().by;
    anna.write_all(by, &content).await.unwrap();
    anna.rename("f", "gone", Target::Absent).await.unwrap();
    assert_eq!(anna.held().await, (80, 1, 10, 0));
    fs::remove_file(local.path().join("homes/anna/gone")).unwrap();
    faults.arm(
        &local,
        "UPDATE uploads SET credit_inode = NULL, credit_bytes = 0, credit_entries = 0, \
         reserved_bytes = 90, reserved_entries = 1; \
         UPDATE accounts SET used_bytes = 0, used_entries = 0, reserved_bytes = 90, \
         reserved_entries = 1",
    );
    anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await.unwrap();
    faults.assert_done();
    assert_eq!(anna.held().await, (90, 1, 0, 0));
    check_books(&local, &anna).await;
}

/// HARDENING 3: a limit that is lowered while a pack is published refuses the members that no longer
/// fit, not the pack.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_limit_lowered_beside_a_pack_refuses_single_members() {
    let (faults, local) = meanwhile().await;
    let anna = limited(&local, None, Some(10)).await;
    anna.mkdir("d").await.unwrap();
    faults.arm(&local, "UPDATE accounts SET limit_entries = used_entries + 1");
    let members = vec![member("a", b"1", Target::Absent), member("b", b"2", Target::Absent)];
    let mut outcomes = anna.pack(anna.key(), members).await.unwrap();
    faults.assert_done();
    let refused = situation(outcomes.pop().unwrap());
    assert_eq!(refused, Situation::TooManyFiles { needed: 1, available: 0 });
    outcomes.pop().unwrap().unwrap();
    assert_eq!(anna.held().await, (1, 2, 0, 0));
    check_books(&local, &anna).await;
}

/// HARDENING 3: below the floor of free disk nothing new is reserved, by whatever verb; what frees
/// goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn below_the_floor_nothing_is_reserved_and_what_frees_goes_on() {
    let mut local = Local::new().await;
    let anna = limited(&local, None, None).await;
    anna.put("f", b"1", Target::Absent).await.unwrap();
    anna.put("d/f", b"22", Target::Absent).await.unwrap();
    let upload = anna.upload("up", 3, Target::Absent);
    let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
    anna.write_all(by, b"abc").await.unwrap();
    let other = anna.upload("other", 3, Target::Absent);
    let other = anna.store.open_upload(anna.id, other).await.unwrap().by;
    local.close().await;
    local.options.disk_floor = 1 << 60;
    local.open().await;
    let anna = anna.again(&local);
    assert_eq!(situation(anna.mkdir("e").await), Situation::DiskFull);
    assert_eq!(situation(anna.put("e", b"", Target::Absent).await), Situation::DiskFull);
    assert_eq!(situation(anna.put("f", b"2", Target::Any).await), Situation::DiskFull);
    let pack = anna.pack(anna.key(), vec![member("e", b"", Target::Absent)]).await;
    assert_eq!(situation(pack), Situation::DiskFull);
    // Its place was taken when it was opened.
    anna.store.commit(anna.id, anna.key(), by, root_of(b"abc")).await.unwrap();
    anna.store.abort(anna.id, anna.key(), other.upload).await.unwrap();
    anna.mkdir("d").await.unwrap();
    anna.rename("f", "d/f", Target::Any).await.unwrap();
    anna.remove("d").await.unwrap();
    assert_eq!(anna.held().await, (3, 1, 0, 0));
    check_books(&local, &anna).await;
}

/// HARDENING 3: a home that is taken counts as a listing shows it: holes are bytes, links are
/// entries.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_taken_home_counts_its_holes() {
    let local = Local::new().await;
    let home = local.path().join("homes/bert");
    fs::create_dir_all(home.join("d")).unwrap();
    fs::File::create(home.join("d/holes")).unwrap().set_len(1 << 40).unwrap();
    std::os::unix::fs::symlink("d/holes", home.join("link")).unwrap();
    let mut new = new_account("bert", QuotaLimits::default());
    new.take_home = true;
    let (bert, found) = local.accounts().add(new).await.unwrap();
    assert_eq!((found.bytes, found.entries), (1 << 40, 3));
    let listed = local.store().stat(bert.id, &path("d/holes")).await.unwrap();
    assert_eq!(listed.size, 1 << 40);
}

/// Gives all files one inode number, as a file system may once a hand has deleted the file that had
/// it; each was made at another moment.
struct OneNumber;

impl Faults for OneNumber {
    fn inode(&self, inode: u64, _: Option<Timestamp>) -> (u64, Option<Timestamp>) {
        (7, Timestamp::new(inode.cast_signed(), 0))
    }
}

/// HARDENING 3: credits follow the file, not its inode's number: that may be given to another file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credit_is_not_for_a_later_file_of_the_same_inode() {
    let mut local = Local::new().await;
    let anna = limited(&local, Some(200), None).await;
    let home = local.path().join("homes/anna");
    anna.put("f", &[1; 80], Target::Absent).await.unwrap();
    fs::write(home.join("g"), [2; 80]).unwrap();
    anna.store.scan(anna.id, Arc::default()).await.unwrap();
    local.close().await;
    local.options.faults = Some(Arc::new(OneNumber));
    local.open().await;
    let anna = anna.again(&local);
    let by = anna.store.open_upload(anna.id, anna.upload("f", 90, Target::Any)).await.unwrap().by;
    assert_eq!(anna.held().await, (160, 2, 10, 0));
    fs::remove_file(home.join("f")).unwrap();

    // Another upload may count on the later one: the first does not.
    let other = anna.upload("g", 85, Target::Any);
    let other = anna.store.open_upload(anna.id, other).await.unwrap().by;
    assert_eq!(anna.held().await, (160, 2, 15, 0));
    anna.store.abort(anna.id, anna.key(), other.upload).await.unwrap();
    // It goes, and its bytes are free.
    anna.remove("g").await.unwrap();
    assert_eq!(anna.held().await, (80, 1, 10, 0));
    // The first one's file is gone: now its bytes are reserved.
    anna.store.scan(anna.id, Arc::default()).await.unwrap();
    assert_eq!(anna.held().await, (0, 0, 90, 1));
    let content = bytes(1, 90);
    anna.write_all(by, &content).await.unwrap();
    anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await.unwrap();
    assert_eq!(anna.held().await, (90, 1, 0, 0));
    check_books(&local, &anna).await;
}

/// HARDENING 3: credits follow the file, also into a tree that is removed and not deleted yet, and into
/// what a purge has to set aside of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_credit_follows_its_file_into_a_removed_tree() {
    for is_kept in [false, true] {
        let faults = FailCalls::of(Call::Unlink, if is_kept { Errno::PERM } else { Errno::IO });
        let mut local = failing(&faults).await;
        let anna = limited(&local, Some(300), None).await;
        for name in ["tree/d/f", "tree/d/g", "tree/h"] {
            anna.put(name, &[1; 80], Target::Absent).await.unwrap();
        }
        let upload = anna.upload("tree/d/f", 90, Target::Any);
        let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
        assert_eq!(anna.held().await, (240, 5, 10, 0));
        faults.arm(true);
        let key = anna.key();
        let removed = anna.store.remove(anna.id, key, &path("tree"), true, None).await;
        if is_kept {
            // All of it is out of the home, and what the upload counted on is its own now.
            assert_eq!(removed.unwrap().bytes, 240);
        } else {
            removed.unwrap_err();
            assert_eq!(anna.held().await, (240, 5, 10, 0));
            // A count finds the file where it waits to be deleted.
            anna.store.scan(anna.id, Arc::default()).await.unwrap();
            assert_eq!(anna.held().await, (240, 5, 10, 0));
            faults.arm(false);
            let removed = anna.store.remove(anna.id, key, &path("tree"), true, None).await;
            assert_eq!(removed.unwrap().bytes, 240);
        }
        assert_eq!(anna.held().await, (0, 0, 90, 1), "{is_kept}");
        faults.arm(false);
        let content = bytes(1, 90);
        anna.write_all(by, &content).await.unwrap();
        anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await.unwrap();
        assert_eq!(anna.held().await, (90, 3, 0, 0));
        check_books(&local, &anna).await;
        check_staging(&mut local, &anna).await;
    }
}
