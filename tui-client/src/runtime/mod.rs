//! The screen's motor: terminal, events, effects.
//!
//! ```text
//! terminal ─┐                        ┌─▶ state ─▶ picture (a key at once, at most every 4 ms)
//! signals ──┼─▶ one bounded channel ─┤
//! tasks ────┘          ▲             └─▶ effects ─▶ tasks: disk, network, engine
//!                      └───────────────────────────────┘
//! ```
//!
//! One turn takes an event and drains what else is there, then paints once, if something that is
//! shown has changed. While nothing moves the loop sleeps: an idle screen costs no processor time.
//!
//! Invariant: nothing in the loop waits for a disk or a socket; whichever way it ends, the terminal
//! is as it was before.

mod change;
mod connect;
mod input;
mod listing;
mod pace;
mod queue;
mod runner;
mod session;
mod terminal;

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use jiff::tz::TimeZone;
use sampan_protocol::RemotePath;
use tokio::sync::mpsc;

use crate::address::Account;
use crate::app::dialog::ConnectDialog;
use crate::app::effect::Effect;
use crate::app::event::Event;
use crate::app::layout::Size;
use crate::app::update::{Opening, Turn, begin, update};
use crate::app::{App, Setup};
use crate::failure::Failure;
use crate::remote::Remote;
use crate::state::State;
use crate::ui;
use pace::Pace;
use queue::Queue;
use runner::{Report, Runner};
use terminal::Screen;
pub use terminal::{is_on_screen, restore};

/// Events that may wait for the loop. A producer that is faster waits.
const QUEUE: usize = 1024;

/// Events that one turn takes before it paints: keys must be seen under a flood, too.
const MOST_IN_A_TURN: usize = 4096;

/// What the screen begins with.
#[derive(Debug)]
pub struct Start {
    /// The program's own files: known servers, keys, the queue.
    pub state: State,
    /// The folder of the left pane: absolute.
    pub left: PathBuf,
    /// The right pane.
    pub right: Right,
}

/// What the right pane begins with.
#[derive(Debug)]
pub enum Right {
    /// A dialog asks where to connect to.
    Ask,
    /// The same, with an account filled in.
    AskFor(Account, RemotePath),
    /// Connected already; shows this folder.
    Connected(Remote, RemotePath),
}

/// How the screen ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The person left.
    Left,
    /// A signal stopped it, or its terminal went away.
    Stopped,
}

/// Why the screen could not go on.
#[derive(Debug, thiserror::Error)]
pub enum ScreenError {
    /// There is no terminal.
    #[error("the screen needs a terminal")]
    NoTerminal,
    /// The terminal does not work.
    #[error("the terminal failed")]
    Terminal(#[from] io::Error),
    /// The queue of the account cannot be read.
    #[error("the account's queue cannot be opened")]
    Queue(Failure),
    /// A part of the program panicked; its message is on standard error.
    #[error("a part of the program failed; what it said stands above")]
    Panicked,
}

/// Shows the screen until the person leaves.
pub async fn run(start: Start) -> Result<Ended, ScreenError> {
    let Start { state, left, right } = start;
    let (sender, reports) = mpsc::channel(QUEUE);
    let mut screen = Screen::enter()?;
    let input = input::Input::listen(sender.clone())?;
    let mut runner = Runner::new(state.clone(), sender);
    let mut told = Vec::new();
    let setup = Setup {
        screen: screen.size()?,
        left,
        zone: TimeZone::system(),
        colours: std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()),
    };
    let now = Instant::now();
    let mut app = App::new(setup, now);
    let opening = match right {
        Right::Ask => Opening::Ask(None),
        Right::AskFor(account, folder) => {
            Opening::Ask(Some(Box::new(ConnectDialog::for_account(&account, folder))))
        }
        Right::Connected(remote, folder) => {
            let account = remote.account().clone();
            let link = remote.link().borrow().clone();
            let queue = Queue::open(&state, &account).map_err(ScreenError::Queue)?;
            told = runner.adopt(remote, queue);
            Opening::Open { account, folder, link }
        }
    };
    let turn = begin(&mut app, opening, now);
    runner.run(turn.effects);
    for event in told {
        runner.run(update(&mut app, event, now).effects);
    }
    let turns = Loop { app: &mut app, screen: &mut screen, runner: &mut runner, reports };
    let ended = turns.run().await;
    // The shell comes back at once; what is left to be done needs no screen.
    drop(screen);
    input.stop().await;
    runner.close().await;
    ended
}

struct Loop<'a> {
    app: &'a mut App,
    screen: &'a mut Screen,
    runner: &'a mut Runner,
    reports: mpsc::Receiver<Report>,
}

impl Loop<'_> {
    async fn run(mut self) -> Result<Ended, ScreenError> {
        let mut pace = Pace::new();
        pace.changed();
        // The earliest time that the state asked to be woken at; kept while other events come.
        let mut alarm: Option<Instant> = None;
        loop {
            if pace.is_due(Instant::now()) {
                self.paint()?;
                pace.painted(Instant::now());
            }
            let wanted = self.app.wakes_at(Instant::now());
            alarm = wanted.map(|wanted| alarm.map_or(wanted, |alarm| alarm.min(wanted)));
            let sleep = [alarm, pace.due_at()].into_iter().flatten().min();
            tokio::select! {
                biased;
                () = until(sleep) => {
                    if alarm.is_some_and(|alarm| alarm <= Instant::now()) {
                        alarm = None;
                        if let Some(ended) = self.take(Report::Event(Event::Tick), &mut pace)? {
                            return Ok(ended);
                        }
                    }
                }
                () = Screen::lost() => return Err(ScreenError::Panicked),
                report = self.reports.recv() => {
                    // The runner holds a sender, so the channel does not end.
                    let Some(report) = report else { return Ok(Ended::Stopped) };
                    if let Some(ended) = self.take_all(report, &mut pace)? {
                        return Ok(ended);
                    }
                }
            }
        }
    }

    fn take_all(&mut self, first: Report, pace: &mut Pace) -> Result<Option<Ended>, ScreenError> {
        let mut next = Some(first);
        for _ in 0..MOST_IN_A_TURN {
            let Some(report) = next.take().or_else(|| self.reports.try_recv().ok()) else { break };
            if let Some(ended) = self.take(report, pace)? {
                return Ok(Some(ended));
            }
        }
        Ok(None)
    }

    fn take(&mut self, report: Report, pace: &mut Pace) -> Result<Option<Ended>, ScreenError> {
        let event = match report {
            Report::Event(event) => event,
            Report::Connected { attempt, remote, queue } => {
                let events = self.runner.connected(attempt, remote, queue);
                for event in events {
                    self.take(Report::Event(event), pace)?;
                }
                return Ok(None);
            }
            Report::Stopped => return Ok(Some(Ended::Stopped)),
        };
        let Turn { effects, redraw, .. } = update(self.app, event, Instant::now());
        if redraw {
            pace.changed();
        }
        let leaves = effects.contains(&Effect::Leave);
        self.runner.run(effects);
        if self.runner.has_panicked() {
            return Err(ScreenError::Panicked);
        }
        Ok(leaves.then_some(Ended::Left))
    }

    fn paint(&mut self) -> io::Result<()> {
        // The terminal may have another size before its event is here.
        let size = self.screen.size()?;
        if size != self.app.screen {
            update(self.app, Event::Resized(size), Instant::now());
        }
        let app = &*self.app;
        self.screen.paint(|frame| ui::view(app, frame, Instant::now()))
    }
}

async fn until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant.into()).await,
        None => std::future::pending().await,
    }
}

/// The size of the terminal in the words of the state.
fn size((columns, rows): (u16, u16)) -> Size {
    Size { columns, rows }
}
