//! What a dialog says, as plain lines: the layout measures them, the view paints them.

use sampan_protocol::{Attributes, EntryKind};

use super::{
    ConnectDialog, DeleteDialog, Dialog, FailuresDialog, IdentityDialog, NameDialog,
    OverwriteDialog, Purpose,
};
use crate::app::{App, action};
use crate::catalogue::screen as text;
use crate::failure::{Failure, Situation};
use crate::message::Message;
use crate::place::Location;

/// Names that a question lists before it says how many more there are.
const MOST_NAMES: usize = 5;

/// What a dialog says above its fields and buttons.
#[derive(Clone, Debug, PartialEq)]
pub struct Content {
    /// In the frame.
    pub title: &'static str,
    /// Below it.
    pub blocks: Vec<Block>,
}

/// A part of what it says.
#[derive(Clone, Debug, PartialEq)]
pub enum Block {
    /// A paragraph, wrapped.
    Text(String),
    /// A paragraph that matters most.
    Strong(String),
    /// One line, cut in its middle if it is too long: a path or a name.
    Line(String),
    /// A row of a table with a narrow column for its head.
    Fact(&'static str, Vec<String>),
    /// An empty line.
    Gap,
}

impl Content {
    /// What this dialog says.
    pub fn of(dialog: &Dialog, app: &App) -> Self {
        match dialog {
            Dialog::Connect(dialog) => connect(dialog, app),
            Dialog::Identity(dialog) => identity(dialog),
            Dialog::Overwrite(dialog) => overwrite(dialog, app),
            Dialog::Delete(dialog) => delete(dialog, app),
            Dialog::Name(dialog) => name(dialog, app),
            Dialog::Quit(_) => quit(app),
            Dialog::Stop(_) => stop(),
            Dialog::Help(_) => help(),
            Dialog::Failures(dialog) => failures(dialog, app),
        }
    }
}

fn connect(dialog: &ConnectDialog, app: &App) -> Content {
    let mut blocks = Vec::new();
    if let Some(failure) = &dialog.failure {
        blocks.extend(explain(failure, app));
    }
    if let Some(problem) = &dialog.problem {
        blocks.push(Block::Strong(text::problem(problem)));
    }
    if blocks.is_empty() {
        blocks.push(Block::Text(text::CONNECT_HINT.to_owned()));
    }
    if dialog.attempt.is_some() {
        blocks = vec![Block::Text(text::CONNECTING.to_owned())];
    }
    Content { title: text::TITLE_CONNECT, blocks }
}

fn identity(dialog: &IdentityDialog) -> Content {
    let server = &dialog.login.account.server;
    let blocks = vec![
        Block::Text(text::identity_unknown(server)),
        Block::Gap,
        Block::Strong(dialog.fingerprint.clone()),
        Block::Gap,
        Block::Text(text::IDENTITY_ADVICE.to_owned()),
    ];
    Content { title: text::TITLE_IDENTITY, blocks }
}

fn overwrite(dialog: &OverwriteDialog, app: &App) -> Content {
    let conflict = &dialog.conflict;
    let name = conflict.to.0.name().map(|name| name.to_string()).unwrap_or_default();
    let side = |place: &(Location, Attributes), column: fn(&App, &Attributes) -> String| {
        column(app, &place.1)
    };
    let both = |column: fn(&App, &Attributes) -> String| {
        vec![side(&conflict.from, column), side(&conflict.to, column)]
    };
    let blocks = vec![
        Block::Strong(text::target_exists(&name, &conflict.from.1, &conflict.to.1)),
        Block::Gap,
        Block::Fact("", vec![text::NEW_FILE.to_owned(), text::EXISTING_FILE.to_owned()]),
        Block::Fact(
            text::FACT_PLACE,
            vec![app.full_place(&conflict.from.0), app.full_place(&conflict.to.0)],
        ),
        Block::Fact(text::FACT_SIZE, both(|_, attributes| text::size_both(attributes.size))),
        Block::Fact(text::FACT_CHANGED, both(|app, a| text::moment(a.mtime, &app.zone))),
        Block::Fact("", vec![String::new(), text::age(&conflict.from.1, &conflict.to.1)]),
    ];
    Content { title: text::TITLE_OVERWRITE, blocks }
}

fn delete(dialog: &DeleteDialog, app: &App) -> Content {
    let folders = |kind| kind == EntryKind::Folder;
    let any_folder = dialog.items.iter().any(|item| folders(item.attributes.kind));
    let mut blocks = vec![
        Block::Strong(text::delete_question(dialog.items.len())),
        Block::Line(app.full_place(&dialog.folder)),
        Block::Gap,
    ];
    for item in dialog.items.iter().take(MOST_NAMES) {
        let name = item.location.name().map(|name| name.to_string()).unwrap_or_default();
        blocks.push(Block::Line(text::delete_item(&name, &item.attributes)));
    }
    if let Some(more @ 1..) = dialog.items.len().checked_sub(MOST_NAMES) {
        blocks.push(Block::Line(text::and_more(more)));
    }
    blocks.push(Block::Gap);
    blocks.push(Block::Text(text::delete_consequence(any_folder).to_owned()));
    Content { title: text::TITLE_DELETE, blocks }
}

fn name(dialog: &NameDialog, app: &App) -> Content {
    let (title, what) = match &dialog.purpose {
        Purpose::NewFolder(folder) => (text::TITLE_NEW_FOLDER, app.full_place(folder)),
        Purpose::Rename(seen) => (text::TITLE_RENAME, app.full_place(&seen.location)),
    };
    let mut blocks = vec![Block::Line(what)];
    if let Some(problem) = &dialog.problem {
        blocks.push(Block::Strong(text::name_problem(*problem)));
    }
    Content { title, blocks }
}

/// What would be interrupted now, which may be less than when the question came up.
fn quit(app: &App) -> Content {
    let mut blocks = vec![Block::Strong(text::QUIT_QUESTION.to_owned())];
    if app.transfers.is_running() {
        blocks.push(Block::Text(text::QUIT_TRANSFERS.to_owned()));
    }
    if app.is_changing() {
        blocks.push(Block::Text(text::QUIT_CHANGES.to_owned()));
    }
    Content { title: text::TITLE_QUIT, blocks }
}

fn stop() -> Content {
    let blocks = vec![
        Block::Strong(text::STOP_QUESTION.to_owned()),
        Block::Text(text::STOP_CONSEQUENCE.to_owned()),
    ];
    Content { title: text::TITLE_STOP, blocks }
}

/// One line an action, from the same table as the keys.
fn help() -> Content {
    let row = |spec: &action::Spec| {
        let keys = spec.keys.iter().map(|key| text::key(*key)).collect::<Vec<_>>().join(" ");
        Block::Fact("", vec![keys, spec.help.to_owned()])
    };
    let actions = action::TABLE.iter().map(row);
    let mouse = text::HELP_MOUSE
        .iter()
        .map(|(what, does)| Block::Fact("", vec![(*what).to_owned(), (*does).to_owned()]));
    let mut blocks: Vec<Block> = actions.collect();
    let in_panel = action::PANEL_TABLE
        .iter()
        .filter(|spec| !action::TABLE.iter().any(|other| other.action == spec.action));
    blocks.extend([Block::Gap, Block::Strong(text::HELP_PANEL.to_owned())]);
    blocks.extend(in_panel.map(row));
    blocks.extend([Block::Gap, Block::Strong(text::HELP_POINTER.to_owned())]);
    blocks.extend(mouse);
    blocks.push(Block::Gap);
    blocks.extend(text::HELP_NOTES.iter().map(|note| Block::Text((*note).to_owned())));
    Content { title: text::TITLE_HELP, blocks }
}

fn failures(dialog: &FailuresDialog, app: &App) -> Content {
    let mut blocks = Vec::new();
    for failure in &dialog.failures {
        if !blocks.is_empty() {
            blocks.push(Block::Gap);
        }
        blocks.extend(explain(failure, app));
    }
    Content { title: text::TITLE_FAILURE, blocks }
}

/// To what it happened, what happened, what to do next.
fn explain(failure: &Failure, app: &App) -> Vec<Block> {
    let Message { subject, what, next } = Message::of(failure, app.connection.account());
    let subject = (!subject.is_empty()).then_some(Block::Line(subject));
    let next = match failure.situation {
        // What commands take has no meaning here.
        Situation::Exists(_) => Some(text::CHOOSE_ANOTHER_NAME.to_owned()),
        _ => next,
    };
    let next = next.map(Block::Text);
    subject.into_iter().chain([Block::Strong(what)]).chain(next).collect()
}
