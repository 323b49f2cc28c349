//! Login by an enrolled key: one Ed25519 signature instead of a password.
//!
//! What is signed is `"sampan/1 login by key\0" ‖ exporter ‖ hello`: the label keeps the signature
//! from meaning anything elsewhere, the exporter (32 bytes, RFC 9266) binds it to this TLS
//! connection, and the hello's bytes bind it to all that was negotiated (HARDENING S14).
//!
//! Invariant: a seed never shows itself in `Debug`; randomness enters as an argument.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use sha2::{Digest, Sha256};

use crate::scram::EXPORTER_BYTES;

const LABEL: &[u8] = b"sampan/1 login by key\0";

/// Bytes of the secret that a key is made from, and that is stored.
pub const SEED_BYTES: usize = 32;

/// A key that can log in.
pub struct LoginKey {
    pair: Ed25519KeyPair,
}

impl LoginKey {
    /// The key of 32 random bytes.
    pub fn from_seed(seed: &[u8; SEED_BYTES]) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed)
            .expect("every 32 bytes are the seed of an Ed25519 key");
        Self { pair }
    }

    /// The half that the server enrols.
    pub fn public(&self) -> PublicKey {
        let bytes = self.pair.public_key().as_ref().try_into();
        PublicKey(bytes.expect("an Ed25519 public key has 32 bytes"))
    }

    /// The proof for one login on one connection.
    pub fn sign(&self, exporter: &[u8; EXPORTER_BYTES], hello: &[u8]) -> [u8; 64] {
        let signature = self.pair.sign(&signed(exporter, hello));
        signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes")
    }
}

impl fmt::Debug for LoginKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginKey").field("public", &self.public()).finish_non_exhaustive()
    }
}

/// The half of a login key that anyone may see.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(pub [u8; 32]);

/// A signature is not this key's, or was made for another connection or hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the signature does not prove the key on this connection")]
pub struct NotProved;

impl PublicKey {
    /// A key as it came; `None` if it is not 32 bytes long.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    /// Names the key in lists and when it is revoked.
    pub fn fingerprint(&self) -> KeyFingerprint {
        KeyFingerprint(Sha256::digest(self.0).into())
    }

    /// Checks a proof made by [`LoginKey::sign`].
    pub fn verify(
        &self,
        exporter: &[u8; EXPORTER_BYTES],
        hello: &[u8],
        signature: &[u8],
    ) -> Result<(), NotProved> {
        UnparsedPublicKey::new(&ED25519, self.0)
            .verify(&signed(exporter, hello), signature)
            .map_err(|_| NotProved)
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint())
    }
}

/// SHA-256 of a public key, shown as hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyFingerprint(pub [u8; 32]);

impl KeyFingerprint {
    /// A fingerprint as it came; `None` if it is not 32 bytes long.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Display for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for KeyFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyFingerprint({self})")
    }
}

fn signed(exporter: &[u8; EXPORTER_BYTES], hello: &[u8]) -> Vec<u8> {
    [LABEL, exporter, hello].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proof_holds_for_one_key_connection_and_hello() {
        let key = LoginKey::from_seed(&[5; 32]);
        let signature = key.sign(&[1; 32], b"hello");
        let public = key.public();
        assert_eq!(public.verify(&[1; 32], b"hello", &signature), Ok(()));
        assert_eq!(public.verify(&[2; 32], b"hello", &signature), Err(NotProved));
        assert_eq!(public.verify(&[1; 32], b"hellO", &signature), Err(NotProved));
        assert_eq!(public.verify(&[1; 32], b"hello", &signature[1..]), Err(NotProved));
        assert_eq!(public.verify(&[1; 32], b"hello", b""), Err(NotProved));
        let other = LoginKey::from_seed(&[6; 32]).public();
        assert_eq!(other.verify(&[1; 32], b"hello", &signature), Err(NotProved));
        assert_eq!(PublicKey([0xff; 32]).verify(&[1; 32], b"hello", &signature), Err(NotProved));
    }

    /// RFC 8032, section 7.1, test 1: the seed and its public key.
    #[test]
    fn a_seed_gives_the_public_key_of_the_rfc() {
        let hex = |text: &str| text.parse::<crate::Root>().unwrap().0;
        let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
        assert_eq!(LoginKey::from_seed(&seed).public(), PublicKey(public));
    }

    #[test]
    fn a_key_shows_only_its_public_half() {
        let key = LoginKey::from_seed(&[5; 32]);
        let shown = format!("{key:?}");
        assert!(shown.contains(&key.public().fingerprint().to_string()), "{shown}");
        assert!(!shown.contains("0505"), "{shown}");
    }
}
