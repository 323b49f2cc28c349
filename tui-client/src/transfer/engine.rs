//! The engine as others hold it: commands go in, events come out.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::command::{Batch, BatchId, Command};
use super::director::{self, Director};
use super::event::Event;
use super::job::{Context, Memory};
use super::pace::Pace;
use super::saved;
use crate::failure::{Failure, Situation};
use crate::local::Disk;
use crate::remote::Remote;
use crate::state::Journal;

/// Commands that may wait.
const COMMANDS: usize = 64;
/// Events that may wait for their reader.
const EVENTS: usize = 1024;
/// Most connections for bulk, whatever is asked for.
const MAX_CONNECTIONS: usize = 16;
/// A round trip below this is that of a link without distance: one stream fills it, and a second
/// one gives the other processor something to do.
const NEAR: Duration = Duration::from_millis(3);
/// Connections for bulk on a near link, and on a far one, where one stream is bounded by its window.
const NEAR_CONNECTIONS: usize = 2;
const FAR_CONNECTIONS: usize = 4;

/// How an engine works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Connections for bulk; `None` chooses by the link.
    pub connections: Option<usize>,
    /// Bytes a second over all transfers.
    pub limit: Option<u64>,
    /// The last id that was given to an item already: the engine's come after it.
    pub last_item: u64,
}

/// Carries files until it is dropped or ended.
#[derive(Debug)]
pub struct Engine {
    commands: mpsc::Sender<Command>,
    stop: CancellationToken,
    task: JoinHandle<Journal>,
}

/// An engine that was started.
#[derive(Debug)]
pub struct Started {
    /// To be told what to do.
    pub engine: Engine,
    /// What happens; must be read.
    pub events: mpsc::Receiver<Event>,
    /// Batches that an earlier run did not finish. They go on by themselves, under these ids.
    pub resumed: Vec<(BatchId, Batch)>,
}

impl Engine {
    /// Starts one for `remote`, with what `journal` remembers.
    pub fn start(remote: Remote, journal: Journal, settings: Settings) -> Started {
        Self::start_on(Disk::default(), remote, journal, settings)
    }

    /// The same, on a disk that may fail.
    pub fn start_on(disk: Disk, remote: Remote, journal: Journal, settings: Settings) -> Started {
        let (commands, command_receiver) = mpsc::channel(COMMANDS);
        let (event_sender, events) = mpsc::channel(EVENTS);
        let lanes = lanes(&remote, settings.connections);
        let context = Arc::new(Context {
            keys: journal.keys(),
            pace: Pace::new(settings.limit),
            memory: Memory::new(),
            lanes,
            paused: watch::Sender::new(false),
            turn: AtomicUsize::new(0),
            remote,
            disk,
        });
        let resumed: Vec<_> = journal
            .unfinished()
            .iter()
            .filter_map(|(id, bytes)| Some((BatchId(*id), saved::read(bytes)?)))
            .collect();
        let stop = CancellationToken::new();
        let ends =
            director::Ends { commands: command_receiver, events: event_sender, stop: stop.clone() };
        let director = Director::new(context, journal, ends, settings.last_item, resumed.clone());
        let task = tokio::spawn(director.run());
        Started { engine: Self { commands, stop, task }, events, resumed }
    }

    /// Tells it what to do. Waits only while very many commands wait.
    pub async fn send(&self, command: Command) -> Result<(), Failure> {
        self.commands.send(command).await.map_err(|_| ended())
    }

    /// For those who tell it from elsewhere.
    pub fn commands(&self) -> mpsc::Sender<Command> {
        self.commands.clone()
    }

    /// Tells it what to do without ever waiting; false if too many commands wait, or it has ended.
    pub fn try_send(&self, command: Command) -> bool {
        self.commands.try_send(command).is_ok()
    }

    /// Stops everything where it is. What was done stays, what was not can be gone on with by
    /// whoever opens the journal again.
    pub async fn stop(self) -> Result<Journal, Failure> {
        self.stop.cancel();
        self.task.await.map_err(|_| ended())
    }
}

fn lanes(remote: &Remote, wanted: Option<usize>) -> usize {
    let near = remote.round_trip() < NEAR;
    let lanes = wanted.unwrap_or(if near { NEAR_CONNECTIONS } else { FAR_CONNECTIONS });
    // One of the account's connections carries no bulk.
    let allowed = usize::try_from(remote.limits().connections).unwrap_or(usize::MAX);
    lanes.min(MAX_CONNECTIONS).min(allowed.saturating_sub(1)).max(1)
}

fn ended() -> Failure {
    Failure::new(Situation::Unexpected("the engine has ended".to_owned()), "")
}
