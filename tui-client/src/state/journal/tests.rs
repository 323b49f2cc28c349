use std::fs;
use std::path::Path;

use sampan_protocol::RemotePath;

use super::format::MAX_RECORD_BYTES;
use super::log::COMPACT_BYTES;
use super::*;
use crate::address::Account;
use crate::local::StagingName;

fn account(written: &str) -> Account {
    crate::address::Place::parse(written.as_ref(), None).unwrap().account
}

fn command(operands: &[&str]) -> JournalScope {
    let operands = operands.iter().map(|operand| operand.as_bytes().to_vec()).collect();
    JournalScope::Command { verb: "put", operands }
}

fn staged(root: &Path, at: &str, number: u64) -> StagedFile {
    let at = RemotePath::parse(at.as_bytes()).unwrap();
    StagedFile { root: root.to_owned(), at, staging: StagingName::of(number) }
}

#[test]
fn a_key_stands_for_one_command_of_one_account() {
    let key = |who: &str, scope: &JournalScope| JournalKey::new(&account(who), scope);
    let first = key("a@h", &command(&["/x", "y"]));
    assert_eq!(first, key("a@h", &command(&["/x", "y"])));
    for other in [
        key("b@h", &command(&["/x", "y"])),
        key("a@i", &command(&["/x", "y"])),
        key("a@h", &command(&["/xy"])),
        key("a@h", &command(&["/x", "y", ""])),
        key("a@h", &JournalScope::Queue),
    ] {
        assert_ne!(first, other);
    }
}

#[test]
fn the_next_run_finds_the_same_keys() {
    let home = tempfile::tempdir().unwrap();
    let state = State::under(home.path());
    let key = JournalKey::new(&account("a@h"), &command(&["/x"]));
    let first = Journal::open(&state, &key, [1; 32], 10).unwrap();
    let upload = first.keys().upload_key(b"/x", b"y");
    let staging = first.keys().staging_digits(b"/x", b"y");
    assert!(!first.keys().are_continued());
    drop(first);

    let second = Journal::open(&state, &key, [2; 32], 11).unwrap();
    assert!(second.keys().are_continued());
    assert_eq!(second.keys().upload_key(b"/x", b"y"), upload);
    assert_eq!(second.keys().staging_digits(b"/x", b"y"), staging);
    assert_ne!(second.keys().upload_key(b"/xy", b""), upload);
    assert_eq!(staging.len(), 16);

    second.remove().unwrap();
    let third = Journal::open(&state, &key, [3; 32], 12).unwrap();
    assert_ne!(third.keys().upload_key(b"/x", b"y"), upload);
}

#[test]
fn a_second_holder_is_told_who_has_it() {
    let home = tempfile::tempdir().unwrap();
    let state = State::under(home.path());
    let key = JournalKey::new(&account("a@h"), &JournalScope::Queue);
    let held = Journal::open(&state, &key, [1; 32], 4321).unwrap();
    let failure = Journal::open(&state, &key, [1; 32], 1).unwrap_err();
    assert_eq!(failure.situation, Situation::AlreadyRunning { process: 4321 });
    drop(held);
    Journal::open(&state, &key, [1; 32], 1).unwrap();
}

#[test]
fn a_command_keeps_no_batches() {
    let home = tempfile::tempdir().unwrap();
    let state = State::under(home.path());
    let key = JournalKey::new(&account("a@h"), &command(&["/x"]));
    let mut journal = Journal::open(&state, &key, [1; 32], 1).unwrap();
    journal.begin(1, b"one").unwrap();
    assert!(journal.unfinished().is_empty());
    drop(journal);
    assert!(Journal::open(&state, &key, [1; 32], 1).unwrap().unfinished().is_empty());
}

#[test]
fn open_batches_survive_and_a_torn_record_does_not() {
    let home = tempfile::tempdir().unwrap();
    let state = State::under(home.path());
    let key = JournalKey::new(&account("a@h"), &JournalScope::Queue);
    let mut journal = Journal::open(&state, &key, [1; 32], 1).unwrap();
    journal.begin(1, b"one").unwrap();
    journal.begin(2, b"two").unwrap();
    journal.finish(1).unwrap();
    journal.begin(3, b"three").unwrap();
    let path = locked(journal.log.as_ref().unwrap()).path.clone();
    drop(journal);

    let whole = fs::read(&path).unwrap();
    let both = [(2, b"two".to_vec()), (3, b"three".to_vec())];
    for (length, expected) in [(whole.len(), &both[..]), (whole.len() - 1, &both[..1])] {
        fs::write(&path, &whole[..length]).unwrap();
        let journal = Journal::open(&state, &key, [9; 32], 1).unwrap();
        assert_eq!(journal.unfinished(), expected);
    }
    // The torn record was cut off, so what is written next is found.
    let mut journal = Journal::open(&state, &key, [9; 32], 1).unwrap();
    journal.begin(4, b"four").unwrap();
    drop(journal);
    let journal = Journal::open(&state, &key, [9; 32], 1).unwrap();
    assert_eq!(journal.unfinished(), [both[0].clone(), (4, b"four".to_vec())]);
}

#[test]
fn a_queue_that_is_kept_for_its_keys_does_not_grow() {
    let home = tempfile::tempdir().unwrap();
    let state = State::under(home.path());
    let key = JournalKey::new(&account("a@h"), &JournalScope::Queue);
    let mut lengths = Vec::new();
    for run in 0..3 {
        let mut journal = Journal::open(&state, &key, [run; 32], 1).unwrap();
        let path = locked(journal.log.as_ref().unwrap()).path.clone();
        lengths.push(fs::metadata(path).unwrap().len());
        assert_eq!(journal.keys().upload_key(b"a", b"b"), {
            let first = Journal::in_memory([0; 32]).keys();
            first.upload_key(b"a", b"b")
        });
        journal.begin(u64::from(run), b"batch").unwrap();
        journal.finish(u64::from(run)).unwrap();
    }
    assert_eq!(lengths, [HEADER_BYTES as u64; 3]);
}

/// While the screen's queue works, a batch is open; two records for each file must not pile up.
#[test]
fn a_queue_does_not_grow_with_the_files_of_an_open_batch() {
    let home = tempfile::tempdir().unwrap();
    let state = State::under(home.path());
    let key = JournalKey::new(&account("a@h"), &JournalScope::Queue);
    let root = Path::new("/t");
    let mut journal = Journal::open(&state, &key, [1; 32], 1).unwrap();
    let path = locked(journal.log.as_ref().unwrap()).path.clone();
    let length = || fs::metadata(&path).unwrap().len();
    let (early, late) = (staged(root, "early", 1), staged(root, "late", 2));
    let both = [early, late];
    journal.keys().stage(&both);
    journal.begin(1, b"one").unwrap();
    // What is gone must not come back with the record of it that is cut off.
    journal.keys().gone([&both[0].staging]);
    let file = |number: u64| staged(root, &format!("in/{number:0200}"), number);
    let mut longest = 0;
    let mut written = 0;
    let mut carry = |journal: &Journal, numbers: std::ops::Range<u64>| {
        for first in numbers.step_by(50) {
            let files: Vec<_> = (first..first + 50).map(file).collect();
            let before = length();
            journal.keys().stage(&files);
            written += length().saturating_sub(before);
            journal.keys().gone(files.iter().map(|file| &file.staging));
            longest = longest.max(length());
        }
    };
    carry(&journal, 100..10_000);
    journal.begin(2, b"two").unwrap();
    carry(&journal, 10_000..20_000);
    journal.finish(1).unwrap();
    let last = file(99);
    journal.keys().stage(std::slice::from_ref(&last));
    drop(journal);
    assert!(written > 4 * COMPACT_BYTES, "it was cut back more than once: {written}");
    assert!(longest < COMPACT_BYTES + COMPACT_BYTES / 4, "{longest}");

    for _ in 0..2 {
        let journal = Journal::open(&state, &key, [9; 32], 1).unwrap();
        assert_eq!(journal.unfinished(), [(2, b"two".to_vec())]);
        let kept = locked(journal.log.as_ref().unwrap()).kept.staged.clone();
        let names: Vec<_> = kept.values().cloned().collect();
        assert_eq!(names, [both[1].clone(), last.clone()]);
    }
    assert!(length() < COMPACT_BYTES, "{}", length());
}

#[test]
fn what_is_written_after_a_torn_record_is_found() {
    use std::io::Write;
    let home = tempfile::tempdir().unwrap();
    let state = State::under(home.path());
    let key = JournalKey::new(&account("a@h"), &JournalScope::Queue);
    let mut journal = Journal::open(&state, &key, [1; 32], 1).unwrap();
    journal.begin(1, b"one").unwrap();
    // What a disk leaves that is full halfway through a record.
    let path = locked(journal.log.as_ref().unwrap()).path.clone();
    let mut file = fs::OpenOptions::new().append(true).open(path).unwrap();
    file.write_all(&[20, 0, 0, 0, 1, 2, 3, 4, 2]).unwrap();
    journal.begin(2, b"two").unwrap();
    drop(journal);
    let journal = Journal::open(&state, &key, [1; 32], 1).unwrap();
    assert_eq!(journal.unfinished(), [(1, b"one".to_vec()), (2, b"two".to_vec())]);
}

#[test]
fn what_would_not_be_believed_is_not_written() {
    let home = tempfile::tempdir().unwrap();
    let state = State::under(home.path());
    let key = JournalKey::new(&account("a@h"), &JournalScope::Queue);
    let mut journal = Journal::open(&state, &key, [1; 32], 1).unwrap();
    let refused = journal.begin(1, &vec![0; MAX_RECORD_BYTES]).unwrap_err();
    assert!(matches!(refused.situation, Situation::Unexpected(_)), "{refused:?}");
    journal.begin(2, b"two").unwrap();
    drop(journal);
    let journal = Journal::open(&state, &key, [1; 32], 1).unwrap();
    assert_eq!(journal.unfinished(), [(2, b"two".to_vec())]);
}

/// A source that went away meanwhile: no later run comes to what was staged of it.
#[test]
fn with_a_journal_goes_what_it_still_names() {
    let home = tempfile::tempdir().unwrap();
    let target = tempfile::tempdir().unwrap();
    let state = State::under(home.path());
    let key = JournalKey::new(&account("a@h"), &command(&["/x"]));
    let files = [("in/a", 1), ("in/b", 2), ("none/c", 3)];
    let files = files.map(|(at, number)| staged(target.path(), at, number));
    let path = |number: usize| target.path().join("in").join(files[number].staging.as_str());
    fs::create_dir(target.path().join("in")).unwrap();
    let first = Journal::open(&state, &key, [1; 32], 1).unwrap();
    first.keys().stage(&files);
    fs::write(path(0), "half").unwrap();
    // It cannot be unlinked.
    fs::create_dir(path(1)).unwrap();
    let others = target.path().join("in").join(StagingName::of(7).as_str());
    fs::write(&others, "another's").unwrap();
    drop(first);

    let second = Journal::open(&state, &key, [2; 32], 1).unwrap();
    let journal = locked(second.log.as_ref().unwrap()).path.clone();
    let refused = second.remove().unwrap_err();
    assert_eq!(refused.subject, path(1).to_str().unwrap());
    assert!(journal.exists(), "nobody else names what stays");

    fs::remove_dir(path(1)).unwrap();
    fs::write(path(1), "half").unwrap();
    Journal::open(&state, &key, [3; 32], 1).unwrap().remove().unwrap();
    assert!(!path(0).exists() && !path(1).exists() && !journal.exists());
    assert!(others.exists(), "it was never named");
}

#[test]
fn what_cannot_be_removed_keeps_the_journal_and_nothing_else() {
    let home = tempfile::tempdir().unwrap();
    let target = tempfile::tempdir().unwrap();
    let away = tempfile::tempdir().unwrap();
    let state = State::under(home.path());
    let old = std::time::SystemTime::now() + std::time::Duration::from_hours(24 * 365);
    let open = |seed| {
        let key = JournalKey::new(&account("a@h"), &command(&["/x"]));
        Journal::open(&state, &key, [seed; 32], 1).unwrap()
    };
    let is_kept = || fs::read_dir(state.journals()).unwrap().count() == 1;
    // One cannot be unlinked, and one lies on a stick that is not there now.
    let stick = away.path().join("stick");
    let files =
        [staged(target.path(), "a", 1), staged(target.path(), "b", 2), staged(&stick, "c", 3)];
    let path = |file: &StagedFile| file.root.join(file.staging.as_str());
    let journal = open(1);
    journal.keys().stage(&files);
    drop(journal);
    fs::create_dir(path(&files[0])).unwrap();
    fs::write(path(&files[1]), "half").unwrap();
    state.sweep_journals(old);
    assert!(is_kept());
    assert!(!path(&files[1]).exists(), "what could be removed is");

    fs::remove_dir(path(&files[0])).unwrap();
    state.sweep_journals(old);
    assert!(is_kept(), "the stick may come back");
    fs::create_dir(&stick).unwrap();
    fs::write(path(&files[2]), "half").unwrap();
    state.sweep_journals(old);
    assert!(!is_kept());
    assert!(!path(&files[2]).exists());
}
