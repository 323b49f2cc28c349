//! A connection, the engine on it, and what listens to both.
//!
//! Invariant: commands reach the engine in the order in which they were given; its events are read
//! as long as it runs.

use std::collections::VecDeque;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;

use super::connect;
use super::queue::Queue;
use super::runner::Report;
use crate::app::event::Event;
use crate::failure::Failure;
use crate::remote::Remote;
use crate::transfer::{Command, Engine, Settings, Started};

/// A connection and its engine.
pub(super) struct Session {
    pub(super) remote: Remote,
    engine: Engine,
    /// What the engine had no room for yet.
    commands: VecDeque<Command>,
    tasks: JoinSet<()>,
}

/// What the state is told of a session that begins.
pub(super) struct Begun {
    pub(super) session: Session,
    pub(super) events: Vec<Event>,
}

impl Session {
    /// Starts the engine and listens.
    pub(super) fn begin(remote: Remote, queue: Queue, reports: &mpsc::Sender<Report>) -> Begun {
        let Queue { journal, elsewhere } = queue;
        let started = Engine::start(remote.clone(), journal, Settings::default());
        let Started { engine, events, resumed } = started;
        let mut tasks = JoinSet::new();
        tasks.spawn(connect::watch_link(remote.clone(), reports.clone()));
        tasks.spawn(forward(events, reports.clone()));
        let elsewhere = elsewhere.map(|process| Event::QueueElsewhere { process });
        let told = (!resumed.is_empty()).then_some(Event::Resumed(resumed));
        let session = Self { remote, engine, commands: VecDeque::new(), tasks };
        Begun { session, events: told.into_iter().chain(elsewhere).collect() }
    }

    /// Tells the engine something.
    pub(super) fn command(&mut self, command: Command) -> Result<(), EngineEnded> {
        self.commands.push_back(command);
        self.flush()
    }

    /// Tells the engine what it had no room for.
    pub(super) fn flush(&mut self) -> Result<(), EngineEnded> {
        let sender = self.engine.commands();
        while let Some(command) = self.commands.pop_front() {
            match sender.try_send(command) {
                Ok(()) => {}
                Err(TrySendError::Full(command)) => {
                    self.commands.push_front(command);
                    break;
                }
                Err(TrySendError::Closed(_)) => return Err(EngineEnded),
            }
        }
        Ok(())
    }

    /// Ends engine and connection; what is not finished stays in the journal.
    pub(super) async fn close(mut self) -> Result<(), Failure> {
        let journal = self.engine.stop().await;
        self.tasks.shutdown().await;
        self.remote.close().await;
        // It stays: what failed, or could not be cleared away, is found by its keys alone.
        journal.map(drop)
    }
}

/// The engine ends by itself only if it panicked.
#[derive(Clone, Copy, Debug)]
pub(super) struct EngineEnded;

async fn forward(
    mut events: mpsc::Receiver<crate::transfer::Event>,
    reports: mpsc::Sender<Report>,
) {
    while let Some(event) = events.recv().await {
        if reports.send(Report::Event(Event::Transfer(event))).await.is_err() {
            return;
        }
    }
}
