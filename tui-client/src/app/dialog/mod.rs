//! Questions and notes that lie over the panes. One at a time takes the keys: the top of a pile.
//!
//! All share a [`Form`] (fields, a tick box, buttons) and differ by what they are about. What a
//! reply leads to is decided in `update::dialog`; what they say is put together in [`content`].
//!
//! Invariant: a question that destroys something holds what was seen of it, not where the cursor
//! is; its focus begins on the safe button.

pub mod connect;
pub mod content;
pub mod field;
pub mod form;
pub mod name;

use super::changes::Seen;
use super::connection::Login;
use super::transfers::Conflict;
use crate::catalogue::screen as text;
use crate::failure::Failure;
use crate::place::Location;

pub use connect::ConnectDialog;
pub use field::Field;
pub use form::{Answer, Button, Control, Form, Reply};
pub use name::{NameDialog, Purpose};

/// What lies over the panes.
#[derive(Clone, Debug)]
pub enum Dialog {
    /// Where to connect to, and as whom.
    Connect(ConnectDialog),
    /// Is this the server's key?
    Identity(IdentityDialog),
    /// A target exists and differs.
    Overwrite(OverwriteDialog),
    /// Shall these be removed?
    Delete(DeleteDialog),
    /// A name for a new folder, or a new name.
    Name(NameDialog),
    /// Shall the program end?
    Quit(Form),
    /// Shall what runs be stopped?
    Stop(Form),
    /// Keys and what they do.
    Help(Form),
    /// What did not work.
    Failures(FailuresDialog),
}

/// Is this the server's key?
#[derive(Clone, Debug)]
pub struct IdentityDialog {
    /// Buttons.
    pub form: Form,
    /// What is tried again after a yes.
    pub login: Login,
    /// The key's fingerprint.
    pub fingerprint: String,
}

/// A target exists and differs.
#[derive(Clone, Debug)]
pub struct OverwriteDialog {
    /// Buttons, and the tick box for the whole batch.
    pub form: Form,
    /// What is asked about.
    pub conflict: Conflict,
}

/// Shall these be removed?
#[derive(Clone, Debug)]
pub struct DeleteDialog {
    /// Buttons.
    pub form: Form,
    /// The folder that holds them.
    pub folder: Location,
    /// What shall go, as it was seen.
    pub items: Vec<Seen>,
}

/// What did not work.
#[derive(Clone, Debug)]
pub struct FailuresDialog {
    /// One button.
    pub form: Form,
    /// What, in order.
    pub failures: Vec<Failure>,
}

impl Dialog {
    /// The connect dialog, empty but for the last values.
    pub fn connect(last: ConnectDialog) -> Self {
        Self::Connect(last)
    }

    /// Is this the server's key?
    pub fn identity(login: Login, fingerprint: String) -> Self {
        let form = Form::question(vec![
            Button::new(text::TRUST, Answer::Yes),
            Button::new(text::DO_NOT_TRUST, Answer::No),
        ]);
        Self::Identity(IdentityDialog { form, login, fingerprint })
    }

    /// A target exists and differs.
    pub fn overwrite(conflict: Conflict) -> Self {
        let form = Form::question(vec![
            Button::new(text::OVERWRITE, Answer::Yes),
            Button::new(text::SKIP, Answer::No),
            Button::new(text::KEEP_BOTH, Answer::KeepBoth),
            Button::new(text::IF_NEWER, Answer::IfNewer),
        ]);
        Self::Overwrite(OverwriteDialog { form: form.with_tick_box(text::WHOLE_BATCH), conflict })
    }

    /// Shall these be removed?
    pub fn delete(folder: Location, items: Vec<Seen>) -> Self {
        let form = Form::question(vec![
            Button::new(text::DELETE, Answer::Yes),
            Button::new(text::KEEP, Answer::No),
        ]);
        Self::Delete(DeleteDialog { form, folder, items })
    }

    /// Shall the program end?
    pub fn quit() -> Self {
        Self::Quit(Form::question(vec![
            Button::new(text::LEAVE, Answer::Yes),
            Button::new(text::STAY, Answer::No),
        ]))
    }

    /// Shall what runs be stopped?
    pub fn stop() -> Self {
        Self::Stop(Form::question(vec![
            Button::new(text::STOP, Answer::Yes),
            Button::new(text::GO_ON, Answer::No),
        ]))
    }

    /// Keys and what they do.
    pub fn help() -> Self {
        Self::Help(Form::note(Button::new(text::CLOSE, Answer::Yes)))
    }

    /// What did not work.
    pub fn failures(failures: Vec<Failure>) -> Self {
        let form = Form::note(Button::new(text::CLOSE, Answer::Yes));
        Self::Failures(FailuresDialog { form, failures })
    }

    /// Its fields and buttons.
    pub fn form(&self) -> &Form {
        match self {
            Self::Connect(dialog) => &dialog.form,
            Self::Identity(dialog) => &dialog.form,
            Self::Overwrite(dialog) => &dialog.form,
            Self::Delete(dialog) => &dialog.form,
            Self::Name(dialog) => &dialog.form,
            Self::Failures(dialog) => &dialog.form,
            Self::Quit(form) | Self::Stop(form) | Self::Help(form) => form,
        }
    }

    /// Its fields and buttons.
    pub fn form_mut(&mut self) -> &mut Form {
        match self {
            Self::Connect(dialog) => &mut dialog.form,
            Self::Identity(dialog) => &mut dialog.form,
            Self::Overwrite(dialog) => &mut dialog.form,
            Self::Delete(dialog) => &mut dialog.form,
            Self::Name(dialog) => &mut dialog.form,
            Self::Failures(dialog) => &mut dialog.form,
            Self::Quit(form) | Self::Stop(form) | Self::Help(form) => form,
        }
    }
}
