//! What a password becomes: keys that a client may keep, and a verifier that a server stores.
//!
//! Invariant: neither shows itself in `Debug`, and a client's keys are wiped when dropped.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// Bytes of a salt.
pub const SALT_BYTES: usize = 16;

/// A name or password holds characters that SASLprep (RFC 4013) forbids, such as control
/// characters and all that are younger than Unicode 3.2, or mixes writing directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it holds a character that cannot be typed the same way everywhere, such as an emoji")]
pub struct NotPreparable;

/// What a server asks a client to derive with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// The account's salt.
    pub salt: [u8; SALT_BYTES],
    /// PBKDF2 rounds.
    pub iterations: u32,
}

/// Keys derived from a password: as good as it for this account at this server, until the password
/// changes. Kept in memory for logins without asking again.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct ClientKeys {
    salt: [u8; SALT_BYTES],
    iterations: u32,
    client_key: [u8; 32],
    server_key: [u8; 32],
}

impl ClientKeys {
    /// Whether these keys answer `challenge`; otherwise the password is needed.
    pub fn fit(&self, challenge: &Challenge) -> bool {
        self.salt == challenge.salt && self.iterations == challenge.iterations
    }

    pub(super) fn proof(&self, auth_message: &[u8]) -> [u8; 32] {
        let signature = hmac(&stored_key(&self.client_key), auth_message);
        xor(&self.client_key, &signature)
    }

    pub(super) fn server_signature(&self, auth_message: &[u8]) -> [u8; 32] {
        hmac(&self.server_key, auth_message)
    }
}

impl fmt::Debug for ClientKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientKeys").field("iterations", &self.iterations).finish_non_exhaustive()
    }
}

/// Derives a client's keys. Slow on purpose, tens to hundreds of milliseconds: call it off the
/// async threads, and only with iterations that were checked.
pub fn derive(password: &str, challenge: &Challenge) -> Result<ClientKeys, NotPreparable> {
    let prepared = stringprep::saslprep(password).map_err(|_| NotPreparable)?;
    let prepared = Zeroizing::new(prepared.into_owned());
    let mut salted = Zeroizing::new([0_u8; 32]);
    pbkdf2::pbkdf2_hmac::<Sha256>(
        prepared.as_bytes(),
        &challenge.salt,
        challenge.iterations,
        &mut *salted,
    );
    Ok(ClientKeys {
        salt: challenge.salt,
        iterations: challenge.iterations,
        client_key: hmac(&salted, b"Client Key"),
        server_key: hmac(&salted, b"Server Key"),
    })
}

/// What a server stores of a password.
#[derive(Clone)]
pub struct Verifier {
    challenge: Challenge,
    stored_key: [u8; 32],
    server_key: [u8; 32],
    /// A verifier made up for an unknown user accepts nothing.
    real: bool,
}

impl Verifier {
    /// The verifier of `password`. Slow on purpose, see [`derive()`].
    pub fn derive(password: &str, challenge: &Challenge) -> Result<Self, NotPreparable> {
        let keys = derive(password, challenge)?;
        Ok(Self::from_parts(*challenge, stored_key(&keys.client_key), keys.server_key))
    }

    /// A verifier as it was stored.
    pub const fn from_parts(
        challenge: Challenge,
        stored_key: [u8; 32],
        server_key: [u8; 32],
    ) -> Self {
        Self { challenge, stored_key, server_key, real: true }
    }

    /// For a user that does not exist: the same salt each time, so that asking twice tells nothing,
    /// and no password that fits.
    pub fn made_up(server_secret: &[u8; 32], user: &str, iterations: u32) -> Self {
        let part = |label: &[u8]| hmac(server_secret, &[label, b"\0", user.as_bytes()].concat());
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(&part(b"sampan/1 made-up salt")[..SALT_BYTES]);
        Self {
            challenge: Challenge { salt, iterations },
            stored_key: part(b"sampan/1 made-up stored key"),
            server_key: part(b"sampan/1 made-up server key"),
            real: false,
        }
    }

    /// Salt and iterations.
    pub const fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// SHA-256 of the client's key.
    pub const fn stored_key(&self) -> &[u8; 32] {
        &self.stored_key
    }

    /// The key of the server's own proof.
    pub const fn server_key(&self) -> &[u8; 32] {
        &self.server_key
    }

    /// Whether `proof` shows the client's key. Takes the same time whatever the answer.
    pub(super) fn accepts(&self, proof: &[u8; 32], auth_message: &[u8]) -> bool {
        let client_key = xor(proof, &hmac(&self.stored_key, auth_message));
        let equal = stored_key(&client_key).ct_eq(&self.stored_key);
        bool::from(equal & Choice::from(u8::from(self.real)))
    }

    pub(super) fn server_signature(&self, auth_message: &[u8]) -> [u8; 32] {
        hmac(&self.server_key, auth_message)
    }

    /// Makes it as closed as a made-up one, but with known keys.
    #[cfg(test)]
    pub(super) fn close(&mut self) {
        self.real = false;
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let iterations = &self.challenge.iterations;
        f.debug_struct("Verifier").field("iterations", iterations).finish_non_exhaustive()
    }
}

fn stored_key(client_key: &[u8; 32]) -> [u8; 32] {
    Sha256::digest(client_key).into()
}

fn hmac(key: &[u8; 32], message: &[u8]) -> [u8; 32] {
    let mut hmac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length");
    hmac.update(message);
    hmac.finalize().into_bytes().into()
}

fn xor(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    std::array::from_fn(|index| left[index] ^ right[index])
}
