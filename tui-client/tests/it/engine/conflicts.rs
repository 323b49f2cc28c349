//! Targets that exist, quotas that do not suffice.

use std::fs;

use sampan_client::failure::{Side, Situation};
use sampan_client::transfer::{
    Batch, BatchId, Command, Event, OnConflict, Options, Outcome, Resolution, Route, Settings,
    SkipReason, Source, Target,
};
use sampan_server::store::QuotaLimits;

use super::rig::{Rig, Run, down, home, noise, up};

fn options(on_conflict: OnConflict) -> Options {
    Options { on_conflict, ..Options::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_policy_does_what_it_says_on_both_sides() {
    let rig = Rig::start().await;
    let source = rig.local("tree");
    // One in a pack, one by blocks.
    for (name, length) in [("a.txt", 10), ("big.bin", 300_000)] {
        let (file, there) = (source.join(name), rig.home().join(name));
        for (policy, replaced, kept_both) in [
            (OnConflict::Fail, false, false),
            (OnConflict::Skip, false, false),
            (OnConflict::Rename, false, true),
            (OnConflict::Overwrite, true, false),
        ] {
            fs::write(&file, noise(1, length)).unwrap();
            fs::write(&there, b"old and other").unwrap();
            let told = rig.carry(up(&file, false, "", true), options(policy)).await;
            let new = fs::read(&file).unwrap();
            assert_eq!(fs::read(&there).unwrap() == new, replaced, "{policy:?} {name}");
            let (stem, extension) = name.split_once('.').unwrap();
            let second = rig.home().join(format!("{stem} (2).{extension}"));
            assert_eq!(second.exists(), kept_both, "{policy:?} {name}");
            match policy {
                OnConflict::Fail => {
                    let failure = &told.summary.failures[0];
                    assert_eq!(failure.situation, Situation::Exists(Side::Remote));
                }
                OnConflict::Skip => {
                    let skipped = Outcome::Skipped(SkipReason::TargetExists);
                    assert_eq!(told.outcome_of(name), &skipped);
                }
                _ => assert_eq!(told.summary.failed, 0, "{:?}", told.summary),
            }
            if kept_both {
                assert_eq!(fs::read(&second).unwrap(), new);
                fs::remove_file(&second).unwrap();
            }
        }
        let target = rig.local("down");
        fs::write(target.join(name), b"mine").unwrap();
        for policy in [OnConflict::Fail, OnConflict::Skip, OnConflict::Rename] {
            rig.carry(down(name, false, &target, true), options(policy)).await;
            assert_eq!(fs::read(target.join(name)).unwrap(), b"mine");
        }
        assert_eq!(fs::read_dir(&target).unwrap().count(), 2, "the one kept beside");
        rig.carry(down(name, false, &target, true), options(OnConflict::Overwrite))
            .await
            .expect_done();
        assert_eq!(fs::read(target.join(name)).unwrap(), fs::read(&file).unwrap());
        fs::remove_dir_all(&target).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newer_replaces_only_what_is_older() {
    let rig = Rig::start().await;
    let source = rig.local("tree");
    let file = source.join("file");
    let there = rig.home().join("file");
    let at = |path: &std::path::Path, seconds| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    };
    fs::write(&file, b"source").unwrap();
    fs::write(&there, b"target!").unwrap();
    at(&file, 1000);
    at(&there, 2000);
    let told = rig.carry(up(&file, false, "", true), options(OnConflict::Newer)).await;
    assert_eq!(told.outcome_of("file"), &Outcome::Skipped(SkipReason::TargetNewer));
    at(&file, 3000);
    rig.carry(up(&file, false, "", true), options(OnConflict::Newer)).await.expect_done();
    assert_eq!(fs::read(&there).unwrap(), b"source");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_decide_when_they_are_asked_for() {
    let rig = Rig::start().await;
    let source = rig.local("tree");
    let file = source.join("file");
    let there = rig.home().join("file");
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1000);
    for (path, bytes) in [(&file, b"one"), (&there, b"two")] {
        fs::write(path, bytes).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_modified(time).unwrap();
    }
    let told = rig.carry(up(&file, false, "", true), options(OnConflict::Overwrite)).await;
    assert_eq!(told.outcome_of("file"), &Outcome::Unchanged, "size and time say so");
    let by_content = Options { checksum: true, ..options(OnConflict::Overwrite) };
    rig.carry(up(&file, false, "", true), by_content.clone()).await.expect_done();
    assert_eq!(fs::read(&there).unwrap(), b"one");
    fs::File::open(&file).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
    let told = rig.carry(up(&file, false, "", true), by_content).await;
    assert_eq!(told.outcome_of("file"), &Outcome::Unchanged, "whatever the time says");
}

/// A listing that is asked for ahead must not hold up the connection that the sums come over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_are_compared_beside_a_very_large_folder() {
    let rig = Rig::start().await;
    let target = rig.local("target");
    for folder in [rig.home().join("tree/z"), target.join("tree/z")] {
        fs::create_dir_all(&folder).unwrap();
        for name in 0..1000 {
            fs::write(folder.join(name.to_string()), noise(name, 100)).unwrap();
        }
    }
    fs::create_dir(rig.home().join("tree/b")).unwrap();
    for name in 0..12_000 {
        fs::File::create(rig.home().join("tree/b").join(name.to_string())).unwrap();
    }
    let options = Options { checksum: true, dry_run: true, ..Options::default() };
    let carried = rig.carry(down("tree", false, &target, true), options);
    let told = tokio::time::timeout(std::time::Duration::from_mins(1), carried).await;
    let summary = told.expect("the plan comes to its end").summary;
    // The files, and the two folders that are there.
    assert_eq!((summary.unchanged, summary.skipped), (1002, 12_001));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_holds_up_only_its_own_file() {
    let rig = Rig::start().await;
    let source = rig.local("tree");
    for name in ["a", "b", "c", "new"] {
        fs::write(source.join(name), b"from here").unwrap();
    }
    for name in ["a", "b", "c"] {
        fs::write(rig.home().join(name), b"there").unwrap();
    }
    let remote = rig.remote().await;
    let route = up(&source, true, "", true);
    let mut run = Run::begin(remote, rig.journal("ask"), route, options(OnConflict::Ask));
    let mut asked = Vec::new();
    let mut new_is_done = false;
    while asked.len() < 3 || !new_is_done {
        match run.next().await {
            Event::Conflict { item, .. } => asked.push(item),
            Event::Finished { outcome: Outcome::Done { .. }, .. } => new_is_done = true,
            _ => {}
        }
    }
    run.tell(Command::Resolve {
        item: asked[0],
        answer: Resolution::Overwrite,
        whole_batch: false,
    });
    run.tell(Command::Resolve { item: asked[1], answer: Resolution::Skip, whole_batch: true });
    let told = run.finish().await;
    assert_eq!((told.summary.done, told.summary.skipped), (2, 2));
    run.stop().await;
    let replaced =
        ["a", "b", "c"].iter().filter(|name| fs::read(rig.home().join(name)).unwrap() != b"there");
    assert_eq!(replaced.count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_fit_is_refused_before_the_first_byte() {
    let limits = QuotaLimits { bytes: Some(1_000_000), entries: None };
    let rig = Rig::with_limits(limits).await;
    let source = rig.local("tree");
    for name in 0..20 {
        fs::write(source.join(name.to_string()), noise(name, 100_000)).unwrap();
    }
    let told = rig.carry(up(&source, false, "", true), Options::default()).await;
    assert_eq!(told.summary.failed, 1);
    let situation = &told.summary.failures[0].situation;
    assert_eq!(*situation, Situation::OverQuota { needed: 2_000_000, available: 1_000_000 });
    assert_eq!(told.summary.moved, 0);
    assert_eq!(fs::read_dir(rig.home()).unwrap().count(), 0);

    let big = rig.local("big").join("file");
    fs::write(&big, noise(1, 1_500_000)).unwrap();
    let told = rig.carry(up(&big, false, "", true), Options::default()).await;
    let situation = &told.summary.failures[0].situation;
    assert!(matches!(situation, Situation::OverQuota { needed: 1_500_000, .. }), "{situation:?}");
    assert_eq!(told.summary.moved, 0);
    assert_eq!(rig.reserved().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_does_not_fit_asks_nobody_any_more() {
    let limits = QuotaLimits { bytes: Some(1_000_000), entries: None };
    let rig = Rig::with_limits(limits).await;
    let source = rig.local("tree");
    for name in 0..20 {
        fs::write(source.join(name.to_string()), noise(name, 100_000)).unwrap();
    }
    fs::write(rig.home().join("3"), b"there").unwrap();
    let told = rig.carry(up(&source, true, "", true), options(OnConflict::Ask)).await;
    assert_eq!(told.summary.failed, 1);
    assert!(matches!(told.summary.failures[0].situation, Situation::OverQuota { .. }));
    assert!(told.events.iter().any(|event| matches!(event, Event::Conflict { .. })));
    assert_eq!(told.outcome_of("3"), &Outcome::Skipped(SkipReason::Cancelled));
    assert_eq!(told.summary.moved, 0);
    assert_eq!(fs::read_dir(rig.home()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_sources_with_one_name_are_not_mixed() {
    let rig = Rig::start().await;
    let (one, two) = (rig.local("one/d"), rig.local("two/d"));
    let (there_one, there_two) = (rig.home().join("one/d"), rig.home().join("two/d"));
    for (folder, text) in [(&one, "one"), (&two, "two!"), (&there_one, "one"), (&there_two, "two!")]
    {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join("file"), text).unwrap();
    }
    let on_disk = |path: &std::path::Path, contents| Source { path: path.to_owned(), contents };
    let route = Route::Upload {
        sources: vec![on_disk(&one, false), on_disk(&two, false)],
        target: Target { path: home("to"), is_folder: true },
    };
    let told = rig.carry(route, Options::default()).await;
    assert_eq!(told.summary.failures.len(), 1);
    let situation = &told.summary.failures[0].situation;
    assert!(matches!(situation, Situation::SameTarget { .. }), "{situation:?}");
    assert_eq!(fs::read(rig.home().join("to/d/file")).unwrap(), b"one");

    let target = rig.local("target");
    let in_home = |path| Source { path: home(path), contents: false };
    let route = Route::Download {
        sources: vec![in_home("one/d"), in_home("two/d")],
        target: Target { path: target.clone(), is_folder: true },
    };
    let told = rig.carry(route, Options::default()).await;
    assert_eq!(told.summary.failures.len(), 1);
    let situation = &told.summary.failures[0].situation;
    assert!(matches!(situation, Situation::SameTarget { .. }), "{situation:?}");
    assert_eq!(fs::read(target.join("d/file")).unwrap(), b"one");

    // Contents are meant to be mixed: there the policy decides.
    let route = Route::Upload {
        sources: vec![on_disk(&one, true), on_disk(&two, true)],
        target: Target { path: home("mixed"), is_folder: true },
    };
    let told = rig.carry(route, options(OnConflict::Rename)).await;
    assert_eq!(told.expect_done().done, 2);
    assert_eq!(fs::read(rig.home().join("mixed/file")).unwrap(), b"one");
    assert_eq!(fs::read(rig.home().join("mixed/file (2)")).unwrap(), b"two!");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_grows_is_never_published_as_it_was() {
    let rig = Rig::start().await;
    let source = rig.local("tree");
    let file = source.join("log");
    fs::write(&file, noise(1, 8 << 20)).unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let writer = {
        let (file, stop) = (file.clone(), std::sync::Arc::clone(&stop));
        std::thread::spawn(move || {
            use std::io::Write;
            let mut file = fs::File::options().append(true).open(file).unwrap();
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                file.write_all(b"one more line\n").unwrap();
            }
        })
    };
    let told = rig.carry(up(&file, false, "", true), Options::default()).await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    writer.join().unwrap();
    assert_eq!(told.summary.failures[0].situation, Situation::SourceChanged(Side::Local));
    assert!(!rig.home().join("log").exists());
    assert_eq!(rig.reserved().await, 0, "given up, so that it holds no quota");
    rig.carry(up(&file, false, "", true), Options::default()).await.expect_done();
    assert_eq!(fs::read(rig.home().join("log")).unwrap(), fs::read(&file).unwrap());
}

/// Keeping both is finished by a repetition as all else is: what an earlier run put beside is found
/// there, whether that run came to its end or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_kept_beside_is_kept_once_however_often_it_is_ordered() {
    let rig = Rig::start().await;
    let source = rig.local("tree");
    let target = rig.local("down");
    for (name, length) in [("a.txt", 10), ("big.bin", 300_000)] {
        fs::write(source.join(name), noise(1, length)).unwrap();
        fs::write(rig.home().join(name), b"old and other").unwrap();
        fs::write(target.join(name), b"mine").unwrap();
        let there = fs::read(rig.home().join(name)).unwrap();
        let (stem, extension) = name.split_once('.').unwrap();
        let second = format!("{stem} (2).{extension}");
        for outcome in [None, Some(Outcome::Unchanged)] {
            let file = source.join(name);
            let told = rig.carry(up(&file, false, "", true), options(OnConflict::Rename)).await;
            assert!(outcome.is_none() || told.outcome_of(name) == outcome.as_ref().unwrap());
            let told = rig.carry(down(name, false, &target, true), options(OnConflict::Rename));
            let told = told.await;
            assert!(outcome.is_none() || told.outcome_of(name) == outcome.as_ref().unwrap());
        }
        assert_eq!(fs::read(rig.home().join(&second)).unwrap(), noise(1, length));
        assert_eq!(fs::read(target.join(&second)).unwrap(), there);
        // Other content of the same size and time is another file.
        let time = fs::metadata(source.join(name)).unwrap().modified().unwrap();
        let other = source.join(name);
        fs::write(&other, noise(2, length)).unwrap();
        fs::File::options().write(true).open(&other).unwrap().set_modified(time).unwrap();
        rig.carry(up(&other, false, "", true), options(OnConflict::Rename)).await.expect_done();
        let third = rig.home().join(format!("{stem} (3).{extension}"));
        assert_eq!(fs::read(third).unwrap(), noise(2, length));
    }
    assert_eq!(fs::read_dir(&target).unwrap().count(), 4);
    assert_eq!(fs::read_dir(rig.home()).unwrap().count(), 6);
}

/// A run that was killed may have sent all of a file: the server publishes it after the next run has
/// looked. That is no stranger's file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_run_sent_and_the_server_publishes_late_is_there_already() {
    let rig = Rig::start().await;
    let source = rig.local("tree");
    let names = [("small", 10), ("big", 300_000), ("small other", 10), ("big other", 300_000)];
    for (name, length) in names {
        fs::write(source.join(name), noise(1, length)).unwrap();
    }
    let (mut run, _) = Run::resume(rig.remote().await, rig.journal("carry"), Settings::default());
    run.tell(Command::Pause);
    let batch = Batch { route: up(&source, true, "", true), options: options(OnConflict::Fail) };
    run.tell(Command::Submit(BatchId(1), batch));
    while !matches!(run.next().await, Event::Planned { complete: true, .. }) {}
    for (name, length) in names {
        let there = rig.home().join(name);
        let seed = if name.ends_with("other") { 2 } else { 1 };
        fs::write(&there, noise(seed, length)).unwrap();
        let time = fs::metadata(source.join(name)).unwrap().modified().unwrap();
        fs::File::options().write(true).open(&there).unwrap().set_modified(time).unwrap();
    }
    run.tell(Command::Resume);
    let told = run.finish().await;
    run.stop().await;
    for (name, _) in names {
        let expected = if name.ends_with("other") {
            let changed = Situation::TargetChanged(Side::Remote);
            matches!(told.outcome_of(name), Outcome::Failed(failure) if failure.situation == changed)
        } else {
            *told.outcome_of(name) == Outcome::Unchanged
        };
        assert!(expected, "{name}: {:?}", told.outcome_of(name));
    }
    assert_eq!(rig.reserved().await, 0);
}

/// More than the questions of one batch that may wait, and the steps that are underway.
const MANY_QUESTIONS: usize = 10_000;
/// What the engine lets wait, with what was underway when it was reached.
const MOST_ASKED: usize = 8192 + 1024 + 64;

/// A person who does not answer holds up no other batch, and is not asked without end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_without_an_answer_hold_up_no_other_batch() {
    let rig = Rig::in_memory().await;
    let (mine, other) = (rig.local("mine"), rig.local("other"));
    let there = rig.home().join("there");
    fs::create_dir(&there).unwrap();
    for number in 0..MANY_QUESTIONS {
        fs::write(mine.join(number.to_string()), b"new").unwrap();
        fs::write(there.join(number.to_string()), b"old and other").unwrap();
    }
    fs::write(other.join("file"), b"content").unwrap();
    let route = up(&mine, true, "there", true);
    let asks = options(OnConflict::Ask);
    let mut run = Run::begin(rig.remote().await, rig.journal("many"), route, asks.clone());
    let mut asked = 0;
    while asked < 8192 {
        asked += usize::from(matches!(run.next().await, Event::Conflict { .. }));
    }
    let batch = Batch { route: up(&other, false, "", true), options: asks };
    run.tell(Command::Submit(BatchId(2), batch));
    loop {
        match run.next().await {
            Event::Conflict { .. } => asked += 1,
            Event::Summary { batch: BatchId(2), summary } => {
                assert_eq!((summary.done, summary.failed), (2, 0), "{summary:?}");
                break;
            }
            Event::Summary { summary, .. } => panic!("nobody answered: {summary:?}"),
            _ => {}
        }
    }
    assert!(asked <= MOST_ASKED, "{asked} questions wait");
    assert_eq!(fs::read(rig.home().join("other/file")).unwrap(), b"content");

    // One answer for all lets the rest be found, too.
    let Some(Event::Conflict { item, .. }) =
        run.seen().iter().find(|event| matches!(event, Event::Conflict { .. })).cloned()
    else {
        unreachable!("they were counted")
    };
    run.tell(Command::Resolve { item, answer: Resolution::Skip, whole_batch: true });
    let told = run.finish().await;
    assert_eq!(told.summary.skipped, MANY_QUESTIONS as u64, "{:?}", told.summary);
    run.stop().await;
}
