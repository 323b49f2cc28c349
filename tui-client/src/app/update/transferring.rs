//! Copying and moving across, and what the engine tells.

use std::sync::Arc;

use sampan_protocol::Entry;

use super::{Turn, browse, changing, connecting};
use crate::app::App;
use crate::app::changes::{Kind, Running, Seen};
use crate::app::dialog::{Dialog, form::Answer};
use crate::app::effect::Effect;
use crate::app::pane::{PaneId, Reading};
use crate::app::route::across;
use crate::app::transfers::Conflict;
use crate::catalogue::screen as text;
use crate::place::Location;
use crate::transfer::{Batch, BatchId, Command, Event, OnConflict, Options, Resolution};

/// Copies what is marked to the folder of the other pane.
pub(super) fn copy(app: &mut App, turn: &mut Turn) {
    let from = app.focus;
    let entries = app.pane(from).targets();
    let target = app.pane(from.other()).location.clone();
    if is_ready(app, &entries, turn) {
        send(app, from, &entries, &target, false, turn);
    }
}

/// Moves what is marked to the folder of the other pane.
pub(super) fn carry_over(app: &mut App, turn: &mut Turn) {
    let from = app.focus;
    let entries = app.pane(from).targets();
    let target = app.pane(from.other()).location.clone();
    if is_ready(app, &entries, turn) {
        send(app, from, &entries, &target, true, turn);
    }
}

fn is_ready(app: &mut App, entries: &[Arc<Entry>], turn: &mut Turn) -> bool {
    let absent = app.panes.iter().any(|pane| pane.reading == Reading::Absent);
    if absent {
        app.say(text::NOT_CONNECTED, turn.now);
    } else if entries.is_empty() {
        app.say(text::NOTHING_UNDER_CURSOR, turn.now);
    }
    !absent && !entries.is_empty()
}

/// Sends entries of a pane into a folder, wherever that is. Within one side they can only move: the
/// engine carries between sides.
pub(super) fn send(
    app: &mut App,
    from: PaneId,
    entries: &[Arc<Entry>],
    target: &Location,
    moves: bool,
    turn: &mut Turn,
) {
    let folder = app.pane(from).location.clone();
    let items: Vec<Seen> =
        entries.iter().filter_map(|entry| changing::seen(&folder, entry)).collect();
    let Some(route) = across(items.iter().map(|item| &item.location), target, true) else {
        if moves {
            app.pane_mut(from).marks.clear();
            changing::rename_into(app, items, target, turn);
        } else {
            app.say(text::NO_COPY_WITHIN_A_SIDE, turn.now);
        }
        return;
    };
    app.pane_mut(from).marks.clear();
    // A move may only take "unchanged" for equal contents: what it is is removed afterwards.
    let options =
        Options { on_conflict: OnConflict::Ask, checksum: moves, moves, ..Options::default() };
    submit(app, Batch { route, options }, turn);
}

fn submit(app: &mut App, batch: Batch, turn: &mut Turn) {
    let id = BatchId(app.next_id());
    if batch.options.moves {
        app.moves.begin(id);
    }
    browse::keep_in_view(app, |app| app.transfers.begin(id, batch.clone(), turn.now));
    turn.effect(Effect::Transfer(Command::Submit(id, batch)));
}

/// Orders again what failed.
pub(super) fn retry(app: &mut App, turn: &mut Turn) {
    let orders = app.transfers.take_lost();
    if orders.is_empty() {
        app.say(text::NOTHING_FAILED, turn.now);
    }
    for order in orders {
        submit(app, order, turn);
    }
}

/// Batches of an earlier run go on.
pub(super) fn resumed(app: &mut App, batches: Vec<(BatchId, Batch)>, turn: &Turn) {
    if !batches.is_empty() {
        app.say(text::resumed(batches.len()), turn.now);
    }
    for (id, batch) in batches {
        // Ids of this run begin behind those of earlier ones.
        app.sequence = app.sequence.max(id.0);
        if batch.options.moves {
            app.moves.begin(id);
        }
        browse::keep_in_view(app, |app| app.transfers.begin(id, batch, turn.now));
    }
}

/// The engine tells something.
pub(super) fn event(app: &mut App, event: Event, turn: &mut Turn) {
    match &event {
        Event::Finished { batch, from, source, outcome, .. } => {
            app.moves.finished(*batch, from, source.as_ref(), outcome);
            app.stale = [true; 2];
        }
        Event::Summary { batch, summary } => {
            app.moves.settled(*batch);
            app.stale = [true; 2];
            app.refreshed = None;
            app.say(text::batch_ended(summary), turn.now);
            connecting::ask_quota(app, turn);
        }
        _ => {}
    }
    // Progress is painted with the next tick: a fast link tells thousands of times a second.
    turn.redraw = matches!(event, Event::Summary { .. });
    browse::keep_in_view(app, |app| app.transfers.apply(event, turn.now));
    go_on_moving(app, turn);
    close_answered(app);
}

/// Removes what moves carried across.
pub(super) fn go_on_moving(app: &mut App, turn: &mut Turn) {
    for (batch, change) in app.moves.due() {
        let running = Running {
            kind: Kind::Remove,
            total: change.steps(),
            done: 0,
            wanted: None,
            of_move: Some(batch),
        };
        app.start_change(change, running, turn);
    }
}

/// Shows the oldest question of the engine, if nothing else is asked.
pub(super) fn ask_next(app: &mut App, turn: &mut Turn) {
    if app.dialogs.is_empty()
        && !app.gesture.is_active()
        && let Some(conflict) = app.transfers.conflict()
    {
        app.dialogs.push(Dialog::overwrite(conflict.clone()));
        turn.redraw = true;
    }
}

/// Takes a question away that has no asker any more.
pub(super) fn close_answered(app: &mut App) {
    let (transfers, changes) = (&app.transfers, &app.changes);
    app.dialogs.retain(|dialog| match dialog {
        Dialog::Overwrite(dialog) => transfers.asks(&dialog.conflict),
        Dialog::Stop(_) => transfers.is_running() || !changes.is_empty(),
        _ => true,
    });
}

/// A question of the engine was answered.
pub(super) fn resolve(
    app: &mut App,
    conflict: &Conflict,
    answer: Answer,
    whole_batch: bool,
    turn: &mut Turn,
) {
    let answer = match answer {
        Answer::Yes => Resolution::Overwrite,
        Answer::No => Resolution::Skip,
        Answer::KeepBoth => Resolution::Rename,
        Answer::IfNewer => Resolution::Newer,
    };
    app.transfers.answered(conflict, whole_batch);
    let item = conflict.item;
    turn.effect(Effect::Transfer(Command::Resolve { item, answer, whole_batch }));
}

/// Asks whether what runs shall be stopped.
pub(super) fn ask_stop(app: &mut App, turn: &mut Turn) {
    if app.transfers.is_running() || !app.changes.is_empty() {
        app.dialogs.push(Dialog::stop());
    } else {
        app.say(text::NOTHING_RUNS, turn.now);
    }
}

/// Stops what runs.
pub(super) fn stop(app: &mut App, turn: &mut Turn) {
    for batch in app.transfers.running_batches() {
        turn.effect(Effect::Transfer(Command::Cancel(batch)));
    }
    if !app.changes.is_empty() {
        turn.effect(Effect::StopChanges);
    }
}
