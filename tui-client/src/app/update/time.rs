//! What the passing of time does.

use std::time::Duration;

use super::{Turn, browse, connecting, keys, pointer};
use crate::app::App;
use crate::app::action::Action;
use crate::app::pane::PaneId;
use crate::transfer::Direction;

/// Panes that transfers put something into are read again this often.
const REFRESH_EVERY: Duration = Duration::from_millis(750);

pub(super) fn tick(app: &mut App, turn: &mut Turn) {
    if app.escape.is_some_and(|until| until <= turn.now) {
        app.escape = None;
        keys::run(app, Action::StepBack, turn);
    }
    if app.notice.as_ref().is_some_and(|notice| notice.until <= turn.now) {
        app.notice = None;
    }
    pointer::scroll_on(app, turn);
    refresh(app, turn);
    if app.transfers.runs(Direction::Upload) && app.quota.is_stale(turn.now) {
        connecting::ask_quota(app, turn);
    }
}

/// Reads panes again that transfers changed, but not while a person drags over them.
fn refresh(app: &mut App, turn: &mut Turn) {
    let due =
        app.refreshed.is_none_or(|last| turn.now.saturating_duration_since(last) >= REFRESH_EVERY);
    if !due || app.gesture.is_active() || app.connection.is_broken() {
        return;
    }
    for pane in PaneId::BOTH {
        if std::mem::take(&mut app.stale[pane.index()]) {
            app.refreshed = Some(turn.now);
            // One that is being read is read to its end first.
            if app.pane(pane).is_being_read() {
                app.stale[pane.index()] = true;
            } else {
                browse::reload(app, pane, None, turn);
            }
        }
    }
}
