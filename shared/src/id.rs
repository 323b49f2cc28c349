//! Identifiers: small, typed, and never confused with a bare number.
//!
//! Nothing here is drawn at random: ids enter as arguments, so that pure code stays pure.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Pairs an answer with its request, within one connection. Zero belongs to frames that nobody
/// asked for (`Goodbye`).
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct RequestId(pub u32);

impl RequestId {
    /// The id of frames that answer no request.
    pub const UNASKED: Self = Self(0);
}

/// An unfinished upload of one account, never reused by a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UploadId(pub u64);

impl fmt::Display for UploadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Counts who holds an upload: whoever resumes raises it, and a writer with an older one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u32);

/// Sixteen bytes drawn by a client; equal keys of one account mean the same upload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UploadKey(pub [u8; 16]);

/// Sixteen bytes drawn once for each client process: the scope of [`ChangeKey::sequence`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InstanceId(pub [u8; 16]);

/// Names one change for ever, so that sending it again gives the first answer and no second change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChangeKey {
    /// Who numbers.
    pub instance: InstanceId,
    /// Rises by one with each new change of the instance; first is 1.
    pub sequence: u64,
    /// Every sequence up to and with this one was answered: the server may forget those answers.
    #[serde(default)]
    pub answered: u64,
}

macro_rules! sixteen_bytes {
    ($name:ident) => {
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_bytes(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                crate::bin::array(deserializer).map(Self)
            }
        }
    };
}

sixteen_bytes!(UploadKey);
sixteen_bytes!(InstanceId);
