//! Styles by meaning. Only the sixteen colours that every terminal lets people choose, and with
//! `NO_COLOR` none at all.

use ratatui::style::{Color, Modifier, Style};

/// Styles by meaning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    pub(super) plain: Style,
    pub(super) faint: Style,
    pub(super) border: Style,
    pub(super) focused_border: Style,
    pub(super) head: Style,
    pub(super) folder: Style,
    pub(super) link: Style,
    pub(super) marked: Style,
    pub(super) cursor: Style,
    pub(super) idle_cursor: Style,
    pub(super) target: Style,
    pub(super) good: Style,
    pub(super) bad: Style,
    pub(super) notice: Style,
    pub(super) filled: Style,
    pub(super) field: Style,
    pub(super) button: Style,
    pub(super) ghost: Style,
}

impl Theme {
    pub(super) fn new(colours: bool) -> Self {
        let plain = Style::new();
        let bold = plain.add_modifier(Modifier::BOLD);
        let faint = plain.add_modifier(Modifier::DIM);
        let reversed = plain.add_modifier(Modifier::REVERSED);
        let underlined = plain.add_modifier(Modifier::UNDERLINED);
        let without = Self {
            plain,
            faint,
            border: faint,
            focused_border: bold,
            head: faint,
            folder: bold,
            link: plain,
            marked: bold,
            cursor: reversed,
            idle_cursor: underlined,
            target: reversed.add_modifier(Modifier::BOLD),
            good: plain,
            bad: bold,
            notice: bold,
            filled: plain,
            field: underlined,
            button: reversed,
            ghost: reversed.add_modifier(Modifier::BOLD),
        };
        if !colours {
            return without;
        }
        Self {
            focused_border: bold.fg(Color::Cyan),
            folder: bold.fg(Color::Blue),
            link: plain.fg(Color::Cyan),
            marked: bold.fg(Color::Yellow),
            target: reversed.fg(Color::Green).add_modifier(Modifier::BOLD),
            good: plain.fg(Color::Green),
            bad: bold.fg(Color::Red),
            notice: bold.fg(Color::Yellow),
            filled: plain.fg(Color::Cyan),
            ..without
        }
    }
}
