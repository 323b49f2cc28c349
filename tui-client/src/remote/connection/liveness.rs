//! Whether the other end of a connection still lives: pings into silence, and the end of patience.
//!
//! Invariant: a connection that gives anything, or takes bulk, is never given up, however slow it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use sampan_protocol::RequestId;
use sampan_protocol::message::Ping;
use sampan_protocol::wire::{Flags, Op, encode_header};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::{Ended, Outgoing, Shared};

/// Silence after which a connection counts as silent, though not yet as lost.
const SILENT_AFTER: Duration = Duration::from_secs(3);
/// A connection that is given up as dead was silent for so long.
const DEAD_AFTER: Duration = Duration::from_secs(10);
/// Bytes that the socket must take between two looks to count as a sign of life: more than pings
/// have, which a socket takes also when the line is dead.
const MUCH_SENT: u64 = 4 << 10;
/// Tables of routers forget a connection that is silent for longer.
const MOST_IDLE: Duration = Duration::from_secs(15);

/// How much silence is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// After so much of it a ping is sent while somebody waits for an answer.
    pub ping: Duration,
    /// The same while nobody does.
    pub idle: Duration,
    /// After so much of it people are told; a ping is waited for at least so long.
    pub silent: Duration,
    /// After so much of it the connection is given up.
    pub dead: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        let ping = Duration::from_secs(1);
        Self { ping, idle: ping, silent: SILENT_AFTER, dead: DEAD_AFTER }
    }
}

impl Patience {
    /// The same for a connection that may be idle for so long: often enough pinged for the tables of
    /// routers between.
    pub(in crate::remote) fn of_idle(self, idle: Duration) -> Self {
        Self { idle: idle.min(MOST_IDLE).max(self.ping), ..self }
    }
}

/// What the socket has moved so far.
pub(super) struct Traffic {
    pub(super) received: Arc<AtomicU64>,
    pub(super) sent: Arc<AtomicU64>,
    /// Both as they were at the last look.
    pub(super) seen: (u64, u64),
}

impl Traffic {
    /// Whether something moved since the last look that shows a living peer.
    fn moved(&mut self) -> bool {
        let received = self.received.load(Ordering::Relaxed);
        let sent = self.sent.load(Ordering::Relaxed);
        let moved = received > self.seen.0 || sent >= self.seen.1 + MUCH_SENT;
        if moved {
            self.seen = (received, sent);
        }
        moved
    }
}

impl Shared {
    /// Notes that bytes moved.
    fn look_at(&self, traffic: &mut Traffic) {
        if traffic.moved() {
            self.health.send_modify(|health| health.heard = Instant::now());
        }
    }
}

/// Pings into silence; ends when the connection is dead.
pub(super) async fn watch(
    shared: &Shared,
    traffic: &mut Traffic,
    urgent: &mpsc::Sender<Outgoing>,
    bears: Patience,
) -> Ended {
    let mut health = shared.health.subscribe();
    loop {
        shared.look_at(traffic);
        let heard = health.borrow_and_update().heard;
        let waited_for = shared.pending().as_ref().is_some_and(|pending| !pending.is_empty());
        let patience = if waited_for { bears.ping } else { bears.idle };
        let quiet = heard.elapsed();
        if quiet < patience {
            // A request that begins meanwhile is noticed a second later at most.
            tokio::time::sleep(patience.saturating_sub(quiet).min(bears.ping)).await;
            continue;
        }
        if shared.delivering.load(Ordering::Relaxed) {
            tokio::time::sleep(bears.ping).await;
            continue;
        }
        match ping(shared, traffic, urgent, bears, heard + bears.dead).await {
            Ok(()) => {}
            Err(ended) => return ended,
        }
    }
}

/// Sends one ping and waits for any sign of life until `give_up`.
async fn ping(
    shared: &Shared,
    traffic: &mut Traffic,
    urgent: &mpsc::Sender<Outgoing>,
    bears: Patience,
    give_up: Instant,
) -> Result<(), Ended> {
    let (sender, mut answers) = mpsc::channel(1);
    let id = shared.next_id.fetch_add(1, Ordering::Relaxed).max(1);
    match shared.pending().as_mut() {
        Some(pending) => drop(pending.insert(id, sender)),
        None => return Err(Ended::Closed),
    }
    let sent = Instant::now();
    // A ping has a fair chance, however long the silence before it was.
    let mut give_up = give_up.max(sent + bears.silent);
    let header = encode_header(RequestId(id), Op::PING, Flags::REQUEST, &Ping {});
    let exchange = async {
        let ping = Outgoing { id, header, body: Bytes::new(), room: None };
        urgent.send(ping).await.map_err(|_| Ended::Closed)?;
        answers.recv().await.ok_or(Ended::Closed)
    };
    let mut health = shared.health.subscribe();
    let mut exchange = std::pin::pin!(exchange);
    let mut looks = tokio::time::interval(bears.ping);
    loop {
        tokio::select! {
            answered = &mut exchange => {
                shared.forget(id);
                answered?;
                let round_trip = sent.elapsed();
                shared.health.send_modify(|health| {
                    let smoothed = health.round_trip.map_or(round_trip, |old| (old * 7 + round_trip) / 8);
                    health.round_trip = Some(smoothed);
                });
                return Ok(());
            }
            _ = health.changed() => {
                // Anything is a sign of life, though the ping's answer waits behind bulk.
                give_up = give_up.max(health.borrow_and_update().heard + bears.dead);
            }
            _ = looks.tick() => shared.look_at(traffic),
            () = tokio::time::sleep_until(give_up) => {
                shared.forget(id);
                if shared.delivering.load(Ordering::Relaxed) {
                    return Ok(());
                }
                return Err(Ended::Dead);
            }
        }
    }
}
