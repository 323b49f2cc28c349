//! A disk on which each call fails, once (HARDENING 2.5, 2.10, 2.11).

use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::faults::{FailAt, Fault, Injected, Slow};
use super::scenario::{Bench, Scenario, is_staging, tree_of};

/// Whatever call fails: names hold the old file or the new one, the failure says what and to what,
/// what a failed flush left is not there to be found, and the same command again finishes it.
async fn survives_each_failing_call(scenario: Scenario, faults: &[Fault]) {
    let mut bench = Bench::new().await;
    let mut injected = Injected::default();
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
            injected.count(*fault, &failed);
            let what = format!("{scenario:?}, {fault:?} at call {call}, {failed}");
            bench.check_always(&round, &what);
            Bench::check_failures(&summary, fault.is_full(), &what);
            // From a disk that is gone nothing can be removed either.
            if failed.starts_with("Flush") && !matches!(fault, Fault::GoneFrom(_)) {
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
        let fewest = if matches!(fault, Fault::Short(_)) { 1 } else { 6 };
        assert!(call >= fewest, "{scenario:?}, {fault:?}: it came to only {call} calls");
    }
    injected.print(&format!("{scenario:?}"));
}

/// What may happen to a call that only reads.
const ANY: [Fault; 4] = [
    Fault::Once(Errno::IO),
    Fault::Once(Errno::NOSPC),
    Fault::Once(Errno::DQUOT),
    Fault::GoneFrom(Errno::IO),
];
/// And to one that takes space.
const ALL: [Fault; 9] = [
    ANY[0],
    ANY[1],
    ANY[2],
    ANY[3],
    Fault::FullFrom(Errno::NOSPC),
    Fault::FullFrom(Errno::DQUOT),
    Fault::Short(Errno::IO),
    Fault::Short(Errno::NOSPC),
    Fault::Short(Errno::DQUOT),
];

macro_rules! each_call {
    ($($test:ident = $scenario:ident, $faults:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                survives_each_failing_call(Scenario::$scenario, &$faults).await;
            }
        )*
    };
}

each_call! {
    each_call_of_getting_a_small_file_fails = SmallFile, ALL;
    each_call_of_getting_a_big_file_fails = BigFile, ALL;
    each_call_of_resuming_a_big_file_fails = BigResumed, ALL;
    each_call_of_getting_a_tree_fails = Tree, ALL;
    each_call_of_overwriting_fails = Overwrite, ALL;
    // Nothing is written on this side.
    each_call_of_putting_a_tree_fails = Upload, ANY;
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
