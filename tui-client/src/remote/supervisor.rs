//! Keeps one place of the pool connected.
//!
//! ```text
//!            connect, log in                     lost
//! Waiting ───────────────────▶ Live ──────────────────────▶ Waiting …
//!    │  no try may help, or retry-for is over
//!    └──────────────────────────────────────▶ Down
//! ```
//!
//! What is given up after `retry-for` is a link without progress: a server that lets in and drops
//! again and again makes none.
//!
//! Invariant: a session that is published is logged in; after `Down` nothing is tried any more.

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use sampan_protocol::escape::escaped_text;
use sampan_protocol::message::{EnrolKey, GoodbyeReason, KeyLife};
use sampan_protocol::transport::{Target, connect};
use serde_bytes::ByteBuf;
use tokio::sync::watch;
use tokio::time::Instant;

use super::Endpoint;
use super::backoff::Backoff;
use super::connection::{Ended, GOODBYE_WITHIN, Health, Session, connection};
use super::failed::{may_pass, not_connected};
use super::link::LinkState;
use super::login::{Credentials, LoggedIn, LoginBy, LoginError, LoginNonce, log_in};
use crate::failure::{Failure, Situation};

/// A connection that lived so long was a good one.
const STEADY: Duration = Duration::from_secs(5);

/// How one place of the pool is.
#[derive(Clone)]
pub(super) enum SlotState {
    /// No connection now; another try comes.
    Waiting,
    /// Logged in.
    Live(Session),
    /// For good.
    Down(Failure),
}

/// What all places of a pool share.
pub(super) struct Common {
    pub(super) endpoint: Endpoint,
    pub(super) credentials: Credentials,
    /// The person does not want to wait for the next try.
    pub(super) hurry: watch::Sender<u64>,
    pub(super) closed: watch::Sender<bool>,
}

/// A login and how long its first exchange took.
pub(super) struct Established {
    pub(super) logged_in: LoggedIn,
    pub(super) round_trip: Duration,
}

/// Connects and logs in once, within the endpoint's timeout; tries another way to log in if a key
/// is not known any more.
pub(super) async fn establish(common: &Common) -> Result<Established, Failure> {
    let Endpoint { account, trust, stored, timeout, .. } = &common.endpoint;
    let failed = |situation| Failure::new(situation, &account.server);
    let target = Target { host: account.server.host.clone(), port: account.server.port };
    let attempt = async {
        loop {
            let connected = connect(&target, trust, *timeout)
                .await
                .map_err(|error| failed(not_connected(&error, *timeout, stored)))?;
            let began = Instant::now();
            let nonce = LoginNonce(rand::rng().random());
            match log_in(connected.secured, &common.credentials, nonce).await {
                Ok(logged_in) => {
                    return Ok(Established { logged_in, round_trip: began.elapsed() });
                }
                Err(LoginError::KeyRefused(by)) if common.credentials.give_up(by) => {}
                Err(LoginError::KeyRefused(_)) => {
                    return Err(Failure::new(Situation::KeyRefused, account));
                }
                Err(LoginError::Failed(
                    situation @ (Situation::LoginRefused | Situation::PasswordUnusable),
                )) => return Err(Failure::new(situation, account)),
                Err(LoginError::Failed(situation)) => return Err(failed(situation)),
                Err(LoginError::Lost) => {
                    let text = "it closed the connection during the login".to_owned();
                    return Err(failed(Situation::Unreachable(text)));
                }
            }
        }
    };
    tokio::time::timeout(*timeout, attempt)
        .await
        .unwrap_or_else(|_| Err(failed(Situation::TimedOut(*timeout))))
}

/// One place of the pool, until it is down or the pool is closed. `link` is told how it is, by the
/// place that stands for the pool.
pub(super) async fn supervise(
    common: Arc<Common>,
    first: Option<Established>,
    state: watch::Sender<SlotState>,
    link: Option<watch::Sender<LinkState>>,
) {
    let mut closed = common.closed.subscribe();
    let mut keeping = std::pin::pin!(keep_connected(&common, first, &state, link.as_ref()));
    let is_closed = async { closed.wait_for(|closed| *closed).await.is_ok() };
    let kept = tokio::select! {
        failure = &mut keeping => Some(failure),
        _ = is_closed => None,
    };
    let failure = if let Some(failure) = kept {
        failure
    } else {
        let current = state.borrow().clone();
        if let SlotState::Live(session) = current {
            session.close();
            // It is in there that the connection says goodbye.
            let _ = tokio::time::timeout(GOODBYE_WITHIN, keeping).await;
        }
        interrupted(&common)
    };
    if let Some(link) = &link {
        link.send_replace(LinkState::Down { reason: failure.clone() });
    }
    state.send_replace(SlotState::Down(failure));
}

fn interrupted(common: &Common) -> Failure {
    Failure::new(Situation::Interrupted, &common.endpoint.account.server)
}

async fn keep_connected(
    common: &Common,
    first: Option<Established>,
    state: &watch::Sender<SlotState>,
    link: Option<&watch::Sender<LinkState>>,
) -> Failure {
    let mut established = first;
    let mut backoff = Backoff::default();
    let mut progress = Instant::now();
    loop {
        let now = match established.take() {
            Some(established) => established,
            None => match reconnect(common, &mut backoff, progress, link).await {
                Ok(established) => established,
                Err(failure) => return failure,
            },
        };
        let began = Instant::now();
        let (ended, was_of_use) = live(common, now, state, link).await;
        state.send_replace(SlotState::Waiting);
        tracing::debug!(?ended, "connection ended");
        if *common.closed.borrow() {
            return interrupted(common);
        }
        if let Ended::Goodbye(goodbye) = &ended
            && goodbye.reason == GoodbyeReason::SessionEnded
        {
            // The key went with the session; the next login proves the password again.
            common.credentials.set_session_enrolled(false);
        }
        if !was_of_use && let Some(situation) = fault(&ended) {
            // The next connection would end like this one.
            return Failure::new(situation, &common.endpoint.account.server);
        }
        let was_steady = began.elapsed() >= STEADY;
        if was_steady || was_of_use {
            progress = Instant::now();
            backoff.reset();
        }
        let lost = Failure::new(Situation::LinkLost, &common.endpoint.account.server);
        if common.endpoint.retry_for.is_over(progress) {
            return lost;
        }
        if let Some(link) = link {
            let next = std::time::Instant::now();
            link.send_replace(LinkState::Reconnecting { attempt: 1, next, reason: lost });
        }
        if let Ended::Goodbye(goodbye) = ended
            && let Some(wait) = goodbye.retry_after_ms
        {
            hurried_sleep(common, Duration::from_millis(wait.min(10_000))).await;
        }
        if !was_steady {
            let wait = backoff.next(rand::rng().random());
            hurried_sleep(common, wait).await;
        }
    }
}

/// Whether one side did not keep to the protocol.
fn fault(ended: &Ended) -> Option<Situation> {
    match ended {
        Ended::Broken(noticed) => Some(Situation::ProtocolBroken(Some(escaped_text(noticed)))),
        Ended::Goodbye(goodbye) if goodbye.reason == GoodbyeReason::ProtocolError => {
            Some(Situation::ProtocolBroken(None))
        }
        _ => None,
    }
}

/// Publishes a session and runs it to its end.
async fn live(
    common: &Common,
    established: Established,
    state: &watch::Sender<SlotState>,
    link: Option<&watch::Sender<LinkState>>,
) -> (Ended, bool) {
    let Established { logged_in, round_trip } = established;
    let LoggedIn { reader, writer, welcome, by } = logged_in;
    // The connection that stands for the pool is watched closely; the others only must not bore the
    // server.
    let idle = Duration::from_secs(welcome.limits.idle_seconds.into()) / 3;
    let patience = match link {
        Some(_) => common.endpoint.patience,
        None => common.endpoint.patience.of_idle(idle),
    };
    let (session, driver) = connection(reader, writer, patience);
    state.send_replace(SlotState::Live(session.clone()));
    let beside = async {
        if by == LoginBy::Scram {
            enrol(common, &session).await;
            session.begin_of_use();
        }
        if let Some(link) = link {
            show_link(link, session.health(), round_trip, patience.silent).await;
        }
        std::future::pending::<()>().await;
    };
    let ended = tokio::select! {
        ended = driver.run() => ended,
        () = beside => Ended::Closed,
    };
    (ended, session.was_of_use())
}

/// Lets this process log in by its key from now on. A server that does not is met by SCRAM again.
async fn enrol(common: &Common, session: &Session) {
    let public_key = ByteBuf::from(common.credentials.session_public().to_vec());
    let request = EnrolKey { public_key, life: KeyLife::Session, label: String::new() };
    match session.call(&request).await {
        Ok(_) => common.credentials.set_session_enrolled(true),
        Err(error) => tracing::debug!(?error, "no session key"),
    }
}

/// Tells how a live connection is, as often as that changes and no more.
async fn show_link(
    link: &watch::Sender<LinkState>,
    mut health: watch::Receiver<Health>,
    measured: Duration,
    silent_after: Duration,
) {
    loop {
        let Health { heard, round_trip } = *health.borrow_and_update();
        let silent_at = heard + silent_after;
        if Instant::now() < silent_at {
            let round_trip = round_trip.unwrap_or(measured);
            link.send_if_modified(|link| {
                let next = LinkState::Live { round_trip };
                let changed = *link != next;
                *link = next;
                changed
            });
            tokio::time::sleep_until(silent_at).await;
        } else {
            link.send_replace(LinkState::Silent { since: heard.into_std() });
            if health.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Tries until a connection stands, or until there is no more use in it; `progress` is when there
/// was some last.
async fn reconnect(
    common: &Common,
    backoff: &mut Backoff,
    progress: Instant,
    link: Option<&watch::Sender<LinkState>>,
) -> Result<Established, Failure> {
    loop {
        match establish(common).await {
            Ok(established) => return Ok(established),
            Err(failure) if !may_pass(&failure.situation) => return Err(failure),
            Err(reason) => {
                if common.endpoint.retry_for.is_over(progress) {
                    return Err(Failure::new(Situation::LinkLost, reason.subject));
                }
                let attempt = backoff.attempt();
                let wait = backoff.next(rand::rng().random());
                tracing::debug!(?reason, attempt, ?wait, "no connection yet");
                if let Some(link) = link {
                    let next = std::time::Instant::now() + wait;
                    let attempt = attempt + 1;
                    link.send_replace(LinkState::Reconnecting { attempt, next, reason });
                }
                hurried_sleep(common, wait).await;
            }
        }
    }
}

async fn hurried_sleep(common: &Common, wait: Duration) {
    let mut hurry = common.hurry.subscribe();
    tokio::select! {
        () = tokio::time::sleep(wait) => {}
        // The sender lives in `common`.
        _ = hurry.changed() => {}
    }
}
