//! The commands that look and change, on a real server: exact output, exit codes, and what bad input
//! gets.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use sampan_server::store::QuotaLimits;

use crate::program::Ended;
use crate::server::{PASSWORD, TestServer, User};

/// A name with everything that a terminal could be driven or a listing be forged with.
const HOSTILE: &[u8] = b"\x1b[31mred\nsampan: \xff\x9b2J";

fn write(user: &User<'_>, path: &str, content: &[u8], mode: u32, seconds: u64) {
    let path = user.home().join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, content).unwrap();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    file.set_permissions(fs::Permissions::from_mode(mode)).unwrap();
}

fn sorted(text: &str) -> Vec<&str> {
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn folders_are_made_listed_moved_and_removed() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let run = |words: &[&str], place: &[&str]| {
        let places: Vec<_> = place.iter().map(|path| ada.place(path)).collect();
        let words = words.iter().map(|word| (*word).to_owned());
        ada.program.run(words.chain(places))
    };
    run(&["mkdir"], &["docs", "old"]).succeeded();
    run(&["mkdir"], &["docs"]).failed(1, &["exists already", "-p"]);
    run(&["mkdir"], &["a/b/c"]).failed(7, &["no such file", "-p"]);
    run(&["mkdir", "-p"], &["a/b/c", "docs", ""]).succeeded();
    assert!(ada.home().join("a/b/c").is_dir());
    write(&ada, "docs/x.txt", b"x", 0o644, 0);
    write(&ada, "docs/.hidden", b"", 0o644, 0);
    assert_eq!(sorted(run(&["ls"], &[""]).succeeded()), ["a", "docs", "old"]);
    assert_eq!(run(&["ls"], &["docs"]).succeeded(), "x.txt\n");
    assert_eq!(sorted(run(&["ls", "-a"], &["docs"]).succeeded()), [".hidden", "x.txt"]);

    // Into a folder, to a new name, onto an existing one.
    run(&["mv"], &["docs/x.txt", "old", "a/"]).succeeded();
    assert!(ada.home().join("a/x.txt").is_file() && ada.home().join("a/old").is_dir());
    run(&["mv"], &["a/x.txt", "a/y.txt"]).succeeded();
    write(&ada, "docs/y.txt", b"other", 0o644, 0);
    run(&["mv"], &["a/y.txt", "docs"]).failed(1, &["docs/y.txt", "exists already"]);
    run(&["mv"], &["a/y.txt", "docs/y.txt"]).failed(1, &["exists already", "--overwrite"]);
    run(&["mv", "--overwrite"], &["a/y.txt", "docs/y.txt"]).succeeded();
    assert_eq!(fs::read(ada.home().join("docs/y.txt")).unwrap(), b"x");
    run(&["mv"], &["a", "docs", "nowhere"]).failed(7, &["nowhere"]);
    run(&["mv"], &["a", "nowhere/"]).failed(7, &["nowhere"]);
    run(&["mv"], &["missing", "docs/"]).failed(7, &["missing"]);
    run(&["mv"], &["docs/y.txt", "nowhere/y.txt"]).failed(7, &["nowhere/y.txt"]);
    run(&["mv"], &["docs/y.txt", "docs/y.txt/z"]).failed(7, &["docs/y.txt/z"]);
    run(&["mv"], &["a", "a/b/inside"]).failed(7, &["inside itself"]);
    // Its own name is an existing target, and nothing replaces itself.
    for flags in [&["mv"][..], &["mv", "--overwrite"]] {
        for to in ["docs/y.txt", "docs/", "docs"] {
            run(flags, &["docs/y.txt", to]).failed(1, &["docs/y.txt", "exists already"]);
        }
        run(flags, &["missing", "missing"]).failed(7, &["missing", "no such file"]);
    }
    assert_eq!(fs::read(ada.home().join("docs/y.txt")).unwrap(), b"x");

    run(&["rm"], &["a"]).failed(1, &["not empty", "-r"]);
    run(&["rm"], &["missing"]).failed(7, &["missing"]);
    run(&["rm", "-f"], &["missing", "docs/y.txt/below"]).succeeded();
    run(&["rm", "-r"], &["a", "docs"]).succeeded();
    assert_eq!(run(&["ls"], &[""]).succeeded(), "");
}

#[test]
fn one_failure_does_not_keep_the_rest_and_kinds_that_differ_end_with_1() {
    let server = TestServer::start();
    let ada = server.user("ada");
    fs::create_dir_all(ada.home().join("full/x")).unwrap();
    write(&ada, "a", b"", 0o644, 0);
    let places = ["missing", "full", "a"].map(|path| ada.place(path));
    let ended = ada.program.run([&["rm".to_owned()][..], &places].concat());
    assert_eq!((ended.code, ended.err.lines().count()), (1, 2), "{ended:?}");
    assert!(!ada.home().join("a").exists());
    let places = ["missing", "gone"].map(|path| ada.place(path));
    assert_eq!(ada.program.run([&["rm".to_owned()][..], &places].concat()).code, 7);
}

#[test]
fn listings_have_their_columns_and_their_json() {
    let server = TestServer::start();
    let ada = server.user("ada");
    write(&ada, "docs/a.txt", b"hello", 0o640, 1_700_000_000);
    let docs = ada.place("docs");
    let row = ada.program.run(["ls", "-l", &docs]);
    assert_eq!(row.succeeded(), "-rw-r-----             5 2023-11-14 22:13:20 a.txt\n");
    let row = ada.program.run(["ls", "--json", &docs]);
    assert_eq!(
        row.succeeded(),
        "{\"name\":\"a.txt\",\"kind\":\"file\",\"size\":5,\"mtime\":\"2023-11-14T22:13:20Z\",\
         \"mode\":\"0640\"}\n"
    );
    // A file is listed as itself; of several places files come first, and each says where it lies.
    assert_eq!(ada.program.run(["ls", &ada.place("docs/a.txt")]).succeeded(), "a.txt\n");
    ada.program.run(["ls", &ada.place("docs/a.txt/")]).failed(7, &["a.txt", "not a folder"]);
    let both = ada.program.run(["ls", &docs, &ada.place("docs/a.txt")]);
    assert_eq!(both.succeeded(), format!("docs/a.txt\n\n{}:\na.txt\n", &docs));
    let nul = ada.program.run(["ls", "-0", &docs, &ada.place("")]);
    assert_eq!(nul.succeeded(), "docs/a.txt\0docs\0");
}

#[test]
fn s2_hostile_names_go_unchanged_into_a_pipe_and_escaped_into_json_and_messages() {
    let server = TestServer::start();
    let ada = server.user("ada");
    fs::write(ada.home().join(OsStr::from_bytes(HOSTILE)), b"x").unwrap();
    let home = ada.place("");
    let expected = [HOSTILE, b"\n"].concat();
    assert_eq!(ada.program.run(["ls", &home]).out, expected);
    let expected = [HOSTILE, b"\0"].concat();
    assert_eq!(ada.program.run(["ls", "-0", &home]).out, expected);

    let json = ada.program.run(["ls", "--json", &home]);
    let json: serde_json::Value = serde_json::from_str(json.succeeded()).unwrap();
    assert_eq!(json["name"], String::from_utf8_lossy(HOSTILE).as_ref());
    assert_eq!(json["name_b64"], "G1szMW1yZWQKc2FtcGFuOiD/mzJK");

    // As an operand it names the file; in a message it is harmless.
    let place = [home.as_bytes(), HOSTILE].concat();
    let place = OsStr::from_bytes(&place);
    let sum = ada.program.run([OsStr::new("sum"), place]);
    let root = blake3::hash(b"x").to_hex();
    let expected = [b"\\", root.as_bytes(), b"  \x1b[31mred\\nsampan: \xff\x9b2J\n"].concat();
    assert_eq!((sum.code, sum.out), (0, expected));
    ada.program
        .run([OsStr::new("mkdir"), place])
        .failed(1, &["\\x1b[31mred\\x0asampan: \\xff\\x9b2J", "exists"]);
    ada.program.run([OsStr::new("rm"), place]).succeeded();
    assert_eq!(fs::read_dir(ada.home()).unwrap().count(), 0);
}

#[test]
fn sums_are_those_of_b3sum() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let content: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[0] ^ 0x5a).collect();
    write(&ada, "big", &content, 0o644, 0);
    write(&ada, "docs/empty", b"", 0o644, 0);
    let sums = ada.program.run(["sum", &ada.place("big"), &ada.place("docs/empty")]);
    let (big, empty) = (blake3::hash(&content).to_hex(), blake3::hash(b"").to_hex());
    assert_eq!(sums.succeeded(), format!("{big}  big\n{empty}  docs/empty\n"));
    ada.program.run(["sum", &ada.place("docs")]).failed(1, &["folder"]);
}

#[test]
fn quota_and_use_are_shown_and_files_beyond_it_refused() {
    let server = TestServer::start();
    let limits = QuotaLimits { bytes: Some(1_000_000), entries: Some(2) };
    let ada = server.limited_user("ada", limits);
    let place = |path: &str| ada.place(path);
    ada.program.run(["mkdir", &place("a"), &place("b")]).succeeded();
    ada.program
        .run(["mkdir", &place("c")])
        .failed(6, &["number of files", "sampan df sampan://ada@"]);
    let df = ada.program.run(["df", "--json", &place("")]);
    assert_eq!(
        df.succeeded(),
        "{\"quota\":1000000,\"used\":0,\"in_flight\":0,\"available\":1000000,\"max_files\":2,\
         \"files\":2,\"files_in_flight\":0}\n"
    );
    let df = ada.program.run(["df", &place("")]);
    assert!(df.succeeded().starts_with("quota      1.00 MB (1000000 bytes)\n"), "{df:?}");
    assert!(df.text().contains("\nfiles      2 of 2\n"), "{df:?}");
}

#[test]
fn links_are_listed_and_never_followed() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    symlink(outside.path(), ada.home().join("out")).unwrap();
    symlink(outside.path().join("secret"), ada.home().join("file")).unwrap();

    let listed = ada.program.run(["ls", "-l", &ada.place("")]);
    assert!(listed.succeeded().lines().all(|row| row.starts_with('l')), "{listed:?}");
    let listed = ada.program.run(["ls", &ada.place("out")]);
    assert_eq!(listed.succeeded(), "out\n", "the link itself, not what it points to");
    let secret = ada.place("out/secret");
    ada.program
        .run(["ls", &secret])
        .failed(7, &["a symbolic link stands in the way", "remove the link"]);
    ada.program.run(["ls", &ada.place("out/")]).failed(7, &["link"]);
    ada.program.run(["sum", &secret]).failed(7, &["link"]);
    ada.program.run(["sum", &ada.place("file")]).failed(7, &["link"]);
    ada.program.run(["rm", &secret]).failed(7, &["link"]);
    ada.program.run(["mkdir", "-p", &ada.place("out/new")]).failed(7, &["link"]);
    // Removing a link removes the link.
    ada.program.run(["rm", "-r", &ada.place("out"), &ada.place("file")]).succeeded();
    assert_eq!(fs::read(outside.path().join("secret")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn what_the_server_may_not_touch_ends_with_7() {
    if rerun_unprivileged("commands::what_the_server_may_not_touch_ends_with_7") {
        return;
    }
    let server = TestServer::start();
    let ada = server.user("ada");
    fs::create_dir(ada.home().join("closed")).unwrap();
    write(&ada, "unreadable", b"x", 0o000, 0);
    fs::set_permissions(ada.home().join("closed"), fs::Permissions::from_mode(0o500)).unwrap();
    let new = ada.place("closed/new");
    ada.program.run(["mkdir", &new]).failed(7, &["closed/new", "permission denied on the server"]);
    let unreadable = ada.place("unreadable");
    ada.program.run(["sum", &unreadable]).failed(7, &["unreadable", "permission denied"]);
}

/// Root may do everything: then the test runs again as somebody else, and this says so.
pub(crate) fn rerun_unprivileged(test: &str) -> bool {
    const NOBODY: u32 = 65534;
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let output = command.args([test, "--exact"]).uid(NOBODY).gid(NOBODY).output().unwrap();
    let ran = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && ran.contains("1 passed"), "{ran}");
    true
}

#[test]
fn s19_a_wrong_password_and_an_unknown_user_get_the_same_answer() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let run = |user: &str, password: &str| {
        let place = ada.place("").replace("ada@", &format!("{user}@"));
        let mut command = ada.program.command(["ls", &place]);
        let ended = Ended::of(command.env("SAMPAN_PASSWORD", password).output().unwrap());
        (ended.code, ended.err.replace(user, "USER"))
    };
    let wrong = run("ada", "wrong horse");
    assert_eq!(wrong.0, 4);
    assert!(wrong.1.contains("name or password"), "{}", wrong.1);
    assert_eq!(run("nobody", PASSWORD), wrong);
    assert_eq!(run("nobody", "wrong horse"), wrong);
    assert_eq!(run("ada", PASSWORD), (0, String::new()));
}

#[test]
fn a_given_password_is_proved_whatever_key_is_enrolled() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let file = ada.program.home().join("password");
    let run = |content: &str| {
        fs::write(&file, content).unwrap();
        let mut command = ada.program.command(["ls", "--password-file"]);
        let command = command.arg(&file).arg(ada.place(""));
        // The file beats the variable.
        Ended::of(command.env("SAMPAN_PASSWORD", "neither").output().unwrap())
    };
    run("wrong\n").failed(4, &["refused"]);
    run(&format!("{PASSWORD}\nsecond line\n")).succeeded();
    assert_eq!(ada.program.run(["ls", &ada.place("")]).succeeded(), "");
}

#[test]
fn login_enrols_a_key_and_logout_revokes_it() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let fresh = crate::program::Program::new();
    let home = ada.place("");
    let run = |words: &[&str], password: Option<&str>| {
        let more = ["--fingerprint", &server.fingerprint()].map(str::to_owned);
        let words = words.iter().map(|word| (*word).to_owned());
        let mut command = fresh.command(words.chain(more));
        if let Some(password) = password {
            command.env("SAMPAN_PASSWORD", password);
        }
        Ended::of(command.output().unwrap())
    };
    assert_eq!(ada.keys(), 1);
    run(&["ls", &home], None).failed(4, &["password"]);
    run(&["login", &home], None).failed(4, &["password"]);
    run(&["login", &home], Some("wrong")).failed(4, &["refused"]);
    assert_eq!(ada.keys(), 1);
    run(&["login", &home], Some(PASSWORD)).succeeded();
    run(&["login", &home], Some(PASSWORD)).succeeded();
    assert_eq!(ada.keys(), 2, "the same key is enrolled again, not a second one");
    run(&["ls", &home], None).succeeded();
    run(&["logout", &home], None).succeeded();
    assert_eq!(ada.keys(), 1);
    run(&["ls", &home], None).failed(4, &["password"]);
    run(&["logout", &home], None).failed(7, &["no key"]);
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let server = TestServer::start();
    let ada = server.user("ada");
    for number in 0..5000 {
        fs::write(ada.home().join(format!("a file with a long name {number:050}")), b"").unwrap();
    }
    let mut command = ada.program.command(["ls", &ada.place("")]);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!((ended.code, &*ended.err), (0, ""));
}

/// What was ordered is carried, whoever wants to hear of it.
#[test]
fn a_put_whose_events_nobody_reads_is_carried_to_its_end() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = tempfile::TempDir::new().unwrap();
    for number in 0..2000 {
        fs::write(here.path().join(number.to_string()), b"x").unwrap();
    }
    let mut command = ada.program.command(["put", "--json", ".", &ada.place("all/")]);
    command.current_dir(here.path()).stderr(std::process::Stdio::piped());
    let (reader, writer) = std::io::pipe().unwrap();
    let child = command.stdout(writer).spawn().unwrap();
    drop(command);
    drop(reader);
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(fs::read_dir(ada.home().join("all")).unwrap().count(), 2000);
}

#[test]
fn a_folder_never_replaces_and_is_never_replaced() {
    let server = TestServer::start();
    let ada = server.user("ada");
    fs::create_dir_all(ada.home().join("docs")).unwrap();
    fs::create_dir_all(ada.home().join("work/docs/old")).unwrap();
    fs::create_dir_all(ada.home().join("empty/docs")).unwrap();
    write(&ada, "file", b"f", 0o644, 0);
    let mv = |from: &str, to: &str| {
        ada.program.run(["mv", "--overwrite", &ada.place(from), &ada.place(to)])
    };
    write(&ada, "more/file/x", b"f", 0o644, 0);
    for (from, to, there) in [
        ("docs", "work/", "work/docs"),
        ("docs", "work", "work/docs"),
        ("docs", "empty/", "empty/docs"),
        ("docs", "file", "file"),
        ("file", "more/", "more/file"),
    ] {
        let ended = mv(from, to);
        let code = if to == "file" { 7 } else { 1 };
        ended.failed(code, &[there, "--overwrite replaces a file with a file, and no folder"]);
    }
    assert!(ada.home().join("work/docs/old").is_dir() && ada.home().join("docs").is_dir());
}
