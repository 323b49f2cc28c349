//! Names and paths inside a home, parsed once.
//!
//! A name is bytes, not text: whatever the other disk holds travels unchanged. A path is a row of
//! names below the home; there is no absolute path, no `.` and no `..` on the wire, so that the two
//! sides cannot normalise one differently (HARDENING S17).
//!
//! Invariant: a [`Name`] is never empty, `.` or `..`, holds no `/` and no NUL, and has at most
//! [`MAX_NAME_BYTES`]; a [`RemotePath`] has at most [`MAX_PATH_NAMES`] names and
//! [`MAX_PATH_BYTES`] bytes. Nothing here says that a file exists.

use std::cmp::Ordering;
use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_bytes::Bytes;

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
///
/// Kept as its names with a `/` between each two, which no name holds: a row of boxed names would
/// take up to sixteen times the bytes that the wire spent on it (S12).
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct RemotePath(Box<[u8]>);

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
    pub fn home() -> Self {
        Self::default()
    }

    /// Reads what a person wrote: relative to the home, empty parts and `.` count as nothing, `..`
    /// takes one part back. Links are never followed, so this is what the kernel would do.
    pub fn parse(written: &[u8]) -> Result<Self, PathError> {
        Self::home().resolve(written)
    }

    /// Like [`Self::parse`], but starts from this folder; a leading `/` starts from the home.
    pub fn resolve(&self, written: &[u8]) -> Result<Self, PathError> {
        let from_home = written.first() == Some(&b'/');
        let mut row: Vec<&[u8]> = if from_home { Vec::new() } else { self.row().collect() };
        for part in written.split(|byte| *byte == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    row.pop().ok_or(PathError::AboveHome)?;
                }
                name => {
                    Name::check(name)?;
                    row.push(name);
                }
            }
        }
        Self::from_row(row)
    }

    /// A path of names that are already checked.
    pub fn from_names(names: impl AsRef<[Name]>) -> Result<Self, PathError> {
        Self::from_row(names.as_ref().iter().map(Name::as_bytes))
    }

    /// The same, of checked bytes.
    fn from_row<'a>(row: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, PathError> {
        let mut growing = Growing::default();
        row.into_iter().try_for_each(|name| growing.push(name))?;
        Ok(growing.path())
    }

    /// This folder's child.
    pub fn join(&self, name: &Name) -> Result<Self, PathError> {
        Self::from_row(self.row().chain([name.as_bytes()]))
    }

    /// `below` seen from this folder.
    pub fn join_path(&self, below: &Self) -> Result<Self, PathError> {
        Self::from_row(self.row().chain(below.row()))
    }

    /// The folder that holds this place and the name there; `None` for the home.
    pub fn split(&self) -> Option<(Self, Name)> {
        let (parent, name) = self.split_bytes()?;
        Some((Self(parent.into()), Name(name.into())))
    }

    /// The same as bytes: the names before the last with `/` between them, and the last.
    pub fn split_bytes(&self) -> Option<(&[u8], &[u8])> {
        let name = self.row().next_back()?;
        Some((&self.0[..self.0.len().saturating_sub(name.len() + 1)], name))
    }

    /// The folder that holds this place; `None` for the home.
    pub fn parent(&self) -> Option<Self> {
        self.split().map(|(parent, _)| parent)
    }

    /// The last name; `None` for the home.
    pub fn name(&self) -> Option<Name> {
        self.row().next_back().map(|name| Name(name.into()))
    }

    /// All names, from the home down: for the time of one call, not to be kept.
    pub fn names(&self) -> Vec<Name> {
        self.row().map(|name| Name(name.into())).collect()
    }

    /// How many names there are.
    pub fn depth(&self) -> usize {
        self.row().count()
    }

    /// The names' bytes, from the home down.
    pub fn row(&self) -> impl DoubleEndedIterator<Item = &[u8]> + Clone {
        self.0.split(|byte| *byte == b'/').filter(|name| !name.is_empty())
    }

    /// Whether this is the home itself.
    pub fn is_home(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this place is `folder` or lies below it.
    pub fn is_within(&self, folder: &Self) -> bool {
        match self.0.strip_prefix(&*folder.0) {
            Some(below) => folder.is_home() || matches!(below, [] | [b'/', ..]),
            None => false,
        }
    }

    /// The names with `/` between them, unescaped; empty for the home.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A copy of [`Self::as_bytes`].
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_vec()
    }
}

/// A path that gets its names one by one.
#[derive(Default)]
struct Growing {
    bytes: Vec<u8>,
    names: usize,
}

impl Growing {
    /// Adds a checked name.
    fn push(&mut self, name: &[u8]) -> Result<(), PathError> {
        let separator = usize::from(self.names > 0);
        if self.names == MAX_PATH_NAMES
            || self.bytes.len() + separator + name.len() > MAX_PATH_BYTES
        {
            return Err(PathError::TooLong);
        }
        self.bytes.resize(self.bytes.len() + separator, b'/');
        self.bytes.extend_from_slice(name);
        self.names += 1;
        Ok(())
    }

    fn path(self) -> RemotePath {
        RemotePath(self.bytes.into())
    }
}

impl Ord for RemotePath {
    /// Name by name, so that what a folder holds stands together behind it.
    fn cmp(&self, other: &Self) -> Ordering {
        self.row().cmp(other.row())
    }
}

impl PartialOrd for RemotePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for RemotePath {
    /// `/docs/a.txt`, through the escaper; the home is `/`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_home() {
            return f.write_str("/");
        }
        self.row().try_for_each(|name| write!(f, "/{}", Escaped(name)))
    }
}

impl fmt::Debug for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{self}`")
    }
}

impl Serialize for RemotePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut row = serializer.serialize_seq(Some(self.depth()))?;
        self.row().try_for_each(|name| row.serialize_element(Bytes::new(name)))?;
        row.end()
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
        let mut growing = Growing::default();
        while let Some(name) = seq.next_element::<Name>()? {
            growing.push(name.as_bytes()).map_err(serde::de::Error::custom)?;
        }
        Ok(growing.path())
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
        assert_eq!(RemotePath::parse(there.as_bytes()).unwrap(), there);
        assert_eq!(RemotePath::from_names(there.names()).unwrap(), there);
    }

    #[test]
    fn a_path_is_taken_apart_as_it_was_put_together() {
        let there = path("a/b-c/d");
        let (parent, name) = there.split().unwrap();
        assert_eq!((parent.clone(), name.as_bytes()), (path("a/b-c"), &b"d"[..]));
        assert_eq!(parent.join(&name).unwrap(), there);
        assert_eq!(path("a").join_path(&path("b-c/d")).unwrap(), there);
        assert_eq!(path("a").split().unwrap().0, RemotePath::home());
        assert_eq!(RemotePath::home().split(), None);
        assert_eq!((there.depth(), RemotePath::home().depth()), (3, 0));
    }

    #[test]
    fn a_path_is_within_its_folders_and_no_others() {
        for (below, folder, within) in [
            ("a/b", "a", true),
            ("a", "a", true),
            ("a", "", true),
            ("ab", "a", false),
            ("a", "a/b", false),
            ("b/a", "a", false),
        ] {
            assert_eq!(path(below).is_within(&path(folder)), within, "{below} in {folder}");
        }
    }

    #[test]
    fn paths_are_ordered_name_by_name() {
        let mut paths = ["a-b", "a/z", "a", "", "a/b/c", "b"].map(path);
        paths.sort();
        assert_eq!(paths, ["", "a", "a/b/c", "a/z", "a-b", "b"].map(path));
    }

    #[test]
    fn s12_a_path_takes_no_more_memory_than_the_wire_spent_on_it() {
        let deep = vec![&b"x"[..]; MAX_PATH_NAMES];
        let path = RemotePath::parse(&deep.join(&b'/')).unwrap();
        assert_eq!(path.as_bytes().len(), MAX_PATH_BYTES);
        assert!(rmp_serde::to_vec(&path).unwrap().len() > path.as_bytes().len());
        let deeper = vec![&b"x"[..]; MAX_PATH_NAMES + 1];
        assert_eq!(RemotePath::parse(&deeper.join(&b'/')), Err(PathError::TooLong));
    }
}
