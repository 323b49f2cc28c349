//! SIGINT and SIGTERM to commands that wait: 130, whatever they wait for.

use std::fs;
use std::io::{BufReader, Read, Write};
use std::os::unix::net::UnixListener;
use std::process::Stdio;

use portable_pty::{CommandBuilder, PtySize};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::{ADD, Data, ran};

const SIGNALS: [Signal; 2] = [Signal::INT, Signal::TERM];

/// Something holds the admin socket that takes requests and never answers.
#[test]
fn a_command_that_waits_for_the_server_is_stopped_with_130() {
    let data = Data::new();
    assert_eq!(data.run_with(&ADD, "secret\n").code, 0);
    let socket = UnixListener::bind(data.path().join("admin.sock")).unwrap();
    let commands: [&[&str]; 9] = [
        &["user", "add", "bert", "--password-stdin"],
        &["user", "list"],
        &["user", "passwd", "anna", "--password-stdin"],
        &["user", "disable", "anna"],
        &["user", "enable", "anna"],
        &["user", "remove", "anna", "--purge"],
        &["quota", "set", "anna", "none"],
        &["quota", "scan", "anna"],
        &["status"],
    ];
    for words in commands {
        for signal in SIGNALS {
            let mut command = data.command(words);
            let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
            // A command that does not read its input closes it.
            let (Ok(()) | Err(_)) = child.stdin.take().unwrap().write_all(b"secret\n");
            let (mut asking, _) = socket.accept().unwrap();
            asking.read_exact(&mut [0]).unwrap();
            kill_process(Pid::from_child(&child), signal).unwrap();
            let ended = child.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&ended.stderr);
            assert_eq!(
                (ended.status.code(), &*said, &*ended.stdout),
                (Some(130), "sampand: interrupted\n", &b""[..]),
                "{words:?} {signal:?}"
            );
        }
    }
    fs::remove_file(data.path().join("admin.sock")).unwrap();
    // None of it left anything behind, or in the way.
    assert_eq!(data.run(&["user", "list", "--json"]).out.lines().count(), 1);
}

#[test]
fn a_command_whose_password_does_not_come_is_stopped_with_130() {
    let data = Data::new();
    for signal in SIGNALS {
        let mut command = data.command(&ADD);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take();
        // Signals are heard by a thread of their own, which says when it is there.
        let tasks = format!("/proc/{}/task", child.id());
        let hears = || {
            fs::read_dir(&tasks).unwrap().any(|task| {
                let name = task.unwrap().path().join("comm");
                fs::read_to_string(name).is_ok_and(|name| name.trim() == "signals")
            })
        };
        while !hears() {
            assert_eq!(child.try_wait().unwrap(), None, "it ended before it heard anything");
            std::thread::yield_now();
        }
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ended = child.wait_with_output().unwrap();
        // It was open, and silent, until then.
        drop(input);
        assert_eq!(ended.status.code(), Some(130), "{ended:?}");
    }
    assert!(!data.path().exists());
    assert_eq!(
        data.run_with(&ADD, "secret\n"),
        ran(0, "anna added, quota none, max files none\n", "")
    );
}

/// A signal at the question leaves the terminal as it was, and so do two together.
#[test]
fn a_question_that_is_stopped_lets_the_terminal_echo_again() {
    let both = [SIGNALS, [Signal::TERM, Signal::INT]].repeat(10).into_iter();
    let together = both.map(Vec::from);
    for signals in SIGNALS.map(|signal| vec![signal]).into_iter().chain(together) {
        let data = Data::new();
        let pty = portable_pty::native_pty_system().openpty(PtySize::default()).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_sampand"));
        command.args(["user", "add", "anna", "--data"]);
        command.arg(data.path());
        let mut child = pty.slave.spawn_command(command).unwrap();
        let mut screen = BufReader::new(pty.master.try_clone_reader().unwrap());
        let mut seen = Vec::new();
        while !seen.ends_with(b"anna: ") {
            let mut byte = [0];
            screen.read_exact(&mut byte).unwrap();
            seen.push(byte[0]);
        }
        let process = i32::try_from(child.process_id().unwrap()).unwrap();
        for signal in &signals {
            // Until it is waited for it can be signalled, also when it has ended.
            kill_process(Pid::from_raw(process).unwrap(), *signal).unwrap();
        }
        assert_eq!(child.wait().unwrap().exit_code(), 130);
        let modes = format!("{:?}", pty.master.get_termios().unwrap());
        let mut flags = modes.split(|c: char| !c.is_ascii_alphanumeric());
        assert!(flags.any(|flag| flag == "ECHO"), "{signals:?}: {modes}");
    }
}
