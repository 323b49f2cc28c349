//! One connection through the proxy.
//!
//! ```text
//! client ── up ──▶ script ──▶ server
//! client ◀── script ◀── down ── server
//! ```

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};

use super::plan::{Fault, Plan, Script, Turn, Way};
use super::{Gate, Shared};

/// What is read at once.
const CHUNK: usize = 64 << 10;
/// Once one direction has ended, the other may still say so much longer what it has to say.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// An end that was cut in order may take so long to notice.
const NOTICED_WITHIN: Duration = Duration::from_secs(20);

/// Passes bytes until both directions have ended, or something happens to the connection as a whole.
pub(super) async fn link(
    mut client: TcpStream,
    mut server: TcpStream,
    plan: Plan,
    shared: &Shared,
) {
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let mut cut = shared.cut.subscribe();
    cut.mark_unchanged();
    let (happened, mut happens) = mpsc::channel(2);
    let fault = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let stalled = watch::Sender::new(None);
        let pump = |way, from, to, steps| {
            let (happened, gate) = (happened.clone(), shared.gate.subscribe());
            let (script, stalled) = (Script::new(steps), stalled.clone());
            Pump { way, from, to, script, shared, happened, gate, stalled }.run()
        };
        let up = pump(Way::Up, from_client, to_server, plan.up);
        let down = pump(Way::Down, from_server, to_client, plan.down);
        tokio::select! {
            () = both(up, down) => None,
            fault = happens.recv() => fault,
            _ = cut.changed() => Some(Fault::Cut),
        }
    };
    match fault {
        Some(Fault::Cut) => end_in_order(&mut client, &mut server).await,
        Some(Fault::Reset) => {
            let _ = (client.set_zero_linger(), server.set_zero_linger());
        }
        // Open for as long as the proxy is, without a word.
        Some(Fault::HalfOpen) => shared.keep(client, server),
        _ => {}
    }
}

/// Until both have ended; the second within a while of the first.
async fn both(up: impl Future<Output = ()>, down: impl Future<Output = ()>) {
    let (mut up, mut down) = (std::pin::pin!(up), std::pin::pin!(down));
    tokio::select! {
        () = &mut up => {
            let _ = tokio::time::timeout(LAST_WORDS, down).await;
        }
        () = &mut down => {
            let _ = tokio::time::timeout(LAST_WORDS, up).await;
        }
    }
}

/// A socket that is closed over unread bytes resets: so both are read to their ends.
async fn end_in_order(client: &mut TcpStream, server: &mut TcpStream) {
    let _ = tokio::join!(client.shutdown(), server.shutdown());
    let (mut one, mut other) = (tokio::io::sink(), tokio::io::sink());
    let read = async {
        let _ =
            tokio::join!(tokio::io::copy(client, &mut one), tokio::io::copy(server, &mut other));
    };
    let _ = tokio::time::timeout(NOTICED_WITHIN, read).await;
}

struct Pump<'a> {
    way: Way,
    from: ReadHalf<'a>,
    to: WriteHalf<'a>,
    script: Script,
    shared: &'a Shared,
    happened: mpsc::Sender<Fault>,
    gate: watch::Receiver<Gate>,
    /// The direction that passes nothing more.
    stalled: watch::Sender<Option<Way>>,
}

impl Pump<'_> {
    async fn run(mut self) {
        let (mut trickle, mut delay, mut limit) = (0_u64, Duration::ZERO, None);
        let mut bytes = vec![0; CHUNK];
        loop {
            let Ok(length) = self.from.read(&mut bytes).await else { return };
            if *self.stalled.borrow() == Some(self.way) {
                return std::future::pending().await;
            }
            self.shared.count(self.way).fetch_add(length as u64, Ordering::Relaxed);
            if length == 0 {
                let _ = self.to.shutdown().await;
                return;
            }
            if self.gate.wait_for(|gate| *gate == Gate::Open).await.is_err() {
                return;
            }
            if self.way == Way::Down && self.shared.loses_answers() {
                self.happened.send(Fault::Cut).await.ok();
                return std::future::pending().await;
            }
            tokio::time::sleep(delay).await;
            let mut rest = &bytes[..length];
            while !rest.is_empty() {
                match self.script.next(rest.len()) {
                    Turn::Pass(passes) => {
                        let (now, later) = rest.split_at(passes);
                        rest = later;
                        if let Some(limit) = limit {
                            let seconds = now.len() as f64 / limit;
                            tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
                        }
                        if self.deliver(now, &mut trickle).await.is_err() {
                            return;
                        }
                    }
                    Turn::Happens(fault) => {
                        self.shared.faults.fetch_add(1, Ordering::Relaxed);
                        match fault {
                            Fault::Trickle(bytes) => trickle = bytes,
                            Fault::Delay(time) => delay = time,
                            Fault::Limit(rate) => limit = Some(rate as f64),
                            Fault::Stall => return std::future::pending().await,
                            Fault::StallBack => {
                                self.stalled.send_replace(Some(self.way.back()));
                            }
                            Fault::Cut | Fault::Reset | Fault::HalfOpen => {
                                // Whoever takes it drops this.
                                self.happened.send(fault).await.ok();
                                return std::future::pending().await;
                            }
                        }
                    }
                }
            }
        }
    }

    async fn deliver(&mut self, bytes: &[u8], trickle: &mut u64) -> std::io::Result<()> {
        let single = usize::try_from(*trickle).unwrap_or(usize::MAX).min(bytes.len());
        let (slow, together) = bytes.split_at(single);
        *trickle -= single as u64;
        for byte in slow {
            self.to.write_all(std::slice::from_ref(byte)).await?;
        }
        self.to.write_all(together).await
    }
}
