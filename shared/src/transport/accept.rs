//! The server's side of the handshake. Deadlines are the caller's.

use std::io;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::{IdentityError, SecureError, Secured, ServerIdentity, prepare_socket, provider};
use crate::limits::ALPN;

/// Why a connection that came in was given up.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The TLS handshake failed, or the connection with it.
    #[error("the TLS handshake failed: {0}")]
    Handshake(#[source] io::Error),
    /// The client speaks TLS, but not `sampan/1`.
    #[error("the client does not speak sampan/1")]
    NotSampan,
    /// The socket failed.
    #[error("the connection failed: {0}")]
    Socket(#[source] io::Error),
}

/// Makes secured connections of accepted ones.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
}

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

impl Acceptor {
    /// Proves `identity` to whoever connects.
    pub fn new(identity: &ServerIdentity) -> Result<Self, IdentityError> {
        Ok(Self { tls: TlsAcceptor::from(Arc::new(identity.configuration()?)) })
    }

    /// Carries the handshake out. Holds a connection for as long as the client likes: the caller
    /// sets a deadline.
    pub async fn accept(&self, tcp: TcpStream) -> Result<Secured, AcceptError> {
        prepare_socket(&tcp).map_err(AcceptError::Socket)?;
        let stream = self.tls.accept(tcp).await.map_err(AcceptError::Handshake)?;
        let (tcp, tls) = stream.into_inner();
        Secured::new(tcp, tls.into()).map_err(|error| match error {
            SecureError::OtherProtocol => AcceptError::NotSampan,
            SecureError::Tls(error) => AcceptError::Handshake(io::Error::other(error)),
            SecureError::Io(error) => AcceptError::Socket(error),
        })
    }
}

impl ServerIdentity {
    pub(super) fn configuration(&self) -> Result<ServerConfig, IdentityError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(IdentityError::Unusable)?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), self.key()?)
            .map_err(IdentityError::Unusable)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        // Each connection is authenticated on its own: no tickets, no early data.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.max_early_data_size = 0;
        Ok(config)
    }
}
