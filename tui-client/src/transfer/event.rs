//! What the engine tells.
//!
//! Order, for each item: `Started`, then any `Progress` and `Phase`, then one `Finished`. Items that
//! need no work (`Unchanged`, `Skipped`, failed in planning) have `Finished` alone, and so have
//! folders, which are done with once their contents are. A batch ends with one `Summary`, after every
//! item of it.

use sampan_protocol::{Attributes, EntryKind, Root};

use super::command::{BatchId, Direction, ItemId};
use crate::failure::Failure;
use crate::place::Location;

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// What is known of a batch so far; grows while it is planned.
    Planned {
        /// Which batch.
        batch: BatchId,
        /// What was found so far.
        totals: Totals,
        /// Everything was found.
        complete: bool,
    },
    /// A file begins to move, or a group of small ones that travel together.
    Started {
        /// Its batch.
        batch: BatchId,
        /// Its id.
        item: ItemId,
        /// What it is.
        transfer: Transfer,
    },
    /// So many of its bytes are across and acknowledged. Never falls but when blocks are sent again.
    Progress {
        /// Which item.
        item: ItemId,
        /// Bytes, of [`Transfer::bytes`].
        bytes: u64,
    },
    /// What it is doing now.
    Phase {
        /// Which item.
        item: ItemId,
        /// What.
        phase: Phase,
    },
    /// A file or folder is done with. For members of a group, `group` is the item that was started.
    Finished {
        /// Its batch.
        batch: BatchId,
        /// Its id; of a group's member the group's.
        item: ItemId,
        /// Where it came from.
        from: Location,
        /// Where it is now.
        to: Location,
        /// The source as it was read: whose bytes are now at `to`, and what a move may remove.
        /// `None` if it could not be looked at.
        source: Option<Attributes>,
        /// How it ended.
        outcome: Outcome,
    },
    /// A group of small files is done with; its members had their `Finished`.
    GroupFinished {
        /// The group's id.
        item: ItemId,
    },
    /// A target exists and differs: [`super::Command::Resolve`] answers. Nothing else waits.
    Conflict {
        /// Its batch.
        batch: BatchId,
        /// Its id.
        item: ItemId,
        /// What is carried.
        from: (Location, Attributes),
        /// What lies at the target.
        to: (Location, Attributes),
    },
    /// A batch is done with.
    Summary {
        /// Which.
        batch: BatchId,
        /// How it went.
        summary: Summary,
    },
}

/// What a batch holds, as far as it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files.
    pub files: u64,
    /// Folders.
    pub folders: u64,
    /// Bytes of the files.
    pub bytes: u64,
}

impl Totals {
    /// Counts a file or folder.
    pub(super) fn add(&mut self, source: &Attributes) {
        if source.kind == EntryKind::Folder {
            self.folders += 1;
        } else {
            self.files += 1;
            self.bytes = self.bytes.saturating_add(source.size);
        }
    }
}

/// A transfer that runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Transfer {
    /// Which way.
    pub direction: Direction,
    /// Where it comes from; of a group its folder.
    pub from: Location,
    /// Where it goes; of a group its folder.
    pub to: Location,
    /// Files; 1 but for a group.
    pub files: u64,
    /// Bytes.
    pub bytes: u64,
    /// Bytes that were there already, from an earlier try.
    pub resumed: u64,
}

/// What a transfer is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// For a lane or a connection.
    Waiting,
    /// Bytes move.
    Running,
    /// Comparing what is here with what is there.
    Verifying,
    /// The receiver makes it durable and publishes it.
    Committing,
    /// Held by the person.
    Paused,
}

/// How a file or folder ended.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// It is across, verified and published.
    Done {
        /// Bytes that moved for it, counting those sent again.
        moved: u64,
        /// BLAKE3 of a file.
        root: Option<Root>,
    },
    /// It was there already.
    Unchanged,
    /// It was left out on purpose.
    Skipped(SkipReason),
    /// It is not across.
    Failed(Failure),
}

/// Why something was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SkipReason {
    /// A symbolic link, which is not carried.
    Link,
    /// A socket, FIFO or device, which is never opened.
    NotAFile,
    /// The target exists, and the policy or the person said skip.
    TargetExists,
    /// The target is newer.
    TargetNewer,
    /// A staged download of ours or of another run.
    Staging,
    /// The person cancelled it.
    Cancelled,
    /// Planned only.
    DryRun,
}

/// How a batch went.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// Files and folders across.
    pub done: u64,
    /// There already.
    pub unchanged: u64,
    /// Left out.
    pub skipped: u64,
    /// Failed.
    pub failed: u64,
    /// Bytes of the files that are across.
    pub bytes: u64,
    /// Bytes that moved, counting those sent again.
    pub moved: u64,
    /// What would be carried, of a batch that is only planned.
    pub planned: Option<Totals>,
    /// All failures, or the first thousand of them.
    pub failures: Vec<Failure>,
}
