//! Changes that need no bulk. Each carries a [`ChangeKey`]: sent again, it gives the first answer.

use serde::{Deserialize, Serialize};

use crate::entry::{Attributes, Mode, Version};
use crate::id::ChangeKey;
use crate::path::RemotePath;
use crate::time::Timestamp;

/// What an acknowledged change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// It is on disk.
    Full,
    /// It is in the server's memory and may be lost in a power cut.
    Relaxed,
}

/// What must be true of a target for a change to happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Precondition {
    /// No such name.
    #[default]
    Absent,
    /// Exactly this state of a file.
    This(Version),
    /// Whatever is there, or nothing. A folder is never replaced by a file, nor a file by a folder.
    Any,
}

/// A change's key, as every change carries it.
pub trait Change: super::Request {
    /// Names the change for ever.
    fn key(&self) -> ChangeKey;
}

macro_rules! changes {
    ($($name:ty),*) => {
        $(impl Change for $name {
            fn key(&self) -> ChangeKey {
                self.change
            }
        })*
    };
}

changes!(Mkdir, Rename, Remove, SetAttributes);

/// Makes a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mkdir {
    /// Names the change.
    pub change: ChangeKey,
    /// The new folder.
    pub path: RemotePath,
    /// Make missing parents too, and take a folder that is there already as success.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub parents: bool,
    /// Its permission bits; owner's rwx is always added. Absent: [`Mode::FOLDER`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
}

/// What lies at the changed path now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// All but the name.
    pub attributes: Attributes,
    /// What the acknowledgement means.
    pub durability: Durability,
}

/// Moves or renames inside the home.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rename {
    /// Names the change.
    pub change: ChangeKey,
    /// What moves. A link or device moves too, as a name.
    pub from: RemotePath,
    /// Its new place and name.
    pub to: RemotePath,
    /// Refused with [`crate::ErrorCode::VERSION_CHANGED`] if `from` is another file by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// What may be replaced at `to`.
    #[serde(default)]
    pub if_target: Precondition,
}

/// Removes a file, a link, an empty folder or a tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remove {
    /// Names the change.
    pub change: ChangeKey,
    /// What goes. The home itself is refused.
    pub path: RemotePath,
    /// A folder with what is in it.
    #[serde(default, skip_serializing_if = "super::is_false")]
    pub recursive: bool,
    /// Refused with [`crate::ErrorCode::VERSION_CHANGED`] if another thing lies there by now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
}

/// It is gone, and its quota is free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Files and folders that went.
    pub entries: u64,
    /// Bytes that are free again.
    pub bytes: u64,
    /// What the acknowledgement means.
    pub durability: Durability,
}

/// Sets permission bits and modification time of a file or folder; folders get theirs after their
/// contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SetAttributes {
    /// Names the change.
    pub change: ChangeKey,
    /// What changes.
    pub path: RemotePath,
    /// New permission bits; owner's rw (x on folders) is always added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// New modification time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtime: Option<Timestamp>,
}

/// As [`Changed`].
pub type SetAttributesAnswer = Changed;
