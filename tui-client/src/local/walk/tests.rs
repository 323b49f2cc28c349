use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;

use rustix::fs::{Mode, openat};

use super::*;
use crate::local::testing::{at, fifo, odd_names};

/// `d` for a folder, `f` for a file, a word for what is skipped or failed, and the path.
fn told(walk: Walk) -> BTreeSet<String> {
    let mut told = BTreeSet::new();
    let mut folders = BTreeSet::from([RemotePath::home()]);
    for found in walk {
        let line = match &found {
            Found::Folder(item) => {
                assert_eq!(item.attributes().kind, EntryKind::Folder);
                folders.insert(item.below.clone());
                format!("d {}", item.below)
            }
            Found::File(item) => format!("f {} {}", item.below, item.identity().size),
            Found::Skipped(item, reason) => format!("{reason:?} {}", item.below),
            Found::Failed { below: Some(below), failure } => {
                format!("{:?} {below}", failure.situation)
            }
            Found::Failed { below: None, failure } => format!("{:?}", failure.situation),
        };
        let below = match &found {
            Found::Folder(item) | Found::File(item) | Found::Skipped(item, _) => &item.below,
            Found::Failed { below: Some(below), .. } => below,
            Found::Failed { below: None, .. } => continue,
        };
        if let Some(parent) = below.parent() {
            assert!(folders.contains(&parent), "{below} before its folder");
        }
        assert!(told.insert(line.clone()), "{line} twice");
    }
    told
}

fn set<const N: usize>(lines: [&str; N]) -> BTreeSet<String> {
    lines.into_iter().map(str::to_owned).collect()
}

#[test]
fn a_tree_is_found_with_all_kinds_and_nothing_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("a/b")).unwrap();
    fs::create_dir(tree.join("empty")).unwrap();
    fs::write(tree.join("a/b/c"), "123").unwrap();
    fs::write(tree.join("top"), "").unwrap();
    fs::write(tree.join("a/.sampan-0123456789abcdef.part"), "half").unwrap();
    fifo(&tree.join("pipe"));
    let _socket = UnixListener::bind(tree.join("a/socket")).unwrap();
    symlink("/etc", tree.join("link")).unwrap();
    let whole = [
        "d /",
        "d /a",
        "d /a/b",
        "d /empty",
        "f /a/b/c 3",
        "f /top 0",
        "NotAFile /pipe",
        "NotAFile /a/socket",
        "Link /link",
        "Staging /a/.sampan-0123456789abcdef.part",
    ];
    assert_eq!(told(Walk::of(&tree, Links::Skip)), set(whole));
    let mut contents = set(whole);
    contents.remove("d /");
    assert_eq!(told(Walk::of_contents(&tree, Links::Skip)), contents);
    let mut failing = set(whole);
    failing.remove("Link /link");
    failing.insert("LinkRefused /link".to_owned());
    assert_eq!(told(Walk::of(&tree, Links::Fail)), failing);
}

#[test]
fn what_is_named_itself_may_be_anything() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::write(path("file"), "12").unwrap();
    fifo(&path("pipe"));
    fs::create_dir(path("folder")).unwrap();
    symlink("file", path("link")).unwrap();
    symlink("folder", path("way")).unwrap();
    let one = |name: &str, links| told(Walk::of(&path(name), links));
    assert_eq!(one("file", Links::Skip), set(["f / 2"]));
    assert_eq!(one("pipe", Links::Skip), set(["NotAFile /"]));
    assert_eq!(one("link", Links::Skip), set(["Link /"]));
    assert_eq!(one("link", Links::Fail), set(["LinkRefused /"]));
    assert_eq!(one("link", Links::Follow), set(["f / 2"]));
    assert_eq!(one("way", Links::Skip), set(["Link /"]));
    assert_eq!(one("way", Links::Follow), set(["d /"]));
    assert_eq!(one("none", Links::Skip), set(["NotFound(Local) /"]));
    assert_eq!(told(Walk::of_contents(&path("way"), Links::Skip)), set([]));
    assert_eq!(told(Walk::of_contents(&path("file"), Links::Skip)), set(["NotAFolder(Local) /"]));
}

#[test]
fn followed_links_are_carried_and_loops_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let tree = dir.path().join("tree");
    fs::create_dir_all(tree.join("a")).unwrap();
    fs::create_dir(dir.path().join("out")).unwrap();
    fs::write(dir.path().join("out/f"), "1").unwrap();
    symlink("../../out", tree.join("a/out")).unwrap();
    symlink("..", tree.join("a/up")).unwrap();
    symlink(".", tree.join("here")).unwrap();
    symlink("loop", tree.join("loop")).unwrap();
    symlink("gone", tree.join("dangling")).unwrap();
    let back = |path: &str| format!("LinkLoop {path}");
    assert_eq!(
        told(Walk::of(&tree, Links::Follow)),
        set([
            "d /",
            "d /a",
            "d /a/out",
            "f /a/out/f 1",
            &back("/a/up"),
            &back("/here"),
            "LinkToNowhere /loop",
            "LinkToNowhere /dangling",
        ])
    );
}

#[test]
fn odd_names_come_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    for name in odd_names() {
        let folder = dir.path().join(name.as_os_str());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join(name.as_os_str()), "").unwrap();
    }
    let found: BTreeSet<_> = Walk::of_contents(dir.path(), Links::Skip)
        .map(|found| match found {
            Found::Folder(item) | Found::File(item) => item.below,
            other => panic!("{other:?}"),
        })
        .collect();
    let expected = odd_names().into_iter().flat_map(|name| {
        let folder = RemotePath::home().join(&name).unwrap();
        [folder.clone(), folder.join(&name).unwrap()]
    });
    assert_eq!(found, expected.collect());
}

#[test]
fn a_deep_tree_is_walked_with_few_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let depth = 500;
    let mut folder = openat(CWD, dir.path(), READ, Mode::empty()).unwrap();
    for _ in 0..depth {
        rustix::fs::mkdirat(&folder, c"d", Mode::RWXU).unwrap();
        rustix::fs::mkdirat(&folder, c"e", Mode::RWXU).unwrap();
        folder = openat(&folder, c"d", READ, Mode::empty()).unwrap();
    }
    let flags = OFlags::CREATE | OFlags::WRONLY;
    openat(&folder, c"deepest", flags, Mode::RUSR).unwrap();
    let mut walk = Walk::of(dir.path(), Links::Skip);
    let (mut deepest, mut folders) = (0, 0);
    while let Some(found) = walk.next() {
        match found {
            Found::File(item) => deepest = item.below.names().len(),
            Found::Folder(_) => folders += 1,
            other => panic!("{other:?}"),
        }
        let open = walk.levels.iter().filter(|level| level.names.is_some()).count();
        assert!(open <= OPEN_LEVELS + 1, "{open} folders open");
    }
    assert_eq!((deepest, folders), (depth + 1, 2 * depth + 1));
    crate::local::change::remove(&dir.path().join("d"), None, |_| true).unwrap();
}

#[test]
fn a_path_that_no_server_holds_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let long = "x".repeat(255);
    let mut folder = openat(CWD, dir.path(), READ, Mode::empty()).unwrap();
    for _ in 0..20 {
        rustix::fs::mkdirat(&folder, long.as_str(), Mode::RWXU).unwrap();
        folder = openat(&folder, long.as_str(), READ, Mode::empty()).unwrap();
    }
    let mut found = Walk::of(dir.path(), Links::Skip);
    let folders = found.by_ref().take_while(|found| matches!(found, Found::Folder(_))).count();
    assert_eq!(folders, 17, "4096 bytes are one too many");
    let failures: Vec<_> = Walk::of(dir.path(), Links::Skip).skip(17).collect();
    let [Found::Failed { below: None, failure }] = &failures[..] else { panic!("{failures:?}") };
    assert_eq!(failure.situation, Situation::NameNotStorable(Side::Remote));
    crate::local::change::remove(&dir.path().join(&long), None, |_| true).unwrap();
}

#[tokio::test]
async fn a_stream_gives_all_of_it_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..600 {
        fs::write(dir.path().join(number.to_string()), "").unwrap();
    }
    let mut stream = Walk::of(dir.path(), Links::Skip).stream();
    let mut sizes = Vec::new();
    while let Some(piece) = stream.next().await {
        sizes.push(piece.unwrap().len());
    }
    assert_eq!(sizes, [16, 256, 256, 73]);
}

#[test]
fn a_source_below_what_was_walked_is_what_was_found() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("a")).unwrap();
    fs::write(dir.path().join("a/f"), "12").unwrap();
    let folder = crate::local::Folder::open(dir.path()).unwrap();
    let files: Vec<_> = Walk::of(dir.path(), Links::Skip)
        .filter_map(|found| if let Found::File(item) = found { Some(item) } else { None })
        .collect();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].below, at("a/f"));
    let source = crate::local::Source::open_below(&folder, &files[0].below, Links::Skip).unwrap();
    assert_eq!(source.identity(), files[0].identity());
}
