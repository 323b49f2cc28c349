//! What is carried while the disk fails, and what must be true then.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sampan_client::failure::{Failure, Side, Situation};
use sampan_client::local::{Disk, Faults};
use sampan_client::message::Message;
use sampan_client::remote::Remote;
use sampan_client::state::{Journal, State};
use sampan_client::transfer::{
    Batch, BatchId, Command, Engine, Event, OnConflict, Options, Route, Settings, Started, Summary,
};

use crate::engine::rig::{Rig, down, noise, up};

/// What is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    SmallFile,
    BigFile,
    /// The big file, of which an earlier run left a part.
    BigResumed,
    /// Small files in folders, with modes and times.
    Tree,
    /// A small and a big file in the place of others.
    Overwrite,
    /// Small files and a big one to the server.
    Upload,
    /// Small files only.
    SmallUpload,
}

/// A server, a link to it, and what lies on both sides.
pub(super) struct Bench {
    pub(super) rig: Rig,
    remote: Remote,
    rounds: usize,
}

/// A folder on this side for one round.
pub(super) struct Round {
    pub(super) scenario: Scenario,
    pub(super) local: PathBuf,
    journal: String,
}

/// Files and folders below a folder: mode, time and, of a file, content.
pub(super) type Tree = BTreeMap<PathBuf, (u32, i64, Option<Vec<u8>>)>;

pub(super) fn tree_of(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner).unwrap() {
            let path = entry.unwrap().path();
            let about = fs::symlink_metadata(&path).unwrap();
            let content = about.is_file().then(|| fs::read(&path).unwrap());
            let below = path.strip_prefix(folder).unwrap().to_owned();
            if about.is_dir() {
                folders.push(path);
            }
            tree.insert(below, (about.mode() & 0o7777, about.mtime(), content));
        }
    }
    tree
}

pub(super) fn is_staging(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".sampan-"))
}

const BIG: usize = (2 << 20) + 12_345;
pub(super) const OLD: &[u8] = b"what was there before";

/// A tree of small files, each folder and file with a mode and a time of its own.
fn write_tree(folder: &Path) {
    let files = ["a/one", "a/two", "a/deep/er/three", "b/four", "five"];
    for (number, name) in (0_u32..).zip(files) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, noise(number.into(), 300 * (number as usize + 1))).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600 + 0o11 * number)).unwrap();
        set_time(&path, 1_000_000 + u64::from(number));
    }
    for (number, name) in (0_u32..).zip(["a/deep/er", "a/deep", "a", "b"]) {
        let path = folder.join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        set_time(&path, 2_000_000 + u64::from(number));
    }
}

fn set_time(path: &Path, seconds: u64) {
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

impl Bench {
    pub(super) async fn new() -> Self {
        let rig = Rig::in_memory().await;
        let home = rig.home();
        fs::write(home.join("small"), noise(100, 5_000)).unwrap();
        fs::write(home.join("big"), noise(101, BIG)).unwrap();
        for name in ["small", "big"] {
            fs::set_permissions(home.join(name), fs::Permissions::from_mode(0o640)).unwrap();
            set_time(&home.join(name), 3_000_000);
        }
        fs::create_dir(home.join("tree")).unwrap();
        write_tree(&home.join("tree"));
        let remote = rig.remote().await;
        Self { rig, remote, rounds: 0 }
    }

    /// Prepares one round.
    pub(super) async fn round(&mut self, scenario: Scenario) -> Round {
        self.rounds += 1;
        let name = format!("round {}", self.rounds);
        let local = self.rig.local(&name);
        let round = Round { scenario, local, journal: name };
        match scenario {
            Scenario::Overwrite => {
                for name in ["small", "big"] {
                    fs::write(round.local.join(name), OLD).unwrap();
                }
            }
            Scenario::SmallUpload => write_tree(&round.local.join("tree")),
            Scenario::Upload => {
                write_tree(&round.local.join("tree"));
                fs::write(round.local.join("tree/big"), noise(101, BIG)).unwrap();
            }
            Scenario::BigResumed => {
                let faults = super::faults::FailAt::new(12, WRITE_FAILS);
                self.run(&round, Disk::with(Arc::new(faults))).await;
                assert!(tree_of(&round.local).keys().any(|path| is_staging(path)), "nothing left");
            }
            Scenario::SmallFile | Scenario::BigFile | Scenario::Tree => {}
        }
        round
    }

    /// Runs it as one command does.
    pub(super) async fn run(&self, round: &Round, disk: Disk) -> Summary {
        self.told(round, disk, |_| {}).await
    }

    /// The same, with everything that is told on the way.
    pub(super) async fn told(
        &self,
        round: &Round,
        disk: Disk,
        tell: impl FnMut(&Event),
    ) -> Summary {
        let journal = self.rig.journal(&round.journal);
        self.carry_and_tell(round, disk, journal, tell).await.0
    }

    /// The same, with a journal that was opened before and is given back.
    pub(super) async fn carry(
        &self,
        round: &Round,
        disk: Disk,
        journal: Journal,
    ) -> (Summary, Journal) {
        self.carry_and_tell(round, disk, journal, |_| {}).await
    }

    pub(super) async fn carry_and_tell(
        &self,
        round: &Round,
        disk: Disk,
        journal: Journal,
        mut tell: impl FnMut(&Event),
    ) -> (Summary, Journal) {
        let (route, options) = Self::order(round);
        let settings = Settings::default();
        let started = Engine::start_on(disk, self.remote.clone(), journal, settings);
        let Started { engine, mut events, resumed } = started;
        // What is ordered now has the next number.
        let id = BatchId(1 + resumed.iter().map(|(id, _)| id.0).max().unwrap_or(0));
        engine.send(Command::Submit(id, Batch { route, options })).await.unwrap();
        let summary = loop {
            let event = tokio::time::timeout(std::time::Duration::from_mins(1), events.recv());
            match event.await.expect("the engine tells something").expect("the engine lives") {
                Event::Summary { batch, summary } if batch == id => break summary,
                event => tell(&event),
            }
        };
        (summary, engine.stop().await.unwrap())
    }

    /// The journal of a round on a disk that may fail.
    pub(super) fn journal_on(
        &self,
        round: &Round,
        is_queue: bool,
        disk: Disk,
    ) -> Result<Journal, Failure> {
        let state = State::under(&self.rig.state_home()).on(disk);
        if is_queue {
            self.rig.queue_journal_in(&state)
        } else {
            self.rig.journal_in(&state, &round.journal)
        }
    }

    fn order(round: &Round) -> (Route, Options) {
        let options = Options::default();
        let local = &round.local;
        match round.scenario {
            Scenario::SmallFile => (down("small", false, &local.join("new/small"), false), options),
            Scenario::BigFile | Scenario::BigResumed => (down("big", false, local, true), options),
            Scenario::Tree => (down("tree", false, local, true), options),
            Scenario::Overwrite => {
                let mut route = down("small", false, local, true);
                if let (Route::Download { sources, .. }, Route::Download { sources: more, .. }) =
                    (&mut route, down("big", false, local, true))
                {
                    sources.extend(more);
                }
                (route, Options { on_conflict: OnConflict::Overwrite, ..options })
            }
            Scenario::Upload | Scenario::SmallUpload => {
                (up(&local.join("tree"), true, &Self::sent_to(round), true), options)
            }
        }
    }

    fn sent_to(round: &Round) -> String {
        round.journal.replace(' ', "-")
    }

    /// Where it arrives, and what must be there in the end.
    fn ends(&self, round: &Round) -> (PathBuf, Tree) {
        let home = self.rig.home();
        let only = |names: &[(&str, &str)]| {
            let all = tree_of(&home);
            names.iter().map(|(to, from)| (to.into(), all[Path::new(from)].clone())).collect()
        };
        match round.scenario {
            Scenario::SmallFile => (round.local.join("new"), only(&[("small", "small")])),
            Scenario::BigFile | Scenario::BigResumed => {
                (round.local.clone(), only(&[("big", "big")]))
            }
            Scenario::Tree => (round.local.join("tree"), tree_of(&home.join("tree"))),
            Scenario::Overwrite => {
                (round.local.clone(), only(&[("small", "small"), ("big", "big")]))
            }
            Scenario::Upload | Scenario::SmallUpload => {
                (home.join(Self::sent_to(round)), tree_of(&round.local.join("tree")))
            }
        }
    }

    /// Under each final name there is the old file or the new one, whole.
    pub(super) fn check_always(&self, round: &Round, what: &str) {
        let (target, wanted) = self.ends(round);
        if !target.exists() {
            return;
        }
        let there = tree_of(&target);
        for (path, (_, _, content)) in &there {
            if is_staging(path) {
                continue;
            }
            let wanted =
                wanted.get(path).unwrap_or_else(|| panic!("{what}: {} appeared", path.display()));
            let is_old = round.scenario == Scenario::Overwrite && content.as_deref() == Some(OLD);
            assert!(is_old || *content == wanted.2, "{what}: {} is half", path.display());
        }
        if round.scenario == Scenario::Overwrite {
            for name in ["small", "big"] {
                assert!(there.contains_key(Path::new(name)), "{what}: {name} is gone");
            }
        }
    }

    /// All is there, and nothing else.
    pub(super) fn check_done(&self, round: &Round, what: &str) {
        let (target, wanted) = self.ends(round);
        let there = tree_of(&target);
        let names = |tree: &Tree| tree.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&there), names(&wanted), "{what}");
        assert!(there == wanted, "{what}: something differs");
    }

    /// Every failure says what happened, to which file, and what to do next.
    pub(super) fn check_failures(summary: &Summary, is_full: bool, what: &str) {
        for failure in &summary.failures {
            let expected = match &failure.situation {
                Situation::DiskFull(Side::Local) => is_full,
                Situation::DiskFailed(Side::Local, _) => !is_full,
                _ => false,
            };
            assert!(expected, "{what}: {failure:?}");
            assert!(failure.subject.contains('/'), "{what}: {failure:?}");
            let message = Message::of(failure, None);
            assert!(message.next.is_some(), "{what}: {message}");
        }
        assert_eq!(summary.failed, summary.failures.len() as u64, "{what}");
    }

    pub(super) fn forget(&self, round: &Round) {
        fs::remove_dir_all(&round.local).unwrap();
        if matches!(round.scenario, Scenario::Upload | Scenario::SmallUpload) {
            fs::remove_dir_all(self.rig.home().join(Self::sent_to(round))).unwrap();
        }
    }

    /// A disk with these faults.
    pub(super) fn disk(faults: &Arc<impl Faults>) -> Disk {
        Disk::with(Arc::<_>::clone(faults) as Arc<dyn Faults>)
    }
}

/// Leaves a part of a big file behind.
const WRITE_FAILS: super::faults::Fault = super::faults::Fault::FullFrom(rustix::io::Errno::NOSPC);
