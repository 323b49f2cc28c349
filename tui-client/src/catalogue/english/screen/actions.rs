//! What the bottom bar and the help say of keys and the pointer.

use crate::app::key::{Code, Key};

pub const BAR_HELP: &str = "Help";
pub const BAR_RENAME: &str = "Rename";
pub const BAR_COPY: &str = "Copy";
pub const BAR_MOVE: &str = "Move";
pub const BAR_NEW_FOLDER: &str = "NewDir";
pub const BAR_DELETE: &str = "Delete";
pub const BAR_QUIT: &str = "Quit";
pub const DOES_HELP: &str = "this help";
pub const DOES_RENAME: &str = "rename what is under the cursor";
pub const DOES_COPY: &str = "copy to the other pane's folder: upload or download";
pub const DOES_MOVE: &str = "move there; each file goes only after its copy is verified";
pub const DOES_NEW_FOLDER: &str = "new folder";
pub const DOES_DELETE: &str = "delete, after a question";
pub const DOES_QUIT: &str = "leave; asks if something runs";
pub const DOES_SWITCH_PANE: &str = "other pane";
pub const DOES_UP: &str = "up";
pub const DOES_DOWN: &str = "down";
pub const DOES_PAGE_UP: &str = "a page up";
pub const DOES_PAGE_DOWN: &str = "a page down";
pub const DOES_FIRST: &str = "first row";
pub const DOES_LAST: &str = "last row";
pub const DOES_OPEN: &str = "open the folder";
pub const DOES_PARENT: &str = "folder above; the cursor goes to where it came from";
pub const DOES_MARK: &str = "mark or unmark, and go down";
pub const DOES_STEP_BACK: &str = "no marks; with a digit after it, the F-key of that number";
pub const DOES_RELOAD: &str = "read the folder again";
pub const DOES_TOGGLE_ORDER: &str = "sort names naturally or byte by byte";
pub const DOES_CONNECT: &str = "connect to a server";
pub const DOES_STOP_TRANSFERS: &str = "stop all transfers and changes, after a question";
pub const DOES_ENTER_PANEL: &str = "look at the transfers: why some failed, try again, stop";
pub const DOES_LEAVE_PANEL: &str = "back to the pane";
pub const DOES_WHY: &str = "why transfers failed, and what helps";
pub const DOES_RETRY: &str = "carry again what failed";
pub const DOES_ASK_TO_QUIT: &str = "close the dialog, else ask whether to leave";
pub const HELP_PANEL: &str = "At the transfers, after w";
pub const HELP_POINTER: &str = "The pointer";

pub const HELP_MOUSE: &[(&str, &str)] = &[
    ("Click", "cursor there; in the first two columns: mark or unmark"),
    ("Double click", "open the folder"),
    ("Wheel", "scroll the pane under the pointer"),
    ("Drag unmarked", "mark every row between; into the other pane: copy that one row"),
    ("Drag marked", "carry to the other pane, a folder or `..`; with Ctrl: move"),
];

pub const HELP_NOTES: &[&str] = &[
    "Without marks, the row under the cursor is meant.",
    "Within one side, what is carried moves; between the sides it is copied.",
    "Every question takes the letter of its button, y for yes and n for no, and Esc for no.",
];
pub const PANEL_BAR: &str = " ↑↓ scroll  Enter why  r try again  x stop  Esc back ";

/// A key, as it is printed on keyboards.
pub fn key(key: Key) -> String {
    let name = match key.code {
        Code::Char(' ') => "Space".to_owned(),
        Code::Char(character) if key.ctrl => character.to_ascii_uppercase().to_string(),
        Code::Char(character) => character.to_string(),
        Code::F(number) => format!("F{number}"),
        Code::Enter => "Enter".to_owned(),
        Code::Esc => "Esc".to_owned(),
        Code::Backspace => "Backspace".to_owned(),
        Code::Tab => "Tab".to_owned(),
        Code::BackTab => "Shift-Tab".to_owned(),
        Code::Up => "↑".to_owned(),
        Code::Down => "↓".to_owned(),
        Code::Left => "←".to_owned(),
        Code::Right => "→".to_owned(),
        Code::Home => "Home".to_owned(),
        Code::End => "End".to_owned(),
        Code::PageUp => "PgUp".to_owned(),
        Code::PageDown => "PgDn".to_owned(),
        Code::Insert => "Insert".to_owned(),
        Code::Delete => "Del".to_owned(),
    };
    match (key.ctrl, key.alt) {
        (false, false) => name,
        (true, _) => format!("Ctrl-{name}"),
        (false, true) => format!("Alt-{name}"),
    }
}
