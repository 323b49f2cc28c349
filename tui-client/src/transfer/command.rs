//! What the engine is told.

use std::path::PathBuf;

use sampan_protocol::RemotePath;

/// A set of transfers that were ordered together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

/// One file or folder of a batch; unique within an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ItemId(pub u64);

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From this machine to the server.
    Upload,
    /// From the server to this machine.
    Download,
}

/// Tells the engine what to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Carry these; the id is the caller's, unique within the engine.
    Submit(BatchId, Batch),
    /// Stop a batch; what is done stays, uploads that are unfinished are given up.
    Cancel(BatchId),
    /// Stop one item.
    CancelItem(ItemId),
    /// Hold all transfers.
    Pause,
    /// Go on.
    Resume,
    /// Try a failed item again.
    Retry(ItemId),
    /// Answers an [`super::Event::Conflict`].
    Resolve {
        /// Whose conflict.
        item: ItemId,
        /// What to do.
        answer: Resolution,
        /// Also for every later conflict of the batch.
        whole_batch: bool,
    },
    /// Bytes a second over all transfers; `None` for no limit.
    Limit(Option<u64>),
}

/// What to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// From where to where.
    pub route: Route,
    /// How.
    pub options: Options,
}

/// From where to where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Local sources into the home.
    Upload {
        /// Files and folders.
        sources: Vec<Source<PathBuf>>,
        /// Where to.
        target: Target<RemotePath>,
    },
    /// Sources in the home to this machine.
    Download {
        /// Files and folders.
        sources: Vec<Source<RemotePath>>,
        /// Where to.
        target: Target<PathBuf>,
    },
}

/// A file or folder to carry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source<P> {
    /// Where it lies.
    pub path: P,
    /// `DIR/.`: not the folder, but what is in it.
    pub contents: bool,
}

/// Where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<P> {
    /// The place as it was written.
    pub path: P,
    /// It was written with a trailing `/`, or is known to mean a folder.
    pub is_folder: bool,
}

/// How to carry.
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What to do with a target that exists and differs.
    pub on_conflict: OnConflict,
    /// Do with links in local trees.
    pub links: Links,
    /// Compare contents instead of size and modification time.
    pub checksum: bool,
    /// Downloads: answer once it is on disk.
    pub flush: bool,
    /// Plan only.
    pub dry_run: bool,
    /// Whoever ordered it removes each source once it is across. The engine only keeps it in mind,
    /// so that a batch that is gone on with ends as the move that it began as.
    pub moves: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            on_conflict: OnConflict::Fail,
            links: Links::Skip,
            checksum: false,
            flush: true,
            dry_run: false,
            moves: false,
        }
    }
}

/// What to do with a target that exists and differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnConflict {
    /// Ask by [`super::Event::Conflict`]; the rest goes on meanwhile.
    Ask,
    /// Replace it.
    Overwrite,
    /// Leave it.
    Skip,
    /// Replace it if it is older.
    Newer,
    /// Keep both; the new one becomes `NAME (2).EXT`.
    Rename,
    /// Count it as failed.
    Fail,
}

/// What to do about one conflict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution {
    /// Replace the target.
    Overwrite,
    /// Leave it.
    Skip,
    /// Replace it if it is older.
    Newer,
    /// Keep both.
    Rename,
}

/// What to do with links in a local tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Name and count them.
    Skip,
    /// Carry what they point to.
    Follow,
    /// Count them as failed.
    Fail,
}
