//! How the link to the server is, as callers and people see it.

use std::time::{Duration, Instant};

use crate::failure::Failure;

/// The state of a pool of connections as a whole.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkState {
    /// At least one connection is logged in and heard from.
    Live {
        /// Smoothed round trip of pings.
        round_trip: Duration,
    },
    /// Logged in, but nothing was heard for a while.
    Silent {
        /// When something was heard last.
        since: Instant,
    },
    /// No connection; the next try comes at `next`.
    Reconnecting {
        /// Which try this will be, from 1.
        attempt: u32,
        /// When.
        next: Instant,
        /// Why the last one failed.
        reason: Failure,
    },
    /// It does not try again: refused login, changed identity, or closed.
    Down {
        /// Why.
        reason: Failure,
    },
}
