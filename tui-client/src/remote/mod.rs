//! The server, as the rest of the client sees it: a pool of equal connections with one typed face.
//!
//! The first contact's errors go to whoever asked for it. From then on the pool logs in again by
//! itself: calls whose answer was lost are sent again (all of them may be repeated; changes carry
//! their key), and callers see a pause. The first connection carries no bulk; lanes for bulk are
//! connections of their own, and whoever moves blocks over one is told when it breaks, since he must
//! ask what arrived.
//!
//! Invariant: no caller sees an answer of a server that did not prove itself; no password is kept
//! beyond the first login.

mod asked;
mod backoff;
mod browse;
mod change_keys;
mod connection;
mod failed;
mod first_contact;
mod link;
mod login;
mod supervisor;

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use rand::RngExt;
use sampan_protocol::message::{Change, Limits, Request};
use sampan_protocol::transport::Trust;
use sampan_protocol::{ChangeKey, InstanceId, RemotePath};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

pub use asked::{AskedResults, AskedRow, Frames};
pub use browse::{ListStep, Listing};
pub use change_keys::OpenChange;
pub use connection::{Answers, Call, Patience, Session};
pub use failed::{CallError, refused};
pub use first_contact::{Identity, identify};
pub use link::LinkState;
pub use login::Secret;

use self::change_keys::ChangeKeys;
use self::login::Credentials;
use self::supervisor::{Common, SlotState, establish, supervise};
use crate::address::Account;
use crate::failure::Failure;

/// How long a first contact may take, if nothing else is said.
pub const FIRST_CONTACT: Duration = Duration::from_secs(10);
/// How long a lost link is tried again without success, if nothing else is said.
pub const RETRY_FOR: Duration = Duration::from_mins(10);
/// How long bulk waits for a lane of its own while the first connection is there.
const LANE_PATIENCE: Duration = Duration::from_secs(3);
/// How long bulk then goes over the first connection before a lane is waited for again.
const WITHOUT_LANES: Duration = Duration::from_secs(30);
/// How long an orderly end may take before connections are just dropped.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// Whom to reach, and how patiently.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The account.
    pub account: Account,
    /// Which server is the right one.
    pub trust: Trust,
    /// Where the expected key was found, for messages: file and line, or the option.
    pub stored: String,
    /// For each try to connect and log in.
    pub timeout: Duration,
    /// How long a lost link is tried again.
    pub retry_for: RetryFor,
    /// How much silence of a connection is borne before it counts as lost.
    pub patience: Patience,
}

/// How long a lost link is tried again without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryFor {
    /// So long; zero is not at all.
    For(Duration),
    /// Until it works.
    Forever,
}

impl RetryFor {
    /// Whether there was no progress since `progress` for as long as the person wants to wait; with
    /// no wait at all, at once.
    fn is_over(self, progress: Instant) -> bool {
        match self {
            Self::For(limit) => progress.elapsed() >= limit,
            Self::Forever => false,
        }
    }
}

/// The account's home on its server. Clones share the connections.
#[derive(Clone)]
pub struct Remote {
    pool: Arc<Pool>,
}

struct Pool {
    common: Arc<Common>,
    changes: Arc<ChangeKeys>,
    limits: Limits,
    round_trip: Duration,
    link: watch::Receiver<LinkState>,
    control: Lane,
    bulk: Mutex<Vec<Lane>>,
    /// Until when no lane is waited for, since none came.
    without_lanes: Mutex<Option<Instant>>,
    /// Owns every supervisor; dropping it ends them.
    tasks: Mutex<JoinSet<()>>,
}

/// One place of the pool.
#[derive(Clone)]
pub struct Lane {
    state: watch::Receiver<SlotState>,
    retry_for: RetryFor,
}

impl Lane {
    /// The session, as soon as there is one.
    pub async fn session(&self) -> Result<Session, CallError> {
        let mut state = self.state.clone();
        loop {
            match &*state.borrow_and_update() {
                SlotState::Live(session) if !session.is_over() => return Ok(session.clone()),
                SlotState::Down(failure) => return Err(CallError::Down(failure.clone())),
                SlotState::Live(_) | SlotState::Waiting => {}
            }
            if state.changed().await.is_err() {
                return Err(CallError::Lost);
            }
        }
    }

    /// Whether it was given up.
    fn is_down(&self) -> bool {
        matches!(&*self.state.borrow(), SlotState::Down(_))
    }

    /// The session, if there is one now.
    fn live(&self) -> Option<Session> {
        match &*self.state.borrow() {
            SlotState::Live(session) if !session.is_over() => Some(session.clone()),
            _ => None,
        }
    }
}

impl Remote {
    /// Makes the first contact: its errors are the caller's.
    pub async fn connect(endpoint: Endpoint, secret: Secret) -> Result<Self, Failure> {
        let user = endpoint.account.user.clone();
        let instance = InstanceId(rand::rng().random());
        let seed = zeroize::Zeroizing::new(rand::rng().random::<[u8; 32]>());
        let common = Arc::new(Common {
            endpoint,
            credentials: Credentials::new(user, secret, &seed, instance),
            hurry: watch::Sender::new(0),
            closed: watch::Sender::new(false),
        });
        let established = establish(&common).await?;
        let retry_for = common.endpoint.retry_for;
        let limits = established.logged_in.welcome.limits;
        let round_trip = established.round_trip;

        let (link_sender, link) = watch::channel(LinkState::Live { round_trip });
        let (state_sender, state) = watch::channel(SlotState::Waiting);
        let mut tasks = JoinSet::new();
        let control =
            supervise(Arc::clone(&common), Some(established), state_sender, Some(link_sender));
        tasks.spawn(control);
        Ok(Self {
            pool: Arc::new(Pool {
                common,
                changes: Arc::new(ChangeKeys::new(instance)),
                limits,
                round_trip,
                link,
                control: Lane { state, retry_for },
                bulk: Mutex::default(),
                without_lanes: Mutex::default(),
                tasks: Mutex::new(tasks),
            }),
        })
    }

    /// Whose home this is.
    pub fn account(&self) -> &Account {
        &self.pool.common.endpoint.account
    }

    /// How long anything is tried again without success.
    pub fn retry_for(&self) -> RetryFor {
        self.pool.common.endpoint.retry_for
    }

    /// What the server takes.
    pub fn limits(&self) -> &Limits {
        &self.pool.limits
    }

    /// How long the first exchange took: an upper bound of a round trip.
    pub fn round_trip(&self) -> Duration {
        self.pool.round_trip
    }

    /// How the link is, now and from now on.
    pub fn link(&self) -> watch::Receiver<LinkState> {
        self.pool.link.clone()
    }

    /// Tries to reconnect at once instead of at the planned time.
    pub fn retry_now(&self) {
        self.pool.common.hurry.send_modify(|count| *count += 1);
    }

    /// The connection that stays free of bulk.
    pub fn control(&self) -> Lane {
        self.pool.control.clone()
    }

    /// A connection for bulk, counted from 0; made when it is first asked for, and made anew if it
    /// was given up while the server is there.
    pub fn lane(&self, index: usize) -> Lane {
        let is_resting = self.is_without_lanes();
        let mut bulk = self.pool.bulk.lock().unwrap_or_else(PoisonError::into_inner);
        while bulk.len() <= index {
            bulk.push(self.new_lane());
        }
        if bulk[index].is_down() && !is_resting && self.pool.control.live().is_some() {
            bulk[index] = self.new_lane();
        }
        bulk[index].clone()
    }

    fn new_lane(&self) -> Lane {
        let (sender, state) = watch::channel(SlotState::Waiting);
        let task = supervise(Arc::clone(&self.pool.common), None, sender, None);
        let mut tasks = self.pool.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        // What has ended is awaited here: nothing else would.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(task);
        Lane { state, retry_for: self.retry_for() }
    }

    fn is_without_lanes(&self) -> bool {
        let until = *self.pool.without_lanes.lock().unwrap_or_else(PoisonError::into_inner);
        until.is_some_and(|until| Instant::now() < until)
    }

    fn rest_from_lanes(&self) {
        let until = Instant::now() + WITHOUT_LANES;
        *self.pool.without_lanes.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
    }

    /// A session for bulk on any of the first `lanes` lanes, from `first` on. A server that takes
    /// fewer connections than were meant must hold nothing up: if it takes no lane at all, bulk goes
    /// where everything else does.
    pub async fn bulk_session(&self, lanes: usize, first: usize) -> Result<Session, CallError> {
        let lanes = lanes.max(1);
        let ring: Vec<Lane> = (0..lanes).map(|step| self.lane((first + step) % lanes)).collect();
        loop {
            if let Some(session) = ring.iter().find_map(Lane::live) {
                return Ok(session);
            }
            if self.is_without_lanes()
                && let Some(session) = self.pool.control.live()
            {
                return Ok(session);
            }
            // Whatever changes first; when the pool as a whole is down, so is this.
            let mut changes: FuturesUnordered<_> = ring
                .iter()
                .map(|lane| lane.state.clone())
                .chain([self.pool.control.state.clone()])
                .map(|mut state| {
                    state.mark_unchanged();
                    async move { state.changed().await.is_ok() }
                })
                .collect();
            if let SlotState::Down(failure) = &*self.pool.control.state.borrow() {
                return Err(CallError::Down(failure.clone()));
            }
            if ring.iter().any(|lane| lane.live().is_some()) {
                continue;
            }
            let next = async { while changes.next().await == Some(false) {} };
            if tokio::time::timeout(LANE_PATIENCE, next).await.is_err()
                && let Some(session) = self.pool.control.live()
            {
                self.rest_from_lanes();
                return Ok(session);
            }
        }
    }

    /// Whether there will be no connection any more.
    pub fn is_down(&self) -> bool {
        self.pool.control.is_down()
    }

    /// A path in the home as people see it.
    pub fn show(&self, path: &RemotePath) -> String {
        self.account().show(path)
    }

    /// Asks for an answer of one frame, again after each loss of the link.
    pub async fn call<R: Request + Sync>(&self, request: &R) -> Result<R::Answer, CallError> {
        self.persist(|session| async move { session.call(request).await }).await
    }

    /// Carries a change out once, however often it must be sent.
    pub async fn change<R: Change + Sync>(
        &self,
        make: impl FnOnce(ChangeKey) -> R,
    ) -> Result<R::Answer, CallError> {
        let change = self.begin_change();
        self.call(&make(change.key())).await
    }

    /// A key for a change that the caller sends himself. Held until nobody sends it again.
    pub fn begin_change(&self) -> OpenChange {
        self.pool.changes.begin()
    }

    /// Repeats `attempt` on the control connection while the link is lost under it.
    pub async fn persist<T, F>(&self, attempt: impl Fn(Session) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        persist_on(&self.pool.control, attempt).await
    }

    /// Says goodbye on every connection and waits for their ends.
    pub async fn close(&self) {
        self.pool.common.closed.send_replace(true);
        let mut tasks =
            std::mem::take(&mut *self.pool.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        let all = async { while tasks.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSE_WITHIN, all).await.is_err() {
            tasks.shutdown().await;
        }
    }
}

/// Repeats `attempt` on `lane` while its connection is lost under it, or the server asks to come
/// again.
pub async fn persist_on<T, F>(lane: &Lane, attempt: impl Fn(Session) -> F) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    persist(lane.retry_for, || lane.session(), attempt).await
}

/// The same on whatever session `choose` gives for each attempt, for `retry_for` without progress:
/// connections over which nothing is ever answered, and a server that is always busy, come to an
/// end as a link that stays lost does.
pub async fn persist<T, F, C>(
    retry_for: RetryFor,
    choose: impl Fn() -> C,
    attempt: impl Fn(Session) -> F,
) -> Result<T, CallError>
where
    C: Future<Output = Result<Session, CallError>>,
    F: Future<Output = Result<T, CallError>>,
{
    let mut fruitless_since = None;
    loop {
        let session = choose().await?;
        let error = match attempt(session.clone()).await {
            Err(error) if error.may_pass() => error,
            other => return other,
        };
        if error == CallError::Lost && session.was_of_use() {
            fruitless_since = None;
            continue;
        }
        let since = *fruitless_since.get_or_insert_with(Instant::now);
        if retry_for.is_over(since) {
            return Err(error);
        }
        if let CallError::Refused(refusal) = error {
            let wait = refusal.retry_after_ms.unwrap_or(200).min(10_000);
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    }
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("account", self.account()).finish_non_exhaustive()
    }
}
