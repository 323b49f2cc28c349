//! What administrators do, whether a server runs or not.
//!
//! A command is an [`AdminRequest`]. If a server runs on the data folder, the request travels over
//! its admin socket ([`AdminSocket`]); otherwise the command claims the folder and carries the same
//! request out itself. Both end in [`Administration::perform`], so that both do the same.
//!
//! Invariant: no password and no key crosses the socket, only what is stored of a password; and only
//! root and the server's own user are heard.

mod administration;
mod message;
mod socket;

pub use self::administration::Administration;
pub use self::message::{
    AccountRow, AdminAnswer, AdminRefusal, AdminRequest, Limit, QuotaRow, RefusalKind, ScanRow,
    StatusRow, StoredVerifier, UnusualRow, UnusualRows,
};
pub use self::socket::{AdminSocket, CallError, call};
