//! The real server program, which can be killed and started again.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::program;

pub(crate) const USER: &str = "ada";
pub(crate) const PASSWORD: &str = "correct horse";

/// A server with one account. Ends when dropped.
pub(crate) struct Sampand {
    data: TempDir,
    child: Option<Child>,
    pub(crate) port: u16,
}

impl Sampand {
    pub(crate) fn start() -> Self {
        let mut server = Self { data: TempDir::new().unwrap(), child: None, port: 0 };
        let mut add = server.command(&["user", "add", USER, "--password-stdin"]);
        let mut adding = add.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
        adding.stdin.take().unwrap().write_all(format!("{PASSWORD}\n").as_bytes()).unwrap();
        assert!(adding.wait().unwrap().success());
        server.serve();
        server
    }

    /// Serves on the port that it had before, if it had one.
    pub(crate) fn serve(&mut self) {
        let address = format!("127.0.0.1:{}", self.port);
        let mut serve = self.command(&["serve", "--listen", &address]);
        let mut child = serve.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let port = line
            .strip_prefix("listening on 127.0.0.1:")
            .and_then(|rest| rest.split(' ').next()?.parse().ok());
        self.port = port.unwrap_or_else(|| panic!("the server said {line:?}"));
        self.child = Some(child);
    }

    /// SIGKILL: it has no time for anything.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The account's home on the disk.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder().join("homes").join(USER)
    }

    fn folder(&self) -> PathBuf {
        self.data.path().join("data")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program::sampand());
        command.args(arguments).arg("--data").arg(self.folder());
        for variable in ["SAMPAND_DATA", "SAMPAND_CONFIG", "SAMPAND_DEFAULT_QUOTA", "NOTIFY_SOCKET"]
        {
            command.env_remove(variable);
        }
        command
    }
}

impl Drop for Sampand {
    fn drop(&mut self) {
        self.kill();
    }
}
