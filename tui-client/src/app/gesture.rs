//! What the pointer is in the middle of.
//!
//! ```text
//!            ┌─ gutter ────────▶ Painting ──────────────── up ──▶ marks stay
//! Resting ─down─ marked row ──▶ Pressed ─ 2 cells ─▶ Carrying ─ up ──▶ copy or move there
//!            ├─ other row ─────▶ Pressed ─ next row ▶ Banding ── up ──▶ marks stay
//!            │                                          │  ▲
//!            │                                other pane ▼  │ back again
//!            │                                       Carrying that one row
//!            └─ button ────────▶ Button ─ up on it ─▶ runs it
//! ```
//!
//! Esc, a resize, a lost focus and a second press without an up take everything back.
//!
//! Rows are kept by name, or found again by it when others take their places: transfers reload a
//! pane under the pointer.
//!
//! Invariant: while a gesture is under way, `before` holds the marks that a cancel restores.

use std::time::{Duration, Instant};

use std::sync::Arc;

use sampan_protocol::Entry;

use super::layout::Hit;
use super::marks::Marks;
use super::pane::{PaneId, RowName};
use crate::place::Location;

/// Two presses on one row within so long are a double click.
pub const DOUBLE_CLICK: Duration = Duration::from_millis(400);

/// Marked rows are carried once the pointer has moved so many cells; less is a shaky click.
pub const CARRY_THRESHOLD: u16 = 2;

/// Dragging beyond the edge scrolls this often.
pub const SCROLL_EVERY: Duration = Duration::from_millis(50);

/// What the pointer is in the middle of.
#[derive(Clone, Debug, Default)]
pub enum Gesture {
    /// Nothing.
    #[default]
    Resting,
    /// The button went down on a row; what it becomes is open.
    Pressed(Press),
    /// Marks follow the pointer in the gutter.
    Painting(Sweep),
    /// Marks follow the pointer from an unmarked row.
    Banding(Sweep),
    /// Rows are carried.
    Carrying(Carry),
    /// The button went down on something to press.
    Button(Hit),
    /// The rest of a gesture that is over, until the button goes up.
    Spent,
}

/// The button went down on a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Press {
    /// In which pane.
    pub pane: PaneId,
    /// Which row.
    pub row: RowName,
    /// Where.
    pub x: u16,
    /// Where.
    pub y: u16,
    /// The row is marked.
    pub marked: bool,
}

/// Marks follow the pointer over rows.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// In which pane.
    pub pane: PaneId,
    /// The row where it began.
    pub anchor: usize,
    /// The row where it is now.
    pub reached: usize,
    /// Whether rows get marked or unmarked.
    pub mark: bool,
    /// The marks before.
    pub before: Marks,
    /// Rows beyond the edge, negative above: the pane scrolls while it is not 0.
    pub beyond: i32,
    /// When it scrolled last.
    pub scrolled: Instant,
}

/// Rows are carried.
#[derive(Clone, Debug)]
pub struct Carry {
    /// From which pane.
    pub pane: PaneId,
    /// Which.
    pub items: Vec<Arc<Entry>>,
    /// Where the pointer is.
    pub x: u16,
    /// Where the pointer is.
    pub y: u16,
    /// Where they would go.
    pub target: Option<DropTarget>,
    /// It came from a band, and is one again if it comes back.
    pub band: Option<Sweep>,
    /// Ctrl was down at the last report.
    pub ctrl: bool,
}

/// Where carried rows would go.
#[derive(Clone, Debug, PartialEq)]
pub struct DropTarget {
    /// Over which pane.
    pub pane: PaneId,
    /// Over which row, if it is a folder's or the parent's.
    pub row: Option<usize>,
    /// Into which folder.
    pub folder: Location,
    /// They move instead of being copied.
    pub moves: bool,
}

/// A press, to tell a double click.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Click {
    /// In which pane.
    pub pane: PaneId,
    /// On which row.
    pub row: RowName,
    /// When.
    pub at: Instant,
}

impl Gesture {
    /// Whether a cancel would take something back.
    pub fn is_active(&self) -> bool {
        !matches!(self, Self::Resting | Self::Spent)
    }

    /// The sweep that is under way, or may be again.
    pub fn sweep(&self) -> Option<&Sweep> {
        match self {
            Self::Painting(sweep) | Self::Banding(sweep) => Some(sweep),
            Self::Carrying(carry) => carry.band.as_ref(),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub fn sweep_mut(&mut self) -> Option<&mut Sweep> {
        match self {
            Self::Painting(sweep) | Self::Banding(sweep) => Some(sweep),
            Self::Carrying(carry) => carry.band.as_mut(),
            _ => None,
        }
    }

    /// Whether the pane scrolls by itself.
    pub fn scrolls_at(&self) -> Option<Instant> {
        match self {
            Self::Painting(sweep) | Self::Banding(sweep) if sweep.beyond != 0 => {
                Some(sweep.scrolled + SCROLL_EVERY)
            }
            _ => None,
        }
    }
}
