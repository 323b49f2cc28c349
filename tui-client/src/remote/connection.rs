//! One connection that is logged in: requests out, answers in, matched by number.
//!
//! ```text
//! callers ── frames ──▶ queue ──▶ writer ──▶ socket
//! watch ──── pings ───▶ urgent ──▶   ▲
//! callers ◀─ answers ── pending ◀── reader ◀── socket
//!                         watch: pings into silence, gives the connection up as dead
//! ```
//!
//! A slow line is no dead one: a frame may take minutes. So whatever the socket takes of much, or
//! gives, is a sign of life too; and pings do not queue behind bulk.
//!
//! Reader, writer and watch are one future, [`Driver::run`], which someone owns and awaits. When it
//! ends, every pending call ends as [`CallError::Lost`].
//!
//! Invariant: an answer goes only to the call of its number; what nobody waits for is dropped. Each
//! queue is bounded, and a caller who does not read his answers holds up this connection only.

mod liveness;

use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sampan_protocol::message::{Empty, Goodbye, GoodbyeReason, Request};
use sampan_protocol::transport::{FrameReader, FrameWriter, ReadError, WriteError};
use sampan_protocol::wire::{Envelope, Flags, Op, decode_args, encode_args, encode_header};
use sampan_protocol::{ErrorCode, Refusal, RequestId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::Instant;

pub use self::liveness::Patience;
use self::liveness::{Traffic, watch};
use super::failed::CallError;

/// Frames that may wait for the writer.
const QUEUED_FRAMES: usize = 32;
/// Frames behind these that end requests whose sender went away in the middle.
const ENDING_FRAMES: usize = 32;
/// Pings and answers to the server's that may wait for the writer.
const URGENT_FRAMES: usize = 8;
/// A goodbye is for politeness: no one waits longer for it.
pub(super) const GOODBYE_WITHIN: Duration = Duration::from_millis(500);

/// Why a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// The network took it.
    Cut,
    /// Nothing was heard for too long.
    Dead,
    /// The server said goodbye.
    Goodbye(Goodbye),
    /// The server broke the protocol.
    Broken(String),
    /// This side closed it.
    Closed,
}

/// A frame on its way out.
struct Outgoing {
    id: u32,
    header: Vec<u8>,
    body: Bytes,
    /// Its place in the queue, if it had to wait for one.
    room: Option<OwnedSemaphorePermit>,
}

/// A frame of an answer.
struct Incoming {
    flags: Flags,
    args: Bytes,
    body: Bytes,
}

/// What a caller holds of a connection.
#[derive(Clone)]
pub struct Session {
    shared: Arc<Shared>,
    queue: mpsc::Sender<Outgoing>,
    /// Places in the queue.
    room: Arc<Semaphore>,
}

struct Shared {
    /// `None` once the connection has ended.
    pending: Mutex<Option<HashMap<u32, mpsc::Sender<Incoming>>>>,
    next_id: AtomicU32,
    health: watch::Sender<Health>,
    /// The reader waits for a caller to take his answer: silence then is our own.
    delivering: AtomicBool,
    /// Somebody got an answer to something else than a ping.
    of_use: AtomicBool,
    close: watch::Sender<bool>,
}

/// How a connection is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Health {
    /// When something was heard last.
    pub(super) heard: Instant,
    /// Smoothed round trip of pings; `None` before the first.
    pub(super) round_trip: Option<Duration>,
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Option<HashMap<u32, mpsc::Sender<Incoming>>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends a call whose frame cannot be sent as the server would: nothing else is hurt.
    fn refuse(&self, id: u32, why: &str) {
        let Some(caller) = self.pending().as_mut().and_then(|pending| pending.remove(&id)) else {
            return;
        };
        let refusal = Refusal::new(ErrorCode::LIMIT_EXCEEDED, why);
        let args = Bytes::from(encode_args(&refusal));
        let refused = Incoming { flags: Flags::REFUSAL, args, body: Bytes::new() };
        // A caller who has not taken its answers so far learns that there are no more.
        let _ = caller.try_send(refused);
    }

    fn forget(&self, id: u32) {
        if let Some(pending) = self.pending().as_mut() {
            pending.remove(&id);
        }
    }
}

/// Moves a connection's frames.
pub(super) struct Driver {
    shared: Arc<Shared>,
    reader: FrameReader,
    writer: FrameWriter,
    queue: mpsc::Receiver<Outgoing>,
    patience: Patience,
}

/// A connection of a reader and a writer that are logged in.
pub(super) fn connection(
    reader: FrameReader,
    writer: FrameWriter,
    patience: Patience,
) -> (Session, Driver) {
    let (queue, queued) = mpsc::channel(QUEUED_FRAMES + ENDING_FRAMES);
    let room = Arc::new(Semaphore::new(QUEUED_FRAMES));
    let health = Health { heard: Instant::now(), round_trip: None };
    let shared = Arc::new(Shared {
        pending: Mutex::new(Some(HashMap::new())),
        next_id: AtomicU32::new(1),
        health: watch::Sender::new(health),
        delivering: AtomicBool::new(false),
        of_use: AtomicBool::new(false),
        close: watch::Sender::new(false),
    });
    let driver = Driver { shared: Arc::clone(&shared), reader, writer, queue: queued, patience };
    (Session { shared, queue, room }, driver)
}

impl Session {
    /// Asks, and waits for an answer of one frame.
    pub async fn call<R: Request>(&self, request: &R) -> Result<R::Answer, CallError> {
        self.stream(request, 1).await?.only().await.map(|(answer, _)| answer)
    }

    /// Asks in one frame. `room` is how many frames of the answer may wait for the caller: for bulk,
    /// all that were asked for.
    pub async fn stream<R: Request>(
        &self,
        request: &R,
        room: usize,
    ) -> Result<Answers<R>, CallError> {
        let mut call = self.begin::<R>(room)?;
        call.send(request, Bytes::new(), true).await?;
        Ok(call.answers())
    }

    /// Begins a request of several frames.
    pub fn begin<R: Request>(&self, room: usize) -> Result<Call<R>, CallError> {
        let (sender, frames) = mpsc::channel(room.max(1));
        let mut pending = self.shared.pending();
        let pending = pending.as_mut().ok_or(CallError::Lost)?;
        let id = loop {
            let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
            // Zero is for frames that nobody asked for; a number still in use comes round after
            // four thousand million requests.
            if id != RequestId::UNASKED.0 && !pending.contains_key(&id) {
                break id;
            }
        };
        pending.insert(id, sender);
        Ok(Call { session: self.clone(), id, frames, ending: None, request: PhantomData })
    }

    pub(super) fn health(&self) -> watch::Receiver<Health> {
        self.shared.health.subscribe()
    }

    /// Whether it has ended.
    pub(super) fn is_over(&self) -> bool {
        self.shared.pending().is_none()
    }

    /// Whether anybody got an answer over it.
    pub(super) fn was_of_use(&self) -> bool {
        self.shared.of_use.load(Ordering::Relaxed)
    }

    /// What was answered so far served the login and no one else.
    pub(super) fn begin_of_use(&self) {
        self.shared.of_use.store(false, Ordering::Relaxed);
    }

    /// Says goodbye and ends.
    pub(super) fn close(&self) {
        self.shared.close.send_replace(true);
    }

    async fn queue(&self, id: u32, header: Vec<u8>, body: Bytes) -> Result<(), CallError> {
        // The semaphore is never closed; what waits in a queue that is gives its room back.
        let room = Arc::clone(&self.room).acquire_owned().await.ok();
        self.queue.send(Outgoing { id, header, body, room }).await.map_err(|_| CallError::Lost)
    }
}

/// How a request ends whose sender goes away in the middle: the server waits for its last frame.
enum Ending {
    /// By this frame, which makes the server refuse it.
    Refused(Vec<u8>),
    /// Only with its connection: a last frame would have it carried out.
    Lost,
}

/// A request that is being sent.
pub struct Call<R> {
    session: Session,
    id: u32,
    frames: mpsc::Receiver<Incoming>,
    /// While its last frame is not sent, but another one is.
    ending: Option<Ending>,
    request: PhantomData<fn() -> R>,
}

impl<R: Request> Call<R> {
    /// Sends the next frame. Until the last one is sent, the server waits for more.
    pub async fn send(&mut self, request: &R, body: Bytes, last: bool) -> Result<(), CallError> {
        let header = |flags| encode_header(RequestId(self.id), R::OP, flags, request);
        let flags = if last { Flags::REQUEST } else { Flags::NONE };
        self.session.queue(self.id, header(flags), body).await?;
        self.ending = match R::OP {
            _ if last => None,
            // A piece without bytes is refused, and the block with it.
            Op::WRITE_BLOCK => Some(Ending::Refused(header(Flags::REQUEST))),
            _ => Some(Ending::Lost),
        };
        Ok(())
    }

    /// Everything was sent; now the answers.
    pub fn answers(self) -> Answers<R> {
        Answers { call: self, ended: false }
    }
}

impl<R> Drop for Call<R> {
    fn drop(&mut self) {
        self.session.shared.forget(self.id);
        let ended = match self.ending.take() {
            None => true,
            Some(Ending::Refused(header)) => {
                let ending = Outgoing { id: self.id, header, body: Bytes::new(), room: None };
                self.session.queue.try_send(ending).is_ok()
            }
            Some(Ending::Lost) => false,
        };
        if !ended {
            self.session.close();
        }
    }
}

/// The frames of an answer as they come.
pub struct Answers<R> {
    call: Call<R>,
    ended: bool,
}

impl<R: Request> Answers<R> {
    /// The next frame; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<(R::Answer, Bytes)>, CallError> {
        if self.ended {
            return Ok(None);
        }
        let frame = self.call.frames.recv().await.ok_or(CallError::Lost)?;
        self.ended = frame.flags.is_last();
        if frame.flags.is_error() {
            let refusal: Refusal = decode(&frame.args)?;
            return Err(CallError::Refused(Box::new(refusal)));
        }
        Ok(Some((decode(&frame.args)?, frame.body)))
    }

    /// The one frame of an answer.
    pub async fn only(mut self) -> Result<(R::Answer, Bytes), CallError> {
        match self.next().await? {
            Some(answer) if self.ended => Ok(answer),
            _ => Err(CallError::Malformed("an answer of one frame has more or none".to_owned())),
        }
    }
}

fn decode<T: serde::de::DeserializeOwned>(args: &[u8]) -> Result<T, CallError> {
    decode_args(args).map_err(|error| {
        CallError::Malformed(sampan_protocol::escape::escaped_text(&error.to_string()))
    })
}

impl Driver {
    /// Runs until the connection ends, and says why.
    pub(super) async fn run(self) -> Ended {
        let Self { shared, mut reader, mut writer, mut queue, patience } = self;
        let (urgent, mut urgently) = mpsc::channel(URGENT_FRAMES);
        let (received, sent) = (reader.received_counter(), writer.sent_counter());
        let mut traffic = Traffic { received, sent, seen: (0, 0) };
        let mut close = shared.close.subscribe();
        let ended = tokio::select! {
            ended = read(&shared, &mut reader, &urgent) => ended,
            ended = write(&shared, &mut writer, &mut urgently, &mut queue) => ended,
            ended = watch(&shared, &mut traffic, &urgent, patience) => ended,
            _ = close.wait_for(|close| *close) => Ended::Closed,
        };
        // Dropping the senders is what ends the pending calls.
        shared.pending().take();
        if ended == Ended::Closed {
            // Nobody minds if it does not arrive.
            let _ = tokio::time::timeout(GOODBYE_WITHIN, say_goodbye(writer)).await;
        }
        ended
    }
}

async fn say_goodbye(mut writer: FrameWriter) -> Result<(), WriteError> {
    let goodbye = Goodbye { reason: GoodbyeReason::Done, retry_after_ms: None };
    let header = encode_header(RequestId::UNASKED, Op::GOODBYE, Flags::REQUEST, &goodbye);
    writer.send(&header, &[]).await?;
    writer.close().await
}

async fn write(
    shared: &Shared,
    writer: &mut FrameWriter,
    urgent: &mut mpsc::Receiver<Outgoing>,
    queue: &mut mpsc::Receiver<Outgoing>,
) -> Ended {
    loop {
        let next = tokio::select! {
            biased;
            Some(frame) = urgent.recv() => Some(frame),
            frame = queue.recv() => frame,
        };
        let Some(mut frame) = next else { return Ended::Closed };
        loop {
            frame.room.take();
            match writer.send(&frame.header, &frame.body).await {
                Ok(()) => {}
                Err(WriteError::TooLong(error)) => shared.refuse(frame.id, &error.to_string()),
                Err(WriteError::Cut | WriteError::Io(_)) => return Ended::Cut,
            }
            match urgent.try_recv().or_else(|_| queue.try_recv()) {
                Ok(next) => frame = next,
                Err(_) => break,
            }
        }
        if writer.flush().await.is_err() {
            return Ended::Cut;
        }
    }
}

async fn read(shared: &Shared, reader: &mut FrameReader, urgent: &mpsc::Sender<Outgoing>) -> Ended {
    loop {
        let frame = match reader.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) | Err(ReadError::Cut | ReadError::Io(_)) => return Ended::Cut,
            Err(error) => return Ended::Broken(error.to_string()),
        };
        shared.health.send_modify(|health| health.heard = Instant::now());
        let envelope = match Envelope::decode(&frame.header) {
            Ok(envelope) => envelope,
            Err(error) => return Ended::Broken(error.to_string()),
        };
        if !envelope.flags.is_answer() {
            if envelope.op == Op::GOODBYE {
                return match decode_args(envelope.args) {
                    Ok(goodbye) => Ended::Goodbye(goodbye),
                    Err(error) => Ended::Broken(error.to_string()),
                };
            }
            // Never waits: the server may be reading only once it was read. With a queue full of
            // other frames it hears from us anyway.
            let id = RequestId::UNASKED.0;
            let header = answer_to(envelope);
            let answer = Outgoing { id, header, body: Bytes::new(), room: None };
            if let Err(mpsc::error::TrySendError::Closed(_)) = urgent.try_send(answer) {
                return Ended::Closed;
            }
            continue;
        }
        let id = envelope.id.0;
        let flags = envelope.flags;
        if envelope.op != Op::PING {
            shared.of_use.store(true, Ordering::Relaxed);
        }
        let args = part_of(&frame.header, envelope.args);
        let caller = match shared.pending().as_mut() {
            Some(pending) if flags.is_last() => pending.remove(&id),
            Some(pending) => pending.get(&id).cloned(),
            None => return Ended::Closed,
        };
        let Some(caller) = caller else { continue };
        let incoming = Incoming { flags, args, body: frame.body };
        if let Err(mpsc::error::TrySendError::Full(incoming)) = caller.try_send(incoming) {
            shared.delivering.store(true, Ordering::Relaxed);
            // A caller who went away wants nothing any more.
            let _ = caller.send(incoming).await;
            shared.delivering.store(false, Ordering::Relaxed);
            shared.health.send_modify(|health| health.heard = Instant::now());
        }
    }
}

/// What a request of the server's is answered with.
fn answer_to(envelope: Envelope<'_>) -> Vec<u8> {
    if envelope.op == Op::PING {
        return encode_header(envelope.id, envelope.op, Flags::LAST_ANSWER, &Empty {});
    }
    let refusal = Refusal::new(ErrorCode::UNSUPPORTED, "a client serves no such request");
    encode_header(envelope.id, envelope.op, Flags::REFUSAL, &refusal)
}

/// `args` as a part of the header's memory.
fn part_of(header: &Bytes, args: &[u8]) -> Bytes {
    let start = header.as_ptr() as usize;
    let inside = (start..=start + header.len()).contains(&(args.as_ptr() as usize));
    if inside { header.slice_ref(args) } else { Bytes::copy_from_slice(args) }
}

#[cfg(test)]
mod tests;
