//! Connecting, the link, the quota.

use sampan_protocol::RemotePath;
use sampan_protocol::message::QuotaAnswer;

use super::{Turn, browse};
use crate::address::Account;
use crate::app::App;
use crate::app::connection::{AttemptId, Connection, Login, Trust};
use crate::app::dialog::{ConnectDialog, Dialog};
use crate::app::effect::Effect;
use crate::app::event::ConnectOutcome;
use crate::app::pane::PaneId;
use crate::catalogue::screen as text;
use crate::failure::Failure;
use crate::place::Location;
use crate::remote::LinkState;

/// How the screen begins.
#[derive(Clone, Debug)]
pub enum Opening {
    /// Asks where to connect to.
    Ask(Option<Box<ConnectDialog>>),
    /// Connected already.
    Open {
        /// Whose home.
        account: Account,
        /// The folder to show.
        folder: RemotePath,
        /// How the link is.
        link: LinkState,
    },
}

/// The first dialog, or the first look.
pub(super) fn begin(app: &mut App, opening: Opening, turn: &mut Turn) {
    match opening {
        Opening::Ask(dialog) => {
            app.dialogs.push(Dialog::Connect(dialog.map_or_else(ConnectDialog::default, |d| *d)));
        }
        Opening::Open { account, folder, link } => open(app, account, folder, link, turn),
    }
}

/// Opens the connect dialog.
pub(super) fn ask(app: &mut App, turn: &mut Turn) {
    if app.is_busy() {
        app.say(text::BUSY_WITH_OTHER_ACCOUNT, turn.now);
        return;
    }
    let last = match app.connection.account() {
        Some(account) => ConnectDialog::for_account(account, RemotePath::home()),
        None => ConnectDialog::default(),
    };
    app.dialogs.push(Dialog::Connect(last));
}

/// Tries to connect.
pub(super) fn connect(app: &mut App, login: Login, trust: Trust, turn: &mut Turn) {
    let attempt = AttemptId(app.next_id());
    if let Some(dialog) = dialog(app) {
        dialog.begin(attempt);
    }
    app.connection = Connection::Connecting { attempt, login: login.clone() };
    app.pane_mut(PaneId::Right).close(Location::Remote(RemotePath::home()));
    app.quota = crate::app::quota::Quota::default();
    turn.effect(Effect::Connect { attempt, login, trust });
}

/// The connect dialog was closed.
pub(super) fn abort(app: &mut App, turn: &mut Turn) {
    if matches!(app.connection, Connection::Connecting { .. }) {
        app.connection = Connection::Absent;
        turn.effect(Effect::AbortConnect);
    }
}

/// The server's key is not to be trusted.
pub(super) fn declined(app: &mut App, turn: &mut Turn) {
    if let Some(dialog) = dialog(app) {
        dialog.attempt = None;
    }
    abort(app, turn);
}

fn dialog(app: &mut App) -> Option<&mut ConnectDialog> {
    app.dialogs.iter_mut().find_map(|dialog| match dialog {
        Dialog::Connect(dialog) => Some(dialog),
        _ => None,
    })
}

/// How an attempt went.
pub(super) fn outcome(app: &mut App, tried: AttemptId, outcome: ConnectOutcome, turn: &mut Turn) {
    let login = match &app.connection {
        Connection::Connecting { attempt, login } if *attempt == tried => login.clone(),
        _ => return,
    };
    match outcome {
        ConnectOutcome::Open(link) => open(app, login.account, login.folder, link, turn),
        ConnectOutcome::IdentityUnknown { fingerprint } => {
            app.dialogs.push(Dialog::identity(login, fingerprint));
        }
        ConnectOutcome::Failed(failure) => {
            app.connection = Connection::Absent;
            match dialog(app) {
                Some(dialog) => dialog.fail(failure),
                None => app.dialogs.push(Dialog::failures(vec![failure])),
            }
        }
    }
}

fn open(app: &mut App, account: Account, folder: RemotePath, link: LinkState, turn: &mut Turn) {
    app.dialogs.retain(|dialog| !matches!(dialog, Dialog::Connect(_)));
    if app.carried_for.as_ref() != Some(&account) {
        // What failed for another account is not tried again with this one.
        app.transfers.dismiss(turn.now);
        app.carried_for = Some(account.clone());
    }
    app.connection = Connection::Open { account, link };
    app.pane_mut(PaneId::Right).close(Location::Remote(folder));
    browse::open(app, PaneId::Right, None, turn);
    ask_quota(app, turn);
}

/// The link is in another state.
pub(super) fn link(app: &mut App, new: LinkState, turn: &mut Turn) {
    let was_broken = app.connection.is_broken();
    if let Connection::Open { link, .. } = &mut app.connection {
        *link = new;
    }
    if was_broken && !app.connection.is_broken() {
        app.say(text::LINK_IS_BACK, turn.now);
        for pane in PaneId::BOTH {
            if matches!(app.pane(pane).location, Location::Remote(_)) {
                browse::reload(app, pane, None, turn);
            }
        }
        ask_quota(app, turn);
    }
}

/// Asks for limits and use.
pub(super) fn ask_quota(app: &mut App, turn: &mut Turn) {
    if app.connection.account().is_some() {
        app.quota.asked = Some(turn.now);
        turn.effect(Effect::AskQuota);
    }
}

/// Limits and use came. A failure leaves the last ones: the link's state says why.
pub(super) fn quota(app: &mut App, answer: &Result<QuotaAnswer, Failure>) {
    match answer {
        Ok(answer) => app.quota.answer = Some(*answer),
        Err(_) => app.quota.answer = None,
    }
}
