use std::fs;
use std::os::unix::fs::symlink;

use super::*;
use crate::local::testing::{Flipper, fifo, listed, odd_names};
use crate::local::{folder::AsOsStr, look};

fn version(path: &Path) -> Version {
    look(path).unwrap().identity.version()
}

fn situation<T: std::fmt::Debug>(result: Result<T, Failure>) -> Situation {
    result.unwrap_err().situation
}

#[test]
fn a_folder_is_made_where_nothing_is() {
    let dir = tempfile::tempdir().unwrap();
    for name in odd_names() {
        make_folder(&dir.path().join(name.as_os_str())).unwrap();
    }
    assert_eq!(listed(dir.path()).len(), odd_names().len());
    let path = |name: &str| dir.path().join(name);
    fs::write(path("file"), "").unwrap();
    let local = Side::Local;
    assert_eq!(situation(make_folder(&path("file"))), Situation::Exists(local));
    assert_eq!(situation(make_folder(&path("none/x"))), Situation::NotFound(local));
    assert_eq!(situation(make_folder(&path("file/x"))), Situation::NotAFolder(local));
    assert_eq!(situation(make_folder(Path::new("/"))), Situation::InvalidTarget);
    assert_eq!(situation(make_folder(&path(".."))), Situation::InvalidTarget);
    let long = "x".repeat(256);
    assert_eq!(situation(make_folder(&path(&long))), Situation::NameNotStorable(local));
}

// Nobody makes folders in there, root included.
#[cfg(target_os = "linux")]
#[test]
fn what_is_not_allowed_is_said() {
    let refused = situation(make_folder(Path::new("/sys/sampan-test")));
    assert_eq!(refused, Situation::PermissionDenied(Side::Local));
}

#[test]
fn a_new_name_never_replaces_anything() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("a"), "a").unwrap();
    fs::write(path("b"), "b").unwrap();
    fs::create_dir_all(path("f/g")).unwrap();
    symlink("b", path("link")).unwrap();
    let local = Side::Local;
    let move_to = |from: &str, to: &str| rename(&path(from), &path(to), None);
    for taken in ["b", "f", "link"] {
        assert_eq!(situation(move_to("a", taken)), Situation::Exists(local), "{taken}");
    }
    assert_eq!(situation(move_to("f", "f/g/h")), Situation::InvalidTarget);
    assert_eq!(situation(move_to("none", "c")), Situation::NotFound(local));
    assert_eq!(situation(move_to("a", &"x".repeat(256))), Situation::NameNotStorable(local));
    move_to("a", "f/g/a").unwrap();
    move_to("f", "h").unwrap();
    move_to("link", "way").unwrap();
    assert_eq!(fs::read(path("h/g/a")).unwrap(), b"a");
    assert_eq!(fs::read_link(path("way")).unwrap(), Path::new("b"));
    assert_eq!(listed(dir.path()), ["b", "h", "way"]);
}

#[test]
fn what_is_not_what_was_seen_stays() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a");
    fs::write(&path, "a").unwrap();
    let seen = version(&path);
    fs::write(dir.path().join("new"), "a").unwrap();
    fs::rename(dir.path().join("new"), &path).unwrap();
    let changed = Situation::TargetChanged(Side::Local);
    let to = dir.path().join("b");
    assert_eq!(situation(rename(&path, &to, Some(&seen))), changed);
    assert_eq!(situation(remove(&path, Some(&seen), |_| true)), changed);
    rename(&path, &to, Some(&version(&path))).unwrap();
    let removed = remove(&to, Some(&version(&to)), |_| true).unwrap();
    assert_eq!((removed.files, removed.folders, removed.failed), (1, 0, 0));

    fs::create_dir(&path).unwrap();
    let seen = version(&path);
    fs::remove_dir(&path).unwrap();
    fs::create_dir(dir.path().join("other")).unwrap();
    fs::write(dir.path().join("other/f"), "").unwrap();
    fs::rename(dir.path().join("other"), &path).unwrap();
    assert_eq!(situation(remove(&path, Some(&seen), |_| true)), changed);
    assert_eq!(listed(&path), ["f"]);
}

#[test]
fn a_tree_goes_with_all_kinds_and_links_lead_nowhere_s6() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("a/b/c")).unwrap();
    fs::create_dir(dir.path().join("kept")).unwrap();
    fs::write(dir.path().join("kept/file"), "").unwrap();
    for folder in [tree.clone(), tree.join("a/b")] {
        for name in odd_names() {
            fs::write(folder.join(name.as_os_str()), "").unwrap();
        }
    }
    fifo(&tree.join("pipe"));
    symlink("../kept", tree.join("link")).unwrap();
    symlink("/", tree.join("a/slash")).unwrap();
    let mut heard = 0;
    let removed = remove(&tree, Some(&version(&tree)), |count| {
        assert!(count >= heard);
        heard = count;
        true
    });
    let removed = removed.unwrap();
    let files = 2 * odd_names().len() as u64 + 3;
    assert_eq!((removed.files, removed.folders, removed.failed), (files, 4, 0));
    assert!(heard >= files);
    assert_eq!(listed(dir.path()), ["kept"]);
    assert_eq!(listed(&dir.path().join("kept")), ["file"]);
    // A link is removed, not what it leads to.
    symlink("kept", dir.path().join("way")).unwrap();
    remove(&dir.path().join("way"), None, |_| true).unwrap();
    assert_eq!(listed(&dir.path().join("kept")), ["file"]);
}

#[test]
fn a_tree_can_be_large_and_deep_and_be_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    let mut folder = tree.clone();
    fs::create_dir(&tree).unwrap();
    for _ in 0..200 {
        fs::write(folder.join("f"), "").unwrap();
        folder.push("d");
        fs::create_dir(&folder).unwrap();
    }
    for number in 0..6000 {
        fs::write(folder.join(number.to_string()), "").unwrap();
    }
    let stopped = remove(&tree, None, |count| count < 100).unwrap();
    assert_eq!((stopped.files, stopped.failed), (100, 1));
    assert_eq!(stopped.failures[0].situation, Situation::Interrupted);
    let removed = remove(&tree, None, |_| true).unwrap();
    assert_eq!((removed.files + stopped.files, removed.folders), (6200, 201));
    assert_eq!(removed.failures, []);
    assert!(listed(dir.path()).is_empty());
}

#[test]
fn only_an_empty_folder_is_removed_as_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir_all(path("a/b")).unwrap();
    fs::write(path("f"), "").unwrap();
    let local = Side::Local;
    assert_eq!(situation(remove_empty_folder(&path("a"))), Situation::NotEmpty(local));
    assert_eq!(situation(remove_empty_folder(&path("f"))), Situation::NotAFolder(local));
    assert_eq!(situation(remove_empty_folder(&path("none"))), Situation::NotFound(local));
    remove_empty_folder(&path("a/b")).unwrap();
    remove_empty_folder(&path("a")).unwrap();
    assert_eq!(listed(dir.path()), ["f"]);
}

#[test]
fn a_folder_that_somebody_keeps_swapping_never_leads_out_s8() {
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    fs::create_dir(&kept).unwrap();
    for number in 0..50 {
        fs::write(kept.join(number.to_string()), "").unwrap();
    }
    for _ in 0..30 {
        let tree = dir.path().join("tree");
        fs::create_dir_all(tree.join("a")).unwrap();
        for number in 0..50 {
            fs::write(tree.join("a").join(number.to_string()), "").unwrap();
        }
        symlink("../kept", tree.join("link")).unwrap();
        let flipper = Flipper::start(&tree, "a", "link");
        let removed = remove(&tree, None, |_| true).unwrap();
        drop(flipper);
        for failure in &removed.failures {
            use Situation as S;
            let expected = matches!(
                failure.situation,
                S::TargetChanged(_)
                    | S::IsALink(_)
                    | S::IsAFolder(_)
                    | S::NotAFolder(_)
                    | S::NotFound(_)
                    | S::NotEmpty(_)
            );
            assert!(expected, "{failure:?}");
        }
        assert_eq!(removed.failed == 0, !tree.exists(), "{removed:?}");
        if tree.exists() {
            fs::remove_dir_all(&tree).unwrap();
        }
        assert_eq!(listed(&kept).len(), 50);
    }
}

/// Fails the n-th call, once or with all that follow.
struct FailAt {
    call: usize,
    errno: Errno,
    stays: bool,
    calls: std::sync::atomic::AtomicUsize,
}

impl crate::disk::Faults for FailAt {
    fn before(&self, _: crate::disk::Call<'_>) -> Result<usize, Errno> {
        let call = self.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let fails = if self.stays { call >= self.call } else { call == self.call };
        if fails { Err(self.errno) } else { Ok(usize::MAX) }
    }
}

/// Names below a folder, with what is in files.
fn all_below(folder: &Path) -> std::collections::BTreeMap<std::path::PathBuf, Option<Vec<u8>>> {
    let mut all = std::collections::BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all.extend(all_below(&path));
            all.insert(path, None);
        } else {
            let content = fs::read(&path).unwrap();
            all.insert(path, Some(content));
        }
    }
    all
}

/// What a person does in a pane: on what, and what is there once it is done.
type Change = (&'static str, fn(&Disk, &Path) -> Result<Removed, Failure>, &'static [&'static str]);

const CHANGES: [Change; 7] = [
    (
        "make a folder",
        |disk, dir| make_folder_on(disk, &dir.join("new")).map(|()| Removed::default()),
        &["file", "new", "tree", "tree/a", "tree/a/deep", "tree/a/deep/one", "tree/two"],
    ),
    (
        "rename a file",
        |disk, dir| {
            rename_on(disk, &dir.join("file"), &dir.join("other"), None)
                .map(|()| Removed::default())
        },
        &["other", "tree", "tree/a", "tree/a/deep", "tree/a/deep/one", "tree/two"],
    ),
    (
        "move a tree",
        |disk, dir| {
            rename_on(disk, &dir.join("tree/a"), &dir.join("b"), None).map(|()| Removed::default())
        },
        &["b", "b/deep", "b/deep/one", "file", "tree", "tree/two"],
    ),
    (
        "remove a file",
        |disk, dir| remove_on(disk, &dir.join("file"), None, |_| true),
        &["tree", "tree/a", "tree/a/deep", "tree/a/deep/one", "tree/two"],
    ),
    ("remove a tree", |disk, dir| remove_on(disk, &dir.join("tree"), None, |_| true), &["file"]),
    (
        "remove an inner tree",
        |disk, dir| remove_on(disk, &dir.join("tree/a"), None, |_| true),
        &["file", "tree", "tree/two"],
    ),
    (
        "look before a removal",
        |disk, dir| {
            let seen = version(&dir.join("file"));
            remove_on(disk, &dir.join("file"), Some(&seen), |_| true)
        },
        &["tree", "tree/a", "tree/a/deep", "tree/a/deep/one", "tree/two"],
    ),
];

/// Whatever call fails, nothing is lost that was not to be removed, the failure says what and of
/// which file, and the same again finishes it.
#[test]
fn each_call_of_a_change_fails() {
    for (what, change, wanted) in CHANGES {
        let mut injected = 0;
        for (errno, stays) in [Errno::IO, Errno::NOSPC, Errno::DQUOT]
            .into_iter()
            .flat_map(|errno| [(errno, false), (errno, true)])
        {
            for call in 0.. {
                let dir = tempfile::tempdir().unwrap();
                let dir = dir.path();
                fs::create_dir_all(dir.join("tree/a/deep")).unwrap();
                for name in ["file", "tree/a/deep/one", "tree/two"] {
                    fs::write(dir.join(name), name).unwrap();
                }
                let before = all_below(dir);
                let calls = std::sync::atomic::AtomicUsize::new(0);
                let faults = std::sync::Arc::new(FailAt { call, errno, stays, calls });
                let disk = Disk::with(std::sync::Arc::<FailAt>::clone(&faults));
                let result = change(&disk, dir);
                let made = faults.calls.load(std::sync::atomic::Ordering::Relaxed);
                let is_hit = made > call;
                let why = format!("{what}: {errno:?}, stays: {stays}, at call {call}: {result:?}");
                let removed = result.as_ref().map_or(0, |removed| removed.files + removed.folders);
                let failures = match &result {
                    Ok(removed) => removed.failures.clone(),
                    Err(failure) => vec![failure.clone()],
                };
                assert!(is_hit || failures.is_empty(), "{why}");
                for failure in &failures {
                    let is_full = failure.situation == Situation::DiskFull(Side::Local);
                    let is_broken = matches!(failure.situation, Situation::DiskFailed(..));
                    assert!(if errno == Errno::IO { is_broken } else { is_full }, "{why}");
                    assert!(failure.subject.starts_with(dir.to_str().unwrap()), "{why}");
                }
                let after = all_below(dir);
                if result.is_err() {
                    assert_eq!(after, before, "told as not done at all: {why}");
                } else if what.starts_with("remove") || what.starts_with("look") {
                    assert_eq!((before.len() - after.len()) as u64, removed, "{why}");
                    assert!(after.iter().all(|(path, there)| before.get(path) == Some(there)));
                }
                if is_hit {
                    injected += 1;
                }
                // Without a failure it was done in another way, and must be done.
                if !failures.is_empty() {
                    change(&Disk::default(), dir)
                        .unwrap_or_else(|again| panic!("{why}: {again:?}"));
                }
                let names = all_below(dir).into_keys();
                let names: Vec<_> =
                    names.map(|path| path.strip_prefix(dir).unwrap().to_owned()).collect();
                let wanted: Vec<_> = wanted.iter().map(std::path::PathBuf::from).collect();
                assert_eq!(names, wanted, "{why}");
                if !is_hit {
                    break;
                }
            }
        }
        assert!(injected >= 12, "{what}: only {injected} faults");
    }
}
