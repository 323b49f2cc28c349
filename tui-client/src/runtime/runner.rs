//! Does what the state wants done, each in a task of its own, and owns them all.
//!
//! Invariant: no effect blocks the loop, and every task is ended and awaited before the runner is
//! gone.

use std::path::PathBuf;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::change::{self, Hands};
use super::connect;
use super::listing::{self, Asked};
use super::queue::Queue;
use super::session::{Begun, Session};
use crate::app::connection::AttemptId;
use crate::app::effect::Effect;
use crate::app::event::{ConnectOutcome, Event};
use crate::app::order::Order;
use crate::app::pane::{Generation, PaneId};
use crate::failure::{Failure, Situation};
use crate::place::Location;
use crate::remote::Remote;
use crate::state::State;
use crate::transfer::Command;

/// What tasks and listeners tell the loop.
#[derive(Debug)]
pub(super) enum Report {
    /// For the state.
    Event(Event),
    /// An attempt worked out; the runner takes the connection over.
    Connected { attempt: AttemptId, remote: Remote, queue: Queue },
    /// A signal, or the terminal went away.
    Stopped,
}

/// Does effects.
pub(super) struct Runner {
    state: State,
    reports: mpsc::Sender<Report>,
    tasks: JoinSet<()>,
    listings: [Option<AbortHandle>; 2],
    attempt: Option<(AttemptId, AbortHandle)>,
    quota: Option<AbortHandle>,
    session: Option<Session>,
    stopping: CancellationToken,
    /// Ends the changes that run.
    changing: CancellationToken,
    panicked: bool,
}

impl Runner {
    pub(super) fn new(state: State, reports: mpsc::Sender<Report>) -> Self {
        let stopping = CancellationToken::new();
        Self {
            state,
            reports,
            tasks: JoinSet::new(),
            listings: [None, None],
            attempt: None,
            quota: None,
            session: None,
            changing: stopping.child_token(),
            stopping,
            panicked: false,
        }
    }

    /// Starts what is to be done.
    pub(super) fn run(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            self.start(effect);
        }
        if let Some(session) = &mut self.session {
            self.panicked |= session.flush().is_err();
        }
        while let Some(ended) = self.tasks.try_join_next() {
            self.panicked |= ended.is_err_and(|error| error.is_panic());
        }
    }

    /// Whether a task panicked.
    pub(super) fn has_panicked(&self) -> bool {
        self.panicked
    }

    fn start(&mut self, effect: Effect) {
        let reports = self.reports.clone();
        match effect {
            Effect::List { pane, generation, location, order } => {
                self.list(pane, generation, location, order);
            }
            Effect::Change { id, change } => {
                let remote = self.session.as_ref().map(|session| session.remote.clone());
                let hands = Hands { remote, stopping: self.changing.clone() };
                self.tasks.spawn(change::carry_out(id, change, hands, reports));
            }
            Effect::StopChanges => {
                self.changing.cancel();
                self.changing = self.stopping.child_token();
            }
            Effect::Connect { attempt, login, trust } => {
                self.abort_attempt();
                self.end_session();
                let state = self.state.clone();
                let task = connect::attempt(attempt, login, trust, state, reports);
                self.attempt = Some((attempt, self.tasks.spawn(task)));
            }
            Effect::AbortConnect => self.abort_attempt(),
            Effect::AskQuota => self.ask_quota(),
            Effect::Transfer(command) => self.command(command),
            // The loop ends with this turn.
            Effect::Leave => {}
        }
    }

    fn list(&mut self, pane: PaneId, generation: Generation, location: Location, order: Order) {
        if let Some(earlier) = self.listings[pane.index()].take() {
            earlier.abort();
        }
        let asked = Asked { pane, generation, order };
        let reports = self.reports.clone();
        let handle = match (location, &self.session) {
            (Location::Local(path), _) => self.list_local(path, asked),
            (Location::Remote(path), Some(session)) => {
                let remote = session.remote.clone();
                self.tasks.spawn(listing::remote(remote, path, asked, reports))
            }
            (Location::Remote(path), None) => {
                let failure = Failure::new(Situation::LinkLost, path);
                let event = Event::ListingFailed { pane, generation, failure };
                self.tasks.spawn(async move {
                    // A loop that has ended wants no rows.
                    let _ending = reports.send(Report::Event(event)).await;
                })
            }
        };
        self.listings[pane.index()] = Some(handle);
    }

    fn list_local(&mut self, path: PathBuf, asked: Asked) -> AbortHandle {
        let reports = self.reports.clone();
        self.tasks.spawn(listing::local(path, asked, reports))
    }

    fn ask_quota(&mut self) {
        let Some(session) = &self.session else { return };
        // One question at a time: while the link is lost they would pile up.
        if self.quota.as_ref().is_some_and(|asked| !asked.is_finished()) {
            return;
        }
        let (remote, reports) = (session.remote.clone(), self.reports.clone());
        self.quota = Some(self.tasks.spawn(async move {
            let answer = remote.quota().await;
            // A loop that has ended asks no more.
            let _ending = reports.send(Report::Event(Event::Quota(answer))).await;
        }));
    }

    fn abort_attempt(&mut self) {
        if let Some((_, task)) = self.attempt.take() {
            task.abort();
        }
    }

    fn command(&mut self, command: Command) {
        let Some(session) = &mut self.session else { return };
        self.panicked |= session.command(command).is_err();
    }

    /// An attempt worked out. No events if it was given up meanwhile.
    pub(super) fn connected(
        &mut self,
        attempt: AttemptId,
        remote: Remote,
        queue: Queue,
    ) -> Vec<Event> {
        if self.attempt.as_ref().is_none_or(|(current, _)| *current != attempt) {
            self.tasks.spawn(async move { remote.close().await });
            return Vec::new();
        }
        self.attempt = None;
        let outcome = ConnectOutcome::Open(remote.link().borrow().clone());
        let open = Event::Connection { attempt, outcome };
        std::iter::once(open).chain(self.adopt(remote, queue)).collect()
    }

    /// Takes a connection over.
    pub(super) fn adopt(&mut self, remote: Remote, queue: Queue) -> Vec<Event> {
        self.end_session();
        let Begun { session, events } = Session::begin(remote, queue, &self.reports);
        self.session = Some(session);
        events
    }

    fn end_session(&mut self) {
        if let Some(session) = self.session.take() {
            self.tasks.spawn(async move { closed(session.close().await) });
        }
    }

    /// Ends everything in order.
    pub(super) async fn close(mut self) {
        self.stopping.cancel();
        self.abort_attempt();
        if let Some(session) = self.session.take() {
            closed(session.close().await);
        }
        self.tasks.shutdown().await;
    }
}

/// Nothing is lost by an end that was not in order: the journal is read at the next start.
fn closed(result: Result<(), Failure>) {
    if let Err(failure) = result {
        tracing::warn!(?failure, "a session did not end in order");
    }
}
