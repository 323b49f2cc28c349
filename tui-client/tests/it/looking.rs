//! `cat`, `du`, `completions` and `man` by the real program.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::{Command, Stdio};

use sampan_server::store::QuotaLimits;
use serde_json::Value;

use crate::program::{Ended, Program};
use crate::screen::sluice::Sluice;
use crate::server::TestServer;

/// Bytes that repeat nowhere.
fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn cat_prints_files_one_after_the_other_and_the_rest_beside_a_failure() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let big = noise((9 << 20) + 17);
    fs::write(ada.home().join("big"), &big).unwrap();
    fs::write(ada.home().join("small"), b"small \x1b[31m\n").unwrap();
    fs::write(ada.home().join("empty"), b"").unwrap();
    fs::create_dir(ada.home().join("docs")).unwrap();
    symlink("small", ada.home().join("link")).unwrap();
    let cat = |paths: &[&str]| {
        let places = paths.iter().map(|path| ada.place(path));
        ada.program.run(std::iter::once("cat".to_owned()).chain(places))
    };
    let ended = cat(&["small", "big", "empty", "small"]);
    assert_eq!((ended.code, &*ended.err), (0, ""));
    let expected = [b"small \x1b[31m\n", &*big, b"small \x1b[31m\n"].concat();
    assert!(ended.out == expected, "{} bytes came", ended.out.len());

    cat(&["docs"]).failed(1, &["docs", "it is a folder", "`sampan get`"]);
    cat(&[""]).failed(1, &["it is a folder", "`sampan get`"]);
    cat(&["link"]).failed(7, &["link", "symbolic link"]);
    cat(&["none"]).failed(7, &["none", "no such file or folder on the server"]);
    let ended = cat(&["none", "small", "docs"]);
    assert_eq!((ended.code, ended.err.lines().count()), (1, 2), "{ended:?}");
    assert_eq!(ended.out, b"small \x1b[31m\n");
    ada.program.run(["cat"]).code_is(2);
}

/// The link breaks again and again while somebody reads.
#[test]
fn cat_goes_on_after_a_lost_link_by_itself() {
    let server = TestServer::start();
    let sluice = Sluice::to(server.port);
    let ada = server.user("ada").through(sluice.port);
    let content = noise(40 << 20);
    fs::write(ada.home().join("big"), &content).unwrap();
    let mut command = ada.program.command(["cat", &ada.place("big")]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut came = vec![0; 3 << 20];
    out.read_exact(&mut came).unwrap();
    // Far more is left than the program holds ahead.
    for _ in 0..2 {
        sluice.cut();
        let mut more = vec![0; 8 << 20];
        out.read_exact(&mut more).unwrap();
        came.append(&mut more);
    }
    out.read_to_end(&mut came).unwrap();
    Ended::of(child.wait_with_output().unwrap()).succeeded();
    assert!(came == content, "{} bytes came", came.len());
}

/// It begins at the start when it is repeated, and says nothing else.
#[test]
fn cat_whose_link_is_lost_promises_nothing() {
    let server = TestServer::start();
    let sluice = Sluice::to(server.port);
    let ada = server.user("ada").through(sluice.port);
    fs::write(ada.home().join("big"), noise(40 << 20)).unwrap();
    let mut command = ada.program.command(["cat", "--retry-for", "0", &ada.place("big")]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut vec![0; 3 << 20]).unwrap();
    sluice.cut();
    out.read_to_end(&mut Vec::new()).unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap());
    ended.failed(3, &["the link was lost", "run the same command again, or wait longer"]);
}

#[test]
fn cat_ends_quietly_when_its_reader_goes() {
    let server = TestServer::start();
    let ada = server.user("ada");
    fs::write(ada.home().join("big"), vec![7; 16 << 20]).unwrap();
    let mut command = ada.program.command(["cat", &ada.place("big")]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = [0; 10];
    child.stdout.take().unwrap().read_exact(&mut first).unwrap();
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!((ended.code, &*ended.err), (0, ""));
}

#[test]
fn du_adds_up_to_what_the_quota_charges() {
    let server = TestServer::start();
    let limits = QuotaLimits { bytes: Some(10_000_000), entries: None };
    let ada = server.limited_user("ada", limits);
    let here = tempfile::TempDir::new().unwrap();
    for (path, bytes) in [("a/x", 1_500_000), ("a/b/y", 20), ("a/b/c/z", 3), ("top", 400)] {
        let path = here.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, vec![1; bytes]).unwrap();
    }
    fs::create_dir(here.path().join("a/empty")).unwrap();
    let mut put = ada.program.command(["put", ".", &ada.place("")]);
    Ended::of(put.current_dir(here.path()).output().unwrap()).succeeded();

    let home = ada.program.run(["du", "--json", &ada.place("")]);
    let rows: Vec<Value> =
        home.succeeded().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let row = |path: &str| {
        let row = rows.iter().find(|row| row["path"] == path).expect(path);
        (row["size"].as_u64().unwrap(), row["files"].as_u64().unwrap())
    };
    assert_eq!(row("a/b/c"), (3, 2));
    assert_eq!(row("a/b"), (23, 4));
    assert_eq!(row("a/empty"), (0, 1));
    assert_eq!(row("a"), (1_500_023, 7));
    assert_eq!(rows.len(), 5);
    assert_eq!(rows[4]["path"], "", "a folder comes after what is in it: {rows:?}");
    let df = ada.program.run(["df", "--json", &ada.place("")]);
    let df: Value = serde_json::from_str(df.succeeded()).unwrap();
    assert_eq!(row(""), (df["used"].as_u64().unwrap(), df["files"].as_u64().unwrap()));

    let du = |words: &[&str]| {
        let words = words.iter().map(|word| (*word).to_owned());
        ada.program.run(std::iter::once("du".to_owned()).chain(words))
    };
    let whole = du(&["-s", &ada.place(""), &ada.place("a"), &ada.place("top")]);
    assert_eq!(
        whole.succeeded(),
        "   1.50 MB        8 .\n   1.50 MB        7 a\n     400 B        1 top\n"
    );
    assert_eq!(du(&["-sb", &ada.place("a")]).succeeded(), "   1500023        7 a\n");
    du(&[]).failed(2, &["place", "USER@HOST:PATH"]);
    du(&[&ada.place("none")]).failed(7, &["none", "no such file"]);
    du(&[&ada.place("top/")]).failed(7, &["top", "not a folder"]);
}

#[test]
fn du_names_what_it_could_not_count() {
    if crate::commands::rerun_unprivileged("looking::du_names_what_it_could_not_count") {
        return;
    }
    let server = TestServer::start();
    let ada = server.user("ada");
    fs::create_dir_all(ada.home().join("docs/closed")).unwrap();
    fs::write(ada.home().join("docs/x"), b"x").unwrap();
    let closed = ada.home().join("docs/closed");
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    let ended = ada.program.run(["du", "-sb", &ada.place("docs")]);
    assert_eq!((ended.code, ended.err.lines().count()), (7, 1), "{ended:?}");
    assert!(ended.err.contains("docs/closed") && ended.err.contains("permission"), "{ended:?}");
    assert_eq!(ended.text(), "         1        3 docs\n");
}

#[test]
fn completions_are_the_shells_own() {
    let program = Program::new();
    for (shell, word) in [
        ("bash", "complete -F _sampan"),
        ("zsh", "#compdef sampan"),
        ("fish", "complete -c sampan"),
    ] {
        let script = program.run(["completions", shell]);
        let script = script.succeeded();
        assert!(script.contains(word), "{shell}: {script}");
        for word in ["uploads", "on-conflict"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    let script = program.run(["completions", "bash"]);
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(&script.out).unwrap();
    assert!(bash.wait().unwrap().success(), "bash does not understand it");
    for shell in ["bash", "zsh", "fish"] {
        let script = program.run(["completions", shell]);
        let script = script.succeeded();
        assert!(!script.contains("fail-on-screen"), "{shell} offers what is hidden");
    }
    // `man` is completed by the names of commands.
    let script = script.text();
    let man = script.split("sampan__subcmd__man)").last().unwrap_or_default();
    let man = man.split(";;").next().unwrap_or_default();
    assert!(man.contains("uploads") && man.contains("put"), "{man}");
    program.run(["completions", "sh"]).code_is(2);
}

#[test]
fn man_prints_pages() {
    let program = Program::new();
    let page = program.run(["man"]);
    let page = page.succeeded();
    for word in [".TH sampan 1", "sampan\\-uploads(1)", "Exit codes", "\\-\\-retry\\-for"] {
        assert!(page.contains(word), "`{word}` is missing:\n{page}");
    }
    let page = program.run(["man", "put"]);
    let page = page.succeeded();
    for word in [".TH sampan-put 1", "\\-\\-on\\-conflict", "sampan put report.pdf"] {
        assert!(page.contains(word), "`{word}` is missing:\n{page}");
    }
    program.run(["man", "nope"]).failed(2, &["`nope`", "--help"]);
}
