//! The screen, as a person uses it: the real program on a terminal, keys and the pointer in, the
//! picture out.
//!
//! Invariant: every step waits for what it needs to see, never for time to pass.

mod breaking;
mod carrying;
mod changing;
mod connecting;
mod leaving;
mod marking;
mod names;
mod restoring;
pub(crate) mod sampand;
pub(crate) mod sluice;
mod tmux;

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::program::Program;
use crate::server::User;
use crate::terminal::OnTerminal;

/// Columns and rows of most journeys.
const SIZE: (u16, u16) = (100, 30);

const ENTER: &str = "\r";
const TAB: &str = "\t";
const CTRL_C: &str = "\x03";
const CTRL_U: &str = "\x15";
const F2: &str = "\x1bOQ";
const F5: &str = "\x1b[15~";
const F6: &str = "\x1b[17~";
const F7: &str = "\x1b[18~";
const F8: &str = "\x1b[19~";
const F10: &str = "\x1b[21~";

/// A pane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

/// The screen on a terminal, with a local folder on its left.
struct Journey {
    local: TempDir,
    terminal: OnTerminal,
}

impl Journey {
    /// Opens the home of `user` beside a local folder that holds these files.
    fn begin(user: &User, files: &[(&str, Vec<u8>)]) -> Self {
        Self::of_size(user, files, SIZE)
    }

    fn of_size(user: &User, files: &[(&str, Vec<u8>)], size: (u16, u16)) -> Self {
        let local = TempDir::new().unwrap();
        for (name, content) in files {
            fs::write(local.path().join(name), content).unwrap();
        }
        let line = format!("exec $SAMPAN {}", user.place(""));
        Self::of_line(&user.program, local, &line, size)
    }

    /// Opens the screen by a command line, in a local folder.
    fn of_line(program: &Program, local: TempDir, line: &str, size: (u16, u16)) -> Self {
        let terminal = OnTerminal::sized(program, local.path(), line, size);
        let mut journey = Self { local, terminal };
        // Both panes are read, and the quota is known.
        journey.terminal.comes_to("the first look", |face| {
            let both = [Side::Left, Side::Right].map(|side| counts(face, side));
            both.iter().all(|counts| counts.contains("item")) && face.contents().contains("quota")
        });
        journey
    }

    fn local(&self, name: &str) -> PathBuf {
        self.local.path().join(name)
    }

    #[track_caller]
    fn faces(&mut self, text: &str) {
        self.terminal.faces(text);
    }

    fn types(&mut self, text: &str) {
        self.terminal.types(text);
    }

    /// Waits until a pane shows a row of this name, and answers its cell.
    #[track_caller]
    fn finds(&mut self, side: Side, name: &str) -> (u16, u16) {
        self.terminal.comes_to(name, |face| row_of(face, side, name).is_some());
        row_of(self.terminal.face(), side, name).expect("it was there just now")
    }

    /// The left button: down at the first cell, a report at each further one, up at the last.
    fn drags(&mut self, cells: &[(u16, u16)]) {
        let [(x, y), further @ ..] = cells else { return };
        self.types(&format!("\x1b[<0;{};{}M", x + 1, y + 1));
        for (x, y) in further {
            self.types(&format!("\x1b[<32;{};{}M", x + 1, y + 1));
        }
        let (x, y) = cells[cells.len() - 1];
        self.types(&format!("\x1b[<0;{};{}m", x + 1, y + 1));
    }

    /// Leaves by F10 while nothing runs.
    fn leaves(mut self) {
        self.types(F10);
        let (seen, code) = self.terminal.ends();
        assert_eq!(code, 0, "{seen}");
    }
}

/// The cells of a row of the screen, from one column to another.
fn cells(face: &vt100::Screen, y: u16, columns: std::ops::Range<u16>) -> String {
    let mut text = String::new();
    for x in columns {
        let Some(cell) = face.cell(y, x) else { continue };
        if cell.is_wide_continuation() {
            continue;
        }
        text.push_str(if cell.has_contents() { cell.contents() } else { " " });
    }
    text
}

fn columns(face: &vt100::Screen, side: Side) -> std::ops::Range<u16> {
    let (_, all) = face.size();
    let middle = all.get().div_ceil(2);
    match side {
        Side::Left => 0..middle,
        Side::Right => middle..all.get(),
    }
}

/// The rows of a pane's list: between the border and header above, and facts, capacity and border
/// below.
fn list_rows(face: &vt100::Screen, side: Side) -> std::ops::Range<u16> {
    let x = columns(face, side).start;
    let (rows, _) = face.size();
    let corner = |y: &u16| matches!(&*cells(face, *y, x..x + 1), "╚" | "└");
    let bottom = (0..rows.get()).find(corner).unwrap_or(rows.get());
    2..bottom.saturating_sub(2)
}

/// What stands in the bottom border of a pane.
fn counts(face: &vt100::Screen, side: Side) -> String {
    cells(face, list_rows(face, side).end + 2, columns(face, side))
}

/// What stands in the top border of a pane.
fn title(face: &vt100::Screen, side: Side) -> String {
    cells(face, 0, columns(face, side))
}

/// A row's text, without the border.
fn row(face: &vt100::Screen, side: Side, y: u16) -> String {
    let columns = columns(face, side);
    cells(face, y, columns.start + 1..columns.end - 1)
}

/// The cell where the name of a row begins.
fn row_of(face: &vt100::Screen, side: Side, name: &str) -> Option<(u16, u16)> {
    let found = list_rows(face, side).find(|y| {
        let text = row(face, side, *y);
        let text: String = text.chars().skip(2).collect();
        text.starts_with(&format!("{name} ")) || text.starts_with(&format!("{name}/ "))
    })?;
    Some((columns(face, side).start + 3, found))
}

/// Names of the rows that are marked.
fn marked(face: &vt100::Screen, side: Side) -> Vec<String> {
    let rows = list_rows(face, side).map(|y| row(face, side, y));
    let marked = rows.filter(|text| text.starts_with('*'));
    marked
        .map(|text| text[1..].trim_start_matches(['>', '·', ' ']).to_owned())
        .map(|text| text.split("  ").next().unwrap_or_default().trim().to_owned())
        .collect()
}

/// Bytes that look random, different for every seed.
fn noise(seed: u8, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
    bytes
}

#[track_caller]
fn assert_equal(one: &Path, other: &Path) {
    // Not their bytes in the message: they are millions.
    let are_equal = fs::read(one).unwrap() == fs::read(other).unwrap();
    assert!(are_equal, "{} differs from {}", one.display(), other.display());
}
