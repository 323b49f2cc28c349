//! Signals to a command whose output nobody reads.

use std::fs;
use std::io::{PipeReader, Read};
use std::process::Child;
use std::time::{Duration, Instant};

use rustix::io::ioctl_fionread;
use rustix::process::{Pid, Signal, kill_process};

use sampan_client::address::Place;
use sampan_client::state::State;

use crate::program::{Ended, Program};
use crate::server::{TestServer, User};

/// A pipe holds at least so much before whoever writes into it waits.
const FULL: u64 = 60_000;

/// Starts a command, and waits until it has filled its output.
fn blocked(ada: &User<'_>, words: &[&str]) -> (Child, PipeReader) {
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = ada.program.command(words);
    command.stdout(writer).stderr(std::process::Stdio::piped());
    let child = command.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while ioctl_fionread(&reader).unwrap() < FULL {
        assert!(Instant::now() < deadline, "it never wrote so much");
        std::thread::yield_now();
    }
    (child, reader)
}

/// Ends with 130 though nobody ever reads.
fn ends(child: Child, mut reader: PipeReader) {
    // Its output stays open, and full, until it has ended.
    let ended = Ended::of(child.wait_with_output().unwrap());
    assert_eq!((ended.code, &*ended.err), (130, ""), "{ended:?}");
    let mut rest = Vec::new();
    reader.read_to_end(&mut rest).unwrap();
}

#[test]
fn a_signal_is_heard_while_nobody_reads_the_output() {
    let server = TestServer::start();
    let ada = server.user("ada");
    fs::write(ada.home().join("big"), vec![b'x'; 16 << 20]).unwrap();
    for number in 0..3000 {
        fs::write(ada.home().join(format!("{number:060}")), b"").unwrap();
    }
    for words in [&["ls", &ada.place("")][..], &["cat", &ada.place("big")]] {
        for signal in [Signal::INT, Signal::TERM] {
            let (child, reader) = blocked(&ada, words);
            kill_process(Pid::from_child(&child), signal).unwrap();
            ends(child, reader);
        }
    }
}

#[test]
fn a_second_signal_ends_at_once() {
    let server = TestServer::start();
    let ada = server.user("ada");
    fs::write(ada.home().join("big"), vec![b'x'; 16 << 20]).unwrap();
    let (child, reader) = blocked(&ada, &["cat", &ada.place("big")]);
    for signal in [Signal::INT, Signal::TERM] {
        kill_process(Pid::from_child(&child), signal).unwrap();
    }
    ends(child, reader);
}

/// A server that takes connections and says nothing: every command waits for it, and is stopped.
#[test]
fn every_command_that_waits_for_the_server_is_stopped_with_130() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let program = Program::new();
    let place = format!("sampan://ada@127.0.0.1:{}/", silent.local_addr().unwrap().port());
    let account = Place::parse(place.as_ref(), None).unwrap().account;
    State::under(program.home()).store_login_key(&account, &[1; 32]).unwrap();
    let here = tempfile::TempDir::new().unwrap();
    fs::write(here.path().join("a"), b"a").unwrap();
    let file = format!("{place}a");
    let commands: [&[&str]; 14] = [
        &["login", &place],
        &["logout", &place],
        &["ls", &place],
        &["put", "a", &place],
        &["get", &file],
        &["mkdir", &file],
        &["rm", &file],
        &["mv", &file, &place],
        &["cat", &file],
        &["du", &place],
        &["df", &place],
        &["sum", &file],
        &["uploads", &place],
        &["uploads", "--abort", "1", &place],
    ];
    for words in commands {
        for signal in [Signal::INT, Signal::TERM] {
            let mut command = program.command(words);
            command.current_dir(here.path()).env("SAMPAN_PASSWORD", "secret");
            command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
            let child = command.spawn().unwrap();
            // Held until the command has ended.
            let connection = silent.accept().unwrap();
            kill_process(Pid::from_child(&child), signal).unwrap();
            let ended = Ended::of(child.wait_with_output().unwrap());
            assert_eq!((ended.code, ended.text()), (130, ""), "{words:?} {signal:?}: {ended:?}");
            drop(connection);
        }
    }
}
