//! Everything that can happen to the screen.
//!
//! Invariant: an answer carries the id of what it answers, so that a late one is recognised.

use sampan_protocol::message::QuotaAnswer;

use super::changes::ChangeId;
use super::connection::AttemptId;
use super::key::{Key, Mouse};
use super::layout::Size;
use super::listing::Rows;
use super::pane::{Generation, PaneId};
use crate::failure::Failure;
use crate::remote::LinkState;
use crate::transfer::{self, Batch, BatchId};

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A key was pressed.
    Key(Key),
    /// The pointer did something.
    Mouse(Mouse),
    /// Text was pasted.
    Paste(String),
    /// The terminal has another size now.
    Resized(Size),
    /// The terminal lost the focus.
    FocusLost,
    /// Time went by. Comes only when [`super::App::wakes_at`] asked for it.
    Tick,

    /// Rows of a folder, sorted; all that are known so far.
    Rows {
        /// Which pane asked.
        pane: PaneId,
        /// In which of its listings.
        generation: Generation,
        /// The rows.
        rows: Rows,
        /// Names that could not be described.
        unreadable: u64,
        /// There are no more.
        complete: bool,
    },
    /// A folder could not be listed.
    ListingFailed {
        /// Which pane asked.
        pane: PaneId,
        /// In which of its listings.
        generation: Generation,
        /// Why.
        failure: Failure,
    },
    /// What the disk of the local pane can hold.
    Space(super::Space),
    /// A change got on.
    ChangeProgress {
        /// Which.
        id: ChangeId,
        /// Things done.
        done: u64,
    },
    /// A change ended.
    Changed {
        /// Which.
        id: ChangeId,
        /// What did not work; empty if all did.
        failures: Vec<Failure>,
    },

    /// How an attempt to connect went.
    Connection {
        /// Which attempt.
        attempt: AttemptId,
        /// How.
        outcome: ConnectOutcome,
    },
    /// The link is in another state.
    Link(LinkState),
    /// Limits and use, as asked for.
    Quota(Result<QuotaAnswer, Failure>),
    /// Batches that an earlier run did not finish, and that go on now; said before the first event
    /// of any of them.
    Resumed(Vec<(BatchId, Batch)>),
    /// The queue belongs to another process: what is carried now is forgotten with this one.
    QueueElsewhere {
        /// Which process.
        process: u32,
    },
    /// The engine tells something.
    Transfer(transfer::Event),
}

/// How an attempt to connect went.
#[derive(Clone, Debug)]
pub enum ConnectOutcome {
    /// Logged in.
    Open(LinkState),
    /// Nobody said yet whether the server's key is to be trusted; the connection is closed.
    IdentityUnknown {
        /// Its fingerprint.
        fingerprint: String,
    },
    /// It did not work.
    Failed(Failure),
}
