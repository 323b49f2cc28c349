//! Accepting connections: as many as there are places for, and until the server stops.
//!
//! A place is taken before a connection is accepted and given back once it is logged in or gone, so
//! strangers cannot hold more than [`Bounds::logins`](crate::config::Bounds) of them; more wait in
//! the kernel. One origin has fewer still, so that it cannot hold them all.
//!
//! Invariant: every connection that was accepted is owned here until it has ended.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sampan_protocol::transport::Acceptor;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use crate::account::Origin;
use crate::config::Listen;
use crate::context::Shared;
use crate::session;

/// Connections that the kernel keeps for us.
const BACKLOG: i32 = 1024;

/// Waits after an accept that failed for want of descriptors or memory: the first and the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}; name another ADDR:PORT with --listen")]
pub struct BindError {
    /// Which.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// Listens on all the addresses, or on none.
pub fn bind(listen: &Listen) -> Result<Vec<TcpListener>, BindError> {
    match listen {
        Listen::At(addresses) => addresses
            .iter()
            .map(|address| {
                // Dual-stack, unless the same port is asked for with IPv4 too.
                let beside = |other: &SocketAddr| {
                    other.is_ipv4() && other.port() == address.port() && address.port() != 0
                };
                bind_one(*address, addresses.iter().any(beside))
            })
            .collect(),
        Listen::Default => Ok(vec![bind_default(|address| bind_one(address, false))?]),
    }
}

/// Both families on one socket, or IPv4 where there is no IPv6.
fn bind_default<T>(bind: impl Fn(SocketAddr) -> Result<T, BindError>) -> Result<T, BindError> {
    match bind(Listen::DUAL_STACK) {
        Err(error) if is_without_ipv6(&error.source) => bind(Listen::IPV4_ONLY),
        bound => bound,
    }
}

fn bind_one(address: SocketAddr, only_v6: bool) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(only_v6)?;
        }
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        TcpListener::from_std(socket.into())
    };
    listen().map_err(|source| BindError { address, source })
}

fn is_without_ipv6(error: &io::Error) -> bool {
    use rustix::io::Errno;
    let errno = error.raw_os_error().map(Errno::from_raw_os_error);
    matches!(errno, Some(Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL))
}

/// Accepts on one socket until the server stops; ends when all that it accepted has ended.
pub(crate) async fn run(
    shared: Arc<Shared>,
    acceptor: Acceptor,
    socket: TcpListener,
    places: Arc<Places>,
) {
    let mut sessions = JoinSet::new();
    loop {
        tokio::select! {
            () = shared.shutdown.begun() => break,
            Some(ended) = sessions.join_next(), if !sessions.is_empty() => note_panic(&ended),
            (place, tcp, peer) = accept(&socket, &places) => {
                let Some(place) = place else {
                    tracing::debug!(%peer, "closed: too many connections that are not logged in");
                    continue;
                };
                let (shared, acceptor) = (Arc::clone(&shared), acceptor.clone());
                sessions.spawn(session::run(shared, acceptor, tcp, peer, place));
            }
        }
    }
    drop(socket);
    while let Some(ended) = sessions.join_next().await {
        note_panic(&ended);
    }
}

fn note_panic(ended: &Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!("a session panicked: {error}");
    }
}

/// The next connection, and its place if its origin has one left.
async fn accept(
    socket: &TcpListener,
    places: &Arc<Places>,
) -> (Option<Place>, TcpStream, SocketAddr) {
    let permit = places.permit().await;
    let mut pause = FIRST_PAUSE;
    loop {
        match socket.accept().await {
            Ok((tcp, peer)) => return (places.take(permit, peer), tcp, peer),
            Err(error) if is_of_the_connection(&error) => {}
            Err(error) => {
                tracing::warn!("cannot accept, waiting {} ms: {error}", pause.as_millis());
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}

/// Whether only the one connection failed, and not accepting.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind as K;
    matches!(
        error.kind(),
        K::ConnectionAborted | K::ConnectionReset | K::ConnectionRefused | K::Interrupted
    )
}

/// Room for connections that are not logged in yet.
#[derive(Debug)]
pub(crate) struct Places {
    all: Arc<Semaphore>,
    per_origin: u32,
    taken: Mutex<HashMap<Origin, u32>>,
}

/// One connection's room; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    origin: Origin,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// `all` in total, `per_origin` for each origin.
    pub(crate) fn new(all: u32, per_origin: u32) -> Self {
        let all = Arc::new(Semaphore::new(all as usize));
        Self { all, per_origin, taken: Mutex::default() }
    }

    async fn permit(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.all).acquire_owned().await.expect("the places are never closed")
    }

    fn take(self: &Arc<Self>, permit: OwnedSemaphorePermit, peer: SocketAddr) -> Option<Place> {
        let origin = Origin::from(peer.ip());
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(origin).or_insert(0);
        if *count >= self.per_origin {
            return None;
        }
        *count += 1;
        Some(Place { places: Arc::clone(self), origin, _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn s9_an_origin_has_a_bound_and_gives_its_places_back() {
        let places = Arc::new(Places::new(4, 2));
        let peer: SocketAddr = "192.0.2.1:1".parse().unwrap();
        let first = places.take(places.permit().await, peer).unwrap();
        let _second = places.take(places.permit().await, peer).unwrap();
        assert!(places.take(places.permit().await, peer).is_none());
        let other = "192.0.2.2:1".parse().unwrap();
        let _third = places.take(places.permit().await, other).unwrap();
        assert_eq!(places.all.available_permits(), 1);
        drop(first);
        assert!(places.take(places.permit().await, peer).is_some());
    }

    /// CONTRACT: one dual-stack socket, `0.0.0.0` where IPv6 is absent; another failure stays one.
    #[test]
    fn without_ipv6_the_default_is_ipv4() {
        use rustix::io::Errno;

        let binding = |errno: Option<Errno>| {
            bind_default(|address| match errno {
                Some(errno) if address.is_ipv6() => {
                    Err(BindError { address, source: errno.into() })
                }
                _ => Ok(address.to_string()),
            })
        };
        assert_eq!(binding(None).unwrap(), "[::]:7227");
        for errno in [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL] {
            assert_eq!(binding(Some(errno)).unwrap(), "0.0.0.0:7227");
        }
        assert!(binding(Some(Errno::ADDRINUSE)).unwrap_err().to_string().contains("[::]:7227"));
    }

    #[tokio::test]
    async fn addresses_are_bound_together() {
        let addresses = vec!["127.0.0.1:0".parse().unwrap(), "127.0.0.1:0".parse().unwrap()];
        let bound = bind(&Listen::At(addresses)).unwrap();
        let taken = bound[0].local_addr().unwrap();
        assert_ne!(taken, bound[1].local_addr().unwrap());
        let error = bind(&Listen::At(vec![taken])).unwrap_err();
        assert!(error.to_string().starts_with(&format!("cannot listen on {taken}")), "{error}");
    }
}
