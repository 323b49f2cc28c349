//! Refusals as they travel: a code, facts that a program can use, and a sentence for the case that
//! the reader does not know the code.
//!
//! Invariant: a code from a later version survives being read, stored and sent on.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::path::RemotePath;

/// Why a request was refused. A number, not an enum: a reader keeps codes it does not know.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ErrorCode(pub u16);

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        impl ErrorCode {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// Every code of this version, with its name.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$name, stringify!($name)),)*];
        }
    };
}

error_codes! {
    /// The frame or its message could not be read; the connection ends.
    MALFORMED = 1,
    /// This server does not know the operation.
    UNSUPPORTED = 2,
    /// A number in the request is beyond a limit of the protocol or the server.
    LIMIT_EXCEEDED = 3,
    /// The operation needs a login.
    LOGIN_REQUIRED = 4,
    /// Name, password or key are wrong, or the account is closed: never said which. With
    /// `retry_after_ms`: too many tries failed, and this one was not looked at.
    LOGIN_REFUSED = 5,
    /// No common protocol version.
    VERSION_UNSUPPORTED = 6,
    /// Too many connections; `retry_after_ms` says when.
    BUSY = 7,
    /// The server is closing; connect again.
    CLOSING = 8,
    /// The server failed in a way that it logged; nothing was changed.
    INTERNAL = 9,

    /// No such name.
    NOT_FOUND = 20,
    /// The name exists, and the request wanted it absent.
    EXISTS = 21,
    /// A folder was needed.
    NOT_A_FOLDER = 22,
    /// A file was needed.
    IS_A_FOLDER = 23,
    /// The folder holds something, and the request did not ask for that too.
    NOT_EMPTY = 24,
    /// A link stands in the way; links are not followed.
    IS_A_LINK = 25,
    /// A socket, FIFO or device: never opened.
    NOT_A_FILE = 26,
    /// The server's file system does not let it.
    PERMISSION_DENIED = 27,
    /// The receiving disk cannot hold this name.
    NAME_NOT_STORABLE = 28,
    /// A folder cannot be moved into itself, nor the home be changed.
    INVALID_TARGET = 29,
    /// The file is not the one the request was about.
    VERSION_CHANGED = 30,
    /// The listing cannot be continued there; start it again.
    RESTART = 31,
    /// The path leaves the file system of the home.
    OTHER_FILE_SYSTEM = 32,

    /// The quota does not suffice; `needed` and `available` say by how much.
    OVER_QUOTA = 40,
    /// The quota's number of files and folders does not suffice.
    TOO_MANY_FILES = 41,
    /// The server's disk is full, or at its floor.
    DISK_FULL = 42,
    /// The server's disk failed.
    DISK_FAILED = 43,
    /// Too many unfinished uploads.
    TOO_MANY_UPLOADS = 44,

    /// No such upload; open it again.
    UPLOAD_NOT_FOUND = 60,
    /// Another writer has taken the upload over.
    UPLOAD_TAKEN = 61,
    /// The upload was opened for another size or target.
    UPLOAD_DIFFERS = 62,
    /// Block data out of order, beyond the file, or for a block that another request writes.
    BLOCK_REFUSED = 63,
    /// Not every block is there.
    INCOMPLETE = 64,
    /// The root of what arrived is another one; compare rows and send what differs.
    ROOT_MISMATCH = 65,
    /// A change key was used for another change.
    CHANGE_KEY_REUSED = 66,
    /// A member of a pack is larger than a pack may carry.
    TOO_LARGE_FOR_PACK = 67,
    /// A key is not, or no longer, enrolled.
    KEY_NOT_FOUND = 68,
}

impl fmt::Debug for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Self::ALL.iter().find(|(code, _)| code == self) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "ErrorCode({})", self.0),
        }
    }
}

/// An error answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What happened.
    pub code: ErrorCode,
    /// A sentence without names of files or of the server's insides; for readers that do not know
    /// the code, and for logs.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Which of the request's paths it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<RemotePath>,
    /// Bytes, or files for [`ErrorCode::TOO_MANY_FILES`], that the request needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed: Option<u64>,
    /// Of what is needed, how much is available.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub available: Option<u64>,
    /// Milliseconds after which the same request may succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

impl Refusal {
    /// A refusal that has no more to say than its code.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            path: None,
            needed: None,
            available: None,
            retry_after_ms: None,
        }
    }

    /// The same, about `path`.
    #[must_use]
    pub fn about(mut self, path: RemotePath) -> Self {
        self.path = Some(path);
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.code, crate::escape::escaped_text(&self.message))?;
        match &self.path {
            Some(path) => write!(f, " ({path})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_code_survives() {
        let refusal = Refusal::new(ErrorCode(4711), "from the future");
        let wire = rmp_serde::to_vec_named(&refusal).unwrap();
        let read: Refusal = rmp_serde::from_slice(&wire).unwrap();
        assert_eq!(read.code, ErrorCode(4711));
        assert_eq!(rmp_serde::to_vec_named(&read).unwrap(), wire);
    }

    #[test]
    fn codes_are_distinct() {
        let mut codes: Vec<_> = ErrorCode::ALL.iter().map(|(code, _)| code.0).collect();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ErrorCode::ALL.len());
    }
}
