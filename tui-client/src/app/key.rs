//! Keys and the pointer as the screen knows them, whatever library reads the terminal.

/// A key that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Which.
    pub code: Code,
    /// With Ctrl.
    pub ctrl: bool,
    /// With Alt, or after an Esc that came at once.
    pub alt: bool,
}

/// Which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Code {
    /// A character, as the keyboard made it: `A` is Shift and `a`.
    Char(char),
    /// F1 to F12.
    F(u8),
    /// Return.
    Enter,
    /// Escape.
    Esc,
    /// Backspace.
    Backspace,
    /// Tab.
    Tab,
    /// Shift-Tab.
    BackTab,
    /// Arrow.
    Up,
    /// Arrow.
    Down,
    /// Arrow.
    Left,
    /// Arrow.
    Right,
    /// First.
    Home,
    /// Last.
    End,
    /// A page back.
    PageUp,
    /// A page on.
    PageDown,
    /// Insert.
    Insert,
    /// Delete.
    Delete,
}

impl Key {
    /// Without Ctrl and Alt.
    pub const fn plain(code: Code) -> Self {
        Self { code, ctrl: false, alt: false }
    }

    /// A character with Ctrl.
    pub const fn ctrl(character: char) -> Self {
        Self { code: Code::Char(character), ctrl: true, alt: false }
    }

    /// A character with Alt.
    pub const fn alt(character: char) -> Self {
        Self { code: Code::Char(character), ctrl: false, alt: true }
    }

    /// The character that it types, if it types one.
    pub fn typed(self) -> Option<char> {
        match self {
            Self { code: Code::Char(character), ctrl: false, alt: false } => Some(character),
            _ => None,
        }
    }
}

/// Something that the pointer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mouse {
    /// What.
    pub kind: MouseKind,
    /// Column, from 0.
    pub x: u16,
    /// Row, from 0.
    pub y: u16,
    /// With Ctrl.
    pub ctrl: bool,
    /// With Alt.
    pub alt: bool,
    /// With Shift.
    pub shift: bool,
}

/// What the pointer did. Only the left button has a meaning so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MouseKind {
    /// The left button went down.
    Down,
    /// It moved with the left button down.
    Drag,
    /// The left button went up.
    Up,
    /// The wheel turned away from the hand.
    WheelUp,
    /// The wheel turned towards the hand.
    WheelDown,
}

impl Mouse {
    /// Without Ctrl, Alt and Shift.
    pub const fn plain(kind: MouseKind, x: u16, y: u16) -> Self {
        Self { kind, x, y, ctrl: false, alt: false, shift: false }
    }
}
