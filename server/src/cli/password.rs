//! Getting a new password: from standard input, or asked for twice on the terminal.

use std::io::{self, BufRead, IsTerminal};

use sampan_protocol::scram::Verifier;
use zeroize::Zeroizing;

use super::exit::CliError;
use crate::account::{AccountName, verifier_of};

/// Longest line that is read: passwords of any reason fit.
const MAX_BYTES: u64 = 4096;

/// What is to be stored of a new password of `name`.
pub(super) async fn new_verifier(
    name: &AccountName,
    from_stdin: bool,
) -> Result<Verifier, CliError> {
    let name = name.clone();
    // Waiting for a person and deriving both take long.
    let derived = tokio::task::spawn_blocking(move || {
        let password = if from_stdin { read_line(io::stdin().lock())? } else { ask_twice(&name)? };
        Ok(verifier_of(&password, rand::random())?)
    });
    derived.await.map_err(|error| CliError::PasswordUnreadable(io::Error::other(error)))?
}

fn read_line(input: impl BufRead) -> Result<Zeroizing<String>, CliError> {
    let mut line = Zeroizing::new(String::new());
    input.take(MAX_BYTES).read_line(&mut line).map_err(CliError::PasswordUnreadable)?;
    let length = line.trim_end_matches(['\r', '\n']).len();
    line.truncate(length);
    Ok(line)
}

fn ask_twice(name: &AccountName) -> Result<Zeroizing<String>, CliError> {
    if !io::stderr().is_terminal() {
        return Err(CliError::NoTerminal);
    }
    let ask = |question: &str| {
        rpassword::prompt_password(question).map(Zeroizing::new).map_err(|_| CliError::NoTerminal)
    };
    let first = ask(&format!("New password for {name}: "))?;
    let second = ask("The same again: ")?;
    if *first != *second {
        return Err(CliError::PasswordsDiffer);
    }
    Ok(first)
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
