//! Runs the real program, alone in a home of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// The program, with its own settings and without anybody to ask.
pub(crate) struct Program {
    home: TempDir,
}

/// The real server's program. It lies beside the client.
pub(crate) fn sampand() -> PathBuf {
    let program = Path::new(env!("CARGO_BIN_EXE_sampan")).with_file_name("sampand");
    let is_there = std::fs::metadata(&program).is_ok();
    assert!(is_there, "there is no {}: build it by `cargo build --workspace`", program.display());
    program
}

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self::within(TempDir::new().unwrap())
    }

    /// With its settings in `home`.
    pub(crate) fn within(home: TempDir) -> Self {
        Self { home }
    }

    /// Its settings, pins and journals.
    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(crate) fn command<S: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_sampan"));
        command
            .args(arguments)
            .env("SAMPAN_HOME", self.home.path())
            .env_remove("SAMPAN_PASSWORD")
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ended {
        Ended::of(self.command(arguments).output().unwrap())
    }
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().expect("no signal killed it"),
            out: output.stdout,
            err: String::from_utf8(output.stderr).expect("messages are text"),
        }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.out).expect("this output is text")
    }

    /// Ended with `code`, printed nothing, and said one line with all of `words`.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, words: &[&str]) {
        assert_eq!((self.code, &*self.out), (code, &b""[..]), "{self:?}");
        assert_eq!(self.err.lines().count(), 1, "{}", self.err);
        assert!(self.err.starts_with("sampan: "), "{}", self.err);
        for word in words {
            assert!(self.err.contains(word), "`{word}` is missing: {}", self.err);
        }
    }

    /// Ended with `code` and printed nothing; whatever it said.
    #[track_caller]
    pub(crate) fn code_is(&self, code: i32) {
        assert_eq!((self.code, &*self.out), (code, &b""[..]), "{self:?}");
        assert!(!self.err.is_empty());
    }

    /// Ended well and said nothing on the side.
    #[track_caller]
    pub(crate) fn succeeded(&self) -> &str {
        assert_eq!((self.code, &*self.err), (0, ""), "{self:?}");
        self.text()
    }
}
