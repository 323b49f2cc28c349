//! A dialog over the panes.

use ratatui::layout::Position;

use super::paint::Paint;
use crate::app::App;
use crate::app::dialog::{Control, Dialog, Field};
use crate::app::dialog_layout::{self, DialogLayout};
use crate::app::layout::Area;
use crate::app::width::{take, take_back, width};

/// Marks the button or tick box that has the focus, also where nothing is coloured or reversed.
const FOCUS: (&str, &str) = ("▸", "◂");

/// Paints it; answers where the terminal's cursor belongs, if text is typed.
pub(super) fn paint(dialog: &Dialog, app: &App, paint: &mut Paint) -> Option<Position> {
    let layout = dialog_layout::place(dialog, app);
    let form = dialog.form();
    paint.clear(layout.frame);
    paint.frame(layout.frame, true, paint.theme.focused_border);
    border_texts(&layout, paint);
    for (area, line) in &layout.lines {
        let style = if line.strong { paint.theme.notice } else { paint.theme.plain };
        paint.text(*area, &line.text, style);
    }
    let mut cursor = None;
    for (index, (field, (label, text))) in form.fields.iter().zip(&layout.fields).enumerate() {
        paint.text(*label, field.label, paint.theme.plain);
        let focused = form.focus == Control::Field(index);
        let position = paint_field(field, *text, paint);
        cursor = if focused { Some(position) } else { cursor };
    }
    if let Some((area, text)) = &layout.tick_box {
        let focused = form.focus == Control::TickBox;
        paint.text(*area, text, if focused { paint.theme.button } else { paint.theme.plain });
        if focused && area.x > 0 {
            paint.text(Area { x: area.x - 1, width: 1, ..*area }, FOCUS.0, paint.theme.plain);
        }
    }
    for (index, (area, text)) in layout.buttons.iter().enumerate() {
        if form.focus == Control::Button(index) {
            let text = format!("{}{}{}", FOCUS.0, text.trim(), FOCUS.1);
            paint.text(*area, &text, paint.theme.button);
        } else {
            paint.text(*area, text, paint.theme.plain);
        }
    }
    cursor
}

fn border_texts(layout: &DialogLayout, paint: &mut Paint) {
    let style = paint.theme.focused_border;
    let top = layout.frame.row(0);
    let row = Area { x: top.x + 2, width: top.width.saturating_sub(4), ..top };
    paint.text(row, &format!(" {} ", layout.title), style);
    let (above, below) = layout.more;
    if above {
        paint.right(row, " ↑ ", style);
    }
    if below {
        let last = layout.frame.row(layout.frame.height.saturating_sub(1));
        let row = Area { x: row.x, width: row.width, ..last };
        paint.right(row, " ↓ ", style);
    }
}

/// Scrolls the text so that the cursor is in view.
fn paint_field(field: &Field, area: Area, paint: &mut Paint) -> Position {
    let (before, behind) = field.shown();
    let room = usize::from(area.width.saturating_sub(1));
    let before = take_back(&before, room);
    let behind = take(&behind, usize::from(area.width) - width(before));
    paint.filled(area, &format!("{before}{behind}"), paint.theme.field);
    let column = u16::try_from(width(before)).unwrap_or(0);
    Position::new(area.x + column, area.y)
}
