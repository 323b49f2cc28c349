//! One connection, from its TLS handshake to its end.
//!
//! ```text
//! accepted ── handshake, login (one deadline) ──▶ logged in ── Goodbye or cut ──▶ closing ─▶ gone
//!     └────────── refused, too late ─────────────────────────────────────────────────┘
//! ```
//!
//! [`login`] lets a peer in. [`serving`] then reads frames and starts a handler for each request
//! ([`dispatch`]); many run at once. Handlers are fed by [`Parts`] and heard through [`Answers`];
//! [`reply`] turns what they came to into the wire's words, and [`writing`] sends it.
//!
//! Invariant: what a session holds is bounded by its account's [`Bounds`](crate::config::Bounds) and
//! the constants here, whatever the peer does; and it ends
//! only after no request of it is waited for.

mod answers;
mod dispatch;
mod login;
mod registry;
mod reply;
mod serving;
mod writing;

use std::net::SocketAddr;
use std::sync::Arc;

use sampan_protocol::transport::{AcceptError, Acceptor};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

pub(crate) use self::answers::{Abandoned, Answer, Answers, Gone, Part, Parts};
use self::login::{LoggedIn, LoginFailed, Why};
pub(crate) use self::registry::{NoRoom, OpenSession, Sessions};
pub(crate) use self::reply::refusal_of_store;
use crate::context::Shared;

/// Why a connection never became a session.
#[derive(Debug, thiserror::Error)]
enum NoSession {
    #[error(transparent)]
    Handshake(#[from] AcceptError),
    #[error(transparent)]
    Login(#[from] LoginFailed),
}

/// Serves one accepted connection to its end. `place` is held until the peer is logged in or gone.
pub(crate) async fn run<P>(
    shared: Arc<Shared>,
    acceptor: Acceptor,
    tcp: TcpStream,
    peer: SocketAddr,
    place: P,
) {
    let deadline = Instant::now() + shared.bounds.login_deadline;
    let login = async {
        let secured = acceptor.accept(tcp).await?;
        Ok::<_, NoSession>(login::log_in(&shared, secured).await?)
    };
    let logged_in = tokio::select! {
        logged_in = timeout_at(deadline, login) => logged_in,
        () = shared.shutdown.begun() => return,
    };
    drop(place);
    match logged_in {
        Ok(Ok(logged_in)) => serve(logged_in).await,
        Ok(Err(error)) => log(peer, &error),
        Err(_) => tracing::info!(%peer, "not logged in in time"),
    }
}

async fn serve(logged_in: LoggedIn) {
    let who = Arc::clone(&logged_in.context.who);
    let span = tracing::info_span!("session", account = %who.name, peer = %who.peer);
    serving::serve(logged_in).instrument(span).await;
}

fn log(peer: SocketAddr, error: &NoSession) {
    match error {
        // Scanners and people who left are not worth a line each.
        NoSession::Handshake(_) | NoSession::Login(LoginFailed::Left | LoginFailed::Read(_)) => {
            tracing::debug!(%peer, "no session: {error}");
        }
        NoSession::Login(LoginFailed::Store(_)) => tracing::error!(%peer, "no session: {error}"),
        // After a restart every client's session key is unknown, and it proves its password next.
        NoSession::Login(LoginFailed::Refused { why: Why::UnknownKey, .. }) => {
            tracing::debug!(%peer, "login refused: {error}");
        }
        NoSession::Login(_) => tracing::info!(%peer, "login refused: {error}"),
    }
}
