//! A pane: path, rows, what is known of the row under the cursor, counts, capacity.

use ratatui::style::Style;
use sampan_protocol::{Entry, EntryKind};

use super::gauge;
use super::paint::Paint;
use crate::app::App;
use crate::app::gesture::Gesture;
use crate::app::layout::{Area, PaneLayout};
use crate::app::pane::{Pane, PaneId, Reading, Row};
use crate::app::quota::Quota;
use crate::app::width::{fit, fit_right, truncate_middle, truncate_start, width};
use crate::catalogue::screen as text;
use crate::place::Location;
use crate::remote::LinkState;

/// Columns of the gauge for what a side can hold.
const SHORTEST_GAUGE: usize = 6;
const LONGEST_GAUGE: usize = 20;

/// Columns of a list of this width.
#[derive(Clone, Copy, Debug)]
struct Columns {
    name: usize,
    size: usize,
    changed: usize,
}

impl Columns {
    fn of(list: u16) -> Self {
        let all = usize::from(list);
        let (size, changed) = match all {
            50.. => (7, 16),
            36..50 => (7, 10),
            _ => (5, 7),
        };
        Self { name: all.saturating_sub(2 + 1 + size + 1 + changed), size, changed }
    }
}

pub(super) fn paint(app: &App, id: PaneId, areas: &PaneLayout, paint: &mut Paint) {
    let pane = app.pane(id);
    let focused = app.focus == id;
    let border = if focused { paint.theme.focused_border } else { paint.theme.border };
    paint.frame(areas.frame, focused, border);
    title(app, pane, areas.frame, border, paint);
    if pane.reading == Reading::Absent {
        absent(areas.list, paint);
        return;
    }
    counts(pane, areas.frame, border, paint);
    header(areas.header, paint);
    list(app, id, areas.list, paint);
    facts(app, pane, areas.facts, paint);
    capacity(app, pane, areas.capacity, paint);
}

fn title(app: &App, pane: &Pane, frame: Area, style: Style, paint: &mut Paint) {
    let row = Area { x: frame.x + 1, width: frame.width.saturating_sub(2), ..frame.row(0) };
    let mut room = usize::from(row.width);
    if let Some(state) = link_title(app, pane, paint) {
        let state = format!(" {state} ");
        paint.right(row, &state, paint.theme.bad);
        room = room.saturating_sub(width(&state) + 1);
    }
    let path = match (&pane.location, app.connection.account()) {
        (Location::Remote(path), Some(account)) => account.show(path),
        (Location::Remote(_), None) => text::SERVER_SIDE.to_owned(),
        (Location::Local(_), _) => pane.location.to_string(),
    };
    let path = format!(" {} ", truncate_start(&path, room.saturating_sub(2)));
    paint.text(row, &path, style);
}

/// What a broken link says in the title of the pane that it concerns.
fn link_title(app: &App, pane: &Pane, paint: &Paint) -> Option<String> {
    if !matches!(pane.location, Location::Remote(_)) {
        return None;
    }
    match app.connection.link()? {
        LinkState::Down { .. } => Some(text::TITLE_DOWN.to_owned()),
        LinkState::Reconnecting { .. } => {
            let seconds = app.connection.seconds_to_next_try(paint.now).unwrap_or(0);
            Some(text::title_reconnecting(seconds))
        }
        LinkState::Live { .. } | LinkState::Silent { .. } => None,
    }
}

fn absent(list: Area, paint: &mut Paint) {
    let middle = list.height.saturating_sub(2) / 2;
    for (row, line) in (middle..).zip(text::NOT_CONNECTED_LINES) {
        let left = list.width.saturating_sub(u16::try_from(width(line)).unwrap_or(0)) / 2;
        let area = list.row(row);
        paint.text(
            Area { x: area.x + left, width: area.width - left, ..area },
            line,
            paint.theme.plain,
        );
    }
}

/// In the bottom border: what is marked or how many there are, and how far down.
fn counts(pane: &Pane, frame: Area, style: Style, paint: &mut Paint) {
    let bottom = frame.row(frame.height.saturating_sub(1));
    let row = Area { x: bottom.x + 1, width: bottom.width.saturating_sub(2), ..bottom };
    let total = pane.rows().len();
    let (counts, style) = if pane.marks.is_empty() {
        let counts = match pane.reading {
            Reading::Opening => text::reading(total),
            _ => text::count(total, pane.unreadable),
        };
        (counts, style)
    } else {
        let [long, short] = text::marked(pane.marks.extent(), total);
        let fits = width(&long) + 2 <= usize::from(row.width);
        (if fits { long } else { short }, paint.theme.marked)
    };
    let counts = format!(" {counts} ");
    let position = format!(" {} ", text::position(pane.cursor, pane.len()));
    if width(&counts) + width(&position) < usize::from(row.width) {
        paint.right(row, &position, paint.theme.border);
    }
    paint.text(row, &counts, style);
}

fn header(area: Area, paint: &mut Paint) {
    let Columns { name, size, changed } = Columns::of(area.width);
    let line = format!(
        "  {} {} {}",
        fit(text::HEAD_NAME, name),
        fit_right(text::HEAD_SIZE, size),
        fit(text::HEAD_CHANGED, changed)
    );
    paint.text(area, &line, paint.theme.head);
}

fn list(app: &App, id: PaneId, area: Area, paint: &mut Paint) {
    let pane = app.pane(id);
    let columns = Columns::of(area.width);
    let first = pane.offset;
    let last = pane.len().min(first + usize::from(area.height));
    for (line, index) in (first..last).enumerate() {
        let Some(row) = pane.row(index) else { continue };
        let area = area.row(u16::try_from(line).unwrap_or(u16::MAX));
        let look = Look::of(app, id, index, row);
        let text = cells(app, row, columns, look);
        paint.filled(area, &text, look.style(row, paint));
    }
    if pane.rows().is_empty() {
        let word = if pane.reading == Reading::Opening { text::READING } else { text::EMPTY };
        let below = u16::try_from(pane.len()).unwrap_or(u16::MAX);
        let area = area.row(below.min(area.height));
        let area = Area { x: area.x + 2, width: area.width.saturating_sub(2), ..area };
        paint.text(area, word, paint.theme.faint);
    }
}

/// How a row stands out.
#[derive(Clone, Copy, Debug)]
struct Look {
    marked: bool,
    accent: Accent,
    broken: bool,
}

/// What points at a row.
#[derive(Clone, Copy, Debug)]
enum Accent {
    None,
    /// Carried rows would go there.
    Target,
    /// The cursor of the pane that takes the keys.
    Cursor,
    /// The cursor of the other one.
    IdleCursor,
}

impl Look {
    fn of(app: &App, id: PaneId, index: usize, row: Row) -> Self {
        let pane = app.pane(id);
        let marked = match row {
            Row::Parent => false,
            Row::Entry(entry) => pane.marks.holds(&entry.name),
        };
        let target = match &app.gesture {
            Gesture::Carrying(carry) => carry
                .target
                .as_ref()
                .is_some_and(|target| target.pane == id && target.row == Some(index)),
            _ => false,
        };
        let accent = match (target, pane.cursor == index, app.focus == id) {
            (true, _, _) => Accent::Target,
            (false, true, true) => Accent::Cursor,
            (false, true, false) => Accent::IdleCursor,
            (false, false, _) => Accent::None,
        };
        let broken = matches!(pane.location, Location::Remote(_)) && app.connection.is_broken();
        Self { marked, accent, broken }
    }

    /// The two columns before the name: a mark, and a sign for cursor or drop target.
    fn gutter(self) -> String {
        let mark = if self.marked { '*' } else { ' ' };
        let sign = match self.accent {
            Accent::Target => '→',
            Accent::Cursor => '>',
            Accent::IdleCursor => '·',
            Accent::None => ' ',
        };
        format!("{mark}{sign}")
    }

    fn style(self, row: Row, paint: &Paint) -> Style {
        let theme = &paint.theme;
        let kind = match row {
            Row::Parent => EntryKind::Folder,
            Row::Entry(entry) => entry.attributes.kind,
        };
        let base = match kind {
            _ if self.marked => theme.marked,
            _ if self.broken => theme.faint,
            EntryKind::Folder => theme.folder,
            EntryKind::Link | EntryKind::Other => theme.link,
            EntryKind::File => theme.plain,
        };
        match self.accent {
            Accent::Target => theme.target,
            Accent::Cursor => base.patch(theme.cursor),
            Accent::IdleCursor => base.patch(theme.idle_cursor),
            Accent::None => base,
        }
    }
}

fn cells(app: &App, row: Row, columns: Columns, look: Look) -> String {
    let Columns { name, size, changed } = columns;
    let (label, bytes, moment) = match row {
        Row::Parent => ("..".to_owned(), String::new(), String::new()),
        Row::Entry(entry) => {
            let moment = text::moment_in(entry.attributes.mtime, &app.zone, changed);
            (label(entry), size_cell(entry, size), moment)
        }
    };
    format!(
        "{}{} {} {}",
        look.gutter(),
        fit(&label, name),
        fit_right(&bytes, size),
        fit(&moment, changed)
    )
}

/// The name with a sign for its kind, as `ls -F` puts it.
fn label(entry: &Entry) -> String {
    let sign = match entry.attributes.kind {
        EntryKind::File => "",
        EntryKind::Folder => "/",
        EntryKind::Link => "@",
        EntryKind::Other => "=",
    };
    format!("{}{sign}", entry.name)
}

fn size_cell(entry: &Entry, columns: usize) -> String {
    match entry.attributes.kind {
        EntryKind::File if columns < 7 => text::size_short(entry.attributes.size),
        EntryKind::File => sampan_protocol::ByteSize(entry.attributes.size).to_string(),
        EntryKind::Folder if columns < 7 => String::new(),
        EntryKind::Folder => text::FOLDER_SIZE.to_owned(),
        EntryKind::Link => text::LINK_SIZE.to_owned(),
        EntryKind::Other => text::OTHER_SIZE.to_owned(),
    }
}

/// Everything about the row under the cursor; the name gets what room the rest leaves.
fn facts(app: &App, pane: &Pane, area: Area, paint: &mut Paint) {
    let Some(entry) = pane.current() else { return };
    let attributes = &entry.attributes;
    let mut parts = vec![
        text::mode(attributes.mode),
        text::moment(attributes.mtime, &app.zone),
        match attributes.kind {
            EntryKind::File => text::size_both(attributes.size),
            _ => size_cell(entry, 7),
        },
    ];
    let room = usize::from(area.width);
    let name = label(entry);
    // The size stays longest: it is the fact that the row may cut.
    let mut rest = String::new();
    while let Some(part) = parts.pop() {
        let longer = format!("{rest} · {part}");
        if width(&longer) + width(&name).min(12) > room {
            break;
        }
        rest = longer;
    }
    let name = truncate_middle(&name, room.saturating_sub(width(&rest)));
    paint.text(area, &format!("{name}{rest}"), paint.theme.faint);
}

/// What the side can hold: the quota there, the disk here.
fn capacity(app: &App, pane: &Pane, area: Area, paint: &mut Paint) {
    let (word, fraction, says) = match &pane.location {
        Location::Remote(_) => {
            let Some(answer) = &app.quota.answer else { return };
            (text::QUOTA, Quota::fraction(answer), text::quota(answer).to_vec())
        }
        Location::Local(_) => {
            let Some(space) = &app.space else { return };
            let used = space.total.saturating_sub(space.free);
            let fraction = gauge::fraction(used, space.total);
            (text::DISK, Some(fraction), vec![text::disk_free(space.free)])
        }
    };
    // The longest words that leave room for a gauge.
    let room = |says: &str| usize::from(area.width).saturating_sub(width(word) + width(says) + 2);
    let fitting = says.iter().find(|says| room(says) >= SHORTEST_GAUGE).or(says.last());
    let Some(says) = fitting else { return };
    let bar = match fraction {
        Some(fraction) => format!("{} ", gauge::bar(fraction, room(says).min(LONGEST_GAUGE))),
        None => String::new(),
    };
    let line = format!("{word} {bar}{says}");
    let full = fraction.is_some_and(|fraction| fraction >= 0.95);
    let style = if full { paint.theme.bad } else { paint.theme.filled };
    paint.text(area, &line, style);
}
