//! Screens as text, at three sizes.

use std::time::{Duration, Instant};

use insta::assert_snapshot;
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use sampan_protocol::message::QuotaAnswer;
use sampan_protocol::{Entry, EntryKind, RemotePath};

use super::view;
use crate::address::{Account, Server};
use crate::app::connection::{Connection, Login};
use crate::app::dialog::{ConnectDialog, Dialog};
use crate::app::event::{ConnectOutcome, Event};
use crate::app::key::{Code, Key, Mouse, MouseKind};
use crate::app::layout::Size;
use crate::app::pane::PaneId;
use crate::app::testing::{entry, file, folder, name, rows};
use crate::app::update::update;
use crate::app::{App, Setup, Space};
use crate::failure::{Failure, Side, Situation};
use crate::place::Location;
use crate::remote::LinkState;
use crate::transfer::{
    BatchId, Direction, Event as Told, ItemId, Outcome, Phase, Summary, Totals, Transfer,
};

const SMALL: Size = Size { columns: 60, rows: 16 };
const USUAL: Size = Size { columns: 80, rows: 24 };
const LARGE: Size = Size { columns: 120, rows: 40 };
const MB: u64 = 1_000_000;

struct Stage {
    app: App,
    now: Instant,
}

fn account() -> Account {
    Account { user: "anna".into(), server: Server { host: "box".into(), port: 7227 } }
}

/// Names that are hard to show.
fn hard() -> Vec<Entry> {
    let bytes: [(&[u8], u64); 9] = [
        ("你好世界的文件名字真的很长很长.txt".as_bytes(), 12_345),
        ("cafe\u{301}-re\u{301}sume\u{301}.md".as_bytes(), 999),
        ("👩‍🚀 astronaut 👨‍👩‍👧‍👦 family.png".as_bytes(), 3_400_123_456),
        ("❤️ heart.svg".as_bytes(), 0),
        (b"\x1b[31mred\x1b[0m", 1),
        (b"two\nlines", 22),
        ("evil\u{202e}gpj.exe".as_bytes(), 333),
        (b"\xff\xfe.bin", 4444),
        ("ascii.txt".as_bytes(), 1_234_567),
    ];
    let files = bytes.iter().map(|(name, size)| entry(name, EntryKind::File, *size));
    let link = entry(b"a-link", EntryKind::Link, 0);
    let pipe = entry(b"a-pipe", EntryKind::Other, 0);
    [folder("docs"), folder("日本語"), link, pipe].into_iter().chain(files).collect()
}

impl Stage {
    fn new(screen: Size) -> Self {
        let now = Instant::now();
        let setup =
            Setup { screen, left: "/home/anna".into(), zone: TimeZone::UTC, colours: false };
        let mut app = App::new(setup, now);
        app.pane_mut(PaneId::Left).navigate(crate::app::testing::home(), None);
        app.pane_mut(PaneId::Left).receive(rows(&hard()), 0, true, 10);
        app.space = Some(Space { free: 120_000 * MB, total: 500_000 * MB });
        Self { app, now }
    }

    fn connected(screen: Size) -> Self {
        let mut stage = Self::new(screen);
        let link = LinkState::Live { round_trip: Duration::from_millis(12) };
        stage.app.connection = Connection::Open { account: account(), link };
        let docs = Location::Remote(RemotePath::parse(b"docs").unwrap());
        stage.app.pane_mut(PaneId::Right).navigate(docs, None);
        let there = [folder("reports"), file("a.txt", 5), file("b.txt", 50_000)];
        stage.app.pane_mut(PaneId::Right).receive(rows(&there), 0, true, 10);
        stage.app.quota.answer = Some(QuotaAnswer {
            limit: Some(10_000 * MB),
            used: 3_200 * MB,
            reserved: 400 * MB,
            available: 6_400 * MB,
            max_entries: None,
            entries: 12,
            reserved_entries: 1,
            as_of: None,
        });
        stage
    }

    fn event(&mut self, event: Event) -> &mut Self {
        update(&mut self.app, event, self.now);
        self
    }

    fn keys(&mut self, codes: impl IntoIterator<Item = Code>) -> &mut Self {
        for code in codes {
            self.event(Event::Key(Key::plain(code)));
        }
        self
    }

    fn typed(&mut self, text: &str) -> &mut Self {
        self.keys(text.chars().map(Code::Char))
    }

    fn mouse(&mut self, kind: MouseKind, x: u16, y: u16) -> &mut Self {
        self.event(Event::Mouse(Mouse::plain(kind, x, y)))
    }

    fn told(&mut self, event: Told) -> &mut Self {
        self.event(Event::Transfer(event))
    }

    fn screen(&self) -> String {
        let Size { columns, rows } = self.app.screen;
        let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
        terminal.draw(|frame| view(&self.app, frame, self.now)).unwrap();
        terminal.backend().to_string()
    }

    /// A batch with a file in each state.
    fn transferring(screen: Size) -> Self {
        let mut stage = Self::connected(screen);
        let batch = BatchId(1);
        stage.app.transfers.begin(batch, crate::app::testing::order(), stage.now);
        let totals = Totals { files: 12, folders: 1, bytes: 4_000 * MB };
        stage.told(Told::Planned { batch, totals, complete: false });
        let at = |text: &str| crate::app::testing::home().join(&name(text)).unwrap();
        let started = |item, label: &str, files, bytes| Told::Started {
            batch,
            item: ItemId(item),
            transfer: Transfer {
                direction: Direction::Upload,
                from: at(label),
                to: at(label),
                files,
                bytes,
                resumed: 0,
            },
        };
        stage
            .told(started(1, "a-video-with-a-long-name.mkv", 1, 2_000 * MB))
            .told(started(2, "stalled.iso", 1, 700 * MB))
            .told(started(3, "你好.zip", 1, 100 * MB))
            .told(started(4, "src", 240, 8 * MB))
            .told(Told::Phase { item: ItemId(3), phase: Phase::Verifying })
            .told(Told::Phase { item: ItemId(4), phase: Phase::Waiting })
            .told(Told::Progress { item: ItemId(3), bytes: 100 * MB });
        for step in 1..=40 {
            stage.now += Duration::from_millis(100);
            stage.told(Told::Progress { item: ItemId(1), bytes: step * 2 * MB });
        }
        let failure =
            Failure::new(Situation::PermissionDenied(Side::Local), "/home/anna/secret.key");
        stage.told(Told::Finished {
            batch,
            item: ItemId(9),
            from: at("secret.key"),
            to: at("secret.key"),
            source: None,
            outcome: Outcome::Failed(failure),
        });
        stage
    }
}

#[test]
fn panes_with_hard_names() {
    for (label, size) in [("small", SMALL), ("usual", USUAL), ("large", LARGE)] {
        let mut stage = Stage::connected(size);
        stage.keys([Code::Down, Code::Down]).typed("  ");
        assert_snapshot!(format!("panes-{label}"), stage.screen());
    }
}

#[test]
fn the_name_under_the_cursor_is_told_whole() {
    let mut stage = Stage::connected(LARGE);
    stage.keys([Code::End]);
    assert_snapshot!(stage.screen());
}

#[test]
fn nobody_connected() {
    let mut stage = Stage::new(USUAL);
    stage.keys([Code::Tab]);
    assert_snapshot!(stage.screen());
}

#[test]
fn transfers_run() {
    for (label, size) in [("small", SMALL), ("usual", USUAL), ("large", LARGE)] {
        assert_snapshot!(format!("transfers-{label}"), Stage::transferring(size).screen());
    }
}

#[test]
fn transfers_wait_for_the_link() {
    for (label, size) in [("small", SMALL), ("usual", USUAL)] {
        let mut stage = Stage::transferring(size);
        let next = stage.now + Duration::from_millis(2500);
        let reason = Failure::new(Situation::ConnectionRefused, "box:7227");
        stage.event(Event::Link(LinkState::Reconnecting { attempt: 3, next, reason }));
        assert_snapshot!(format!("link-lost-{label}"), stage.screen());
    }
}

#[test]
fn the_link_is_down_for_good() {
    let mut stage = Stage::connected(USUAL);
    let reason = Failure::new(Situation::LoginRefused, "anna@box");
    stage.event(Event::Link(LinkState::Down { reason }));
    assert_snapshot!(stage.screen());
}

#[test]
fn transfers_ended() {
    let mut stage = Stage::transferring(USUAL);
    stage.now += Duration::from_mins(1);
    let summary = Summary {
        done: 11,
        unchanged: 1,
        skipped: 0,
        failed: 1,
        bytes: 4_000 * MB,
        moved: 4_100 * MB,
        planned: None,
        failures: vec![],
    };
    stage.told(Told::Summary { batch: BatchId(1), summary });
    assert_snapshot!(stage.screen());
}

#[test]
fn carried_rows_have_a_ghost_and_a_target() {
    let mut stage = Stage::connected(USUAL);
    stage.keys([Code::End]).typed(" ").keys([Code::Up]).typed(" ");
    let y = u16::try_from(stage.app.panes[0].cursor - stage.app.panes[0].offset).unwrap() + 2;
    stage.mouse(MouseKind::Down, 6, y).mouse(MouseKind::Drag, 45, 3);
    assert_snapshot!(stage.screen());
}

#[test]
fn a_band_grows() {
    let mut stage = Stage::connected(USUAL);
    stage.mouse(MouseKind::Down, 6, 3).mouse(MouseKind::Drag, 6, 7);
    assert_snapshot!(stage.screen());
}

#[test]
fn dialog_connect() {
    let mut stage = Stage::new(USUAL);
    let dialog = ConnectDialog::for_account(&account(), RemotePath::home());
    stage.app.dialogs.push(Dialog::Connect(dialog));
    stage.typed("secret");
    assert_snapshot!("dialog-connect", stage.screen());
    stage.keys([Code::Enter]);
    let Connection::Connecting { attempt, .. } = stage.app.connection else { panic!() };
    assert_snapshot!("dialog-connecting", stage.screen());
    let failure = Failure::new(Situation::LoginRefused, "anna@box");
    stage.event(Event::Connection { attempt, outcome: ConnectOutcome::Failed(failure) });
    stage.app.screen = SMALL;
    assert_snapshot!("dialog-connect-refused-small", stage.screen());
}

#[test]
fn dialog_identity() {
    for (label, size) in [("small", SMALL), ("usual", USUAL)] {
        let mut stage = Stage::new(size);
        let login = Login { account: account(), password: None, folder: RemotePath::home() };
        let fingerprint = "SHA256:n3vB8Qy0p3H1m9E4xkqzL5dXJ7tS2aRfW6uYcGhKoVw".to_owned();
        stage.app.dialogs.push(Dialog::identity(login, fingerprint));
        assert_snapshot!(format!("dialog-identity-{label}"), stage.screen());
    }
}

#[test]
fn dialog_overwrite() {
    for (label, size) in [("small", SMALL), ("usual", USUAL), ("large", LARGE)] {
        let mut stage = Stage::connected(size);
        let from = crate::app::testing::home().join(&name("ascii.txt")).unwrap();
        let to = Location::Remote(RemotePath::parse(b"docs/ascii.txt").unwrap());
        let old = sampan_protocol::Timestamp::new(1_700_000_000, 0).unwrap();
        let mut there = file("ascii.txt", 999).attributes;
        there.mtime = old;
        stage.app.transfers.begin(BatchId(1), crate::app::testing::order(), stage.now);
        stage.told(Told::Conflict {
            batch: BatchId(1),
            item: ItemId(1),
            from: (from, file("ascii.txt", 1_234_567).attributes),
            to: (to, there),
        });
        assert_snapshot!(format!("dialog-overwrite-{label}"), stage.screen());
    }
}

#[test]
fn dialog_delete() {
    let mut stage = Stage::connected(USUAL);
    stage.keys([Code::Tab, Code::Down]).typed("  ").keys([Code::F(8)]);
    assert_snapshot!("dialog-delete-remote", stage.screen());
    let mut stage = Stage::connected(SMALL);
    stage.keys([Code::Down]).typed(&" ".repeat(13)).keys([Code::F(8)]);
    assert_snapshot!("dialog-delete-local-small", stage.screen());
}

#[test]
fn dialog_names() {
    let mut stage = Stage::connected(USUAL);
    stage.keys([Code::F(7)]).typed("新しい").typed("/").keys([Code::Enter]);
    assert_snapshot!("dialog-new-folder", stage.screen());
    let mut stage = Stage::connected(USUAL);
    stage.keys([Code::Tab, Code::Down, Code::Down, Code::F(2)]);
    assert_snapshot!("dialog-rename", stage.screen());
}

#[test]
fn dialog_quit_and_help() {
    let mut stage = Stage::transferring(USUAL);
    stage.keys([Code::F(10)]);
    assert_snapshot!("dialog-quit", stage.screen());
    let mut stage = Stage::connected(USUAL);
    stage.keys([Code::F(1)]);
    assert_snapshot!("dialog-help-top", stage.screen());
    stage.keys([Code::PageDown; 20]);
    assert_snapshot!("dialog-help-end", stage.screen());
}

#[test]
fn dialog_failures() {
    let mut stage = Stage::connected(USUAL);
    let over = Situation::OverQuota { needed: 3_000 * MB, available: 12 * MB };
    stage.app.dialogs.push(Dialog::failures(vec![
        Failure::new(over, "sampan://anna@box/docs/big.iso"),
        Failure::new(Situation::PermissionDenied(Side::Local), "/home/anna/secret.key"),
    ]));
    assert_snapshot!(stage.screen());
}

#[test]
fn a_terminal_that_is_too_small_says_so() {
    assert_snapshot!(Stage::connected(Size { columns: 40, rows: 10 }).screen());
}

/// Every size paints without a panic, dialogs and gestures included.
#[test]
fn every_size_paints() {
    for columns in (1..130).step_by(7).chain(59..62) {
        for rows in (1..45).step_by(4).chain(15..18) {
            let mut stage = Stage::transferring(USUAL);
            stage.event(Event::Resized(Size { columns, rows }));
            stage.screen();
            stage.keys([Code::F(1)]);
            stage.screen();
            stage.keys([Code::Esc, Code::F(8)]);
            stage.screen();
        }
    }
}

#[test]
fn no_escape_sequence_of_a_name_reaches_the_terminal() {
    let screen = Stage::connected(LARGE).screen();
    assert!(!screen.chars().any(|c| c.is_control() && c != '\n'));
    assert!(screen.contains("\\x1b[31mred"));
    assert!(screen.contains("\\u{202e}"));
}

/// Painting and moving cost by what is in view.
#[test]
fn a_hundred_thousand_rows_paint_as_fast_as_ten() {
    let entries: Vec<Entry> = (0..100_000).map(|index| file(&format!("f{index}"), 1)).collect();
    let mut stage = Stage::connected(USUAL);
    stage.app.pane_mut(PaneId::Left).receive(rows(&entries), 0, true, 10);
    let began = Instant::now();
    for _ in 0..20 {
        stage.keys([Code::End]).screen();
        stage.keys([Code::Home]).screen();
    }
    let each = began.elapsed() / 40;
    assert!(each < Duration::from_millis(50), "{each:?} for a key and a screen");
}
