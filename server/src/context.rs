//! What sessions share, and what a handler knows of the session it works for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use sampan_protocol::message::Durability;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::account::{AccountName, SessionKeys, Throttle};
use crate::config::Bounds;
use crate::session::Sessions;
use crate::shutdown::Shutdown;
use crate::store::{AccountId, Accounts, Store};
use crate::telemetry::{OpenReads, OpenUploads};

/// One server's state, apart from its sockets.
pub(crate) struct Shared {
    /// Homes.
    pub(crate) store: Arc<dyn Store>,
    /// Who may log in.
    pub(crate) accounts: Arc<dyn Accounts>,
    /// How much is taken.
    pub(crate) bounds: Bounds,
    /// Who is logged in.
    pub(crate) sessions: Arc<Sessions>,
    /// Keys that end with this process.
    pub(crate) session_keys: SessionKeys,
    /// Who failed to log in.
    pub(crate) throttle: Throttle,
    /// Makes up salts for unknown users.
    pub(crate) login_secret: [u8; 32],
    /// Uploads whose end is to be logged.
    pub(crate) uploads: OpenUploads,
    /// Files whose reading was logged.
    pub(crate) reads: OpenReads,
    /// When to stop.
    pub(crate) shutdown: Shutdown,
    /// Since when it runs.
    pub(crate) started: Instant,
}

impl Shared {
    /// What an acknowledged change of this server means.
    pub(crate) fn durability(&self) -> Durability {
        if self.store.is_durable() { Durability::Full } else { Durability::Relaxed }
    }

    /// Ends what an account holds in memory, after its password changed or it was closed.
    pub(crate) fn end_sessions(&self, account: AccountId) {
        self.session_keys.end(account);
        self.sessions.end(account);
    }
}

/// Who a session belongs to.
#[derive(Debug)]
pub(crate) struct Who {
    /// The account.
    pub(crate) account: AccountId,
    /// Its name.
    pub(crate) name: AccountName,
    /// Its generation when it logged in; a session outlives no later one.
    pub(crate) generation: u64,
    /// The other end.
    pub(crate) peer: SocketAddr,
}

/// Handed to every handler.
#[derive(Clone)]
pub(crate) struct Context {
    /// The server.
    pub(crate) shared: Arc<Shared>,
    /// The session's account.
    pub(crate) who: Arc<Who>,
    /// One for each answer of the session that may read files ahead.
    reads: Arc<Semaphore>,
}

/// Answers with files' bytes that one session has at once. Each reads up to 3 MiB ahead of its
/// peer; the others wait before they have read anything.
const READS: usize = 8;

impl Context {
    pub(crate) fn new(shared: Arc<Shared>, who: Who) -> Self {
        Self { shared, who: Arc::new(who), reads: Arc::new(Semaphore::new(READS)) }
    }

    /// Room to read files for an answer; held until its last byte is on its way.
    pub(crate) async fn room_to_read(&self) -> OwnedSemaphorePermit {
        let room = Arc::clone(&self.reads).acquire_owned().await;
        room.expect("a session's semaphores are never closed")
    }

    /// The session's account.
    pub(crate) fn account(&self) -> AccountId {
        self.who.account
    }

    /// Homes.
    pub(crate) fn store(&self) -> &dyn Store {
        &*self.shared.store
    }
}
