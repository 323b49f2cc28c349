//! Looking around: folders, cursor, marks.

use std::sync::Arc;

use sampan_protocol::{EntryKind, Name};

use super::Turn;
use crate::app::App;
use crate::app::dialog::Dialog;
use crate::app::effect::Effect;
use crate::app::pane::{Generation, PaneId, Reading, Row};
use crate::catalogue::screen as text;
use crate::failure::Failure;
use crate::message::Message;
use crate::place::Location;

/// Moves the cursor by rows.
pub(super) fn step(app: &mut App, rows: isize) {
    let to = app.focused().cursor.saturating_add_signed(rows);
    go_to(app, to);
}

/// Moves the cursor by pages.
pub(super) fn page(app: &mut App, pages: isize) {
    let height = isize::try_from(app.list_height(app.focus)).unwrap_or(isize::MAX);
    step(app, pages.saturating_mul((height - 1).max(1)));
}

/// Puts the cursor on a row.
pub(super) fn go_to(app: &mut App, row: usize) {
    let height = app.list_height(app.focus);
    app.pane_mut(app.focus).go_to(row, height);
}

/// Scrolls the cursor into view.
pub(super) fn reveal(app: &mut App, pane: PaneId) {
    let height = app.list_height(pane);
    app.pane_mut(pane).reveal(height);
}

/// Does what may change the height of both lists. What is in view stays there: the cursor, or what
/// a person scrolled to.
pub(super) fn keep_in_view<T>(app: &mut App, change: impl FnOnce(&mut App) -> T) -> T {
    let shown = PaneId::BOTH.map(|pane| app.pane(pane).shows_cursor(app.list_height(pane)));
    let came = change(app);
    for pane in PaneId::BOTH {
        if shown[pane.index()] {
            reveal(app, pane);
        } else {
            let height = app.list_height(pane);
            app.pane_mut(pane).scroll(0, height);
        }
    }
    came
}

/// Opens what is under the cursor.
pub(super) fn enter(app: &mut App, turn: &mut Turn) {
    let pane = app.focused();
    if pane.reading == Reading::Absent {
        super::connecting::ask(app, turn);
        return;
    }
    match pane.row(pane.cursor) {
        Some(Row::Parent) => parent(app, app.focus, turn),
        Some(Row::Entry(entry)) => {
            let entry = Arc::clone(entry);
            match entry.attributes.kind {
                EntryKind::Folder => match pane.location.join(&entry.name) {
                    Ok(location) => navigate(app, app.focus, location, None, turn),
                    Err(problem) => app.say(problem.to_string(), turn.now),
                },
                EntryKind::Link => app.say(text::LINKS_ARE_NOT_FOLLOWED, turn.now),
                EntryKind::File | EntryKind::Other => app.say(text::NO_VIEWER_YET, turn.now),
            }
        }
        None => {}
    }
}

/// Opens the folder above; the cursor goes to the one it came from.
pub(super) fn parent(app: &mut App, pane: PaneId, turn: &mut Turn) {
    let here = &app.pane(pane).location;
    if app.pane(pane).reading == Reading::Absent {
        return;
    }
    if let Some(above) = here.parent() {
        let child = here.name();
        navigate(app, pane, above, child, turn);
    }
}

/// Goes to a folder.
pub(super) fn navigate(
    app: &mut App,
    pane: PaneId,
    location: Location,
    wanted: Option<Name>,
    turn: &mut Turn,
) {
    app.last_click = None;
    app.pane_mut(pane).navigate(location, wanted);
    list(app, pane, turn);
}

/// Reads the folder where a pane is for the first time.
pub(super) fn open(app: &mut App, pane: PaneId, wanted: Option<Name>, turn: &mut Turn) {
    let location = app.pane(pane).location.clone();
    navigate(app, pane, location, wanted, turn);
}

/// Reads a pane's folder again.
pub(super) fn reload(app: &mut App, pane: PaneId, wanted: Option<Name>, turn: &mut Turn) {
    if app.pane(pane).reading == Reading::Absent {
        return;
    }
    app.stale[pane.index()] = false;
    app.pane_mut(pane).reload(wanted);
    list(app, pane, turn);
}

fn list(app: &mut App, id: PaneId, turn: &mut Turn) {
    let pane = app.pane(id);
    turn.effect(Effect::List {
        pane: id,
        generation: pane.generation,
        location: pane.location.clone(),
        order: pane.order,
    });
}

/// A folder could not be read.
pub(super) fn listing_failed(
    app: &mut App,
    pane: PaneId,
    generation: Generation,
    failure: Failure,
    turn: &Turn,
) {
    if app.pane(pane).generation != generation {
        return;
    }
    let was_shown = app.pane(pane).reading == Reading::Reloading;
    app.pane_mut(pane).fail();
    reveal(app, pane);
    if was_shown {
        // Transfers reload panes again and again: a dialog each time would bury the screen.
        let message = Message::of(&failure, app.connection.account());
        app.say(message.to_string(), turn.now);
    } else {
        app.dialogs.push(Dialog::failures(vec![failure]));
    }
}

/// Sorts the other way, in both panes.
pub(super) fn toggle_order(app: &mut App, turn: &mut Turn) {
    let order = app.focused().order.other();
    for pane in PaneId::BOTH {
        app.pane_mut(pane).order = order;
        reload(app, pane, None, turn);
    }
    app.say(text::order(order), turn.now);
}

/// Marks or unmarks the row under the cursor, and goes down.
pub(super) fn mark(app: &mut App) {
    let focus = app.focus;
    let pane = app.pane_mut(focus);
    if let Some(entry) = pane.current().cloned() {
        pane.marks.toggle(&entry);
    }
    step(app, 1);
}

/// The cheapest step back: out of the panel, else marks, else what ended in the panel.
pub(super) fn step_back(app: &mut App, turn: &mut Turn) {
    if std::mem::take(&mut app.in_panel) {
        return;
    }
    let focus = app.focus;
    let pane = app.pane_mut(focus);
    if pane.marks.is_empty() {
        keep_in_view(app, |app| app.transfers.dismiss(turn.now));
    } else {
        pane.marks.clear();
    }
}
