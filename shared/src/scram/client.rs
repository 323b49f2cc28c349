//! The client's machine. Each step takes the machine and gives the next one.

use std::fmt;

use subtle::ConstantTimeEq;

use super::keys::{Challenge, ClientKeys};
use super::syntax::{Attributes, Malformed, escape_user, from_base64, nonce, to_base64};
use super::{Dialect, EXPORTER_BYTES, HelloHash, NONCE_BYTES};
use crate::limits::{MAX_SCRAM_ITERATIONS, MAX_USER_BYTES, MIN_SCRAM_ITERATIONS};

/// PBKDF2 rounds that a client is willing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IterationLimits {
    /// Fewer would sell the password cheap to whoever listens in the server's place.
    pub fewest: u32,
    /// More would burn the client's processor.
    pub most: u32,
}

impl IterationLimits {
    /// The protocol's bounds (HARDENING S19).
    pub const PROTOCOL: Self = Self { fewest: MIN_SCRAM_ITERATIONS, most: MAX_SCRAM_ITERATIONS };
}

/// Why the client gives the login up. None of these sends anything to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The user's name is empty, too long, or not preparable.
    #[error("the user's name is empty, too long, or holds characters that names cannot have")]
    User,
    /// The server's message is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The server's nonce does not go on from the client's.
    #[error("the server answered another login than this one")]
    NonceMismatch,
    /// Iterations outside the client's bounds.
    #[error(
        "the server asks for {asked} rounds of key derivation; {fewest} to {most} are accepted"
    )]
    Iterations {
        /// What the server asks.
        asked: u32,
        /// The client's lower bound.
        fewest: u32,
        /// The client's upper bound.
        most: u32,
    },
    /// The keys were derived with another salt or other iterations.
    #[error("the kept keys do not fit the account any more; the password is needed")]
    KeysDoNotFit,
    /// The server did not prove that it knows the account. It is not the one it claims to be.
    #[error("the server did not prove that it knows this account")]
    ServerNotProved,
}

/// Before the server's challenge.
#[derive(Debug)]
pub struct ClientLogin {
    dialect: Dialect,
    first_bare: String,
    nonce: String,
}

impl ClientLogin {
    /// Begins; gives the machine and the client-first-message.
    pub fn start(
        user: &str,
        nonce: [u8; NONCE_BYTES],
        hello: HelloHash,
    ) -> Result<(Self, Vec<u8>), ClientError> {
        Self::start_in(Dialect::Sampan(hello), user, &to_base64(&nonce))
    }

    pub(super) fn start_in(
        dialect: Dialect,
        user: &str,
        nonce: &str,
    ) -> Result<(Self, Vec<u8>), ClientError> {
        let user = stringprep::saslprep(user).map_err(|_| ClientError::User)?;
        if user.is_empty() || user.len() > MAX_USER_BYTES {
            return Err(ClientError::User);
        }
        let mut first_bare = format!("n={},r={nonce}", escape_user(&user));
        if let Some(HelloHash(hash)) = dialect.hello() {
            first_bare = format!("{first_bare},h={}", to_base64(&hash));
        }
        let first = format!("{}{first_bare}", dialect.gs2_header()).into_bytes();
        Ok((Self { dialect, first_bare, nonce: nonce.to_owned() }, first))
    }

    /// Reads the server-first-message. The next step needs keys for
    /// [`ClientChallenged::challenge`].
    pub fn challenge(
        self,
        server_first: &[u8],
        limits: IterationLimits,
    ) -> Result<ClientChallenged, ClientError> {
        let mut attributes = Attributes::read(server_first)?;
        let nonce = nonce(attributes.expect('r')?)?;
        let salt = from_base64('s', attributes.expect('s')?)?;
        let iterations = attributes.expect('i')?;
        attributes.ignore_rest()?;

        // A server nonce of nothing would let an old answer be played again.
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ClientError::NonceMismatch);
        }
        let iterations = parse_iterations(iterations)?;
        let IterationLimits { fewest, most } = limits;
        if !(fewest..=most).contains(&iterations) {
            return Err(ClientError::Iterations { asked: iterations, fewest, most });
        }
        let server_first = std::str::from_utf8(server_first).map_err(|_| Malformed::NotText)?;
        Ok(ClientChallenged {
            dialect: self.dialect,
            challenge: Challenge { salt, iterations },
            nonce: nonce.to_owned(),
            transcript: format!("{},{server_first}", self.first_bare),
        })
    }
}

fn parse_iterations(value: &str) -> Result<u32, Malformed> {
    let canonical = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    match value.parse() {
        Ok(iterations) if canonical => Ok(iterations),
        _ => Err(Malformed::Value { name: 'i' }),
    }
}

/// After the server's challenge, before the keys.
#[derive(Debug)]
pub struct ClientChallenged {
    dialect: Dialect,
    challenge: Challenge,
    nonce: String,
    transcript: String,
}

impl ClientChallenged {
    /// What to derive keys with, or to compare kept ones with.
    pub const fn challenge(&self) -> &Challenge {
        &self.challenge
    }

    /// Proves; gives the machine and the client-final-message.
    pub fn finish(
        self,
        keys: ClientKeys,
        exporter: &[u8; EXPORTER_BYTES],
    ) -> Result<(ClientProved, Vec<u8>), ClientError> {
        if !keys.fit(&self.challenge) {
            return Err(ClientError::KeysDoNotFit);
        }
        let binding = to_base64(&self.dialect.binding(exporter));
        let without_proof = format!("c={binding},r={}", self.nonce);
        let auth_message = format!("{},{without_proof}", self.transcript);
        let proof = to_base64(&keys.proof(auth_message.as_bytes()));
        let expected = keys.server_signature(auth_message.as_bytes());
        let client_final = format!("{without_proof},p={proof}").into_bytes();
        Ok((ClientProved { expected, keys }, client_final))
    }
}

/// After the client's proof, before the server's.
pub struct ClientProved {
    expected: [u8; 32],
    keys: ClientKeys,
}

impl ClientProved {
    /// Reads the server-final-message and checks the server's proof.
    pub fn verify(self, server_final: &[u8]) -> Result<Authenticated, ClientError> {
        let mut attributes = Attributes::read(server_final)?;
        let signature: [u8; 32] = from_base64('v', attributes.expect('v')?)?;
        attributes.ignore_rest()?;
        if !bool::from(signature.ct_eq(&self.expected)) {
            return Err(ClientError::ServerNotProved);
        }
        Ok(Authenticated { keys: self.keys })
    }
}

impl fmt::Debug for ClientProved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientProved").finish_non_exhaustive()
    }
}

/// Both sides proved that they know the account. There is no other way to get one.
#[derive(Debug)]
#[must_use = "a server's answers may be used only by who holds this"]
pub struct Authenticated {
    keys: ClientKeys,
}

impl Authenticated {
    /// The keys that served, for later logins without the password.
    pub fn into_keys(self) -> ClientKeys {
        self.keys
    }
}
