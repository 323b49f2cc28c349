//! What comes from outside: keys, the pointer, pastes, sizes, signals.

use std::io;

use crossterm::event::{
    Event as Raw, EventStream, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseButton,
    MouseEvent, MouseEventKind,
};
use futures_util::StreamExt;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::runner::Report;
use crate::app::event::Event;
use crate::app::key::{Code, Key, Mouse, MouseKind};

/// The tasks that listen.
pub(super) struct Input {
    tasks: JoinSet<()>,
}

impl Input {
    /// Listens until [`Self::stop`].
    pub(super) fn listen(reports: mpsc::Sender<Report>) -> io::Result<Self> {
        let mut tasks = JoinSet::new();
        for kind in [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt()] {
            let mut signal = signal(kind)?;
            let reports = reports.clone();
            tasks.spawn(async move {
                if signal.recv().await.is_some() {
                    // Nobody listens: it is ending already.
                    let _ending = reports.send(Report::Stopped).await;
                }
            });
        }
        tasks.spawn(terminal(reports));
        Ok(Self { tasks })
    }

    /// Ends all listening.
    pub(super) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }
}

async fn terminal(reports: mpsc::Sender<Report>) {
    let mut events = EventStream::new();
    while let Some(Ok(raw)) = events.next().await {
        let Some(event) = translate(raw) else { continue };
        if reports.send(Report::Event(event)).await.is_err() {
            return;
        }
    }
    // The terminal went away.
    let _ending = reports.send(Report::Stopped).await;
}

fn translate(raw: Raw) -> Option<Event> {
    match raw {
        Raw::Key(key) => self::key(key).map(Event::Key),
        Raw::Mouse(event) => mouse(event).map(Event::Mouse),
        Raw::Paste(text) => Some(Event::Paste(text)),
        Raw::Resize(columns, rows) => Some(Event::Resized(super::size((columns, rows)))),
        Raw::FocusLost => Some(Event::FocusLost),
        Raw::FocusGained => None,
    }
}

fn key(event: KeyEvent) -> Option<Key> {
    if event.kind == KeyEventKind::Release {
        return None;
    }
    let ctrl = event.modifiers.contains(KeyModifiers::CONTROL);
    let alt = event.modifiers.contains(KeyModifiers::ALT);
    let code = match event.code {
        // What Backspace sends in many terminals.
        KeyCode::Char('h') if ctrl && !alt => return Some(Key::plain(Code::Backspace)),
        KeyCode::Char(character) => Code::Char(character),
        KeyCode::F(number) => Code::F(number),
        KeyCode::Enter => Code::Enter,
        KeyCode::Esc => Code::Esc,
        KeyCode::Backspace => Code::Backspace,
        KeyCode::Tab => Code::Tab,
        KeyCode::BackTab => Code::BackTab,
        KeyCode::Up => Code::Up,
        KeyCode::Down => Code::Down,
        KeyCode::Left => Code::Left,
        KeyCode::Right => Code::Right,
        KeyCode::Home => Code::Home,
        KeyCode::End => Code::End,
        KeyCode::PageUp => Code::PageUp,
        KeyCode::PageDown => Code::PageDown,
        KeyCode::Insert => Code::Insert,
        KeyCode::Delete => Code::Delete,
        _ => return None,
    };
    Some(Key { code, ctrl, alt })
}

fn mouse(event: MouseEvent) -> Option<Mouse> {
    let kind = match event.kind {
        MouseEventKind::Down(MouseButton::Left) => MouseKind::Down,
        MouseEventKind::Drag(MouseButton::Left) => MouseKind::Drag,
        MouseEventKind::Up(MouseButton::Left) => MouseKind::Up,
        MouseEventKind::ScrollUp => MouseKind::WheelUp,
        MouseEventKind::ScrollDown => MouseKind::WheelDown,
        _ => return None,
    };
    Some(Mouse {
        kind,
        x: event.column,
        y: event.row,
        ctrl: event.modifiers.contains(KeyModifiers::CONTROL),
        alt: event.modifiers.contains(KeyModifiers::ALT),
        shift: event.modifiers.contains(KeyModifiers::SHIFT),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pressed(code: KeyCode, modifiers: KeyModifiers) -> Option<Key> {
        key(KeyEvent::new(code, modifiers))
    }

    #[test]
    fn keys_are_taken_over_with_their_modifiers() {
        let none = KeyModifiers::NONE;
        assert_eq!(pressed(KeyCode::F(10), none), Some(Key::plain(Code::F(10))));
        let capital = pressed(KeyCode::Char('C'), KeyModifiers::SHIFT);
        assert_eq!(capital, Some(Key::plain(Code::Char('C'))));
        assert_eq!(pressed(KeyCode::Char('r'), KeyModifiers::CONTROL), Some(Key::ctrl('r')));
        assert_eq!(pressed(KeyCode::Char('5'), KeyModifiers::ALT), Some(Key::alt('5')));
        let backspace = Some(Key::plain(Code::Backspace));
        assert_eq!(pressed(KeyCode::Char('h'), KeyModifiers::CONTROL), backspace);
        assert_eq!(pressed(KeyCode::CapsLock, none), None);
    }

    #[test]
    fn only_the_left_button_and_the_wheel_mean_something() {
        let at = |kind| MouseEvent { kind, column: 3, row: 4, modifiers: KeyModifiers::CONTROL };
        let down = mouse(at(MouseEventKind::Down(MouseButton::Left))).unwrap();
        assert_eq!((down.kind, down.x, down.y, down.ctrl), (MouseKind::Down, 3, 4, true));
        assert_eq!(mouse(at(MouseEventKind::Moved)), None);
        assert_eq!(mouse(at(MouseEventKind::Down(MouseButton::Right))), None);
    }
}
