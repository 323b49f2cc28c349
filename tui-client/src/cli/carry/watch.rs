//! Follows a batch to its end: tells what happens, and asks what only a person can decide.
//!
//! Invariant: a question holds up nothing but its own file; while it stands nothing else is written
//! over it.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::time::Instant;

use sampan_protocol::RemotePath;
use tokio::sync::{mpsc, watch};

use super::BATCH;
use super::bars::Bars;
use super::lines::{Failed, Lines};
use super::question::{Answer, Conflict, ask};
use crate::catalogue::cli as text;
use crate::cli::Stop;
use crate::cli::ask::Terminal;
use crate::cli::output::Output;
use crate::cli::report::{Report, tell};
use crate::failure::{Failure, Situation};
use crate::place::Location;
use crate::remote::LinkState;
use crate::transfer::{Command, Event, ItemId, Outcome, Resolution, SkipReason, Summary};

/// How a batch is told.
pub(super) enum Face {
    /// Failures only, and what was left out without having been asked for.
    Plain,
    /// Failures only.
    Quiet,
    /// The same as plain, below bars.
    Bars(Bars),
    /// Everything, for scripts.
    Json(Lines),
}

/// One batch that is followed.
pub(super) struct Watch {
    pub(super) face: Face,
    pub(super) output: Output,
    pub(super) report: Report,
    pub(super) terminal: Option<Terminal>,
    /// Sources that were given up before the engine heard of them: they have the first ids.
    pub(super) refused: u64,
    /// Lines that wait until the question is answered.
    held: Vec<String>,
    conflicts: VecDeque<Conflict>,
    for_all: Option<Resolution>,
    /// The link is lost, and that was told.
    link_is_lost: bool,
}

type Asking = Pin<Box<dyn Future<Output = io::Result<Answer>> + Send>>;

impl Watch {
    pub(super) fn new(
        face: Face,
        output: Output,
        report: Report,
        terminal: Option<Terminal>,
    ) -> Self {
        let (held, conflicts) = (Vec::new(), VecDeque::new());
        let (refused, for_all, link_is_lost) = (0, None, false);
        Self { face, output, report, terminal, refused, held, conflicts, for_all, link_is_lost }
    }

    /// Follows the events to the batch's summary, and answers its conflicts.
    pub(super) async fn follow(
        &mut self,
        events: &mut mpsc::Receiver<Event>,
        commands: &mpsc::Sender<Command>,
        mut link: watch::Receiver<LinkState>,
    ) -> Result<Summary, Stop> {
        let mut asking: Option<(ItemId, Asking)> = None;
        let mut link_lives = true;
        loop {
            tokio::select! {
                event = events.recv() => {
                    let event = event.ok_or_else(ended_early)?;
                    let event = self.with_refused(event);
                    self.take(&event, asking.is_some())?;
                    match event {
                        Event::Conflict { item, from, to, .. } => {
                            let shown = |(place, found)| (self.report.show(&place), found);
                            let (from, to) = (shown(from), shown(to));
                            self.conflicts.push_back(Conflict { item, from, to });
                        }
                        Event::Summary { summary, .. } => {
                            self.finish(&summary)?;
                            return Ok(summary);
                        }
                        _ => {}
                    }
                }
                answer = answer_of(&mut asking) => {
                    if let Some((item, _)) = asking.take() {
                        self.answered(item, answer, commands).await?;
                    }
                }
                changed = link.changed(), if link_lives => {
                    link_lives = changed.is_ok();
                    let state = link.borrow_and_update().clone();
                    self.link(&state, asking.is_some());
                }
            }
            while asking.is_none() {
                let Some(conflict) = self.conflicts.pop_front() else { break };
                let item = conflict.item;
                match (self.for_all, &self.terminal) {
                    (Some(resolution), _) => resolve(commands, item, resolution, true).await,
                    (None, Some(terminal)) => {
                        if let Face::Bars(bars) = &self.face {
                            bars.hide();
                        }
                        asking = Some((item, Box::pin(ask(terminal.clone(), conflict))));
                    }
                    // Without a terminal the engine is never told to ask.
                    (None, None) => resolve(commands, item, Resolution::Skip, false).await,
                }
            }
        }
    }

    /// Bars say it beside them. Whoever reads events gets one line beside them when the link is lost
    /// and one when it is back: none of the events is about the link. Else success says nothing.
    fn link(&mut self, link: &LinkState, asks: bool) {
        if let Face::Bars(bars) = &self.face {
            return bars.link(link, Instant::now());
        }
        let news = match (link, self.link_is_lost) {
            (LinkState::Reconnecting { .. }, false) => {
                self.link_is_lost = true;
                text::link_lost()
            }
            (LinkState::Live { .. }, true) => {
                self.link_is_lost = false;
                text::link_is_back()
            }
            _ => return,
        };
        if matches!(self.face, Face::Json(_)) {
            self.say(news, asks);
        }
    }

    async fn answered(
        &mut self,
        item: ItemId,
        answer: io::Result<Answer>,
        commands: &mpsc::Sender<Command>,
    ) -> Result<(), Stop> {
        if let Face::Bars(bars) = &self.face {
            bars.show();
        }
        for line in std::mem::take(&mut self.held) {
            self.say(line, false);
        }
        let answer = answer.map_err(|error| {
            let situation = Situation::Unexpected(error.to_string());
            Failure::new(situation, text::the_terminal())
        })?;
        if answer.for_all {
            self.for_all = Some(answer.resolution);
        }
        resolve(commands, item, answer.resolution, answer.for_all).await;
        Ok(())
    }

    fn take(&mut self, event: &Event, asks: bool) -> Result<(), Stop> {
        if let Face::Bars(bars) = &mut self.face {
            bars.take(event);
        }
        let mut failed = None;
        if let Event::Finished { outcome, from, to, .. } = event {
            match outcome {
                Outcome::Failed(failure) => {
                    let message = self.report.count(failure);
                    failed = Some(Failed { message, code: self.report.code_of(failure) });
                }
                Outcome::Skipped(SkipReason::DryRun) => self.would_carry(from, to)?,
                Outcome::Skipped(reason) => self.left_out(from, *reason, asks),
                Outcome::Done { .. } | Outcome::Unchanged => {}
            }
        }
        if let Face::Json(lines) = &mut self.face {
            if let Some(line) = lines.of(event, failed, Instant::now()) {
                let said = self.output.line(&line.to_string());
                match said.and_then(|()| self.output.flush()) {
                    // What was ordered is carried, also when nobody wants to hear of it any more.
                    Err(Stop::ClosedPipe) => self.face = Face::Quiet,
                    said => said?,
                }
            }
        } else if let Some(Failed { message, .. }) = failed {
            self.say(message, asks);
        }
        Ok(())
    }

    /// A source that was given up before the engine heard of it.
    pub(super) fn refused(&mut self, from: &RemotePath, failure: Failure) -> Result<(), Stop> {
        self.refused += 1;
        let (batch, item, at) = (BATCH, ItemId(self.refused), Location::Remote(from.clone()));
        let (to, outcome) = (at.clone(), Outcome::Failed(failure));
        self.take(&Event::Finished { batch, item, from: at, to, source: None, outcome }, false)
    }

    /// Nothing is left for the engine: this is the end of it.
    pub(super) fn nothing_found(&mut self) -> Result<(), Stop> {
        let event = Event::Summary { batch: BATCH, summary: Summary::default() };
        let event = self.with_refused(event);
        self.take(&event, false)?;
        if let Event::Summary { summary, .. } = event {
            self.finish(&summary)?;
        }
        Ok(())
    }

    /// What was refused before belongs to the sum.
    fn with_refused(&self, mut event: Event) -> Event {
        if let Event::Summary { summary, .. } = &mut event {
            summary.failed += self.refused;
        }
        event
    }

    fn would_carry(&mut self, from: &Location, to: &Location) -> Result<(), Stop> {
        if matches!(self.face, Face::Json(_)) {
            return Ok(());
        }
        let line = text::would_carry(&self.report.show(from), &self.report.show(to));
        self.output.line(&line)
    }

    /// What the person asked to leave out needs no naming; what cannot be carried does.
    fn left_out(&mut self, from: &Location, reason: SkipReason, asks: bool) {
        let is_told = matches!(self.face, Face::Plain | Face::Bars(_));
        let is_news = matches!(reason, SkipReason::Link | SkipReason::NotAFile);
        if is_told && is_news {
            let from = (self.report.show(from), from.side());
            self.say(text::left_out(&from.0, from.1, reason), asks);
        }
    }

    fn say(&mut self, line: String, asks: bool) {
        match &self.face {
            _ if asks => self.held.push(line),
            Face::Bars(bars) => bars.above(|| tell(&line)),
            _ => tell(&line),
        }
    }

    fn finish(&mut self, summary: &Summary) -> Result<(), Stop> {
        // The bars go before the last line comes.
        if matches!(self.face, Face::Bars(_)) {
            self.face = Face::Plain;
            for line in std::mem::take(&mut self.held) {
                tell(&line);
            }
            tell(&text::summary(summary));
        }
        match self.output.flush() {
            // It is all done; how it went is said by the code.
            Err(Stop::ClosedPipe) => Ok(()),
            flushed => flushed,
        }
    }
}

async fn answer_of(asking: &mut Option<(ItemId, Asking)>) -> io::Result<Answer> {
    match asking {
        Some((_, question)) => question.await,
        None => std::future::pending().await,
    }
}

async fn resolve(
    commands: &mpsc::Sender<Command>,
    item: ItemId,
    answer: Resolution,
    whole_batch: bool,
) {
    // An engine that has ended needs no answer; its events end too, and that is told.
    let _sent = commands.send(Command::Resolve { item, answer, whole_batch }).await;
}

fn ended_early() -> Stop {
    Failure::new(Situation::Unexpected(text::engine_ended()), "").into()
}
