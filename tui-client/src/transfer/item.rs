//! One file or folder of a batch, as the plan hands it to the engine.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sampan_protocol::{Attributes, RemotePath};

use super::command::{Direction, Links};
use super::decide::Replace;
use super::event::Outcome;
use crate::local::{Identity, TargetRoot};
use crate::place::{Location, shown};

/// A file to be carried.
#[derive(Clone, Debug)]
pub(super) struct FilePlan {
    /// The source as it was last looked at.
    pub(super) source: Attributes,
    pub(super) ends: Ends,
    pub(super) replace: Replace,
    /// Bytes of the file that it replaces.
    pub(super) credit: u64,
}

/// From where to where.
#[derive(Clone, Debug)]
pub(super) enum Ends {
    Up {
        from: PathBuf,
        /// [`Links::Follow`]: `from` may be a link.
        links: Links,
        to: RemotePath,
    },
    Down {
        from: RemotePath,
        to: LocalPlace,
        /// What [`Replace::This`] means here.
        victim: Option<Identity>,
    },
}

/// A place below the folder that a download goes into.
#[derive(Clone, Debug)]
pub(super) struct LocalPlace {
    pub(super) root: TargetRoot,
    pub(super) at: RemotePath,
}

impl LocalPlace {
    pub(super) fn path(&self) -> PathBuf {
        local_below(self.root.path(), &self.at)
    }
}

/// The path of `below` in `folder`.
pub(super) fn local_below(folder: &Path, below: &RemotePath) -> PathBuf {
    let mut path = folder.to_owned();
    path.extend(below.names().iter().map(|name| std::ffi::OsStr::from_bytes(name.as_bytes())));
    path
}

impl Ends {
    pub(super) fn direction(&self) -> Direction {
        match self {
            Self::Up { .. } => Direction::Upload,
            Self::Down { .. } => Direction::Download,
        }
    }

    pub(super) fn from(&self) -> Location {
        match self {
            Self::Up { from, .. } => Location::Local(from.clone()),
            Self::Down { from, .. } => Location::Remote(from.clone()),
        }
    }

    pub(super) fn to(&self) -> Location {
        match self {
            Self::Up { to, .. } => Location::Remote(to.clone()),
            Self::Down { to, .. } => Location::Local(to.path()),
        }
    }
}

/// A folder of a batch, which gets its mode and time once everything in it is there.
#[derive(Clone, Debug)]
pub(super) struct FolderPlan {
    /// The source.
    pub(super) source: Attributes,
    pub(super) from: Location,
    pub(super) target: FolderTarget,
    /// What was there before.
    pub(super) existed: Option<Attributes>,
}

/// Where a folder is made.
#[derive(Clone, Debug)]
pub(super) enum FolderTarget {
    Remote(RemotePath),
    Local(LocalPlace),
}

impl FolderPlan {
    pub(super) fn to(&self) -> Location {
        match &self.target {
            FolderTarget::Remote(path) => Location::Remote(path.clone()),
            FolderTarget::Local(place) => Location::Local(place.path()),
        }
    }
}

/// Something that needs no more work, or never did.
#[derive(Clone, Debug)]
pub(super) struct Settled {
    pub(super) from: Location,
    pub(super) to: Location,
    pub(super) source: Option<Attributes>,
    pub(super) outcome: Outcome,
}

/// A path on this machine for messages, as a subject.
pub(super) fn subject(path: &Path) -> String {
    shown(path).to_string()
}
