//! What a situation means to a script: the one way from failures to an exit code.
//!
//! Invariant: a code says one thing. Where failures differ in kind, it is 1.

use std::process::ExitCode;

use crate::failure::{Side, Situation};

/// How a run ended. The numbers are what scripts rely on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Code {
    /// Everything was done.
    Done = 0,
    /// Different reasons, a target that exists, or what no other code says.
    Mixed = 1,
    /// Wrong usage.
    Usage = 2,
    /// No connection.
    NoConnection = 3,
    /// The login was refused, or nobody could be asked for a password.
    LoginRefused = 4,
    /// The server is not who it was, or unknown with nobody to ask.
    WrongServer = 5,
    /// Over quota or out of space, on either side.
    NoSpace = 6,
    /// No such file, or not allowed.
    NoSuchFile = 7,
    /// Stopped by a signal; what was done is kept.
    Interrupted = 130,
}

impl Code {
    /// The code of one failure of a command that reads from `source`.
    pub(super) fn of(situation: &Situation, source: Side) -> Self {
        use Situation as S;
        match situation {
            S::HostNotFound
            | S::ConnectionRefused
            | S::TimedOut(_)
            | S::Unreachable(_)
            | S::NotSampan
            | S::SecureChannel(_)
            | S::ProtocolBroken(_)
            | S::LinkLost
            | S::OtherVersion(_)
            | S::Busy { .. } => Self::NoConnection,
            S::LoginRefused
            | S::TooManyTries(_)
            | S::KeyRefused
            | S::PasswordUnusable
            | S::PasswordNeeded => Self::LoginRefused,
            S::ServerUnproven
            | S::IdentityChanged { .. }
            | S::FingerprintDiffers { .. }
            | S::IdentityUnknown { .. }
            // The only question that ends a command with no is the one about identity.
            | S::Declined => Self::WrongServer,
            S::OverQuota { .. }
            | S::TooManyFiles { .. }
            | S::TooManyUploads
            | S::DiskFull(_) => Self::NoSpace,
            // A local file that cannot be read is this machine's affair, and has 1.
            S::PermissionDenied(Side::Local) | S::IsALink(Side::Local) if source == Side::Local => {
                Self::Mixed
            }
            S::NotFound(_)
            | S::NoMatch
            | S::LinkToNowhere
            | S::NoSuchUpload
            | S::NotAFolder(_)
            | S::IsALink(_)
            | S::NotAFile(_)
            | S::NameNotStorable(_)
            | S::PermissionDenied(_)
            | S::AboveHome
            | S::HomeItself
            | S::InvalidTarget
            | S::OtherFileSystem => Self::NoSuchFile,
            S::Interrupted => Self::Interrupted,
            S::Exists(_)
            | S::SameTarget { .. }
            | S::KindDiffers(_)
            | S::NotEmpty(_)
            | S::IsAFolder(_)
            | S::SourceChanged(_)
            | S::TargetChanged(_)
            | S::LinkRefused
            | S::LinkLoop
            | S::NotVerified
            | S::TakenOver
            | S::AlreadyRunning { .. }
            | S::DiskFailed(..)
            | S::Refused { .. }
            | S::Unexpected(_) => Self::Mixed,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

/// The code of a run, from the codes of what failed in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally(Option<Code>);

impl Tally {
    /// Counts one failure.
    pub(super) fn add(&mut self, code: Code) {
        self.0 = match self.0 {
            None => Some(code),
            Some(before) if before == code => Some(code),
            Some(_) => Some(Code::Mixed),
        };
    }

    /// The code of all of it.
    pub(super) fn code(self) -> Code {
        self.0.unwrap_or(Code::Done)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sampan_protocol::ErrorCode;

    use super::*;

    #[test]
    fn each_situation_has_its_code() {
        use Situation as S;
        let text = || "x".to_owned();
        let (local, remote) = (Side::Local, Side::Remote);
        let table = [
            (S::HostNotFound, 3),
            (S::ConnectionRefused, 3),
            (S::TimedOut(Duration::from_secs(10)), 3),
            (S::Unreachable(text()), 3),
            (S::NotSampan, 3),
            (S::SecureChannel(text()), 3),
            (S::LinkLost, 3),
            (S::OtherVersion(text()), 3),
            (S::Busy { message: text(), retry_after: None }, 3),
            (S::LoginRefused, 4),
            (S::TooManyTries(Duration::from_secs(2)), 4),
            (S::KeyRefused, 4),
            (S::PasswordUnusable, 4),
            (S::PasswordNeeded, 4),
            (S::ServerUnproven, 5),
            (S::IdentityChanged { pinned: text(), seen: text(), stored: text() }, 5),
            (S::FingerprintDiffers { given: text(), seen: text() }, 5),
            (S::IdentityUnknown { seen: text() }, 5),
            (S::Declined, 5),
            (S::NotFound(local), 7),
            (S::NotFound(remote), 7),
            (S::NoMatch, 7),
            (S::PermissionDenied(remote), 7),
            (S::IsALink(remote), 7),
            (S::NameNotStorable(remote), 7),
            (S::NameNotStorable(local), 7),
            (S::ProtocolBroken(Some(text())), 3),
            (S::AboveHome, 7),
            (S::HomeItself, 7),
            (S::InvalidTarget, 7),
            (S::LinkLoop, 1),
            (S::LinkRefused, 1),
            (S::LinkToNowhere, 7),
            (S::NoSuchUpload, 7),
            (S::OverQuota { needed: 2, available: 1 }, 6),
            (S::TooManyFiles { needed: 2, available: 1 }, 6),
            (S::TooManyUploads, 6),
            (S::DiskFull(local), 6),
            (S::DiskFull(remote), 6),
            (S::Exists(remote), 1),
            (S::SameTarget { first: text(), second: text() }, 1),
            (S::KindDiffers(remote), 1),
            (S::AlreadyRunning { process: 1 }, 1),
            (S::Refused { code: ErrorCode(999), message: text() }, 1),
            (S::Interrupted, 130),
        ];
        for (situation, code) in table {
            assert_eq!(Code::of(&situation, remote) as u8, code, "{situation:?}");
        }
    }

    #[test]
    fn an_unreadable_local_file_is_1_and_an_unwritable_local_folder_is_7() {
        let denied = Situation::PermissionDenied(Side::Local);
        assert_eq!(Code::of(&denied, Side::Local), Code::Mixed);
        assert_eq!(Code::of(&denied, Side::Remote), Code::NoSuchFile);
    }

    #[test]
    fn failures_of_one_kind_keep_their_code() {
        let of = |codes: &[Code]| {
            let mut tally = Tally::default();
            for code in codes {
                tally.add(*code);
            }
            tally.code()
        };
        assert_eq!(of(&[]), Code::Done);
        assert_eq!(of(&[Code::NoSpace, Code::NoSpace]), Code::NoSpace);
        assert_eq!(of(&[Code::NoSpace, Code::NoSuchFile]), Code::Mixed);
        assert_eq!(of(&[Code::Mixed, Code::NoSuchFile, Code::NoSuchFile]), Code::Mixed);
    }
}
