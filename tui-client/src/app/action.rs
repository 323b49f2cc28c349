//! Everything that can be asked for, and the one table from which keys, the bottom bar and the help
//! are made.
//!
//! Invariant: in each table no key stands for two actions, and an action without a key is in no table.

use super::key::{Code, Key};
use crate::catalogue::screen as text;

/// Something to be done because a person said so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Keys and what they do.
    Help,
    /// A new name.
    Rename,
    /// Copy to the folder of the other pane.
    Copy,
    /// Move to the folder of the other pane.
    Move,
    /// A new folder.
    NewFolder,
    /// Remove.
    Delete,
    /// Leave.
    Quit,
    /// Leave, but ask first.
    AskToQuit,
    /// The other pane.
    SwitchPane,
    /// The cursor.
    Up,
    /// The cursor.
    Down,
    /// The cursor.
    PageUp,
    /// The cursor.
    PageDown,
    /// The cursor.
    First,
    /// The cursor.
    Last,
    /// The folder under the cursor.
    Open,
    /// The folder that holds this one.
    Parent,
    /// Mark or unmark, and go down.
    Mark,
    /// No marks, no messages.
    StepBack,
    /// Read again.
    Reload,
    /// Names naturally or by bytes.
    ToggleOrder,
    /// Connect to a server.
    Connect,
    /// Stop what runs.
    StopTransfers,
    /// The keys go to the transfers.
    EnterPanel,
    /// The keys go to the pane again.
    LeavePanel,
    /// Why transfers failed.
    Why,
    /// Carry again what failed.
    Retry,
}

/// An action, its keys and its names.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Which.
    pub action: Action,
    /// Its keys; the first is the one that is shown first.
    pub keys: &'static [Key],
    /// Its place in the bottom bar: the number of the F-key, and a word.
    pub bar: Option<(u8, &'static str)>,
    /// What the help says.
    pub help: &'static str,
}

const fn plain(code: Code) -> Key {
    Key::plain(code)
}

const fn letter(character: char) -> Key {
    Key::plain(Code::Char(character))
}

const fn function(
    action: Action,
    keys: &'static [Key],
    number: u8,
    label: &'static str,
    help: &'static str,
) -> Spec {
    Spec { action, keys, bar: Some((number, label)), help }
}

const fn other(action: Action, keys: &'static [Key], help: &'static str) -> Spec {
    Spec { action, keys, bar: None, help }
}

/// Every action that has a key.
pub const TABLE: &[Spec] = &[
    function(
        Action::Help,
        &[plain(Code::F(1)), letter('?'), Key::alt('1')],
        1,
        text::BAR_HELP,
        text::DOES_HELP,
    ),
    function(
        Action::Rename,
        &[plain(Code::F(2)), letter('r'), Key::alt('2')],
        2,
        text::BAR_RENAME,
        text::DOES_RENAME,
    ),
    function(
        Action::Copy,
        &[plain(Code::F(5)), letter('c'), Key::alt('5')],
        5,
        text::BAR_COPY,
        text::DOES_COPY,
    ),
    function(
        Action::Move,
        &[plain(Code::F(6)), letter('m'), Key::alt('6')],
        6,
        text::BAR_MOVE,
        text::DOES_MOVE,
    ),
    function(
        Action::NewFolder,
        &[plain(Code::F(7)), letter('n'), Key::alt('7')],
        7,
        text::BAR_NEW_FOLDER,
        text::DOES_NEW_FOLDER,
    ),
    function(
        Action::Delete,
        &[plain(Code::F(8)), letter('d'), Key::alt('8'), plain(Code::Delete)],
        8,
        text::BAR_DELETE,
        text::DOES_DELETE,
    ),
    function(
        Action::Quit,
        &[plain(Code::F(10)), letter('q'), Key::alt('0')],
        10,
        text::BAR_QUIT,
        text::DOES_QUIT,
    ),
    other(Action::SwitchPane, &[plain(Code::Tab), plain(Code::BackTab)], text::DOES_SWITCH_PANE),
    other(Action::Up, &[plain(Code::Up)], text::DOES_UP),
    other(Action::Down, &[plain(Code::Down)], text::DOES_DOWN),
    other(Action::PageUp, &[plain(Code::PageUp), plain(Code::Left)], text::DOES_PAGE_UP),
    other(Action::PageDown, &[plain(Code::PageDown), plain(Code::Right)], text::DOES_PAGE_DOWN),
    other(Action::First, &[plain(Code::Home)], text::DOES_FIRST),
    other(Action::Last, &[plain(Code::End)], text::DOES_LAST),
    other(Action::Open, &[plain(Code::Enter)], text::DOES_OPEN),
    other(
        Action::Parent,
        &[plain(Code::Backspace), Key { code: Code::PageUp, ctrl: true, alt: false }],
        text::DOES_PARENT,
    ),
    other(Action::Mark, &[letter(' '), plain(Code::Insert)], text::DOES_MARK),
    other(Action::StepBack, &[plain(Code::Esc)], text::DOES_STEP_BACK),
    other(Action::Reload, &[Key::ctrl('r')], text::DOES_RELOAD),
    other(Action::ToggleOrder, &[letter(',')], text::DOES_TOGGLE_ORDER),
    other(Action::Connect, &[letter('C')], text::DOES_CONNECT),
    other(Action::StopTransfers, &[letter('x')], text::DOES_STOP_TRANSFERS),
    other(Action::EnterPanel, &[letter('w'), Key::ctrl('q')], text::DOES_ENTER_PANEL),
    other(Action::AskToQuit, &[Key::ctrl('c')], text::DOES_ASK_TO_QUIT),
];

/// What keys mean while the transfers have them.
pub const PANEL_TABLE: &[Spec] = &[
    other(Action::Why, &[plain(Code::Enter)], text::DOES_WHY),
    other(Action::Retry, &[letter('r')], text::DOES_RETRY),
    other(Action::StopTransfers, &[letter('x')], text::DOES_STOP_TRANSFERS),
    other(Action::Up, &[plain(Code::Up)], text::DOES_UP),
    other(Action::Down, &[plain(Code::Down)], text::DOES_DOWN),
    other(Action::PageUp, &[plain(Code::PageUp)], text::DOES_PAGE_UP),
    other(Action::PageDown, &[plain(Code::PageDown)], text::DOES_PAGE_DOWN),
    other(Action::First, &[plain(Code::Home)], text::DOES_FIRST),
    other(Action::Last, &[plain(Code::End)], text::DOES_LAST),
    other(
        Action::LeavePanel,
        &[plain(Code::Tab), plain(Code::BackTab), letter('w'), Key::ctrl('q')],
        text::DOES_LEAVE_PANEL,
    ),
    other(Action::Help, &[plain(Code::F(1)), letter('?'), Key::alt('1')], text::DOES_HELP),
    other(Action::Quit, &[plain(Code::F(10)), letter('q'), Key::alt('0')], text::DOES_QUIT),
    other(Action::AskToQuit, &[Key::ctrl('c')], text::DOES_ASK_TO_QUIT),
];

/// The action of a key.
pub fn of_key(key: Key) -> Option<Action> {
    TABLE.iter().find(|spec| spec.keys.contains(&key)).map(|spec| spec.action)
}

/// The action of a key while the transfers have the keys.
pub fn of_panel_key(key: Key) -> Option<Action> {
    PANEL_TABLE.iter().find(|spec| spec.keys.contains(&key)).map(|spec| spec.action)
}

/// The actions of the bottom bar, with number and word.
pub fn bar() -> impl Iterator<Item = (Action, u8, &'static str)> {
    TABLE.iter().filter_map(|spec| spec.bar.map(|(number, label)| (spec.action, number, label)))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn no_key_stands_for_two_actions() {
        for table in [TABLE, PANEL_TABLE] {
            let mut taken = HashMap::new();
            for spec in table {
                assert!(!spec.keys.is_empty(), "{:?}", spec.action);
                for key in spec.keys {
                    assert_eq!(taken.insert(*key, spec.action), None, "{key:?}");
                }
            }
        }
    }

    #[test]
    fn every_action_of_the_bar_has_its_f_key_its_digit_and_a_letter() {
        for (action, number, _) in bar() {
            let digit = char::from_digit(u32::from(number % 10), 10).unwrap();
            assert_eq!(of_key(plain(Code::F(number))), Some(action));
            assert_eq!(of_key(Key::alt(digit)), Some(action));
            let spec = TABLE.iter().find(|spec| spec.action == action).unwrap();
            assert!(spec.keys.iter().any(|key| key.typed().is_some()), "{action:?}");
        }
    }
}
