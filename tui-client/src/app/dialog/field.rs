//! A line of text that a person edits.
//!
//! Invariant: `cursor` stands between two graphemes; the text holds no control characters.

use unicode_segmentation::UnicodeSegmentation;
use zeroize::Zeroize;

use crate::app::key::{Code, Key};

/// Longer input is cut: no name, host or password needs more.
const MOST_BYTES: usize = 4096;

/// A line of text.
#[derive(Clone, Debug)]
pub struct Field {
    /// What it is for.
    pub label: &'static str,
    /// It is shown as dots and wiped when dropped.
    pub secret: bool,
    value: String,
    cursor: usize,
}

impl Field {
    /// One with this text, and the cursor at its end.
    pub fn new(label: &'static str, value: &str) -> Self {
        let mut field = Self { label, secret: false, value: String::new(), cursor: 0 };
        field.insert(value);
        field
    }

    /// One whose text is not shown.
    pub fn secret(label: &'static str) -> Self {
        let mut field = Self::new(label, "");
        field.secret = true;
        field
    }

    /// The text.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// The text before the cursor and the one behind it, as they are shown.
    pub fn shown(&self) -> (String, String) {
        let (before, behind) = self.value.split_at(self.cursor);
        if self.secret {
            let dots = |text: &str| "•".repeat(text.graphemes(true).count());
            (dots(before), dots(behind))
        } else {
            (before.to_owned(), behind.to_owned())
        }
    }

    /// Replaces the text.
    pub fn set(&mut self, value: &str) {
        self.value.zeroize();
        self.cursor = 0;
        self.insert(value);
    }

    /// Puts the cursor before the last dot, where one changes a file's name.
    pub fn before_suffix(&mut self) {
        if let Some(dot) = self.value.rfind('.').filter(|dot| *dot > 0) {
            self.cursor = dot;
        }
    }

    /// Types or pastes at the cursor; control characters are left out.
    pub fn insert(&mut self, text: &str) {
        for character in text.chars().filter(|character| !character.is_control()) {
            if self.value.len() + character.len_utf8() > MOST_BYTES {
                break;
            }
            self.value.insert(self.cursor, character);
            self.cursor += character.len_utf8();
        }
    }

    /// Takes a key. Answers whether it had a meaning here.
    pub fn key(&mut self, key: Key) -> bool {
        if let Some(character) = key.typed() {
            self.insert(character.encode_utf8(&mut [0; 4]));
            return true;
        }
        match (key.code, key.ctrl) {
            (Code::Left, false) => self.cursor = self.before(),
            (Code::Right, false) => self.cursor = self.behind(),
            (Code::Home, false) | (Code::Char('a'), true) => self.cursor = 0,
            (Code::End, false) | (Code::Char('e'), true) => self.cursor = self.value.len(),
            (Code::Backspace, false) => self.remove(self.before(), self.cursor),
            (Code::Delete, false) => self.remove(self.cursor, self.behind()),
            (Code::Char('u'), true) => self.remove(0, self.cursor),
            (Code::Char('w'), true) => self.remove(self.word(), self.cursor),
            _ => return false,
        }
        true
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.value.replace_range(from..to, "");
        self.cursor = from;
    }

    fn before(&self) -> usize {
        let mut graphemes = self.value[..self.cursor].grapheme_indices(true);
        graphemes.next_back().map_or(0, |(index, _)| index)
    }

    fn behind(&self) -> usize {
        let next = self.value[self.cursor..].graphemes(true).next();
        self.cursor + next.map_or(0, str::len)
    }

    fn word(&self) -> usize {
        let before = self.value[..self.cursor].trim_end();
        before
            .rfind(char::is_whitespace)
            .map_or(0, |space| space + before[space..].chars().next().map_or(0, char::len_utf8))
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        if self.secret {
            self.value.zeroize();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn press(field: &mut Field, codes: &[Code]) {
        for code in codes {
            assert!(field.key(Key::plain(*code)), "{code:?}");
        }
    }

    #[test]
    fn editing_moves_by_what_people_see() {
        let mut field = Field::new("", "ae\u{301}👩‍🚀z");
        press(&mut field, &[Code::Left, Code::Backspace]);
        assert_eq!(field.value(), "ae\u{301}z");
        press(&mut field, &[Code::Left, Code::Delete, Code::Char('ü')]);
        assert_eq!(field.value(), "aüz");
        press(&mut field, &[Code::Home, Code::Delete, Code::End, Code::Char('!')]);
        assert_eq!(field.value(), "üz!");
    }

    #[test]
    fn words_and_lines_go_at_once() {
        let mut field = Field::new("", "one two ");
        field.key(Key::ctrl('w'));
        assert_eq!(field.value(), "one ");
        field.key(Key::ctrl('u'));
        assert_eq!(field.value(), "");
    }

    #[test]
    fn what_is_pasted_is_one_line_and_bounded() {
        let mut field = Field::new("", "");
        field.insert("a\nb\x1b[31m");
        assert_eq!(field.value(), "ab[31m");
        field.insert(&"x".repeat(2 * MOST_BYTES));
        assert_eq!(field.value().len(), MOST_BYTES);
    }

    #[test]
    fn a_secret_is_shown_as_dots() {
        let mut field = Field::secret("");
        field.insert("pass");
        field.key(Key::plain(Code::Left));
        assert_eq!(field.shown(), ("•••".to_owned(), "•".to_owned()));
        assert_eq!(field.value(), "pass");
    }

    #[test]
    fn a_new_name_is_typed_before_the_suffix() {
        let mut field = Field::new("", "report.tar.gz");
        field.before_suffix();
        field.insert("-2");
        assert_eq!(field.value(), "report.tar-2.gz");
        let mut hidden = Field::new("", ".profile");
        hidden.before_suffix();
        hidden.insert("2");
        assert_eq!(hidden.value(), ".profile2");
    }
}
