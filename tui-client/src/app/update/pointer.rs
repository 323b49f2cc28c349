//! The pointer: clicks, sweeps over rows, carrying. The machine is drawn in [`crate::app::gesture`].

use super::{Turn, browse, connecting, dialog, keys, transferring};
use crate::app::App;
use crate::app::action::Action;
use crate::app::gesture::{
    CARRY_THRESHOLD, Carry, Click, DOUBLE_CLICK, DropTarget, Gesture, Press, Sweep,
};
use crate::app::key::{Mouse, MouseKind};
use crate::app::layout::{self, Hit};
use crate::app::marks::Marks;
use crate::app::pane::{PaneId, Reading, Row, RowName};
use sampan_protocol::EntryKind;

/// Rows or lines that one turn of the wheel scrolls.
const WHEEL: isize = 3;

pub(super) fn mouse(app: &mut App, mouse: Mouse, turn: &mut Turn) {
    match mouse.kind {
        MouseKind::Down => press(app, mouse, turn),
        MouseKind::Drag => drag(app, mouse, turn),
        MouseKind::Up => release(app, mouse, turn),
        MouseKind::WheelUp => wheel(app, mouse, -WHEEL, turn),
        MouseKind::WheelDown => wheel(app, mouse, WHEEL, turn),
    }
}

/// Takes back what the pointer is in the middle of.
pub(super) fn cancel(app: &mut App) {
    if !app.gesture.is_active() {
        return;
    }
    match std::mem::replace(&mut app.gesture, Gesture::Spent) {
        Gesture::Painting(sweep)
        | Gesture::Banding(sweep)
        | Gesture::Carrying(Carry { band: Some(sweep), .. }) => {
            app.pane_mut(sweep.pane).marks = sweep.before;
        }
        _ => {}
    }
}

/// The rows where a sweep began and is, before others may take their places.
pub(super) fn held_rows(app: &App, pane: PaneId) -> Option<[RowName; 2]> {
    let sweep = app.gesture.sweep().filter(|sweep| sweep.pane == pane)?;
    let name = |row| app.pane(pane).name_of(row);
    Some([name(sweep.anchor)?, name(sweep.reached)?])
}

/// Rows were replaced under the pointer: a sweep goes on from the same names, or ends if one of its
/// ends is gone.
pub(super) fn rows_replaced(app: &mut App, id: PaneId, held: Option<[RowName; 2]>) {
    if let Some(ends) = held {
        let pane = app.pane(id);
        let (rows, is_complete) = (pane.rows().clone(), pane.reading == Reading::Complete);
        let found = ends.map(|name| pane.row_of(&name));
        let Some(sweep) = app.gesture.sweep_mut() else { return };
        if is_complete {
            sweep.before.refresh(&rows);
        }
        let [Some(anchor), Some(reached)] = found else { return cancel(app) };
        (sweep.anchor, sweep.reached) = (anchor, reached);
        if let Gesture::Painting(sweep) | Gesture::Banding(sweep) = &app.gesture {
            let (mark, before) = (sweep.mark, sweep.before.clone());
            app.pane_mut(id).marks = before;
            for row in anchor.min(reached)..=anchor.max(reached) {
                set_mark(app, id, row, mark);
            }
        }
    }
    if let Gesture::Carrying(carry) = &app.gesture {
        let target = drop_target(app, carry);
        if let Gesture::Carrying(carry) = &mut app.gesture {
            carry.target = target;
        }
    }
}

fn press(app: &mut App, mouse: Mouse, turn: &mut Turn) {
    // A press without an up before it: the up was lost.
    cancel(app);
    app.notice = None;
    if app.escape.take().is_some() {
        // No digit follows any more.
        keys::run(app, Action::StepBack, turn);
    }
    app.gesture = Gesture::Spent;
    let hit = layout::hit(app, mouse.x, mouse.y);
    match hit {
        Hit::Control(_) | Hit::Bar(_) => app.gesture = Gesture::Button(hit),
        Hit::Frame(pane) => (app.focus, app.in_panel) = (pane, false),
        Hit::Row { pane, row, gutter } => {
            press_row(app, mouse, (pane, row), gutter, turn);
        }
        Hit::Panel => app.in_panel = true,
        Hit::Dialog | Hit::Nothing => {}
    }
}

fn press_row(
    app: &mut App,
    mouse: Mouse,
    (id, row): (PaneId, usize),
    gutter: bool,
    turn: &mut Turn,
) {
    (app.focus, app.in_panel) = (id, false);
    if app.pane(id).reading == Reading::Absent {
        connecting::ask(app, turn);
        return;
    }
    let Some(name) = app.pane(id).name_of(row) else { return };
    let click = Click { pane: id, row: name.clone(), at: turn.now };
    let came_from = app.pane(id).cursor;
    let height = app.list_height(id);
    app.pane_mut(id).go_to(row, height);
    let is_double = app.last_click.as_ref().is_some_and(|last| {
        (last.pane, &last.row) == (id, &click.row)
            && click.at.saturating_duration_since(last.at) <= DOUBLE_CLICK
    });
    let has_modifier = mouse.ctrl || mouse.alt || mouse.shift;
    if is_double && !gutter && !has_modifier {
        app.last_click = None;
        browse::enter(app, turn);
        return;
    }
    app.last_click = Some(click);

    let pane = app.pane_mut(id);
    let entry = pane.entry(row).cloned();
    if mouse.shift {
        for between in came_from.min(row)..=came_from.max(row) {
            set_mark(app, id, between, true);
        }
    } else if let Some(entry) = entry.as_ref().filter(|_| mouse.ctrl || mouse.alt) {
        pane.marks.toggle(entry);
    } else if let Some(entry) = entry.as_ref().filter(|_| gutter) {
        let before = pane.marks.clone();
        let mark = pane.marks.toggle(entry);
        app.gesture = Gesture::Painting(sweep(id, row, mark, before, turn));
    } else {
        let marked = entry.is_some_and(|entry| pane.marks.holds(&entry.name));
        let (x, y) = (mouse.x, mouse.y);
        app.gesture = Gesture::Pressed(Press { pane: id, row: name, x, y, marked });
    }
}

fn sweep(pane: PaneId, row: usize, mark: bool, before: Marks, turn: &Turn) -> Sweep {
    Sweep { pane, anchor: row, reached: row, mark, before, beyond: 0, scrolled: turn.now }
}

fn set_mark(app: &mut App, id: PaneId, row: usize, marked: bool) {
    let pane = app.pane_mut(id);
    if let Some(entry) = pane.entry(row).cloned() {
        pane.marks.set(&entry, marked);
    }
}

fn drag(app: &mut App, mouse: Mouse, turn: &mut Turn) {
    match std::mem::take(&mut app.gesture) {
        Gesture::Pressed(press) => drag_from(app, press, mouse, turn),
        Gesture::Painting(sweep) => {
            let sweep = sweep_to(app, sweep, mouse.y);
            app.gesture = Gesture::Painting(sweep);
        }
        Gesture::Banding(sweep) => band(app, sweep, mouse),
        Gesture::Carrying(carry) => carry_on(app, carry, mouse),
        // A drag without a press: the press happened before the screen could see it.
        Gesture::Resting => app.gesture = Gesture::Spent,
        kept @ (Gesture::Button(_) | Gesture::Spent) => {
            app.gesture = kept;
            turn.redraw = false;
        }
    }
}

/// A press becomes a carry or a band once the pointer has moved far enough.
fn drag_from(app: &mut App, press: Press, mouse: Mouse, turn: &mut Turn) {
    app.last_click = None;
    let distance = mouse.x.abs_diff(press.x).max(mouse.y.abs_diff(press.y));
    if press.marked {
        if distance < CARRY_THRESHOLD {
            app.gesture = Gesture::Pressed(press);
            return;
        }
        let pane = app.pane(press.pane);
        let is_still = matches!(&press.row, RowName::Entry(name) if pane.marks.holds(name));
        if !is_still {
            // What was taken is gone, and nobody took the others by themselves.
            app.gesture = Gesture::Spent;
            return;
        }
        let items = pane.marks.in_order(pane.rows());
        let carry = Carry {
            pane: press.pane,
            items,
            x: mouse.x,
            y: mouse.y,
            target: None,
            band: None,
            ctrl: mouse.ctrl,
        };
        carry_on(app, carry, mouse);
        return;
    }
    if mouse.y == press.y && pane_at(app, mouse) != Some(press.pane.other()) {
        app.gesture = Gesture::Pressed(press);
        return;
    }
    let Some(row) = app.pane(press.pane).row_of(&press.row) else {
        app.gesture = Gesture::Spent;
        return;
    };
    let before = app.pane(press.pane).marks.clone();
    set_mark(app, press.pane, row, true);
    let sweep = sweep(press.pane, row, true, before, turn);
    band(app, sweep, mouse);
}

/// Marks follow the pointer; in the other pane the row where it began is carried instead.
fn band(app: &mut App, sweep: Sweep, mouse: Mouse) {
    let anchor = app.pane(sweep.pane).entry(sweep.anchor).cloned();
    match anchor {
        Some(entry) if pane_at(app, mouse) == Some(sweep.pane.other()) => {
            let pane = sweep.pane;
            app.pane_mut(pane).marks = sweep.before.clone();
            let (x, y, ctrl) = (mouse.x, mouse.y, mouse.ctrl);
            let band = Some(Sweep { beyond: 0, ..sweep });
            let carry = Carry { pane, items: vec![entry], x, y, target: None, band, ctrl };
            carry_on(app, carry, mouse);
        }
        _ => {
            let sweep = sweep_to(app, sweep, mouse.y);
            app.gesture = Gesture::Banding(sweep);
        }
    }
}

fn carry_on(app: &mut App, mut carry: Carry, mouse: Mouse) {
    if pane_at(app, mouse) == Some(carry.pane)
        && let Some(sweep) = carry.band
    {
        // Back home: a band again, from where it began.
        let reached = sweep.anchor;
        set_mark(app, sweep.pane, sweep.anchor, true);
        let sweep = sweep_to(app, Sweep { reached, ..sweep }, mouse.y);
        app.gesture = Gesture::Banding(sweep);
        return;
    }
    (carry.x, carry.y, carry.ctrl) = (mouse.x, mouse.y, mouse.ctrl);
    carry.target = drop_target(app, &carry);
    app.gesture = Gesture::Carrying(carry);
}

/// Extends a sweep to the row at a height of the screen; all rows between are swept.
fn sweep_to(app: &mut App, mut sweep: Sweep, y: u16) -> Sweep {
    let Some(layout) = layout::layout(app) else { return sweep };
    let list = layout.panes[sweep.pane.index()].list;
    let bottom = list.y + list.height.max(1) - 1;
    sweep.beyond = i32::from(y) - i32::from(y.clamp(list.y, bottom));
    let pane = app.pane(sweep.pane);
    let row = pane.offset + usize::from(y.clamp(list.y, bottom) - list.y);
    let reached = row.min(pane.len().saturating_sub(1));

    let span = |a: usize, b: usize| a.min(b)..=a.max(b);
    let (old, new) = (span(sweep.anchor, sweep.reached), span(sweep.anchor, reached));
    for row in old.clone().filter(|row| !new.contains(row)) {
        let was = app.pane(sweep.pane).entry(row).is_some_and(|e| sweep.before.holds(&e.name));
        set_mark(app, sweep.pane, row, was);
    }
    for row in new.filter(|row| !old.contains(row)) {
        set_mark(app, sweep.pane, row, sweep.mark);
    }
    sweep.reached = reached;
    let pane = app.pane_mut(sweep.pane);
    pane.cursor = reached;
    sweep
}

/// Scrolls on while the pointer rests beyond the edge: no reports arrive then.
pub(super) fn scroll_on(app: &mut App, turn: &mut Turn) {
    if app.gesture.scrolls_at().is_none_or(|at| at > turn.now) {
        return;
    }
    let gesture = std::mem::take(&mut app.gesture);
    let (Gesture::Painting(sweep) | Gesture::Banding(sweep)) = &gesture else {
        app.gesture = gesture;
        return;
    };
    let (pane, beyond) = (sweep.pane, sweep.beyond);
    let height = app.list_height(pane);
    app.pane_mut(pane).scroll(isize::try_from(beyond).unwrap_or(0), height);
    let Some(layout) = layout::layout(app) else { return };
    let list = layout.panes[pane.index()].list;
    let edge = if beyond < 0 { list.y } else { list.y + list.height.max(1) - 1 };
    let on = |app: &mut App, sweep| {
        let swept = sweep_to(app, sweep, edge);
        Sweep { beyond, scrolled: turn.now, ..swept }
    };
    app.gesture = match gesture {
        Gesture::Painting(sweep) => Gesture::Painting(on(app, sweep)),
        Gesture::Banding(sweep) => Gesture::Banding(on(app, sweep)),
        other => other,
    };
}

fn release(app: &mut App, mouse: Mouse, turn: &mut Turn) {
    match std::mem::take(&mut app.gesture) {
        Gesture::Button(pressed) if layout::hit(app, mouse.x, mouse.y) == pressed => {
            match pressed {
                Hit::Bar(action) => keys::run(app, action, turn),
                Hit::Control(control) => dialog::press(app, control, turn),
                _ => {}
            }
        }
        Gesture::Carrying(mut carry) => {
            // Ctrl counts as it is when the button goes up.
            (carry.x, carry.y, carry.ctrl) = (mouse.x, mouse.y, mouse.ctrl);
            if let Some(target) = drop_target(app, &carry) {
                let DropTarget { folder, moves, .. } = target;
                transferring::send(app, carry.pane, &carry.items, &folder, moves, turn);
            }
        }
        _ => {}
    }
}

fn wheel(app: &mut App, mouse: Mouse, lines: isize, turn: &mut Turn) {
    if !app.dialogs.is_empty() {
        dialog::scroll(app, lines);
        return;
    }
    match layout::hit(app, mouse.x, mouse.y) {
        Hit::Row { pane, .. } | Hit::Frame(pane) => {
            let height = app.list_height(pane);
            app.pane_mut(pane).scroll(lines, height);
        }
        Hit::Panel => app.scroll_panel(lines),
        _ => turn.redraw = false,
    }
    app.gesture = match std::mem::take(&mut app.gesture) {
        Gesture::Painting(sweep) => Gesture::Painting(sweep_to(app, sweep, mouse.y)),
        Gesture::Banding(sweep) => Gesture::Banding(sweep_to(app, sweep, mouse.y)),
        other => other,
    };
}

/// The pane whose columns the pointer is in.
fn pane_at(app: &App, mouse: Mouse) -> Option<PaneId> {
    let layout = layout::layout(app)?;
    PaneId::BOTH.into_iter().find(|pane| {
        let frame = layout.panes[pane.index()].frame;
        mouse.x >= frame.x && mouse.x - frame.x < frame.width
    })
}

/// Where carried rows would go if they were dropped now.
fn drop_target(app: &App, carry: &Carry) -> Option<DropTarget> {
    let (pane_id, row) = match layout::hit(app, carry.x, carry.y) {
        Hit::Row { pane, row, .. } => (pane, Some(row)),
        Hit::Frame(pane) => (pane, None),
        _ => return None,
    };
    let pane = app.pane(pane_id);
    if pane.reading == Reading::Absent {
        return None;
    }
    let source = app.pane(carry.pane);
    let into = row.and_then(|row| match pane.row(row)? {
        Row::Parent => Some((row, pane.location.parent()?)),
        Row::Entry(entry) if entry.attributes.kind == EntryKind::Folder => {
            let carried = carry.pane == pane_id && carry.items.iter().any(|e| e.name == entry.name);
            (!carried).then_some((row, pane.location.join(&entry.name).ok()?))
        }
        Row::Entry(_) => None,
    });
    let (row, folder) = match into {
        Some((row, folder)) => (Some(row), folder),
        None => (None, pane.location.clone()),
    };
    if folder == source.location {
        return None;
    }
    let same_side = folder.side() == source.location.side();
    Some(DropTarget { pane: pane_id, row, folder, moves: carry.ctrl || same_side })
}
