//! One signal to stop, seen by everything that runs.
//!
//! [`Shutdown::begin`] asks: listeners close, sessions refuse new requests and finish running ones.
//! [`Shutdown::hurry`] ends the asking: what still runs is dropped.
//!
//! Invariant: both are for ever; asking twice is asking once.

use tokio_util::sync::CancellationToken;

/// The signal; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    begun: CancellationToken,
    hurried: CancellationToken,
}

impl Shutdown {
    /// Asks everyone to finish.
    pub fn begin(&self) {
        self.begun.cancel();
    }

    /// Tells everyone to stop where they are.
    pub fn hurry(&self) {
        self.begun.cancel();
        self.hurried.cancel();
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits until it begins.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// Waits until patience is over.
    pub async fn hurried(&self) {
        self.hurried.cancelled().await;
    }
}
