//! Frames over TLS over TCP: a half to read, a half to write.
//!
//! TLS is driven here and not through a stream, so that bulk is cheap: sockets are read in large
//! pieces however small TLS takes them, a body is decrypted into the memory that the caller gets,
//! and a body that is sent is copied by nobody but the encryption.
//!
//! Both halves share the TLS state under a lock that is held for one step of work without waiting.
//! Dropping a future of either half loses nothing: a frame is queued whole or not at all.
//!
//! Invariant: memory is one frame within the limits, and a fixed amount for each direction.

use std::fmt;
use std::io::{self, BufRead, IoSlice, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use rustls::Connection;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use crate::frame::{Decoded, Frame, FrameLimits, TooLong, decode, encode_head};

/// Bytes read from a socket at once by a connection that has little to say: one TLS record.
const QUIET_READ_BYTES: usize = 17 << 10;
/// Bytes read from a socket at once when bulk comes in.
const BULK_READ_BYTES: usize = 256 << 10;
/// A connection that is silent for so long gives its buffers back: most logins are idle.
const QUIET_AFTER: Duration = Duration::from_secs(1);

/// Plain bytes that are decoded at once, so that many small frames cost one pass.
const SMALL_FRAMES_BYTES: usize = 16 << 10;
/// Small frames are gathered up to a TLS record before they are encrypted.
const GATHER_BYTES: usize = 16 << 10;
/// What of that memory is kept between flushes.
const SMALL_GATHER_BYTES: usize = 4 << 10;
/// Encrypted bytes that may wait for the socket while more is queued.
const QUEUED_BYTES: usize = 512 << 10;

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

type SharedTls = Arc<Mutex<Connection>>;

pub(super) fn halves(tcp: TcpStream, mut tls: Connection) -> (FrameReader, FrameWriter) {
    // The writer bounds what it queues; a limit here would only split frames.
    tls.set_buffer_limit(None);
    let tls = Arc::new(Mutex::new(tls));
    let (read_half, write_half) = tcp.into_split();
    let reader = FrameReader {
        tls: Arc::clone(&tls),
        tcp: read_half,
        limits: FrameLimits::BEFORE_LOGIN,
        sealed: SealedBuffer::new(),
        plain: BytesMut::new(),
    };
    let writer = FrameWriter {
        tls,
        tcp: write_half,
        limits: FrameLimits::BEFORE_LOGIN,
        gathered: BytesMut::new(),
        queued: 0,
    };
    (reader, writer)
}

/// A step that panicked left TLS between two records at worst; its own checks stand.
fn lock(tls: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    tls.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Frames from the peer.
pub struct FrameReader {
    tls: SharedTls,
    tcp: OwnedReadHalf,
    limits: FrameLimits,
    sealed: SealedBuffer,
    plain: BytesMut,
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
    /// Sets what the peer may send from now on.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
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
        if let Ok(ready) = tokio::time::timeout(QUIET_AFTER, self.tcp.readable()).await {
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

/// Frames to the peer.
pub struct FrameWriter {
    tls: SharedTls,
    tcp: OwnedWriteHalf,
    limits: FrameLimits,
    /// Small frames that are not yet encrypted.
    gathered: BytesMut,
    /// Encrypted bytes that the socket has not yet taken, nearly.
    queued: usize,
}

impl FrameWriter {
    /// Sets what the peer takes from now on.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
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
                Ok(sent) => self.queued = self.queued.saturating_sub(sent).max(1),
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

fn is_cut(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe
            | io::ErrorKind::NotConnected
    )
}

fn write_error(error: io::Error) -> WriteError {
    if is_cut(&error) { WriteError::Cut } else { WriteError::Io(error) }
}

/// Writes what the socket takes right now.
struct Socket<'a>(&'a TcpStream);

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
