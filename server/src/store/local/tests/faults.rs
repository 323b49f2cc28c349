//! A disk that fails: each call of each change, once; and again while it is taken back.

use std::io;
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::Local;
use super::scenario::{Attempt, Scenario, again, check_books, check_staging};
use crate::store::local::{Call, Durability, Faults, LocalOptions};
use crate::store::{Result, Situation, StoreError};

/// Fails the n-th call, and perhaps one soon after it.
#[derive(Default)]
pub(super) struct FailAt {
    armed: Mutex<Option<Armed>>,
}

struct Armed {
    /// Calls that work until one fails; `None` if none fails any more.
    left: Option<u32>,
    /// Calls that work until the second one fails.
    then: Option<u32>,
    errno: Errno,
    failed: Option<Call>,
}

impl FailAt {
    pub(super) fn arm(&self, calls: u32, then: Option<u32>, errno: Errno) {
        let armed = Armed { left: Some(calls), then, errno, failed: None };
        *self.armed.lock().unwrap() = Some(armed);
    }

    /// The call that failed, if it came to it.
    pub(super) fn disarm(&self) -> Option<Call> {
        self.armed.lock().unwrap().take().and_then(|armed| armed.failed)
    }
}

impl Faults for FailAt {
    fn before(&self, call: Call) -> io::Result<()> {
        let mut armed = self.armed.lock().unwrap();
        let Some(Armed { left, then, errno, failed }) = &mut *armed else { return Ok(()) };
        match left {
            None => Ok(()),
            Some(0) => {
                *left = then.take();
                failed.get_or_insert(call);
                Err((*errno).into())
            }
            Some(calls) => {
                *calls -= 1;
                Ok(())
            }
        }
    }
}

/// HARDENING 2.5, 2.11: whatever call fails, the change is whole or not there, the books are right
/// at once, and the client's repetition succeeds.
async fn survives_each_failing_call(scenario: Scenario, errno: Errno) {
    survives_failing_calls(scenario, None, errno).await;
}

async fn survives_failing_calls(scenario: Scenario, then: Option<u32>, errno: Errno) {
    let faults = Arc::new(FailAt::default());
    let mut calls = 0;
    loop {
        let mut local = Local::in_memory(LocalOptions {
            durability: Durability::Relaxed,
            disk_floor: 0,
            faults: Some(faults.clone()),
            ..LocalOptions::default()
        })
        .await;
        let (anna, attempt) = Attempt::prepare(&local, scenario).await;
        faults.arm(calls, then, errno);
        let result = attempt.run(&anna).await;
        let Some(failed) = faults.disarm() else { break };
        let what = format!("{scenario:?}, call {calls}, {failed:?}, {result:?}");
        // Deleting takes no room, and a member of a pack is refused for what it lacks by then.
        if !matches!(scenario, Scenario::Pack | Scenario::RemoveTree) {
            check_told(errno, &result, &what);
        }
        attempt.check_always(&anna).await;
        // Whatever was left over is settled before the next change; a client asks again.
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
        // The many calls of a tree's purge are alike.
        calls += if calls > 120 { 37 } else { 1 };
    }
    assert!(calls > 5, "{scenario:?} made only {calls} calls");
}

/// A disk without room, or an account of the file system's own quota without, is told as that: the
/// server cannot do more about the one than about the other.
pub(super) fn check_told<T: std::fmt::Debug>(errno: Errno, result: &Result<T>, what: &str) {
    if let (Errno::NOSPC | Errno::DQUOT, Err(error)) = (errno, result) {
        assert!(is_told_full(error), "{what}");
    }
}

/// Refused, or done in part and to be finished, which is no refusal.
pub(super) fn is_told_full(error: &StoreError) -> bool {
    match error {
        StoreError::Refused { situation, .. } => *situation == Situation::DiskFull,
        StoreError::Disk { doing, source } => {
            *doing == "finishing a change" && source.to_string().contains("disk is full")
        }
        _ => false,
    }
}

macro_rules! each_call {
    ($($test:ident = $scenario:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                survives_each_failing_call(Scenario::$scenario, Errno::IO).await;
                survives_each_failing_call(Scenario::$scenario, Errno::NOSPC).await;
                survives_each_failing_call(Scenario::$scenario, Errno::DQUOT).await;
            }
        )*
    };
}

/// What fails while a failed change is taken back leaves no file without a name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_of_a_file_survives_a_second_failing_call() {
    use Scenario::{Move, MoveOver, RemoveFile, Replace};
    for scenario in [Move, MoveOver, RemoveFile, Replace] {
        for then in 0..6 {
            survives_failing_calls(scenario, Some(then), Errno::IO).await;
        }
    }
}

each_call! {
    each_call_of_mkdir_fails = Mkdir,
    each_call_of_a_commit_fails = Publish,
    each_call_of_an_overwrite_fails = Replace,
    each_call_of_a_rename_fails = Move,
    each_call_of_a_replacing_rename_fails = MoveOver,
    each_call_of_removing_a_file_fails = RemoveFile,
    each_call_of_removing_a_folder_fails = RemoveFolder,
    each_call_of_removing_a_tree_fails = RemoveTree,
    each_call_of_a_pack_fails = Pack,
    each_call_of_setting_attributes_fails = SetAttributes,
    each_call_of_an_abort_fails = Abort,
}
