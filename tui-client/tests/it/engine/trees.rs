//! Whole trees both ways: names, bytes, modes, times.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use sampan_client::failure::{Side, Situation};
use sampan_client::transfer::{Options, Outcome, SkipReason};

use super::rig::{Rig, down, noise, up};

/// Everything below `folder` that both sides must agree on.
pub(super) fn describe(folder: &Path) -> BTreeMap<Vec<u8>, (u32, i64, i64, Option<blake3::Hash>)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(inner) = folders.pop() {
        for entry in fs::read_dir(&inner).unwrap() {
            let path = entry.unwrap().path();
            let about = fs::symlink_metadata(&path).unwrap();
            let below = path.strip_prefix(folder).unwrap().as_os_str().as_bytes().to_vec();
            let hash = about.is_file().then(|| blake3::hash(&fs::read(&path).unwrap()));
            if about.is_dir() {
                folders.push(path);
            }
            found.insert(below, (about.mode() & 0o7777, about.mtime(), about.mtime_nsec(), hash));
        }
    }
    found
}

/// A tree with what makes trouble elsewhere.
fn odd_tree(folder: &Path) {
    let write = |name: &[u8], bytes: &[u8], mode: u32| {
        let path = folder.join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    write(b"plain", b"plain", 0o644);
    write(b"empty", b"", 0o600);
    write(b"\x1b[31mred\n\t", b"control bytes", 0o640);
    write(b"\xff\xfe\x80", b"no UTF-8", 0o604);
    write(&[b'n'; 255], b"long", 0o777);
    write("你好 👩‍🚀".as_bytes(), b"wide", 0o755);
    write(b"-rf", b"dash", 0o644);
    write(b" lead and trail ", b"spaces", 0o644);
    write(b"deep/er/and/deeper/file", b"deep", 0o644);
    write(b"blocks/small", &noise(1, 262_144), 0o644);
    write(b"blocks/over", &noise(2, 262_145), 0o644);
    write(b"blocks/block", &noise(3, 1 << 20), 0o644);
    write(b"blocks/more", &noise(4, (1 << 20) + 1), 0o600);
    write(b"blocks/three", &noise(5, (3 << 20) + 1), 0o644);
    fs::create_dir_all(folder.join("hollow/inner")).unwrap();
    for number in 0..300 {
        write(format!("many/{:02}/{number}", number % 7).as_bytes(), &noise(number, 900), 0o644);
    }
    fs::set_permissions(folder.join("hollow"), fs::Permissions::from_mode(0o700)).unwrap();
    let old = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
    for name in ["plain", "deep/er", "hollow/inner", "hollow", "many"] {
        fs::File::open(folder.join(name)).unwrap().set_modified(old).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_with_odd_names_crosses_both_ways() {
    let rig = Rig::start().await;
    let source = rig.local("tree");
    odd_tree(&source);
    let before = describe(&source);

    let told = rig.carry(up(&source, false, "", true), Options::default()).await;
    let summary = told.expect_done();
    assert_eq!(summary.done, before.len() as u64 + 1);
    assert_eq!(describe(&rig.home().join("tree")), before);

    let target = rig.local("back");
    let told = rig.carry(down("tree", false, &target, true), Options::default()).await;
    assert_eq!(told.expect_done().done, before.len() as u64 + 1);
    assert_eq!(describe(&target.join("tree")), before);

    // Again, both ways: nothing moves, and nothing differs.
    let told = rig.carry(up(&source, false, "", true), Options::default()).await;
    let summary = told.expect_done();
    assert_eq!((summary.done, summary.moved), (0, 0));
    assert_eq!(summary.unchanged, before.len() as u64 + 1);
    let told = rig.carry(down("tree", false, &target, true), Options::default()).await;
    assert_eq!((told.expect_done().done, told.summary.moved), (0, 0));
    assert_eq!(describe(&rig.home().join("tree")), before);
    assert_eq!(describe(&target.join("tree")), before);
    assert_eq!(rig.reserved().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn contents_go_without_their_folder_and_one_file_may_get_a_name() {
    let rig = Rig::start().await;
    let source = rig.local("tree");
    fs::write(source.join("a"), b"a").unwrap();
    fs::create_dir(source.join("inner")).unwrap();
    fs::write(source.join("inner/b"), b"b").unwrap();
    rig.carry(up(&source, true, "new/place", false), Options::default()).await.expect_done();
    assert_eq!(fs::read(rig.home().join("new/place/inner/b")).unwrap(), b"b");

    let empty = rig.local("empty");
    rig.carry(up(&empty, true, "hollow/place", false), Options::default()).await.expect_done();
    assert!(rig.home().join("hollow/place").is_dir());

    let file = source.join("a");
    rig.carry(up(&file, false, "other/name", false), Options::default()).await.expect_done();
    assert_eq!(fs::read(rig.home().join("other/name")).unwrap(), b"a");
    rig.carry(up(&file, false, "other", false), Options::default()).await.expect_done();
    assert_eq!(fs::read(rig.home().join("other/a")).unwrap(), b"a");
    rig.carry(up(&file, false, "third", true), Options::default()).await.expect_done();
    assert_eq!(fs::read(rig.home().join("third/a")).unwrap(), b"a");

    let target = rig.folder.path().join("down/here");
    rig.carry(down("other/name", false, &target, false), Options::default()).await.expect_done();
    assert_eq!(fs::read(&target).unwrap(), b"a");
    let target = rig.folder.path().join("down/contents");
    rig.carry(down("new/place", true, &target, false), Options::default()).await.expect_done();
    assert_eq!(fs::read(target.join("inner/b")).unwrap(), b"b");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_carried_is_named_and_the_rest_goes_on() {
    let rig = Rig::start().await;
    let source = rig.local("tree");
    fs::write(source.join("good"), b"good").unwrap();
    symlink("good", source.join("link")).unwrap();
    rustix_fifo(&source.join("fifo"));
    fs::write(source.join(".sampan-0123456789abcdef.part"), b"staged").unwrap();
    fs::write(source.join("file"), b"file").unwrap();
    fs::create_dir(source.join("folder")).unwrap();
    fs::write(source.join("folder/inside"), b"x").unwrap();
    // On the other side a folder is in the file's way, and a file in the folder's.
    fs::create_dir_all(rig.home().join("tree/file")).unwrap();
    fs::write(rig.home().join("tree/folder"), b"").unwrap();

    let told = rig.carry(up(&source, false, "", true), Options::default()).await;
    assert!(matches!(told.outcome_of("good"), Outcome::Done { .. }));
    assert_eq!(told.outcome_of("link"), &Outcome::Skipped(SkipReason::Link));
    assert_eq!(told.outcome_of("fifo"), &Outcome::Skipped(SkipReason::NotAFile));
    let staged = told.outcome_of(".sampan-0123456789abcdef.part");
    assert_eq!(staged, &Outcome::Skipped(SkipReason::Staging));
    for name in ["file", "folder"] {
        let Outcome::Failed(failure) = told.outcome_of(name) else { panic!("{name} is in a way") };
        assert_eq!(failure.situation, Situation::KindDiffers(Side::Remote), "{name}");
    }
    assert_eq!(told.summary.failed, 2);
    assert_eq!(fs::read(rig.home().join("tree/good")).unwrap(), b"good");
}

fn rustix_fifo(path: &Path) {
    let made = std::process::Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

/// HARDENING S6: a link in the chosen folder leads no download outside.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s6_a_link_in_the_target_is_not_followed() {
    let rig = Rig::start().await;
    fs::create_dir_all(rig.home().join("tree/inner")).unwrap();
    fs::write(rig.home().join("tree/inner/file"), b"from the server").unwrap();
    fs::write(rig.home().join("tree/good"), b"good").unwrap();
    let target = rig.local("target");
    let outside = rig.local("outside");
    fs::create_dir(target.join("tree")).unwrap();
    symlink(&outside, target.join("tree/inner")).unwrap();

    let told = rig.carry(down("tree", false, &target, true), Options::default()).await;
    let Outcome::Failed(failure) = told.outcome_of("inner") else { panic!("it was followed") };
    assert_eq!(failure.situation, Situation::IsALink(Side::Local));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 0);
    assert_eq!(fs::read(target.join("tree/good")).unwrap(), b"good");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_source_is_named_and_the_others_go() {
    let rig = Rig::start().await;
    let told =
        rig.carry(up(Path::new("/nowhere/at/all"), false, "x", true), Options::default()).await;
    assert_eq!(told.summary.failures[0].situation, Situation::NotFound(Side::Local));
    let target = rig.local("t");
    let told = rig.carry(down("nowhere", false, &target, true), Options::default()).await;
    assert_eq!(told.summary.failures[0].situation, Situation::NotFound(Side::Remote));
    assert_eq!(told.summary.failures[0].subject.rsplit('/').next(), Some("nowhere"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_plan_alone_moves_and_makes_nothing() {
    let rig = Rig::start().await;
    let source = rig.local("tree");
    odd_tree(&source);
    let options = Options { dry_run: true, ..Options::default() };
    let told = rig.carry(up(&source, false, "", true), options.clone()).await;
    assert_eq!(told.outcome_of("plain"), &Outcome::Skipped(SkipReason::DryRun));
    assert_eq!((told.summary.done, told.summary.moved), (0, 0));
    assert_eq!(fs::read_dir(rig.home()).unwrap().count(), 0);

    fs::write(rig.home().join("file"), b"x").unwrap();
    let target = rig.folder.path().join("not/there");
    let told = rig.carry(down("file", false, &target, true), options).await;
    assert_eq!(told.outcome_of("file"), &Outcome::Skipped(SkipReason::DryRun));
    assert!(!rig.folder.path().join("not").exists());
}
