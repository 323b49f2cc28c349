//! What a blocking reader finds, piece by piece, for a task that must not block.
//!
//! Invariant: the queue is bounded, so a reader is never far ahead; an end is an end: a reader that
//! broke off is an error, not a short result.

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::failure::{Failure, Situation};

/// Pieces that wait for the task.
const QUEUE: usize = 4;

/// Pieces, then the end or the first failure. Dropping it stops the reader at its next piece.
#[derive(Debug)]
pub struct Stream<T> {
    pieces: mpsc::Receiver<Result<T, Failure>>,
    reader: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Stream<T> {
    /// Starts `open` and whatever it gives on a thread that may block; ends after the first failure.
    pub(super) fn start<I>(open: impl FnOnce() -> Result<I, Failure> + Send + 'static) -> Self
    where
        I: Iterator<Item = Result<T, Failure>>,
    {
        let (outlet, pieces) = mpsc::channel(QUEUE);
        let reader = tokio::task::spawn_blocking(move || {
            let found = match open() {
                Ok(found) => found,
                Err(failure) => {
                    // If nobody listens any more, nobody wants to know.
                    let _gone = outlet.blocking_send(Err(failure));
                    return;
                }
            };
            for piece in found {
                let is_last = piece.is_err();
                if outlet.blocking_send(piece).is_err() || is_last {
                    return;
                }
            }
        });
        Self { pieces, reader: Some(reader) }
    }

    /// The next piece; `None` at the end.
    pub async fn next(&mut self) -> Option<Result<T, Failure>> {
        if let Some(piece) = self.pieces.recv().await {
            return Some(piece);
        }
        let broken = self.reader.take()?.await.err()?;
        let text = if broken.is_panic() { "a reader panicked" } else { "a reader was stopped" };
        Some(Err(Failure::new(Situation::Unexpected(text.to_owned()), "")))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[tokio::test]
    async fn pieces_come_in_order_and_end() {
        let mut stream = Stream::start(|| Ok((0..100).map(Ok)));
        for expected in 0..100 {
            assert_eq!(stream.next().await, Some(Ok(expected)));
        }
        assert_eq!(stream.next().await, None);
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn a_failure_is_the_last_piece() {
        let failure = || Failure::new(Situation::Interrupted, "x");
        let mut stream = Stream::start(move || Ok([Ok(1), Err(failure()), Ok(2)].into_iter()));
        assert_eq!(stream.next().await, Some(Ok(1)));
        assert_eq!(stream.next().await, Some(Err(failure())));
        assert_eq!(stream.next().await, None);

        let mut stream = Stream::<u8>::start(move || Err::<std::iter::Empty<_>, _>(failure()));
        assert_eq!(stream.next().await, Some(Err(failure())));
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn a_reader_that_breaks_off_is_no_end() {
        let mut stream = Stream::start(|| {
            Ok((0..2).map(|number| if number == 0 { Ok(0) } else { panic!("on purpose") }))
        });
        assert_eq!(stream.next().await, Some(Ok(0)));
        let Some(Err(failure)) = stream.next().await else { panic!("an end") };
        assert!(matches!(failure.situation, Situation::Unexpected(_)));
        assert_eq!(stream.next().await, None);
    }

    #[tokio::test]
    async fn a_reader_stops_when_nobody_listens() {
        let alive = Arc::new(());
        let seen = Arc::downgrade(&alive);
        let mut stream = Stream::start(move || {
            Ok(std::iter::repeat_with(move || Ok(Arc::strong_count(&alive))))
        });
        stream.next().await;
        let reader = stream.reader.take().unwrap();
        drop(stream);
        reader.await.unwrap();
        assert!(seen.upgrade().is_none());
    }
}
