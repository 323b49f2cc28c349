//! A network that misbehaves, between a client and a server on this machine.
//!
//! What happens to a connection is planned by how many bytes have passed ([`plan`]), not by a clock;
//! the proxy counts what passes, so that a test can state what was sent again. By hand it can also
//! cut everything, hold everything, or lose the next answer.

mod link;
pub(crate) mod plan;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use self::link::link;
use self::plan::{Plan, Way};

/// What the link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gate {
    Open,
    /// Bytes wait, nothing is refused: a cable that was pulled.
    Held,
}

/// Passes bytes on both ways.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

struct Shared {
    gate: watch::Sender<Gate>,
    cut: watch::Sender<u64>,
    from_client: AtomicU64,
    from_server: AtomicU64,
    connections: AtomicU64,
    faults: AtomicU64,
    /// Answers that get lost from now on.
    to_lose: AtomicU64,
    /// Connections of which neither end knows that it is over.
    kept: Mutex<Vec<(TcpStream, TcpStream)>>,
}

impl Shared {
    fn count(&self, way: Way) -> &AtomicU64 {
        match way {
            Way::Up => &self.from_client,
            Way::Down => &self.from_server,
        }
    }

    fn keep(&self, client: TcpStream, server: TcpStream) {
        self.kept.lock().unwrap().push((client, server));
    }

    /// Whether what the server says now is to be lost, and the connection with it.
    fn loses_answers(&self) -> bool {
        let lose = |left: u64| left.checked_sub(1);
        self.to_lose.fetch_update(Ordering::Relaxed, Ordering::Relaxed, lose).is_ok()
    }
}

impl Proxy {
    /// One on which nothing goes wrong by itself.
    pub(crate) async fn to(server: u16) -> Self {
        Self::planned(server, |_| Plan::default()).await
    }

    /// One whose connections, counted from 0, meet what `plan` says.
    pub(crate) async fn planned(server: u16, plan: impl Fn(u64) -> Plan + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let shared = Arc::new(Shared {
            gate: watch::Sender::new(Gate::Open),
            cut: watch::Sender::new(0),
            from_client: AtomicU64::new(0),
            from_server: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            faults: AtomicU64::new(0),
            to_lose: AtomicU64::new(0),
            kept: Mutex::default(),
        });
        let at_links = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            // They end with this task.
            let mut links = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while links.try_join_next().is_some() {}
                let plan = plan(at_links.connections.fetch_add(1, Ordering::Relaxed));
                let shared = Arc::clone(&at_links);
                links.spawn(async move {
                    let mut open = shared.gate.subscribe();
                    if open.wait_for(|gate| *gate == Gate::Open).await.is_err() {
                        return;
                    }
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                        link(client, server, plan, &shared).await;
                    }
                });
            }
        });
        Self { port, shared, task }
    }

    /// Bytes that came from the client, handshakes included.
    pub(crate) fn sent(&self) -> u64 {
        self.shared.from_client.load(Ordering::Relaxed)
    }

    /// Bytes that came from the server, handshakes included.
    pub(crate) fn received(&self) -> u64 {
        self.shared.from_server.load(Ordering::Relaxed)
    }

    /// Connections so far.
    pub(crate) fn connections(&self) -> u64 {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Planned faults that happened.
    pub(crate) fn faults(&self) -> u64 {
        self.shared.faults.load(Ordering::Relaxed)
    }

    /// Ends every connection that there is, in order.
    pub(crate) fn cut(&self) {
        self.shared.cut.send_modify(|cuts| *cuts += 1);
    }

    /// The next thing that the server says is lost, and its connection with it; what the client
    /// sent before has passed.
    pub(crate) fn lose_an_answer(&self) {
        self.shared.to_lose.fetch_add(1, Ordering::Relaxed);
    }

    /// Answers that are still to be lost.
    pub(crate) fn answers_to_lose(&self) -> u64 {
        self.shared.to_lose.load(Ordering::Relaxed)
    }

    /// Lets nothing through, and tells nobody.
    pub(crate) fn hold(&self) {
        self.shared.gate.send_replace(Gate::Held);
    }

    pub(crate) fn release(&self) {
        self.shared.gate.send_replace(Gate::Open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
