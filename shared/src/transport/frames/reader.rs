//! The half that reads.

use std::fmt;
use std::io::{self, BufRead};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use tokio::net::tcp::OwnedReadHalf;

use super::{SharedTls, Socket, is_cut, lock};
use crate::frame::{Decoded, Frame, FrameLimits, TooLong, decode};

/// Bytes read from a socket at once by a connection that has little to say: one TLS record.
const QUIET_READ_BYTES: usize = 17 << 10;
/// Bytes read from a socket at once when bulk comes in.
const BULK_READ_BYTES: usize = 256 << 10;
/// A connection that is silent for so long gives its buffers back: most logins are idle.
const QUIET_AFTER: Duration = Duration::from_secs(1);

/// Plain bytes that are decoded at once, so that many small frames cost one pass.
const SMALL_FRAMES_BYTES: usize = 16 << 10;
/// Why no frame comes any more.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The peer claims a frame over the limits.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The connection ended without a goodbye, or inside a frame.
    #[error("the connection was cut")]
    Cut,
    /// The connection failed.
    #[error("the connection failed: {0}")]
    Io(#[source] io::Error),
    /// What came is not what the peer sent.
    #[error("the secure connection failed: {0}")]
    Tls(#[source] rustls::Error),
}

/// Frames from the peer.
pub struct FrameReader {
    tls: SharedTls,
    tcp: OwnedReadHalf,
    limits: FrameLimits,
    sealed: SealedBuffer,
    plain: BytesMut,
    quiet_after: Duration,
    received_bytes: Arc<AtomicU64>,
}

/// What a step without waiting came to.
enum Step {
    /// There is more plain text.
    Decrypted,
    /// Everything that came is used up.
    NeedsSocket,
    /// The peer ended the connection in order.
    Closed,
}

impl FrameReader {
    pub(super) fn new(tls: SharedTls, tcp: OwnedReadHalf) -> Self {
        Self {
            tls,
            tcp,
            limits: FrameLimits::BEFORE_LOGIN,
            sealed: SealedBuffer::new(),
            plain: BytesMut::new(),
            quiet_after: QUIET_AFTER,
            received_bytes: Arc::default(),
        }
    }

    /// Sets what the peer may send from now on.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// Bytes that came over the socket so far: while a long frame arrives over a slow line they grow,
    /// and nothing else shows that the peer is alive.
    pub fn received_bytes(&self) -> u64 {
        self.received_bytes.load(Ordering::Relaxed)
    }

    /// The same number, for whoever watches while the next frame is waited for.
    pub fn received_counter(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.received_bytes)
    }

    /// The next frame; `None` after the peer has closed in order. Dropping the future loses
    /// nothing.
    pub async fn next(&mut self) -> Result<Option<Frame>, ReadError> {
        loop {
            let needed = match decode(&mut self.plain, self.limits)? {
                Decoded::Frame(frame) => return Ok(Some(frame)),
                Decoded::Incomplete { needed } => needed,
            };
            match self.decrypt(needed)? {
                Step::Decrypted => {}
                Step::NeedsSocket => self.receive().await?,
                Step::Closed if self.plain.is_empty() => return Ok(None),
                Step::Closed => return Err(ReadError::Cut),
            }
        }
    }

    /// Decrypts what was received until `needed` more bytes of plain text are there. Of large frames
    /// takes no byte beyond, so that their end is the end of their memory.
    fn decrypt(&mut self, needed: usize) -> Result<Step, ReadError> {
        let mut room = needed.max(SMALL_FRAMES_BYTES);
        let enough = self.plain.len() + needed;
        let mut tls = lock(&self.tls);
        loop {
            let state = match tls.process_new_packets() {
                Ok(state) => state,
                Err(error) => {
                    // The peer learns why if the socket takes it; the connection is lost anyway.
                    let _ = tls.write_tls(&mut Socket(self.tcp.as_ref()));
                    return Err(ReadError::Tls(error));
                }
            };
            let mut left = state.plaintext_bytes_to_read();
            let mut plain = tls.reader();
            while left > 0 && room > 0 {
                let chunk = plain.fill_buf().map_err(ReadError::Io)?;
                let taken = chunk.len().min(room);
                self.plain.reserve(room.min(needed.max(left)));
                self.plain.put_slice(&chunk[..taken]);
                plain.consume(taken);
                (left, room) = (left - taken, room - taken);
            }
            if tls.wants_write() {
                // An answer to a change of keys; what the socket does not take now goes with the
                // next frame.
                match tls.write_tls(&mut Socket(self.tcp.as_ref())) {
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => return Err(ReadError::Io(error)),
                }
            }
            if self.plain.len() >= enough || room == 0 {
                return Ok(Step::Decrypted);
            }
            if state.peer_has_closed() {
                return Ok(Step::Closed);
            }
            if self.sealed.is_empty() {
                return Ok(Step::NeedsSocket);
            }
            tls.read_tls(&mut self.sealed).map_err(ReadError::Io)?;
        }
    }

    async fn receive(&mut self) -> Result<(), ReadError> {
        loop {
            self.readable().await.map_err(ReadError::Io)?;
            match self.tcp.try_read(self.sealed.space(self.limits)) {
                Ok(0) => return Err(ReadError::Cut),
                Ok(received) => {
                    self.sealed.filled(received);
                    self.received_bytes.fetch_add(received as u64, Ordering::Relaxed);
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if is_cut(&error) => return Err(ReadError::Cut),
                Err(error) => return Err(ReadError::Io(error)),
            }
        }
    }

    /// Waits for bytes; gives the buffers back when they do not come soon.
    async fn readable(&mut self) -> io::Result<()> {
        if let Ok(ready) = tokio::time::timeout(self.quiet_after, self.tcp.readable()).await {
            return ready;
        }
        self.sealed = SealedBuffer::new();
        if self.plain.is_empty() {
            self.plain = BytesMut::new();
        }
        self.tcp.readable().await
    }
}

impl fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameReader").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// Received and not yet decrypted bytes: room for one record, for many once a read has filled it.
struct SealedBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl SealedBuffer {
    fn new() -> Self {
        Self { bytes: Vec::new(), start: 0, end: 0 }
    }

    fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Where to read to; only when everything before was taken.
    fn space(&mut self, limits: FrameLimits) -> &mut [u8] {
        let bulk = limits.body > QUIET_READ_BYTES;
        let wanted = match self.bytes.len() {
            0 => QUIET_READ_BYTES,
            full if bulk && self.end == full => BULK_READ_BYTES,
            same => same,
        };
        if wanted != self.bytes.len() {
            self.bytes = vec![0; wanted];
        }
        (self.start, self.end) = (0, 0);
        &mut self.bytes
    }

    fn filled(&mut self, received: usize) {
        self.end = received;
    }
}

impl io::Read for SealedBuffer {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let taken = into.len().min(self.end - self.start);
        into[..taken].copy_from_slice(&self.bytes[self.start..self.start + taken]);
        self.start += taken;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::secured_pair;

    /// Most logins are idle: what they hold is what the server needs for all of them.
    #[tokio::test]
    async fn a_silent_connection_holds_no_buffer_and_wakes_up() {
        let (mut client, mut server) = secured_pair().await;
        client.writer.set_limits(FrameLimits::AFTER_LOGIN);
        server.reader.set_limits(FrameLimits::AFTER_LOGIN);
        server.reader.quiet_after = Duration::from_millis(1);
        let bulk = vec![7; 1 << 20];
        for _ in 0..2 {
            let write = async {
                client.writer.send(b"bulk", &bulk).await.unwrap();
                client.writer.flush().await.unwrap();
            };
            let (frame, ()) = tokio::join!(server.reader.next(), write);
            assert!(frame.unwrap().unwrap().body == bulk);
            assert!(!server.reader.sealed.bytes.is_empty());

            let silence = tokio::time::timeout(Duration::from_millis(50), server.reader.next());
            assert!(silence.await.is_err());
            assert!(server.reader.sealed.bytes.is_empty());
            assert_eq!(server.reader.plain.capacity(), 0);
        }
    }
}
