//! A session that is logged in: reads frames, starts requests, ends in order.
//!
//! Reading is one loop. What it starts runs beside it, so that blocks are received, hashed, written
//! and answered at the same time. It stops reading, and so holds up the peer, when too many requests
//! are unanswered, when a handler does not keep up with its own frames, or when the bytes that all of
//! them hold reach [`HELD_BYTES`]; none of these waits for a frame that is still unread, so each ends
//! by itself.
//!
//! Once the server stops, new requests are refused with `CLOSING` while running ones still get their
//! frames; the goodbye follows the last answer.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sampan_protocol::escape::escaped_text;
use sampan_protocol::frame::{Frame, FrameLimits};
use sampan_protocol::limits::MAX_PACK_BYTES;
use sampan_protocol::message::{GoodbyeReason, Op, Pack, Ping, Request, WriteBlock};
use sampan_protocol::transport::{FrameReader, ReadError};
use sampan_protocol::wire::{Envelope, Flags, decode_args, encode_header};
use sampan_protocol::{Refusal, RequestId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::answers::{Gone, Lane, Part};
use super::login::LoggedIn;
use super::reply::{self, Done};
use super::writing::{Outgoing, QUEUE_FRAMES, goodbye, write_queue};
use crate::context::Context;

/// Bytes of request bodies, and of long headers, that handlers of one session may hold: a whole
/// pack, and blocks beside it.
#[allow(clippy::cast_possible_truncation)] // 8 MiB
const HELD_BYTES: usize = MAX_PACK_BYTES as usize + (2 << 20);

/// Bytes of a header from which on they count among those that are held.
const LONG_HEADER: usize = 4 << 10;

/// How long a goodbye may take to be sent, and then to be read.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Why reading ended.
#[derive(Debug)]
pub(super) enum Ended {
    /// The peer left or was lost; nobody is there to be told.
    Gone,
    /// The peer is told why.
    Goodbye(GoodbyeReason),
    /// A handler panicked: its request can never be answered.
    Broken,
}

/// Runs a session to its end.
pub(super) async fn serve(logged_in: LoggedIn) {
    let LoggedIn { mut reader, mut writer, context, open } = logged_in;
    tracing::info!("logged in");
    reader.set_limits(FrameLimits::AFTER_LOGIN);
    writer.set_limits(FrameLimits::AFTER_LOGIN);

    let shared = Arc::clone(&context.shared);
    let (queue, outgoing) = mpsc::channel(QUEUE_FRAMES);
    let writing = tokio::spawn(write_queue(writer, outgoing));
    let mut writing = AbortOnDropHandle::new(writing);
    let mut serving = Serving::new(context, queue);

    let ended = tokio::select! {
        ended = serving.read(&mut reader) => ended,
        () = open.ended() => Ended::Goodbye(GoodbyeReason::SessionEnded),
        () = shared.shutdown.hurried() => Ended::Goodbye(GoodbyeReason::ServerClosing),
        written = &mut writing => {
            tracing::debug!("writing ended: {written:?}");
            Ended::Gone
        }
    };
    tracing::debug!("session ends: {ended:?}");
    let Serving { mut tasks, queue, routes, .. } = serving;
    // Requests whose frames are still missing end now.
    drop(routes);
    match ended {
        Ended::Goodbye(reason) => {
            let said = say_goodbye(reason, &queue, writing, &mut reader);
            if timeout(LAST_WORDS, said).await.is_err() {
                tracing::debug!("the peer did not take its goodbye");
            }
        }
        Ended::Gone | Ended::Broken => drop(writing),
    }
    drop(queue);
    drop(reader);
    // Nobody listens any more: what waits for its turn is not begun, what reads goes no further. A
    // change that the store has begun comes to its end there, and is answered when it is sent again.
    tasks.abort_all();
    while let Some(done) = tasks.join_next().await {
        note_panic(&done);
    }
    drop(open);
}

async fn say_goodbye(
    reason: GoodbyeReason,
    queue: &mpsc::Sender<Outgoing>,
    writing: AbortOnDropHandle<Result<(), super::writing::WritingEnded>>,
    reader: &mut FrameReader,
) {
    if queue.send(Outgoing::Goodbye(goodbye(reason))).await.is_err() {
        return;
    }
    if let Ok(Ok(())) = writing.await {
        // A socket that is closed over unread bytes throws away what was sent.
        while let Ok(Some(_)) = reader.next().await {}
    }
}

/// Whether a request's task panicked; says so in the log.
fn note_panic(done: &Result<Done, JoinError>) -> bool {
    match done {
        Err(error) if error.is_panic() => {
            tracing::error!("a request panicked: {error}");
            true
        }
        _ => false,
    }
}

/// The state of a session's reading.
pub(super) struct Serving {
    pub(super) context: Context,
    pub(super) queue: mpsc::Sender<Outgoing>,
    /// One for each unanswered request.
    requests: Arc<Semaphore>,
    /// One for each byte that handlers hold.
    held: Arc<Semaphore>,
    /// Requests of which more frames are to come.
    pub(super) routes: HashMap<RequestId, Route>,
    pub(super) tasks: JoinSet<Done>,
    is_draining: bool,
}

/// Where the next frame of a request goes.
#[derive(Debug)]
pub(super) enum Route {
    Block(mpsc::Sender<Part<WriteBlock>>),
    Pack(mpsc::Sender<Part<Pack>>),
    /// Nowhere: the request was refused before it had ended.
    Refused(Op),
}

/// A request's first frame, ready to be started.
pub(super) struct Incoming<'a> {
    pub(super) lane: Lane,
    pub(super) args: &'a [u8],
    pub(super) body: Bytes,
    pub(super) is_last: bool,
    /// To run, and for a long header; given back with the last frame of the answer.
    pub(super) permits: (OwnedSemaphorePermit, Option<OwnedSemaphorePermit>),
}

impl Serving {
    fn new(context: Context, queue: mpsc::Sender<Outgoing>) -> Self {
        let requests = context.shared.bounds.requests as usize;
        Self {
            context,
            queue,
            requests: Arc::new(Semaphore::new(requests)),
            held: Arc::new(Semaphore::new(HELD_BYTES)),
            routes: HashMap::new(),
            tasks: JoinSet::new(),
            is_draining: false,
        }
    }

    async fn read(&mut self, reader: &mut FrameReader) -> Ended {
        let shared = Arc::clone(&self.context.shared);
        let idle = shared.bounds.idle;
        let (mut heard, mut has_asked) = (Instant::now(), false);
        let mut received = reader.received_bytes();
        loop {
            if self.is_draining && self.tasks.is_empty() {
                return Ended::Goodbye(GoodbyeReason::ServerClosing);
            }
            let until = heard + if has_asked { idle } else { idle / 2 };
            let next = tokio::select! {
                Some(done) = self.tasks.join_next(), if !self.tasks.is_empty() => {
                    match done {
                        Ok(Done::Answered) => continue,
                        Ok(Done::Malformed) => {
                            return Ended::Goodbye(GoodbyeReason::ProtocolError);
                        }
                        failed => {
                            note_panic(&failed);
                            return Ended::Broken;
                        }
                    }
                }
                () = shared.shutdown.begun(), if !self.is_draining => {
                    self.is_draining = true;
                    continue;
                }
                next = timeout_at(until, reader.next()) => next,
            };
            match next {
                Ok(Ok(Some(frame))) => {
                    if let Err(ended) = self.take(frame).await {
                        return ended;
                    }
                    // Counted from here, for what held us up was not the peer's silence.
                    (heard, has_asked) = (Instant::now(), false);
                    received = reader.received_bytes();
                }
                Ok(Ok(None) | Err(ReadError::Cut)) => return Ended::Gone,
                Ok(Err(ReadError::TooLong(error))) => {
                    tracing::info!("session ends: {error}");
                    return Ended::Goodbye(GoodbyeReason::ProtocolError);
                }
                Ok(Err(error)) => {
                    tracing::debug!("reading ended: {error}");
                    return Ended::Gone;
                }
                Err(_) if reader.received_bytes() > received => {
                    // A long frame on its way over a slow line.
                    received = reader.received_bytes();
                    (heard, has_asked) = (Instant::now(), false);
                }
                Err(_) if has_asked => {
                    tracing::info!("session ends: nothing was heard for {} s", idle.as_secs());
                    return Ended::Goodbye(GoodbyeReason::Idle);
                }
                Err(_) => {
                    has_asked = true;
                    self.ask_for_life();
                }
            }
        }
    }

    fn ask_for_life(&self) {
        let header = encode_header(RequestId(1), Op::PING, Flags::REQUEST, &Ping {});
        if self.queue.try_send(Outgoing::Frame { header, body: Bytes::new() }).is_err() {
            tracing::debug!("no ping: enough waits to be sent");
        }
    }

    /// One frame: of a request that runs, or the first of a new one.
    async fn take(&mut self, frame: Frame) -> Result<(), Ended> {
        let Frame { header, body } = frame;
        let envelope = Envelope::decode(&header).map_err(|error| {
            tracing::info!("session ends: a header cannot be read: {error}");
            Ended::Goodbye(GoodbyeReason::ProtocolError)
        })?;
        if envelope.flags.is_answer() {
            // Only pings are asked from this side; that something came is all they mean.
            return Ok(());
        }
        if envelope.op == Op::GOODBYE {
            return Err(Ended::Gone);
        }
        if self.routes.contains_key(&envelope.id) {
            return self.feed(envelope, body).await;
        }
        self.begin(envelope, body).await
    }

    async fn begin(&mut self, envelope: Envelope<'_>, body: Bytes) -> Result<(), Ended> {
        let Envelope { id, op, flags, args } = envelope;
        let is_last = flags.is_last();
        let lane = Lane { id, op, queue: self.queue.clone() };
        if self.is_draining {
            return self.turn_away(&lane, is_last, reply::closing()).await;
        }
        if self.routes.len() >= self.context.shared.bounds.requests as usize {
            // All that could make room waits for frames behind this one.
            return self.broken(&lane, "more unfinished requests than the limit").await;
        }
        let permit = owned(Arc::clone(&self.requests), 1).await;
        let body = self.hold(body).await;
        // Decoded it takes a few times as much. A request that is not whole yet must not hold what
        // its own next frame waits for.
        let held = match args.len() {
            long @ LONG_HEADER.. if is_last => Some(owned(Arc::clone(&self.held), long).await),
            _ => None,
        };
        let permits = (permit, held);
        self.dispatch(Incoming { lane, args, body, is_last, permits }).await
    }

    /// Hands a further frame to the request that it belongs to.
    async fn feed(&mut self, envelope: Envelope<'_>, body: Bytes) -> Result<(), Ended> {
        let Envelope { id, op, flags, args } = envelope;
        let is_last = flags.is_last();
        let body = self.hold(body).await;
        let lane = Lane { id, op, queue: self.queue.clone() };
        let fed = match (self.routes.get(&id), op) {
            (Some(Route::Block(queue)), Op::WRITE_BLOCK) => pass(queue, args, body, is_last).await,
            (Some(Route::Pack(queue)), Op::PACK) => pass(queue, args, body, is_last).await,
            (Some(Route::Refused(refused)), op) if *refused == op => Ok(()),
            _ => Err("the id belongs to a request of another operation".to_owned()),
        };
        if let Err(why) = fed {
            return self.broken(&lane, &why).await;
        }
        if is_last {
            self.routes.remove(&id);
        }
        Ok(())
    }

    /// Refuses a request without starting it.
    pub(super) async fn turn_away(
        &mut self,
        lane: &Lane,
        is_last: bool,
        refusal: Refusal,
    ) -> Result<(), Ended> {
        if !is_last {
            if self.routes.len() >= self.context.shared.bounds.requests as usize {
                return self.broken(lane, "more unfinished requests than the limit").await;
            }
            self.routes.insert(lane.id, Route::Refused(lane.op));
        }
        reply::refuse(lane, refusal).await.map_err(|Gone| Ended::Gone)
    }

    /// The peer broke the protocol: it is told which request did, and the session ends.
    pub(super) async fn broken(&self, lane: &Lane, why: &str) -> Result<(), Ended> {
        let request = reply::op_name(lane.op);
        tracing::info!(request, "session ends: {}", escaped_text(why));
        match reply::refuse(lane, reply::malformed(why)).await {
            Ok(()) => Err(Ended::Goodbye(GoodbyeReason::ProtocolError)),
            Err(Gone) => Err(Ended::Gone),
        }
    }

    /// The same bytes, counted until the last slice of them is dropped.
    async fn hold(&self, body: Bytes) -> Bytes {
        if body.is_empty() {
            return body;
        }
        let permit = owned(Arc::clone(&self.held), body.len()).await;
        Bytes::from_owner(Held { body, _permit: permit })
    }
}

/// Passes a frame's message on to its handler. One that has ended early does not want it.
async fn pass<R: Request>(
    queue: &mpsc::Sender<Part<R>>,
    args: &[u8],
    body: Bytes,
    is_last: bool,
) -> Result<(), String> {
    let args = decode_args(args).map_err(|error| error.to_string())?;
    if queue.send(Part { args, body, is_last }).await.is_err() {
        tracing::trace!("a frame for a request that was refused");
    }
    Ok(())
}

async fn owned(semaphore: Arc<Semaphore>, permits: usize) -> OwnedSemaphorePermit {
    let permits = u32::try_from(permits).expect("a frame is shorter than 4 GiB");
    semaphore.acquire_many_owned(permits).await.expect("a session's semaphores are never closed")
}

struct Held {
    body: Bytes,
    _permit: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.body
    }
}
