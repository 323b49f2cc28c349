//! The terminal while the screen is on it, and what it was before.
//!
//! Of the pointer only modes 1000, 1002 and 1006 are asked for: presses, and motion while a button
//! is down. Mode 1003, every motion, would wake the program for nothing.
//!
//! Invariant: whatever was switched on is switched off exactly once, on every way out: a return, an
//! error, a signal (which ends the loop, or the program if the loop waits for the terminal), and a
//! panic, before its message is printed. Nothing is painted after a panic, in whichever thread it
//! was.

mod give_back;

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::mem::ManuallyDrop;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, Once, PoisonError};

use crossterm::event::{
    DisableBracketedPaste, DisableFocusChange, EnableBracketedPaste, EnableFocusChange,
};
use crossterm::terminal::{
    BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate, EnterAlternateScreen,
    LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use crossterm::{Command, cursor, execute, queue};
use ratatui::backend::CrosstermBackend;
use ratatui::{Frame, Terminal};
use tokio::sync::Notify;

use super::ScreenError;
use crate::app::layout::Size;

/// A whole screen of wide characters with colours, so that a painting is one write.
const BUFFER_BYTES: usize = 64 << 10;

/// Whether the terminal is ours right now.
static HELD: AtomicBool = AtomicBool::new(false);

/// Held while it is given back, so that whoever comes second goes on when it is.
static GIVING: Mutex<()> = Mutex::new(());

/// Told by a panic that took the terminal away.
static LOST: Notify = Notify::const_new();

/// Whether the screen is on the terminal now.
pub fn is_on_screen() -> bool {
    HELD.load(Ordering::SeqCst)
}

/// The terminal, held.
pub(super) struct Screen {
    /// Never dropped: its own end writes to the terminal once more, after [`restore`], and panics if
    /// that and standard error have gone away.
    terminal: ManuallyDrop<Terminal<CrosstermBackend<BufWriter<Stdout>>>>,
}

impl Screen {
    /// Takes the terminal over.
    pub(super) fn enter() -> Result<Self, ScreenError> {
        if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
            return Err(ScreenError::NoTerminal);
        }
        restore_on_panic();
        let writer = BufWriter::with_capacity(BUFFER_BYTES, io::stdout());
        let terminal = Terminal::new(CrosstermBackend::new(writer))?;
        // From here on the guard is there, whatever fails.
        HELD.store(true, Ordering::SeqCst);
        let screen = Self { terminal: ManuallyDrop::new(terminal) };
        enable_raw_mode()?;
        execute!(
            io::stdout(),
            EnterAlternateScreen,
            // Not the terminal's own `clear`: it asks where the cursor is and waits for the answer,
            // which a terminal that does not give it makes two seconds and a failure.
            Clear(ClearType::All),
            cursor::Hide,
            Pointer::On,
            EnableBracketedPaste,
            EnableFocusChange
        )?;
        Ok(screen)
    }

    /// Columns and rows.
    pub(super) fn size(&self) -> io::Result<Size> {
        let size = self.terminal.size()?;
        Ok(super::size((size.width, size.height)))
    }

    /// Waits for a panic anywhere in the program.
    pub(super) async fn lost() {
        LOST.notified().await;
    }

    /// Paints, so that the terminal shows all of it or nothing of it.
    pub(super) fn paint(&mut self, view: impl FnOnce(&mut Frame)) -> io::Result<()> {
        if !HELD.load(Ordering::SeqCst) {
            return Ok(());
        }
        queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
        self.terminal.draw(view)?;
        queue!(self.terminal.backend_mut(), EndSynchronizedUpdate)?;
        self.terminal.backend_mut().flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back, if it is held. Whoever paints need not have ended, and the terminal need
/// not take anything.
pub fn restore() {
    let _giving = GIVING.lock().unwrap_or_else(PoisonError::into_inner);
    if !HELD.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut bytes = Vec::new();
    // If the terminal has gone away there is nothing to be restored, and nobody to be told.
    let _gone = queue!(
        bytes,
        EndSynchronizedUpdate,
        DisableFocusChange,
        DisableBracketedPaste,
        Pointer::Off,
        LeaveAlternateScreen,
        cursor::Show
    )
    .and_then(|()| give_back::give(rustix::stdio::stdout(), &bytes));
    let _gone = disable_raw_mode();
}

/// A panic in any thread: its message must be readable.
fn restore_on_panic() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            restore();
            LOST.notify_one();
            previous(panic);
        }));
    });
}

/// Reports of the pointer.
#[derive(Clone, Copy, Debug)]
enum Pointer {
    On,
    Off,
}

impl Command for Pointer {
    fn write_ansi(&self, f: &mut impl fmt::Write) -> fmt::Result {
        f.write_str(match self {
            Self::On => "\x1b[?1000h\x1b[?1002h\x1b[?1006h",
            Self::Off => "\x1b[?1006l\x1b[?1002l\x1b[?1000l",
        })
    }
}
