//! The server's machine. Each step takes the machine and gives the next one.
//!
//! The situations in [`LoginRefused`] are for the log; on the wire they are one answer.

use subtle::ConstantTimeEq;

use super::keys::Verifier;
use super::syntax::{Attributes, Malformed, from_base64, nonce, to_base64, unescape_user};
use super::{Dialect, EXPORTER_BYTES, HelloHash, NONCE_BYTES};

/// Why a login fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginRefused {
    /// The client's message is none.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The user's name is empty or not preparable.
    #[error("the user's name is empty or holds characters that names cannot have")]
    User,
    /// The hello that came is not the one that the client sent.
    #[error("the login covers another hello than the one that came")]
    OtherHello,
    /// The client is on another TLS connection: something stands between.
    #[error("the login is bound to another TLS connection")]
    OtherConnection,
    /// The nonce is not this login's.
    #[error("the proof belongs to another login")]
    OtherLogin,
    /// The proof is wrong, or there is no such account.
    #[error("the proof is wrong, or there is no such account")]
    NotProved,
}

/// Before the challenge.
#[derive(Debug)]
pub struct ServerLogin {
    dialect: Dialect,
    user: String,
    first_bare: String,
    nonce: String,
}

impl ServerLogin {
    /// Reads the client-first-message, which must cover `hello`.
    pub fn start(client_first: &[u8], hello: HelloHash) -> Result<Self, LoginRefused> {
        Self::start_in(Dialect::Sampan(hello), client_first)
    }

    pub(super) fn start_in(dialect: Dialect, client_first: &[u8]) -> Result<Self, LoginRefused> {
        // Bounds and text first, then the header by its bytes: there is one, so nothing to parse.
        Attributes::read(client_first)?;
        let text = std::str::from_utf8(client_first).map_err(|_| Malformed::NotText)?;
        let bare = text.strip_prefix(dialect.gs2_header()).ok_or(Malformed::NotBound)?;

        let mut attributes = Attributes::of(bare);
        let user = unescape_user(attributes.expect('n')?)?;
        let nonce = nonce(attributes.expect('r')?)?.to_owned();
        if let Some(HelloHash(expected)) = dialect.hello() {
            let covered: [u8; 32] = from_base64('h', attributes.expect('h')?)?;
            if covered != expected {
                return Err(LoginRefused::OtherHello);
            }
        }
        attributes.ignore_rest()?;

        let user = stringprep::saslprep(&user).map_err(|_| LoginRefused::User)?.into_owned();
        if user.is_empty() {
            return Err(LoginRefused::User);
        }
        Ok(Self { dialect, user, first_bare: bare.to_owned(), nonce })
    }

    /// The account's name, prepared.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// Challenges; gives the machine and the server-first-message. An unknown user gets
    /// [`Verifier::made_up`].
    pub fn challenge(
        self,
        verifier: Verifier,
        nonce: [u8; NONCE_BYTES],
    ) -> (ServerChallenged, Vec<u8>) {
        self.challenge_in(verifier, &to_base64(&nonce))
    }

    pub(super) fn challenge_in(
        self,
        verifier: Verifier,
        nonce: &str,
    ) -> (ServerChallenged, Vec<u8>) {
        let nonce = format!("{}{nonce}", self.nonce);
        let challenge = verifier.challenge();
        let salt = to_base64(&challenge.salt);
        let server_first = format!("r={nonce},s={salt},i={}", challenge.iterations);
        let machine = ServerChallenged {
            dialect: self.dialect,
            transcript: format!("{},{server_first}", self.first_bare),
            nonce,
            verifier,
        };
        (machine, server_first.into_bytes())
    }
}

/// After the challenge, before the client's proof.
#[derive(Debug)]
pub struct ServerChallenged {
    dialect: Dialect,
    transcript: String,
    nonce: String,
    verifier: Verifier,
}

impl ServerChallenged {
    /// Reads the client-final-message and checks binding, nonce and proof.
    pub fn finish(
        self,
        client_final: &[u8],
        exporter: &[u8; EXPORTER_BYTES],
    ) -> Result<Accepted, LoginRefused> {
        let mut attributes = Attributes::read(client_final)?;
        let text = std::str::from_utf8(client_final).map_err(|_| Malformed::NotText)?;
        let binding = attributes.expect('c')?;
        let nonce = attributes.expect('r')?;
        // The proof comes last and covers all before it.
        let (without_proof, proof) =
            text.rsplit_once(",p=").ok_or(Malformed::Missing { name: 'p' })?;
        let proof: [u8; 32] = from_base64('p', proof)?;
        attributes.ignore_rest()?;

        let expected = to_base64(&self.dialect.binding(exporter));
        if !bool::from(binding.as_bytes().ct_eq(expected.as_bytes())) {
            return Err(LoginRefused::OtherConnection);
        }
        if nonce != self.nonce {
            return Err(LoginRefused::OtherLogin);
        }
        let auth_message = format!("{},{without_proof}", self.transcript);
        if !self.verifier.accepts(&proof, auth_message.as_bytes()) {
            return Err(LoginRefused::NotProved);
        }
        let signature = to_base64(&self.verifier.server_signature(auth_message.as_bytes()));
        Ok(Accepted { server_final: format!("v={signature}").into_bytes() })
    }
}

/// The client proved that it knows the account. There is no other way to get one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "the client waits for the server's proof"]
pub struct Accepted {
    server_final: Vec<u8>,
}

impl Accepted {
    /// The server-final-message, which holds the server's own proof.
    pub fn into_server_final(self) -> Vec<u8> {
        self.server_final
    }
}
