//! Enrolled login keys: rows of an account, void after its password changes.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use crate::time::Timestamp;

/// How long a key lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyLife {
    /// Held in the server's memory: until it restarts or the account's sessions end.
    Session,
    /// Until it is revoked.
    UntilRevoked,
}

/// Lets `public_key` log in. Enrolling a key again changes its life and label.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrolKey {
    /// Ed25519, 32 bytes.
    pub public_key: ByteBuf,
    /// How long it lasts.
    pub life: KeyLife,
    /// For people, such as a host's name; at most 128 bytes.
    #[serde(default)]
    pub label: String,
}

/// The key may log in from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEnrolled {
    /// SHA-256 of the public key.
    pub fingerprint: ByteBuf,
}

/// Ends a key; sessions that it opened go on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokeKey {
    /// SHA-256 of the public key.
    pub fingerprint: ByteBuf,
}

/// Asks for the account's lasting keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListKeys {}

/// The account's lasting keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeysAnswer {
    /// In order of enrolment, at most [`crate::limits::MAX_LIST_ENTRIES`].
    #[serde(deserialize_with = "crate::bin::row::<_, _, { crate::limits::MAX_LIST_ENTRIES }>")]
    pub keys: Vec<KeyRow>,
}

/// One lasting key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRow {
    /// SHA-256 of the public key.
    pub fingerprint: ByteBuf,
    /// What its owner called it.
    pub label: String,
    /// When it was enrolled.
    pub enrolled: Timestamp,
    /// When it last logged in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub used: Option<Timestamp>,
}
