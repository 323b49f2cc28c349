//! The signals that ask a program to stop.
//!
//! `serve` waits for them among other things ([`Signals`]). Every other command is told by
//! [`Interrupt`]: a thread of its own hears them, so that they are heard also while the command
//! waits for whoever reads its output.
//!
//! ```text
//! first ─▶ the command is told ─▶ ends in order, with 130
//!                └─ does not hear it: ended for it
//! second ─▶ ended at once, if the command heard the first
//! ```
//!
//! Invariant: from the moment [`Interrupt::listen`] returned, a signal ends the program with
//! [`STOPPED`], and with what [`Interrupt::hold`] changed put back.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit::STOPPED;

/// A command that does not hear a signal for so long waits for a reader that does not read.
const DEAF_AFTER: Duration = Duration::from_secs(1);

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they are caught.
    pub(super) fn catch() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    /// Waits for the next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Puts something back as it was.
pub(super) type Undo = Box<dyn FnOnce() + Send>;

/// Tells a command of the first signal.
#[derive(Clone, Default)]
pub(super) struct Interrupt {
    asked: CancellationToken,
    noticed: CancellationToken,
    undo: Arc<Mutex<Option<Undo>>>,
}

impl Interrupt {
    /// From now on signals are caught. Not inside a runtime: what cannot be begun drops one.
    pub(super) fn listen() -> io::Result<Self> {
        let tasks = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut signals = {
            let _inside = tasks.enter();
            Signals::catch()?
        };
        let interrupt = Self::default();
        let told = interrupt.clone();
        // It ends with the program, whatever way that ends.
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            tasks.block_on(async {
                signals.next().await;
                told.asked.cancel();
                // Two may come at once: the second one counts when the first one was noticed.
                tokio::select! {
                    () = told.noticed.cancelled() => signals.next().await,
                    () = tokio::time::sleep(DEAF_AFTER) => {}
                }
            });
            // Held to the end: nothing may be changed any more.
            let mut undo = told.undo();
            if let Some(undo) = undo.take() {
                undo();
            }
            std::process::exit(i32::from(STOPPED));
        })?;
        Ok(interrupt)
    }

    /// Waits for the first.
    pub(super) async fn heard(&self) {
        self.asked.cancelled().await;
        self.noticed.cancel();
    }

    /// Changes something outside the program, which `change` says how to put back: when what is given
    /// is dropped, or before a signal ends the program. One at a time, and `change` must not wait.
    pub(super) fn hold(&self, change: impl FnOnce() -> io::Result<Undo>) -> io::Result<Held<'_>> {
        let mut undo = self.undo();
        *undo = Some(change()?);
        Ok(Held(self))
    }

    fn undo(&self) -> MutexGuard<'_, Option<Undo>> {
        self.undo.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// While it lives something is changed.
#[must_use = "it is put back when this is dropped"]
pub(super) struct Held<'a>(&'a Interrupt);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut undo = self.0.undo();
        if let Some(undo) = undo.take() {
            undo();
        }
    }
}
