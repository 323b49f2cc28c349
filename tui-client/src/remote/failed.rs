//! What the server or the network said, as situations: the one place that knows error codes.
//!
//! Invariant: text from the other side is escaped here.

use std::time::Duration;

use sampan_protocol::escape::escaped_text;
use sampan_protocol::transport::ConnectError;
use sampan_protocol::{ErrorCode, Refusal, RemotePath};

use crate::failure::{Failure, Side, Situation};

/// Why a call on one connection gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The connection is gone; whether the server did it is not known.
    Lost,
    /// The server refused.
    Refused(Box<Refusal>),
    /// The answer cannot be understood.
    Malformed(String),
    /// There will be no connection any more.
    Down(Failure),
}

impl CallError {
    /// As a failure about `subject`.
    pub fn about(self, subject: impl std::fmt::Display) -> Failure {
        match self {
            Self::Lost => Failure::new(Situation::LinkLost, subject),
            Self::Refused(refusal) => Failure::new(refused(&refusal), subject),
            Self::Malformed(text) => {
                Failure::new(Situation::ProtocolBroken(Some(escaped_text(&text))), subject)
            }
            Self::Down(failure) => failure,
        }
    }

    /// Whether it is this refusal.
    pub fn is(&self, code: ErrorCode) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.code == code)
    }

    /// Whether the same may be answered another time.
    pub(super) fn may_pass(&self) -> bool {
        *self == Self::Lost || self.is(ErrorCode::CLOSING) || self.is(ErrorCode::BUSY)
    }

    /// Which of the request's paths it is about, if the server said so.
    pub fn path(&self) -> Option<&RemotePath> {
        match self {
            Self::Refused(refusal) => refusal.path.as_ref(),
            Self::Lost | Self::Malformed(_) | Self::Down(_) => None,
        }
    }
}

/// What a refusal means here.
pub fn refused(refusal: &Refusal) -> Situation {
    use ErrorCode as C;
    let side = Side::Remote;
    let needed = refusal.needed.unwrap_or_default();
    let available = refusal.available.unwrap_or_default();
    match refusal.code {
        C::VERSION_UNSUPPORTED => Situation::OtherVersion(escaped_text(&refusal.message)),
        C::BUSY => Situation::Busy {
            message: escaped_text(&refusal.message),
            retry_after: refusal.retry_after_ms.map(Duration::from_millis),
        },
        C::LOGIN_REFUSED => match refusal.retry_after_ms {
            Some(wait) => Situation::TooManyTries(Duration::from_millis(wait)),
            None => Situation::LoginRefused,
        },
        C::NOT_FOUND => Situation::NotFound(side),
        C::EXISTS => Situation::Exists(side),
        C::NOT_A_FOLDER => Situation::NotAFolder(side),
        C::IS_A_FOLDER => Situation::IsAFolder(side),
        C::NOT_EMPTY => Situation::NotEmpty(side),
        C::IS_A_LINK => Situation::IsALink(side),
        C::NOT_A_FILE => Situation::NotAFile(side),
        C::PERMISSION_DENIED => Situation::PermissionDenied(side),
        C::NAME_NOT_STORABLE => Situation::NameNotStorable(side),
        C::INVALID_TARGET => Situation::InvalidTarget,
        C::VERSION_CHANGED => Situation::TargetChanged(side),
        C::OTHER_FILE_SYSTEM => Situation::OtherFileSystem,
        C::OVER_QUOTA => Situation::OverQuota { needed, available },
        C::TOO_MANY_FILES => Situation::TooManyFiles { needed, available },
        C::DISK_FULL => Situation::DiskFull(side),
        C::DISK_FAILED => Situation::DiskFailed(side, escaped_text(&refusal.message)),
        C::TOO_MANY_UPLOADS => Situation::TooManyUploads,
        C::UPLOAD_TAKEN => Situation::TakenOver,
        C::ROOT_MISMATCH => Situation::NotVerified,
        code => Situation::Refused { code, message: escaped_text(&refusal.message) },
    }
}

/// What a failed connection means. `stored` says where the expected key was found.
pub(super) fn not_connected(error: &ConnectError, timeout: Duration, stored: &str) -> Situation {
    match error {
        ConnectError::NameNotFound { .. } => Situation::HostNotFound,
        ConnectError::Refused { .. } => Situation::ConnectionRefused,
        ConnectError::TimedOut { .. } => Situation::TimedOut(timeout),
        ConnectError::Unreachable { source, .. } => {
            Situation::Unreachable(escaped_text(&source.to_string()))
        }
        ConnectError::Cut { .. } => Situation::Unreachable("it closed the connection".to_owned()),
        ConnectError::NotSampan { .. } => Situation::NotSampan,
        ConnectError::Tls { source, .. } => {
            Situation::SecureChannel(escaped_text(&source.to_string()))
        }
        ConnectError::IdentityChanged { expected, seen, .. } => Situation::IdentityChanged {
            pinned: expected.to_string(),
            seen: seen.to_string(),
            stored: stored.to_owned(),
        },
        ConnectError::UnknownServer { seen, .. } => {
            Situation::IdentityUnknown { seen: seen.to_string() }
        }
    }
}

/// Whether trying again later may help: a closed door may open, a wrong password stays wrong.
pub(super) fn may_pass(situation: &Situation) -> bool {
    match situation {
        Situation::HostNotFound
        | Situation::ConnectionRefused
        | Situation::TimedOut(_)
        | Situation::Unreachable(_)
        | Situation::LinkLost
        | Situation::SecureChannel(_)
        | Situation::NotSampan
        | Situation::TooManyTries(_)
        | Situation::Busy { .. } => true,
        Situation::Refused { code, .. } => {
            matches!(*code, ErrorCode::CLOSING | ErrorCode::INTERNAL)
        }
        _ => false,
    }
}
