//! Keeping a connection and ending it.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Asks for a sign of life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ping {}

/// Says no more than that the request was carried out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// The sender closes after this frame. Its request id is 0, and nothing answers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Goodbye {
    /// Why.
    pub reason: GoodbyeReason,
    /// Milliseconds after which to come again; absent: as one likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoodbyeReason {
    /// The sender is done.
    Done,
    /// The server stops or restarts.
    ServerClosing,
    /// The account's sessions were ended: password changed, account disabled or removed.
    SessionEnded,
    /// Nothing was heard for too long.
    Idle,
    /// The peer broke the protocol.
    ProtocolError,
    /// Too many connections.
    Busy,
    /// A reason of a later version.
    Unknown(u8),
}

impl From<GoodbyeReason> for u8 {
    fn from(reason: GoodbyeReason) -> Self {
        match reason {
            GoodbyeReason::Done => 0,
            GoodbyeReason::ServerClosing => 1,
            GoodbyeReason::SessionEnded => 2,
            GoodbyeReason::Idle => 3,
            GoodbyeReason::ProtocolError => 4,
            GoodbyeReason::Busy => 5,
            GoodbyeReason::Unknown(code) => code,
        }
    }
}

impl From<u8> for GoodbyeReason {
    fn from(code: u8) -> Self {
        match code {
            0 => Self::Done,
            1 => Self::ServerClosing,
            2 => Self::SessionEnded,
            3 => Self::Idle,
            4 => Self::ProtocolError,
            5 => Self::Busy,
            other => Self::Unknown(other),
        }
    }
}

impl Serialize for GoodbyeReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8((*self).into())
    }
}

impl<'de> Deserialize<'de> for GoodbyeReason {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u8::deserialize(deserializer).map(Self::from)
    }
}
