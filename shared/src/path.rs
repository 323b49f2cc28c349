//! Names and paths inside a home, parsed once.
//!
//! A name is bytes, not text: whatever the other disk holds travels unchanged. A path is a row of
//! names below the home; there is no absolute path, no `.` and no `..` on the wire, so that the two
//! sides cannot normalise one differently (HARDENING S17).
//!
//! Invariant: a [`Name`] is never empty, `.` or `..`, holds no `/` and no NUL, and has at most
//! [`MAX_NAME_BYTES`]; a [`RemotePath`] has at most [`MAX_PATH_NAMES`] names and
//! [`MAX_PATH_BYTES`] bytes. Nothing here says that a file exists.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::escape::Escaped;
use crate::limits::{MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_PATH_NAMES};

/// One file's name in its folder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Box<[u8]>);

/// Why bytes are no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// No bytes at all.
    #[error("a name is empty")]
    Empty,
    /// `.` or `..`, which mean folders and name none.
    #[error("a name is `.` or `..`")]
    Dots,
    /// A `/` inside.
    #[error("a name holds a `/`")]
    Slash,
    /// A NUL inside.
    #[error("a name holds a NUL byte")]
    Nul,
    /// More than [`MAX_NAME_BYTES`].
    #[error("a name has more than {MAX_NAME_BYTES} bytes")]
    TooLong,
}

impl Name {
    /// Checks and copies `bytes`.
    pub fn new(bytes: &[u8]) -> Result<Self, NameError> {
        Self::check(bytes)?;
        Ok(Self(bytes.into()))
    }

    fn check(bytes: &[u8]) -> Result<(), NameError> {
        match bytes {
            b"" => Err(NameError::Empty),
            b"." | b".." => Err(NameError::Dots),
            long if long.len() > MAX_NAME_BYTES => Err(NameError::TooLong),
            slashed if slashed.contains(&b'/') => Err(NameError::Slash),
            ended if ended.contains(&0) => Err(NameError::Nul),
            _ => Ok(()),
        }
    }

    /// The name as it is on the disk.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    /// Shown through the escaper: safe on a terminal and in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.0).fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl Serialize for Name {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = crate::bin::bounded::<D, MAX_NAME_BYTES>(deserializer)?;
        Self::check(&bytes).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// A place below an account's home; the home itself is the empty path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RemotePath(Vec<Name>);

/// Why text or names are no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// One of its names is none.
    #[error(transparent)]
    Name(#[from] NameError),
    /// `..` left the home.
    #[error("the path leads above the home")]
    AboveHome,
    /// More than [`MAX_PATH_BYTES`] or [`MAX_PATH_NAMES`].
    #[error("the path has more than {MAX_PATH_BYTES} bytes or {MAX_PATH_NAMES} names")]
    TooLong,
}

impl RemotePath {
    /// The home itself.
    pub const fn home() -> Self {
        Self(Vec::new())
    }

    /// Reads what a person wrote: relative to the home, empty parts and `.` count as nothing, `..`
    /// takes one part back. Links are never followed, so this is what the kernel would do.
    pub fn parse(written: &[u8]) -> Result<Self, PathError> {
        Self::home().resolve(written)
    }

    /// Like [`Self::parse`], but starts from this folder; a leading `/` starts from the home.
    pub fn resolve(&self, written: &[u8]) -> Result<Self, PathError> {
        let mut names = if written.first() == Some(&b'/') { Vec::new() } else { self.0.clone() };
        for part in written.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    names.pop().ok_or(PathError::AboveHome)?;
                }
                name => names.push(Name::new(name)?),
            }
        }
        Self::from_names(names)
    }

    /// A path of names that are already checked.
    pub fn from_names(names: Vec<Name>) -> Result<Self, PathError> {
        if names.len() > MAX_PATH_NAMES || written_length(&names) > MAX_PATH_BYTES {
            return Err(PathError::TooLong);
        }
        Ok(Self(names))
    }

    /// This folder's child.
    pub fn join(&self, name: &Name) -> Result<Self, PathError> {
        let mut names = Vec::with_capacity(self.0.len() + 1);
        names.extend_from_slice(&self.0);
        names.push(name.clone());
        Self::from_names(names)
    }

    /// `below` seen from this folder.
    pub fn join_path(&self, below: &Self) -> Result<Self, PathError> {
        let mut names = self.0.clone();
        names.extend_from_slice(&below.0);
        Self::from_names(names)
    }

    /// The folder that holds this place and the name there; `None` for the home.
    pub fn split(&self) -> Option<(Self, &Name)> {
        let (name, parent) = self.0.split_last()?;
        Some((Self(parent.to_vec()), name))
    }

    /// The folder that holds this place; `None` for the home.
    pub fn parent(&self) -> Option<Self> {
        self.split().map(|(parent, _)| parent)
    }

    /// The last name; `None` for the home.
    pub fn name(&self) -> Option<&Name> {
        self.0.last()
    }

    /// All names, from the home down.
    pub fn names(&self) -> &[Name] {
        &self.0
    }

    /// Whether this is the home itself.
    pub fn is_home(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this place is `folder` or lies below it.
    pub fn is_within(&self, folder: &Self) -> bool {
        self.0.starts_with(&folder.0)
    }

    /// The names with `/` between them, unescaped; empty for the home.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(written_length(&self.0));
        for (index, name) in self.0.iter().enumerate() {
            if index > 0 {
                bytes.push(b'/');
            }
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes
    }
}

/// Bytes of the names and of one separator between each two.
fn written_length(names: &[Name]) -> usize {
    names.iter().map(|name| name.0.len() + 1).sum::<usize>().saturating_sub(1)
}

impl fmt::Display for RemotePath {
    /// `/docs/a.txt`, through the escaper; the home is `/`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_home() {
            return f.write_str("/");
        }
        self.0.iter().try_for_each(|name| write!(f, "/{name}"))
    }
}

impl fmt::Debug for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl Serialize for RemotePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RemotePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(PathVisitor)
    }
}

struct PathVisitor;

impl<'de> Visitor<'de> for PathVisitor {
    type Value = RemotePath;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row of names")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<RemotePath, A::Error> {
        let mut names = Vec::new();
        while let Some(name) = seq.next_element()? {
            if names.len() == MAX_PATH_NAMES {
                return Err(serde::de::Error::custom(PathError::TooLong));
            }
            names.push(name);
        }
        RemotePath::from_names(names).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(written: &str) -> RemotePath {
        RemotePath::parse(written.as_bytes()).unwrap()
    }

    #[test]
    fn s2_names_that_mean_folders_or_split_paths_are_refused() {
        let cases: [(&[u8], NameError); 6] = [
            (b"", NameError::Empty),
            (b".", NameError::Dots),
            (b"..", NameError::Dots),
            (b"a/b", NameError::Slash),
            (b"a\0b", NameError::Nul),
            (&[b'x'; 256], NameError::TooLong),
        ];
        for (bytes, error) in cases {
            assert_eq!(Name::new(bytes), Err(error), "{bytes:?}");
        }
    }

    #[test]
    fn s2_every_other_byte_is_a_name() {
        for name in [&b"..."[..], b"\x1b[31m", b"\xff\xfe", b" ", b"-rf", b"a\nb", &[b'x'; 255]] {
            assert_eq!(Name::new(name).unwrap().as_bytes(), name);
        }
    }

    #[test]
    fn written_paths_resolve_part_by_part() {
        assert_eq!(path("a//./b/../c/"), path("a/c"));
        assert_eq!(path("/a"), path("a"));
        assert_eq!(path(""), RemotePath::home());
        assert_eq!(path("docs").resolve(b"../x").unwrap(), path("x"));
        assert_eq!(path("docs").resolve(b"/x").unwrap(), path("x"));
        assert_eq!(RemotePath::parse(b"a/../.."), Err(PathError::AboveHome));
        assert_eq!(RemotePath::parse(b".."), Err(PathError::AboveHome));
    }

    #[test]
    fn a_path_longer_than_the_kernel_takes_is_refused() {
        let long = vec![b'x'; 255];
        let row = std::iter::repeat_n(&long[..], 17).collect::<Vec<_>>().join(&b'/');
        assert_eq!(RemotePath::parse(&row), Err(PathError::TooLong));
    }

    #[test]
    fn a_hostile_path_on_the_wire_is_refused() {
        for names in [vec![&b".."[..]], vec![b"a", b""], vec![b"a/b"]] {
            let names: Vec<_> = names.into_iter().map(serde_bytes::Bytes::new).collect();
            let wire = rmp_serde::to_vec(&names).unwrap();
            assert!(rmp_serde::from_slice::<RemotePath>(&wire).is_err());
        }
    }

    #[test]
    fn a_path_round_trips() {
        let there = path("a/\u{1b}[0m/\u{4f60}");
        let wire = rmp_serde::to_vec(&there).unwrap();
        assert_eq!(rmp_serde::from_slice::<RemotePath>(&wire).unwrap(), there);
        assert_eq!(RemotePath::parse(&there.to_bytes()).unwrap(), there);
    }
}
