//! Questions to the person at the terminal.
//!
//! They go to the terminal device, never to standard input, which may be a pipe full of something
//! else; and only if standard error is a terminal, for a person who sent it away reads no question.
//!
//! Invariant: whatever ends a question, also a signal, the terminal echoes again afterwards. What was
//! typed without echo is wiped from memory.

use std::fs::{File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::sync::Arc;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

const DEVICE: &str = "/dev/tty";

/// Longest line that is believed to be an answer.
const MAX_ANSWER_BYTES: usize = 4096;

/// A terminal with a person at it.
#[derive(Clone, Debug)]
pub(super) struct Terminal(Arc<File>);

impl Terminal {
    /// The terminal to ask on, if there is one.
    pub(super) fn open() -> Option<Self> {
        if !io::stderr().is_terminal() {
            return None;
        }
        let device = OpenOptions::new().read(true).write(true).open(DEVICE).ok()?;
        Some(Self(Arc::new(device)))
    }

    /// Shows text as it is.
    pub(super) fn show(&self, text: &str) -> io::Result<()> {
        (&*self.0).write_all(text.as_bytes())
    }

    /// Asks for a line; `None` if the person ended the input instead.
    pub(super) async fn ask(&self, question: &str) -> io::Result<Option<String>> {
        self.show(question)?;
        let answer = self.read_line().await?;
        Ok(answer.map(|line| line.trim().to_owned()))
    }

    /// Asks for a line that is not shown while it is typed.
    pub(super) async fn ask_hidden(&self, question: &str) -> io::Result<Option<Zeroizing<String>>> {
        let _silence = Silence::begin(Arc::clone(&self.0))?;
        self.show(question)?;
        self.read_line().await
    }

    async fn read_line(&self) -> io::Result<Option<Zeroizing<String>>> {
        let device = Arc::clone(&self.0);
        let (tell, told) = oneshot::channel();
        // Not a thread of the runtime's, whose end would wait for a line that nobody types any more.
        std::thread::Builder::new().name("question".to_owned()).spawn(move || {
            // Nobody hears it when the question was given up.
            let _unheard = tell.send(read_line(&device));
        })?;
        told.await.map_err(io::Error::other)?
    }
}

/// Byte by byte, so that nothing behind the line is taken from whoever reads next.
fn read_line(mut device: &File) -> io::Result<Option<Zeroizing<String>>> {
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_ANSWER_BYTES));
    let mut byte = Zeroizing::new([0]);
    loop {
        match device.read(&mut *byte) {
            Ok(0) if line.is_empty() => return Ok(None),
            Ok(0) => break,
            Ok(_) if byte[0] == b'\n' => break,
            Ok(_) if line.len() < MAX_ANSWER_BYTES => line.push(byte[0]),
            Ok(_) => return Err(io::Error::other("the answer is longer than any answer")),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let text = std::str::from_utf8(&line).map_err(io::Error::other)?;
    Ok(Some(Zeroizing::new(text.trim_end_matches('\r').to_owned())))
}

/// While it lives the terminal does not echo; then the line that was typed unseen is ended.
struct Silence {
    device: Arc<File>,
    before: Termios,
}

impl Silence {
    fn begin(device: Arc<File>) -> io::Result<Self> {
        let before = tcgetattr(&*device)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // What was typed ahead, when it was still shown, is not the password.
        tcsetattr(&*device, OptionalActions::Flush, &silent)?;
        Ok(Self { device, before })
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        if let Err(error) = tcsetattr(&*self.device, OptionalActions::Now, &self.before) {
            tracing::debug!(%error, "the terminal's echo could not be turned on again");
        }
        if let Err(error) = (&*self.device).write_all(b"\n") {
            tracing::debug!(%error, "the terminal does not take the end of a line");
        }
    }
}
