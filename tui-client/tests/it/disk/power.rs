//! The power goes at every step of a download: what was told as done is there, nothing half has a
//! final name, and the same command again finishes it (HARDENING 2.4, 2.10, 2.11).

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use sampan_client::local::{Condition, Disk, Group, NewFile, StagingName, TargetRoot, Whole};
use sampan_client::place::Location;
use sampan_client::transfer::{Event, Outcome};
use sampan_protocol::{Mode, RemotePath, Timestamp};

use super::recorder::{Recorder, Recording};
use super::scenario::{Bench, Round, Scenario, Tree, is_staging};

/// States after which the command is given again, in a scenario; all with `SAMPAN_POWER_CUTS=all`.
const REPEATED: usize = 40;

/// Whether so many, of all, are to be looked at.
fn step(all: usize) -> usize {
    if std::env::var_os("SAMPAN_POWER_CUTS").is_some_and(|which| which == "all") {
        1
    } else {
        all.div_ceil(REPEATED).max(1)
    }
}

/// Random numbers that are the same in every run.
pub(super) fn lots() -> impl FnMut() -> u64 {
    let mut reader = blake3::Hasher::new().update(b"lots of power cuts").finalize_xof();
    move || {
        let mut bytes = [0; 8];
        reader.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// Looks at every state that every prefix may leave; gives the distinct ones. `wanted` is what is
/// carried, and `old` says what was there before.
fn check_prefixes(
    what: &str,
    recording: &Recording,
    wanted: &Tree,
    old: impl Fn(&Path, &[u8]) -> bool,
) -> Vec<Tree> {
    let (mut drawn, mut seen, mut distinct, mut states) = (lots(), HashSet::new(), Vec::new(), 0);
    for prefix in 0..=recording.len() {
        let told: HashSet<&Path> = recording.told_before(prefix).collect();
        for (lost, model) in recording.states(prefix, &mut drawn) {
            states += 1;
            let tree = model.tree();
            let why = || {
                let lost: Vec<_> = lost.iter().map(|at| recording.show(*at)).collect();
                let ended: Vec<_> =
                    (prefix.saturating_sub(6)..prefix).map(|at| recording.show(at)).collect();
                format!("{what}: after {prefix} operations, the last {ended:#?}, without {lost:#?}")
            };
            for (path, there) in tree.iter().filter(|(path, _)| !is_staging(path)) {
                let Some(content) = &there.2 else { continue };
                let is_new = wanted.get(path) == Some(there);
                assert!(is_new || old(path, content), "{}: {} is half", why(), path.display());
            }
            for path in &told {
                assert!(
                    tree.get(*path) == wanted.get(*path),
                    "{}: {} was told",
                    why(),
                    path.display()
                );
            }
            if seen.insert(digest(&tree)) {
                distinct.push(tree);
            }
        }
    }
    let all = recording.len();
    println!("{what}: {all} operations, {states} states, {} distinct", distinct.len());
    distinct
}

pub(super) fn digest(tree: &Tree) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for (path, (mode, seconds, content)) in tree {
        hasher.update(
            format!("{} {mode} {seconds} {}", path.display(), content.is_some()).as_bytes(),
        );
        hasher.update(blake3::hash(content.as_deref().unwrap_or_default()).as_bytes());
    }
    hasher.finalize()
}

pub(super) fn lay_out(folder: &Path, tree: &Tree) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }
    // In the order of paths a folder comes before what is in it; times are set the other way.
    for (path, (mode, _, content)) in tree {
        let path = folder.join(path);
        match content {
            Some(bytes) => fs::write(&path, bytes).unwrap(),
            None => fs::create_dir(&path).unwrap(),
        }
        fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
    }
    for (path, (_, seconds, _)) in tree.iter().rev().filter(|(_, there)| there.1 >= 0) {
        let time = UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs());
        fs::File::open(folder.join(path)).unwrap().set_modified(time).unwrap();
    }
}

async fn survives_a_power_cut(scenario: Scenario) {
    let mut bench = Bench::new().await;
    let round = bench.round(scenario).await;
    let recorder = Arc::new(Recorder::of(&round.local));
    let below = |path: &Path| path.strip_prefix(&round.local).unwrap().to_owned();
    let note = |event: &Event| {
        if let Event::Finished {
            to: Location::Local(path), outcome: Outcome::Done { .. }, ..
        } = event
        {
            recorder.told(&below(path));
        }
    };
    let summary = bench.told(&round, Bench::disk(&recorder), note).await;
    assert_eq!(summary.failed, 0, "{summary:?}");
    let wanted = super::scenario::tree_of(&round.local);
    // That it ended well is told of all of it.
    for path in wanted.keys().filter(|path| path.as_path() != Path::new("new")) {
        recorder.told(path);
    }
    let what = format!("{scenario:?}");
    let old = |_: &Path, content: &[u8]| {
        scenario == Scenario::Overwrite && content == super::scenario::OLD
    };
    let states = check_prefixes(&what, &recorder.ended(), &wanted, old);
    repeat(&bench, &round, &states, &what).await;
}

/// Gives the command again after a power cut left each of these.
async fn repeat(bench: &Bench, round: &Round, states: &[Tree], what: &str) {
    let mut repeated = 0;
    for state in states.iter().step_by(step(states.len())) {
        lay_out(&round.local, state);
        let summary = bench.run(round, Disk::default()).await;
        let names: Vec<_> = state.keys().collect();
        assert_eq!(summary.failed, 0, "{what}, from {names:?}: {summary:?}");
        bench.check_done(round, &format!("{what}, from {names:?}"));
        repeated += 1;
    }
    println!("{what}: repeated after {repeated} of them");
}

macro_rules! power_cuts {
    ($($test:ident = $scenario:ident,)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $test() {
                survives_a_power_cut(Scenario::$scenario).await;
            }
        )*
    };
}

power_cuts! {
    a_power_cut_while_getting_a_small_file = SmallFile,
    a_power_cut_while_getting_a_big_file = BigFile,
    a_power_cut_while_resuming_a_big_file = BigResumed,
    a_power_cut_while_getting_a_tree = Tree,
    a_power_cut_while_overwriting = Overwrite,
}

/// The moment a group is published its files last, with the way to them: no later flush of the
/// batch is needed for what was told by then.
#[test]
fn what_a_group_published_lasts_from_that_moment_on() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Recorder::of(dir.path()));
    let root = TargetRoot::create_on(&Bench::disk(&recorder), &dir.path().join("x/y")).unwrap();
    let at = |path: &str| RemotePath::parse(path.as_bytes()).unwrap();
    let mtime = Timestamp::new(1_234_567, 0).unwrap();
    let (mode, condition) = (Mode::new(0o640), Condition::Absent);
    let put = |group: &mut Group, path: &str, number: u64| {
        let (at, staging) = (at(path), StagingName::of(number));
        let (content, staging) = (path.as_bytes(), &staging);
        group.put(&Whole { at: &at, staging, content, mode, mtime, condition }).unwrap();
    };
    let publish = |group: Group, paths: &[&str]| {
        assert!(group.publish().iter().all(Result::is_ok));
        for path in paths {
            recorder.told(&Path::new("x/y").join(path));
        }
    };
    for folder in ["d", "d/e", "d/f"] {
        root.make_folder(&at(folder)).unwrap();
    }
    let mut group = Group::new(&root, true);
    put(&mut group, "d/e/one", 1);
    publish(group, &["d/e/one"]);

    let (big, staging) = (at("d/f/big"), StagingName::of(2));
    let staged = root.stage(NewFile { at: &big, staging: &staging, size: 7 }).unwrap();
    staged.write_at(b"d/f", 0).unwrap();
    staged.flush().unwrap();
    staged.write_at(b"/big", 3).unwrap();
    let mut group = Group::new(&root, true);
    group.add(staged, mode, mtime, condition).unwrap();
    publish(group, &["d/f/big"]);

    root.make_folder(&at("d/g")).unwrap();
    let mut group = Group::new(&root, true);
    let many: Vec<String> = (0..6).map(|number| format!("d/g/{number}")).collect();
    for (number, path) in (10..).zip(&many) {
        put(&mut group, path, number);
    }
    publish(group, &many.iter().map(String::as_str).collect::<Vec<_>>());

    let wanted = super::scenario::tree_of(dir.path());
    check_prefixes("groups", &recorder.ended(), &wanted, |_, _| false);
}
