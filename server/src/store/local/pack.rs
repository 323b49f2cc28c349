//! Many small files at once.
//!
//! Members are staged as they arrive, outside the account's turn; at the end one flush of the file
//! system makes all of them durable. Then, in the turn: what may be published is planned, one
//! intent says all of it, every member gets its name, the touched folders are flushed, and one
//! transaction charges, answers and ends the intent.
//!
//! Invariant: a member is published whole or refused by its index; nothing is published before all
//! is on the disk.

mod plan;
mod stage;
mod steps;
mod take;

pub(super) use plan::PackSteps;
#[cfg(test)]
pub(super) use stage::MAX_PATH_BYTES_OF_PACKS;
pub(super) use stage::OpenPacks;
use stage::{PackDigest, StagedPack};
