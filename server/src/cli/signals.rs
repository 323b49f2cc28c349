//! The signals that ask a program to stop.
//!
//! `serve` waits for them among other things ([`Signals`]). Every other command is told by
//! [`Interrupt`]: a thread of its own hears them, so that they are heard also while the command
//! waits for whoever reads its output.
//!
//! ```text
//! first ─▶ the command is told ─▶ ends in order, with 130
//!                └─ does not hear it: ended for it
//! second ─▶ ended at once
//! ```
//!
//! Invariant: from the moment [`Interrupt::listen`] returned, a signal ends the program with
//! [`STOPPED`].

use std::io;
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

/// Tells a command of the first signal.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt {
    asked: CancellationToken,
    noticed: CancellationToken,
}

impl Interrupt {
    /// From now on signals are caught.
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
                tokio::select! {
                    () = told.noticed.cancelled() => signals.next().await,
                    () = signals.next() => {}
                    () = tokio::time::sleep(DEAF_AFTER) => {}
                }
            });
            std::process::exit(i32::from(STOPPED));
        })?;
        Ok(interrupt)
    }

    /// Waits for the first.
    pub(super) async fn heard(&self) {
        self.asked.cancelled().await;
        self.noticed.cancel();
    }
}
