//! Logging a fresh connection in: by a key if one is enrolled, else by SCRAM.
//!
//! Invariant: nothing that the server says is used before its own proof was verified (S19), but for
//! a login by key, where the pinned TLS key is the proof. A password is held only until keys are
//! derived from it; both are wiped when dropped.

use std::sync::{Arc, Mutex, PoisonError};

use sampan_protocol::frame::FrameLimits;
use sampan_protocol::login_key::LoginKey;
use sampan_protocol::message::{Hello, HelloBody, KeyProof, Request, ScramProof, Welcome};
use sampan_protocol::scram::{
    ClientError, ClientKeys, ClientLogin, HelloHash, IterationLimits, NONCE_BYTES, NotPreparable,
    derive,
};
use sampan_protocol::transport::{FrameReader, FrameWriter, ReadError, Secured};
use sampan_protocol::wire::{Envelope, Flags, Op, decode_args, encode_args, encode_header};
use sampan_protocol::{ErrorCode, InstanceId, PROTOCOL_VERSION, Refusal, RequestId};
use serde_bytes::ByteBuf;
use zeroize::Zeroizing;

use super::failed::refused;
use crate::failure::Situation;

/// Program and version, for the server's log.
const AGENT: &str = concat!("sampan/", env!("CARGO_PKG_VERSION"));

/// What the account is proved with at first.
pub enum Secret {
    /// A password: proved in full.
    Password(Zeroizing<String>),
    /// The seed of a key that was enrolled by `sampan login`.
    Key(Zeroizing<[u8; 32]>),
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Password(_) => "Password",
            Self::Key(_) => "Key",
        })
    }
}

/// What this process can prove an account with. Grows at the first login, and lives in memory only.
pub(super) struct Credentials {
    pub(super) user: String,
    pub(super) instance: InstanceId,
    /// For this process alone; serves once it is enrolled.
    session_key: LoginKey,
    held: Mutex<Held>,
}

struct Held {
    password: Option<Arc<Zeroizing<String>>>,
    lasting_key: Option<Arc<LoginKey>>,
    scram_keys: Option<ClientKeys>,
    session_enrolled: bool,
}

/// By what a connection was logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LoginBy {
    SessionKey,
    LastingKey,
    Scram,
}

/// A connection that is logged in.
pub(super) struct LoggedIn {
    pub(super) reader: FrameReader,
    pub(super) writer: FrameWriter,
    pub(super) welcome: Welcome,
    pub(super) by: LoginBy,
}

/// Why a login did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LoginError {
    /// As a person should know it; says whether trying again may help.
    Failed(Situation),
    /// The key is not, or no longer, enrolled: another way may do.
    KeyRefused(LoginBy),
    /// The connection broke off.
    Lost,
}

impl Credentials {
    pub(super) fn new(
        user: String,
        secret: Secret,
        session_seed: &[u8; 32],
        instance: InstanceId,
    ) -> Self {
        let (password, lasting_key) = match secret {
            Secret::Password(password) => (Some(Arc::new(password)), None),
            Secret::Key(seed) => (None, Some(Arc::new(LoginKey::from_seed(&seed)))),
        };
        let held = Held { password, lasting_key, scram_keys: None, session_enrolled: false };
        let session_key = LoginKey::from_seed(session_seed);
        Self { user, instance, session_key, held: Mutex::new(held) }
    }

    fn held(&self) -> std::sync::MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The half of the session's key that is enrolled.
    pub(super) fn session_public(&self) -> [u8; 32] {
        self.session_key.public().0
    }

    pub(super) fn set_session_enrolled(&self, enrolled: bool) {
        self.held().session_enrolled = enrolled;
    }

    fn way(&self) -> LoginBy {
        let held = self.held();
        match () {
            () if held.session_enrolled => LoginBy::SessionKey,
            () if held.lasting_key.is_some() => LoginBy::LastingKey,
            () => LoginBy::Scram,
        }
    }

    /// A key that the server does not know serves no longer, if there is another way.
    pub(super) fn give_up(&self, by: LoginBy) -> bool {
        let mut held = self.held();
        match by {
            LoginBy::SessionKey => held.session_enrolled = false,
            LoginBy::LastingKey => held.lasting_key = None,
            LoginBy::Scram => return false,
        }
        held.session_enrolled
            || held.lasting_key.is_some()
            || held.scram_keys.is_some()
            || held.password.is_some()
    }
}

/// Numbers that a login draws.
pub(super) struct LoginNonce(pub(super) [u8; NONCE_BYTES]);

/// Logs `secured` in, within the caller's deadline.
pub(super) async fn log_in(
    secured: Secured,
    credentials: &Credentials,
    nonce: LoginNonce,
) -> Result<LoggedIn, LoginError> {
    let body = HelloBody {
        oldest: PROTOCOL_VERSION,
        newest: PROTOCOL_VERSION,
        agent: AGENT.to_owned(),
        user: credentials.user.clone(),
        instance: credentials.instance,
    };
    let hello = encode_args(&body);
    let by = credentials.way();
    let mut exchange = Exchange { reader: secured.reader, writer: secured.writer, last_id: 0 };
    let welcome = match by {
        LoginBy::SessionKey => {
            by_key(&mut exchange, &credentials.session_key, hello, &secured.exporter, by).await?
        }
        LoginBy::LastingKey => {
            let key = credentials.held().lasting_key.clone();
            let key = key.ok_or(LoginError::KeyRefused(by))?;
            by_key(&mut exchange, &key, hello, &secured.exporter, by).await?
        }
        LoginBy::Scram => {
            by_scram(&mut exchange, credentials, hello, &secured.exporter, nonce).await?
        }
    };
    let Exchange { mut reader, mut writer, .. } = exchange;
    reader.set_limits(FrameLimits::AFTER_LOGIN);
    writer.set_limits(frame_limits(&welcome));
    Ok(LoggedIn { reader, writer, welcome, by })
}

/// What the server takes, never more than the protocol allows.
fn frame_limits(welcome: &Welcome) -> FrameLimits {
    let least = |bytes: u32, most: usize| usize::try_from(bytes).unwrap_or(usize::MAX).min(most);
    FrameLimits {
        header: least(welcome.limits.header_bytes, FrameLimits::AFTER_LOGIN.header),
        body: least(welcome.limits.body_bytes, FrameLimits::AFTER_LOGIN.body),
    }
}

async fn by_key(
    exchange: &mut Exchange,
    key: &LoginKey,
    hello: Vec<u8>,
    exporter: &[u8; 32],
    by: LoginBy,
) -> Result<Welcome, LoginError> {
    let proof = KeyProof {
        public_key: ByteBuf::from(key.public().0.to_vec()),
        signature: ByteBuf::from(key.sign(exporter, &hello).to_vec()),
    };
    let hello = Hello { hello: ByteBuf::from(hello), scram: None, key: Some(proof) };
    let answer = exchange.ask(&hello).await.map_err(|error| match error {
        LoginError::Failed(Situation::LoginRefused) => LoginError::KeyRefused(by),
        other => other,
    })?;
    answer.welcome.ok_or(LoginError::Failed(Situation::NotSampan))
}

async fn by_scram(
    exchange: &mut Exchange,
    credentials: &Credentials,
    hello: Vec<u8>,
    exporter: &[u8; 32],
    nonce: LoginNonce,
) -> Result<Welcome, LoginError> {
    let hash = HelloHash::of(&hello);
    let (login, client_first) =
        ClientLogin::start(&credentials.user, nonce.0, hash).map_err(scram_error)?;
    let hello =
        Hello { hello: ByteBuf::from(hello), scram: Some(ByteBuf::from(client_first)), key: None };
    let answer = exchange.ask(&hello).await?;
    let server_first = answer.challenge.ok_or(LoginError::Failed(Situation::NotSampan))?;
    let challenged =
        login.challenge(&server_first, IterationLimits::PROTOCOL).map_err(scram_error)?;

    let keys = keys_for(credentials, *challenged.challenge()).await?;
    let (proved, client_final) = challenged.finish(keys, exporter).map_err(scram_error)?;
    let answer = exchange.ask(&ScramProof { client_final: ByteBuf::from(client_final) }).await?;
    let authenticated = proved.verify(&answer.server_final).map_err(scram_error)?;

    let mut held = credentials.held();
    held.scram_keys = Some(authenticated.into_keys());
    held.password = None;
    Ok(answer.welcome)
}

/// Keys that answer `challenge`: the kept ones, or derived from the password off the async threads.
async fn keys_for(
    credentials: &Credentials,
    challenge: sampan_protocol::scram::Challenge,
) -> Result<ClientKeys, LoginError> {
    let (kept, password) = {
        let held = credentials.held();
        (held.scram_keys.clone(), held.password.clone())
    };
    if let Some(keys) = kept.filter(|keys| keys.fit(&challenge)) {
        return Ok(keys);
    }
    // Another salt than before: the password was changed.
    let password = password.ok_or(LoginError::Failed(Situation::LoginRefused))?;
    let derived = tokio::task::spawn_blocking(move || derive(&password, &challenge)).await;
    match derived {
        Ok(Ok(keys)) => Ok(keys),
        Ok(Err(NotPreparable)) => Err(LoginError::Failed(Situation::PasswordUnusable)),
        Err(error) => Err(LoginError::Failed(Situation::Unexpected(error.to_string()))),
    }
}

fn scram_error(error: ClientError) -> LoginError {
    LoginError::Failed(match error {
        ClientError::User | ClientError::KeysDoNotFit => Situation::LoginRefused,
        ClientError::Malformed(_) => Situation::NotSampan,
        ClientError::NonceMismatch
        | ClientError::Iterations { .. }
        | ClientError::ServerNotProved => Situation::ServerUnproven,
    })
}

/// Requests one after the other, before anything else may be sent.
struct Exchange {
    reader: FrameReader,
    writer: FrameWriter,
    last_id: u32,
}

impl Exchange {
    async fn ask<R: Request>(&mut self, request: &R) -> Result<R::Answer, LoginError> {
        self.last_id += 1;
        let header = encode_header(RequestId(self.last_id), R::OP, Flags::REQUEST, request);
        self.writer.send(&header, &[]).await.map_err(|_| LoginError::Lost)?;
        self.writer.flush().await.map_err(|_| LoginError::Lost)?;
        let frame = match self.reader.next().await {
            Ok(Some(frame)) => frame,
            Err(ReadError::TooLong(_)) => return Err(LoginError::Failed(Situation::NotSampan)),
            Ok(None) | Err(_) => return Err(LoginError::Lost),
        };
        let not_sampan = |_| LoginError::Failed(Situation::NotSampan);
        let envelope = Envelope::decode(&frame.header).map_err(not_sampan)?;
        if !envelope.flags.is_answer() && envelope.op == Op::GOODBYE {
            return Err(LoginError::Lost);
        }
        if !envelope.flags.is_answer() || envelope.id.0 != self.last_id {
            return Err(LoginError::Failed(Situation::NotSampan));
        }
        if envelope.flags.is_error() {
            let refusal: Refusal = decode_args(envelope.args).map_err(not_sampan)?;
            return Err(match refusal.code {
                ErrorCode::CLOSING => LoginError::Lost,
                _ => LoginError::Failed(refused(&refusal)),
            });
        }
        decode_args(envelope.args).map_err(not_sampan)
    }
}
