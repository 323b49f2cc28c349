//! What bad input gets, by the real program: its exit code, and a line that says what happened, to
//! what, and what to do next. First contact has its own in `contact`, servers that lie theirs in
//! `impostor`, links and hostile names theirs in `commands` and `carry`, real full disks theirs in
//! `system`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use sampan_server::config::Settings;
use sampan_server::store::QuotaLimits;
use tempfile::TempDir;

use crate::commands::rerun_unprivileged;
use crate::contract::{started, watched};
use crate::program::{Ended, Program};
use crate::server::{PASSWORD, TestServer, User};

fn with_password(user: &User<'_>, password: &str) -> Ended {
    let mut command = user.program.command(["ls", &user.place("")]);
    Ended::of(command.env("SAMPAN_PASSWORD", password).output().unwrap())
}

#[test]
fn a_password_that_none_can_be_ends_with_4_and_says_so() {
    let server = TestServer::start();
    let ada = server.user("ada");
    for password in ["correct \u{1f40e}", "correct\u{7}horse"] {
        let ended = with_password(&ada, password);
        ended.failed(4, &["ada@127.0.0.1", "cannot be right", "such as an emoji", "check what"]);
        assert!(!ended.err.contains("correct"), "{}", ended.err);
    }
}

#[test]
fn a_closed_account_ends_with_4_like_a_wrong_password() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let wrong = with_password(&ada, "wrong");
    server.disable(&ada);
    let closed = with_password(&ada, PASSWORD);
    closed.failed(4, &["ada@127.0.0.1", "refused", "ask the administrator"]);
    assert_eq!(closed.err, wrong.err);
}

#[test]
fn a_revoked_key_ends_with_4_and_names_the_command_that_enrols_it() {
    let server = TestServer::start();
    let ada = server.user("ada");
    ada.revoke_key();
    let login = format!("run `sampan login sampan://{}`", ada.account());
    let ended = ada.program.run(["ls", &ada.place("")]);
    ended.failed(4, &["this machine's key", "revoked", &login, "--password-file"]);
}

#[test]
fn too_many_wrong_passwords_have_to_wait() {
    let server = TestServer::start();
    let ada = server.user("ada");
    // On a slow machine the first waits are over before they are seen; they double.
    let mut tries = (0..10).map(|_| with_password(&ada, "wrong"));
    let ended = tries.find(|ended| !ended.err.contains("name or password"));
    ended.unwrap().failed(4, &["refused", "too many tries failed", "try again in "]);
    // Whoever has a key is not locked out.
    ada.program.run(["ls", &ada.place("")]).succeeded();
}

fn put(ada: &User<'_>, here: &Path, words: &[&str]) -> Ended {
    let mut command = ada.program.command(["put"].iter().chain(words));
    Ended::of(command.current_dir(here).output().unwrap())
}

#[test]
fn small_files_and_trees_over_quota_end_with_6_and_hold_nothing() {
    let server = TestServer::start();
    let limits = QuotaLimits { bytes: Some(10_000), entries: Some(4) };
    let ada = server.limited_user("ada", limits);
    let here = TempDir::new().unwrap();
    fs::create_dir(here.path().join("large")).unwrap();
    fs::create_dir(here.path().join("many")).unwrap();
    for number in 0..3 {
        fs::write(here.path().join(format!("large/{number}")), vec![7; 4000]).unwrap();
    }
    for number in 0..9 {
        fs::write(here.path().join(format!("many/{number}")), b"").unwrap();
    }
    for (tree, what) in [("large", "the quota does not suffice"), ("many", "number of files")] {
        let ended = put(&ada, here.path(), &[tree, &ada.place("")]);
        assert_eq!(ended.code, 6, "{ended:?}");
        assert!(ended.err.lines().all(|line| line.contains(what)), "{}", ended.err);
        assert!(ended.err.contains("see `sampan df "), "{}", ended.err);
        // What is there is whole, and counted.
        ada.program.run(["rm", "-rf", &ada.place(tree)]).succeeded();
        let df = ada.program.run(["df", "--json", &ada.place("")]);
        let df: serde_json::Value = serde_json::from_str(df.succeeded()).unwrap();
        assert_eq!(
            (&df["used"], &df["in_flight"], &df["files"]),
            (&0.into(), &0.into(), &0.into())
        );
    }
}

/// The server keeps some of its disk free: beyond that it is full.
#[test]
fn a_server_at_its_floor_ends_with_6_and_still_gives_and_removes() {
    let data = TempDir::new().unwrap();
    let settings = Settings { disk_floor: u64::MAX, ..Settings::default() };
    let server = TestServer::start_in(data, &settings);
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("new"), b"new").unwrap();
    fs::write(here.path().join("large"), vec![7; 3 << 20]).unwrap();
    fs::write(ada.home().join("old"), b"old").unwrap();
    for name in ["new", "large"] {
        put(&ada, here.path(), &[name, &ada.place("")])
            .failed(6, &["ada@127.0.0.1", "the server's disk is full", "ask the administrator"]);
    }
    put(&ada, here.path(), &["new", &ada.place("deep/name")])
        .failed(6, &["deep/name", "the server's disk is full"]);
    let mut get = ada.program.command(["get", &ada.place("old")]);
    Ended::of(get.current_dir(here.path()).output().unwrap()).succeeded();
    assert_eq!(fs::read(here.path().join("old")).unwrap(), b"old");
    ada.program.run(["rm", &ada.place("old")]).succeeded();
    assert_eq!(fs::read_dir(ada.home()).unwrap().count(), 0);
}

#[test]
fn what_may_not_be_read_written_or_removed_on_the_server_ends_with_7() {
    if rerun_unprivileged(
        "refusals::what_may_not_be_read_written_or_removed_on_the_server_ends_with_7",
    ) {
        return;
    }
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("new"), b"new").unwrap();
    let closed = ada.home().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("old"), b"old").unwrap();
    fs::write(ada.home().join("secret"), b"secret").unwrap();
    fs::set_permissions(ada.home().join("secret"), fs::Permissions::from_mode(0o000)).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();

    let denied = "permission denied on the server";
    put(&ada, here.path(), &["new", &ada.place("closed/")]).failed(7, &["closed/new", denied]);
    let run = |words: &[&str]| {
        let mut command = ada.program.command(words);
        Ended::of(command.current_dir(here.path()).output().unwrap())
    };
    run(&["get", &ada.place("secret")]).failed(7, &["secret", denied]);
    assert!(!here.path().join("secret").exists());
    run(&["rm", &ada.place("closed/old")]).failed(7, &["closed/old", denied]);
    run(&["mv", &ada.place("closed/old"), &ada.place("")]).failed(7, &["closed/old", denied]);
    run(&["mv", &ada.place("secret"), &ada.place("closed/new")]).failed(7, &["closed/new", denied]);
    assert_eq!(fs::read(closed.join("old")).unwrap(), b"old");
    let left: Vec<_> = fs::read_dir(here.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["new"]);
}

#[test]
fn a_name_that_cannot_be_ends_with_7() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let long = "n".repeat(256);
    for command in ["ls", "mkdir", "rm", "sum"] {
        ada.program
            .run([command, &ada.place(&long)])
            .failed(7, &[&long, "cannot hold this name", "rename it"]);
    }
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("a"), b"a").unwrap();
    let refused = ["cannot hold this name", "choose another target"];
    put(&ada, here.path(), &["a", &ada.place(&long)]).failed(7, &refused);
    assert_eq!(fs::read_dir(ada.home()).unwrap().count(), 0);
}

#[test]
fn a_damaged_pin_names_its_line() {
    let program = Program::new();
    let pins = program.home().join("known_servers");
    fs::write(&pins, "# mine\n127.0.0.1:7 nonsense\n").unwrap();
    let stored = pins.display().to_string();
    program
        .run(["ls", "sampan://ada@127.0.0.1:7/"])
        .failed(1, &[&stored, "line 2 is not `HOST:PORT SHA256:"]);
}

#[test]
fn what_is_wrong_in_a_command_is_said_before_anything_is_tried() {
    let program = Program::new();
    let place = "ada@localhost:a";
    let no_place = "`localhost` is no place on a server; write USER@HOST:PATH or sampan://";
    let saved = "`saved:a` names no user; NAME:PATH is reserved for saved servers";
    let host = "names no host after the @; an IPv6 address stands in brackets: USER@[::1]:PATH";
    let size = "`fast` is no rate; write bytes a second, with one of k M G T (of 1000)";
    let rate = "`999999999T` is more bytes than a file system can hold";
    let fingerprint = "a fingerprint is `SHA256:` and 43 characters of base64";
    let connections = "invalid value '0' for '--connections <N>'";
    let still = "at no bytes a second nothing would ever arrive";
    let timeout = "no time at all is too short for any server";
    let cases: [(&[&str], &str); 22] = [
        (&["put", "--connections", "0", ".", place], connections),
        (&["put", "--limit", "0", ".", place], still),
        (&["ls", "--timeout", "0", place], timeout),
        (&["ls", "--retry-for", "soon", place], "`soon` is no time; write seconds, or such as"),
        (&["-P", "7300"], "these options are about a server: name its place too"),
        (&["mv", place], "the last operand is where to, and nothing stands before it"),
        (&["put", place], "the last operand is where to, and nothing stands before it"),
        (&["ls", "localhost"], no_place),
        (&["ls", "saved:a"], saved),
        (&["ls", "@localhost:a"], "`@localhost:a` names no user before the @"),
        (&["ls", "ada@:a"], host),
        (&["ls", "sampan://ada@::1/a"], host),
        (&["ls", "sampan://ada@localhost:70000/a"], "`70000` is no port; ports are 1 to 65535"),
        (&["ls", "-P", "1", "sampan://ada@localhost:2/a"], "the place says port 2 and -P says 1"),
        (&["ls", place, "bob@localhost:a"], "must be one account's; here are ada@localhost and"),
        (&["mv", place, "ada@otherhost:a"], "must be one account's; here are ada@localhost and"),
        (&["put", "", place], "`` is no local file or folder"),
        (&["ls", "--frobnicate", place], "unexpected argument '--frobnicate' found"),
        (&["get", "--links", "follow", place], "unexpected argument '--links' found"),
        (&["put", "--limit", "fast", ".", place], size),
        (&["put", "--limit", "999999999T", ".", place], rate),
        (&["ls", "--fingerprint", "SHA256:x", place], fingerprint),
    ];
    for (words, said) in cases {
        let ended = program.run(words);
        ended.code_is(2);
        assert!(ended.err.contains(said), "{words:?}: {}", ended.err);
    }
    // `/` has no name of its own to go under.
    let ended = program.run(["put", "/", place]);
    ended.failed(2, &["`/` has no name to carry it under; write `", "for what is in it"]);
}

#[test]
fn a_password_file_that_is_no_text_is_named() {
    let program = Program::new();
    let file = program.home().join("password");
    fs::write(&file, b"\xff\n").unwrap();
    let shown = file.display().to_string();
    program
        .run(["ls", "--password-file", &shown, "ada@localhost:"])
        .failed(2, &[&format!("the password in {shown} is no text in UTF-8")]);
}

#[test]
fn links_that_must_not_be_and_links_that_lead_back_end_with_1() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::create_dir_all(here.path().join("tree/inner")).unwrap();
    fs::write(here.path().join("tree/file"), b"x").unwrap();
    std::os::unix::fs::symlink("..", here.path().join("tree/inner/back")).unwrap();
    put(&ada, here.path(), &["--links", "follow", "tree", &ada.place("")]).failed(
        1,
        &["tree/inner/back: the link leads back to a folder that holds it", "with --links skip"],
    );
    put(&ada, here.path(), &["--links", "fail", "tree", &ada.place("")]).failed(
        1,
        &["tree/inner/back: it is a symbolic link, and --links fail was given", "--links skip"],
    );
    assert_eq!(fs::read(ada.home().join("tree/file")).unwrap(), b"x", "the rest went on");
}

/// An unfinished upload takes the one place there is.
#[test]
fn too_many_unfinished_uploads_end_with_6_and_name_the_command() {
    let settings = Settings { disk_floor: 0, max_uploads: 1, ..Settings::default() };
    let server = TestServer::start_in(TempDir::new().unwrap(), &settings);
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    for name in ["big", "other"] {
        fs::write(here.path().join(name), vec![3; 24 << 20]).unwrap();
    }
    let mut child =
        started(&ada, here.path(), &["--limit", "4MiB", "big", &ada.place("")], 3 << 20);
    child.kill().unwrap();
    child.wait().unwrap();
    put(&ada, here.path(), &["other", &ada.place("")])
        .failed(6, &["the account has too many unfinished uploads", "`sampan uploads sampan://"]);
    put(&ada, here.path(), &["big", &ada.place("")]).succeeded();
    put(&ada, here.path(), &["other", &ada.place("")]).succeeded();
}

/// The same command from a copy of the program's folder, as after a restored backup: it has the
/// upload's key and takes it over; the first one does not take it back.
#[test]
fn a_transfer_that_is_taken_over_ends_with_1() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    let content: Vec<u8> = (0..24_u32 << 20).map(|n| n.to_le_bytes()[2]).collect();
    fs::write(here.path().join("big"), &content).unwrap();
    let words = ["--limit", "2MiB", "big", &ada.place("")];
    let (mut child, events) = watched(&ada, here.path(), &words, 1 << 20);
    let copy = TempDir::new().unwrap();
    let mut cp = Command::new("cp");
    cp.arg("-a").arg(ada.program.home().join(".")).arg(copy.path());
    assert!(cp.status().unwrap().success());
    let mut second =
        ada.program.command(["put", "--quiet", "--limit", "8MiB", "big", &ada.place("")]);
    // Slow enough that the first one meets it; a file that is all there already is no failure.
    second.env("SAMPAN_HOME", copy.path()).current_dir(here.path());
    let second = Ended::of(second.output().unwrap());
    second.succeeded();
    let said = std::io::read_to_string(events).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(1), "{said}");
    let said = said.lines().find(|line| line.contains("\"fail\"")).expect("it failed");
    assert!(said.contains("another process took this transfer over"), "{said}");
    assert!(said.contains("let that process finish"), "{said}");
    assert!(fs::read(ada.home().join("big")).unwrap() == content);
}

#[test]
fn a_folder_where_a_file_is_needed_ends_with_1() {
    let server = TestServer::start();
    let ada = server.user("ada");
    fs::create_dir(ada.home().join("docs")).unwrap();
    ada.program.run(["sum", &ada.place("docs")]).failed(1, &["docs: it is a folder; name a file"]);
}
