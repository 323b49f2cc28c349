//! What is staged, and when it may be believed: after a flush that failed never (HARDENING 2.5).

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;
use sampan_protocol::UploadId;

use super::Local;
use super::scenario::{check_books, check_staging};
use crate::store::conformance::{
    Fixture, User, bytes, member, new_account, root_of, situation, user,
};
use crate::store::local::slots::{LOADED_UPLOADS, Slot};
use crate::store::local::{Call, Durability, Faults, Inner, LocalOptions};
use crate::store::{AccountId, NewUpload, QuotaLimits, Situation, StoreError, Target};

/// Fails every call of some kinds, and ends the store at a step.
#[derive(Default)]
struct Fails {
    calls: Mutex<Vec<Call>>,
    /// From the first such call on, such others fail.
    from: Mutex<Option<(Call, Call)>>,
    ends_at: Mutex<Option<&'static str>>,
    ended: AtomicBool,
}

impl Fails {
    fn these(&self, calls: &[Call]) {
        *self.calls.lock().unwrap() = calls.to_vec();
    }

    fn end_at(&self, step: Option<&'static str>) {
        *self.ends_at.lock().unwrap() = step;
    }
}

impl Faults for Fails {
    fn before(&self, call: Call) -> io::Result<()> {
        if let Some((first, failing)) = *self.from.lock().unwrap()
            && call == first
        {
            self.these(&[failing]);
        }
        if self.calls.lock().unwrap().contains(&call) {
            return Err(Errno::IO.into());
        }
        Ok(())
    }

    fn lives_at(&self, step: &'static str) -> bool {
        let ends = *self.ends_at.lock().unwrap() == Some(step);
        self.ended.fetch_or(ends, Ordering::Relaxed);
        !ends
    }
}

/// Slots as of many uploads that somebody works on.
pub(super) fn many_slots(inner: &Inner) -> Vec<Arc<Slot>> {
    let others = 0..LOADED_UPLOADS as u64;
    others.map(|other| inner.uploads.slot((AccountId(i64::MAX), UploadId(other)))).collect()
}

pub(super) async fn make_room(inner: &Arc<Inner>) {
    let inner = inner.clone();
    tokio::task::spawn_blocking(move || inner.make_room_for_upload()).await.unwrap();
}

async fn failing() -> (Arc<Fails>, Local, User) {
    let fails = Arc::new(Fails::default());
    let local = Local::in_memory(LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        faults: Some(fails.clone()),
        ..LocalOptions::default()
    })
    .await;
    let anna = user(&local).await;
    (fails, local, anna)
}

const SIZE: usize = (2 << 20) + 5;

/// A whole upload, staged.
async fn staged(anna: &User) -> (NewUpload, crate::store::OpenedBy, Vec<u8>) {
    let content = bytes(3, SIZE);
    let upload = anna.upload("f", SIZE as u64, Target::Absent);
    let by = anna.store.open_upload(anna.id, upload.clone()).await.unwrap().by;
    anna.write_all(by, &content).await.unwrap();
    (upload, by, content)
}

/// How many blocks a resumed upload believes; then it is sent and committed.
async fn believed(local: &mut Local, anna: &User, upload: NewUpload, content: &[u8]) -> usize {
    let resumed = anna.store.open_upload(anna.id, upload).await.unwrap();
    let believed = resumed.staged.iter().count();
    for block in resumed.staged.missing_in(0..3) {
        anna.write_block(resumed.by, content, block.0).await.unwrap();
    }
    anna.store.commit(anna.id, anna.key(), resumed.by, root_of(content)).await.unwrap();
    assert_eq!(anna.get("f").await.unwrap(), content);
    check_books(local, anna).await;
    check_staging(local, anna).await;
    believed
}

/// Also when what is lost cannot be deleted, and when the process ends right after.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hardening_2_5_staging_whose_flush_failed_does_not_come_back() {
    for restarts in [false, true] {
        let (fails, mut local, anna) = failing().await;
        let (upload, by, content) = staged(&anna).await;
        fails.these(&[Call::FlushFile, Call::Unlink]);
        let failed = anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await;
        assert!(matches!(failed, Err(StoreError::Disk { .. })), "{failed:?}");
        if restarts {
            local.crash().await;
        }
        fails.these(&[]);
        if restarts {
            local.open().await;
        }
        let anna = anna.again(&local);
        assert_eq!(believed(&mut local, &anna, upload, &content).await, 0, "{restarts}");
    }
}

/// The row that says so could not be written either.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hardening_2_5_staging_is_lost_even_if_the_database_cannot_say_so_yet() {
    let (fails, mut local, anna) = failing().await;
    let (upload, by, content) = staged(&anna).await;
    fails.these(&[Call::FlushFile, Call::Transaction]);
    let failed = anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await;
    assert!(matches!(failed, Err(StoreError::Disk { .. })), "{failed:?}");
    let again = anna.store.open_upload(anna.id, upload.clone()).await;
    assert!(!matches!(again, Ok(_) | Err(StoreError::Refused { .. })), "{again:?}");
    fails.these(&[]);
    assert_eq!(believed(&mut local, &anna, upload, &content).await, 0);
}

/// Ended between the flush that failed and the row: the next run flushes before it hashes, and
/// believes nothing if that fails again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hardening_2_5_staging_in_doubt_is_flushed_before_it_is_hashed() {
    for (step, then, expected) in [
        ("flush failed", Some(Call::FlushFile), 0),
        // Nothing went wrong on this disk but for the first answer.
        ("flush failed", None, 3),
        ("staging given up", None, 0),
    ] {
        let (fails, mut local, anna) = failing().await;
        let (upload, by, content) = staged(&anna).await;
        fails.these(&[Call::FlushFile]);
        fails.end_at(Some(step));
        anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await.unwrap_err();
        assert!(fails.ended.load(Ordering::Relaxed), "{step}");
        local.crash().await;
        fails.end_at(None);
        fails.these(&[]);
        local.open().await;
        let anna = anna.again(&local);
        fails.these(then.as_slice());
        // Opened once while it fails, if it does.
        anna.store.open_upload(anna.id, upload.clone()).await.unwrap();
        fails.these(&[]);
        assert_eq!(believed(&mut local, &anna, upload, &content).await, expected, "{step}");
    }
}

/// What leaves memory is flushed: later nobody would hear that its bytes never reached the disk.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hardening_2_5_an_upload_that_is_forgotten_is_on_the_disk() {
    for (fails_to_flush, expected) in [(false, 3), (true, 0)] {
        let (fails, mut local, anna) = failing().await;
        let (upload, by, content) = staged(&anna).await;
        let inner = local.local().inner.clone();
        let key = (anna.id, by.upload);
        let others = many_slots(&inner);
        if fails_to_flush {
            fails.these(&[Call::FlushFile]);
        }
        make_room(&inner).await;
        assert!(inner.uploads.get(key).is_none(), "it is still in memory");
        fails.these(&[]);
        drop((others, inner));
        assert_eq!(believed(&mut local, &anna, upload, &content).await, expected);
    }
}

/// A block that cannot be read again is sent again, and its upload goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_staged_block_that_cannot_be_read_is_absent() {
    let (fails, mut local, anna) = failing().await;
    let (upload, by, content) = staged(&anna).await;
    local.crash().await;
    local.open().await;
    let anna = anna.again(&local);
    // The journal can be read, the bytes cannot.
    *fails.from.lock().unwrap() = Some((Call::FlushFile, Call::Read));
    let resumed = anna.store.open_upload(anna.id, upload.clone()).await.unwrap();
    assert_eq!((resumed.by.upload, resumed.staged.is_empty()), (by.upload, true));
    *fails.from.lock().unwrap() = None;
    fails.these(&[]);
    assert_eq!(believed(&mut local, &anna, upload, &content).await, 0);
}

/// Nobody waits for somebody else's upload, whatever id they name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_that_is_busy_holds_up_no_other_account() {
    let local = Local::new().await;
    let anna = user(&local).await;
    let bert = local.accounts().add(new_account("bert", QuotaLimits::default())).await.unwrap().0;
    let (_, by, content) = staged(&anna).await;
    let inner = local.local().inner.clone();
    // As while it is proved or committed.
    let busy = inner.slot((anna.id, by.upload)).await.unwrap();
    let store = local.store();
    store.abort(bert.id, anna.key(), by.upload).await.unwrap();
    assert_eq!(
        situation(store.upload_row(bert.id, by.upload, 0, 1).await),
        Situation::UploadNotFound
    );
    let committed = store.commit(bert.id, anna.key(), by, root_of(&content)).await;
    assert_eq!(situation(committed), Situation::UploadNotFound);
    drop(busy);
    anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await.unwrap();
}

/// A pack that another change of its account holds up leaves nothing in staging.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pack_that_an_unsettled_change_holds_up_leaves_nothing() {
    let (fails, mut local, anna) = failing().await;
    // Half done, and nothing can be settled: its intent stays.
    *fails.from.lock().unwrap() = Some((Call::MakeFolder, Call::Transaction));
    anna.mkdir("d").await.unwrap_err();
    *fails.from.lock().unwrap() = None;
    let packs = || {
        let staging = std::fs::read_dir(local.path().join("staging")).unwrap();
        staging
            .filter(|entry| entry.as_ref().unwrap().file_name().as_encoded_bytes()[0] == b'p')
            .count()
    };
    let key = anna.key();
    anna.pack(key, vec![member("a", b"1", Target::Absent)]).await.unwrap_err();
    let swept = async {
        while packs() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), swept).await.expect("it is swept");
    fails.these(&[]);
    anna.pack(key, vec![member("a", b"1", Target::Absent)]).await.unwrap();
    check_books(&local, &anna).await;
    check_staging(&mut local, &anna).await;
}

/// An orderly stop does not make believed again what was lost while the database could not say so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hardening_2_5_an_orderly_stop_remembers_what_is_lost() {
    let (fails, mut local, anna) = failing().await;
    let (upload, by, content) = staged(&anna).await;
    fails.these(&[Call::FlushFile, Call::Transaction]);
    anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await.unwrap_err();
    fails.these(&[]);
    local.close().await;
    local.open().await;
    let anna = anna.again(&local);
    assert_eq!(believed(&mut local, &anna, upload, &content).await, 0);
}

/// HARDENING 2.3: who waited while staging was lost shares the upload that took its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn staging_that_is_lost_under_those_who_wait_is_one_upload_again() {
    let (fails, mut local, anna) = failing().await;
    let (upload, by, content) = staged(&anna).await;
    local.crash().await;
    local.open().await;
    let anna = anna.again(&local);
    let inner = local.local().inner.clone();
    let (slot, turn) = inner.slot((anna.id, by.upload)).await.unwrap();
    fails.these(&[Call::FlushFile]);
    let open = || {
        let (store, id, upload) = (anna.store.clone(), anna.id, upload.clone());
        tokio::spawn(async move { store.open_upload(id, upload).await.unwrap().by })
    };
    // Both wait for the turn; the first one's proof fails.
    let (first, second) = (open(), open());
    while Arc::strong_count(&slot) < 4 {
        tokio::task::yield_now().await;
    }
    drop((turn, slot));
    let by = [first.await.unwrap(), second.await.unwrap()];
    fails.these(&[]);
    let (older, newer) = if by[0].epoch < by[1].epoch { (by[0], by[1]) } else { (by[1], by[0]) };
    assert!(older.epoch < newer.epoch);
    let refused = anna.write_block(older, &content, 0).await;
    assert_eq!(situation(refused), Situation::UploadTaken);
    anna.write_all(newer, &content).await.unwrap();
    anna.store.commit(anna.id, anna.key(), newer, root_of(&content)).await.unwrap();
    assert_eq!(anna.get("f").await.unwrap(), content);
    drop(inner);
    check_staging(&mut local, &anna).await;
}
