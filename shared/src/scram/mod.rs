//! SCRAM-SHA-256-PLUS (RFC 5802, RFC 7677) with `tls-exporter` binding (RFC 9266), as two pure
//! machines.
//!
//! ```text
//! client                                                              server
//! ClientLogin::start ──── client-first (n=user, r=nonce, h=hello) ──▶ ServerLogin::start
//! ClientLogin::challenge ◀─── server-first (r=, s=salt, i=rounds) ─── ServerLogin::challenge
//!   derive(password, salt, rounds): slow, off the async threads
//! ClientChallenged::finish ── client-final (c=binding, r=, p=proof) ▶ ServerChallenged::finish
//! ClientProved::verify ◀────────────── server-final (v=signature) ─── … logged in
//!   Authenticated
//! ```
//!
//! The proof covers the TLS connection (binding), so a relay cannot log in, and by the extension
//! `h=`, the base64 of SHA-256 over the bytes of the hello, all that was negotiated (HARDENING S14).
//! Passwords never travel; a server keeps a [`Verifier`], from which no login can be made.
//!
//! Nonces enter as arguments. What leaves is either a message's bytes or a refusal.
//!
//! Invariant: a client holds an [`Authenticated`] only after the server's own proof was verified,
//! a server an [`Accepted`] only after the client's; proofs are compared in constant time, and an
//! unknown user meets the same steps as a known one (S19).

mod client;
mod keys;
mod server;
mod syntax;
#[cfg(test)]
mod tests;

use sha2::{Digest, Sha256};

pub use self::client::{
    Authenticated, ClientChallenged, ClientError, ClientLogin, ClientProved, IterationLimits,
};
pub use self::keys::{Challenge, ClientKeys, NotPreparable, SALT_BYTES, Verifier, derive};
pub use self::server::{Accepted, LoginRefused, ServerChallenged, ServerLogin};
pub use self::syntax::{MAX_MESSAGE_BYTES, Malformed};

/// Bytes of keying material that the TLS connection exports (RFC 9266).
pub const EXPORTER_BYTES: usize = 32;

/// Random bytes that make a nonce.
pub const NONCE_BYTES: usize = 18;

/// SHA-256 over the bytes of a hello, which the login covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloHash(pub [u8; 32]);

impl HelloHash {
    /// The hash of a hello as it was sent.
    pub fn of(hello: &[u8]) -> Self {
        Self(Sha256::digest(hello).into())
    }
}

/// Which SCRAM is spoken. Sampan speaks one; the other is that of the RFC's examples, so that they
/// run through the same code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// Bound to the TLS connection and to the hello.
    Sampan(HelloHash),
    /// Neither.
    #[cfg(test)]
    Unbound,
}

impl Dialect {
    fn gs2_header(self) -> &'static str {
        match self {
            Self::Sampan(_) => "p=tls-exporter,,",
            #[cfg(test)]
            Self::Unbound => "n,,",
        }
    }

    /// What `c=` must be, decoded.
    fn binding(self, exporter: &[u8; EXPORTER_BYTES]) -> Vec<u8> {
        let header = self.gs2_header().as_bytes();
        match self {
            Self::Sampan(_) => [header, exporter].concat(),
            #[cfg(test)]
            Self::Unbound => header.to_vec(),
        }
    }

    #[cfg_attr(not(test), allow(clippy::unnecessary_wraps))] // the RFC's dialect has none
    fn hello(self) -> Option<HelloHash> {
        match self {
            Self::Sampan(hash) => Some(hash),
            #[cfg(test)]
            Self::Unbound => None,
        }
    }
}
