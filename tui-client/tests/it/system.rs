//! Disks that are really full: small file systems in memory, filled to the brim, on either side.
//!
//! Each test runs itself again in a mount namespace of its own, as root or in a user namespace, so
//! that nothing of it is seen outside and nothing is left. Where the system lets nobody mount, the
//! tests fail and say so; they never pass unseen.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sampan_server::config::Settings;
use sampan_server::store::QuotaLimits;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::Ended;
use crate::server::{TestServer, User};

/// Set for the run in a namespace of its own.
const INSIDE: &str = "SAMPAN_TEST_IN_OWN_MOUNTS";

const MIB: u64 = 1 << 20;

/// Runs `test` again where it may mount, unless this is that run already; says whether it did.
fn ran_in_own_mounts(test: &str) -> bool {
    if std::env::var_os(INSIDE).is_some() {
        return false;
    }
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "--propagation", "private", "--"]);
    command.arg(std::env::current_exe().unwrap()).args([test, "--exact", "--ignored"]);
    let output = command.env(INSIDE, "yes").output();
    let output = output.expect("`unshare` of util-linux must be installed for this test");
    let (out, err) = (&*output.stdout, &*output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(
        output.status.success() && out.contains("1 passed"),
        "in a mount namespace of its own it failed. If nobody may make one here (`unshare` and \
         `mount` say so below), run it as root, or where user namespaces are allowed.\n{out}\n{err}"
    );
    true
}

/// A small file system of its own.
struct Small {
    folder: Option<TempDir>,
}

impl Small {
    fn mount(bytes: u64) -> Self {
        let folder = TempDir::new().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=0700"), "sampan-test"]);
        let status = mount.arg(folder.path()).status();
        let status = status.expect("`mount` must be installed for this test");
        assert!(status.success(), "a tmpfs must be mountable for this test: {status}");
        Self { folder: Some(folder) }
    }

    fn path(&self) -> &Path {
        self.folder.as_ref().unwrap().path()
    }

    fn free(&self) -> u64 {
        let space = rustix::fs::statvfs(self.path()).unwrap();
        space.f_bavail * space.f_frsize
    }

    /// Fills it until `left` bytes are free. What fills it is taken away by [`Self::make_room`].
    fn fill(&self, left: u64) {
        let mut filler = File::options().append(true).create(true).open(self.filler()).unwrap();
        let page = [7; 4096];
        while self.free() > left && filler.write_all(&page).is_ok() {}
        assert!(self.free() <= left);
    }

    fn make_room(&self) {
        fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let status = Command::new("umount").arg("--lazy").arg(self.path()).status().unwrap();
        assert!(status.success() || std::thread::panicking(), "{status}");
        drop(self.folder.take());
    }
}

/// Bytes that are nowhere the same.
fn content(seed: u64, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

/// A tree of `count` files of `length` bytes; each begins with another byte.
fn make_tree(tree: &Path, count: u64, length: u64) {
    fs::create_dir_all(tree).unwrap();
    for number in 0..count {
        fs::write(tree.join(format!("{number:04}")), content(number, length)).unwrap();
    }
}

/// Every file below `copy` is whole: it is that of `tree`. Gives how many there are.
#[track_caller]
fn whole_files(tree: &Path, copy: &Path) -> usize {
    let Ok(entries) = fs::read_dir(copy) else { return 0 };
    let names = entries.map(|entry| entry.unwrap().file_name());
    // What a pane hides and a plan leaves out.
    let is_staged = |name: &OsStr| name.to_string_lossy().starts_with(".sampan-");
    let names: Vec<_> = names.filter(|name| !is_staged(name)).collect();
    for name in &names {
        let same = fs::read(copy.join(name)).unwrap() == fs::read(tree.join(name)).unwrap();
        assert!(same, "{} is half", name.display());
    }
    names.len()
}

/// Nothing that was staged is left.
#[track_caller]
fn no_leftovers(folder: &Path) {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with('.')).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn run(ada: &User<'_>, here: &Path, words: &[&str]) -> Ended {
    let mut command = ada.program.command(words);
    Ended::of(command.current_dir(here).output().unwrap())
}

/// Failed with 6, and every line says that `side`'s disk is full and what to do.
#[track_caller]
fn is_full(ended: &Ended, side: &str, next: &str) {
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(!ended.err.is_empty());
    for line in ended.err.lines() {
        assert!(line.contains(&format!("{side} disk is full")) && line.contains(next), "{line}");
    }
}

/// What the ledger says is what lies there.
#[track_caller]
fn ledger_is_right(ada: &User<'_>) {
    let df = ada.program.run(["df", "--json", &ada.place("")]);
    let df: Value = serde_json::from_str(df.succeeded()).unwrap();
    let (mut bytes, mut entries) = (0, 0);
    let mut folders = vec![ada.home()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            entries += 1;
            let meta = entry.metadata().unwrap();
            if meta.is_dir() { folders.push(entry.path()) } else { bytes += meta.len() }
        }
    }
    assert_eq!((&df["used"], &df["files"]), (&bytes.into(), &entries.into()), "{df}");
}

#[track_caller]
fn nothing_in_flight(ada: &User<'_>) {
    let df = ada.program.run(["df", "--json", &ada.place("")]);
    let df: Value = serde_json::from_str(df.succeeded()).unwrap();
    assert_eq!((&df["in_flight"], &df["files_in_flight"]), (&0.into(), &0.into()), "{df}");
}

/// A server whose data lie on `small`, with a quota that is larger than that.
fn server_on(small: &Small) -> TestServer {
    let data = TempDir::new_in(small.path()).unwrap();
    TestServer::start_in(data, &Settings { disk_floor: 0, ..Settings::default() })
}

const LARGE_QUOTA: QuotaLimits = QuotaLimits { bytes: Some(1 << 30), entries: None };

#[test]
#[ignore = "mounts a tmpfs: needs root or user namespaces, and util-linux"]
fn system_put_onto_a_full_server_ends_with_6_and_a_repeat_finishes_it() {
    let name = "system::system_put_onto_a_full_server_ends_with_6_and_a_repeat_finishes_it";
    if ran_in_own_mounts(name) {
        return;
    }
    let small = Small::mount(40 * MIB);
    let server = server_on(&small);
    let ada = server.limited_user("ada", LARGE_QUOTA);
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("big"), content(7, 9 * MIB)).unwrap();
    make_tree(&here.path().join("tree"), 90, 100_000);
    run(&ada, here.path(), &["put", "tree", &ada.place("old/")]).succeeded();

    for left in [2 * MIB, 0] {
        small.fill(left);
        for source in ["big", "tree"] {
            let ended = run(&ada, here.path(), &["put", source, &ada.place("")]);
            is_full(&ended, "the server's", "ask the administrator to make room");
            assert!(!ada.home().join("big").exists(), "half a file must not be seen");
            whole_files(&here.path().join("tree"), &ada.home().join("tree"));
        }
        ledger_is_right(&ada);
        nothing_in_flight(&ada);
    }
    // The way out of a full disk is open also at its last byte.
    run(&ada, here.path(), &["rm", "-r", &ada.place("old")]).succeeded();
    ledger_is_right(&ada);

    small.make_room();
    run(&ada, here.path(), &["put", "big", &ada.place("")]).succeeded();
    run(&ada, here.path(), &["put", "tree", &ada.place("")]).succeeded();
    assert_eq!(fs::read(ada.home().join("big")).unwrap(), content(7, 9 * MIB));
    assert_eq!(whole_files(&here.path().join("tree"), &ada.home().join("tree")), 90);
    ledger_is_right(&ada);
    nothing_in_flight(&ada);
}

/// There was room when it began; then somebody else took it.
#[test]
#[ignore = "mounts a tmpfs: needs root or user namespaces, and util-linux"]
fn system_a_server_that_fills_up_during_a_put_keeps_what_is_whole() {
    let name = "system::system_a_server_that_fills_up_during_a_put_keeps_what_is_whole";
    if ran_in_own_mounts(name) {
        return;
    }
    let small = Small::mount(64 * MIB);
    let server = server_on(&small);
    let ada = server.limited_user("ada", LARGE_QUOTA);
    let here = TempDir::new().unwrap();
    let tree = here.path().join("tree");
    make_tree(&tree, 600, 60_000);

    let place = ada.place("");
    let mut command = ada.program.command(["put", "--json", "--limit", "4MiB", "tree", &place]);
    command.current_dir(here.path()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_done = |line: String| {
        let event: Value = serde_json::from_str(&line).unwrap();
        event["event"] == "done"
    };
    assert!(lines.by_ref().any(|line| is_done(line.unwrap())), "it ended before a file was across");
    small.fill(0);
    let events = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    let failed: Vec<Value> = events.filter(|event: &Value| event["event"] == "fail").collect();
    assert_eq!(child.wait().unwrap().code(), Some(6), "{failed:?}");
    assert!(!failed.is_empty());
    for event in failed {
        assert_eq!(event["code"], 6, "{event}");
        let message = event["message"].as_str().unwrap();
        assert!(message.contains("the server's disk is full"), "{event}");
    }

    let copy = ada.home().join("tree");
    let first = whole_files(&tree, &copy);
    assert!((1..600).contains(&first), "{first} files are there");
    ledger_is_right(&ada);

    small.make_room();
    run(&ada, here.path(), &["put", "tree", &place]).succeeded();
    assert_eq!(whole_files(&tree, &copy), 600);
    ledger_is_right(&ada);
    nothing_in_flight(&ada);
}

#[test]
#[ignore = "mounts a tmpfs: needs root or user namespaces, and util-linux"]
fn system_get_onto_a_full_disk_ends_with_6_and_a_repeat_finishes_it() {
    if ran_in_own_mounts("system::system_get_onto_a_full_disk_ends_with_6_and_a_repeat_finishes_it")
    {
        return;
    }
    let small = Small::mount(32 * MIB);
    let server = TestServer::start();
    let ada = server.user("ada");
    fs::write(ada.home().join("big"), content(7, 9 * MIB)).unwrap();
    make_tree(&ada.home().join("tree"), 90, 100_000);

    for left in [2 * MIB, 0] {
        small.fill(left);
        for source in ["big", "tree"] {
            let ended = run(&ada, small.path(), &["get", &ada.place(source)]);
            is_full(&ended, "the local", "make room, then run the same command again");
            assert!(!small.path().join("big").exists(), "half a file must not be seen");
            whole_files(&ada.home().join("tree"), &small.path().join("tree"));
        }
    }
    small.make_room();
    run(&ada, small.path(), &["get", &ada.place("big")]).succeeded();
    run(&ada, small.path(), &["get", &ada.place("tree")]).succeeded();
    assert_eq!(fs::read(small.path().join("big")).unwrap(), content(7, 9 * MIB));
    assert_eq!(whole_files(&ada.home().join("tree"), &small.path().join("tree")), 90);
    no_leftovers(small.path());
    no_leftovers(&small.path().join("tree"));
}

/// There was room when it began; then somebody else took it.
#[test]
#[ignore = "mounts a tmpfs: needs root or user namespaces, and util-linux"]
fn system_a_disk_that_fills_up_during_a_get_keeps_what_is_whole() {
    if ran_in_own_mounts("system::system_a_disk_that_fills_up_during_a_get_keeps_what_is_whole") {
        return;
    }
    let small = Small::mount(64 * MIB);
    let server = TestServer::start();
    let ada = server.user("ada");
    make_tree(&ada.home().join("tree"), 600, 60_000);

    let place = ada.place("tree");
    let mut command = ada.program.command(["get", "--json", "--limit", "4MiB", &place]);
    command.current_dir(small.path()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_done = |line: String| {
        let event: Value = serde_json::from_str(&line).unwrap();
        event["event"] == "done"
    };
    assert!(lines.by_ref().any(|line| is_done(line.unwrap())), "it ended before a file was across");
    small.fill(0);
    let events = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap());
    let failed: Vec<Value> = events.filter(|event: &Value| event["event"] == "fail").collect();
    assert_eq!(child.wait().unwrap().code(), Some(6), "{failed:?}");
    assert!(!failed.is_empty());
    for event in failed {
        assert_eq!(event["code"], 6, "{event}");
        assert!(event["message"].as_str().unwrap().contains("the local disk is full"), "{event}");
    }
    let (tree, copy) = (ada.home().join("tree"), small.path().join("tree"));
    let first = whole_files(&tree, &copy);
    assert!((1..600).contains(&first), "{first} files are there");

    small.make_room();
    run(&ada, small.path(), &["get", &place]).succeeded();
    assert_eq!(whole_files(&tree, &copy), 600);
    no_leftovers(&copy);
}

/// The journal, which makes a transfer resumable, has a disk of its own to fill.
#[test]
#[ignore = "mounts a tmpfs: needs root or user namespaces, and util-linux"]
fn system_a_journal_that_cannot_be_written_ends_with_6() {
    if ran_in_own_mounts("system::system_a_journal_that_cannot_be_written_ends_with_6") {
        return;
    }
    let small = Small::mount(4 * MIB);
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("big"), content(7, 3 * MIB)).unwrap();
    // Pins and keys are there already.
    let mut copy = Command::new("cp");
    copy.arg("-a").arg(ada.program.home().join(".")).arg(small.path());
    assert!(copy.status().unwrap().success());
    fs::set_permissions(small.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let put = || {
        let mut command = ada.program.command(["put", "big", &ada.place("")]);
        command.env("SAMPAN_HOME", small.path()).current_dir(here.path());
        Ended::of(command.output().unwrap())
    };
    small.fill(0);
    is_full(&put(), "the local", "make room, then run the same command again");
    small.make_room();
    put().succeeded();
    assert_eq!(fs::read(ada.home().join("big")).unwrap(), content(7, 3 * MIB));
}

/// A disk that an administrator mounted into a home is no part of it.
#[test]
#[ignore = "mounts a tmpfs: needs root or user namespaces, and util-linux"]
fn system_a_mount_point_in_a_home_is_named_and_left_alone() {
    if ran_in_own_mounts("system::system_a_mount_point_in_a_home_is_named_and_left_alone") {
        return;
    }
    let server = TestServer::start();
    let ada = server.user("ada");
    let mount = ada.home().join("mount");
    fs::create_dir(&mount).unwrap();
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "sampan-test"]).arg(&mount);
    assert!(command.status().unwrap().success(), "a tmpfs must be mountable for this test");
    fs::write(mount.join("x"), b"elsewhere").unwrap();
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("new"), b"new").unwrap();
    let said = "it lies on another file system; ask the administrator: a home ends where";
    let (inside, x) = (ada.place("mount/"), ada.place("mount/x"));
    for words in [&["ls", &inside][..], &["cat", &x], &["sum", &x], &["put", "new", &inside]] {
        run(&ada, here.path(), words).failed(7, &["/mount", said]);
    }
    run(&ada, here.path(), &["rm", "-r", &ada.place("mount")]).failed(7, &["/mount", said]);
    assert_eq!(fs::read(mount.join("x")).unwrap(), b"elsewhere");
    assert!(Command::new("umount").arg(&mount).status().unwrap().success());
}
