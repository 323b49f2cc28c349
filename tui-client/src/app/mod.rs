//! The screen's state, as plain data, and what changes it.
//!
//! An [`event::Event`] comes in; [`update::update`] changes the [`App`] and answers with
//! [`effect::Effect`]s; the runtime does these, and what comes of them comes back as events. The
//! view paints the state through the geometry of [`layout`], which the pointer is measured by too.
//!
//! Invariant: nothing here draws, waits, reads a clock, a disk or a socket; time enters as an
//! argument. `ratatui`, `crossterm` and `tokio` are not named below this module.

pub mod action;
pub mod changes;
pub mod connection;
pub mod dialog;
pub mod dialog_layout;
pub mod effect;
pub mod event;
pub mod gesture;
pub mod key;
pub mod layout;
pub mod listing;
pub mod marks;
pub mod moves;
pub mod order;
pub mod pane;
pub mod quota;
pub mod rate;
pub mod route;
#[cfg(test)]
pub(crate) mod testing;
pub mod transfers;
pub mod update;
pub mod width;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use sampan_protocol::RemotePath;

use crate::address::Account;
use crate::catalogue::screen as text;
use crate::place::Location;
use changes::Changes;
use connection::Connection;
use dialog::Dialog;
use gesture::{Click, Gesture};
use layout::Size;
use moves::Moves;
use pane::{Pane, PaneId};
use quota::Quota;
use transfers::Transfers;

/// While something moves, the screen is looked at this often.
pub const TICK: Duration = Duration::from_millis(50);

/// How long an Esc waits for the digit that makes it an F-key.
pub const ESCAPE_WAIT: Duration = Duration::from_millis(500);

/// How long a notice stays.
pub const NOTICE_TIME: Duration = Duration::from_secs(8);

/// The whole state of the screen.
#[derive(Clone, Debug)]
pub struct App {
    /// The terminal.
    pub screen: Size,
    /// Left and right.
    pub panes: [Pane; 2],
    /// The pane that takes the keys.
    pub focus: PaneId,
    /// The transfers take the keys instead.
    pub in_panel: bool,
    /// What lies over the panes; the last takes the keys.
    pub dialogs: Vec<Dialog>,
    /// The gauges.
    pub transfers: Transfers,
    /// Whose home they lead to or come from.
    pub carried_for: Option<Account>,
    /// Moves across that run.
    pub moves: Moves,
    /// Changes that run.
    pub changes: Changes,
    /// To whom the remote pane is connected.
    pub connection: Connection,
    /// What the account may hold.
    pub quota: Quota,
    /// What the local disk can hold.
    pub space: Option<Space>,
    /// What the pointer is in the middle of.
    pub gesture: Gesture,
    /// The last press, to tell a double click.
    pub last_click: Option<Click>,
    /// An Esc that waits for a digit, until then.
    pub escape: Option<Instant>,
    /// A word in the status line.
    pub notice: Option<Notice>,
    /// A pane shows what transfers put there: it is read again when they rest.
    pub stale: [bool; 2],
    /// When panes were read again last.
    pub refreshed: Option<Instant>,
    /// For moments in listings.
    pub zone: TimeZone,
    /// Meanings are shown by colours as well as by signs.
    pub colours: bool,
    /// The last id given out.
    sequence: u64,
}

/// A word in the status line.
#[derive(Clone, Debug, PartialEq)]
pub struct Notice {
    /// What it says.
    pub text: String,
    /// Until when.
    pub until: Instant,
}

/// What a disk can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that may still be written.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

/// What the screen begins with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The terminal.
    pub screen: Size,
    /// The folder of the left pane: absolute.
    pub left: PathBuf,
    /// For moments in listings.
    pub zone: TimeZone,
    /// Whether colours are wanted.
    pub colours: bool,
}

impl App {
    /// Local left, remote right, nothing read and nobody connected.
    pub fn new(setup: Setup, now: Instant) -> Self {
        let Setup { screen, left, zone, colours } = setup;
        let left = Pane::new(Location::Local(left));
        let right = Pane::new(Location::Remote(RemotePath::home()));
        Self {
            screen,
            panes: [left, right],
            focus: PaneId::Left,
            in_panel: false,
            dialogs: Vec::new(),
            transfers: Transfers::new(now),
            carried_for: None,
            moves: Moves::default(),
            changes: Changes::default(),
            connection: Connection::default(),
            quota: Quota::default(),
            space: None,
            gesture: Gesture::default(),
            last_click: None,
            escape: None,
            notice: None,
            stale: [false; 2],
            refreshed: None,
            zone,
            colours,
            sequence: 0,
        }
    }

    /// A pane.
    pub fn pane(&self, id: PaneId) -> &Pane {
        &self.panes[id.index()]
    }

    /// A pane.
    pub fn pane_mut(&mut self, id: PaneId) -> &mut Pane {
        &mut self.panes[id.index()]
    }

    /// The pane that takes the keys.
    pub fn focused(&self) -> &Pane {
        self.pane(self.focus)
    }

    /// Rows of a pane's list; 1 if the terminal is too small for any.
    pub fn list_height(&self, pane: PaneId) -> usize {
        let layout = layout::layout(self);
        layout.map_or(1, |layout| usize::from(layout.panes[pane.index()].list.height).max(1))
    }

    /// Whether something would be interrupted by leaving.
    pub fn is_busy(&self) -> bool {
        self.transfers.is_running() || self.is_changing()
    }

    /// Whether something is being removed, renamed or moved.
    pub fn is_changing(&self) -> bool {
        !self.changes.is_empty() || !self.moves.is_empty()
    }

    /// A path with its host: what a question must name.
    pub fn full_place(&self, location: &Location) -> String {
        match (location, self.connection.account()) {
            (Location::Remote(path), Some(account)) => account.show(path),
            (Location::Remote(_), None) => text::on_server(&location.to_string()),
            (Location::Local(_), _) => text::on_this_machine(&location.to_string()),
        }
    }

    /// The next id.
    fn next_id(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// When it wants to be told that time went by; `None` while nothing moves.
    pub fn wakes_at(&self, now: Instant) -> Option<Instant> {
        let moving = self.transfers.is_running() || !self.changes.is_empty();
        let countdown = self.connection.seconds_to_next_try(now).is_some_and(|left| left > 0);
        let refresh = self.stale.contains(&true) && !self.connection.is_broken();
        let tick = (moving || countdown || refresh).then(|| now + TICK);
        let waiting = [
            tick,
            self.gesture.scrolls_at(),
            self.escape,
            self.notice.as_ref().map(|notice| notice.until),
        ];
        waiting.into_iter().flatten().min()
    }
}
