//! One pane: a folder, its rows, the cursor, what is scrolled into view, and the marks.
//!
//! ```text
//! Absent ──navigate──▶ Opening ──rows──▶ Opening ──last rows──▶ Complete ──reload──▶ Reloading
//!                         │                                       ▲                     │
//!                         └──failed: back to the folder before    └─────────────────────┘
//! ```
//!
//! Rows are counted with the `..` row, which is 0 where there is a parent. A reload keeps showing
//! the old rows until the new ones are complete; cursor, scroll and marks follow the names.
//!
//! Invariant: rows, marks and cursor belong to `location`; an answer with another generation than
//! the pane's changes nothing.

use std::sync::Arc;

use sampan_protocol::{Entry, EntryKind, Name};

use super::listing::Rows;
use super::marks::Marks;
use super::order::Order;
use crate::place::Location;

/// Which pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PaneId {
    /// The left one.
    Left,
    /// The right one.
    Right,
}

impl PaneId {
    /// Both, from left to right.
    pub const BOTH: [Self; 2] = [Self::Left, Self::Right];

    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Left => Self::Right,
            Self::Right => Self::Left,
        }
    }

    /// Its place in arrays.
    pub fn index(self) -> usize {
        match self {
            Self::Left => 0,
            Self::Right => 1,
        }
    }
}

/// Which of a pane's listings: rises with each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub u64);

/// How far a pane's rows are read.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// Nothing to read: not connected.
    Absent,
    /// Rows arrive.
    Opening,
    /// All rows are there.
    Complete,
    /// All rows are there, and newer ones are being read.
    Reloading,
}

/// A row of a pane.
#[derive(Clone, Copy, Debug)]
pub enum Row<'a> {
    /// The folder that holds this one.
    Parent,
    /// A name in the folder.
    Entry(&'a Arc<Entry>),
}

/// Which row, whatever its number is by now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowName {
    /// The folder that holds this one.
    Parent,
    /// A name in the folder.
    Entry(Name),
}

/// One pane.
#[derive(Clone, Debug)]
pub struct Pane {
    /// The folder that it shows.
    pub location: Location,
    /// How far it is read.
    pub reading: Reading,
    /// Its current listing.
    pub generation: Generation,
    /// How rows are sorted.
    pub order: Order,
    /// The row under the cursor.
    pub cursor: usize,
    /// The first row in view.
    pub offset: usize,
    /// What is marked.
    pub marks: Marks,
    /// Names that could not be described.
    pub unreadable: u64,
    rows: Rows,
    /// The name that the cursor shall stand on as soon as it is there.
    wanted: Option<Name>,
    /// The cursor was moved since the folder was opened.
    moved: bool,
    /// Where it goes back to if the folder cannot be opened.
    before: Option<Box<Before>>,
}

/// What a pane showed before it went elsewhere.
#[derive(Clone, Debug)]
struct Before {
    location: Location,
    rows: Rows,
    cursor: usize,
    offset: usize,
    marks: Marks,
}

impl Pane {
    /// A pane that shows nothing yet.
    pub fn new(location: Location) -> Self {
        Self {
            location,
            reading: Reading::Absent,
            generation: Generation::default(),
            order: Order::default(),
            cursor: 0,
            offset: 0,
            marks: Marks::default(),
            unreadable: 0,
            rows: Rows::default(),
            wanted: None,
            moved: false,
            before: None,
        }
    }

    /// Rows, with `..`.
    pub fn len(&self) -> usize {
        self.rows.len() + self.first_entry()
    }

    /// Whether there is no row at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row number of the first entry: 1 behind `..`, else 0.
    pub fn first_entry(&self) -> usize {
        let has_parent = self.reading != Reading::Absent && self.location.parent().is_some();
        usize::from(has_parent)
    }

    /// Entries, without `..`.
    pub fn rows(&self) -> &Rows {
        &self.rows
    }

    /// A row.
    pub fn row(&self, index: usize) -> Option<Row<'_>> {
        match index.checked_sub(self.first_entry()) {
            None => Some(Row::Parent),
            Some(entry) => self.rows.get(entry).map(Row::Entry),
        }
    }

    /// The entry of a row; `None` for `..`.
    pub fn entry(&self, index: usize) -> Option<&Arc<Entry>> {
        self.rows.get(index.checked_sub(self.first_entry())?)
    }

    /// What a row is called.
    pub fn name_of(&self, index: usize) -> Option<RowName> {
        Some(match self.row(index)? {
            Row::Parent => RowName::Parent,
            Row::Entry(entry) => RowName::Entry(entry.name.clone()),
        })
    }

    /// The row that is called so.
    pub fn row_of(&self, name: &RowName) -> Option<usize> {
        match name {
            RowName::Parent => (self.first_entry() == 1).then_some(0),
            RowName::Entry(name) => self.position(name),
        }
    }

    /// Whether the cursor is in view, and not scrolled away from.
    pub fn shows_cursor(&self, height: usize) -> bool {
        (self.offset..self.offset + height.max(1)).contains(&self.cursor)
    }

    /// The entry under the cursor.
    pub fn current(&self) -> Option<&Arc<Entry>> {
        self.entry(self.cursor)
    }

    /// What an action is about: the marked rows, else the one under the cursor.
    pub fn targets(&self) -> Vec<Arc<Entry>> {
        if self.marks.is_empty() {
            self.current().cloned().into_iter().collect()
        } else {
            self.marks.in_order(&self.rows)
        }
    }

    /// Whether rows are on their way.
    pub fn is_being_read(&self) -> bool {
        matches!(self.reading, Reading::Opening | Reading::Reloading)
    }

    /// Goes to a folder; the cursor goes to `wanted` there. Rows have to be asked for.
    pub fn navigate(&mut self, location: Location, wanted: Option<Name>) -> Generation {
        if matches!(self.reading, Reading::Complete | Reading::Reloading) {
            self.before = Some(Box::new(Before {
                location: self.location.clone(),
                rows: std::mem::take(&mut self.rows),
                cursor: self.cursor,
                offset: self.offset,
                marks: std::mem::take(&mut self.marks),
            }));
        }
        self.location = location;
        self.rows = Rows::default();
        self.marks.clear();
        (self.cursor, self.offset) = (0, 0);
        (self.wanted, self.moved) = (wanted, false);
        self.unreadable = 0;
        self.reading = Reading::Opening;
        self.next_generation()
    }

    /// Reads the same folder again.
    pub fn reload(&mut self, wanted: Option<Name>) -> Generation {
        if wanted.is_some() {
            self.wanted = wanted;
        }
        self.reading = match self.reading {
            Reading::Complete | Reading::Reloading => Reading::Reloading,
            Reading::Absent | Reading::Opening => Reading::Opening,
        };
        self.next_generation()
    }

    /// Shows nothing any more: the connection is another one.
    pub fn close(&mut self, location: Location) {
        let generation = self.next_generation();
        *self = Self { generation, order: self.order, ..Self::new(location) };
    }

    fn next_generation(&mut self) -> Generation {
        self.generation.0 += 1;
        self.generation
    }

    /// Rows arrived, for a list of so many rows. What is in view stays there: the cursor, or what a
    /// person scrolled to.
    pub fn receive(&mut self, rows: Rows, unreadable: u64, complete: bool, height: usize) {
        self.before = None;
        self.unreadable = unreadable;
        if !complete && self.reading == Reading::Reloading {
            return;
        }
        let follows = self.wanted.is_some() || self.shows_cursor(height);
        let first = self.name_of(self.offset);
        self.replace_rows(rows);
        if follows {
            self.reveal(height);
        } else if let Some(first) = first.and_then(|first| self.row_of(&first)) {
            self.offset = first.min(self.last_offset(height));
        } else {
            self.scroll(0, height);
        }
        if complete {
            self.marks.refresh(&self.rows);
            self.reading = Reading::Complete;
            self.wanted = None;
        }
    }

    /// The folder cannot be read: back to the one before, if there was one.
    pub fn fail(&mut self) {
        self.wanted = None;
        if self.reading == Reading::Opening
            && let Some(before) = self.before.take()
        {
            let Before { location, rows, cursor, offset, marks } = *before;
            (self.location, self.rows, self.marks) = (location, rows, marks);
            (self.cursor, self.offset) = (cursor, offset);
        }
        self.reading = Reading::Complete;
    }

    fn replace_rows(&mut self, rows: Rows) {
        let on_screen = self.cursor.saturating_sub(self.offset);
        let held = if self.moved { self.current().cloned() } else { None };
        let untouched = held.is_none() && self.cursor < self.first_entry();
        self.rows = rows;
        let found = match (&self.wanted, &held) {
            (Some(name), _) => self.position(name).or_else(|| Some(self.find(held.as_ref()?))),
            (None, Some(entry)) => Some(self.find(entry)),
            (None, None) => None,
        };
        match found {
            Some(cursor) => {
                self.cursor = cursor;
                self.offset = cursor.saturating_sub(on_screen);
                self.moved = true;
            }
            None if untouched => {}
            None => self.cursor = self.cursor.min(self.len().saturating_sub(1)),
        }
        self.offset = self.offset.min(self.len().saturating_sub(1));
    }

    /// The row of a name.
    pub fn position(&self, name: &Name) -> Option<usize> {
        let probe = |folder| {
            self.rows.binary_search_by(|row| {
                let kind = row.attributes.kind == EntryKind::Folder;
                self.order.compare_names((kind, row.name.as_bytes()), (folder, name.as_bytes()))
            })
        };
        probe(true).or_else(|_| probe(false)).ok().map(|index| index + self.first_entry())
    }

    /// The row of an entry; where it would stand if it is gone.
    fn find(&self, entry: &Entry) -> usize {
        if let Some(position) = self.position(&entry.name) {
            return position;
        }
        let place = self.rows.binary_search_by(|row| self.order.compare(row, entry));
        let index = place.unwrap_or_else(|index| index) + self.first_entry();
        index.min(self.len().saturating_sub(1))
    }

    /// Puts the cursor on a row, or on the last one, and scrolls so that it is in view.
    pub fn go_to(&mut self, row: usize, height: usize) {
        self.cursor = row.min(self.len().saturating_sub(1));
        self.moved = true;
        self.wanted = None;
        self.reveal(height);
    }

    /// Scrolls so that the cursor is in view, and no row is wasted at the end.
    pub fn reveal(&mut self, height: usize) {
        let height = height.max(1);
        let first = (self.cursor + 1).saturating_sub(height);
        self.offset = self.offset.clamp(first, self.cursor).min(self.last_offset(height));
    }

    /// Scrolls without moving the cursor.
    pub fn scroll(&mut self, rows: isize, height: usize) {
        let last = self.last_offset(height.max(1));
        self.offset = self.offset.saturating_add_signed(rows).min(last);
    }

    fn last_offset(&self, height: usize) -> usize {
        self.len().saturating_sub(height)
    }
}

#[cfg(test)]
#[path = "pane/tests.rs"]
mod tests;
