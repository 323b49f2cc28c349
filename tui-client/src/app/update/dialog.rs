//! Keys, clicks and pastes for the dialog on top, and what its answers lead to.

use super::{Turn, changing, connecting, transferring};
use crate::app::App;
use crate::app::connection::Trust;
use crate::app::dialog::{Answer, Control, Dialog, NameDialog, Purpose, Reply};
use crate::app::effect::Effect;
use crate::app::key::Key;

pub(super) fn key(app: &mut App, key: Key, turn: &mut Turn) {
    let Some(dialog) = app.dialogs.last_mut() else { return };
    let reply = dialog.form_mut().key(key);
    follow(app, reply, turn);
}

pub(super) fn press(app: &mut App, control: Control, turn: &mut Turn) {
    let Some(dialog) = app.dialogs.last_mut() else { return };
    let reply = dialog.form_mut().press(control);
    follow(app, reply, turn);
}

pub(super) fn paste(app: &mut App, text: &str, turn: &mut Turn) {
    let Some(dialog) = app.dialogs.last_mut() else { return };
    let reply = dialog.form_mut().paste(text);
    follow(app, reply, turn);
}

pub(super) fn scroll(app: &mut App, lines: isize) {
    if let Some(dialog) = app.dialogs.last_mut() {
        dialog.form_mut().scroll_by(lines);
    }
    clamp_scroll(app);
}

/// The layout knows where the text ends.
fn clamp_scroll(app: &mut App) {
    let Some(dialog) = app.dialogs.last() else { return };
    let last = crate::app::dialog_layout::last_scroll(dialog, app);
    if let Some(dialog) = app.dialogs.last_mut() {
        let form = dialog.form_mut();
        form.scroll = form.scroll.min(last);
    }
}

fn follow(app: &mut App, reply: Reply, turn: &mut Turn) {
    match reply {
        Reply::Nothing => {}
        Reply::Changed => clamp_scroll(app),
        Reply::Edited(field) => match app.dialogs.last_mut() {
            Some(Dialog::Connect(dialog)) => dialog.edited(field),
            Some(Dialog::Name(dialog)) => dialog.problem = None,
            _ => {}
        },
        Reply::Answered(answer) => {
            if let Some(dialog) = app.dialogs.pop() {
                answered(app, dialog, answer, turn);
            }
        }
    }
}

fn answered(app: &mut App, dialog: Dialog, answer: Answer, turn: &mut Turn) {
    match (dialog, answer) {
        (Dialog::Connect(mut dialog), Answer::Yes) => {
            if dialog.attempt.is_some() {
                app.dialogs.push(Dialog::Connect(dialog));
                return;
            }
            match dialog.login() {
                Ok(login) => {
                    app.dialogs.push(Dialog::Connect(dialog));
                    connecting::connect(app, login, Trust::Known, turn);
                }
                Err(problem) => {
                    dialog.refuse(problem);
                    app.dialogs.push(Dialog::Connect(dialog));
                }
            }
        }
        (Dialog::Connect(_), _) => connecting::abort(app, turn),
        (Dialog::Identity(dialog), Answer::Yes) => {
            let trust = Trust::Confirmed { fingerprint: dialog.fingerprint };
            connecting::connect(app, dialog.login, trust, turn);
        }
        (Dialog::Identity(_), _) => connecting::declined(app, turn),
        (Dialog::Overwrite(dialog), answer) => {
            let whole_batch = dialog.form.is_ticked();
            transferring::resolve(app, &dialog.conflict, answer, whole_batch, turn);
        }
        (Dialog::Delete(dialog), Answer::Yes) => changing::remove(app, dialog.items, turn),
        (Dialog::Name(dialog), Answer::Yes) => named(app, dialog, turn),
        (Dialog::Quit(_), Answer::Yes) => turn.effect(Effect::Leave),
        (Dialog::Stop(_), Answer::Yes) => transferring::stop(app, turn),
        (
            Dialog::Delete(_)
            | Dialog::Name(_)
            | Dialog::Quit(_)
            | Dialog::Stop(_)
            | Dialog::Help(_)
            | Dialog::Failures(_),
            _,
        ) => {}
    }
}

fn named(app: &mut App, mut dialog: NameDialog, turn: &mut Turn) {
    let name = match dialog.name() {
        Ok(name) => name,
        Err(problem) => {
            dialog.problem = Some(problem);
            app.dialogs.push(Dialog::Name(dialog));
            return;
        }
    };
    match dialog.purpose {
        Purpose::NewFolder(folder) => changing::new_folder(app, dialog.pane, &folder, name, turn),
        Purpose::Rename(from) => changing::rename(app, dialog.pane, from, name, turn),
    }
}
