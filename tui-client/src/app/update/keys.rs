//! Keys: to the dialog if one is open, else to an action.

use super::{Turn, browse, changing, connecting, dialog, panel, pointer, transferring};
use crate::app::action::{self, Action};
use crate::app::dialog::Dialog;
use crate::app::effect::Effect;
use crate::app::key::{Code, Key};
use crate::app::{App, ESCAPE_WAIT};

pub(super) fn key(app: &mut App, key: Key, turn: &mut Turn) {
    app.notice = None;
    if app.gesture.is_active() {
        pointer::cancel(app);
        if key.code == Code::Esc {
            return;
        }
    }
    if !app.dialogs.is_empty() {
        dialog::key(app, key, turn);
        return;
    }
    let key = match app.escape.take() {
        None => key,
        Some(_) => match key.typed() {
            // Esc and a digit, one after the other: the F-key of that number.
            Some(digit) if digit.is_ascii_digit() => Key::alt(digit),
            _ => {
                run(app, Action::StepBack, turn);
                key
            }
        },
    };
    if key == Key::plain(Code::Esc) {
        app.escape = Some(turn.now + ESCAPE_WAIT);
    } else if app.in_panel {
        panel::key(app, key, turn);
    } else if let Some(action) = action::of_key(key) {
        run(app, action, turn);
    }
}

/// Does what a person asked for, by key, button or pointer.
pub(super) fn run(app: &mut App, action: Action, turn: &mut Turn) {
    match action {
        Action::Help => app.dialogs.push(Dialog::help()),
        Action::Rename => changing::ask_rename(app, turn),
        Action::Copy => transferring::copy(app, turn),
        Action::Move => transferring::carry_over(app, turn),
        Action::NewFolder => changing::ask_new_folder(app, turn),
        Action::Delete => changing::ask_delete(app, turn),
        Action::Quit => quit(app, turn),
        Action::AskToQuit => ask_to_quit(app),
        Action::SwitchPane => app.focus = app.focus.other(),
        Action::Up => browse::step(app, -1),
        Action::Down => browse::step(app, 1),
        Action::PageUp => browse::page(app, -1),
        Action::PageDown => browse::page(app, 1),
        Action::First => browse::go_to(app, 0),
        Action::Last => browse::go_to(app, usize::MAX),
        Action::Open => browse::enter(app, turn),
        Action::Parent => browse::parent(app, app.focus, turn),
        Action::Mark => browse::mark(app),
        Action::StepBack => browse::step_back(app, turn),
        Action::Reload => {
            browse::reload(app, app.focus, None, turn);
            connecting::ask_quota(app, turn);
        }
        Action::ToggleOrder => browse::toggle_order(app, turn),
        Action::Connect => connecting::ask(app, turn),
        Action::StopTransfers => transferring::ask_stop(app, turn),
        Action::EnterPanel => panel::enter(app, turn),
        // Only the panel's keys say so, and it does them itself.
        Action::LeavePanel | Action::Why | Action::Retry => {}
    }
}

fn quit(app: &mut App, turn: &mut Turn) {
    if app.is_busy() {
        ask_to_quit(app);
    } else {
        turn.effect(Effect::Leave);
    }
}

fn ask_to_quit(app: &mut App) {
    app.dialogs.push(Dialog::quit());
}
