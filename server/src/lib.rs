//! Sampan's server: accounts, homes, quotas, and uploads that survive whatever breaks in between.
//!
//! ```text
//!  TCP ──▶ listener ──▶ session ── login ──▶ dispatch ──▶ handlers ──▶ store (trait) ──▶ store::local
//!                          ▲                                 │           quota, upload: pure rules
//!                          └── writing ◀── reply ◀───────────┘
//!  admin.sock ──▶ control ──▶ store, accounts            state: DATA, key, lock
//!  cli: `serve` starts all of it; other commands ask control, or do the same themselves
//! ```
//!
//! # Walkthroughs
//!
//! **A connection.** `listener` takes a place, accepts and hands the socket to `session`. Within
//! ten seconds TLS stands and the peer is logged in, or it is gone. The session is registered, so
//! that a new password can end it, and counted.
//!
//! **A request.** The session reads a frame, finds its handler by the operation, decodes the
//! arguments and starts a task. The handler asks the [`store`] and gives an answer or an error;
//! `session::reply` turns either into a frame, and the writing task sends it. Many requests run at
//! once; each waits for its own disk only.
//!
//! **A block.** Its first frame starts a handler; the others are passed on to it as they come. Each
//! piece goes to the store at once, while the next one is received and the answer to the one before
//! is sent. What handlers hold is counted in bytes, and reading stops when it is enough.
//!
//! **An administrator.** `sampand passwd` sends what is stored of the new password through
//! `admin.sock`; [`control`] sets it, which voids the account's keys, and ends its sessions. Without
//! a server the command claims the folder and does the same.
//!
//! **A count.** What hands change in a home is in no ledger until `sampand quota scan` counts it, or
//! the store does by itself, having met something that it did not expect. Pages of names are counted
//! beside all other work; if the account changed meanwhile, again, and the third time its changes
//! wait. One transaction then corrects the ledger.
//!
//! **The end.** A signal begins the [`shutdown`]: listeners close, new requests are refused, running
//! ones get ten seconds, every peer is told goodbye, the store is flushed and closed.
//!
//! Layers, from the outside in: sockets (`listener`, `session`, `control`), handlers, store. None
//! knows the one outside it.

// A server on Linux only: openat2, renameat2, /proc, SO_PEERCRED.
#![cfg(target_os = "linux")]

mod account;
pub mod cli;
pub mod config;
mod context;
pub mod control;
#[cfg(debug_assertions)]
mod dying;
mod handlers;
mod listener;
mod quota;
mod server;
mod session;
pub mod shutdown;
pub mod state;
pub mod store;
mod telemetry;
mod upload;

pub use account::{
    AccountName, NotAnAccountName, PASSWORD_ITERATIONS, PasswordRefused, verifier_of,
};
pub use listener::{BindError, bind};
pub use server::{OpenData, RunningServer, StartError, open, open_claimed, start};
