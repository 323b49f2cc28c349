//! Fields, a tick box and buttons: what every dialog has in common.
//!
//! The focus goes round over all of them. A button's letter works wherever no text is being typed,
//! and with Alt everywhere.
//!
//! Invariant: Esc and Ctrl-C give the answer that changes nothing.

use super::field::Field;
use crate::app::key::{Code, Key};
use crate::catalogue::screen::ButtonText;

/// What a button stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Do it.
    Yes,
    /// Leave everything as it is.
    No,
    /// Keep the old file and the new one.
    KeepBoth,
    /// Overwrite if the new one is newer.
    IfNewer,
}

/// A button.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Button {
    /// What it says.
    pub text: ButtonText,
    /// What it means.
    pub answer: Answer,
}

impl Button {
    /// A button.
    pub fn new(text: ButtonText, answer: Answer) -> Self {
        Self { text, answer }
    }
}

/// A tick box.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TickBox {
    /// What it says.
    pub text: ButtonText,
    /// Whether it is ticked.
    pub ticked: bool,
}

/// Something that can have the focus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Control {
    /// A field, by its number.
    Field(usize),
    /// The tick box.
    TickBox,
    /// A button, by its number.
    Button(usize),
}

/// What a key or click led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Nothing.
    Nothing,
    /// The focus, the tick or a scroll position.
    Changed,
    /// The text of a field.
    Edited(usize),
    /// An answer.
    Answered(Answer),
}

/// Fields, a tick box and buttons.
#[derive(Clone, Debug)]
pub struct Form {
    /// Lines of text.
    pub fields: Vec<Field>,
    /// A tick box, if there is one.
    pub tick_box: Option<TickBox>,
    /// Buttons, from left to right.
    pub buttons: Vec<Button>,
    /// What has the focus.
    pub focus: Control,
    /// First line of the text above that is in view.
    pub scroll: usize,
    on_escape: Answer,
}

impl Form {
    /// A question: the focus is on `No`.
    pub fn question(buttons: Vec<Button>) -> Self {
        let safe = buttons.iter().position(|button| button.answer == Answer::No).unwrap_or(0);
        Self {
            fields: Vec::new(),
            tick_box: None,
            buttons,
            focus: Control::Button(safe),
            scroll: 0,
            on_escape: Answer::No,
        }
    }

    /// Something to read, with one button.
    pub fn note(button: Button) -> Self {
        let on_escape = button.answer;
        Self { on_escape, ..Self::question(vec![button]) }
    }

    /// Something to fill in: the focus is on the first field, and Enter there means `Yes`.
    pub fn fill_in(fields: Vec<Field>, buttons: Vec<Button>) -> Self {
        Self { fields, focus: Control::Field(0), ..Self::question(buttons) }
    }

    /// With a tick box, not ticked.
    #[must_use]
    pub fn with_tick_box(self, text: ButtonText) -> Self {
        Self { tick_box: Some(TickBox { text, ticked: false }), ..self }
    }

    /// Whether the tick box is ticked.
    pub fn is_ticked(&self) -> bool {
        self.tick_box.is_some_and(|tick_box| tick_box.ticked)
    }

    fn controls(&self) -> Vec<Control> {
        let fields = (0..self.fields.len()).map(Control::Field);
        let tick_box = self.tick_box.iter().map(|_| Control::TickBox);
        let buttons = (0..self.buttons.len()).map(Control::Button);
        fields.chain(tick_box).chain(buttons).collect()
    }

    fn move_focus(&mut self, forward: bool) -> Reply {
        let controls = self.controls();
        let here = controls.iter().position(|control| *control == self.focus).unwrap_or(0);
        let step = if forward { 1 } else { controls.len() - 1 };
        self.focus = controls[(here + step) % controls.len()];
        Reply::Changed
    }

    /// Takes a key.
    pub fn key(&mut self, key: Key) -> Reply {
        if key == Key::plain(Code::Esc) || key == Key::ctrl('c') {
            return Reply::Answered(self.on_escape);
        }
        match key.code {
            Code::Tab | Code::Down => return self.move_focus(true),
            Code::BackTab | Code::Up => return self.move_focus(false),
            Code::PageUp => return self.scroll_by(-5),
            Code::PageDown => return self.scroll_by(5),
            _ => {}
        }
        if let Control::Field(index) = self.focus {
            if key == Key::plain(Code::Enter) {
                return Reply::Answered(Answer::Yes);
            }
            if self.fields[index].key(key) {
                return Reply::Edited(index);
            }
        }
        let in_field = matches!(self.focus, Control::Field(_));
        match key.code {
            Code::Left => self.move_focus(false),
            Code::Right => self.move_focus(true),
            Code::Enter | Code::Char(' ') if !in_field => self.press(self.focus),
            Code::Char(letter) if (key.alt || !in_field) && !key.ctrl => self.letter(letter),
            _ => Reply::Nothing,
        }
    }

    /// A control was clicked, or Enter was pressed on it.
    pub fn press(&mut self, control: Control) -> Reply {
        self.focus = control;
        match control {
            Control::Field(_) => Reply::Changed,
            Control::TickBox => self.tick(),
            Control::Button(index) => Reply::Answered(self.buttons[index].answer),
        }
    }

    fn letter(&mut self, letter: char) -> Reply {
        let letter = letter.to_ascii_lowercase();
        if self.tick_box.is_some_and(|tick_box| tick_box.text.letter == letter) {
            return self.tick();
        }
        let chosen = self.buttons.iter().find(|button| button.text.takes(letter));
        chosen.map_or(Reply::Nothing, |button| Reply::Answered(button.answer))
    }

    fn tick(&mut self) -> Reply {
        if let Some(tick_box) = &mut self.tick_box {
            tick_box.ticked = !tick_box.ticked;
        }
        Reply::Changed
    }

    /// Text was pasted.
    pub fn paste(&mut self, text: &str) -> Reply {
        match self.focus {
            Control::Field(index) => {
                self.fields[index].insert(text);
                Reply::Edited(index)
            }
            Control::TickBox | Control::Button(_) => Reply::Nothing,
        }
    }

    /// Scrolls the text above. The layout knows where it ends.
    pub fn scroll_by(&mut self, lines: isize) -> Reply {
        self.scroll = self.scroll.saturating_add_signed(lines);
        Reply::Changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YES: ButtonText = ButtonText { label: "Yes", letter: 'y', also: &[] };
    const NO: ButtonText = ButtonText { label: "No", letter: 'n', also: &['s'] };
    const ALL: ButtonText = ButtonText { label: "All", letter: 'a', also: &[] };

    fn question() -> Form {
        let buttons = vec![Button::new(YES, Answer::Yes), Button::new(NO, Answer::No)];
        Form::question(buttons).with_tick_box(ALL)
    }

    fn fill_in() -> Form {
        let buttons = vec![Button::new(YES, Answer::Yes), Button::new(NO, Answer::No)];
        Form::fill_in(vec![Field::new("", ""), Field::new("", "")], buttons)
    }

    #[test]
    fn keys_answer_a_question() {
        let cases = [
            (Key::plain(Code::Enter), Reply::Answered(Answer::No)),
            (Key::plain(Code::Esc), Reply::Answered(Answer::No)),
            (Key::ctrl('c'), Reply::Answered(Answer::No)),
            (Key::plain(Code::Char('y')), Reply::Answered(Answer::Yes)),
            (Key::plain(Code::Char('Y')), Reply::Answered(Answer::Yes)),
            (Key::plain(Code::Char('n')), Reply::Answered(Answer::No)),
            (Key::plain(Code::Char('s')), Reply::Answered(Answer::No)),
            (Key::plain(Code::Char('q')), Reply::Nothing),
            (Key::ctrl('y'), Reply::Nothing),
            (Key::plain(Code::Char('a')), Reply::Changed),
        ];
        for (key, reply) in cases {
            assert_eq!(question().key(key), reply, "{key:?}");
        }
    }

    #[test]
    fn the_tick_box_is_ticked_and_unticked() {
        let mut form = question();
        form.key(Key::plain(Code::Char('a')));
        assert!(form.is_ticked());
        form.key(Key::plain(Code::Char('a')));
        assert!(!form.is_ticked());
    }

    #[test]
    fn the_focus_goes_round() {
        use Control::{Button, TickBox};
        let mut form = question();
        let seen = [0; 4].map(|_| {
            form.key(Key::plain(Code::Tab));
            form.focus
        });
        assert_eq!(seen, [TickBox, Button(0), Button(1), TickBox]);
        form.key(Key::plain(Code::Left));
        assert_eq!(form.focus, Button(1));
    }

    #[test]
    fn letters_are_text_in_a_field_and_answers_with_alt() {
        let mut form = fill_in();
        assert_eq!(form.key(Key::plain(Code::Char('y'))), Reply::Edited(0));
        assert_eq!(form.fields[0].value(), "y");
        assert_eq!(form.key(Key::alt('n')), Reply::Answered(Answer::No));
        assert_eq!(form.key(Key::plain(Code::Enter)), Reply::Answered(Answer::Yes));
        form.key(Key::plain(Code::Down));
        assert_eq!(form.paste("pasted\n"), Reply::Edited(1));
        assert_eq!(form.fields[1].value(), "pasted");
    }
}
