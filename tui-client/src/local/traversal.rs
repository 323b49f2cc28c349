//! One corpus of ways out of a folder, run on every function that takes a name or a path of the
//! other side (HARDENING S1, S3, S6, S7, S25). One that is not in the table fails the test.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use sampan_protocol::{Mode, Name, RemotePath, Timestamp};

use super::target::Names;
use super::testing::{at, files};
use super::{Condition, Folder, Group, NewFile, Source, StagingName, TargetRoot, Whole, change};
use crate::failure::Failure;
use crate::transfer::Links;

/// The chosen folder, and what lies outside of it.
struct Shore {
    dir: tempfile::TempDir,
    root: TargetRoot,
    folder: Folder,
}

fn shore() -> Shore {
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let (inside, outside) = (dir.path().join("root"), dir.path().join("outside"));
    for folder in [inside.join("in"), outside.join("deep")] {
        fs::create_dir_all(folder).unwrap();
    }
    for file in ["precious", "deep/er"] {
        fs::write(outside.join(file), file).unwrap();
    }
    for (link, to) in [
        ("up", "../outside"),
        ("in/up", "../../outside"),
        ("chain", "up"),
        ("loop", "loop"),
        ("dot", "."),
        ("dots", ".."),
        ("slash", "/"),
        ("magic", "/proc/self/cwd"),
        ("file", "../outside/precious"),
        ("dangling", "../outside/new"),
    ] {
        symlink(to, inside.join(link)).unwrap();
    }
    symlink(&outside, inside.join("straight")).unwrap();
    let root = TargetRoot::open(&inside).unwrap();
    let folder = Folder::open(&inside).unwrap();
    Shore { dir, root, folder }
}

/// Ways out over links, each of which must be refused, and names that only look like ways out.
fn corpus() -> Vec<(RemotePath, bool)> {
    let links = ["up", "in/up", "chain", "loop", "dot", "dots", "slash", "magic", "straight"];
    let mut corpus = Vec::new();
    for link in links {
        for below in ["precious", "new", "deep/er", "deep/new", "in/x", "outside/precious"] {
            corpus.push((at(&format!("{link}/{below}")), true));
        }
    }
    for link in ["file", "dangling"] {
        corpus.push((at(&format!("{link}/x")), true));
    }
    // The link itself as a place: it may be replaced or refused, and is never written through.
    corpus.extend(links.iter().chain(&["file", "dangling"]).map(|link| (at(link), false)));
    for odd in ["..\\..\\x", "%2e%2e%2fx", "...", "~root", "C:\\x", "\u{2024}\u{2024}", "-rf"] {
        corpus.push((at(odd), false));
        corpus.push((at(&format!("in/{odd}")), false));
    }
    corpus
}

type Run = fn(&Shore, &RemotePath) -> Result<(), Failure>;

const STAGING: u64 = 7;

fn whole(shore: &Shore, place: &RemotePath, condition: Condition) -> Result<(), Failure> {
    let staging = StagingName::of(STAGING);
    let (mode, mtime) = (Mode::new(0o600), Timestamp::default());
    let mut group = Group::new(&shore.root, true);
    group.put(&Whole {
        at: place,
        staging: &staging,
        content: b"hostile",
        mode,
        mtime,
        condition,
    })?;
    group.publish().into_iter().collect()
}

fn staged(shore: &Shore, place: &RemotePath) -> Result<(), Failure> {
    let staging = StagingName::of(STAGING);
    let staged = shore.root.stage(NewFile { at: place, staging: &staging, size: 7 })?;
    staged.write_at(b"hostile", 0)?;
    let mut group = Group::new(&shore.root, true);
    let (mode, mtime) = (Mode::new(0o600), Timestamp::default());
    group.add(staged, mode, mtime, Condition::Absent)?;
    group.publish().into_iter().collect()
}

/// Every function of this module that takes names of the other side, and one call of it.
const APIS: &[(&str, Run)] = &[
    ("below", |shore, place| shore.folder.below(place).map(|_| ())),
    ("descend", |shore, place| shore.folder.descend(&place.names()).map(|_| ())),
    ("parent_of", |shore, place| {
        // What it gives is only ever used with the name it gives, as those who call it do here.
        let (folder, name) = shore.folder.parent_of(place)?;
        folder.look_at(&name).map(|_| ()).map_err(|error| super::failed(folder.path(), error))
    }),
    ("look_at", |shore, place| {
        let (folder, name) = shore.folder.parent_of(place)?;
        folder.look_at(&name).map(|_| ()).map_err(|error| super::failed(folder.path(), error))
    }),
    ("open_below", |shore, place| {
        Source::open_below(&shore.folder, place, Links::Skip).map(|_| ())
    }),
    ("look", |shore, place| shore.root.look(place).map(|_| ())),
    ("make_folder", |shore, place| shore.root.make_folder(place).map(|_| ())),
    ("finish_folder", |shore, place| {
        shore.root.finish_folder(place, Mode::new(0), Timestamp::default())
    }),
    ("discard", |shore, place| shore.root.discard(place, &StagingName::of(STAGING))),
    ("flush_names", |shore, place| shore.root.flush_names(&Names::Below(place.clone()))),
    ("stage", staged),
    ("resume", |shore, place| {
        let staging = StagingName::of(STAGING);
        shore.root.resume(NewFile { at: place, staging: &staging, size: 7 }).map(|_| ())
    }),
    ("put", |shore, place| whole(shore, place, Condition::Absent)),
    ("rename_over", |shore, place| {
        let victim = shore.root.look(place)?.map(|look| look.identity);
        whole(shore, place, victim.map_or(Condition::Absent, Condition::Replaces))
    }),
    ("to_free", |shore, place| whole(shore, place, Condition::Absent)),
];

/// What takes a name and never resolves one, or only names of this disk.
const NO_APIS: &[(&str, &str)] = &[
    ("path_to", "puts a path together for messages"),
    ("path_of", "puts a path together for messages"),
    ("numbered", "is pure"),
    ("needed", "keeps a record"),
    ("note", "keeps a record"),
    ("forget", "keeps a record"),
    ("look_in", "is what `look_at` calls"),
    ("open_way", "takes names that this disk gave"),
    ("new", "takes names that this disk gave"),
];

#[test]
fn no_function_leads_out_of_the_folder_s1_s3_s6_s7() {
    for (name, run) in APIS {
        let shore = shore();
        let outside = shore.dir.path().join("outside");
        let before = seen(&outside);
        // Those come last that may take a link's place.
        for (place, must_fail) in corpus() {
            let done = run(&shore, &place);
            assert_eq!(seen(&outside), before, "{name} changed what lies outside, by {place}");
            assert!(!outside.join("new").exists(), "{name} made a file outside, by {place}");
            // A staged file of an earlier run may be looked for where it cannot be.
            let is_refused = done.is_err();
            assert!(is_refused || !must_fail, "{name} went out over a link, by {place}");
            if let Err(failure) = done {
                let inside = shore.dir.path().join("root").display().to_string();
                assert!(failure.subject.starts_with(&inside), "{name}, {place}: {failure:?}");
            }
        }
    }
}

/// Content and modes, with the times of folders: making or removing a name would show.
fn seen(folder: &Path) -> impl PartialEq + std::fmt::Debug {
    use std::os::unix::fs::MetadataExt;
    let times = ["", "deep"].map(|below| {
        let about = fs::metadata(folder.join(below)).unwrap();
        (about.mode(), about.mtime(), about.mtime_nsec())
    });
    (files(folder), times)
}

#[test]
fn the_table_lacks_no_function_s3() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/local");
    let mut found = BTreeSet::new();
    let mut folders = vec![folder];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("tests.rs") && !path.ends_with("traversal.rs") {
                found.extend(takers_of_names(&fs::read_to_string(path).unwrap()));
            }
        }
    }
    let known: BTreeSet<String> = APIS
        .iter()
        .map(|(name, _)| *name)
        .chain(NO_APIS.iter().map(|(name, _)| *name))
        .map(str::to_owned)
        .collect();
    let lacking: Vec<_> = found.difference(&known).collect();
    assert!(lacking.is_empty(), "run the corpus on these as well: {lacking:?}");
    let gone: Vec<_> = known.difference(&found).collect();
    assert!(gone.is_empty(), "these take no names any more: {gone:?}");
}

/// Functions that others may call and that take a name or a path of the other side.
fn takers_of_names(source: &str) -> Vec<String> {
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut takers = Vec::new();
    for (start, _) in code.match_indices("fn ") {
        let line = code[..start].rsplit('\n').next().unwrap_or_default();
        if !line.trim_start().starts_with("pub") {
            continue;
        }
        let end = code[start..].find(['{', ';']).map_or(code.len(), |end| start + end);
        let signature = &code[start + 3..end];
        let taken = signature.split("->").next().unwrap_or_default();
        let words = ["RemotePath", ": &Name", ": Name", "[Name]", "NewFile", "Whole<"];
        if words.iter().any(|word| taken.contains(word)) {
            let name = signature.split(['(', '<']).next().unwrap_or_default();
            takers.push(name.to_owned());
        }
    }
    takers
}

/// HARDENING S25: removal goes by the names that this disk gave, below the folder that a person
/// chose, whatever lies beside them and wherever links lead.
#[test]
fn removal_touches_only_names_that_were_listed_here_s25() {
    let shore = shore();
    let outside = shore.dir.path().join("outside");
    let before = seen(&outside);
    let root = shore.dir.path().join("root");
    fs::write(root.join("in/mine"), "mine").unwrap();
    let removed = change::remove(&root, None, |_| true).unwrap();
    assert_eq!((removed.failed, removed.failures.len()), (0, 0), "{removed:?}");
    assert!(!root.exists());
    assert_eq!(seen(&outside), before);
    for hostile in ["", ".", "..", "a/..", "/"] {
        let path = outside.join(hostile);
        let named = Name::new(hostile.as_bytes());
        assert!(named.is_err(), "{hostile} is no name");
        if path.file_name().is_none() {
            assert!(change::remove(&path, None, |_| true).is_err(), "{hostile}");
        }
    }
    assert_eq!(seen(&outside), before);
}
