//! One file or folder of a batch, as the plan hands it to the engine.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sampan_protocol::{Attributes, RemotePath};

use super::command::{Direction, Links};
use super::decide::Replace;
use super::event::Outcome;
use crate::failure::Failure;
use crate::local::{Disk, Folder, Identity, Source, TargetRoot};
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
        from: LocalSource,
        to: RemotePath,
    },
    Down {
        from: RemotePath,
        to: LocalPlace,
        /// What [`Replace::This`] means here.
        victim: Option<Identity>,
    },
}

/// A file that an upload reads.
#[derive(Clone, Debug)]
pub(super) struct LocalSource {
    disk: Disk,
    root: Arc<Path>,
    /// The way down from a folder that the user named; the home's path if the user named the file
    /// itself.
    below: RemotePath,
    links: Links,
}

impl LocalSource {
    pub(super) fn new(root: Arc<Path>, below: RemotePath, links: Links) -> Self {
        Self { disk: Disk::default(), root, below, links }
    }

    /// The same, on a disk that may fail.
    pub(super) fn on(self, disk: &Disk) -> Self {
        Self { disk: disk.clone(), ..self }
    }

    pub(super) fn path(&self) -> PathBuf {
        // Nothing is appended to the name of a file: not even the separator that an empty way adds.
        if self.below.is_home() {
            self.root.to_path_buf()
        } else {
            local_below(&self.root, &self.below)
        }
    }

    /// What the journal knows it by.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.path().into_os_string().into_vec()
    }

    /// Opens it. The user's own path may lead over links; below it none is followed unless that was
    /// asked for, also when one took a folder's place after the walk (HARDENING S8).
    pub(super) fn open(&self) -> Result<Source, Failure> {
        if self.below.is_home() {
            return Source::open_on(&self.disk, &self.root, self.links);
        }
        let root = Folder::open_on(&self.disk, &self.root)?;
        Source::open_below(&root, &self.below, self.links)
    }
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

    /// What lies there, to be read.
    pub(super) fn as_source(&self) -> LocalSource {
        let source = LocalSource::new(self.root.path().into(), self.at.clone(), Links::Skip);
        source.on(self.root.disk())
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
            Self::Up { from, .. } => Location::Local(from.path()),
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::failure::{Side, Situation};

    #[test]
    fn s8_a_folder_that_turns_into_a_link_after_the_walk_is_not_followed() {
        let here = tempfile::tempdir().unwrap();
        let (tree, secret) = (here.path().join("tree"), here.path().join("secret"));
        for folder in [&tree.join("sub"), &secret] {
            fs::create_dir_all(folder).unwrap();
            fs::write(folder.join("file"), folder.as_os_str().as_bytes()).unwrap();
        }
        let below = RemotePath::parse(b"sub/file").unwrap();
        let source = |links| LocalSource::new(tree.as_path().into(), below.clone(), links);
        assert_eq!(source(Links::Skip).open().unwrap().path(), tree.join("sub/file"));
        assert_eq!(source(Links::Skip).path(), tree.join("sub/file"));

        fs::rename(tree.join("sub"), tree.join("old")).unwrap();
        symlink(&secret, tree.join("sub")).unwrap();
        let refused = source(Links::Skip).open().unwrap_err();
        assert_eq!(refused.situation, Situation::IsALink(Side::Local));
        assert!(source(Links::Follow).open().is_ok(), "it was asked for");
    }
}
