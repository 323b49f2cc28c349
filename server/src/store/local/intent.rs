//! What a change is about to do, as it is written before its first visible step.
//!
//! Invariant: an intent names files by what a rename and a restart leave alone, so that after a
//! crash each step can be told to be done or not.

use sampan_protocol::{Mode, RemotePath, UploadId};
use serde::{Deserialize, Serialize};

use super::Inner;
use super::attributes::FileId;
use super::change::{Answer, Carried, Effect};
use super::home::Home;
use super::pack::PackSteps;
use super::purge::Purge;
use crate::store::{Removed, StoreError};

/// The steps that a change takes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Intent {
    /// Makes the folders of `path` after the first `existing` ones.
    Mkdir { path: RemotePath, existing: usize, mode: Mode },
    /// Publishes an upload.
    Publish(Publish),
    /// Publishes the members of a pack.
    Pack(PackSteps),
    /// Moves a name, and what it replaces into staging.
    Rename(Move),
    /// Moves a file, link or device into staging.
    Remove(Take),
    /// Removes an empty folder in one step.
    RemoveFolder { path: RemotePath, id: FileId },
    /// Moves a tree into staging.
    RemoveTree(Take),
    /// Deletes a tree that was moved there. Goes on in the background.
    Purge(Purge),
}

/// See [`Intent::Publish`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Publish {
    pub(super) upload: UploadId,
    pub(super) path: RemotePath,
    /// How many of its parents were there.
    pub(super) existing: usize,
    pub(super) file: FileId,
    pub(super) replaces: Option<FileId>,
    /// Which of the upload's staging folders it comes from.
    #[serde(default)]
    pub(super) generation: u64,
}

impl Publish {
    pub(super) fn staged_in(&self) -> String {
        super::staging::of_upload(self.upload, self.generation)
    }
}

/// See [`Intent::Rename`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Move {
    pub(super) from: RemotePath,
    pub(super) to: RemotePath,
    pub(super) moved: FileId,
    pub(super) replaces: Option<FileId>,
    /// Where in staging the replaced one goes.
    pub(super) staged: String,
}

/// See [`Intent::Remove`] and [`Intent::RemoveTree`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Take {
    pub(super) path: RemotePath,
    pub(super) id: FileId,
    pub(super) is_file: bool,
    /// Where in staging it goes.
    pub(super) staged: String,
}

impl Intent {
    /// The name in staging that must stay until the intent is settled.
    pub(super) fn staged(&self) -> Option<String> {
        match self {
            Self::Mkdir { .. } | Self::RemoveFolder { .. } => None,
            Self::Publish(publish) => Some(publish.staged_in()),
            Self::Pack(pack) => Some(pack.staged.clone()),
            Self::Rename(rename) => Some(rename.staged.clone()),
            Self::Remove(take) | Self::RemoveTree(take) => Some(take.staged.clone()),
            Self::Purge(purge) => Some(purge.staged.clone()),
        }
    }
}

impl Inner {
    /// Takes the steps of an intent; those that were taken before a crash are recognised by their
    /// effect. What was done stands in the effect, also if a later step is refused.
    pub(super) fn carry_out(&self, home: &Home, intent: &Intent) -> (Effect, Carried) {
        let mut effect = Effect::default();
        let result = match intent {
            Intent::Mkdir { path, existing, mode } => {
                self.carry_mkdir(home, path, *existing, *mode, &mut effect)
            }
            Intent::Publish(publish) => self.carry_publish(home, publish, &mut effect),
            Intent::Pack(pack) => self.carry_pack(home, pack, &mut effect),
            Intent::Rename(rename) => self.carry_rename(home, rename, &mut effect),
            Intent::Remove(take) => self.carry_remove(home, take, &mut effect),
            Intent::RemoveFolder { path, id } => {
                self.carry_remove_folder(home, path, id, &mut effect)
            }
            // Its bytes stay charged until they are deleted: no effect yet.
            Intent::RemoveTree(take) => self
                .take_tree(home, take)
                .map(|()| Answer::Removed(Removed { entries: 0, bytes: 0 })),
            Intent::Purge(_) => {
                Err(StoreError::Corrupt("a purge has no steps in a turn".to_owned()).into())
            }
        };
        (effect, result)
    }
}
