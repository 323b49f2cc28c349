//! How a handler is fed and heard, without a socket in sight.
//!
//! [`Parts`] is a request of several frames as it arrives; [`Answers`] takes the frames of an
//! answer. Both are bounded queues: a handler that is slow holds up the peer, and a peer that is slow
//! holds up the handler.

use std::marker::PhantomData;

use bytes::Bytes;
use sampan_protocol::RequestId;
use sampan_protocol::message::{Op, Request};
use sampan_protocol::wire::{Flags, encode_header};
use serde::Serialize;
use tokio::sync::mpsc;

use super::writing::Outgoing;

/// One frame of a request.
#[derive(Debug)]
pub(crate) struct Part<R> {
    /// Its arguments.
    pub(crate) args: R,
    /// Its raw bytes.
    pub(crate) body: Bytes,
    /// Whether no more come.
    pub(crate) is_last: bool,
}

/// The frames of one request, as they arrive.
#[derive(Debug)]
pub(crate) struct Parts<R> {
    pub(super) queue: mpsc::Receiver<Part<R>>,
}

/// The connection ended before the request did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abandoned;

impl<R> Parts<R> {
    /// The next frame. Not to be called after the last one.
    pub(crate) async fn next(&mut self) -> Result<Part<R>, Abandoned> {
        self.queue.recv().await.ok_or(Abandoned)
    }
}

/// An answer's arguments and raw bytes.
#[derive(Debug)]
pub(crate) struct Answer<A> {
    /// The arguments.
    pub(crate) args: A,
    /// The raw bytes.
    pub(crate) body: Bytes,
}

impl<A> From<A> for Answer<A> {
    fn from(args: A) -> Self {
        Self { args, body: Bytes::new() }
    }
}

/// Nobody listens any more: the connection is gone or going.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gone;

/// Where the frames of the answer to one request go.
#[derive(Debug)]
pub(crate) struct Answers<R: Request> {
    pub(super) lane: Lane,
    pub(super) request: PhantomData<fn() -> R>,
}

impl<R: Request> Answers<R> {
    /// Sends one frame that others follow.
    pub(crate) async fn send(&mut self, answer: impl Into<Answer<R::Answer>>) -> Result<(), Gone> {
        let Answer { args, body } = answer.into();
        self.lane.send(Flags::ANSWER, args, body).await
    }
}

#[cfg(test)]
impl<R: Request> Answers<R> {
    /// Answers that nobody reads, and what keeps them open.
    pub(crate) fn of_a_test() -> (Self, impl Drop) {
        struct Open(#[allow(dead_code)] mpsc::Receiver<Outgoing>);
        impl Drop for Open {
            fn drop(&mut self) {}
        }
        let (queue, sent) = mpsc::channel(16);
        let lane = Lane { id: RequestId(1), op: R::OP, queue };
        (Self { lane, request: PhantomData }, Open(sent))
    }
}

/// The way back for one request.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) id: RequestId,
    pub(super) op: Op,
    pub(super) queue: mpsc::Sender<Outgoing>,
}

impl Lane {
    pub(super) async fn send<T: Serialize>(
        &self,
        flags: Flags,
        args: T,
        body: Bytes,
    ) -> Result<(), Gone> {
        let header = encode_header(self.id, self.op, flags, &args);
        drop(args);
        self.queue.send(Outgoing::Frame { header, body }).await.map_err(|_| Gone)
    }
}
