//! The buffer, with what every widget needs to paint on it.

use std::time::Instant;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::widgets::{Block, BorderType, Clear, Widget};

use super::theme::Theme;
use crate::app::layout::Area;
use crate::app::width::{fit, fit_right, truncate, width};

/// What widgets paint on.
pub(super) struct Paint<'a> {
    pub(super) buffer: &'a mut Buffer,
    pub(super) theme: Theme,
    pub(super) now: Instant,
}

impl Paint<'_> {
    /// Text from the left edge of the first row; what does not fit is cut.
    pub(super) fn text(&mut self, area: Area, text: &str, style: Style) {
        if area.height == 0 {
            return;
        }
        let columns = usize::from(area.width);
        let cut = truncate(text, columns);
        self.buffer.set_stringn(area.x, area.y, cut, columns, style);
    }

    /// The same, and the rest of the row in the same style.
    pub(super) fn filled(&mut self, area: Area, text: &str, style: Style) {
        if area.height == 0 {
            return;
        }
        let columns = usize::from(area.width);
        let cut = truncate(text, columns);
        self.buffer.set_stringn(area.x, area.y, fit(&cut, columns), columns, style);
    }

    /// Text to the right edge of the first row.
    pub(super) fn right(&mut self, area: Area, text: &str, style: Style) {
        let columns = width(text).min(usize::from(area.width));
        let start = area.width - u16::try_from(columns).unwrap_or(area.width);
        let area = Area { x: area.x + start, width: area.width - start, ..area };
        self.text(area, &fit_right(text, columns), style);
    }

    /// A frame; the focused one is a double line.
    pub(super) fn frame(&mut self, area: Area, double: bool, style: Style) {
        let kind = if double { BorderType::Double } else { BorderType::Plain };
        Block::bordered().border_type(kind).border_style(style).render(rect(area), self.buffer);
    }

    /// Nothing. A wide character that would reach into the area from its left is taken away, for
    /// the terminal would print it over the area's edge.
    pub(super) fn clear(&mut self, area: Area) {
        Clear.render(rect(area), self.buffer);
        let Some(left) = area.x.checked_sub(1) else { return };
        for y in area.y..area.y.saturating_add(area.height) {
            if let Some(cell) = self.buffer.cell_mut((left, y))
                && width(cell.symbol()) > 1
            {
                cell.set_symbol(" ");
            }
        }
    }
}

/// The same rectangle in the drawing library's words.
pub(super) fn rect(area: Area) -> Rect {
    Rect::new(area.x, area.y, area.width, area.height)
}
