//! SIGINT and SIGTERM: the end of a command that keeps what was done.
//!
//! Invariant: signals are heard from the moment [`Interrupt::listen`] returned; the second one ends
//! the program at once.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Hears the signals that end a program.
#[derive(Debug)]
pub(super) struct Interrupt {
    signals: [Signal; 3],
}

impl Interrupt {
    /// Begins to listen. From now on these signals no longer end the program by themselves.
    pub(super) fn listen() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self { signals: [interrupt?, terminate?, hangup?] })
    }

    /// Waits for one of them.
    pub(super) async fn heard(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
