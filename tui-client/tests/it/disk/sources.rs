//! Sources that change while they are read: never published as verified with bytes of two states
//! (HARDENING 2.9).

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustix::fs::OFlags;
use rustix::io::Errno;
use sampan_client::failure::{Side, Situation};
use sampan_client::local::{Call, Disk, Faults};
use sampan_client::message::Message;
use sampan_client::remote::Remote;
use sampan_client::transfer::{
    Batch, BatchId, Command, Engine, Event, OnConflict, Options, Outcome, Settings, Started,
};

use crate::engine::rig::{Rig, noise, up};

/// Files that travel in a pack, and one of several blocks.
const FILES: [(&str, usize); 2] = [("big", (1 << 20) + 5), ("small", 3000)];

/// What happens to a file while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Grow,
    Shrink,
    Vanish,
    Unreadable,
    Replaced,
    /// Other bytes, the same size, the time put back: only ctime tells.
    Rewritten,
    /// The same in the last block only.
    RewrittenAtTheEnd,
    /// Empty for two calls, then as before.
    EmptyAndBack,
    Folder,
    Link,
}

const CHANGES: [Change; 10] = [
    Change::Grow,
    Change::Shrink,
    Change::Vanish,
    Change::Unreadable,
    Change::Replaced,
    Change::Rewritten,
    Change::RewrittenAtTheEnd,
    Change::EmptyAndBack,
    Change::Folder,
    Change::Link,
];

fn rewrite(path: &Path, bytes: &[u8], offset: u64) {
    let file = File::options().write(true).open(path).unwrap();
    let before = file.metadata().unwrap().modified().unwrap();
    file.write_all_at(bytes, offset).unwrap();
    file.set_modified(before).unwrap();
}

impl Change {
    fn happens_to(self, path: &Path, length: usize) {
        let other = noise(77, length);
        match self {
            Self::Grow => {
                let mut file = File::options().append(true).open(path).unwrap();
                file.write_all(b"more").unwrap();
            }
            Self::Shrink => {
                let file = File::options().write(true).open(path).unwrap();
                file.set_len(length as u64 / 2).unwrap();
            }
            Self::Vanish => fs::remove_file(path).unwrap(),
            Self::Unreadable => {
                fs::set_permissions(path, fs::Permissions::from_mode(0o000)).unwrap();
            }
            Self::Replaced => {
                let beside = path.with_extension("new");
                fs::write(&beside, other).unwrap();
                fs::rename(beside, path).unwrap();
            }
            Self::Rewritten => rewrite(path, &other, 0),
            Self::RewrittenAtTheEnd => rewrite(path, b"end", length as u64 - 3),
            Self::EmptyAndBack => {
                File::options().write(true).open(path).unwrap().set_len(0).unwrap();
            }
            Self::Folder => {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            }
            Self::Link => {
                fs::remove_file(path).unwrap();
                symlink("/etc/passwd", path).unwrap();
            }
        }
    }
}

/// Changes all files of a folder before the n-th call.
struct Meddler {
    folder: PathBuf,
    change: Change,
    state: Mutex<(usize, usize)>,
}

impl Faults for Meddler {
    fn before(&self, call: Call<'_>) -> Result<usize, Errno> {
        let mut state = self.state.lock().unwrap();
        let (at, now) = *state;
        state.1 += 1;
        for (name, length) in FILES {
            let path = self.folder.join(name);
            if now == at {
                self.change.happens_to(&path, length);
            } else if now == at + 2 && self.change == Change::EmptyAndBack {
                rewrite(&path, &content(name, length), 0);
            }
        }
        match call {
            // Root reads what nobody may; for root this stands in for the kernel.
            Call::Open { flags }
                if self.change == Change::Unreadable
                    && now >= at
                    && !flags.intersects(OFlags::DIRECTORY | OFlags::PATH) =>
            {
                Err(Errno::ACCESS)
            }
            _ => Ok(usize::MAX),
        }
    }
}

fn content(name: &str, length: usize) -> Vec<u8> {
    noise(name.len() as u64, length)
}

async fn put(rig: &Rig, remote: &Remote, journal: &str, folder: &Path, disk: Disk) -> Vec<Event> {
    let options =
        Options { on_conflict: OnConflict::Overwrite, checksum: true, ..Options::default() };
    let route = up(folder, true, journal, true);
    let (journal, settings) = (rig.journal(journal), Settings::default());
    let started = Engine::start_on(disk, remote.clone(), journal, settings);
    let Started { engine, mut events, .. } = started;
    engine.send(Command::Submit(BatchId(1), Batch { route, options })).await.unwrap();
    let mut told = Vec::new();
    loop {
        match events.recv().await.unwrap() {
            Event::Summary { .. } => break,
            event => told.push(event),
        }
    }
    engine.stop().await.unwrap();
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_changes_before_any_call_is_never_published_mixed() {
    let rig = Rig::in_memory().await;
    let remote = rig.remote().await;
    let (mut rounds, mut outcomes) = (0, HashMap::new());
    for change in CHANGES {
        for at in 0.. {
            let name = format!("{change:?}-{at}");
            let folder = rig.local(&name);
            for (name, length) in FILES {
                fs::write(folder.join(name), content(name, length)).unwrap();
            }
            let state = Mutex::new((at, 0));
            let meddler = Arc::new(Meddler { folder: folder.clone(), change, state });
            let disk = Disk::with(Arc::<Meddler>::clone(&meddler));
            let told = put(&rig, &remote, &name, &folder, disk).await;
            if meddler.state.lock().unwrap().1 <= at {
                break;
            }
            rounds += 1;
            let what = format!("{change:?} before call {at}: {told:?}");
            check(&rig, &name, &folder, &told, &what, &mut outcomes);
            let quota = remote.quota().await.unwrap();
            assert_eq!(quota.reserved, 0, "an upload is left: {what}");

            // At rest again: the same command makes both sides the same.
            put(&rig, &remote, &name, &folder, Disk::default()).await;
            for (file, _) in FILES.iter().filter(|(file, _)| is_file(&folder.join(file))) {
                let there = fs::read(rig.home().join(&name).join(file)).unwrap();
                assert!(there == fs::read(folder.join(file)).unwrap(), "{file}: {what}");
            }
            fs::remove_dir_all(&folder).unwrap();
            fs::remove_dir_all(rig.home().join(&name)).unwrap();
        }
    }
    println!("{rounds} rounds, {outcomes:?}");
}

fn is_file(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|about| about.is_file())
}

/// What was published is one state of the file, and what was told of it is true.
fn check(
    rig: &Rig,
    name: &str,
    folder: &Path,
    told: &[Event],
    what: &str,
    outcomes: &mut HashMap<String, usize>,
) {
    for (file, length) in FILES {
        let there = fs::read(rig.home().join(name).join(file)).ok();
        let mut states = vec![content(file, length), Vec::new()];
        if is_file(&folder.join(file)) {
            states.push(fs::read(folder.join(file)).unwrap());
        }
        let is_one_state = there.as_ref().is_none_or(|there| states.contains(there));
        assert!(is_one_state, "{file} is mixed: {what}");
        let outcome = told.iter().find_map(|event| match event {
            Event::Finished { from, outcome, .. }
                if from.name().is_some_and(|name| name.as_bytes() == file.as_bytes()) =>
            {
                Some(outcome)
            }
            _ => None,
        });
        let short = match outcome {
            Some(Outcome::Done { root: Some(root), .. }) => {
                let there = there.unwrap_or_else(|| panic!("{file} was told: {what}"));
                assert_eq!(blake3::hash(&there).as_bytes(), root.as_bytes(), "{file}: {what}");
                "done".to_owned()
            }
            Some(Outcome::Failed(failure)) => {
                let is_named = matches!(
                    failure.situation,
                    Situation::SourceChanged(Side::Local)
                        | Situation::NotFound(Side::Local)
                        | Situation::IsAFolder(Side::Local)
                        | Situation::IsALink(Side::Local)
                        | Situation::PermissionDenied(Side::Local)
                );
                assert!(is_named && failure.subject.ends_with(file), "{failure:?}: {what}");
                let next = Message::of(failure, None).next;
                let is_plain =
                    matches!(failure.situation, Situation::NotFound(_) | Situation::IsAFolder(_));
                assert!(is_plain || next.is_some(), "{failure:?}");
                let all = format!("{:?}", failure.situation);
                all[..all.find('(').unwrap()].to_owned()
            }
            // It was a folder before it was met.
            Some(Outcome::Done { root: None, .. }) => "folder".to_owned(),
            Some(Outcome::Skipped(reason)) => format!("{reason:?}"),
            // Gone before it was met.
            None => "not there".to_owned(),
            Some(other) => panic!("{other:?}: {what}"),
        };
        *outcomes.entry(short).or_default() += 1;
    }
}

/// Somebody writes the whole file anew, again and again, while it is carried; rounds by
/// `SAMPAN_RACE_ROUNDS`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_rewritten_all_the_time_is_published_in_one_state_or_not() {
    const LENGTH: usize = (1 << 20) + 9;
    let rounds = std::env::var("SAMPAN_RACE_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let rounds: usize = rounds.unwrap_or(40);
    let rig = Rig::in_memory().await;
    let remote = rig.remote().await;
    let folder = rig.local("race");
    let path = folder.join("file");
    fs::write(&path, vec![0; LENGTH]).unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let (told_to_stop, written) = (Arc::clone(&stop), path.clone());
    let writer = std::thread::spawn(move || {
        let file = File::options().write(true).open(written).unwrap();
        let mut letter = 0_u8;
        while !told_to_stop.load(Ordering::Relaxed) {
            letter = letter.wrapping_add(1);
            file.write_all_at(&vec![letter; LENGTH], 0).unwrap();
            // Now and then it rests long enough to be read.
            if letter.is_multiple_of(16) {
                std::thread::park_timeout(std::time::Duration::from_millis(60));
            }
        }
    });
    let (mut done, mut refused) = (0, 0);
    for round in 0..rounds {
        let told = put(&rig, &remote, &format!("race-{round}"), &folder, Disk::default()).await;
        let published = fs::read(rig.home().join(format!("race-{round}/file")));
        for event in told {
            match event {
                Event::Finished { outcome: Outcome::Done { root: Some(_), .. }, .. } => {
                    let published = published.as_ref().unwrap();
                    let first = published[0];
                    let mixed = published.iter().position(|byte| *byte != first);
                    assert_eq!((published.len(), mixed), (LENGTH, None), "round {round}");
                    done += 1;
                }
                Event::Finished { outcome: Outcome::Failed(failure), .. } => {
                    assert_eq!(failure.situation, Situation::SourceChanged(Side::Local));
                    refused += 1;
                }
                _ => {}
            }
        }
    }
    stop.store(true, Ordering::Relaxed);
    writer.join().unwrap();
    println!("{done} published, {refused} refused");
    assert!(done + refused == rounds && done > 0, "{done} published, {refused} refused");
}
