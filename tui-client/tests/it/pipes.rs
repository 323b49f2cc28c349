//! Standard output that is gone, or takes nothing: the first is no failure, the second is one.

use std::fs::{self, File};
use std::process::Stdio;

use tempfile::TempDir;

use crate::program::Ended;
use crate::server::{PASSWORD, TestServer, User};

/// A home with something to print for every command.
fn furnish(ada: &User<'_>, here: &TempDir) {
    fs::create_dir(ada.home().join("docs")).unwrap();
    fs::write(ada.home().join("docs/a"), b"a").unwrap();
    fs::write(here.path().join("b"), b"b").unwrap();
}

/// Every command that prints, each with its operands.
fn printing(ada: &User<'_>) -> Vec<Vec<String>> {
    let (home, docs, file) = (ada.place(""), ada.place("docs"), ada.place("docs/a"));
    let commands: [&[&str]; 20] = [
        &["ls", &home],
        &["ls", "-l", &docs],
        &["ls", "-0", &docs],
        &["ls", "--json", &docs],
        &["cat", &file],
        &["du", &home],
        &["du", "--json", &home],
        &["df", &home],
        &["df", "--json", &home],
        &["sum", &file],
        &["put", "--dry-run", "b", &docs],
        &["put", "--json", "--on-conflict", "overwrite", "b", &docs],
        &["get", "--dry-run", &docs, "there/"],
        &["get", "--json", "--on-conflict", "overwrite", &file, "there/"],
        &["login", &home],
        &["completions", "bash"],
        &["man"],
        &["--help"],
        &["ls", "--help"],
        &["--version"],
    ];
    commands.map(|words| words.iter().map(|&word| word.to_owned()).collect()).to_vec()
}

fn printed(ada: &User<'_>, here: &TempDir, words: &[String], out: impl Into<Stdio>) -> Ended {
    let mut command = ada.program.command(words);
    if words[0] == "login" {
        command.env("SAMPAN_PASSWORD", PASSWORD);
    }
    command.current_dir(here.path()).stdout(out).stderr(Stdio::piped());
    Ended::of(command.spawn().unwrap().wait_with_output().unwrap())
}

#[test]
fn a_closed_pipe_ends_every_command_quietly() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    furnish(&ada, &here);
    for words in printing(&ada) {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = printed(&ada, &here, &words, writer);
        assert_eq!((ended.code, &*ended.err), (0, ""), "{words:?}");
    }
}

/// What was asked for was not printed: that is no success.
#[test]
fn an_output_that_takes_nothing_ends_every_command_with_6() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    furnish(&ada, &here);
    for words in printing(&ada) {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let ended = printed(&ada, &here, &words, full);
        assert_eq!((ended.code, ended.err.lines().count()), (6, 1), "{words:?}: {ended:?}");
        assert!(ended.err.contains("standard output cannot be written"), "{words:?}: {ended:?}");
    }
}
