//! A name for a new folder, or a new name for something.

use sampan_protocol::{Name, path::NameError};

use super::field::Field;
use super::form::{Answer, Button, Form};
use crate::app::changes::Seen;
use crate::app::pane::PaneId;
use crate::catalogue::screen as text;
use crate::place::Location;

/// What the name is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Purpose {
    /// A new folder in this one.
    NewFolder(Location),
    /// A new name for this.
    Rename(Seen),
}

/// Asks for a name.
#[derive(Clone, Debug)]
pub struct NameDialog {
    /// One field.
    pub form: Form,
    /// In which pane.
    pub pane: PaneId,
    /// What for.
    pub purpose: Purpose,
    /// Why what is filled in is no name.
    pub problem: Option<NameError>,
}

impl NameDialog {
    /// For a new folder.
    pub fn new_folder(pane: PaneId, folder: Location) -> Self {
        Self::new(pane, Purpose::NewFolder(folder), text::MAKE, "")
    }

    /// For something that is there. A name that cannot be typed begins as an empty field.
    pub fn rename(pane: PaneId, seen: Seen) -> Self {
        let name = seen.location.name();
        let typed = name
            .as_ref()
            .and_then(|name| std::str::from_utf8(name.as_bytes()).ok())
            .filter(|typed| !typed.chars().any(char::is_control))
            .unwrap_or_default()
            .to_owned();
        let mut dialog = Self::new(pane, Purpose::Rename(seen), text::RENAME, &typed);
        dialog.form.fields[0].before_suffix();
        dialog
    }

    fn new(pane: PaneId, purpose: Purpose, yes: text::ButtonText, value: &str) -> Self {
        let buttons = vec![Button::new(yes, Answer::Yes), Button::new(text::CANCEL, Answer::No)];
        let form = Form::fill_in(vec![Field::new(text::FIELD_NAME, value)], buttons);
        Self { form, pane, purpose, problem: None }
    }

    /// What is filled in.
    pub fn name(&self) -> Result<Name, NameError> {
        Name::new(self.form.fields[0].value().as_bytes())
    }
}
