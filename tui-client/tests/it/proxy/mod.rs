//! A link that can be cut or held, between a client and a server on this machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What the link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Open,
    /// Bytes wait, nothing is refused: a cable that was pulled.
    Held,
}

/// Passes bytes on both ways.
pub(crate) struct Proxy {
    pub(crate) port: u16,
    way: Arc<watch::Sender<Way>>,
    cut: Arc<watch::Sender<u64>>,
    sent: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Proxy {
    pub(crate) async fn to(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let way = Arc::new(watch::Sender::new(Way::Open));
        let cut = Arc::new(watch::Sender::new(0));
        let sent = Arc::new(AtomicU64::new(0));
        let (pass, cuts, count) = (Arc::clone(&way), Arc::clone(&cut), Arc::clone(&sent));
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (way, cut) = (pass.subscribe(), cuts.subscribe());
                let sent = Arc::clone(&count);
                tokio::spawn(async move {
                    let mut open = way.clone();
                    if open.wait_for(|way| *way == Way::Open).await.is_err() {
                        return;
                    }
                    if let Ok(server) = TcpStream::connect(("127.0.0.1", server)).await {
                        link(client, server, way, cut, &sent).await;
                    }
                });
            }
        });
        Self { port, way, cut, sent, task }
    }

    /// Bytes that came from the client, handshakes included.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Ends every connection that there is.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Lets nothing through, and tells nobody.
    pub(crate) fn hold(&self) {
        self.way.send_replace(Way::Held);
    }

    pub(crate) fn release(&self) {
        self.way.send_replace(Way::Open);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn link(
    client: TcpStream,
    server: TcpStream,
    way: watch::Receiver<Way>,
    mut cut: watch::Receiver<u64>,
    sent: &AtomicU64,
) {
    cut.mark_unchanged();
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, way.clone(), Some(sent)) => {}
        () = pump(from_server, to_client, way, None) => {}
        _ = cut.changed() => {}
    }
}

async fn pump(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut way: watch::Receiver<Way>,
    count: Option<&AtomicU64>,
) {
    let mut bytes = vec![0; 64 << 10];
    loop {
        let Ok(length) = from.read(&mut bytes).await else { return };
        if let Some(count) = count {
            count.fetch_add(length as u64, Ordering::Relaxed);
        }
        if length == 0 || way.wait_for(|way| *way == Way::Open).await.is_err() {
            return;
        }
        if to.write_all(&bytes[..length]).await.is_err() {
            return;
        }
    }
}
