//! Power cuts, replayed: HARDENING 2.11.
//!
//! A change runs once, on a store that flushes, and before each call and after each flush the whole
//! data folder is looked at ([`record`]). From that follows what a disk may hold if the power goes at
//! any of these moments ([`disk`]): a name that was changed is there for certain only when its folder
//! was flushed since, bytes only when their file was. Each such disk is put into a new folder, and a
//! store opened on it.
//!
//! What must hold there: nothing half is visible; what was answered is there without a question
//! asked; what was not is whole after the client repeated it; the books and staging are right.
//!
//! Names are lost in the order of a journal (all of the last ones) and, beyond what a journal may do,
//! one alone with what hangs on it. A rename is there or not there in both its folders. The database is as it is at its
//! last commit: SQLite flushes its log at each (`synchronous = FULL`).

#![expect(clippy::print_stdout, reason = "which disk a failure is about, and how many there were")]

mod disk;
mod record;

use std::collections::HashMap;
use std::sync::Arc;

use super::Local;
use sampan_protocol::Timestamp;

use super::scenario::{Attempt, Scenario, check_books, check_staging};
use crate::store::AccountId;
use crate::store::conformance::User;
use crate::store::local::{Durability, Faults, LocalOptions};

use self::disk::Disks;
use self::record::Recorder;

/// Files under the numbers that they had when they were recorded.
struct AsRecorded(HashMap<u64, u64>);

impl Faults for AsRecorded {
    fn inode(&self, inode: u64, _: Option<Timestamp>) -> (u64, Option<Timestamp>) {
        // Those that are made since keep clear of them. All of them were made anew.
        (self.0.get(&inode).copied().unwrap_or(inode | 1 << 40), None)
    }
}

fn options(faults: Arc<dyn Faults>) -> LocalOptions {
    LocalOptions {
        durability: Durability::Full,
        disk_floor: 0,
        faults: Some(faults),
        ..LocalOptions::default()
    }
}

/// Ways to lose something of each change that are replayed, unless `SAMPAN_POWER_CUTS=all`; some come
/// to the same disk.
const MOST_WAYS: usize = 30;

fn all_of_them() -> bool {
    std::env::var_os("SAMPAN_POWER_CUTS").is_some_and(|which| which == "all")
}

async fn survives_a_power_cut_at_every_moment(scenario: Scenario) {
    let recorder = Arc::new(Recorder::default());
    let mut local = Local::in_memory(options(recorder.clone())).await;
    let (anna, attempt) = Attempt::prepare(&local, scenario).await;
    let attempt = Arc::new(attempt);
    local.local().inner.sweep_for(std::time::Duration::from_mins(1));
    recorder.begin(local.path(), attempt.clone());
    attempt.run(&anna).await.unwrap();
    let moments = recorder.end();
    local.crash().await;

    let disks = Disks::of(&moments);
    let most = (!all_of_them()).then_some(MOST_WAYS);
    let mut replayed = 0;
    for (moment, disk) in disks.all(most) {
        let what = format!("{scenario:?}, moment {} of {}, {disk:?}", moment.number, moments.len());
        replay(anna.id, moment, &disk, &what).await;
        replayed += 1;
    }
    println!("{scenario:?}: {} moments, {replayed} disks", moments.len());
    assert!(replayed > 3, "{scenario:?}: {replayed} disks");
}

async fn replay(anna: AccountId, moment: &record::Moment, disk: &disk::Disk, what: &str) {
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let numbers = disk.put_into(folder.path(), moment);
    let mut local = Local::within(folder, options(Arc::new(AsRecorded(numbers)))).await;
    let anna = User::of(&local, anna);
    let attempt = moment.attempt.as_it_is();
    println!("{what}");
    attempt.check_always(&anna).await;
    if !moment.answered {
        let mut tries = 0;
        while let Err(error) = attempt.run(&anna).await {
            tries += 1;
            assert!(tries < 3, "{what}: {error:?}");
        }
    }
    attempt.check_done(&anna).await;
    check_books(&local, &anna).await;
    check_staging(&mut local, &anna).await;
    local.close().await;
}

macro_rules! power_cuts {
    ($($test:ident = $scenario:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                survives_a_power_cut_at_every_moment(Scenario::$scenario).await;
            }
        )*
    };
}

power_cuts! {
    hardening_2_11_power_cuts_of_mkdir = Mkdir,
    hardening_2_11_power_cuts_of_a_commit = Publish,
    hardening_2_11_power_cuts_of_an_overwrite = Replace,
    hardening_2_11_power_cuts_of_a_rename = Move,
    hardening_2_11_power_cuts_of_a_replacing_rename = MoveOver,
    hardening_2_11_power_cuts_of_removing_a_file = RemoveFile,
    hardening_2_11_power_cuts_of_removing_a_folder = RemoveFolder,
    hardening_2_11_power_cuts_of_removing_a_tree = RemoveTree,
    hardening_2_11_power_cuts_of_a_pack = Pack,
    hardening_2_11_power_cuts_of_setting_attributes = SetAttributes,
    hardening_2_11_power_cuts_of_an_abort = Abort,
}
