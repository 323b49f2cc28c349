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

mod reader;
mod writer;

use std::io::{self, IoSlice, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::Connection;
use tokio::net::TcpStream;

pub use self::reader::{FrameReader, ReadError};
pub use self::writer::{FrameWriter, WriteError};

type SharedTls = Arc<Mutex<Connection>>;

pub(super) fn halves(tcp: TcpStream, mut tls: Connection) -> (FrameReader, FrameWriter) {
    // The writer bounds what it queues; a limit here would only split frames.
    tls.set_buffer_limit(None);
    let tls = Arc::new(Mutex::new(tls));
    let (read_half, write_half) = tcp.into_split();
    let reader = FrameReader::new(Arc::clone(&tls), read_half);
    let writer = FrameWriter::new(tls, write_half);
    (reader, writer)
}

/// A step that panicked left TLS between two records at worst; its own checks stand.
fn lock(tls: &Mutex<Connection>) -> MutexGuard<'_, Connection> {
    tls.lock().unwrap_or_else(PoisonError::into_inner)
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
