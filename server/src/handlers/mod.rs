//! What the server does for a request: one family a file, each verb one story.
//!
//! A handler takes a [`Context`](crate::context::Context) and a typed request, talks to the store,
//! and gives a typed answer or a [`HandlerError`].
//!
//! Invariant: nothing here knows a frame or a socket, and nothing here chooses a wire code.

pub(crate) mod browse;
pub(crate) mod change;
pub(crate) mod download;
pub(crate) mod keys;
pub(crate) mod link;
pub(crate) mod pack;
pub(crate) mod quota;
pub(crate) mod upload;

use sampan_protocol::Refusal;
use sampan_protocol::escape::escaped_text;
use sampan_protocol::message::Precondition;
use sampan_protocol::pack::PackError;

use crate::server::with_cause;
use crate::session::{Abandoned, Gone, refusal_of_store};
use crate::store::{StoreError, Target};

/// What a handler comes to.
pub(crate) type Outcome<T> = Result<T, HandlerError>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HandlerError {
    /// The store refused or failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A number of the request is beyond a limit.
    #[error("beyond a limit: {0}")]
    LimitExceeded(&'static str),
    /// No such key.
    #[error("the key is not enrolled")]
    KeyNotFound,
    /// The session was ended while the request ran.
    #[error("the session was ended")]
    SessionEnded,
    /// The request contradicts itself; the session ends.
    #[error("{}", escaped_text(.0))]
    Malformed(String),
    /// Nobody waits for the answer any more.
    #[error("the connection is gone")]
    Gone,
}

impl From<Gone> for HandlerError {
    fn from(Gone: Gone) -> Self {
        Self::Gone
    }
}

impl From<Abandoned> for HandlerError {
    fn from(Abandoned: Abandoned) -> Self {
        Self::Gone
    }
}

impl From<PackError> for HandlerError {
    fn from(error: PackError) -> Self {
        match error {
            PackError::TooManyMembers => Self::LimitExceeded("members of a pack"),
            PackError::TooManyBytes => Self::LimitExceeded("bytes of a pack"),
            error => Self::Malformed(error.to_string()),
        }
    }
}

/// Refuses a number above a limit.
fn at_most(number: u64, limit: u64, what: &'static str) -> Outcome<()> {
    if number <= limit { Ok(()) } else { Err(HandlerError::LimitExceeded(what)) }
}

/// A refusal inside an answer about many things; the index beside it says which it is about.
fn refusal_in_row(error: StoreError) -> Refusal {
    if !matches!(error, StoreError::Refused { .. }) {
        tracing::error!("failed: {}", with_cause(&error));
    }
    Refusal { path: None, ..refusal_of_store(error) }
}

fn target_of(precondition: Precondition) -> Target {
    match precondition {
        Precondition::Absent => Target::Absent,
        Precondition::This(version) => Target::This(version),
        Precondition::Any => Target::Any,
    }
}
