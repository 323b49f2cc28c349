//! Keys, pointer and answers: ("before", "what happens", "after"), run through the whole update.

mod changing;
mod connecting;
mod keys;
mod pointer;
mod transferring;

use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use sampan_protocol::{Entry, RemotePath};

use super::*;
use crate::address::{Account, Server};
use crate::app::connection::Connection;
use crate::app::event::ConnectOutcome;
use crate::app::key::{Code, Key, Mouse, MouseKind};
use crate::app::layout::Size;
use crate::app::pane::{Pane, PaneId};
use crate::app::testing::{file, folder, rows};
use crate::app::{Setup, dialog::Dialog};
use crate::place::Location;
use crate::remote::LinkState;

/// A screen under test: its state, its clock, and what it wanted done.
pub(super) struct Bench {
    pub(super) app: App,
    pub(super) now: Instant,
    pub(super) effects: Vec<Effect>,
}

pub(super) fn account() -> Account {
    Account { user: "anna".into(), server: Server { host: "box".into(), port: 7227 } }
}

pub(super) fn live() -> LinkState {
    LinkState::Live { round_trip: Duration::from_millis(12) }
}

impl Bench {
    /// 80×24, both panes read, connected.
    pub(super) fn new(left: &[Entry], right: &[Entry]) -> Self {
        let mut bench = Self::offline(left);
        bench.app.connection = Connection::Open { account: account(), link: live() };
        bench.app.pane_mut(PaneId::Right).navigate(Location::Remote(RemotePath::home()), None);
        bench.app.pane_mut(PaneId::Right).receive(rows(right), 0, true, 10);
        bench
    }

    /// Nobody is connected.
    pub(super) fn offline(left: &[Entry]) -> Self {
        let now = Instant::now();
        let setup = Setup {
            screen: Size { columns: 80, rows: 24 },
            left: "/home/anna".into(),
            zone: TimeZone::UTC,
            colours: false,
        };
        let mut app = App::new(setup, now);
        app.pane_mut(PaneId::Left).navigate(crate::app::testing::home(), None);
        app.pane_mut(PaneId::Left).receive(rows(left), 0, true, 10);
        Self { app, now, effects: Vec::new() }
    }

    pub(super) fn event(&mut self, event: Event) -> &mut Self {
        let turn = update(&mut self.app, event, self.now);
        self.effects.extend(turn.effects);
        self
    }

    pub(super) fn wait(&mut self, time: Duration) -> &mut Self {
        self.now += time;
        self.event(Event::Tick)
    }

    /// Keys by their names, with spaces between: `F5 Down a Ctrl-r Space`.
    pub(super) fn press(&mut self, keys: &str) -> &mut Self {
        for key in keys.split(' ') {
            self.event(Event::Key(key_of(key)));
        }
        self
    }

    pub(super) fn mouse(&mut self, kind: MouseKind, x: u16, y: u16) -> &mut Self {
        self.event(Event::Mouse(Mouse::plain(kind, x, y)))
    }

    pub(super) fn taken(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    pub(super) fn left(&self) -> &Pane {
        self.app.pane(PaneId::Left)
    }

    pub(super) fn right(&self) -> &Pane {
        self.app.pane(PaneId::Right)
    }

    pub(super) fn marked(&self, pane: PaneId) -> Vec<String> {
        let pane = self.app.pane(pane);
        pane.marks.in_order(pane.rows()).iter().map(|entry| entry.name.to_string()).collect()
    }

    pub(super) fn under_cursor(&self, pane: PaneId) -> String {
        let current = self.app.pane(pane).current();
        current.map_or("..".to_owned(), |entry| entry.name.to_string())
    }

    pub(super) fn dialog(&self) -> &Dialog {
        self.app.dialogs.last().expect("a dialog is open")
    }
}

fn key_of(name: &str) -> Key {
    if let Some(letter) = name.strip_prefix("Ctrl-") {
        return Key { ctrl: true, ..key_of(letter) };
    }
    if let Some(letter) = name.strip_prefix("Alt-") {
        return Key { alt: true, ..key_of(letter) };
    }
    let mut characters = name.chars();
    let code = match (characters.next(), characters.as_str()) {
        (Some(character), "") => Code::Char(character),
        (Some('F'), number) if number.parse::<u8>().is_ok() => Code::F(number.parse().unwrap()),
        _ => match name {
            "Space" => Code::Char(' '),
            "Enter" => Code::Enter,
            "Esc" => Code::Esc,
            "Tab" => Code::Tab,
            "BackTab" => Code::BackTab,
            "Backspace" => Code::Backspace,
            "Up" => Code::Up,
            "Down" => Code::Down,
            "Left" => Code::Left,
            "Right" => Code::Right,
            "Home" => Code::Home,
            "End" => Code::End,
            "PgUp" => Code::PageUp,
            "PgDn" => Code::PageDown,
            "Insert" => Code::Insert,
            "Del" => Code::Delete,
            other => panic!("no key is called {other}"),
        },
    };
    Key::plain(code)
}

/// Two folders and ten files: `docs pics f0 … f9`.
pub(super) fn twelve() -> Vec<Entry> {
    let files = (0..10).map(|index| file(&format!("f{index}"), 100));
    [folder("docs"), folder("pics")].into_iter().chain(files).collect()
}
