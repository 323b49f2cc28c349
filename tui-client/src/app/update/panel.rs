//! The transfers, while they have the keys: looking at all of them, why some failed, trying again.

use super::{Turn, keys, transferring};
use crate::app::App;
use crate::app::action::{self, Action};
use crate::app::dialog::Dialog;
use crate::app::key::Key;
use crate::app::layout;
use crate::catalogue::screen as text;

/// Most failures that are told word for word at once.
const MOST_TOLD: usize = 50;

/// Gives the keys to the transfers, if there are any.
pub(super) fn enter(app: &mut App, turn: &mut Turn) {
    if app.transfers.is_empty() {
        app.say(text::NO_TRANSFERS, turn.now);
    } else {
        app.in_panel = true;
    }
}

pub(super) fn key(app: &mut App, key: Key, turn: &mut Turn) {
    let rows = layout::layout(app).map_or(0, |layout| usize::from(layout.panel.height));
    let page = isize::try_from(rows.saturating_sub(2).max(1)).unwrap_or(1);
    match action::of_panel_key(key) {
        Some(Action::Up) => app.scroll_panel(-1),
        Some(Action::Down) => app.scroll_panel(1),
        Some(Action::PageUp) => app.scroll_panel(-page),
        Some(Action::PageDown) => app.scroll_panel(page),
        Some(Action::First) => app.scroll_panel(isize::MIN),
        Some(Action::Last) => app.scroll_panel(isize::MAX),
        Some(Action::Why) => why(app, turn),
        Some(Action::Retry) => transferring::retry(app, turn),
        Some(Action::LeavePanel) => app.in_panel = false,
        Some(other) => keys::run(app, other, turn),
        None => {}
    }
}

/// Tells in full what failed and what helps.
fn why(app: &mut App, turn: &mut Turn) {
    let failures: Vec<_> =
        app.transfers.lost().take(MOST_TOLD).map(|lost| lost.failure.clone()).collect();
    if failures.is_empty() {
        app.say(text::NOTHING_FAILED, turn.now);
    } else {
        app.dialogs.push(Dialog::failures(failures));
    }
}
