//! Many small files and folders up, with one answer.
//!
//! A pack is one request of one or more frames. Each frame names members and carries the bytes of
//! its files, whole and one after the other, as its body. All members that pass their checks are
//! published together, durably, before the answer; each other member is refused by its index. One
//! change key stands for the whole pack.

use serde::{Deserialize, Serialize};

use super::change::{Durability, Precondition};
use crate::block::Root;
use crate::entry::{Attributes, Mode};
use crate::error::Refusal;
use crate::id::ChangeKey;
use crate::path::RemotePath;
use crate::time::Timestamp;

/// One frame of a pack. Every frame repeats `change`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pack {
    /// Names the change.
    pub change: ChangeKey,
    /// Numbered on from the frames before; folders before what is in them.
    #[serde(deserialize_with = "crate::bin::row::<_, _, { crate::limits::MAX_PACK_MEMBERS }>")]
    pub members: Vec<PackMember>,
}

impl super::Change for Pack {
    fn key(&self) -> ChangeKey {
        self.change
    }
}

/// A file or folder of a pack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackMember {
    /// Where it will be published; missing parent folders are made.
    pub path: RemotePath,
    /// Permission bits; owner's rw (x on folders) is always added.
    pub mode: Mode,
    /// What it is.
    pub kind: PackMemberKind,
}

/// What a member is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PackMemberKind {
    /// A folder; one that is there already is success.
    Folder {},
    /// A file.
    File {
        /// Its bytes in the body, at most [`crate::limits::MAX_PACK_MEMBER_BYTES`].
        size: u64,
        /// Modification time it will have.
        mtime: Timestamp,
        /// BLAKE3 of its bytes; a member that differs is refused.
        root: Root,
        /// What may be replaced.
        #[serde(default)]
        if_target: Precondition,
    },
}

/// Some of the members' results; the answer is one or more frames.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackAnswer {
    /// One for each member, over all frames.
    #[serde(deserialize_with = "crate::bin::row::<_, _, { crate::limits::MAX_PACK_MEMBERS }>")]
    pub results: Vec<PackResult>,
    /// What the acknowledgement means.
    pub durability: Durability,
}

/// One member's result: exactly one of both fields is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackResult {
    /// Which member.
    pub index: u32,
    /// What lies under its name now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Attributes>,
    /// Why it was not published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}
