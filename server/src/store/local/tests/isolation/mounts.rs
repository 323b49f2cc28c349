//! Other file systems inside a home: an administrator may mount one there, and no verb enters it.
//!
//! In a mount namespace of its own, in which a test here runs its own program once more: as root, or
//! as anybody who may make user namespaces.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::super::Local;
use super::super::scenario::check_books;
use super::{Act, Ground, MINE, SECRET, every_act};
use crate::store::conformance::{Fixture, User, member, situation, user};
use crate::store::local::{LocalOptions, LocalStore, OpenError};
use crate::store::{Situation, StoreError, Target};

/// Says that this process has a mount namespace of its own.
const APART: &str = "SAMPAN_TEST_MAY_MOUNT";

/// Whether the test of this name may go on, apart. `false`: it ran so, and passed.
fn apart(test: &str) -> bool {
    if std::env::var_os(APART).is_some() {
        return true;
    }
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "--propagation", "private", "--"]);
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--include-ignored"]).env(APART, "1").stdin(Stdio::null());
    let ran = command.output().expect("`unshare` of util-linux is needed");
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(ran.status.success(), "is it allowed to mount here?\n{said}");
    assert!(said.contains("1 passed"), "`{test}` did not run:\n{said}");
    false
}

fn mount(arguments: &[&str], at: &Path) {
    let ran = Command::new("mount").args(arguments).arg(at).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

fn unmount(at: &Path) {
    let ran = Command::new("umount").arg(at).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
}

const MODULE: &str = "store::local::tests::isolation::mounts";

/// S8: a file system that is mounted in a home is not entered by any verb, nor moved or removed, nor
/// what is below it.
#[test]
#[ignore = "mounts: needs root or user namespaces, and util-linux"]
fn system_s8_no_verb_enters_a_mount() {
    if !apart(&format!("{MODULE}::system_s8_no_verb_enters_a_mount")) {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut local = Local::new().await;
        let anna = user(&local).await;
        let home = local.path().join("homes/anna");
        let mounted = home.join("d");
        anna.mkdir("d").await.unwrap();
        mount(&["-t", "tmpfs", "sampan-test"], &mounted);
        for name in ["f", "outside", "tree/x/f"] {
            fs::create_dir_all(mounted.join(name).parent().unwrap()).unwrap();
            fs::write(mounted.join(name), SECRET).unwrap();
        }
        fs::create_dir(mounted.join("empty")).unwrap();
        let ground = Ground::of("d");
        for act in every_act() {
            fs::write(home.join("own"), MINE).unwrap();
            refused(act, &anna, &ground).await;
        }
        // The mount itself stays where it is.
        let busy = Situation::OtherFileSystem;
        assert_eq!(situation(anna.remove("d").await), busy);
        assert_eq!(situation(anna.rename("d", "e", Target::Absent).await), busy);
        assert_eq!(fs::read(mounted.join("f")).unwrap(), SECRET);
        assert_eq!(fs::read_dir(&mounted).unwrap().count(), 4);
        fs::remove_file(home.join("own")).unwrap();
        a_mount_in_a_removed_tree_is_left_alone(&mut local, &anna, &home).await;
        unmount(&mounted);
    });
}

async fn refused(act: Act, anna: &User, ground: &Ground) {
    match act.run(anna, ground).await {
        Err(StoreError::Refused { situation: Situation::OtherFileSystem, .. }) => {}
        other => panic!("{act:?} on a mount: {other:?}"),
    }
}

/// A tree with a mount in it, and a file over which another is mounted, goes with all but these.
async fn a_mount_in_a_removed_tree_is_left_alone(local: &mut Local, anna: &User, home: &Path) {
    let members = ["tree/a/f", "tree/b/over", "tree/b/g"];
    let members = members.map(|at| member(at, MINE, Target::Absent));
    for outcome in anna.pack(anna.key(), members.to_vec()).await.unwrap() {
        outcome.unwrap();
    }
    anna.mkdir("tree/m").await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let secret = elsewhere.path().join("secret");
    // As long as what it hides, so that no scan is needed for exact books.
    fs::write(&secret, "hush").unwrap();
    mount(&["-t", "tmpfs", "sampan-test"], &home.join("tree/m"));
    fs::write(home.join("tree/m/inside"), SECRET).unwrap();
    mount(&["--bind", secret.to_str().unwrap()], &home.join("tree/b/over"));
    // A mounted file is another file system, too.
    for at in ["tree/b/over", "tree/m/inside"] {
        assert_eq!(situation(anna.get(at).await), Situation::OtherFileSystem, "{at}");
    }
    let over = anna.put("tree/b/over", MINE, Target::Any).await;
    assert_eq!(situation(over), Situation::OtherFileSystem);
    anna.store
        .abort(anna.id, anna.key(), anna.store.uploads(anna.id).await.unwrap()[0].upload)
        .await
        .unwrap();
    anna.remove("tree").await.unwrap();
    assert_eq!(anna.held().await, (0, 1, 0, 0), "the mount point `d` is a folder as before");
    check_books(local, anna).await;
    assert_eq!(fs::read(&secret).unwrap(), b"hush");
    // They lie in staging now, and hold up nothing.
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let staging = local.path().join("staging");
    let left: Vec<_> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|at| Path::new(at).starts_with(&staging))
        .collect();
    assert_eq!(left.len(), 2, "{mounts}");
    let inside = left.iter().map(|at| Path::new(at).join("inside")).find(|at| at.exists());
    assert_eq!(fs::read(inside.unwrap()).unwrap(), SECRET);
    local.restart().await;
    // What sweeps staging may move the folders above them at this moment.
    let unmounted = async {
        loop {
            let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
            let places = mounts.lines().filter_map(|line| line.split(' ').nth(1));
            let left: Vec<_> = places.filter(|at| Path::new(at).starts_with(&staging)).collect();
            if left.is_empty() {
                break;
            }
            for at in left {
                Command::new("umount").arg(at).output().unwrap();
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), unmounted).await.expect("all come off");
    local.restart().await;
}

/// Homes or staging as mounts of their own are refused at start, with the remedy.
#[test]
#[ignore = "mounts: needs root or user namespaces, and util-linux"]
fn system_homes_on_a_mount_of_their_own_are_refused() {
    if !apart(&format!("{MODULE}::system_homes_on_a_mount_of_their_own_are_refused")) {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut local = Local::new().await;
        user(&local).await;
        local.close().await;
        let home = local.path().join("homes/anna");
        mount(&["--bind", home.to_str().unwrap()], &home);
        let opened = LocalStore::open(local.path().to_owned(), LocalOptions::default()).await;
        match opened.map(drop) {
            Err(OpenError::HomeElsewhere { home: named }) => assert_eq!(named, home),
            other => panic!("{other:?}"),
        }
        unmount(&home);
        local.open().await;
        local.close().await;
        for part in ["homes", "staging"] {
            let data = tempfile::tempdir().unwrap();
            let place = data.path().join(part);
            fs::create_dir(&place).unwrap();
            mount(&["-t", "tmpfs", "sampan-test"], &place);
            let opened = LocalStore::open(data.path().to_owned(), LocalOptions::default()).await;
            let error = opened.map(drop).unwrap_err();
            assert!(matches!(error, OpenError::OtherFileSystem { .. }), "{error}");
            unmount(&place);
        }
    });
}
