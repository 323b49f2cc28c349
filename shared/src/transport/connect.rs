//! The client's side: find the host, connect, shake hands, decide.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::version::TLS13;
use rustls::{AlertDescription, ClientConfig};
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::trust::ProvesItsKey;
use super::{
    Fingerprint, Roots, SecureError, Secured, SeenServer, Trust, prepare_socket, provider,
};
use crate::limits::ALPN;

/// How long one address of a host has the field to itself before the next one is tried beside it
/// (RFC 8305 recommends 250 ms).
const HEAD_START: Duration = Duration::from_millis(250);

/// Where to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// A name, or an address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The host's name is no name, or nobody knows it.
    #[error("the host {host} was not found: {source}")]
    NameNotFound {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// Nothing listens there.
    #[error("{target} refused the connection")]
    Refused {
        /// Where.
        target: Target,
    },
    /// No answer in time.
    #[error("{target} did not answer in time")]
    TimedOut {
        /// Where.
        target: Target,
    },
    /// There is no way there.
    #[error("{target} cannot be reached: {source}")]
    Unreachable {
        /// Where.
        target: Target,
        /// What the system said.
        source: io::Error,
    },
    /// The connection broke off before TLS stood.
    #[error("{target} closed the connection during the handshake")]
    Cut {
        /// Where.
        target: Target,
    },
    /// What answers there is something else: no TLS, an old one, or another protocol inside.
    #[error("what answers at {target} is not a Sampan server")]
    NotSampan {
        /// Where.
        target: Target,
    },
    /// TLS failed: among others, the server did not prove the key in its certificate.
    #[error("no secure connection to {target}: {source}")]
    Tls {
        /// Where.
        target: Target,
        /// What TLS said.
        source: rustls::Error,
    },
    /// The server is not the one that was pinned or named. The handshake proved the other key.
    #[error("{target} shows the key {seen}, and {expected} was expected")]
    IdentityChanged {
        /// Where.
        target: Target,
        /// The key that was pinned or named.
        expected: Fingerprint,
        /// The key that answered.
        seen: Fingerprint,
    },
    /// No root verifies the server, and nobody has said yet that it is the right one.
    #[error("{target} is not known; its key is {seen}")]
    UnknownServer {
        /// Where.
        target: Target,
        /// The key that answered, to be shown to a person.
        seen: Fingerprint,
    },
}

/// A connection to the right server.
#[derive(Debug)]
pub struct Connected {
    /// The connection.
    pub secured: Secured,
    /// Who answered.
    pub server: SeenServer,
}

/// Connects to `target` if `trust` is satisfied, within `timeout` for all of it. Otherwise the
/// connection is closed without anything having been sent.
pub async fn connect(
    target: &Target,
    trust: &Trust,
    timeout: Duration,
) -> Result<Connected, ConnectError> {
    let roots = match trust {
        Trust::Key(_) => None,
        Trust::Roots(roots) => Some(roots),
    };
    let connected = handshake(target, roots, timeout).await?;
    let seen = connected.server.fingerprint;
    let target = || target.clone();
    match trust {
        Trust::Key(expected) if *expected != seen => {
            Err(ConnectError::IdentityChanged { target: target(), expected: *expected, seen })
        }
        Trust::Roots(_) if !connected.server.verified_by_roots => {
            Err(ConnectError::UnknownServer { target: target(), seen })
        }
        Trust::Key(_) | Trust::Roots(_) => Ok(connected),
    }
}

/// Looks who answers at `target`, and closes: for a question to a person, which no connection waits
/// for.
pub async fn inspect(
    target: &Target,
    roots: &Roots,
    timeout: Duration,
) -> Result<SeenServer, ConnectError> {
    Ok(handshake(target, Some(roots), timeout).await?.server)
}

async fn handshake(
    target: &Target,
    roots: Option<&Roots>,
    timeout: Duration,
) -> Result<Connected, ConnectError> {
    tokio::time::timeout(timeout, handshake_untimed(target, roots))
        .await
        .unwrap_or_else(|_| Err(ConnectError::TimedOut { target: target.clone() }))
}

async fn handshake_untimed(
    target: &Target,
    roots: Option<&Roots>,
) -> Result<Connected, ConnectError> {
    let name = ServerName::try_from(without_zone(&target.host).to_owned()).map_err(|error| {
        ConnectError::NameNotFound {
            host: target.host.clone(),
            source: io::Error::new(io::ErrorKind::InvalidInput, error),
        }
    })?;
    let tcp = connect_tcp(target).await?;
    let unreachable = |source| ConnectError::Unreachable { target: target.clone(), source };
    prepare_socket(&tcp).map_err(unreachable)?;

    let tls_failed = |error| tls_error(target, error);
    let config = Arc::new(configuration().map_err(tls_failed)?);
    let stream = TlsConnector::from(config)
        .connect(name.clone(), tcp)
        .await
        .map_err(|error| handshake_error(target, error))?;
    let (tcp, tls) = stream.into_inner();

    let roots = match roots.cloned() {
        None => None,
        Some(roots) => {
            let loaded = tokio::task::spawn_blocking(move || roots.load()).await;
            Some(loaded.map_err(|error| unreachable(io::Error::other(error)))?)
        }
    };
    let chain = tls.peer_certificates().unwrap_or_default();
    let server = SeenServer::of(chain, &name, roots, provider()).map_err(tls_failed)?;
    let secured = Secured::new(tcp, tls.into()).map_err(|error| match error {
        SecureError::OtherProtocol => ConnectError::NotSampan { target: target.clone() },
        SecureError::Tls(error) => tls_failed(error),
        SecureError::Io(error) => unreachable(error),
    })?;
    Ok(Connected { secured, server })
}

/// What TLS calls a host: the zone of `fe80::1%eth0` is this machine's own affair, and stands in no
/// certificate.
fn without_zone(host: &str) -> &str {
    match host.split_once('%') {
        Some((address, _)) if address.parse::<Ipv6Addr>().is_ok() => address,
        _ => host,
    }
}

pub(super) fn configuration() -> Result<ClientConfig, rustls::Error> {
    let verifier = ProvesItsKey { provider: provider() };
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

/// Tries the host's addresses in turn, each with a head start before the next; the first that
/// answers wins, the others are dropped.
async fn connect_tcp(target: &Target) -> Result<TcpStream, ConnectError> {
    let Target { host, port } = target;
    let not_found = |source| ConnectError::NameNotFound { host: host.clone(), source };
    let addresses: Vec<SocketAddr> =
        lookup_host((host.as_str(), *port)).await.map_err(not_found)?.collect();
    let mut addresses = interleaved(&addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut first_error = None;
    loop {
        let next = addresses.next();
        let more = next.is_some();
        if let Some(address) = next {
            attempts.spawn(TcpStream::connect(address));
        }
        let ended = if more {
            tokio::time::timeout(HEAD_START, attempts.join_next()).await.ok().flatten()
        } else {
            attempts.join_next().await
        };
        match ended {
            Some(Ok(Ok(tcp))) => return Ok(tcp),
            Some(Ok(Err(error))) => {
                first_error.get_or_insert(error);
            }
            Some(Err(failed)) => {
                first_error.get_or_insert(io::Error::other(failed));
            }
            None if more => {}
            None => {
                let none = || io::Error::new(io::ErrorKind::NotFound, "it has no address");
                return Err(match first_error {
                    None => not_found(none()),
                    Some(error) => tcp_error(target, error),
                });
            }
        }
    }
}

/// One address of each family in turn, in the resolver's order otherwise.
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (like_first, others): (Vec<SocketAddr>, Vec<SocketAddr>) =
        addresses.iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut others = others.into_iter();
    let mut row = Vec::with_capacity(addresses.len());
    for address in like_first {
        row.push(address);
        row.extend(others.next());
    }
    row.extend(others);
    row
}

fn tcp_error(target: &Target, source: io::Error) -> ConnectError {
    let target = target.clone();
    match source.kind() {
        io::ErrorKind::ConnectionRefused => ConnectError::Refused { target },
        io::ErrorKind::TimedOut => ConnectError::TimedOut { target },
        _ => ConnectError::Unreachable { target, source },
    }
}

fn handshake_error(target: &Target, error: io::Error) -> ConnectError {
    match error.downcast::<rustls::Error>() {
        Ok(error) => tls_error(target, error),
        Err(error) => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => ConnectError::Cut { target: target.clone() },
            _ => tcp_error(target, error),
        },
    }
}

fn tls_error(target: &Target, source: rustls::Error) -> ConnectError {
    use rustls::Error as E;
    let target = target.clone();
    match source {
        // No TLS at all, TLS before 1.3, or another protocol inside.
        E::InvalidMessage(_)
        | E::PeerIncompatible(_)
        | E::NoApplicationProtocol
        | E::AlertReceived(
            AlertDescription::NoApplicationProtocol | AlertDescription::ProtocolVersion,
        ) => ConnectError::NotSampan { target },
        source => ConnectError::Tls { target, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let addresses = ["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1"].map(|a| a.parse().unwrap());
        let expected = ["[::1]:1", "1.1.1.1:1", "[::2]:1", "[::3]:1"].map(|a| a.parse().unwrap());
        assert_eq!(interleaved(&addresses), expected);
        let addresses = ["1.1.1.1:1", "1.1.1.2:1", "[::1]:1"].map(|a| a.parse().unwrap());
        let expected = ["1.1.1.1:1", "[::1]:1", "1.1.1.2:1"].map(|a| a.parse().unwrap());
        assert_eq!(interleaved(&addresses), expected);
        assert!(interleaved(&[]).is_empty());
    }

    #[test]
    fn tls_hears_of_no_zone() {
        assert_eq!(without_zone("fe80::1%eth0"), "fe80::1");
        for host in ["fe80::1", "example.org", "50%.example.org", "%", ""] {
            assert_eq!(without_zone(host), host);
        }
    }

    #[test]
    fn a_target_is_shown_as_it_is_written() {
        let shown = |host: &str| Target { host: host.into(), port: 7227 }.to_string();
        assert_eq!(shown("example.org"), "example.org:7227");
        assert_eq!(shown("::1"), "[::1]:7227");
    }
}
