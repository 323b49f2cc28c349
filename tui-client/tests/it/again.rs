//! The same command twice: at the same time, after a restart of the server, and what makes it the
//! same.

use std::fs;
use std::io::{BufRead, BufReader, Lines};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Ended, Program};
use crate::screen::sampand::{PASSWORD, Sampand};
use crate::server::{TestServer, User};

fn content(bytes: u32) -> Vec<u8> {
    (0..bytes).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

/// Starts a command that prints events; waits until so many bytes are across.
fn far(mut command: Command, bytes: u64) -> (Child, Lines<BufReader<ChildStdout>>) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let is_far = |line: String| {
        let event: Value = serde_json::from_str(&line).unwrap();
        event["event"] == "progress" && event["done"].as_u64().unwrap() >= bytes
    };
    assert!(lines.by_ref().any(|line| is_far(line.unwrap())), "it ended before it got so far");
    (child, lines)
}

fn put(ada: &User<'_>, folder: &Path, words: &[&str]) -> Ended {
    let mut command = ada.program.command(["put"].iter().chain(words));
    Ended::of(command.current_dir(folder).output().unwrap())
}

/// Flags, the folder it is given in and the spelling of its operands make no other command of it.
#[test]
fn a_command_is_known_by_its_absolute_operands_without_its_flags() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::create_dir(here.path().join("sub")).unwrap();
    let bytes = content(12 << 20);
    fs::write(here.path().join("big"), &bytes).unwrap();
    fs::write(here.path().join("other"), b"other").unwrap();
    let home = ada.place("");
    let mut command = ada.program.command(["put", "--json", "--limit", "3MiB", "big", &home]);
    command.current_dir(here.path());
    let (mut child, _lines) = far(command, 4 << 20);
    // Stopped it keeps its lock, however long what follows takes.
    kill_process(Pid::from_child(&child), Signal::STOP).unwrap();

    let process = format!("process {}", child.id());
    let absolute = here.path().join("big");
    let absolute = absolute.to_str().unwrap();
    let port = server.port.to_string();
    for (folder, words) in [
        (Path::new("/"), &["--checksum", "--connections", "2", absolute, &home][..]),
        (here.path(), &["./big", &home]),
        (here.path(), &["--on-conflict", "overwrite", "big", "-P", &port, "ada@127.0.0.1"]),
    ] {
        put(&ada, folder, words).failed(1, &["runs already", &process]);
    }
    // What has another source or another target is another command.
    put(&ada, here.path(), &["other", &home]).succeeded();
    child.kill().unwrap();
    child.wait().unwrap();

    let ended = put(&ada, Path::new("/"), &["--json", "--checksum", absolute, &home]);
    let events: Vec<Value> =
        ended.succeeded().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let start = events.iter().find(|event| event["event"] == "start").unwrap();
    assert!(start["resumed"].as_u64().unwrap() > 0, "{start}");
    assert!(fs::read(ada.home().join("big")).unwrap() == bytes);
}

/// A server that was killed knows no session's keys any more: the password is proved again, by what
/// was derived from it, and nobody is asked.
#[test]
fn a_server_that_was_killed_is_met_again_by_password() {
    let mut server = Sampand::start();
    let program = Program::new();
    let here = TempDir::new().unwrap();
    let bytes = content(12 << 20);
    fs::write(here.path().join("big"), &bytes).unwrap();
    let place = format!("sampan://ada@127.0.0.1:{}/", server.port);
    // The file with the password is gone when it is needed again.
    let file = here.path().join("password");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let mut command = program.command(["put", "--json", "--accept-new", "--limit", "3MiB"]);
    command.arg("--password-file").arg(&file).args(["big", &place]).current_dir(here.path());
    let (child, lines) = far(command, 4 << 20);
    fs::remove_file(&file).unwrap();
    server.kill();
    assert!(!server.home().join("big").exists());
    server.serve();
    lines.for_each(|line| drop(line.unwrap()));
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(fs::read(server.home().join("big")).unwrap() == bytes);
}
