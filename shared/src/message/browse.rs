//! Looking at a home.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::entry::{Attributes, Entry};
use crate::error::Refusal;
use crate::path::RemotePath;

/// What lies at `path`? Links are described, not followed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stat {
    /// The home itself too.
    pub path: RemotePath,
}

/// What lies there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatAnswer {
    /// All but the name.
    pub attributes: Attributes,
}

/// What lies at each of `paths`? Answered by one or more frames, in any order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatMany {
    /// At most [`crate::limits::MAX_PACK_MEMBERS`].
    #[serde(deserialize_with = "crate::bin::row::<_, _, { crate::limits::MAX_PACK_MEMBERS }>")]
    pub paths: Vec<RemotePath>,
}

/// Some of the answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatManyPage {
    /// One for each path, over all frames.
    #[serde(deserialize_with = "crate::bin::row::<_, _, { crate::limits::MAX_PACK_MEMBERS }>")]
    pub results: Vec<StatResult>,
}

/// One path's answer: exactly one of both fields is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatResult {
    /// Which of the request's paths.
    pub index: u32,
    /// What lies there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<Attributes>,
    /// Why it cannot be said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refusal: Option<Refusal>,
}

/// A folder's entries. Answered by frames of [`ListPage`] as the directory is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// The folder.
    pub path: RemotePath,
    /// Goes on after a page whose cursor this is; the server may answer
    /// [`crate::ErrorCode::RESTART`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<ByteBuf>,
}

/// Some entries, in directory order; the client sorts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListPage {
    /// At most [`crate::limits::MAX_LIST_ENTRIES`].
    #[serde(deserialize_with = "crate::bin::row::<_, _, { crate::limits::MAX_LIST_ENTRIES }>")]
    pub entries: Vec<Entry>,
    /// Opaque, at most [`crate::limits::MAX_CURSOR_BYTES`]: where to go on after these entries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<ByteBuf>,
    /// Names that could not be described, for they vanished or the disk failed.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub unreadable: u64,
}
