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
