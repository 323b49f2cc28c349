//! Changes that run: new folders, renames, removals.
//!
//! Invariant: a change names what was seen of everything that it removes or moves, so that another
//! thing under the same name stays untouched.

use std::collections::BTreeMap;

use sampan_protocol::{Attributes, Name};

use super::pane::PaneId;
use crate::place::Location;
use crate::transfer::BatchId;

/// Which change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChangeId(pub u64);

/// Something that is there, as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Where.
    pub location: Location,
    /// What was seen there.
    pub attributes: Attributes,
}

/// What is to be changed.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Make a folder.
    NewFolder(Location),
    /// Give names, also in other folders of the same side. An existing target is a failure.
    Rename(Vec<Renaming>),
    /// Remove files, and folders with all that is in them.
    Remove(Vec<Seen>),
    /// Remove folders, in this order, if nothing is in them.
    RemoveEmptied(Vec<Location>),
}

/// One new name.
#[derive(Clone, Debug, PartialEq)]
pub struct Renaming {
    /// What, as it was seen.
    pub from: Seen,
    /// Its new place.
    pub to: Location,
}

impl Change {
    /// Things to be done.
    pub fn steps(&self) -> usize {
        match self {
            Self::NewFolder(_) => 1,
            Self::Rename(renamings) => renamings.len(),
            Self::Remove(seen) => seen.len(),
            Self::RemoveEmptied(folders) => folders.len(),
        }
    }
}

/// A change that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Running {
    /// What.
    pub kind: Kind,
    /// Things to be done.
    pub total: usize,
    /// Things done.
    pub done: u64,
    /// Where the cursor goes afterwards.
    pub wanted: Option<(PaneId, Name)>,
    /// It finishes a move across.
    pub of_move: Option<BatchId>,
}

/// What a running change is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// New folder.
    NewFolder,
    /// New names.
    Rename,
    /// Removal.
    Remove,
}

/// All changes that run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    running: BTreeMap<ChangeId, Running>,
}

impl Changes {
    /// Whether none runs.
    pub fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// One began.
    pub fn begin(&mut self, id: ChangeId, running: Running) {
        self.running.insert(id, running);
    }

    /// One got on.
    pub fn advance(&mut self, id: ChangeId, done: u64) {
        if let Some(running) = self.running.get_mut(&id) {
            running.done = done;
        }
    }

    /// One ended.
    pub fn end(&mut self, id: ChangeId) -> Option<Running> {
        self.running.remove(&id)
    }

    /// The oldest that runs.
    pub fn oldest(&self) -> Option<&Running> {
        self.running.values().next()
    }
}
