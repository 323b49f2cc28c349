//! The half that writes.

use std::fmt;
use std::io::{self, IoSlice, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{BufMut, BytesMut};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;

use super::{SharedTls, Socket, is_cut, lock};
use crate::frame::{FrameLimits, TooLong, encode_head};

/// Small frames are gathered up to a TLS record before they are encrypted.
const GATHER_BYTES: usize = 16 << 10;
/// What of that memory is kept between flushes.
const SMALL_GATHER_BYTES: usize = 4 << 10;
/// Encrypted bytes that may wait for the socket while more is queued.
const QUEUED_BYTES: usize = 512 << 10;

/// Why a frame was not sent.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The frame is over the limits; nothing of it was sent, and the connection goes on.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The connection was closed.
    #[error("the connection was cut")]
    Cut,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
}

/// Frames to the peer.
pub struct FrameWriter {
    tls: SharedTls,
    tcp: OwnedWriteHalf,
    limits: FrameLimits,
    /// Small frames that are not yet encrypted.
    gathered: BytesMut,
    /// Encrypted bytes that the socket has not yet taken, nearly.
    queued: usize,
    sent_bytes: Arc<AtomicU64>,
}

impl FrameWriter {
    pub(super) fn new(tls: SharedTls, tcp: OwnedWriteHalf) -> Self {
        let limits = FrameLimits::BEFORE_LOGIN;
        Self { tls, tcp, limits, gathered: BytesMut::new(), queued: 0, sent_bytes: Arc::default() }
    }

    /// Sets what the peer takes from now on.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// Bytes that the socket took so far. It takes few more than the peer's machine confirms, so that
    /// they stop growing soon after the line died.
    pub fn sent_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.sent_bytes)
    }

    /// Queues a frame, and sends what is queued when it is much; a small frame may wait for
    /// [`Self::flush`]. Waits while the peer does not keep up.
    ///
    /// If the future is dropped before it ends, the frame is queued all the same.
    pub async fn send(&mut self, header: &[u8], body: &[u8]) -> Result<(), WriteError> {
        encode_head(header, body.len(), self.limits, &mut self.gathered)?;
        if self.gathered.len() + body.len() <= GATHER_BYTES {
            self.gathered.put_slice(body);
            return Ok(());
        }
        self.encrypt(body)?;
        self.drain(QUEUED_BYTES).await
    }

    /// Sends everything that is queued. Once for each batch of frames, not for each frame.
    pub async fn flush(&mut self) -> Result<(), WriteError> {
        self.encrypt(&[])?;
        self.drain(0).await?;
        if self.gathered.capacity() > SMALL_GATHER_BYTES {
            self.gathered = BytesMut::new();
        }
        Ok(())
    }

    /// Sends everything and ends the connection in order: the peer reads it to its end.
    pub async fn close(mut self) -> Result<(), WriteError> {
        self.encrypt(&[])?;
        {
            let mut tls = lock(&self.tls);
            tls.send_close_notify();
        }
        self.drain(0).await?;
        self.tcp.shutdown().await.map_err(write_error)
    }

    /// Encrypts the small frames and after them `body`.
    fn encrypt(&mut self, body: &[u8]) -> Result<(), WriteError> {
        let whole = self.gathered.len() + body.len();
        if whole == 0 {
            return Ok(());
        }
        let parts = [IoSlice::new(&self.gathered), IoSlice::new(body)];
        let taken = lock(&self.tls).writer().write_vectored(&parts).map_err(WriteError::Io)?;
        if taken != whole {
            return Err(WriteError::Cut);
        }
        self.queued += whole;
        self.gathered.clear();
        Ok(())
    }

    /// Sends until at most `most` bytes wait.
    async fn drain(&mut self, most: usize) -> Result<(), WriteError> {
        loop {
            self.send_without_waiting()?;
            if self.queued <= most {
                return Ok(());
            }
            self.tcp.writable().await.map_err(WriteError::Io)?;
        }
    }

    fn send_without_waiting(&mut self) -> Result<(), WriteError> {
        let mut tls = lock(&self.tls);
        while tls.wants_write() {
            match tls.write_tls(&mut Socket(self.tcp.as_ref())) {
                Ok(0) => return Err(WriteError::Cut),
                // At least one byte waits until TLS says otherwise.
                Ok(sent) => {
                    self.sent_bytes.fetch_add(sent as u64, Ordering::Relaxed);
                    self.queued = self.queued.saturating_sub(sent).max(1);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.queued = self.queued.max(1);
                    return Ok(());
                }
                Err(error) => return Err(write_error(error)),
            }
        }
        self.queued = 0;
        Ok(())
    }
}

impl fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameWriter").field("limits", &self.limits).finish_non_exhaustive()
    }
}

fn write_error(error: io::Error) -> WriteError {
    if is_cut(&error) { WriteError::Cut } else { WriteError::Io(error) }
}
