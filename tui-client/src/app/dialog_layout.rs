//! Where a dialog's lines, fields and buttons are.

use super::App;
use super::dialog::content::{Block, Content};
use super::dialog::{Control, Dialog};
use super::layout::{Area, Hit};
use super::width::{fit, truncate, truncate_middle, width, wrap};

/// Columns of text at least and at most.
const NARROWEST: usize = 44;
const WIDEST: usize = 76;

/// Columns around the text: border and a space on both sides, and one cell to the screen's edge.
const AROUND: u16 = 6;

/// A dialog's areas and lines.
#[derive(Clone, Debug)]
pub struct DialogLayout {
    /// With its border.
    pub frame: Area,
    /// In the border.
    pub title: &'static str,
    /// The text that is in view.
    pub lines: Vec<(Area, DialogLine)>,
    /// The first line of the text that is in view.
    pub scroll: usize,
    /// There is more text above, below.
    pub more: (bool, bool),
    /// Each field: its label and where its text is.
    pub fields: Vec<(Area, Area)>,
    /// The tick box.
    pub tick_box: Option<(Area, String)>,
    /// The buttons.
    pub buttons: Vec<(Area, String)>,
}

/// A line of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DialogLine {
    /// The text, no wider than its area.
    pub text: String,
    /// It matters most.
    pub strong: bool,
}

impl DialogLayout {
    /// What lies under a cell.
    pub fn hit(&self, x: u16, y: u16) -> Hit {
        let button = self.buttons.iter().position(|(area, _)| area.holds(x, y));
        if let Some(index) = button {
            return Hit::Control(Control::Button(index));
        }
        if self.tick_box.as_ref().is_some_and(|(area, _)| area.holds(x, y)) {
            return Hit::Control(Control::TickBox);
        }
        let field =
            self.fields.iter().position(|(label, area)| label.holds(x, y) || area.holds(x, y));
        field.map_or(Hit::Dialog, |index| Hit::Control(Control::Field(index)))
    }
}

/// Places a dialog in the middle of the screen.
pub fn place(dialog: &Dialog, app: &App) -> DialogLayout {
    let content = Content::of(dialog, app);
    let form = dialog.form();
    let room = usize::from(app.screen.columns.saturating_sub(AROUND));
    let natural = content.blocks.iter().map(natural_width).max().unwrap_or(0);
    let columns = natural.clamp(NARROWEST.min(room), WIDEST.min(room));
    let lines: Vec<DialogLine> =
        content.blocks.iter().flat_map(|block| lines(block, columns, &content.blocks)).collect();

    let button_texts: Vec<String> = form.buttons.iter().map(|button| button.text.shown()).collect();
    let button_rows = arrange(&button_texts, columns);
    let rows_of = |count: usize| u16::try_from(count).unwrap_or(u16::MAX);
    let below = rows_of(form.fields.len())
        + u16::from(!form.fields.is_empty())
        + u16::from(form.tick_box.is_some())
        + 1
        + rows_of(button_rows.last().map_or(0, |(row, _)| row + 1));
    let most_lines = app.screen.rows.saturating_sub(below + 2).max(1);
    let text_rows = rows_of(lines.len()).min(most_lines);

    let size = (rows_of(columns) + 4, text_rows + below + 2);
    let frame = Area::new(
        (app.screen.columns.saturating_sub(size.0)) / 2,
        (app.screen.rows.saturating_sub(size.1)) / 2,
        size.0,
        size.1,
    );
    let inner = Area { x: frame.x + 2, width: rows_of(columns), ..frame.inside() };

    let scroll = form.scroll.min(lines.len() - usize::from(text_rows));
    let more = (scroll > 0, lines.len() - scroll > usize::from(text_rows));
    let in_view = lines.into_iter().skip(scroll).take(usize::from(text_rows));
    let lines = (0..).map(|row| inner.row(row)).zip(in_view).collect();

    let mut row = text_rows + u16::from(!form.fields.is_empty());
    let label_columns = form.fields.iter().map(|field| width(field.label)).max().unwrap_or(0) + 1;
    let mut fields = Vec::new();
    for _ in &form.fields {
        let line = inner.row(row);
        let label = Area { width: rows_of(label_columns), ..line };
        let text =
            Area { x: line.x + label.width, width: line.width.saturating_sub(label.width), ..line };
        fields.push((label, text));
        row += 1;
    }
    let tick_box = form.tick_box.map(|tick_box| {
        let tick = if tick_box.ticked { "[x]" } else { "[ ]" };
        let text = truncate(&format!("{tick} {}", tick_box.text.shown_bare()), columns);
        let area = Area { width: rows_of(width(&text)), ..inner.row(row) };
        row += 1;
        (area, text)
    });
    row += 1;
    let buttons = button_rows
        .into_iter()
        .zip(button_texts)
        .map(|((below, column), text)| {
            let line = inner.row(row + rows_of(below));
            (Area { x: line.x + rows_of(column), width: rows_of(width(&text)), ..line }, text)
        })
        .collect();
    DialogLayout { frame, title: content.title, lines, scroll, more, fields, tick_box, buttons }
}

/// The last first line of a dialog's text: further scrolling would show nothing new.
pub fn last_scroll(dialog: &Dialog, app: &App) -> usize {
    let mut probe = dialog.clone();
    probe.form_mut().scroll = usize::MAX;
    place(&probe, app).scroll
}

/// Row and column of each button, two columns apart.
fn arrange(texts: &[String], columns: usize) -> Vec<(usize, usize)> {
    let (mut row, mut column) = (0, 0);
    texts
        .iter()
        .map(|text| {
            if column > 0 && column + width(text) > columns {
                (row, column) = (row + 1, 0);
            }
            let place = (row, column);
            column += width(text) + 2;
            place
        })
        .collect()
}

fn natural_width(block: &Block) -> usize {
    match block {
        Block::Text(text) | Block::Strong(text) | Block::Line(text) => width(text),
        Block::Fact(head, cells) => {
            width(head) + cells.iter().map(|cell| width(cell) + 2).sum::<usize>()
        }
        Block::Gap => 0,
    }
}

fn lines(block: &Block, columns: usize, all: &[Block]) -> Vec<DialogLine> {
    let line = |text: String, strong| DialogLine { text, strong };
    match block {
        Block::Text(text) => wrap(text, columns).into_iter().map(|l| line(l, false)).collect(),
        Block::Strong(text) => wrap(text, columns).into_iter().map(|l| line(l, true)).collect(),
        Block::Line(text) => vec![line(truncate_middle(text, columns), false)],
        Block::Fact(head, cells) => {
            facts(head, cells, columns, all).into_iter().map(|text| line(text, false)).collect()
        }
        Block::Gap => vec![line(String::new(), false)],
    }
}

/// A row of a table. With one wide last column (the help) it wraps; else cells are cut to fit.
fn facts(head: &str, cells: &[String], columns: usize, all: &[Block]) -> Vec<String> {
    let rows = || {
        all.iter().filter_map(|block| match block {
            Block::Fact(head, cells) => Some((*head, cells)),
            _ => None,
        })
    };
    let has_heads = rows().any(|(head, _)| !head.is_empty());
    if has_heads {
        let head_columns = rows().map(|(head, _)| width(head)).max().unwrap_or(0) + 1;
        let cell_columns = columns.saturating_sub(head_columns) / cells.len().max(1);
        let cells = cells.iter().map(|cell| fit(cell, cell_columns.saturating_sub(1)) + " ");
        return vec![fit(head, head_columns) + &cells.collect::<String>()];
    }
    let [first, rest] = cells else { return vec![truncate(&cells.join(" "), columns)] };
    let widest = rows().map(|(_, cells)| cells.first().map_or(0, |cell| width(cell))).max();
    let first_columns = (widest.unwrap_or(0) + 2).min(columns / 2);
    let wrapped = wrap(rest, columns - first_columns);
    let first = std::iter::once(first.as_str()).chain(std::iter::repeat(""));
    first.zip(wrapped).map(|(first, rest)| fit(first, first_columns) + &rest).collect()
}
