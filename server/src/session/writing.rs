//! The writing half of a session: one task that takes frames from a bounded queue.
//!
//! Invariant: a peer that does not read holds at most [`QUEUE_FRAMES`] frames here, and loses the
//! connection after [`PATIENCE`].

use std::time::Duration;

use bytes::Bytes;
use sampan_protocol::RequestId;
use sampan_protocol::message::{Goodbye, GoodbyeReason, Op};
use sampan_protocol::transport::{FrameWriter, WriteError};
use sampan_protocol::wire::{Flags, encode_header};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Frames that may wait to be sent. With pieces of 256 KiB that is 2 MiB (HARDENING S16).
pub(super) const QUEUE_FRAMES: usize = 8;

/// For one frame to be taken. Long, for it may be 256 KiB over the slowest line; a peer that is gone
/// is noticed by its silence.
const PATIENCE: Duration = Duration::from_mins(10);

/// What waits to be sent.
#[derive(Debug)]
pub(super) enum Outgoing {
    /// A frame.
    Frame {
        /// Its header.
        header: Vec<u8>,
        /// Its body.
        body: Bytes,
    },
    /// The last frame of the connection.
    Goodbye(Goodbye),
}

/// Why a session's writing ended before its goodbye.
#[derive(Debug, thiserror::Error)]
pub(super) enum WritingEnded {
    /// The connection failed.
    #[error(transparent)]
    Failed(#[from] WriteError),
    /// The peer takes nothing.
    #[error("the peer took nothing for {} s", PATIENCE.as_secs())]
    Stuck,
}

/// Sends what is queued until a goodbye, or until nobody can queue any more; then closes.
pub(super) async fn write_queue(
    mut writer: FrameWriter,
    mut queue: mpsc::Receiver<Outgoing>,
) -> Result<(), WritingEnded> {
    loop {
        let next = if let Ok(next) = queue.try_recv() {
            Some(next)
        } else {
            // Nothing more right now: what was gathered goes out as one batch.
            within(writer.flush()).await?;
            queue.recv().await
        };
        match next {
            Some(Outgoing::Frame { header, body }) => {
                within(writer.send(&header, &body)).await?;
            }
            Some(Outgoing::Goodbye(goodbye)) => {
                within(writer.send(&goodbye_header(goodbye), &[])).await?;
                return within(writer.close()).await;
            }
            None => return within(writer.close()).await,
        }
    }
}

async fn within<T>(write: impl Future<Output = Result<T, WriteError>>) -> Result<T, WritingEnded> {
    Ok(timeout(PATIENCE, write).await.map_err(|_| WritingEnded::Stuck)??)
}

/// A goodbye that says no more than why.
pub(super) fn goodbye(reason: GoodbyeReason) -> Goodbye {
    Goodbye { reason, retry_after_ms: None }
}

pub(super) fn goodbye_header(goodbye: Goodbye) -> Vec<u8> {
    encode_header(RequestId::UNASKED, Op::GOODBYE, Flags::REQUEST, &goodbye)
}
