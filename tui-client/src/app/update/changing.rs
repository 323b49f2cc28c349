//! New folders, new names, removals.

use sampan_protocol::Name;

use super::{Turn, browse, transferring};
use crate::app::App;
use crate::app::changes::{Change, ChangeId, Kind, Renaming, Running, Seen};
use crate::app::dialog::{Dialog, NameDialog};
use crate::app::pane::{PaneId, Reading};
use crate::catalogue::screen as text;
use crate::failure::Failure;
use crate::place::Location;

/// Asks for the name of a new folder.
pub(super) fn ask_new_folder(app: &mut App, turn: &mut Turn) {
    let pane = app.focused();
    if pane.reading == Reading::Absent {
        app.say(text::NOT_CONNECTED, turn.now);
        return;
    }
    let dialog = NameDialog::new_folder(app.focus, pane.location.clone());
    app.dialogs.push(Dialog::Name(dialog));
}

/// Asks for a new name of what is under the cursor.
pub(super) fn ask_rename(app: &mut App, turn: &mut Turn) {
    let pane = app.focused();
    match pane.current().and_then(|entry| seen(&pane.location, entry)) {
        Some(seen) => app.dialogs.push(Dialog::Name(NameDialog::rename(app.focus, seen))),
        None => app.say(text::NOTHING_UNDER_CURSOR, turn.now),
    }
}

/// Asks whether what is marked shall be removed.
pub(super) fn ask_delete(app: &mut App, turn: &mut Turn) {
    let pane = app.focused();
    let entries = pane.targets();
    let items: Vec<Seen> = entries.iter().filter_map(|entry| seen(&pane.location, entry)).collect();
    if items.is_empty() {
        app.say(text::NOTHING_UNDER_CURSOR, turn.now);
        return;
    }
    let dialog = Dialog::delete(pane.location.clone(), items);
    app.dialogs.push(dialog);
}

/// An entry as it was seen in its folder; `None` if its path would be too long to be one.
pub(super) fn seen(folder: &Location, entry: &sampan_protocol::Entry) -> Option<Seen> {
    let location = folder.join(&entry.name).ok()?;
    Some(Seen { location, attributes: entry.attributes.clone() })
}

/// Makes a folder.
pub(super) fn new_folder(
    app: &mut App,
    pane: PaneId,
    folder: &Location,
    name: Name,
    turn: &mut Turn,
) {
    match folder.join(&name) {
        Ok(location) => {
            let running = running(Kind::NewFolder, 1, Some((pane, name)));
            app.start_change(Change::NewFolder(location), running, turn);
        }
        Err(problem) => app.say(problem.to_string(), turn.now),
    }
}

/// Gives something a new name in its folder.
pub(super) fn rename(app: &mut App, pane: PaneId, from: Seen, name: Name, turn: &mut Turn) {
    let to = match from.location.parent().map(|folder| folder.join(&name)) {
        Some(Ok(to)) => to,
        Some(Err(problem)) => return app.say(problem.to_string(), turn.now),
        None => return,
    };
    if to != from.location {
        let change = Change::Rename(vec![Renaming { from, to }]);
        app.start_change(change, running(Kind::Rename, 1, Some((pane, name))), turn);
    }
}

/// Moves things to another folder of the same side.
pub(super) fn rename_into(app: &mut App, items: Vec<Seen>, folder: &Location, turn: &mut Turn) {
    let renamings: Vec<Renaming> = items
        .into_iter()
        .filter_map(|from| {
            let to = folder.join(&from.location.name()?).ok()?;
            (to != from.location).then_some(Renaming { from, to })
        })
        .collect();
    if renamings.is_empty() {
        app.say(text::ALREADY_THERE, turn.now);
        return;
    }
    let running = running(Kind::Rename, renamings.len(), None);
    app.start_change(Change::Rename(renamings), running, turn);
}

/// Removes what was seen.
pub(super) fn remove(app: &mut App, items: Vec<Seen>, turn: &mut Turn) {
    let running = running(Kind::Remove, items.len(), None);
    app.start_change(Change::Remove(items), running, turn);
}

fn running(kind: Kind, total: usize, wanted: Option<(PaneId, Name)>) -> Running {
    Running { kind, total, done: 0, wanted, of_move: None }
}

/// A change ended: shows what did not work, and what is there now.
pub(super) fn changed(app: &mut App, id: ChangeId, failures: Vec<Failure>, turn: &mut Turn) {
    let Some(running) = app.changes.end(id) else { return };
    transferring::close_answered(app);
    let is_done = failures.is_empty();
    if !is_done {
        app.dialogs.push(Dialog::failures(failures));
    }
    if let Some(batch) = running.of_move {
        app.moves.removed(batch);
        transferring::go_on_moving(app, turn);
        app.stale = [true; 2];
        return;
    }
    for pane in PaneId::BOTH {
        // What has the name that was refused is something else.
        let wanted = running.wanted.clone().filter(|(wanting, _)| is_done && *wanting == pane);
        browse::reload(app, pane, wanted.map(|(_, name)| name), turn);
    }
    super::connecting::ask_quota(app, turn);
}
