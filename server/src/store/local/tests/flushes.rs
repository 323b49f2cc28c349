//! Flushes that fail: the n-th of each change, once or from then on, and with the bytes lost that it
//! was to make durable, as the kernel may do (fsync(2), "EIO": pages that could not be written are
//! clean afterwards, so the next flush succeeds over nothing).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::{Arc, Mutex};

use rustix::fs::{self, FallocateFlags, FileType, Mode as Bits, OFlags};
use rustix::io::Errno;

use super::Local;
use super::scenario::{Attempt, Scenario, again, check_books, check_staging};
use crate::store::local::{Call, Durability, Faults, LocalOptions};

/// What happens at the flush that fails, and behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failing {
    /// The next one works, and all is there.
    Once,
    /// All fail until the disk is mended.
    FromThenOn,
    /// The next one works, and what this one was to write is zeros.
    WithLoss,
}

#[derive(Default)]
struct FailFlush {
    armed: Mutex<Option<Armed>>,
}

struct Armed {
    /// Flushes that work before.
    left: u32,
    failing: Failing,
    failed: Option<Call>,
}

impl FailFlush {
    fn arm(&self, left: u32, failing: Failing) {
        *self.armed.lock().unwrap() = Some(Armed { left, failing, failed: None });
    }

    /// What failed, if it came to it.
    fn disarm(&self) -> Option<Call> {
        self.armed.lock().unwrap().take().and_then(|armed| armed.failed)
    }
}

impl Faults for FailFlush {
    fn before_flush(&self, call: Call, file: BorrowedFd<'_>) -> io::Result<()> {
        let mut armed = self.armed.lock().unwrap();
        let Some(Armed { left, failing, failed }) = &mut *armed else { return Ok(()) };
        if *left > 0 {
            *left -= 1;
            return Ok(());
        }
        if failed.is_some() && *failing != Failing::FromThenOn {
            return Ok(());
        }
        failed.get_or_insert(call);
        if *failing == Failing::WithLoss && call == Call::FlushFile {
            lose(file);
        }
        Err(Errno::IO.into())
    }
}

/// Makes zeros of a file's bytes.
fn lose(file: BorrowedFd<'_>) {
    let stat = fs::fstat(file).unwrap();
    assert_eq!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile);
    let at = format!("/proc/self/fd/{}", file.as_raw_fd());
    let file = fs::openat(fs::CWD, at, OFlags::RDWR | OFlags::CLOEXEC, Bits::empty()).unwrap();
    if let Ok(length @ 1..) = u64::try_from(stat.st_size) {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fs::fallocate(&file, hole, 0, length).unwrap();
    }
}

/// HARDENING 2.5, 2.11: whatever flush of a change fails, names hold whole files, nothing that was
/// lost is ever taken for what was sent, the books are right, and the client's repetition succeeds
/// once the disk is well.
async fn survives_each_failing_flush(scenario: Scenario, failing: Failing) {
    let faults = Arc::new(FailFlush::default());
    let mut flushes = 0;
    loop {
        let mut local = Local::in_memory(LocalOptions {
            durability: Durability::Relaxed,
            disk_floor: 0,
            faults: Some(faults.clone()),
            ..LocalOptions::default()
        })
        .await;
        let (anna, attempt) = Attempt::prepare(&local, scenario).await;
        // What sweeps beside the change is not what is counted.
        local.local().inner.sweep_for(std::time::Duration::from_mins(1));
        faults.arm(flushes, failing);
        let result = attempt.run(&anna).await;
        if failing == Failing::FromThenOn && result.is_err() {
            // A client asks again while the disk is still ill.
            if attempt.run(&anna).await.is_ok() {
                attempt.check_done(&anna).await;
            }
        }
        let Some(failed) = faults.disarm() else {
            local.close().await;
            break;
        };
        let what = format!("{scenario:?}, {failing:?}, flush {flushes}, {failed:?}, {result:?}");
        attempt.check_always(&anna).await;
        let mut tries = 0;
        while let Err(error) = attempt.run(&anna).await {
            tries += 1;
            assert!(tries < 4, "{what}, then {error:?}");
        }
        attempt.check_done(&anna).await;
        check_books(&local, &anna).await;
        check_staging(&mut local, &anna).await;
        let anna = again(&local, anna);
        attempt.check_done(&anna).await;
        local.close().await;
        flushes += if flushes > 60 { 17 } else { 1 };
    }
    assert!(flushes > 0 || scenario == Scenario::Abort, "{scenario:?} flushes nothing");
}

macro_rules! each_flush {
    ($($test:ident = $scenario:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                survives_each_failing_flush(Scenario::$scenario, Failing::Once).await;
                survives_each_failing_flush(Scenario::$scenario, Failing::FromThenOn).await;
                if !matches!(Scenario::$scenario, Scenario::SetAttributes) {
                    // What has a name was flushed before it got it: only its attributes are new.
                    survives_each_failing_flush(Scenario::$scenario, Failing::WithLoss).await;
                }
            }
        )*
    };
}

each_flush! {
    each_flush_of_mkdir_fails = Mkdir,
    each_flush_of_a_commit_fails = Publish,
    each_flush_of_an_overwrite_fails = Replace,
    each_flush_of_a_rename_fails = Move,
    each_flush_of_a_replacing_rename_fails = MoveOver,
    each_flush_of_removing_a_file_fails = RemoveFile,
    each_flush_of_removing_a_folder_fails = RemoveFolder,
    each_flush_of_removing_a_tree_fails = RemoveTree,
    each_flush_of_a_pack_fails = Pack,
    each_flush_of_setting_attributes_fails = SetAttributes,
    each_flush_of_an_abort_fails = Abort,
}
