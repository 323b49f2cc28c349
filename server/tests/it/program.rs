//! Runs the real binary, alone on a data folder of its own.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use sampan_protocol::transport::Fingerprint;
use tempfile::TempDir;

/// Makes an account; the password comes from standard input.
pub(crate) const ADD: [&str; 4] = ["user", "add", "anna", "--password-stdin"];

/// A data folder that no command has seen yet.
pub(crate) struct Data {
    pub(crate) folder: TempDir,
}

/// What a command came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) fn ran(code: i32, out: &str, err: &str) -> Ran {
    Ran { code, out: out.to_owned(), err: err.to_owned() }
}

impl Data {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = sampand(arguments);
        command.arg("--data").arg(self.path());
        command
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.run_with(arguments, "")
    }

    pub(crate) fn run_with(&self, arguments: &[&str], input: &str) -> Ran {
        run(self.command(arguments), input)
    }

    /// Starts `serve` and waits for its line.
    pub(crate) fn serve(&self) -> Serving {
        self.serve_at("127.0.0.1:0")
    }

    /// The same at an address.
    pub(crate) fn serve_at(&self, address: &str) -> Serving {
        Serving::begin(self.command(&["serve", "--listen", address]))
    }
}

/// A server that is ended when this is dropped.
pub(crate) struct Serving {
    pub(crate) child: Child,
    pub(crate) line: String,
}

impl Serving {
    /// Starts it, and waits for its line.
    pub(crate) fn begin(mut command: Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        Self { child, line }
    }

    /// Where it listens, and what it pins, as its first line says.
    pub(crate) fn announced(&self) -> (SocketAddr, Fingerprint) {
        let words: Vec<&str> = self.line.split_whitespace().collect();
        assert_eq!((words[0], words[1], words[3]), ("listening", "on", "fingerprint"));
        (words[2].parse().unwrap(), words[4].parse().unwrap())
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal and waits for the end; gives status and log.
    pub(crate) fn signal(mut self, signal: Signal) -> (ExitStatus, String) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let mut log = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut log).unwrap();
        (self.child.wait().unwrap(), log)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if self.child.try_wait().unwrap().is_none() {
            self.child.kill().unwrap();
            self.child.wait().unwrap();
        }
    }
}

/// The program: the one that was built with the tests, unless another is to be measured.
pub(crate) fn program() -> OsString {
    std::env::var_os("SAMPAN_TEST_SAMPAND").unwrap_or_else(|| env!("CARGO_BIN_EXE_sampand").into())
}

/// What the program reads of its environment.
pub(crate) const VARIABLES: [&str; 8] = [
    "NOTIFY_SOCKET",
    "SAMPAND_CONFIG",
    "SAMPAND_DATA",
    "SAMPAND_DEFAULT_QUOTA",
    "SAMPAND_DURABILITY",
    "SAMPAND_LISTEN",
    "SAMPAND_LOG",
    "SAMPAND_LOG_FORMAT",
];

pub(crate) fn sampand(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments);
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    command
}

pub(crate) fn run(mut command: Command, input: &str) -> Ran {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read its input closes it.
    let (Ok(()) | Err(_)) = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}
