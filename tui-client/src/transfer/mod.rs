//! Carrying files: plan, queue, engine. Commands in, events out.
//!
//! One upload: [`Command::Submit`] → the plan walks the tree, looks at the other side and decides
//! (`plan`, `decide`) → small files and folders are gathered in packs, big files go by themselves
//! (`director`) → the server is asked whether all of it fits → jobs carry them over the lanes
//! (`upload`, `download`) → folders get their modes and times → [`Event::Summary`].
//!
//! Invariant: nothing here knows a screen or a command line. What is interrupted at any point is
//! gone on with by whoever opens the same journal and submits the same batch.

mod beside;
mod command;
mod decide;
mod director;
mod download;
mod engine;
mod event;
mod item;
mod job;
mod pace;
mod plan;
mod room;
mod saved;
mod upload;

pub use command::{
    Batch, BatchId, Command, Direction, ItemId, Links, OnConflict, Options, Resolution, Route,
    Source, Target,
};
pub use download::Content;
pub use engine::{Engine, Settings, Started};
pub use event::{Event, Outcome, Phase, SkipReason, Summary, Totals, Transfer};
