//! Carrying files: plan, queue, engine. Commands in, events out.

mod command;
mod decide;
mod event;
mod naming;
mod pace;

pub use command::{
    Batch, BatchId, Command, Direction, ItemId, Links, OnConflict, Options, Resolution, Route,
    Source, Target,
};
pub use event::{Event, Outcome, Phase, SkipReason, Summary, Totals, Transfer};
