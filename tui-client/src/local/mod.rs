//! This machine's disk: looking, reading with proof that a file stood still, and staged writing.
//!
//! Everything here blocks; callers run it off the async threads. What a server named is only ever
//! reached from an open folder, name by name and never through a link, so that it cannot point
//! outside what the person chose (HARDENING S1, S6–S8).
//!
//! Invariant: no other module opens a person's file.

mod attributes;
mod change;
mod failed;
mod folder;
mod listing;
mod source;
mod staged;

pub use attributes::{attributes_of, look, look_if_there};
pub use change::{make_folder, remove, rename};
pub use failed::failed;
pub use folder::Folder;
pub use listing::{LocalListing, list, read_folder};
pub use source::{Source, SourceState};
pub use staged::{
    STAGING_NAME_BYTES, Staged, Wanted, flush_group, is_staging_name, publish, staging_name,
};
