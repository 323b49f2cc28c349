//! Failures as sentences: what happened, to what, and what to do next.
//!
//! The sentences themselves stand in the [`crate::catalogue`]; this is the one way to them.
//!
//! Invariant: a message is one line and holds no control character, for subjects and foreign texts
//! come in escaped.

use std::fmt;

use crate::address::Account;
use crate::catalogue::engine;
use crate::failure::Failure;

/// A failure, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it is about; may be empty.
    pub subject: String,
    /// What happened, without a full stop.
    pub what: String,
    /// What to do next, if there is something: names the command.
    pub next: Option<String>,
}

impl Message {
    /// The message for `failure`. `account` makes the commands in it ready to be typed.
    pub fn of(failure: &Failure, account: Option<&Account>) -> Self {
        let account = account.map(Account::operand);
        let place = account.as_deref().unwrap_or("USER@HOST");
        Self {
            subject: failure.subject.clone(),
            what: engine::what_happened(&failure.situation),
            next: engine::what_next(&failure.situation, &failure.subject, place),
        }
    }
}

impl fmt::Display for Message {
    /// `SUBJECT: what happened; what to do next`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.subject.is_empty() {
            write!(f, "{}: ", self.subject)?;
        }
        f.write_str(&self.what)?;
        match &self.next {
            Some(next) => write!(f, "; {next}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sampan_protocol::ErrorCode;

    use super::*;
    use crate::failure::{Side, Situation};

    #[test]
    fn a_message_says_what_to_what_and_what_next() {
        let account = crate::address::Place::parse("anna@host".as_ref(), None).unwrap().account;
        let cases = [
            (
                Situation::OverQuota { needed: 3_000_000, available: 1_000 },
                "sampan://anna@host/big",
                "sampan://anna@host/big: the quota does not suffice: 3.00 MB are needed, 1.00 kB \
                 are available; delete files, or see `sampan df anna@host` and, for unfinished \
                 uploads, `sampan uploads anna@host`",
            ),
            (
                Situation::IdentityChanged {
                    pinned: "SHA256:old".into(),
                    seen: "SHA256:new".into(),
                    stored: "/k/known_servers, line 3".into(),
                },
                "host:7227",
                "host:7227: this is not the server of before: its key is SHA256:new, but \
                 SHA256:old is stored in /k/known_servers, line 3; if its administrator confirms \
                 the new key, run `sampan forget host:7227` and connect again",
            ),
            (
                Situation::ConnectionRefused,
                "host:7227",
                "host:7227: nobody listens there; check the host and the port, and that `sampand \
                 serve` runs",
            ),
        ];
        for (situation, subject, expected) in cases {
            let failure = Failure::new(situation, subject);
            assert_eq!(Message::of(&failure, Some(&account)).to_string(), expected);
        }
    }

    #[test]
    fn every_situation_has_a_sentence_of_one_line() {
        use Situation as S;
        let text = || "text".to_owned();
        let mut situations = vec![
            S::HostNotFound,
            S::ConnectionRefused,
            S::TimedOut(Duration::from_secs(10)),
            S::Unreachable(text()),
            S::NotSampan,
            S::SecureChannel(text()),
            S::LinkLost,
            S::OtherVersion(text()),
            S::Busy { message: text(), retry_after: None },
            S::Busy { message: text(), retry_after: Some(Duration::from_millis(1500)) },
            S::LoginRefused,
            S::TooManyTries(Duration::from_millis(1500)),
            S::KeyRefused,
            S::PasswordUnusable,
            S::PasswordNeeded,
            S::ServerUnproven,
            S::FingerprintDiffers { given: text(), seen: text() },
            S::IdentityUnknown { seen: text() },
            S::Declined,
            S::ProtocolBroken(Some(text())),
            S::ProtocolBroken(None),
            S::NoMatch,
            S::SameTarget { first: text(), second: text() },
            S::AboveHome,
            S::HomeItself,
            S::InvalidTarget,
            S::LinkLoop,
            S::LinkRefused,
            S::LinkToNowhere,
            S::NoSuchUpload,
            S::OtherFileSystem,
            S::NotVerified,
            S::TakenOver,
            S::AlreadyRunning { process: 7 },
            S::TooManyFiles { needed: 2, available: 1 },
            S::TooManyUploads,
            S::Refused { code: ErrorCode::INTERNAL, message: text() },
            S::Refused { code: ErrorCode(4711), message: String::new() },
            S::Interrupted,
            S::Unexpected(text()),
        ];
        for side in [Side::Local, Side::Remote] {
            situations.extend([
                S::NotFound(side),
                S::Exists(side),
                S::KindDiffers(side),
                S::NotEmpty(side),
                S::NotAFolder(side),
                S::IsAFolder(side),
                S::IsALink(side),
                S::NotAFile(side),
                S::PermissionDenied(side),
                S::NameNotStorable(side),
                S::SourceChanged(side),
                S::TargetChanged(side),
                S::DiskFull(side),
                S::DiskFailed(side, text()),
            ]);
        }
        for situation in situations {
            let message = Message::of(&Failure::new(situation.clone(), "x"), None).to_string();
            assert!(message.len() > 12, "{situation:?}: {message}");
            assert!(!message.contains(char::is_control), "{message}");
            assert!(!message.ends_with('.') && !message.contains("  "), "{message}");
        }
    }
}
