//! What a pane shows: a folder on this machine or in the home on the server, with one face.
//!
//! Invariant: a [`Location`] knows its side, so that an action decided for one side can never be
//! carried out on the other.

use std::fmt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use sampan_protocol::{Escaped, Name, PathError, RemotePath};

use crate::failure::Side;

/// A folder or file on one of both sides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Location {
    /// On this machine: an absolute path.
    Local(PathBuf),
    /// In the account's home.
    Remote(RemotePath),
}

impl Location {
    /// Which side it is on.
    pub fn side(&self) -> Side {
        match self {
            Self::Local(_) => Side::Local,
            Self::Remote(_) => Side::Remote,
        }
    }

    /// A child of this folder.
    pub fn join(&self, name: &Name) -> Result<Self, PathError> {
        match self {
            Self::Local(path) => {
                let name = std::ffi::OsStr::from_bytes(name.as_bytes());
                Ok(Self::Local(path.join(name)))
            }
            Self::Remote(path) => path.join(name).map(Self::Remote),
        }
    }

    /// The folder that holds it; `None` at the root or the home.
    pub fn parent(&self) -> Option<Self> {
        match self {
            Self::Local(path) => path.parent().map(|parent| Self::Local(parent.to_owned())),
            Self::Remote(path) => path.parent().map(Self::Remote),
        }
    }

    /// Its last name; `None` for the root or the home.
    pub fn name(&self) -> Option<Name> {
        match self {
            Self::Local(path) => path.file_name().and_then(|name| Name::new(name.as_bytes()).ok()),
            Self::Remote(path) => path.name(),
        }
    }
}

impl fmt::Display for Location {
    /// The path through the escaper, without host or account.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => shown(path).fmt(f),
            Self::Remote(path) => path.fmt(f),
        }
    }
}

/// A local path through the escaper.
pub fn shown(path: &Path) -> Escaped<'_> {
    Escaped(path.as_os_str().as_bytes())
}

/// The local path of these bytes.
pub fn local_path(bytes: Vec<u8>) -> PathBuf {
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}
