//! The only I/O of the crate: TCP, TLS 1.3, and frames over them.
//!
//! [`connect`] and [`Acceptor::accept`] both end in a [`Secured`] connection: a [`FrameReader`], a
//! [`FrameWriter`], and the keying material that a login is bound to. Nobody is logged in by then.
//! Whom a client trusts enters as an argument ([`Trust`]); the decision falls after the handshake,
//! and before anything is sent.
//!
//! TLS is 1.3 only, with ALPN `sampan/1`, without tickets, early data or client certificates; the
//! cryptography is aws-lc-rs, named at each configuration, so that no process-wide default matters.
//!
//! Invariant: the signature of every handshake is checked, whatever is trusted; so a fingerprint
//! that is reported was proved to be the peer's. No byte of the protocol travels unencrypted.

mod accept;
mod connect;
mod frames;
mod identity;
#[cfg(test)]
mod tests;
mod trust;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use rustls::crypto::CryptoProvider;
use tokio::net::TcpStream;

pub use self::accept::{AcceptError, Acceptor};
pub use self::connect::{ConnectError, Connected, Target, connect, inspect};
pub use self::frames::{FrameReader, FrameWriter, ReadError, WriteError};
pub use self::identity::{IdentityError, ServerIdentity};
pub use self::trust::{Fingerprint, NotAFingerprint, Roots, SeenServer, Trust};
use crate::limits::ALPN;
use crate::scram::EXPORTER_BYTES;

/// Bytes that the kernel may hold unsent before a socket counts as full. Little, so that a request
/// is not stuck behind megabytes of bulk that cannot be overtaken any more.
#[cfg(target_os = "linux")]
const NOTSENT_LOWAT_BYTES: u32 = 128 << 10;

/// A connection after its TLS handshake, before any login.
#[derive(Debug)]
pub struct Secured {
    /// Frames from the peer; its limits are those before login until they are raised.
    pub reader: FrameReader,
    /// Frames to the peer; its limits are those before login until they are raised.
    pub writer: FrameWriter,
    /// What a login on this connection is bound to (RFC 9266).
    pub exporter: [u8; EXPORTER_BYTES],
    /// The other end.
    pub peer: SocketAddr,
}

impl Secured {
    fn new(tcp: TcpStream, tls: rustls::Connection) -> Result<Self, SecureError> {
        if tls.alpn_protocol() != Some(ALPN) {
            return Err(SecureError::OtherProtocol);
        }
        let exporter = [0; EXPORTER_BYTES];
        let exporter = tls
            .export_keying_material(exporter, b"EXPORTER-Channel-Binding", None)
            .map_err(SecureError::Tls)?;
        let peer = tcp.peer_addr().map_err(SecureError::Io)?;
        let (reader, writer) = frames::halves(tcp, tls);
        Ok(Self { reader, writer, exporter, peer })
    }
}

/// Why a finished handshake makes no connection of ours.
enum SecureError {
    /// The peer negotiated no `sampan/1`.
    OtherProtocol,
    Tls(rustls::Error),
    Io(io::Error),
}

fn prepare_socket(tcp: &TcpStream) -> io::Result<()> {
    tcp.set_nodelay(true)?;
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(tcp).set_tcp_notsent_lowat(NOTSENT_LOWAT_BYTES)?;
    Ok(())
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Arc::clone(provider)
}
