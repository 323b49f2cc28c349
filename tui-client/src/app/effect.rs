//! Everything that the screen can want done. Data only: the runner does it and answers with events.

use super::changes::{Change, ChangeId};
use super::connection::{AttemptId, Login, Trust};
use super::order::Order;
use super::pane::{Generation, PaneId};
use crate::place::Location;
use crate::transfer;

/// Something to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// List a folder for a pane; an earlier listing of that pane ends.
    List {
        /// Which pane asks.
        pane: PaneId,
        /// To be named in the answers.
        generation: Generation,
        /// The folder.
        location: Location,
        /// How to sort.
        order: Order,
    },
    /// Change something on a disk.
    Change {
        /// To be named in the answers.
        id: ChangeId,
        /// What.
        change: Change,
    },
    /// End the changes that run, where they are.
    StopChanges,
    /// Connect and log in; an earlier attempt ends.
    Connect {
        /// To be named in the answer.
        attempt: AttemptId,
        /// Where and as whom.
        login: Login,
        /// Which server key will do.
        trust: Trust,
    },
    /// End an attempt to connect.
    AbortConnect,
    /// Ask for limits and use.
    AskQuota,
    /// Tell the engine something.
    Transfer(transfer::Command),
    /// Leave.
    Leave,
}
