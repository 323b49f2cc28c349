//! What a listing says of one name.
//!
//! An entry is the one message that travels as an array, for there are millions of them; it may
//! grow at its end, so a reader drains what it does not know.

use std::fmt;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::MAX_VERSION_BYTES;
use crate::path::Name;
use crate::time::Timestamp;

/// What a name is. Links and devices are listed, never followed or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A socket, FIFO or device, or a kind of a later version.
    Other,
}

impl EntryKind {
    const fn code(self) -> u8 {
        match self {
            Self::File => 0,
            Self::Folder => 1,
            Self::Link => 2,
            Self::Other => 3,
        }
    }

    const fn of_code(code: u8) -> Self {
        match code {
            0 => Self::File,
            1 => Self::Folder,
            2 => Self::Link,
            _ => Self::Other,
        }
    }
}

impl Serialize for EntryKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.code())
    }
}

impl<'de> Deserialize<'de> for EntryKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(Self::of_code)
    }
}

/// Permission bits, `mode & 0o777`: set-id and sticky bits never travel.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mode(u16);

impl Mode {
    /// What a file gets when nothing is known.
    pub const FILE: Self = Self(0o644);
    /// What a folder gets when nothing is known.
    pub const FOLDER: Self = Self(0o755);

    /// Keeps the permission bits of `mode`, which may carry a file type.
    pub const fn new(mode: u32) -> Self {
        Self((mode & 0o777) as u16)
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Debug for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#o}", self.0)
    }
}

impl Serialize for Mode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(self.0)
    }
}

impl<'de> Deserialize<'de> for Mode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(Self::new)
    }
}

/// Opaque bytes that change whenever a file's content, size or attributes may have changed. Only
/// its maker can read it; others compare.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Version(Box<[u8]>);

impl Version {
    /// `None` if there are more than [`MAX_VERSION_BYTES`].
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= MAX_VERSION_BYTES).then(|| Self(bytes.into()))
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Version(")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

impl Serialize for Version {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        crate::bin::bounded::<D, MAX_VERSION_BYTES>(deserializer).map(Self)
    }
}

/// What is known of a file, apart from its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// What it is.
    pub kind: EntryKind,
    /// Bytes of a file; 0 for everything else.
    pub size: u64,
    /// Last change of its content.
    pub mtime: Timestamp,
    /// Permission bits.
    pub mode: Mode,
    /// Which state of the file this describes.
    pub version: Version,
}

/// One name in a folder.
///
/// On the wire: `[name bin, kind u8, size u64, [seconds i64, nanos u32], mode u16, version bin, …]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the folder.
    pub name: Name,
    /// What is known of it.
    pub attributes: Attributes,
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Attributes { kind, size, mtime, mode, version } = &self.attributes;
        (&self.name, kind, size, mtime, mode, version).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(EntryVisitor)
    }
}

struct EntryVisitor;

impl<'de> Visitor<'de> for EntryVisitor {
    type Value = Entry;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a listing entry of at least six elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Entry, A::Error> {
        fn next<'de, T: Deserialize<'de>, A: SeqAccess<'de>>(
            seq: &mut A,
            index: usize,
        ) -> Result<T, A::Error> {
            seq.next_element()?
                .ok_or_else(|| serde::de::Error::invalid_length(index, &EntryVisitor))
        }
        let entry = Entry {
            name: next(&mut seq, 0)?,
            attributes: Attributes {
                kind: next(&mut seq, 1)?,
                size: next(&mut seq, 2)?,
                mtime: next(&mut seq, 3)?,
                mode: next(&mut seq, 4)?,
                version: next(&mut seq, 5)?,
            },
        };
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        Entry {
            name: Name::new(b"a\xff").unwrap(),
            attributes: Attributes {
                kind: EntryKind::File,
                size: 7,
                mtime: Timestamp::new(-3, 5).unwrap(),
                mode: Mode::new(0o100_4755),
                version: Version::new(&[1, 2]).unwrap(),
            },
        }
    }

    #[test]
    fn an_entry_round_trips_without_its_set_id_bit() {
        let wire = rmp_serde::to_vec(&entry()).unwrap();
        let read: Entry = rmp_serde::from_slice(&wire).unwrap();
        assert_eq!(read, entry());
        assert_eq!(read.attributes.mode.bits(), 0o755);
    }

    #[test]
    fn a_longer_entry_of_a_later_version_is_read() {
        let Entry { name, attributes: a } = entry();
        let longer = (name, 9_u8, a.size, a.mtime, a.mode, a.version, "new", [1, 2, 3]);
        let read: Entry = rmp_serde::from_slice(&rmp_serde::to_vec(&longer).unwrap()).unwrap();
        assert_eq!(read.attributes.kind, EntryKind::Other);
        assert_eq!(read.attributes.size, 7);
    }

    #[test]
    fn a_shorter_entry_is_refused() {
        let wire = rmp_serde::to_vec(&(entry().name, 0_u8)).unwrap();
        assert!(rmp_serde::from_slice::<Entry>(&wire).is_err());
    }
}
