//! The F-keys, from the table of actions.

use super::paint::Paint;
use crate::app::App;
use crate::app::layout::{self, Area};
use crate::catalogue::screen as text;

pub(super) fn paint(app: &App, area: Area, paint: &mut Paint) {
    if app.in_panel {
        paint.text(area, text::PANEL_BAR, paint.theme.button);
    }
    for (button, _, label) in layout::bar(app, area) {
        // The number stands out from the word behind it.
        let word = label
            .trim_start()
            .find(' ')
            .map_or(label.len(), |space| label.len() - label.trim_start().len() + space + 1);
        let (number, word) = label.split_at(word);
        paint.text(button, number, paint.theme.plain);
        let start = u16::try_from(number.len()).unwrap_or(button.width).min(button.width);
        let rest = Area { x: button.x + start, width: button.width - start, ..button };
        paint.text(rest, word.trim_end(), paint.theme.button);
    }
}
