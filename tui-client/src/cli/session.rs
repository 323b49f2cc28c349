//! From an account to its home: who is there, who am I, connect.
//!
//! Everything that may wait for a person comes first, without a connection: the question about an
//! unknown server, then the password.
//!
//! ```text
//! identity: --fingerprint → pin → the system's roots → --accept-new → ask → refuse
//! secret:   --password-file → SAMPAN_PASSWORD → enrolled key → ask → refuse
//! ```
//!
//! Invariant: a password that was given is proved in full, whatever key is enrolled; it is never
//! written anywhere, and wiped when the login is done.

use std::io;
use std::path::Path;

use sampan_protocol::transport::Fingerprint;
use zeroize::Zeroizing;

use super::Stop;
use super::args::{LinkOptions, Patience};
use super::ask::Terminal;
use super::report::tell;
use crate::address::Account;
use crate::catalogue::cli as text;
use crate::failure::{Failure, Side, Situation};
use crate::message::Message;
use crate::place::shown;
use crate::remote::{Endpoint, Identity, RETRY_FOR, Remote, RetryFor, Secret, identify};
use crate::state::State;

/// Holds a password for those who cannot be asked.
const PASSWORD_VARIABLE: &str = "SAMPAN_PASSWORD";

/// How often a password is asked for that turns out to be wrong: fewer than what a server takes for
/// guessing.
const PASSWORD_TRIES: u32 = 3;

impl From<Patience> for RetryFor {
    fn from(patience: Patience) -> Self {
        match patience {
            Patience::For(time) => Self::For(time),
            Patience::Forever => Self::Forever,
        }
    }
}

/// Connects to `account`'s home.
pub(super) async fn connect(account: &Account, options: &LinkOptions) -> Result<Remote, Stop> {
    Login::new(account, options)?.connect(false).await.map_err(|stop| about(stop, account, options))
}

/// The same, but by password even if a key is enrolled: whoever enrols one proves himself first.
pub(super) async fn connect_by_password(
    account: &Account,
    options: &LinkOptions,
) -> Result<Remote, Stop> {
    Login::new(account, options)?.connect(true).await.map_err(|stop| about(stop, account, options))
}

/// There is nothing to forget where a person, and no file, named another key.
fn named(failure: Failure, options: &LinkOptions) -> Failure {
    match failure.situation {
        Situation::IdentityChanged { pinned, seen, .. } if options.fingerprint.is_some() => {
            let situation = Situation::FingerprintDiffers { given: pinned, seen };
            Failure::new(situation, failure.subject)
        }
        situation => Failure { situation, ..failure },
    }
}

fn about(stop: Stop, account: &Account, options: &LinkOptions) -> Stop {
    match stop {
        Stop::Failed(failure, None) => Stop::failed(named(*failure, options), account),
        other => other,
    }
}

struct Login<'a> {
    account: &'a Account,
    options: &'a LinkOptions,
    state: State,
    terminal: Option<Terminal>,
}

impl<'a> Login<'a> {
    fn new(account: &'a Account, options: &'a LinkOptions) -> Result<Self, Stop> {
        let state = State::from_environment()?;
        Ok(Self { account, options, state, terminal: Terminal::open() })
    }

    async fn connect(&self, needs_password: bool) -> Result<Remote, Stop> {
        let given = self.given_password()?;
        let identity = self.identity().await?;
        let key = match (&given, needs_password) {
            (None, false) => self.state.login_key(self.account)?,
            _ => None,
        };
        match (given, key) {
            (Some(password), _) => {
                Ok(Remote::connect(self.endpoint(&identity)?, Secret::Password(password)).await?)
            }
            (None, Some(key)) => {
                let by_key = Remote::connect(self.endpoint(&identity)?, Secret::Key(key)).await;
                match (by_key, &self.terminal) {
                    (Err(failure), Some(_)) if failure.situation == Situation::KeyRefused => {
                        tell(&text::key_refused(self.account));
                        self.by_asked_password(&identity).await
                    }
                    (other, _) => Ok(other?),
                }
            }
            (None, None) => self.by_asked_password(&identity).await,
        }
    }

    /// Connects by a password that is asked for, again if it is wrong.
    async fn by_asked_password(&self, identity: &Identity) -> Result<Remote, Stop> {
        let mut tries_left = PASSWORD_TRIES;
        loop {
            let secret = self.asked_password().await?;
            tries_left -= 1;
            match Remote::connect(self.endpoint(identity)?, secret).await {
                Err(failure) if tries_left > 0 && may_be_mistyped(&failure) => {
                    tell(&Message::of(&failure, Some(self.account)).to_string());
                }
                ended => return Ok(ended?),
            }
        }
    }

    fn endpoint(&self, identity: &Identity) -> Result<Endpoint, Stop> {
        match identity {
            Identity::Known { trust, stored } => Ok(Endpoint {
                account: self.account.clone(),
                trust: trust.clone(),
                stored: stored.clone(),
                timeout: self.options.timeout,
                retry_for: self.options.retry_for.map_or(RetryFor::For(RETRY_FOR), Into::into),
                patience: crate::remote::Patience::default(),
            }),
            Identity::Unknown(seen) => Err(self.unknown(*seen).into()),
        }
    }

    fn unknown(&self, seen: Fingerprint) -> Failure {
        let situation = Situation::IdentityUnknown { seen: seen.to_string() };
        Failure::new(situation, &self.account.server)
    }

    async fn identity(&self) -> Result<Identity, Stop> {
        let server = &self.account.server;
        let LinkOptions { fingerprint, timeout, .. } = *self.options;
        let identity = identify(&self.state, server, fingerprint, timeout).await?;
        let Identity::Unknown(seen) = identity else { return Ok(identity) };
        if !self.options.accept_new {
            let Some(terminal) = &self.terminal else { return Err(self.unknown(seen).into()) };
            self.confirm(terminal, seen).await?;
        }
        self.state.known_servers().set(server, &seen.to_string())?;
        Ok(Identity::accepted(seen))
    }

    /// Yes, no, or the fingerprint itself, as it was handed over by another way.
    async fn confirm(&self, terminal: &Terminal, seen: Fingerprint) -> Result<(), Stop> {
        let server = &self.account.server;
        let mut question = text::unknown_server(server, &seen.to_string());
        loop {
            let answer = terminal.ask(&question).await.map_err(|error| no_terminal(&error))?;
            match answer.as_deref() {
                None | Some("n" | "N" | "no") => {
                    return Err(Failure::new(Situation::Declined, server).into());
                }
                Some("y" | "Y" | "yes") => return Ok(()),
                Some(typed) => match typed.parse::<Fingerprint>() {
                    Ok(given) if given == seen => return Ok(()),
                    Ok(given) => {
                        let (given, seen) = (given.to_string(), seen.to_string());
                        let situation = Situation::FingerprintDiffers { given, seen };
                        return Err(Failure::new(situation, server).into());
                    }
                    Err(_) => question = text::yes_or_no(),
                },
            }
        }
    }

    fn given_password(&self) -> Result<Option<Zeroizing<String>>, Stop> {
        if let Some(file) = &self.options.password_file {
            return first_line(file).map(Some);
        }
        match std::env::var(PASSWORD_VARIABLE) {
            Ok(password) => Ok(Some(Zeroizing::new(password))),
            Err(std::env::VarError::NotPresent) => Ok(None),
            Err(std::env::VarError::NotUnicode(_)) => {
                Err(Stop::Usage(text::password_is_no_text(PASSWORD_VARIABLE)))
            }
        }
    }

    async fn asked_password(&self) -> Result<Secret, Stop> {
        let needed = || Stop::from(Failure::new(Situation::PasswordNeeded, self.account));
        let terminal = self.terminal.as_ref().ok_or_else(needed)?;
        let question = text::password_of(self.account);
        let typed = terminal.ask_hidden(&question).await.map_err(|error| no_terminal(&error))?;
        typed.map(Secret::Password).ok_or_else(needed)
    }
}

fn may_be_mistyped(failure: &Failure) -> bool {
    matches!(failure.situation, Situation::LoginRefused | Situation::PasswordUnusable)
}

fn first_line(file: &Path) -> Result<Zeroizing<String>, Stop> {
    let failed = |situation| Stop::from(Failure::new(situation, shown(file)));
    let content = std::fs::read(file).map_err(|error| {
        failed(match error.kind() {
            io::ErrorKind::NotFound => Situation::NotFound(Side::Local),
            io::ErrorKind::PermissionDenied => Situation::PermissionDenied(Side::Local),
            _ => Situation::DiskFailed(Side::Local, error.to_string()),
        })
    })?;
    let content = Zeroizing::new(content);
    let line = content.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let password = std::str::from_utf8(line)
        .map_err(|_| Stop::Usage(text::password_is_no_text(&shown(file).to_string())))?;
    Ok(Zeroizing::new(password.to_owned()))
}

fn no_terminal(error: &io::Error) -> Stop {
    let situation = Situation::Unexpected(error.to_string());
    Failure::new(situation, text::the_terminal()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_file_is_read_to_its_first_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let cases: [(&[u8], &str); 5] = [
            (b"secret\nmore", "secret"),
            (b"secret\r\n", "secret"),
            (b" with spaces ", " with spaces "),
            (b"", ""),
            ("пароль\n".as_bytes(), "пароль"),
        ];
        for (content, password) in cases {
            std::fs::write(&file, content).unwrap();
            assert_eq!(first_line(&file).unwrap().as_str(), password);
        }
        std::fs::write(&file, b"\xff\n").unwrap();
        assert!(matches!(first_line(&file), Err(Stop::Usage(_))));
        let Err(Stop::Failed(failure, None)) = first_line(&folder.path().join("none")) else {
            panic!("a file that is not there was read");
        };
        assert_eq!(failure.situation, Situation::NotFound(Side::Local));
    }
}
