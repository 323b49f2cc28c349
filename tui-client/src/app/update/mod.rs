//! What an event does to the state: one subject a file.
//!
//! Invariant: `update` never waits and never fails; what has to be done elsewhere is an effect.

mod browse;
mod changing;
mod connecting;
mod dialog;
mod keys;
mod panel;
mod pointer;
mod time;
mod transferring;

use std::time::Instant;

use super::App;
use super::Notice;
use super::changes::{Change, ChangeId, Running};
use super::effect::Effect;
use super::event::Event;
use super::layout;
use crate::catalogue::screen as text;

pub use connecting::Opening;

/// One turn of the loop: what came of an event.
#[derive(Debug)]
pub struct Turn {
    /// When it happened.
    pub now: Instant,
    /// To be done.
    pub effects: Vec<Effect>,
    /// Something that is shown has changed.
    pub redraw: bool,
}

impl Turn {
    /// Nothing came of it yet.
    pub fn new(now: Instant) -> Self {
        Self { now, effects: Vec::new(), redraw: true }
    }

    fn effect(&mut self, effect: Effect) {
        self.effects.push(effect);
    }
}

/// Takes an event.
pub fn update(app: &mut App, event: Event, now: Instant) -> Turn {
    let mut turn = Turn::new(now);
    match event {
        Event::Key(key) => keys::key(app, key, &mut turn),
        Event::Mouse(mouse) => pointer::mouse(app, mouse, &mut turn),
        Event::Paste(text) => dialog::paste(app, &text, &mut turn),
        Event::Resized(size) => {
            pointer::cancel(app);
            browse::keep_in_view(app, |app| app.screen = size);
        }
        Event::FocusLost => pointer::cancel(app),
        Event::Tick => time::tick(app, &mut turn),
        Event::Rows { pane, generation, rows, unreadable, complete } => {
            if app.pane(pane).generation == generation {
                let held = pointer::held_rows(app, pane);
                let height = app.list_height(pane);
                app.pane_mut(pane).receive(rows, unreadable, complete, height);
                pointer::rows_replaced(app, pane, held);
            } else {
                turn.redraw = false;
            }
        }
        Event::ListingFailed { pane, generation, failure } => {
            browse::listing_failed(app, pane, generation, failure, &turn);
        }
        Event::Space(space) => app.space = Some(space),
        Event::ChangeProgress { id, done } => app.changes.advance(id, done),
        Event::Changed { id, failures } => changing::changed(app, id, failures, &mut turn),
        Event::Connection { attempt, outcome } => {
            connecting::outcome(app, attempt, outcome, &mut turn);
        }
        Event::Link(link) => connecting::link(app, link, &mut turn),
        Event::Quota(answer) => connecting::quota(app, &answer),
        Event::Resumed(batches) => transferring::resumed(app, batches, &turn),
        Event::QueueElsewhere { process } => app.say(text::queue_elsewhere(process), now),
        Event::Transfer(event) => transferring::event(app, event, &mut turn),
    }
    transferring::ask_next(app, &mut turn);
    turn
}

/// The first effects: reads the left pane, and connects or asks where to.
pub fn begin(app: &mut App, opening: Opening, now: Instant) -> Turn {
    let mut turn = Turn::new(now);
    browse::open(app, super::pane::PaneId::Left, None, &mut turn);
    connecting::begin(app, opening, &mut turn);
    turn
}

impl App {
    /// Says something in the status line for a while.
    fn say(&mut self, text: impl Into<String>, now: Instant) {
        self.notice = Some(Notice { text: text.into(), until: now + super::NOTICE_TIME });
    }

    /// Begins a change.
    fn start_change(&mut self, change: Change, running: Running, turn: &mut Turn) {
        let id = ChangeId(self.next_id());
        self.changes.begin(id, running);
        turn.effect(Effect::Change { id, change });
    }

    /// Scrolls the lines of the transfer panel.
    fn scroll_panel(&mut self, lines: isize) {
        let shown = layout::layout(self).map_or(0, |layout| layout.panel.height.saturating_sub(1));
        let last = self.transfers.line_count().saturating_sub(usize::from(shown));
        self.transfers.offset = self.transfers.offset.saturating_add_signed(lines).min(last);
    }
}

#[cfg(test)]
mod tests;
