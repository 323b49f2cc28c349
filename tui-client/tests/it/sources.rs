//! What the operands of `put` and `get` mean, and what of a folder is carried.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use tempfile::TempDir;

use crate::program::Ended;
use crate::server::{TestServer, User};
use crate::terminal::OnTerminal;

fn run(ada: &User<'_>, here: &Path, words: &[&str]) -> Ended {
    Ended::of(ada.program.command(words).current_dir(here).output().unwrap())
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// On a source it means nothing, on a target it means a folder.
#[test]
fn a_slash_at_the_end() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::create_dir(here.path().join("tree")).unwrap();
    fs::write(here.path().join("tree/x"), b"x").unwrap();
    for source in ["tree", "tree/", "tree//"] {
        run(&ada, here.path(), &["put", source, &ada.place("in")]).succeeded();
        assert_eq!(names(&ada.home().join("in")), ["tree"], "{source}");
        assert_eq!(names(&ada.home().join("in/tree")), ["x"], "{source}");
    }
    for (source, to) in [("in/tree", "a"), ("in/tree/", "a"), ("in/tree", "a/")] {
        run(&ada, here.path(), &["get", &ada.place(source), to]).succeeded();
        assert_eq!(names(&here.path().join("a")), ["tree"], "{source} {to}");
    }
    // Contents go without their folder.
    for (source, to) in [("in/tree/.", "b"), ("in/tree/.", "b/")] {
        run(&ada, here.path(), &["get", &ada.place(source), to]).succeeded();
        assert_eq!(names(&here.path().join("b")), ["x"], "{source} {to}");
    }
    run(&ada, here.path(), &["put", "tree/x", &ada.place("one")]).succeeded();
    run(&ada, here.path(), &["put", "tree/x", &ada.place("two/")]).succeeded();
    assert_eq!(fs::read(ada.home().join("one")).unwrap(), b"x");
    assert_eq!(names(&ada.home().join("two")), ["x"]);
    run(&ada, here.path(), &["get", &ada.place("one"), "c"]).succeeded();
    run(&ada, here.path(), &["get", &ada.place("one"), "d/"]).succeeded();
    assert_eq!(fs::read(here.path().join("c")).unwrap(), b"x");
    assert_eq!(names(&here.path().join("d")), ["one"]);
    // An existing folder is a folder without it.
    run(&ada, here.path(), &["put", "c", &ada.place("two")]).succeeded();
    assert_eq!(names(&ada.home().join("two")), ["c", "x"]);
}

/// `follow` copies what links point to; a link that leads back is named, and the rest goes on.
#[test]
fn loops_of_links_are_found() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::create_dir_all(here.path().join("tree/sub")).unwrap();
    fs::create_dir(here.path().join("beside")).unwrap();
    fs::write(here.path().join("tree/x"), b"x").unwrap();
    fs::write(here.path().join("beside/y"), b"y").unwrap();
    symlink("../beside", here.path().join("tree/there")).unwrap();
    symlink("x", here.path().join("tree/file")).unwrap();
    run(&ada, here.path(), &["put", "--links", "follow", "tree", &ada.place("")]).succeeded();
    assert_eq!(names(&ada.home().join("tree")), ["file", "sub", "there", "x"]);
    assert_eq!(fs::read(ada.home().join("tree/there/y")).unwrap(), b"y");
    assert!(ada.home().join("tree/file").symlink_metadata().unwrap().is_file());

    symlink("..", here.path().join("tree/sub/up")).unwrap();
    let ended = run(&ada, here.path(), &["put", "--links", "follow", "tree", &ada.place("again")]);
    ended.failed(1, &["tree/sub/up", "leads back"]);
    assert_eq!(names(&ada.home().join("again/tree")), ["file", "sub", "there", "x"]);
    assert_eq!(names(&ada.home().join("again/tree/sub")), Vec::<String>::new());
}

/// What a download left unfinished is nobody's file, on either side; only the exact form of the name.
#[test]
fn staged_downloads_are_never_carried() {
    const STAGED: &str = ".sampan-0123456789abcdef.part";
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    let (tree, there) = (here.path().join("tree"), ada.home().join("there"));
    for folder in [&tree, &there] {
        fs::create_dir(folder).unwrap();
        for name in [STAGED, ".sampan-0123456789abcde.part", "x"] {
            fs::write(folder.join(name), b"x").unwrap();
        }
    }
    let kept = [".sampan-0123456789abcde.part", "x"];
    let ended = run(&ada, here.path(), &["put", "tree", &ada.place("")]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(names(&ada.home().join("tree")), kept);
    let ended = run(&ada, here.path(), &["get", &ada.place("there"), "back/"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert_eq!(names(&here.path().join("back/there")), kept);
}

/// Bars and questions are for whoever reads standard error.
#[test]
fn without_a_terminal_on_standard_error_there_are_neither_bars_nor_questions() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("big"), vec![1; 3 << 20]).unwrap();
    fs::write(here.path().join("a"), b"here").unwrap();
    fs::write(ada.home().join("a"), b"there, and longer").unwrap();
    let folder = here.path().display();
    let line = format!("cd {folder}; $SAMPAN put big a {} 2> said; echo code $?", ada.place(""));
    let (seen, _) = OnTerminal::run(&ada.program, &line).ends();
    assert_eq!(seen.trim(), "code 1", "{seen:?}");
    let said = fs::read_to_string(here.path().join("said")).unwrap();
    assert!(said.lines().count() == 1 && said.contains("exists already"), "{said:?}");
    assert!(!said.contains('\x1b') && !said.contains('\r'), "{said:?}");

    // The other way round there are: standard output is data's.
    fs::write(here.path().join("more"), vec![1; 3 << 20]).unwrap();
    let line = format!(
        "cd {folder}; $SAMPAN put --limit 2MiB more {} > said; echo code $?",
        ada.place("")
    );
    let mut terminal = OnTerminal::run(&ada.program, &line);
    terminal.faces("3.15 MB");
    let (seen, _) = terminal.ends();
    assert!(seen.contains("code 0"), "{seen:?}");
    assert_eq!(fs::read(here.path().join("said")).unwrap(), b"");
}
