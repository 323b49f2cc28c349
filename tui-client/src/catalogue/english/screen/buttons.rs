//! What buttons say, and the letters that press them.

/// What a button says, and its letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ButtonText {
    /// A word or two.
    pub label: &'static str,
    /// The letter that is shown with it.
    pub letter: char,
    /// Letters that work as well.
    pub also: &'static [char],
}

impl ButtonText {
    const fn new(letter: char, label: &'static str, also: &'static [char]) -> Self {
        Self { label, letter, also }
    }

    /// Whether a letter means this button.
    pub fn takes(&self, letter: char) -> bool {
        self.letter == letter || self.also.contains(&letter)
    }

    /// With its letter, and a column on both sides for the marks of the focus.
    pub fn shown(&self) -> String {
        format!(" {} ", self.shown_bare())
    }

    /// With its letter.
    pub fn shown_bare(&self) -> String {
        format!("({}) {}", self.letter, self.label)
    }
}

pub const TRUST: ButtonText = ButtonText::new('y', "Trust it", &['t']);
pub const DO_NOT_TRUST: ButtonText = ButtonText::new('n', "Do not connect", &[]);
pub const OVERWRITE: ButtonText = ButtonText::new('y', "Overwrite", &['o']);
pub const SKIP: ButtonText = ButtonText::new('n', "Skip", &['s']);
pub const KEEP_BOTH: ButtonText = ButtonText::new('k', "Keep both", &[]);
pub const IF_NEWER: ButtonText = ButtonText::new('w', "If newer", &[]);
pub const WHOLE_BATCH: ButtonText = ButtonText::new('a', "All conflicts of this copy", &[]);
pub const DELETE: ButtonText = ButtonText::new('y', "Delete", &[]);
pub const KEEP: ButtonText = ButtonText::new('n', "Keep", &[]);
pub const LEAVE: ButtonText = ButtonText::new('y', "Leave", &[]);
pub const STAY: ButtonText = ButtonText::new('n', "Stay", &[]);
pub const STOP: ButtonText = ButtonText::new('y', "Stop them", &[]);
pub const GO_ON: ButtonText = ButtonText::new('n', "Go on", &[]);
pub const CLOSE: ButtonText = ButtonText::new('o', "OK", &['y', 'n', 'q']);
pub const CONNECT: ButtonText = ButtonText::new('y', "Connect", &['c']);
pub const CANCEL: ButtonText = ButtonText::new('n', "Cancel", &[]);
pub const MAKE: ButtonText = ButtonText::new('y', "Make", &[]);
pub const RENAME: ButtonText = ButtonText::new('y', "Rename", &[]);
