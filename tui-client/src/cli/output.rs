//! Standard output, which carries data and nothing else.
//!
//! On a terminal names go through the escaper, since they could drive it; into a pipe or a file they
//! go byte for byte.
//!
//! Invariant: when the reader has gone the program ends quietly: [`Stop::ClosedPipe`].

use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};

use sampan_protocol::Escaped;

use super::Stop;

/// Data for standard output.
pub(super) struct Output {
    out: BufWriter<StdoutLock<'static>>,
    is_terminal: bool,
}

impl Output {
    /// Standard output of this process; one at a time.
    pub(super) fn standard() -> Self {
        let out = io::stdout();
        let is_terminal = out.is_terminal();
        Self { out: BufWriter::new(out.lock()), is_terminal }
    }

    /// Whether a terminal shows it.
    pub(super) fn is_terminal(&self) -> bool {
        self.is_terminal
    }

    /// Writes bytes as they are.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        self.out.write_all(bytes).map_err(stopped)
    }

    /// Writes a line of text.
    pub(super) fn line(&mut self, text: &str) -> Result<(), Stop> {
        self.write(text.as_bytes())?;
        self.write(b"\n")
    }

    /// Writes foreign bytes: escaped on a terminal, else as they are.
    pub(super) fn foreign(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if self.is_terminal {
            write!(self.out, "{}", Escaped(bytes)).map_err(stopped)
        } else {
            self.write(bytes)
        }
    }

    /// Hands everything on. What is not flushed was not said, so the last flush must be looked at.
    pub(super) fn flush(&mut self) -> Result<(), Stop> {
        self.out.flush().map_err(stopped)
    }
}

fn stopped(error: io::Error) -> Stop {
    match error.kind() {
        io::ErrorKind::BrokenPipe => Stop::ClosedPipe,
        _ => Stop::Output(error),
    }
}
