//! SIGINT, SIGTERM and SIGHUP: the end of a command that keeps what was done.
//!
//! A thread of its own hears them, with tasks of its own, so that they are heard also while the
//! command's thread waits for whoever reads its output.
//!
//! ```text
//! first ─▶ the command is told ─▶ ends in order
//!                └─ does not hear it, or does not end: ended for it
//! second ─▶ the command is told ─▶ ends at once, or is ended
//! ```
//!
//! A command that is ended where it is may be waiting for the very terminal that it has changed, so
//! it is put right from here, and what must not stay behind is removed from here.
//!
//! Invariant: signals are heard from the moment [`Interrupt::listen`] returned; the second one ends
//! the program at once, the first one in bounded time; both leave the terminal as it was and nothing
//! of a throw-away folder.

use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::exit::Code;
use super::leftovers::Folders;

/// A command that does not hear a signal for so long waits for a reader that does not read.
const DEAF_AFTER: Duration = Duration::from_secs(1);

/// One that heard it and has not ended after so long waits for something, too: more than all its
/// own bounds together.
const ENDED_AFTER: Duration = Duration::from_secs(10);

/// For removing what must not stay, on a disk that may hang.
const REMOVED_WITHIN: Duration = Duration::from_secs(5);

/// Tells a command of the signals that end a program.
#[derive(Clone, Debug, Default)]
pub(super) struct Interrupt {
    first: CancellationToken,
    second: CancellationToken,
    noticed: CancellationToken,
}

impl Interrupt {
    /// Begins to listen. From now on these signals no longer end the program by themselves. After
    /// the second one the command has `grace` to put things right; of one that is ended for it
    /// `leftovers` are removed.
    pub(super) fn listen(grace: Duration, leftovers: Arc<Folders>) -> io::Result<Self> {
        let tasks = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let signals = {
            let _inside = tasks.enter();
            Signals::new()?
        };
        let interrupt = Self::default();
        let told = interrupt.clone();
        // It ends with the program, whatever way that ends.
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            tasks.block_on(told.watch(signals, grace));
            crate::runtime::restore();
            remove_in_time(leftovers);
            std::process::exit(Code::Interrupted as i32);
        })?;
        Ok(interrupt)
    }

    /// Waits for the first of them.
    pub(super) async fn heard(&self) {
        self.first.cancelled().await;
        self.noticed.cancel();
    }

    /// Waits for the second.
    pub(super) async fn heard_again(&self) {
        self.second.cancelled().await;
    }

    /// Returns when the program is to be ended, whatever it does.
    async fn watch(self, mut signals: Signals, grace: Duration) {
        signals.next().await;
        self.first.cancel();
        tokio::select! {
            () = self.noticed.cancelled() => {
                if tokio::time::timeout(ENDED_AFTER, signals.next()).await.is_err() {
                    return;
                }
            }
            () = signals.next() => {}
            () = tokio::time::sleep(DEAF_AFTER) => return,
        }
        self.second.cancel();
        tokio::time::sleep(grace).await;
    }
}

/// In a thread of its own: a removal that hangs, or whose complaint nobody reads, holds up no end.
fn remove_in_time(leftovers: Arc<Folders>) {
    let (done, removed) = mpsc::sync_channel::<()>(1);
    let removing = std::thread::Builder::new().name("leftovers".to_owned()).spawn(move || {
        leftovers.remove();
        drop(done);
    });
    if removing.is_ok() {
        // It ends by the sender's end, or too late; either way the program does.
        let _ended = removed.recv_timeout(REMOVED_WITHIN);
    }
}

struct Signals([Signal; 3]);

impl Signals {
    fn new() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self([interrupt?, terminate?, hangup?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
