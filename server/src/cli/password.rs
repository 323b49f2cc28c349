//! Getting a new password: from standard input, or asked for twice on the terminal.
//!
//! Invariant: whatever ends a question, also a signal, the terminal echoes again afterwards.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::sync::Arc;

use rustix::termios::{LocalModes, OptionalActions, QueueSelector, tcflush, tcgetattr, tcsetattr};
use sampan_protocol::scram::Verifier;
use zeroize::Zeroizing;

use super::exit::CliError;
use super::signals::{Held, Interrupt};
use crate::account::{AccountName, verifier_of};

/// Longest line that is read, its end included: passwords of any reason fit.
const MAX_BYTES: u64 = 4096;

/// What is to be stored of a new password of `name`.
pub(super) async fn new_verifier(
    name: &AccountName,
    from_stdin: bool,
    interrupt: &Interrupt,
) -> Result<Verifier, CliError> {
    let password = if from_stdin {
        let read = || read_line(io::stdin().lock()).map_err(CliError::PasswordUnreadable);
        unless_stopped(interrupt, off_thread(read)).await?
    } else {
        ask_twice(name, interrupt).await?
    };
    // Deriving is slow on purpose.
    let derive = move || Ok(verifier_of(&password, rand::random())?);
    unless_stopped(interrupt, off_thread(derive)).await
}

/// A signal that came before the work was done counts before it.
async fn unless_stopped<T>(
    interrupt: &Interrupt,
    work: impl Future<Output = Result<T, CliError>>,
) -> Result<T, CliError> {
    tokio::select! {
        biased;
        () = interrupt.heard() => Err(CliError::Interrupted),
        done = work => done,
    }
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CliError> + Send + 'static,
) -> Result<T, CliError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| CliError::PasswordUnreadable(io::Error::other(error)))?
}

fn read_line(input: impl BufRead) -> io::Result<Zeroizing<String>> {
    let mut line = Zeroizing::new(String::new());
    // One more than there may be: a longer one is told, and not cut to another password.
    let taken = input.take(MAX_BYTES + 1).read_line(&mut line)?;
    if taken as u64 > MAX_BYTES {
        let why = format!("a password has at most {MAX_BYTES} bytes");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
    }
    let length = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(length);
    Ok(line)
}

async fn ask_twice(
    name: &AccountName,
    interrupt: &Interrupt,
) -> Result<Zeroizing<String>, CliError> {
    if !io::stderr().is_terminal() {
        return Err(CliError::NoTerminal);
    }
    let device = OpenOptions::new().read(true).write(true).open("/dev/tty");
    let device = Arc::new(device.map_err(|_| CliError::NoTerminal)?);
    let first = ask(&device, interrupt, format!("New password for {name}: ")).await?;
    let second = ask(&device, interrupt, "The same again: ".to_owned()).await?;
    if *first != *second {
        return Err(CliError::PasswordsDiffer);
    }
    Ok(first)
}

/// Asks for a line that is not shown while it is typed.
async fn ask(
    device: &Arc<File>,
    interrupt: &Interrupt,
    question: String,
) -> Result<Zeroizing<String>, CliError> {
    // Quiet before the question is seen, so that a quick answer is not shown either.
    let silence = silence(device, interrupt).map_err(|_| CliError::NoTerminal)?;
    let terminal = Arc::clone(device);
    let reading = off_thread(move || {
        let read = || {
            (&*terminal).write_all(question.as_bytes())?;
            // One line at a time is all that a terminal gives.
            let line = read_line(BufReader::new(&*terminal))?;
            (&*terminal).write_all(b"\n")?;
            Ok(line)
        };
        read().map_err(CliError::PasswordUnreadable)
    });
    let answer = unless_stopped(interrupt, reading).await;
    drop(silence);
    answer
}

/// While what it gives lives the terminal does not echo.
fn silence<'a>(device: &Arc<File>, interrupt: &'a Interrupt) -> io::Result<Held<'a>> {
    interrupt.hold(|| {
        let before = tcgetattr(device)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        // Now, and not once all that was written is shown: a terminal that is stopped shows nothing.
        tcsetattr(device, OptionalActions::Now, &silent)?;
        // What was typed before the question is no answer to it.
        let flushed = tcflush(device, QueueSelector::IFlush);
        let device = Arc::clone(device);
        let echo = move || {
            if let Err(error) = tcsetattr(&device, OptionalActions::Now, &before) {
                tracing::warn!("the terminal's echo could not be turned on again: {error}");
            }
        };
        if let Err(error) = flushed {
            echo();
            return Err(error.into());
        }
        Ok(Box::new(echo))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_without_its_end() {
        let cases = [("secret\n", "secret"), ("a b \r\n", "a b "), ("x\ny\n", "x"), ("", "")];
        for (input, password) in cases {
            assert_eq!(*read_line(input.as_bytes()).unwrap(), password);
        }
    }
}
