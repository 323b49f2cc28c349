//! `put` and `get` by the real program: what people and scripts see of a transfer. What the engine
//! does underneath is tested beside.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use sampan_server::store::QuotaLimits;
use serde_json::Value;
use tempfile::TempDir;

use crate::commands::rerun_unprivileged;
use crate::program::Ended;
use crate::server::{TestServer, User};
use crate::terminal::OnTerminal;

fn put(ada: &User<'_>, here: &Path, words: &[&str]) -> Ended {
    let mut command = ada.program.command(["put"].iter().chain(words));
    Ended::of(command.current_dir(here).output().unwrap())
}

fn get(ada: &User<'_>, here: &Path, words: &[&str]) -> Ended {
    let mut command = ada.program.command(["get"].iter().chain(words));
    Ended::of(command.current_dir(here).output().unwrap())
}

fn events(ended: &Ended) -> Vec<Value> {
    ended.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

#[test]
fn files_and_folders_land_where_the_contract_says() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    let home = ada.home();
    fs::create_dir_all(here.path().join("tree/sub")).unwrap();
    fs::write(here.path().join("tree/sub/x"), b"x").unwrap();
    fs::write(here.path().join("u@h:odd"), b"odd").unwrap();

    let to = |path: &str| ada.place(path);
    // Twice the same: nothing goes into itself, nothing is said.
    for _ in 0..2 {
        assert_eq!(put(&ada, here.path(), &["tree", &to("inbox")]).succeeded(), "");
    }
    assert_eq!(fs::read(home.join("inbox/tree/sub/x")).unwrap(), b"x");
    assert!(!home.join("inbox/tree/tree").exists());
    put(&ada, here.path(), &["tree/.", &to("flat")]).succeeded();
    assert!(home.join("flat/sub/x").exists());
    // One file: a new name, or into a folder. Position says that the first operand is local.
    put(&ada, here.path(), &["u@h:odd", &to("renamed")]).succeeded();
    put(&ada, here.path(), &["u@h:odd", &to("made/by/us/")]).succeeded();
    assert_eq!(fs::read(home.join("renamed")).unwrap(), b"odd");
    assert_eq!(fs::read(home.join("made/by/us/u@h:odd")).unwrap(), b"odd");

    let back = TempDir::new().unwrap();
    get(&ada, back.path(), &[&to("inbox/tree")]).succeeded();
    assert_eq!(fs::read(back.path().join("tree/sub/x")).unwrap(), b"x");
    get(&ada, back.path(), &[&to("renamed"), "new name"]).succeeded();
    assert_eq!(fs::read(back.path().join("new name")).unwrap(), b"odd");
    get(&ada, back.path(), &[&to("renamed"), &to("flat"), "both/"]).succeeded();
    assert!(
        back.path().join("both/renamed").exists() && back.path().join("both/flat/sub").is_dir()
    );
}

#[test]
fn a_target_that_differs_is_a_conflict_and_an_equal_one_is_not() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    let file = here.path().join("a.txt");
    let there = ada.home().join("a.txt");
    let to = ada.place("");
    fs::write(&file, b"first").unwrap();
    put(&ada, here.path(), &["a.txt", &to]).succeeded();
    let again = put(&ada, here.path(), &["--json", "a.txt", &to]);
    again.succeeded();
    assert_eq!(of_kind(&events(&again), "unchanged").len(), 1);

    fs::write(&file, b"second!").unwrap();
    put(&ada, here.path(), &["a.txt", &to]).failed(1, &["a.txt", "exists", "--on-conflict"]);
    assert_eq!(fs::read(&there).unwrap(), b"first");
    put(&ada, here.path(), &["--on-conflict", "skip", "a.txt", &to]).succeeded();
    assert_eq!(fs::read(&there).unwrap(), b"first");
    put(&ada, here.path(), &["--on-conflict", "rename", "a.txt", &to]).succeeded();
    assert_eq!(fs::read(ada.home().join("a (2).txt")).unwrap(), b"second!");
    put(&ada, here.path(), &["--on-conflict", "overwrite", "a.txt", &to]).succeeded();
    assert_eq!(fs::read(&there).unwrap(), b"second!");
    put(&ada, here.path(), &["--on-conflict", "ask", "a.txt", &to]).failed(2, &["terminal"]);

    // A file never takes a folder's place.
    fs::create_dir(ada.home().join("folder")).unwrap();
    fs::write(here.path().join("folder"), b"").unwrap();
    put(&ada, here.path(), &["--on-conflict", "overwrite", "folder", &to])
        .failed(1, &["file and a folder"]);
}

#[test]
fn over_quota_ends_with_6_before_the_first_byte() {
    let server = TestServer::start();
    let limits = QuotaLimits { bytes: Some(1_000_000), entries: None };
    let ada = server.limited_user("ada", limits);
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("big"), vec![7; 1_500_000]).unwrap();
    let ended = put(&ada, here.path(), &["--json", "big", &ada.place("")]);
    let events = events(&ended);
    let failed = of_kind(&events, "fail");
    assert_eq!((ended.code, failed.len()), (6, 1), "{ended:?}");
    assert_eq!(failed[0]["code"], 6);
    assert_eq!(of_kind(&events, "summary")[0]["moved"], 0);
    put(&ada, here.path(), &["big", &ada.place("")])
        .failed(6, &["quota", "1.50 MB", "`sampan df sampan://ada@"]);
    assert_eq!(fs::read_dir(ada.home()).unwrap().count(), 0);
    let df = ada.program.run(["df", "--json", &ada.place("")]);
    let df: Value = serde_json::from_str(df.succeeded()).unwrap();
    assert_eq!((&df["used"], &df["in_flight"]), (&0.into(), &0.into()));
}

#[test]
fn each_failure_is_one_line_while_the_rest_goes_on() {
    if rerun_unprivileged("carry::each_failure_is_one_line_while_the_rest_goes_on") {
        return;
    }
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    for name in ["good", "closed"] {
        fs::write(here.path().join(name), name).unwrap();
    }
    fs::set_permissions(here.path().join("closed"), fs::Permissions::from_mode(0o0)).unwrap();
    put(&ada, here.path(), &["closed", &ada.place("")]).failed(1, &["closed", "permission denied"]);
    put(&ada, here.path(), &["missing", &ada.place("")]).failed(7, &["missing", "no such file"]);
    let ended = put(&ada, here.path(), &["missing", "good", "closed", &ada.place("")]);
    assert_eq!((ended.code, ended.err.lines().count()), (1, 2), "{ended:?}");
    assert_eq!(fs::read(ada.home().join("good")).unwrap(), b"good");

    // What cannot be written here is not allowed.
    let closed = here.path().join("shut");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    get(&ada, &closed, &[&ada.place("good")]).failed(7, &["permission denied"]);
    get(&ada, here.path(), &[&ada.place("none")]).failed(7, &["none", "on the server"]);
}

#[test]
fn links_are_named_and_left_out_and_never_followed_on_the_server() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::create_dir(here.path().join("tree")).unwrap();
    fs::write(here.path().join("target"), b"behind").unwrap();
    symlink("../target", here.path().join("tree/link")).unwrap();
    let ended = put(&ada, here.path(), &["tree", &ada.place("")]);
    assert_eq!((ended.code, ended.err.lines().count()), (0, 1), "{ended:?}");
    assert!(ended.err.contains("tree/link") && ended.err.contains("symbolic link"));
    put(&ada, here.path(), &["--quiet", "tree", &ada.place("")]).succeeded();
    put(&ada, here.path(), &["--links", "fail", "tree", &ada.place("")])
        .failed(1, &["tree/link", "--links fail was given", "--links follow"]);
    put(&ada, here.path(), &["--links", "follow", "tree", &ada.place("")]).succeeded();
    assert_eq!(fs::read(ada.home().join("tree/link")).unwrap(), b"behind");

    // One that leads nowhere is named as that, in a tree and by itself.
    symlink("gone", here.path().join("nowhere")).unwrap();
    fs::create_dir(here.path().join("deep")).unwrap();
    symlink("itself", here.path().join("deep/itself")).unwrap();
    for (source, link) in [("nowhere", "nowhere"), ("deep", "deep/itself")] {
        put(&ada, here.path(), &["--links", "follow", source, &ada.place("")])
            .failed(7, &[link, "leads to nothing", "--links skip"]);
    }

    let outside = TempDir::new().unwrap();
    fs::write(outside.path().join("secret"), b"secret").unwrap();
    symlink(outside.path(), ada.home().join("out")).unwrap();
    get(&ada, here.path(), &[&ada.place("out/secret")]).failed(7, &["link"]);
    put(&ada, here.path(), &["target", &ada.place("out/")]).failed(7, &["link"]);
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

#[test]
fn s2_hostile_names_travel_unchanged_and_are_shown_escaped() {
    let name = OsStr::from_bytes(b"\x1b[31mred\n\xff");
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::write(here.path().join(name), b"x").unwrap();
    let mut command = ada.program.command([OsStr::new("put"), OsStr::new("--json"), name]);
    let ended = Ended::of(command.arg(ada.place("")).current_dir(here.path()).output().unwrap());
    ended.succeeded();
    let events = events(&ended);
    assert_eq!(of_kind(&events, "done")[0]["to_b64"], "G1szMW1yZWQK/w==");
    assert_eq!(fs::read(ada.home().join(name)).unwrap(), b"x");

    fs::write(here.path().join(name), b"other").unwrap();
    let mut command = ada.program.command([OsStr::new("put"), name]);
    Ended::of(command.arg(ada.place("")).current_dir(here.path()).output().unwrap())
        .failed(1, &["\\x1b[31mred\\x0a\\xff"]);
    let back = TempDir::new().unwrap();
    get(&ada, back.path(), &[&ada.place(""), "."]).succeeded();
    assert_eq!(fs::read(back.path().join(name)).unwrap(), b"x");
}

#[test]
fn a_dry_run_says_what_would_be_carried_and_carries_nothing() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("a"), b"a").unwrap();
    let ended = put(&ada, here.path(), &["--dry-run", "a", &ada.place("deep/")]);
    let expected = format!("{} -> {}\n", here.path().join("a").display(), ada.place("deep/a"));
    assert_eq!(ended.succeeded(), expected);
    assert_eq!(fs::read_dir(ada.home()).unwrap().count(), 0);
}

/// SIGINT keeps what was done; a second run meanwhile is told who holds the journal; the same command
/// again goes on where the first one stopped.
#[test]
fn an_interrupted_command_is_finished_by_repeating_it() {
    let output = is_finished_by_repeating_after(Signal::INT);
    Ended::of(output).failed(130, &["same command again"]);
}

/// SIGKILL leaves no time to keep anything.
#[test]
fn a_killed_command_is_finished_by_repeating_it() {
    is_finished_by_repeating_after(Signal::KILL);
}
/// Stops a command about a third of the way, and repeats it; gives how the first one ended.
fn is_finished_by_repeating_after(signal: Signal) -> Output {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    let content: Vec<u8> =
        (0..12_u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(here.path().join("big"), &content).unwrap();
    let place = ada.place("");
    let mut command = ada.program.command(["put", "--json", "--limit", "3MiB", "big", &place]);
    command.current_dir(here.path()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_far = |line: String| {
        let event: Value = serde_json::from_str(&line).unwrap();
        event["event"] == "progress" && event["done"].as_u64().unwrap() >= 4 << 20
    };
    assert!(lines.by_ref().any(|line| is_far(line.unwrap())), "it ended before it got so far");

    let process = child.id().to_string();
    put(&ada, here.path(), &["big", &place]).failed(1, &["runs already", &process]);
    kill_process(Pid::from_child(&child), signal).unwrap();
    lines.by_ref().for_each(|line| drop(line.unwrap()));
    let output = child.wait_with_output().unwrap();
    assert!(!ada.home().join("big").exists(), "half a file must not be seen");

    let again = put(&ada, here.path(), &["--json", "big", &place]);
    again.succeeded();
    let events = events(&again);
    assert!(of_kind(&events, "start")[0]["resumed"].as_u64().unwrap() > 0, "{again:?}");
    assert!(of_kind(&events, "summary")[0]["moved"].as_u64().unwrap() < content.len() as u64);
    let root = blake3::hash(&content).to_hex();
    assert_eq!(of_kind(&events, "done")[0]["blake3"], root.as_str());
    assert_eq!(fs::read(ada.home().join("big")).unwrap(), content);
    output
}

/// The bars clear their lines when they go: what is said at the end stands after them.
#[test]
fn ctrl_c_on_a_terminal_says_how_to_go_on_below_the_bars() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("big"), vec![1; 64 << 20]).unwrap();
    let line = format!(
        "trap : INT; cd {}; $SAMPAN put --limit 1MiB big {}; echo code $?",
        here.path().display(),
        ada.place("")
    );
    let mut terminal = OnTerminal::run(&ada.program, &line);
    terminal.faces("67.11 MB");
    terminal.types("\x03");
    terminal.faces("code 130");
    terminal.faces("same command again");
    terminal.ends();
}

#[test]
fn on_a_terminal_there_are_bars_and_a_question_about_a_conflict() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    for (name, content) in [("a", "first"), ("b", "first")] {
        fs::write(here.path().join(name), content).unwrap();
        fs::write(ada.home().join(name), "there, and longer").unwrap();
    }
    fs::write(here.path().join("c"), vec![1; 3 << 20]).unwrap();
    let line =
        format!("cd {} && echo junk | $SAMPAN put a b c {}", here.path().display(), ada.place(""));
    let mut terminal = OnTerminal::run(&ada.program, &line);
    terminal.shows("a capital letter for all: ");
    terminal.types("x\n");
    terminal.types("O\n");
    let (seen, code) = terminal.ends();
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("3 done"), "{seen}");
    assert_eq!(seen.matches("The target exists, with other content").count(), 1, "{seen}");
    for name in ["a", "b"] {
        assert_eq!(fs::read(ada.home().join(name)).unwrap(), b"first");
    }
}

/// What begins ends under the same id; folders, which are done with once their contents are, have one
/// line only.
#[test]
fn ids_pair_the_lines_of_each_transfer() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::create_dir_all(here.path().join("tree/empty")).unwrap();
    fs::create_dir_all(here.path().join("alone")).unwrap();
    fs::write(here.path().join("tree/a"), b"a").unwrap();
    fs::write(here.path().join("tree/big"), vec![1; 3 << 20]).unwrap();
    let there = ada.place("there/");
    for ended in [
        put(&ada, here.path(), &["--json", "tree", &there]),
        put(&ada, here.path(), &["--json", "alone", &there]),
        get(&ada, here.path(), &["--json", &ada.place("there"), "back/"]),
    ] {
        ended.succeeded();
        let events = events(&ended);
        let ids = |kind| of_kind(&events, kind).into_iter().map(|e| e["id"].as_u64().unwrap());
        let started: Vec<_> = ids("start").collect();
        for id in &started {
            assert!(ids("done").any(|done| done == *id), "{id} began and never ended: {events:#?}");
        }
        for done in of_kind(&events, "done") {
            let is_file = done["blake3"].is_string();
            let began = started.contains(&done["id"].as_u64().unwrap());
            assert_eq!(began, is_file, "{done}");
        }
    }
}

/// What is refused before a byte of it moved began all the same: it was counted as something to carry.
#[test]
fn what_fails_before_it_moves_is_told_as_begun() {
    let server = TestServer::start();
    let limits = QuotaLimits { bytes: Some(1_000_000), entries: None };
    let ada = server.limited_user("ada", limits);
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("big"), vec![7; 1_500_000]).unwrap();
    let ended = put(&ada, here.path(), &["--json", "big", &ada.place("")]);
    let events = events(&ended);
    let (start, fail) = (of_kind(&events, "start"), of_kind(&events, "fail"));
    assert_eq!((start.len(), fail.len()), (1, 1), "{events:#?}");
    assert_eq!(start[0]["id"], fail[0]["id"]);
}

#[test]
fn a_link_on_the_server_that_is_left_out_is_named_with_its_place() {
    let server = TestServer::start();
    let ada = server.user("ada");
    fs::create_dir(ada.home().join("docs")).unwrap();
    symlink("nowhere", ada.home().join("docs/lnk")).unwrap();
    let here = TempDir::new().unwrap();
    let ended = get(&ada, here.path(), &[&ada.place("docs")]);
    let lnk = ada.place("docs/lnk");
    let expected =
        format!("sampan: {lnk}: left out: a symbolic link, which the server does not follow\n");
    assert_eq!((ended.code, ended.err), (0, expected));
}
