//! Where everything is on the screen: the one geometry that the view paints and the pointer hits.
//!
//! ```text
//! ╔ path ════════════════╗┌ path ────────────────┐
//! ║ header               ║│                      │
//! ║ list                 ║│                      │
//! ║ facts of the row     ║│                      │
//! ║ disk                 ║│ quota                │
//! ╚ counts ══════════════╝└ counts ──────────────┘
//!  panel: the gauge for all, then a line a transfer
//!  status: link, account, notices
//!  bar: F1 … F10
//! ```
//!
//! Invariant: no two areas overlap but a dialog, which covers what lies under it.

use super::action::{self, Action};
use super::dialog::Control;
use super::pane::PaneId;
use super::width::width;
use super::{App, dialog_layout};

/// Columns and rows of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// The smallest terminal that all fits into.
pub const SMALLEST: Size = Size { columns: 60, rows: 16 };

/// Columns of a row where a click marks.
pub const GUTTER: u16 = 2;

/// Most rows of the transfer panel, and the part of the screen that it may take: a small screen
/// keeps six rows of each list.
const PANEL_MOST: u16 = 9;
const PANEL_PART: u16 = 4;

/// A rectangle of cells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Area {
    /// First column.
    pub x: u16,
    /// First row.
    pub y: u16,
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

impl Area {
    /// A rectangle.
    pub const fn new(x: u16, y: u16, width: u16, height: u16) -> Self {
        Self { x, y, width, height }
    }

    /// Whether a cell is inside.
    pub fn holds(self, x: u16, y: u16) -> bool {
        x >= self.x && y >= self.y && x - self.x < self.width && y - self.y < self.height
    }

    /// Without a frame of one cell.
    #[must_use]
    pub fn inside(self) -> Self {
        Self {
            x: self.x + 1,
            y: self.y + 1,
            width: self.width.saturating_sub(2),
            height: self.height.saturating_sub(2),
        }
    }

    /// One row of it.
    #[must_use]
    pub fn row(self, index: u16) -> Self {
        Self { y: self.y + index, height: 1.min(self.height.saturating_sub(index)), ..self }
    }
}

/// A pane's areas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PaneLayout {
    /// With its border, which carries path and counts.
    pub frame: Area,
    /// The names of the columns.
    pub header: Area,
    /// The rows.
    pub list: Area,
    /// What is known of the row under the cursor.
    pub facts: Area,
    /// What the side can hold.
    pub capacity: Area,
}

/// The areas of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Both panes.
    pub panes: [PaneLayout; 2],
    /// The transfers; no rows if there are none.
    pub panel: Area,
    /// The link and notices.
    pub status: Area,
    /// The F-keys.
    pub bar: Area,
}

/// What lies under the pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hit {
    /// A pane's row, or the empty space below the last one.
    Row {
        /// In which pane.
        pane: PaneId,
        /// Which row; may be beyond the last.
        row: usize,
        /// In the columns that mark.
        gutter: bool,
    },
    /// The rest of a pane.
    Frame(PaneId),
    /// The transfers.
    Panel,
    /// An action of the bottom bar.
    Bar(Action),
    /// A control of the dialog.
    Control(Control),
    /// The rest of the dialog.
    Dialog,
    /// Nothing that can be hit.
    Nothing,
}

/// The areas of the screen; `None` if the terminal is too small.
pub fn layout(app: &App) -> Option<Layout> {
    let Size { columns, rows } = app.screen;
    if columns < SMALLEST.columns || rows < SMALLEST.rows {
        return None;
    }
    let panel_rows = panel_rows(app);
    let above = rows - panel_rows - 2;
    let left = columns.div_ceil(2);
    let left_pane = pane(Area::new(0, 0, left, above));
    let right_pane = pane(Area::new(left, 0, columns - left, above));
    Some(Layout {
        panes: [left_pane, right_pane],
        panel: Area::new(0, above, columns, panel_rows),
        status: Area::new(0, rows - 2, columns, 1),
        bar: Area::new(0, rows - 1, columns, 1),
    })
}

fn panel_rows(app: &App) -> u16 {
    if app.transfers.is_empty() {
        return 0;
    }
    let lines = u16::try_from(app.transfers.line_count()).unwrap_or(u16::MAX);
    // One line stays for what runs, so that panes do not jump with every small file.
    let wanted = lines.max(u16::from(app.transfers.is_running())).saturating_add(1);
    wanted.min((app.screen.rows - PANEL_PART) / PANEL_PART).min(PANEL_MOST)
}

fn pane(frame: Area) -> PaneLayout {
    let inside = frame.inside();
    let list_rows = inside.height.saturating_sub(3);
    PaneLayout {
        frame,
        header: inside.row(0),
        list: Area { y: inside.y + 1, height: list_rows, ..inside },
        facts: inside.row(inside.height - 2),
        capacity: inside.row(inside.height - 1),
    }
}

/// The bottom bar's buttons, from left to right; those that do not fit are left out. None while
/// the transfers have the keys: they mean other things then.
pub fn bar(app: &App, area: Area) -> Vec<(Area, Action, String)> {
    if app.in_panel {
        return Vec::new();
    }
    let actions: Vec<_> = action::bar().collect();
    let wide = |(_, number, label): &(Action, u8, &str)| format!(" F{number} {label} ");
    let narrow = |(_, number, label): &(Action, u8, &str)| format!("{number} {label} ");
    let total: usize = actions.iter().map(|action| width(&wide(action))).sum();
    let fits = total <= usize::from(app.screen.columns);
    let mut x = area.x;
    let mut buttons = Vec::new();
    for action in &actions {
        let label = if fits { wide(action) } else { narrow(action) };
        let columns = u16::try_from(width(&label)).unwrap_or(u16::MAX);
        if columns > area.x + area.width - x {
            break;
        }
        buttons.push((Area::new(x, area.y, columns, 1), action.0, label));
        x += columns;
    }
    buttons
}

/// What lies under a cell.
pub fn hit(app: &App, x: u16, y: u16) -> Hit {
    let Some(layout) = layout(app) else { return Hit::Nothing };
    if let Some(dialog) = app.dialogs.last() {
        return dialog_layout::place(dialog, app).hit(x, y);
    }
    for pane in PaneId::BOTH {
        let areas = &layout.panes[pane.index()];
        if areas.list.holds(x, y) {
            let row = app.pane(pane).offset + usize::from(y - areas.list.y);
            return Hit::Row { pane, row, gutter: x - areas.list.x < GUTTER };
        }
        if areas.frame.holds(x, y) {
            return Hit::Frame(pane);
        }
    }
    if layout.panel.holds(x, y) {
        return Hit::Panel;
    }
    let buttons = bar(app, layout.bar);
    let button = buttons.iter().find(|(area, _, _)| area.holds(x, y));
    button.map_or(Hit::Nothing, |(_, action, _)| Hit::Bar(*action))
}
