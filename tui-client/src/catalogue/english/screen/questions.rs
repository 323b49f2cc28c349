//! What dialogs ask and tell.

use sampan_protocol::limits::{MAX_NAME_BYTES, MAX_PATH_BYTES, MAX_PATH_NAMES};
use sampan_protocol::path::NameError;
use sampan_protocol::{Attributes, ByteSize, EntryKind, PathError};

use super::grouped;
use crate::address::Server;
use crate::app::dialog::connect::Problem;
use crate::catalogue::engine::{address_problem, how_it_differs};

pub const FIELD_PLACE: &str = "Place";
pub const FIELD_USER: &str = "User";
pub const FIELD_HOST: &str = "Host";
pub const FIELD_PORT: &str = "Port";
pub const FIELD_PASSWORD: &str = "Password";
pub const FIELD_NAME: &str = "Name";
pub const TITLE_CONNECT: &str = "Connect";
pub const TITLE_IDENTITY: &str = "Unknown server";
pub const TITLE_OVERWRITE: &str = "Overwrite?";
pub const TITLE_DELETE: &str = "Delete?";
pub const TITLE_NEW_FOLDER: &str = "New folder";
pub const TITLE_RENAME: &str = "Rename";
pub const TITLE_QUIT: &str = "Leave?";
pub const TITLE_STOP: &str = "Stop?";
pub const TITLE_HELP: &str = "Help";
pub const TITLE_FAILURE: &str = "This did not work";
pub const CHOOSE_ANOTHER_NAME: &str = "choose another name, or move the other one away";

pub const CONNECT_HINT: &str =
    "A whole place, such as sampan://USER@HOST/FOLDER, or user and host. Enter connects.";
pub const CONNECTING: &str = "Connecting … Esc gives up.";

pub const IDENTITY_ADVICE: &str = "Compare this with the line that `sampand fingerprint` prints on \
                                   the server. Trust it only if both are equal: it is remembered, \
                                   and another key will be refused.";
pub const NEW_FILE: &str = "new";
pub const EXISTING_FILE: &str = "there already";
pub const FACT_PLACE: &str = "where";
pub const FACT_SIZE: &str = "size";
pub const FACT_CHANGED: &str = "changed";
pub const QUIT_QUESTION: &str = "Leave Sampan?";

pub const QUIT_TRANSFERS: &str = "Transfers are running. They go on where they are when you \
                                  connect to this account again.";
pub const QUIT_CHANGES: &str = "Changes are still being made. They stop where they are.";
pub const STOP_QUESTION: &str = "Stop all transfers and changes?";
pub const STOP_CONSEQUENCE: &str = "What is across stays. What is not is given up.";

/// The first contact.
pub fn identity_unknown(server: &Server) -> String {
    format!("{server} is not known yet. Its key has the fingerprint")
}

/// Head of the overwrite question.
pub fn target_exists(name: &str, new: &Attributes, there: &Attributes) -> String {
    format!("{name} exists already, {}.", how_it_differs(new, there))
}

/// How the file that is there compares with the new one.
pub fn age(new: &Attributes, old: &Attributes) -> String {
    match new.mtime.cmp(&old.mtime) {
        std::cmp::Ordering::Less => "(newer)".to_owned(),
        std::cmp::Ordering::Equal => "(same moment)".to_owned(),
        std::cmp::Ordering::Greater => "(older)".to_owned(),
    }
}

/// Head of the delete question.
pub fn delete_question(count: usize) -> String {
    match count {
        1 => "Delete this one from".to_owned(),
        _ => format!("Delete these {} from", grouped(count as u64)),
    }
}

/// One of those to be deleted.
pub fn delete_item(name: &str, attributes: &Attributes) -> String {
    match attributes.kind {
        EntryKind::File => format!("  {name} · {}", ByteSize(attributes.size)),
        EntryKind::Folder => format!("  {name}/ · folder"),
        EntryKind::Link => format!("  {name} · link"),
        EntryKind::Other => format!("  {name}"),
    }
}

/// More than are listed.
pub fn and_more(count: usize) -> String {
    format!("  and {} more", grouped(count as u64))
}

/// What deleting means.
pub fn delete_consequence(any_folder: bool) -> &'static str {
    if any_folder {
        "Folders go with all that is in them. This cannot be undone."
    } else {
        "This cannot be undone."
    }
}

/// What is filled in is no place.
pub fn problem(problem: &Problem) -> String {
    match problem {
        Problem::NoUser => "Name a user.".to_owned(),
        Problem::NoHost => "Name a host.".to_owned(),
        Problem::Port => "A port is a number from 1 to 65535.".to_owned(),
        Problem::NoPassword => "Type the password.".to_owned(),
        Problem::Place(error) => address_problem(error),
        Problem::Path(error) => path_problem(*error),
    }
}

/// What is filled in leads nowhere.
fn path_problem(problem: PathError) -> String {
    match problem {
        PathError::Name(problem) => name_problem(problem),
        PathError::AboveHome => "The path leads above the home.".to_owned(),
        PathError::TooLong => {
            format!("The path has more than {MAX_PATH_BYTES} bytes or {MAX_PATH_NAMES} names.")
        }
    }
}

/// What is filled in is no name.
pub fn name_problem(problem: NameError) -> String {
    match problem {
        NameError::Empty => "A name is empty.".to_owned(),
        NameError::Dots => "A name is `.` or `..`.".to_owned(),
        NameError::Slash => "A name holds a `/`.".to_owned(),
        NameError::Nul => "A name holds a NUL byte.".to_owned(),
        NameError::TooLong => format!("A name has more than {MAX_NAME_BYTES} bytes."),
    }
}
