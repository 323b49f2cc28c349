//! Ending the store at every named step of every change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::Local;
use super::scenario::{Attempt, Scenario, again, check_books, check_staging};
use crate::store::local::{Durability, Faults, LocalOptions, Step};

/// Notes the steps that are taken, and ends the store at one of them.
#[derive(Default)]
struct CrashAt {
    armed: Mutex<Armed>,
}

#[derive(Default)]
struct Armed {
    notes: bool,
    seen: HashMap<&'static str, u32>,
    crash: Option<(&'static str, u32)>,
    crashed: bool,
}

impl CrashAt {
    fn arm(&self, crash: Option<(&'static str, u32)>) {
        *self.armed.lock().unwrap() = Armed { notes: true, crash, ..Armed::default() };
    }

    /// Stops noting; says what was seen, and whether the store was ended.
    fn disarm(&self) -> (HashMap<&'static str, u32>, bool) {
        let armed = std::mem::take(&mut *self.armed.lock().unwrap());
        (armed.seen, armed.crashed)
    }
}

impl Faults for CrashAt {
    fn lives_at(&self, step: &'static str) -> bool {
        let mut armed = self.armed.lock().unwrap();
        // Sweeping goes on beside a change: how often it is come to meanwhile is chance. The crash
        // rounds of the real programs die there.
        if !armed.notes || step == Step::Swept.name() {
            return true;
        }
        let seen = armed.seen.entry(step).or_default();
        *seen += 1;
        let now = (step, *seen);
        let dies = armed.crash == Some(now);
        armed.crashed |= dies;
        !dies
    }
}

async fn open(faults: &Arc<CrashAt>) -> Local {
    Local::in_memory(LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        faults: Some(faults.clone()),
        ..LocalOptions::default()
    })
    .await
}

/// HARDENING 2.6: a crash at every named step of commit, pack, rename, remove: the change is whole
/// or not there, its repetition gives one effect, the ledger needs no recount.
async fn survives_a_crash_at_every_step(scenario: Scenario) {
    let faults = Arc::new(CrashAt::default());
    let mut local = open(&faults).await;
    let (anna, attempt) = Attempt::prepare(&local, scenario).await;
    faults.arm(None);
    attempt.run(&anna).await.unwrap();
    let (steps, _) = faults.disarm();
    attempt.check_done(&anna).await;
    check_books(&local, &anna).await;
    check_staging(&mut local, &anna).await;
    local.close().await;
    assert!(!steps.is_empty(), "{scenario:?} has no steps");

    for (step, times) in steps {
        // Every time of a few, else the first, some in the middle and the last.
        let times: Vec<u32> =
            (1..=times).filter(|time| *time <= 4 || *time == times || time % 16 == 0).collect();
        for time in times {
            let mut local = open(&faults).await;
            let (anna, attempt) = Attempt::prepare(&local, scenario).await;
            faults.arm(Some((step, time)));
            let result = attempt.run(&anna).await;
            local.crash().await;
            let (_, crashed) = faults.disarm();
            assert!(crashed, "{scenario:?} never came to `{step}` {time}");
            drop(result);
            local.open().await;
            let anna = again(&local, anna);
            attempt.check_always(&anna).await;
            // The client asks again with the same key.
            let mut tries = 0;
            while let Err(error) = attempt.run(&anna).await {
                tries += 1;
                // Of an upload that never was the client learns, and opens it again.
                assert!(
                    tries < 3 && matches!(scenario, Scenario::Publish | Scenario::Replace),
                    "{scenario:?} after a crash at `{step}` {time}: {error:?}"
                );
            }
            attempt.check_done(&anna).await;
            check_books(&local, &anna).await;
            check_staging(&mut local, &anna).await;
            local.close().await;
        }
    }
}

/// A second crash while the first is being recovered from.
async fn survives_a_crash_in_recovery(scenario: Scenario, first: &'static str) {
    let faults = Arc::new(CrashAt::default());
    let local = open(&faults).await;
    let (anna, attempt) = Attempt::prepare(&local, scenario).await;
    let mut local = local;
    faults.arm(Some((first, 1)));
    drop(attempt.run(&anna).await);
    local.crash().await;
    assert!(faults.disarm().1, "{scenario:?} never came to `{first}`");
    for second in ["renamed", "displaced", "folder flushed", "folders flushed", "steps done"] {
        faults.arm(Some((second, 1)));
        local.try_open().await;
        local.crash().await;
        faults.disarm();
    }
    local.open().await;
    let anna = again(&local, anna);
    attempt.check_always(&anna).await;
    attempt.run(&anna).await.unwrap();
    attempt.check_done(&anna).await;
    check_books(&local, &anna).await;
    check_staging(&mut local, &anna).await;
    local.close().await;
}

macro_rules! at_every_step {
    ($($test:ident = $scenario:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                survives_a_crash_at_every_step(Scenario::$scenario).await;
            }
        )*
    };
}

at_every_step! {
    crash_at_every_step_of_mkdir = Mkdir,
    crash_at_every_step_of_a_commit = Publish,
    crash_at_every_step_of_an_overwrite = Replace,
    crash_at_every_step_of_a_rename = Move,
    crash_at_every_step_of_a_replacing_rename = MoveOver,
    crash_at_every_step_of_removing_a_file = RemoveFile,
    crash_at_every_step_of_removing_a_folder = RemoveFolder,
    crash_at_every_step_of_removing_a_tree = RemoveTree,
    crash_at_every_step_of_a_pack = Pack,
    crash_at_every_step_of_setting_attributes = SetAttributes,
    crash_at_every_step_of_an_abort = Abort,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashes_while_recovering() {
    for scenario in [
        Scenario::Mkdir,
        Scenario::Publish,
        Scenario::Replace,
        Scenario::Move,
        Scenario::MoveOver,
        Scenario::RemoveFile,
        Scenario::RemoveTree,
        Scenario::Pack,
    ] {
        survives_a_crash_in_recovery(scenario, "intent written").await;
    }
}
