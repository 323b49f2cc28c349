//! The picture of the state: `view` paints an [`App`] by the geometry of [`crate::app::layout`].
//!
//! Widgets are functions over the buffer, one a file; what they show is kept in the state, so there
//! is nothing to remember here.
//!
//! Invariant: painting changes nothing, and costs by what is in view: a hundred thousand rows paint
//! as fast as ten. No meaning is carried by colour alone.

mod bar;
mod dialog;
mod gauge;
mod ghost;
mod paint;
mod pane;
mod panel;
mod status;
mod theme;

use std::time::Instant;

use ratatui::Frame;

use crate::app::App;
use crate::app::layout;
use crate::app::pane::PaneId;
use crate::app::width::wrap;
use crate::catalogue::screen as text;
use paint::Paint;
use theme::Theme;

/// Paints the state as it is at `now`.
pub fn view(app: &App, frame: &mut Frame, now: Instant) {
    let theme = Theme::new(app.colours);
    let area = frame.area();
    if (area.width, area.height) != (app.screen.columns, app.screen.rows) {
        // The terminal was resized this very moment: its event comes next.
        return;
    }
    let Some(layout) = layout::layout(app) else { return too_small(app, frame) };
    let mut paint = Paint { buffer: frame.buffer_mut(), theme, now };
    for id in PaneId::BOTH {
        pane::paint(app, id, &layout.panes[id.index()], &mut paint);
    }
    panel::paint(app, layout.panel, &mut paint);
    status::paint(app, layout.status, &mut paint);
    bar::paint(app, layout.bar, &mut paint);
    ghost::paint(app, &mut paint);
    let cursor = app.dialogs.last().and_then(|dialog| dialog::paint(dialog, app, &mut paint));
    if let Some(cursor) = cursor {
        frame.set_cursor_position(cursor);
    }
}

fn too_small(app: &App, frame: &mut Frame) {
    let message = text::too_small(app.screen.columns, app.screen.rows);
    let area = frame.area();
    let lines = wrap(&message, usize::from(area.width));
    for (y, line) in (area.y..area.y + area.height).zip(lines) {
        frame.buffer_mut().set_stringn(
            area.x,
            y,
            line,
            usize::from(area.width),
            ratatui::style::Style::new(),
        );
    }
}

#[cfg(test)]
mod tests;
