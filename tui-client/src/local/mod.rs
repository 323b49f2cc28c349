//! The local disk: everything that touches users' files on this machine.
//!
//! Every function blocks and belongs on a thread that may; what comes piece by piece has a
//! [`Stream`] beside it, for tasks. From reading to writing: [`Listing`] shows a folder, [`Walk`]
//! plans a tree, [`Source`] reads a file, [`TargetRoot`] receives files ([`Staged`] one by one,
//! [`Group`] many at once), [`change`] does what a person does to their own files.
//!
//! A name that came from the other side is only ever used below an open [`Folder`], where the
//! kernel follows no link; the user's own paths mean what they mean everywhere else.
//!
//! Invariant: nothing but regular files and folders is ever opened, and what one file system call
//! decides the next one does not assume: things are looked at through what is open, or checked
//! again after the step that could not be undone otherwise.

mod attributes;
pub mod change;
mod failed;
mod folder;
mod listing;
mod numbered;
mod publish;
mod remove;
mod source;
mod space;
mod staging_name;
mod stream;
mod target;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod traversal;
mod walk;

pub use crate::disk::{Call, Disk, Faults};
pub use attributes::{Identity, Look};
pub use failed::{failed, situation};
pub use folder::Folder;
pub use listing::{Listing, Page, Unreadable, look, look_on, look_through, look_through_on};
pub use numbered::numbered;
pub use source::Source;
pub use space::space;
pub use staging_name::StagingName;
pub use stream::Stream;
pub use target::{Condition, Group, Made, NewFile, NotPublished, Staged, TargetRoot, Whole};
pub use walk::{Found, Item, Walk};
