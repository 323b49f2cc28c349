//! From a secured connection to a session: who is it?
//!
//! ```text
//!                 ┌─ key ──── signature, then enrolled? ─────────────┐
//! Hello ── version┤                                                  ├─ room? ─ Welcome
//!                 └─ scram ── challenge ── ScramProof ── proof ──────┘
//! ```
//!
//! Whatever fails, the peer is told one thing, `LOGIN_REFUSED`; the log says which. An unknown user
//! gets the same steps as a known one (HARDENING S19). Frames behind the proof stay in the reader,
//! unread, until it is verified; before that nothing but [`allowed_before_login`] is looked at (S23).
//!
//! The deadline over all of this is the caller's (S9).
//!
//! Invariant: a [`LoggedIn`] exists only after a proof, and its session is registered before the
//! account's generation is read for the last time, so that no new password can slip between.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use sampan_protocol::escape::escaped_text;
use sampan_protocol::frame::Frame;
use sampan_protocol::limits::{
    MAX_FRAME_BYTES, MAX_PACK_BYTES, MAX_PACK_MEMBERS, PROTOCOL_VERSION,
};
use sampan_protocol::login_key::PublicKey;
use sampan_protocol::message::{
    GoodbyeReason, Hello, HelloAnswer, HelloBody, KeyProof, Limits, Op, Request, ScramAnswer,
    ScramProof, Welcome, allowed_before_login,
};
use sampan_protocol::scram::{HelloHash, LoginRefused, NONCE_BYTES, ServerLogin, Verifier};
use sampan_protocol::transport::{FrameReader, FrameWriter, ReadError, Secured, WriteError};
use sampan_protocol::wire::{DecodeError, Envelope, Flags, decode_args, encode_header};
use sampan_protocol::{RequestId, Timestamp};
use serde::Serialize;
use serde_bytes::ByteBuf;
use tokio::time::timeout;

use super::reply::refusal_of_login;
use super::writing::{goodbye, goodbye_header};
use super::{NoRoom, OpenSession};
use crate::account::{AccountName, KnownKey, Origin, PASSWORD_ITERATIONS};
use crate::context::{Context, Shared, Who};
use crate::store::{Account, AccountId, EnrolledKey, StoreError};

/// No account has this id.
const NOBODY: AccountId = AccountId(0);

/// A key's last use is written down at most this often, in seconds.
const KEY_USE_GRAIN: i64 = 60;

/// How long a refused peer gets to read why.
const LINGER: Duration = Duration::from_millis(500);

/// What calls itself so in welcomes.
const AGENT: &str = concat!("sampand/", env!("CARGO_PKG_VERSION"));

/// A session that may begin.
pub(super) struct LoggedIn {
    pub(super) reader: FrameReader,
    pub(super) writer: FrameWriter,
    pub(super) context: Context,
    pub(super) open: OpenSession,
}

/// Why there is no session. Each is logged once, by the caller.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoginFailed {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The peer left before it had said anything worth a line.
    #[error("the peer left")]
    Left,
    #[error("the peer sent no frame of ours: {0}")]
    Malformed(#[from] DecodeError),
    #[error("the hello is malformed: {0}")]
    BadHello(&'static str),
    #[error("{0:?} before login")]
    LoginRequired(Op),
    #[error("the peer speaks versions {oldest} to {newest}")]
    Version { oldest: u16, newest: u16 },
    #[error("user `{}`: {why}", escaped_text(.user))]
    Refused { user: String, why: Why },
    #[error("user `{}`: too many tries", escaped_text(.user))]
    Throttled { user: String, wait_ms: u64 },
    #[error("user `{}`: {why}", escaped_text(.user))]
    NoRoom { user: String, why: NoRoom },
    #[error("the store failed: {0}")]
    Store(#[from] StoreError),
}

/// Why a login is refused: for the log only.
#[derive(Debug, thiserror::Error)]
pub(super) enum Why {
    #[error(transparent)]
    Scram(#[from] LoginRefused),
    #[error("the hello names another user than the proof")]
    OtherUser,
    #[error("the key's signature is wrong")]
    Signature,
    #[error("the key is not enrolled, or there is no such account")]
    UnknownKey,
    #[error("the password was changed meanwhile")]
    Outdated,
}

/// Carries the login out. If it fails, the peer has been told what it may know.
pub(super) async fn log_in(
    shared: &Arc<Shared>,
    secured: Secured,
) -> Result<LoggedIn, LoginFailed> {
    let Secured { reader, writer, exporter, peer } = secured;
    let origin = Origin::from(peer.ip());
    let mut login = Login { shared, reader, writer, exporter, origin, answering: None };
    match login.proceed().await {
        Ok(Admitted { account, name, open }) => {
            let who = Who { account: account.id, name, generation: account.generation, peer };
            let context = Context::new(Arc::clone(shared), who);
            Ok(LoggedIn { reader: login.reader, writer: login.writer, context, open })
        }
        Err(error) => {
            login.tell(&error).await;
            Err(error)
        }
    }
}

struct Login<'a> {
    shared: &'a Arc<Shared>,
    reader: FrameReader,
    writer: FrameWriter,
    exporter: [u8; 32],
    origin: Origin,
    /// The request that a refusal would answer.
    answering: Option<(RequestId, Op)>,
}

struct Admitted {
    account: Account,
    name: AccountName,
    open: OpenSession,
}

impl Login<'_> {
    async fn proceed(&mut self) -> Result<Admitted, LoginFailed> {
        let hello: Hello = self.next().await?;
        let body: HelloBody = decode_args(&hello.hello)?;
        if !(body.oldest..=body.newest).contains(&PROTOCOL_VERSION) {
            let HelloBody { oldest, newest, .. } = body;
            return Err(LoginFailed::Version { oldest, newest });
        }
        match (hello.scram, hello.key) {
            (Some(first), None) => self.by_password(&hello.hello, &body, &first).await,
            (None, Some(proof)) => self.by_key(&hello.hello, &body, &proof).await,
            (Some(_), Some(_)) => Err(LoginFailed::BadHello("two proofs")),
            (None, None) => Err(LoginFailed::BadHello("no proof")),
        }
    }

    /// SCRAM-SHA-256-PLUS.
    async fn by_password(
        &mut self,
        hello: &[u8],
        body: &HelloBody,
        client_first: &[u8],
    ) -> Result<Admitted, LoginFailed> {
        let refused = |why: Why| LoginFailed::Refused { user: body.user.clone(), why };
        let login = ServerLogin::start(client_first, HelloHash::of(hello))
            .map_err(|error| refused(error.into()))?;
        let user = login.user().to_owned();
        let name = AccountName::prepare(&body.user).ok();
        if name.as_ref().is_some_and(|name| name.as_str() != user) {
            return Err(refused(Why::OtherUser));
        }
        let shared = self.shared;
        let attempt = shared.throttle.begin(&user, self.origin).await.map_err(|wait| {
            let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            LoginFailed::Throttled { user: user.clone(), wait_ms }
        })?;

        // A name that no account can have takes the same way.
        let account = self.shared.accounts.find(&user).await?.filter(|known| !known.disabled);
        let verifier = match &account {
            Some(account) => account.verifier.clone(),
            None => Verifier::made_up(&self.shared.login_secret, &user, PASSWORD_ITERATIONS),
        };
        let (challenged, challenge) = login.challenge(verifier, nonce());
        let challenge = Some(ByteBuf::from(challenge));
        self.answer(&HelloAnswer { version: PROTOCOL_VERSION, challenge, welcome: None }).await?;

        let proof: ScramProof = self.next().await?;
        let accepted = match challenged.finish(&proof.client_final, &self.exporter) {
            Ok(accepted) => accepted,
            Err(error) => {
                attempt.failed();
                return Err(refused(error.into()));
            }
        };
        let (Some(account), Some(name)) = (account, name) else {
            attempt.failed();
            return Err(refused(Why::Scram(LoginRefused::NotProved)));
        };
        attempt.succeeded();
        let admitted = self.admit(account, name).await?;
        let welcome = self.welcome(&admitted.name);
        let server_final = ByteBuf::from(accepted.into_server_final());
        self.answer(&ScramAnswer { server_final, welcome }).await?;
        Ok(admitted)
    }

    /// One signature. The signature is checked first, with the key that was offered: who does not
    /// hold that key learns nothing, and all others cost the same.
    async fn by_key(
        &mut self,
        hello: &[u8],
        body: &HelloBody,
        proof: &KeyProof,
    ) -> Result<Admitted, LoginFailed> {
        let refused = |why: Why| LoginFailed::Refused { user: body.user.clone(), why };
        let public = PublicKey::from_bytes(&proof.public_key)
            .filter(|key| key.verify(&self.exporter, hello, &proof.signature).is_ok())
            .ok_or_else(|| refused(Why::Signature))?;
        let unknown = || refused(Why::UnknownKey);
        let name = AccountName::prepare(&body.user).map_err(|_| unknown())?;
        let account = self.shared.accounts.find(name.as_str()).await?;
        let Some(account) = account.filter(|known| !known.disabled) else {
            // As many questions as for an account that is there: its time says nothing.
            self.shared.accounts.keys(NOBODY).await?;
            return Err(unknown());
        };

        let known = KnownKey { public, generation: account.generation };
        if !self.shared.session_keys.holds(account.id, known) {
            let keys = self.shared.accounts.keys(account.id).await?;
            let key = keys.iter().find(|key| key.public_key == public.0).ok_or_else(unknown)?;
            self.note_use(&account, key).await?;
        }
        let admitted = self.admit(account, name).await?;
        let welcome = Some(self.welcome(&admitted.name));
        self.answer(&HelloAnswer { version: PROTOCOL_VERSION, challenge: None, welcome }).await?;
        Ok(admitted)
    }

    async fn note_use(&self, account: &Account, key: &EnrolledKey) -> Result<(), StoreError> {
        let now = Timestamp::from(SystemTime::now());
        let is_fresh = |used: Timestamp| now.seconds() - used.seconds() < KEY_USE_GRAIN;
        if key.used.is_some_and(is_fresh) {
            return Ok(());
        }
        self.shared.accounts.key_used(account.id, key.public_key, now).await
    }

    /// Finds room, then looks whether the account is still what the proof was made for.
    async fn admit(&self, account: Account, name: AccountName) -> Result<Admitted, LoginFailed> {
        let user = || account.name.clone();
        let open = self
            .shared
            .sessions
            .open(account.id, &self.shared.bounds)
            .map_err(|why| LoginFailed::NoRoom { user: user(), why })?;
        let now = self.shared.accounts.find(&account.name).await?;
        let same = |now: &Account| {
            now.id == account.id && now.generation == account.generation && !now.disabled
        };
        if !now.as_ref().is_some_and(same) {
            return Err(LoginFailed::Refused { user: user(), why: Why::Outdated });
        }
        Ok(Admitted { account, name, open })
    }

    fn welcome(&self, name: &AccountName) -> Welcome {
        let bounds = &self.shared.bounds;
        let narrow = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Welcome {
            account: name.to_string(),
            agent: AGENT.to_owned(),
            durability: self.shared.durability(),
            limits: Limits {
                header_bytes: narrow(MAX_FRAME_BYTES),
                body_bytes: narrow(MAX_FRAME_BYTES),
                requests: bounds.requests,
                connections: bounds.connections_per_account,
                pack_members: narrow(MAX_PACK_MEMBERS),
                pack_bytes: MAX_PACK_BYTES,
                idle_seconds: u32::try_from(bounds.idle.as_secs()).unwrap_or(u32::MAX),
            },
        }
    }

    /// The next frame, which must be a whole request of type `R`.
    async fn next<R: Request>(&mut self) -> Result<R, LoginFailed> {
        self.answering = None;
        let frame: Frame = self.reader.next().await?.ok_or(LoginFailed::Left)?;
        let Envelope { id, op, flags, args } = Envelope::decode(&frame.header)?;
        self.answering = Some((id, op));
        if !allowed_before_login(op) {
            return Err(LoginFailed::LoginRequired(op));
        }
        if op == Op::GOODBYE {
            self.answering = None;
            return Err(LoginFailed::Left);
        }
        if op != R::OP || flags.is_answer() || !flags.is_last() {
            return Err(LoginFailed::BadHello("steps out of order"));
        }
        Ok(decode_args(args)?)
    }

    async fn answer<T: Serialize>(&mut self, args: &T) -> Result<(), WriteError> {
        let (id, op) = self.answering.unwrap_or((RequestId::UNASKED, Op::HELLO));
        self.writer.send(&encode_header(id, op, Flags::LAST_ANSWER, args), &[]).await?;
        self.writer.flush().await
    }

    /// Tells the peer and closes, once it has read that or after a little while.
    async fn tell(mut self, error: &LoginFailed) {
        let header = match (refusal_of_login(error), self.answering) {
            (Some(refusal), Some((id, op))) => encode_header(id, op, Flags::REFUSAL, &refusal),
            (Some(_), None) => goodbye_header(goodbye(GoodbyeReason::ProtocolError)),
            (None, _) => return,
        };
        let told = async {
            self.writer.send(&header, &[]).await?;
            self.writer.close().await
        };
        if let Err(error) = told.await {
            tracing::debug!("the refusal was not delivered: {error}");
            return;
        }
        // A socket that is closed over unread bytes throws away what was sent.
        let read_on = async { while let Ok(Some(_)) = self.reader.next().await {} };
        if timeout(LINGER, read_on).await.is_err() {
            tracing::debug!("the refused peer did not close");
        }
    }
}

fn nonce() -> [u8; NONCE_BYTES] {
    rand::random()
}
