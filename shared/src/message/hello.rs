//! The first messages of a connection.
//!
//! [`Hello`] carries its body as bytes, so that the login can cover exactly what was sent (S14):
//! SCRAM by the extension `h=`, a key by its signature.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_bytes::ByteBuf;

use super::change::Durability;
use crate::id::InstanceId;
use crate::limits::MAX_USER_BYTES;

/// Begins a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// A [`HelloBody`], encoded; the login covers these bytes.
    pub hello: ByteBuf,
    /// SCRAM's client-first-message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scram: Option<ByteBuf>,
    /// Or a proof by key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<KeyProof>,
}

/// Who begins, and what it speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloBody {
    /// Lowest protocol version that the client speaks.
    pub oldest: u16,
    /// Highest protocol version that the client speaks.
    pub newest: u16,
    /// Program and version, such as `sampan/0.1.0`; for logs.
    pub agent: String,
    /// The account's name, as the person wrote it; at most [`MAX_USER_BYTES`].
    #[serde(deserialize_with = "user")]
    pub user: String,
    /// Which client process this connection belongs to.
    pub instance: InstanceId,
}

/// A longer name is no account's, and would only fill logs.
fn user<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let user = String::deserialize(deserializer)?;
    if user.len() > MAX_USER_BYTES {
        return Err(D::Error::custom("the user's name is too long"));
    }
    Ok(user)
}

/// A login by an enrolled Ed25519 key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyProof {
    /// 32 bytes.
    pub public_key: ByteBuf,
    /// 64 bytes over label, TLS exporter and hello.
    pub signature: ByteBuf,
}

/// Answers [`Hello`]: by key the welcome, by SCRAM the challenge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HelloAnswer {
    /// The protocol version of this connection.
    pub version: u16,
    /// SCRAM's server-first-message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenge: Option<ByteBuf>,
    /// Present when the key was accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub welcome: Option<Welcome>,
}

/// SCRAM's client-final-message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramProof {
    /// The message's bytes.
    pub client_final: ByteBuf,
}

/// The server's proof. The client uses nothing before it is verified (S19).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScramAnswer {
    /// SCRAM's server-final-message.
    pub server_final: ByteBuf,
    /// What holds from now on.
    pub welcome: Welcome,
}

/// What holds for a connection that is logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The account's name, prepared.
    pub account: String,
    /// Program and version of the server; for logs.
    pub agent: String,
    /// What an acknowledged change of this server means.
    pub durability: Durability,
    /// What the server takes.
    pub limits: Limits,
}

/// Bounds of one server. Each is at most the protocol's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of a frame's header.
    pub header_bytes: u32,
    /// Bytes of a frame's body.
    pub body_bytes: u32,
    /// Requests that one connection may have unanswered; one more waits unread.
    pub requests: u32,
    /// Connections of one account.
    pub connections: u32,
    /// Members of a pack.
    pub pack_members: u32,
    /// Bytes of a pack's files.
    pub pack_bytes: u64,
    /// Seconds without any frame after which the server closes; ping before.
    pub idle_seconds: u32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{decode_args, encode_args};

    /// S5, S9: before login nothing is kept, or logged, that is longer than it can be.
    #[test]
    fn a_name_that_is_too_long_is_refused() {
        let body = |length| HelloBody {
            oldest: 1,
            newest: 1,
            agent: "test".to_owned(),
            user: "u".repeat(length),
            instance: InstanceId([0; 16]),
        };
        let longest = body(MAX_USER_BYTES);
        assert_eq!(decode_args::<HelloBody>(&encode_args(&longest)).unwrap(), longest);
        assert!(decode_args::<HelloBody>(&encode_args(&body(MAX_USER_BYTES + 1))).is_err());
    }
}
