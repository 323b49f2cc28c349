//! From what a handler or a login came to, to what the peer is told: the one place that knows both.
//!
//! Here, and only here, what a handler came to is logged.
//!
//! Invariant: no other file of the server chooses a wire code, and what leaves holds no name of the server's insides; causes go to the log.

use sampan_protocol::limits::PROTOCOL_VERSION;
use sampan_protocol::message::{Op, Request};
use sampan_protocol::transport::ReadError;
use sampan_protocol::wire::Flags;
use sampan_protocol::{ErrorCode, Refusal};

use super::answers::{Answer, Gone, Lane};
use super::login::LoginFailed;
use crate::handlers::HandlerError;
use crate::server::with_cause;
use crate::store::{Situation, StoreError};

/// When to try again where there was no room, in milliseconds.
const NO_ROOM_RETRY_MS: u64 = 5000;

/// What a request came to, seen by its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Done {
    /// It was answered, or nobody wants to know.
    Answered,
    /// It broke the protocol: the session ends.
    Malformed,
}

/// Sends the last frame of an answer.
pub(super) async fn finish<R: Request>(
    lane: Lane,
    outcome: Result<Answer<R::Answer>, HandlerError>,
) -> Done {
    let sent = match outcome {
        Ok(Answer { args, body }) => lane.send(Flags::LAST_ANSWER, args, body).await,
        Err(HandlerError::Gone) => Err(Gone),
        Err(error) => {
            log(lane.op, &error);
            let malformed = matches!(error, HandlerError::Malformed(_));
            let sent = refuse(&lane, refusal_of(error)).await;
            if malformed {
                return Done::Malformed;
            }
            sent
        }
    };
    // Without a listener there is nothing left to do: the session is ending.
    let (Ok(()) | Err(Gone)) = sent;
    Done::Answered
}

/// Sends a refusal.
pub(super) async fn refuse(lane: &Lane, refusal: Refusal) -> Result<(), Gone> {
    lane.send(Flags::REFUSAL, refusal, bytes::Bytes::new()).await
}

fn log(op: Op, error: &HandlerError) {
    let request = op_name(op);
    match error {
        HandlerError::Store(error @ StoreError::Refused { .. }) => {
            tracing::info!(request, "refused: {error}");
        }
        HandlerError::Store(error) => {
            tracing::error!(request, "failed: {}", with_cause(error));
        }
        HandlerError::LimitExceeded(_)
        | HandlerError::KeyNotFound
        | HandlerError::SessionEnded
        | HandlerError::Malformed(_) => tracing::info!(request, "refused: {error}"),
        HandlerError::Gone => {}
    }
}

/// An operation's name in lower case, for logs.
pub(super) fn op_name(op: Op) -> String {
    let known = Op::ALL.iter().find(|(known, _)| *known == op);
    known.map_or_else(|| format!("{op:?}"), |(_, name)| name.to_lowercase())
}

/// What the peer is told of an error.
pub(crate) fn refusal_of(error: HandlerError) -> Refusal {
    match error {
        HandlerError::Store(error) => refusal_of_store(error),
        HandlerError::LimitExceeded(what) => {
            Refusal::new(ErrorCode::LIMIT_EXCEEDED, format!("beyond a limit: {what}"))
        }
        HandlerError::KeyNotFound => {
            Refusal::new(ErrorCode::KEY_NOT_FOUND, "the key is not enrolled")
        }
        HandlerError::SessionEnded => {
            Refusal::new(ErrorCode::LOGIN_REQUIRED, "the session was ended")
        }
        HandlerError::Malformed(why) => malformed(&why),
        HandlerError::Gone => Refusal::new(ErrorCode::CLOSING, "the connection is closing"),
    }
}

/// What the peer is told whose login failed; `None` if it is gone.
pub(super) fn refusal_of_login(error: &LoginFailed) -> Option<Refusal> {
    let refusal = |code, message: &str| Some(Refusal::new(code, message));
    match error {
        LoginFailed::Read(ReadError::TooLong(too_long)) => {
            refusal(ErrorCode::MALFORMED, &too_long.to_string())
        }
        LoginFailed::Read(_) | LoginFailed::Write(_) | LoginFailed::Left => None,
        LoginFailed::Malformed(_) => refusal(ErrorCode::MALFORMED, "the frame cannot be read"),
        LoginFailed::BadHello(why) => refusal(ErrorCode::MALFORMED, why),
        LoginFailed::LoginRequired(_) => refusal(ErrorCode::LOGIN_REQUIRED, "log in first"),
        LoginFailed::Version { .. } => {
            let message = format!("this server speaks version {PROTOCOL_VERSION}");
            refusal(ErrorCode::VERSION_UNSUPPORTED, &message)
        }
        LoginFailed::Refused { .. } => {
            refusal(ErrorCode::LOGIN_REFUSED, "name, password or key are wrong")
        }
        LoginFailed::Throttled { wait_ms, .. } => {
            // The login is refused, not the connection: a script tells the two apart.
            let mut refusal = Refusal::new(ErrorCode::LOGIN_REFUSED, "too many failed tries");
            refusal.retry_after_ms = Some(*wait_ms);
            Some(refusal)
        }
        LoginFailed::NoRoom { why, .. } => {
            let mut refusal = Refusal::new(ErrorCode::BUSY, why.to_string());
            refusal.retry_after_ms = Some(NO_ROOM_RETRY_MS);
            Some(refusal)
        }
        LoginFailed::Store(StoreError::Closed) => Some(refusal_of_store(StoreError::Closed)),
        LoginFailed::Store(_) => {
            refusal(ErrorCode::INTERNAL, "the server failed; its log says why")
        }
    }
}

/// What the peer is told that broke the protocol.
pub(super) fn malformed(why: &str) -> Refusal {
    Refusal::new(ErrorCode::MALFORMED, why)
}

/// What the peer is told that asks for something else than this server knows.
pub(super) fn unsupported(Op(number): Op) -> Refusal {
    let why = format!("this server knows no operation {number}");
    Refusal::new(ErrorCode::UNSUPPORTED, why)
}

/// What the peer is told that asks while the server ends.
pub(super) fn closing() -> Refusal {
    Refusal::new(ErrorCode::CLOSING, "the server is closing")
}

/// What the peer is told of a store's error.
pub(crate) fn refusal_of_store(error: StoreError) -> Refusal {
    match error {
        StoreError::Refused { situation, path } => {
            let mut refusal = Refusal::new(code_of(&situation), situation.to_string());
            refusal.path = path;
            if let Situation::OverQuota { needed, available }
            | Situation::TooManyFiles { needed, available } = situation
            {
                refusal.needed = Some(needed);
                refusal.available = Some(available);
            }
            refusal
        }
        StoreError::Disk { .. } => Refusal::new(ErrorCode::DISK_FAILED, "the server's disk failed"),
        StoreError::Database { .. } | StoreError::Corrupt(_) => {
            Refusal::new(ErrorCode::INTERNAL, "the server failed; its log says why")
        }
        StoreError::Closed => closing(),
    }
}

fn code_of(situation: &Situation) -> ErrorCode {
    match situation {
        Situation::NotFound => ErrorCode::NOT_FOUND,
        Situation::Exists => ErrorCode::EXISTS,
        Situation::NotAFolder => ErrorCode::NOT_A_FOLDER,
        Situation::IsAFolder => ErrorCode::IS_A_FOLDER,
        Situation::NotEmpty => ErrorCode::NOT_EMPTY,
        Situation::IsALink => ErrorCode::IS_A_LINK,
        Situation::NotAFile => ErrorCode::NOT_A_FILE,
        Situation::PermissionDenied => ErrorCode::PERMISSION_DENIED,
        Situation::NameNotStorable => ErrorCode::NAME_NOT_STORABLE,
        Situation::InvalidTarget => ErrorCode::INVALID_TARGET,
        Situation::VersionChanged => ErrorCode::VERSION_CHANGED,
        Situation::Restart => ErrorCode::RESTART,
        Situation::OtherFileSystem => ErrorCode::OTHER_FILE_SYSTEM,
        Situation::OverQuota { .. } => ErrorCode::OVER_QUOTA,
        Situation::TooManyFiles { .. } => ErrorCode::TOO_MANY_FILES,
        Situation::DiskFull => ErrorCode::DISK_FULL,
        Situation::TooManyUploads { .. } => ErrorCode::TOO_MANY_UPLOADS,
        Situation::UploadNotFound => ErrorCode::UPLOAD_NOT_FOUND,
        Situation::UploadTaken => ErrorCode::UPLOAD_TAKEN,
        Situation::UploadDiffers => ErrorCode::UPLOAD_DIFFERS,
        Situation::BlockRefused => ErrorCode::BLOCK_REFUSED,
        Situation::Incomplete { .. } => ErrorCode::INCOMPLETE,
        Situation::RootMismatch => ErrorCode::ROOT_MISMATCH,
        Situation::ChangeKeyReused => ErrorCode::CHANGE_KEY_REUSED,
        Situation::TooLargeForPack => ErrorCode::TOO_LARGE_FOR_PACK,
        Situation::LimitExceeded { .. } => ErrorCode::LIMIT_EXCEEDED,
        // Account verbs never run for a session; if one did, it failed on our side.
        Situation::AccountExists
        | Situation::AccountNotFound
        | Situation::AccountBeingRemoved
        | Situation::HomeExists
        | Situation::BadAccountName => ErrorCode::INTERNAL,
    }
}

#[cfg(test)]
mod tests {
    use sampan_protocol::RemotePath;

    use super::*;

    #[test]
    fn facts_travel_and_causes_do_not() {
        let path = RemotePath::parse(b"a/b").unwrap();
        let situation = Situation::OverQuota { needed: 10, available: 3 };
        let refusal = refusal_of_store(situation.about(&path));
        assert_eq!(refusal.code, ErrorCode::OVER_QUOTA);
        assert_eq!((refusal.needed, refusal.available), (Some(10), Some(3)));
        assert_eq!(refusal.path, Some(path));

        let source = std::io::Error::other("/var/lib/sampan/secret");
        let refusal = refusal_of_store(StoreError::Disk { doing: "writing", source });
        assert_eq!(refusal.code, ErrorCode::DISK_FAILED);
        assert!(!refusal.message.contains("secret"));
        let refusal = refusal_of_store(StoreError::Corrupt("row 7 of secret".into()));
        assert_eq!(refusal.code, ErrorCode::INTERNAL);
        assert!(!refusal.message.contains("secret"));
    }

    #[test]
    fn operations_are_named_for_people() {
        assert_eq!(op_name(Op::SET_ATTRIBUTES), "set_attributes");
        assert_eq!(op_name(Op(999)), "Op(0x03e7)");
    }
}
