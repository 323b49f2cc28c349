//! Each call on the program's own files fails: journals, pins and keys (HARDENING 2.10, 2.11).
//!
//! Whatever call it is: the failure says what happened to which file and what to do next, what an
//! earlier step was told as done is there, nothing half is believed, and the same step again
//! finishes it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustix::io::Errno;
use sampan_client::address::{Account, Place};
use sampan_client::failure::{Failure, Situation};
use sampan_client::local::{Disk, StagingName};
use sampan_client::message::Message;
use sampan_client::state::{Journal, JournalKey, JournalScope, StagedFile, State};
use sampan_protocol::RemotePath;

use super::faults::{FailAt, Fault, Injected};
use super::scenario::{Bench, Scenario, tree_of};

const FAULTS: [Fault; 9] = [
    Fault::Once(Errno::IO),
    Fault::Once(Errno::NOSPC),
    Fault::Once(Errno::DQUOT),
    Fault::GoneFrom(Errno::IO),
    Fault::FullFrom(Errno::NOSPC),
    Fault::FullFrom(Errno::DQUOT),
    Fault::Short(Errno::IO),
    Fault::Short(Errno::NOSPC),
    Fault::Short(Errno::DQUOT),
];
pub(super) const SEED: [u8; 32] = [7; 32];
const LONG: Duration = Duration::from_hours(40 * 24);

/// Something that the program does with its own files.
struct Step {
    /// What is there before.
    before: fn(&State, &Path),
    /// What is done; told as done piece by piece.
    run: fn(&State, &Path, &mut Vec<&'static str>) -> Result<(), Failure>,
    /// What must be true in any case, of what was told.
    always: fn(&State, &Path, &[&'static str], &str),
    /// What must be true once it is done.
    done: fn(&State, &Path, &str),
    /// Whether it goes on without what failed, and says nothing.
    may_do_without: bool,
}

pub(super) fn account() -> Account {
    Place::parse("anna@host".as_ref(), None).unwrap().account
}

fn command(verb: &'static str) -> JournalKey {
    JournalKey::new(&account(), &JournalScope::Command { verb, operands: vec![b"/x".to_vec()] })
}

pub(super) fn queue() -> JournalKey {
    JournalKey::new(&account(), &JournalScope::Queue)
}

pub(super) fn open(state: &State, key: &JournalKey) -> Result<Journal, Failure> {
    Journal::open(state, key, SEED, 1)
}

fn journals(home: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(home.join("state/journals")) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn staged(folder: &Path, number: u64) -> StagedFile {
    let at = RemotePath::parse(format!("in/file {number}").as_bytes()).unwrap();
    StagedFile { root: folder.to_owned(), at, staging: StagingName::of(number) }
}

/// Where downloads are staged in these tests, beside the program's own folder.
fn target(home: &Path) -> PathBuf {
    home.parent().unwrap().join("target")
}

fn survives(what: &str, step: &Step) {
    let mut injected = Injected::default();
    for fault in FAULTS {
        for call in 0.. {
            let dir = tempfile::tempdir().unwrap();
            let home = dir.path().join("home");
            fs::create_dir_all(target(&home).join("in")).unwrap();
            let sound = State::under(&home);
            (step.before)(&sound, &home);
            let faults = Arc::new(FailAt::new(call, fault));
            let failing = State::under(&home).on(Bench::disk(&faults));
            let mut told = Vec::new();
            let result = (step.run)(&failing, &home, &mut told);
            let Some(failed) = faults.failed() else {
                result.unwrap();
                (step.done)(&sound, &home, what);
                break;
            };
            injected.count(fault, &failed);
            let why = format!("{what}, {fault:?} at call {call}, {failed}: {result:?}");
            match &result {
                Ok(()) => assert!(step.may_do_without || recovers(&failed), "{why}"),
                Err(failure) => check_failure(failure, fault, &home, &why),
            }
            (step.always)(&sound, &home, &told, &why);
            (step.run)(&sound, &home, &mut Vec::new()).unwrap_or_else(|again| {
                panic!("{why}, then {again:?}");
            });
            (step.done)(&sound, &home, &why);
            // Nothing half stays beside what is whole.
            let left =
                tree_of(&home).into_keys().find(|path| path.to_string_lossy().ends_with(".new"));
            assert_eq!(left, None, "{why}");
        }
    }
    injected.print(what);
}

/// What a failed call of this kind is no failure of: letting a lock go that goes with its file.
fn recovers(failed: &str) -> bool {
    failed == "Lock"
}

fn check_failure(failure: &Failure, fault: Fault, home: &Path, why: &str) {
    let is_expected = match &failure.situation {
        Situation::DiskFull(_) => fault.is_full(),
        Situation::DiskFailed(..) => !fault.is_full(),
        _ => false,
    };
    assert!(is_expected, "{why}");
    // What is removed with a journal lies in the folder that the user chose.
    let is_named = Path::new(&failure.subject).starts_with(home)
        || Path::new(&failure.subject).starts_with(target(home));
    assert!(is_named, "it names no file: {why}");
    let message = Message::of(failure, None);
    assert!(message.next.is_some(), "{message}: {why}");
}

/// What a queue remembers, checked to be whole.
pub(super) fn batches(state: &State, why: &str) -> Vec<u64> {
    let journal = open(state, &queue());
    let journal = journal.unwrap_or_else(|again| panic!("{why}: {again:?}"));
    let whole = |(id, content): (u64, Vec<u8>)| {
        assert_eq!(content, content_of(id), "{why}");
        id
    };
    journal.unfinished().into_iter().map(whole).collect()
}

fn content_of(batch: u64) -> Vec<u8> {
    blake3::hash(&batch.to_le_bytes()).as_bytes().repeat(20)
}

pub(super) fn begin(journal: &mut Journal, batch: u64) -> Result<(), Failure> {
    journal.begin(batch, &content_of(batch))
}

#[test]
fn each_call_of_making_a_journal_fails() {
    survives(
        "making a journal",
        &Step {
            before: |_, _| {},
            run: |state, _, told| open(state, &command("put")).map(|_| told.push("open")),
            always: |state, _, told, why| {
                let journal = open(state, &command("put"));
                let journal = journal.unwrap_or_else(|again| panic!("{why}: {again:?}"));
                assert!(told.is_empty() || journal.keys().are_continued(), "{why}");
            },
            done: |state, _, why| {
                assert!(open(state, &command("put")).unwrap().keys().are_continued(), "{why}");
            },
            may_do_without: false,
        },
    );
}

#[test]
fn each_call_of_continuing_a_queue_fails() {
    survives(
        "continuing a queue",
        &Step {
            before: |state, _| {
                let mut journal = open(state, &queue()).unwrap();
                begin(&mut journal, 1).unwrap();
                begin(&mut journal, 2).unwrap();
            },
            run: |state, _, _| {
                let journal = open(state, &queue())?;
                assert_eq!(journal.unfinished().len(), 2);
                Ok(())
            },
            always: |state, _, _, why| assert_eq!(batches(state, why), [1, 2], "{why}"),
            done: |state, _, why| {
                assert_eq!(batches(state, why), [1, 2], "{why}");
                let wanted = Journal::in_memory(SEED).keys().upload_key(b"a", b"b");
                let journal = Journal::open(state, &queue(), [9; 32], 1).unwrap();
                assert_eq!(journal.keys().upload_key(b"a", b"b"), wanted, "{why}");
            },
            may_do_without: false,
        },
    );
}

#[test]
fn each_call_of_writing_a_queue_fails() {
    survives(
        "writing a queue",
        &Step {
            before: |state, _| begin(&mut open(state, &queue()).unwrap(), 1).unwrap(),
            run: |state, _, told| {
                let mut journal = open(state, &queue())?;
                // One that fails does not keep the others from being written.
                let second = begin(&mut journal, 2).map(|()| told.push("second"));
                let third = begin(&mut journal, 3).map(|()| told.push("third"));
                let finished = journal.finish(1).map(|()| told.push("finished"));
                second.and(third).and(finished)
            },
            always: |state, _, told, why| {
                let there = batches(state, why);
                let is_told = |what: &str| told.contains(&what);
                assert!(!is_told("second") || there.contains(&2), "{there:?}: {why}");
                assert!(!is_told("third") || there.contains(&3), "{there:?}: {why}");
                assert!(!is_told("finished") || !there.contains(&1), "{there:?}: {why}");
            },
            done: |state, _, why| assert_eq!(batches(state, why), [2, 3], "{why}"),
            may_do_without: false,
        },
    );
}

#[test]
fn each_call_of_removing_a_journal_fails() {
    survives(
        "removing a journal",
        &Step {
            before: |state, _| drop(open(state, &command("put")).unwrap()),
            run: |state, _, _| open(state, &command("put"))?.remove(),
            always: |_, home, _, why| assert!(journals(home).len() <= 1, "{why}"),
            done: |_, home, why| assert_eq!(journals(home).len(), 0, "{why}"),
            may_do_without: false,
        },
    );
}

/// No download fails because its name could not be written down.
#[test]
fn each_call_of_naming_staged_downloads_fails() {
    survives(
        "the journal of a get",
        &Step {
            before: |_, _| {},
            run: |state, home, _| {
                let journal = open(state, &command("get"))?;
                let files = [1, 2, 3].map(|number| staged(&target(home), number));
                journal.keys().stage(&files[..2]);
                journal.keys().gone([&files[0].staging]);
                journal.keys().stage(&files[2..]);
                journal.remove()
            },
            always: |state, home, _, why| {
                for _ in journals(home) {
                    open(state, &command("get")).unwrap_or_else(|again| panic!("{why}: {again:?}"));
                }
            },
            done: |_, home, why| assert_eq!(journals(home).len(), 0, "{why}"),
            may_do_without: true,
        },
    );
}

#[test]
fn each_call_of_sweeping_fails() {
    survives(
        "sweeping old journals",
        &Step {
            before: |state, home| {
                let journal = open(state, &command("get")).unwrap();
                for number in [1, 2, 3] {
                    let file = staged(&target(home), number);
                    let path = target(home).join("in").join(file.staging.as_str());
                    fs::write(path, b"half").unwrap();
                    // The last one is somebody else's.
                    if number < 3 {
                        journal.keys().stage(&[file]);
                    }
                }
                begin(&mut open(state, &queue()).unwrap(), 1).unwrap();
            },
            run: |state, _, _| {
                state.sweep_journals(SystemTime::now() + LONG);
                Ok(())
            },
            always: |state, home, _, why| {
                let is_left = |number: u64| {
                    let name = StagingName::of(number);
                    target(home).join("in").join(name.as_str()).exists()
                };
                assert!(is_left(3), "it is not ours: {why}");
                let is_swept = journals(home).len() < 2;
                assert!(!is_swept || (!is_left(1) && !is_left(2)), "nobody names it: {why}");
                assert_eq!(batches(state, why), [1], "{why}");
            },
            done: |state, home, why| {
                assert_eq!(journals(home).len(), 1, "{why}");
                let left: Vec<_> = tree_of(&target(home)).into_keys().collect();
                let others = Path::new("in").join(StagingName::of(3).as_str());
                assert_eq!(left, [Path::new("in"), &others], "{why}");
                assert_eq!(batches(state, why), [1], "{why}");
            },
            may_do_without: true,
        },
    );
}

pub(super) fn pin(state: &State, host: &str, why: &str) -> Option<String> {
    let known = state.known_servers();
    let found = known.pin(&server(host));
    found.unwrap_or_else(|failure| panic!("{why}: {failure:?}")).map(|pin| pin.fingerprint)
}

pub(super) fn server(host: &str) -> sampan_client::address::Server {
    sampan_client::address::Server::parse(host, None).unwrap()
}

#[test]
fn each_call_of_pinning_fails() {
    survives(
        "the first pin",
        &Step {
            before: |_, _| {},
            run: |state, _, _| state.known_servers().set(&server("h"), "SHA256:new"),
            always: |state, _, _, why| {
                let there = pin(state, "h", why);
                assert!(there.is_none_or(|there| there == "SHA256:new"), "{why}");
            },
            done: |state, _, why| assert_eq!(pin(state, "h", why).unwrap(), "SHA256:new", "{why}"),
            may_do_without: false,
        },
    );
    let two: fn(&State, &Path) = |state, _| {
        state.known_servers().set(&server("h"), "SHA256:old").unwrap();
        state.known_servers().set(&server("other"), "SHA256:other").unwrap();
    };
    survives(
        "replacing a pin",
        &Step {
            before: two,
            run: |state, _, _| state.known_servers().set(&server("h"), "SHA256:new"),
            always: |state, _, _, why| {
                let there = pin(state, "h", why).unwrap_or_else(|| panic!("it is lost: {why}"));
                assert!(["SHA256:old", "SHA256:new"].contains(&there.as_str()), "{why}");
                assert_eq!(pin(state, "other", why).unwrap(), "SHA256:other", "{why}");
            },
            done: |state, _, why| {
                assert_eq!(pin(state, "h", why).unwrap(), "SHA256:new", "{why}");
                assert_eq!(pin(state, "other", why).unwrap(), "SHA256:other", "{why}");
            },
            may_do_without: false,
        },
    );
    survives(
        "forgetting a pin",
        &Step {
            before: two,
            run: |state, _, _| state.known_servers().forget(&server("h")).map(drop),
            always: |state, _, _, why| {
                let there = pin(state, "h", why);
                assert!(there.is_none_or(|there| there == "SHA256:old"), "{why}");
                assert_eq!(pin(state, "other", why).unwrap(), "SHA256:other", "{why}");
            },
            done: |state, _, why| assert_eq!(pin(state, "h", why), None, "{why}"),
            may_do_without: false,
        },
    );
}

pub(super) fn key(state: &State, why: &str) -> Option<u8> {
    let found = state.login_key(&account());
    let found = found.unwrap_or_else(|failure| panic!("{why}: {failure:?}"))?;
    assert!(found.iter().all(|byte| *byte == found[0]), "{why}");
    Some(found[0])
}

#[test]
fn each_call_of_keeping_a_key_fails() {
    survives(
        "keeping a key",
        &Step {
            before: |_, _| {},
            run: |state, _, _| state.store_login_key(&account(), &[1; 32]),
            always: |state, _, _, why| assert!(matches!(key(state, why), None | Some(1)), "{why}"),
            done: |state, _, why| assert_eq!(key(state, why), Some(1), "{why}"),
            may_do_without: false,
        },
    );
    survives(
        "replacing a key",
        &Step {
            before: |state, _| state.store_login_key(&account(), &[1; 32]).unwrap(),
            run: |state, _, _| state.store_login_key(&account(), &[2; 32]),
            always: |state, _, _, why| {
                assert!(matches!(key(state, why), Some(1 | 2)), "{why}");
            },
            done: |state, _, why| assert_eq!(key(state, why), Some(2), "{why}"),
            may_do_without: false,
        },
    );
    survives(
        "reading and removing a key",
        &Step {
            before: |state, _| state.store_login_key(&account(), &[1; 32]).unwrap(),
            run: |state, _, _| {
                state.login_key(&account())?;
                state.remove_login_key(&account())
            },
            always: |state, _, _, why| assert!(matches!(key(state, why), None | Some(1)), "{why}"),
            done: |state, _, why| assert_eq!(key(state, why), None, "{why}"),
            may_do_without: false,
        },
    );
}

/// A command or a queue on a journal of which each call fails: what was carried is told as it is,
/// and the same command again finishes it and leaves no journal.
async fn a_transfer_survives(scenario: Scenario, is_queue: bool) {
    let mut bench = Bench::new().await;
    let mut injected = Injected::default();
    for fault in FAULTS {
        for call in 0.. {
            let round = bench.round(scenario).await;
            let faults = Arc::new(FailAt::new(call, fault));
            let why = || format!("{scenario:?}, {fault:?} at call {call}");
            let home = bench.rig.state_home();
            let carried = match bench.journal_on(&round, is_queue, Bench::disk(&faults)) {
                Err(failure) => {
                    check_failure(&failure, fault, &home, &why());
                    assert!(faults.failed().is_some(), "{failure:?}");
                    false
                }
                Ok(journal) => {
                    let (summary, journal) = bench.carry(&round, Disk::default(), journal).await;
                    assert_eq!(summary.failed, 0, "{}: {summary:?}", why());
                    bench.check_done(&round, &why());
                    if !is_queue && let Err(failure) = journal.remove() {
                        check_failure(&failure, fault, &home, &why());
                    }
                    true
                }
            };
            let failed = faults.failed();
            if let Some(failed) = &failed {
                injected.count(fault, failed);
                let sound = Disk::default();
                let journal = bench.journal_on(&round, is_queue, sound).unwrap();
                let (again, journal) = bench.carry(&round, Disk::default(), journal).await;
                assert_eq!(again.failed, 0, "{}, then {again:?}", why());
                if carried {
                    assert_eq!(again.moved, 0, "it was all across: {}", why());
                }
                bench.check_done(&round, &why());
                if !is_queue {
                    journal.remove().unwrap();
                }
            }
            let queues = usize::from(is_queue);
            assert_eq!(journals(&home).len(), queues, "a journal stays: {}", why());
            bench.forget(&round);
            if failed.is_none() {
                break;
            }
        }
    }
    injected.print(&format!("{scenario:?} {}", if is_queue { "in a queue" } else { "by command" }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_whose_journal_fails_is_told_as_it_is() {
    a_transfer_survives(Scenario::SmallUpload, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_get_whose_journal_fails_is_told_as_it_is() {
    a_transfer_survives(Scenario::SmallFile, false).await;
    a_transfer_survives(Scenario::BigFile, false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_whose_journal_fails_carries_all_the_same() {
    a_transfer_survives(Scenario::SmallFile, true).await;
}
