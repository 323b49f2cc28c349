//! A disk on which each call fails, once (HARDENING 2.5, 2.10, 2.11).

use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::faults::{FailAt, Fault, Slow};
use super::scenario::{Bench, Scenario, is_staging, tree_of};

/// Whatever call fails: names hold the old file or the new one, the failure says what and to what,
/// what a failed flush left is not there to be found, and the same command again finishes it.
async fn survives_each_failing_call(scenario: Scenario, faults: &[Fault]) {
    let mut bench = Bench::new().await;
    let (mut injected, began) = (0, std::time::Instant::now());
    for fault in faults {
        let mut call = 0;
        loop {
            let round = bench.round(scenario).await;
            let faults = Arc::new(FailAt::new(call, *fault));
            let summary = bench.run(&round, Bench::disk(&faults)).await;
            let Some(failed) = faults.failed() else {
                assert_eq!(summary.failed, 0, "{summary:?}");
                bench.check_done(&round, "without a fault");
                bench.forget(&round);
                break;
            };
            injected += 1;
            let what = format!("{scenario:?}, {fault:?} at call {call}, {failed}");
            bench.check_always(&round, &what);
            let is_full = !matches!(
                fault,
                Fault::Once(Errno::IO) | Fault::Short(Errno::IO) | Fault::FullFrom(Errno::IO)
            );
            Bench::check_failures(&summary, is_full, &what);
            if failed.starts_with("Flush") {
                assert!(!tree_of(&round.local).keys().any(|path| is_staging(path)), "{what}");
            }
            if summary.failed == 0 {
                // Then it did without.
                bench.check_done(&round, &what);
            }
            let again = bench.run(&round, sampan_client::local::Disk::default()).await;
            assert_eq!(again.failed, 0, "{what}, then {again:?}");
            bench.check_done(&round, &what);
            bench.forget(&round);
            call += 1;
        }
        assert!(call > 5, "{scenario:?} made only {call} calls");
    }
    println!("{scenario:?}: {injected} faults injected in {:?}", began.elapsed());
}

const SINGLE: [Fault; 3] =
    [Fault::Once(Errno::IO), Fault::Once(Errno::NOSPC), Fault::Once(Errno::DQUOT)];

macro_rules! each_call {
    ($($test:ident = $scenario:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                survives_each_failing_call(Scenario::$scenario, &SINGLE[..2]).await;
            }
        )*
    };
}

each_call! {
    each_call_of_getting_a_small_file_fails = SmallFile,
    each_call_of_getting_a_big_file_fails = BigFile,
    each_call_of_resuming_a_big_file_fails = BigResumed,
    each_call_of_getting_a_tree_fails = Tree,
    each_call_of_overwriting_fails = Overwrite,
    each_call_of_putting_a_tree_fails = Upload,
}

/// A disk that is full stays full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_at_each_call_is_survived() {
    for scenario in [Scenario::SmallFile, Scenario::BigFile, Scenario::Tree, Scenario::Overwrite] {
        let faults = [Fault::FullFrom(Errno::NOSPC), Fault::FullFrom(Errno::DQUOT)];
        survives_each_failing_call(scenario, &faults).await;
    }
}

/// A write that carries half of its bytes and then no more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_write_that_is_short_is_survived() {
    for scenario in [Scenario::BigFile, Scenario::Tree] {
        survives_each_failing_call(scenario, &[Fault::Short(Errno::NOSPC)]).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_do_little_at_once_and_are_interrupted_do_it_all() {
    let mut bench = Bench::new().await;
    for scenario in [Scenario::BigResumed, Scenario::Tree, Scenario::Overwrite, Scenario::Upload] {
        let round = bench.round(scenario).await;
        let summary = bench.run(&round, Bench::disk(&Arc::new(Slow(Mutex::new(0))))).await;
        assert_eq!(summary.failed, 0, "{scenario:?}: {summary:?}");
        bench.check_done(&round, "little by little");
    }
}
