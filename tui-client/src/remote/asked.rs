//! What an answer may hold of what was asked for.
//!
//! Invariant: who takes an answer through these never holds more of it than was asked for, and comes
//! to an end: a server that says more, says it twice or never stops is found out (HARDENING S1, S7,
//! S12).

use sampan_protocol::block::BlockSet;
use sampan_protocol::message::{ListUploads, Unfinished};
use sampan_protocol::{BlockHash, UploadId};

use super::{CallError, Session};

/// Pages of a list that may wait for their reader.
const PAGES: usize = 8;

fn malformed<T>(text: &str) -> Result<T, CallError> {
    Err(CallError::Malformed(text.to_owned()))
}

/// The frames of an answer: one that brings nothing is the last.
#[derive(Debug, Default)]
pub struct Frames {
    ended: bool,
}

impl Frames {
    /// The next frame, and whether it brings something.
    pub fn take(&mut self, brings_something: bool) -> Result<(), CallError> {
        if self.ended {
            return malformed("an answer goes on after its end");
        }
        self.ended = !brings_something;
        Ok(())
    }

    /// Whether one came that brings nothing.
    pub fn have_ended(&self) -> bool {
        self.ended
    }
}

/// The hashes of some blocks in a row, as they arrive in rising order.
#[derive(Debug)]
pub struct AskedRow {
    next: u64,
    end: u64,
    frames: Frames,
}

impl AskedRow {
    /// Of `count` blocks from `first` on.
    pub fn new(first: u64, count: u64) -> Self {
        Self { next: first, end: first.saturating_add(count), frames: Frames::default() }
    }

    /// Hashes of some blocks of the row, which may leave others out.
    pub fn take_some(
        &mut self,
        blocks: &BlockSet,
        body: &[u8],
    ) -> Result<Vec<(u64, BlockHash)>, CallError> {
        let hashes = hashes_of(body)?;
        self.frames.take(!hashes.is_empty())?;
        if blocks.len() != hashes.len() as u64 {
            return malformed("a row's hashes do not fit its blocks");
        }
        let mut row = Vec::with_capacity(hashes.len());
        for (block, hash) in blocks.iter().zip(hashes) {
            if block.0 < self.next || block.0 >= self.end {
                return malformed("a row has blocks that were not asked for");
            }
            self.next = block.0 + 1;
            row.push((block.0, BlockHash(*hash)));
        }
        Ok(row)
    }

    /// Hashes of the next blocks, the first of which is said to be `first`.
    pub fn take_next(&mut self, first: u64, body: &[u8]) -> Result<Vec<BlockHash>, CallError> {
        let hashes = hashes_of(body)?;
        self.frames.take(!hashes.is_empty())?;
        if !hashes.is_empty() && first != self.next {
            return malformed("a row's hashes do not follow");
        }
        if hashes.len() as u64 > self.end - self.next {
            return malformed("a row has blocks that were not asked for");
        }
        self.next += hashes.len() as u64;
        Ok(hashes.iter().map(|hash| BlockHash(*hash)).collect())
    }

    /// Whether all of it came.
    pub fn is_whole(&self) -> bool {
        self.next == self.end
    }
}

fn hashes_of(body: &[u8]) -> Result<&[[u8; BlockHash::BYTES]], CallError> {
    match body.as_chunks() {
        (hashes, []) => Ok(hashes),
        _ => malformed("a row ends in the middle of a hash"),
    }
}

/// Results by the number of what they are about, each once.
#[derive(Debug)]
pub struct AskedResults<T> {
    results: Vec<Option<T>>,
    frames: Frames,
}

impl<T> AskedResults<T> {
    /// About `count` things.
    pub fn new(count: usize) -> Self {
        let results = std::iter::repeat_with(|| None).take(count).collect();
        Self { results, frames: Frames::default() }
    }

    /// A frame of results with their numbers.
    pub fn take(
        &mut self,
        frame: impl ExactSizeIterator<Item = (u32, T)>,
    ) -> Result<(), CallError> {
        self.frames.take(frame.len() > 0)?;
        for (index, result) in frame {
            match usize::try_from(index).ok().and_then(|at| self.results.get_mut(at)) {
                Some(place @ None) => *place = Some(result),
                Some(Some(_)) => return malformed("an answer says twice what became of one thing"),
                None => return malformed("an answer is about something that was not asked for"),
            }
        }
        Ok(())
    }

    /// One for each thing; `None` where nothing was said.
    pub fn into_results(self) -> Vec<Option<T>> {
        self.results
    }
}

/// A list of unfinished uploads, in rising order of their ids.
#[derive(Debug, Default)]
struct AskedUploads {
    last: Option<UploadId>,
    frames: Frames,
}

impl AskedUploads {
    fn take(&mut self, page: &[Unfinished]) -> Result<(), CallError> {
        self.frames.take(!page.is_empty())?;
        for upload in page {
            if self.last.is_some_and(|last| last >= upload.upload) {
                return malformed("a list of uploads does not rise");
            }
            self.last = Some(upload.upload);
        }
        Ok(())
    }
}

impl Session {
    /// Gives every unfinished upload of the account to `take`, which keeps what it asked for.
    pub async fn unfinished(&self, mut take: impl FnMut(Unfinished)) -> Result<(), CallError> {
        let mut answers = self.stream(&ListUploads {}, PAGES).await?;
        let mut asked = AskedUploads::default();
        while let Some((page, _)) = answers.next().await? {
            asked.take(&page.uploads)?;
            page.uploads.into_iter().for_each(&mut take);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use sampan_protocol::block::BlockIndex;
    use sampan_protocol::{RemotePath, Timestamp, UploadKey};

    use super::*;

    fn set(blocks: &[u64]) -> BlockSet {
        let mut set = BlockSet::default();
        for block in blocks {
            set.insert(BlockIndex(*block));
        }
        set
    }

    #[test]
    fn s12_a_row_brings_only_blocks_that_were_asked_for() {
        let body = [7; 3 * 32];
        let row = || AskedRow::new(10, 5);
        let taken = row().take_some(&set(&[10, 12, 14]), &body).unwrap();
        assert_eq!(taken.iter().map(|(block, _)| *block).collect::<Vec<_>>(), [10, 12, 14]);
        for wrong in [&[9, 10, 11][..], &[13, 14, 15], &[10, 11], &[10, 11, 12, 13]] {
            assert!(row().take_some(&set(wrong), &body).is_err(), "{wrong:?}");
        }
        assert!(row().take_some(&set(&[10]), &body[..31]).is_err(), "half a hash");
        let mut repeated = row();
        repeated.take_some(&set(&[10, 11, 12]), &body).unwrap();
        assert!(repeated.take_some(&set(&[12, 13, 14]), &body).is_err(), "one twice");

        let mut whole = row();
        whole.take_next(10, &body).unwrap();
        assert!(!whole.is_whole());
        whole.take_next(13, &body[..64]).unwrap();
        whole.take_next(15, &[]).unwrap();
        assert!(whole.is_whole());
        let mut long = row();
        long.take_next(10, &body).unwrap();
        assert!(long.take_next(13, &body).is_err(), "more than was asked for");
        assert!(row().take_next(11, &body).is_err(), "not from the first");
    }

    #[test]
    fn s12_an_answer_that_brings_nothing_ends() {
        let mut row = AskedRow::new(0, 5);
        row.take_next(0, &[]).unwrap();
        assert!(row.take_next(0, &[]).is_err());
        let mut row = AskedRow::new(0, 5);
        row.take_some(&set(&[]), &[]).unwrap();
        assert!(row.take_some(&set(&[]), &[]).is_err());
        let mut results = AskedResults::<()>::new(2);
        results.take(Vec::new().into_iter()).unwrap();
        assert!(results.take(vec![(0, ())].into_iter()).is_err());
        let mut uploads = AskedUploads::default();
        uploads.take(&[]).unwrap();
        assert!(uploads.take(&[]).is_err());
    }

    #[test]
    fn s7_results_are_about_what_was_asked_for_each_once() {
        let results = |frames: &[&[u32]]| {
            let mut results = AskedResults::new(3);
            let taken = frames
                .iter()
                .try_for_each(|frame| results.take(frame.iter().map(|index| (*index, *index))));
            taken.map(|()| results.into_results())
        };
        assert_eq!(results(&[&[2], &[0]]).unwrap(), [Some(0), None, Some(2)]);
        assert!(results(&[&[3]]).is_err(), "it was not asked for");
        assert!(results(&[&[0], &[0]]).is_err(), "it was said already");
    }

    #[test]
    fn s12_a_list_of_uploads_rises() {
        let upload = |number| Unfinished {
            upload: UploadId(number),
            key: UploadKey([1; 16]),
            path: RemotePath::home(),
            size: 0,
            staged: 0,
            reserved: 0,
            opened: Timestamp::default(),
            expires: Timestamp::default(),
        };
        let mut uploads = AskedUploads::default();
        uploads.take(&[upload(1), upload(5)]).unwrap();
        assert!(uploads.take(&[upload(5)]).is_err(), "the same page for ever");
    }
}
