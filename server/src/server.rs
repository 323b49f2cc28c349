//! A running server, as a library: what `serve`, the client's demo and the tests start.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use sampan_protocol::transport::{Acceptor, Fingerprint, IdentityError, ServerIdentity};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::task::AbortOnDropHandle;

use crate::account::{SessionKeys, Throttle};
use crate::config::{Bounds, Settings};
use crate::context::Shared;
use crate::control::Administration;
use crate::listener::{self, Places};
use crate::session::Sessions;
use crate::shutdown::Shutdown;
use crate::state::{DataFolder, DataLock, StateError};
use crate::store::local::{LocalOptions, LocalStore, OpenError};
use crate::store::{Accounts, Store, StoreError};
use crate::telemetry::{OpenReads, OpenUploads};

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error(transparent)]
    State(#[from] StateError),
    /// The store cannot be opened.
    #[error("{}", with_cause(.0))]
    Open(#[from] OpenError),
    /// The store failed.
    #[error("the store failed: {}", with_cause(.0))]
    Store(#[from] StoreError),
    /// The key cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A socket that was handed in is of no use.
    #[error("a listening socket has no address: {0}")]
    Socket(std::io::Error),
}

/// An error with the causes that it keeps apart: for administrators, not for peers.
pub(crate) fn with_cause(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A data folder that this process has claimed, with its store.
pub struct OpenData {
    /// Homes.
    pub store: Arc<dyn Store>,
    /// Who may log in.
    pub accounts: Arc<dyn Accounts>,
    /// The folder.
    pub folder: Arc<DataFolder>,
    /// The claim.
    pub lock: DataLock,
}

impl OpenData {
    /// The folder's TLS identity, made on first use.
    pub fn identity(&self) -> Result<ServerIdentity, StateError> {
        self.folder.identity_or_new(&self.lock)
    }
}

/// Makes or opens a data folder, claims it, and opens its store.
pub async fn open(data: &Path, settings: &Settings) -> Result<OpenData, StartError> {
    let folder = DataFolder::open(data)?;
    let lock = folder.lock()?;
    open_claimed(folder, lock, settings).await
}

/// Opens the store of a folder that is claimed already.
pub async fn open_claimed(
    folder: DataFolder,
    lock: DataLock,
    settings: &Settings,
) -> Result<OpenData, StartError> {
    let options = LocalOptions {
        durability: settings.durability.into(),
        disk_floor: settings.disk_floor,
        upload_expiry: settings.upload_expiry,
        max_uploads: settings.max_uploads,
        ..LocalOptions::default()
    };
    #[cfg(debug_assertions)]
    let options = crate::dying::armed(options);
    let store = LocalStore::open(folder.path().to_owned(), options).await?;
    let accounts: Arc<dyn Accounts> = store.clone();
    Ok(OpenData { store, accounts, folder: Arc::new(folder), lock })
}

/// A server that accepts connections. Dropping it stops it where it is; [`Self::stop`] stops it in
/// order.
pub struct RunningServer {
    addresses: Vec<SocketAddr>,
    fingerprint: Fingerprint,
    shared: Arc<Shared>,
    running: AbortOnDropHandle<()>,
}

/// Starts a server on sockets that are bound already.
pub async fn start(
    bounds: Bounds,
    store: Arc<dyn Store>,
    accounts: Arc<dyn Accounts>,
    identity: &ServerIdentity,
    sockets: Vec<TcpListener>,
) -> Result<RunningServer, StartError> {
    let addresses: Result<_, _> = sockets.iter().map(TcpListener::local_addr).collect();
    let addresses = addresses.map_err(StartError::Socket)?;
    let acceptor = Acceptor::new(identity)?;
    let shared = Arc::new(Shared {
        login_secret: accounts.login_secret().await?,
        store,
        accounts,
        bounds,
        sessions: Arc::new(Sessions::default()),
        session_keys: SessionKeys::default(),
        throttle: Throttle::default(),
        uploads: OpenUploads::default(),
        reads: OpenReads::default(),
        shutdown: Shutdown::default(),
        started: Instant::now(),
    });
    let running = tokio::spawn(run(Arc::clone(&shared), acceptor, sockets));
    Ok(RunningServer {
        addresses,
        fingerprint: identity.fingerprint(),
        shared,
        running: AbortOnDropHandle::new(running),
    })
}

async fn run(shared: Arc<Shared>, acceptor: Acceptor, sockets: Vec<TcpListener>) {
    let places = Arc::new(Places::new(shared.bounds.logins, shared.bounds.logins_per_address));
    let mut listeners = JoinSet::new();
    for socket in sockets {
        let (shared, places) = (Arc::clone(&shared), Arc::clone(&places));
        listeners.spawn(listener::run(shared, acceptor.clone(), socket, places));
    }
    let ended = async {
        while let Some(ended) = listeners.join_next().await {
            if let Err(error) = ended {
                tracing::error!("a listener panicked, and the server stops: {error}");
                shared.shutdown.begin();
            }
        }
    };
    let patience = async {
        shared.shutdown.begun().await;
        tokio::time::sleep(shared.bounds.grace).await;
        shared.shutdown.hurry();
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = ended => {}
        () = patience => {}
    }
    shared.store.close().await;
}

impl RunningServer {
    /// Where it listens, with the ports that were taken.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What clients pin.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// Asks it to stop; the signal may be kept and used from elsewhere.
    pub fn shutdown(&self) -> Shutdown {
        self.shared.shutdown.clone()
    }

    /// What an administrator can do with it while it runs.
    pub fn administration(&self) -> Administration {
        Administration::live(Arc::clone(&self.shared))
    }

    /// Waits until it cannot go on: something that it cannot do without has failed. Ends too when
    /// somebody begins the shutdown.
    pub async fn failed(&self) {
        tokio::select! {
            () = self.shared.store.failed() => {
                tracing::error!("the store cannot go on, and the server stops");
            }
            () = self.shared.shutdown.begun() => {}
        }
    }

    /// Waits until it has stopped. Ends only after someone began the shutdown.
    pub async fn stopped(self) {
        if let Err(error) = self.running.await {
            tracing::error!("the server panicked: {error}");
        }
    }

    /// Stops accepting, lets running requests finish within the bound's grace, and closes the store.
    pub async fn stop(self) {
        self.shared.shutdown.begin();
        self.stopped().await;
    }
}
