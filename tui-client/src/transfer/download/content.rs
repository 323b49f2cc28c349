//! A file of the home in order, block by block, for whoever wants its bytes and no copy: `cat`.
//!
//! Runs of blocks are asked for ahead and handed over in order; one that a lost link broke is asked
//! for again.
//!
//! Invariant: bytes are handed over only if their hash by our own hashing is the one that the server
//! read, and all of them are of one version; where that cannot be kept, the end is a failure.

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use sampan_protocol::block::{BlockHasher, BlockIndex, Blocks};
use sampan_protocol::message::Read;
use sampan_protocol::{Attributes, EntryKind, ErrorCode, RemotePath};

use super::reading::{Arriving, PIECES, WholeBlock};
use crate::failure::{Failure, Side, Situation};
use crate::remote::{CallError, Frames, Remote, Session, persist};

/// Blocks in one request: what a connection's loss can cost.
const RUN_BLOCKS: u64 = 4;
/// Requests at once, so that one is answered while the other is handed over.
const RUNS: usize = 2;
/// How often a run may arrive damaged.
const DAMAGES: u32 = 3;

/// A file's bytes as they come.
pub struct Content {
    runs: BoxStream<'static, Result<Vec<Bytes>, Failure>>,
}

impl Content {
    /// Of the file at `path`, in the version that is there now.
    pub async fn open(remote: &Remote, path: &RemotePath) -> Result<Self, Failure> {
        let attributes = remote.stat(path).await?;
        let refused = |situation| Err(Failure::new(situation, remote.show(path)));
        match attributes.kind {
            EntryKind::File => {}
            EntryKind::Folder => return refused(Situation::IsAFolder(Side::Remote)),
            EntryKind::Link => return refused(Situation::IsALink(Side::Remote)),
            EntryKind::Other => return refused(Situation::NotAFile(Side::Remote)),
        }
        let Ok(blocks) = Blocks::of(attributes.size) else {
            let text = "it is larger than any file can be".to_owned();
            return refused(Situation::Unexpected(text));
        };
        let file = File { remote: remote.clone(), path: path.clone(), attributes, blocks };
        let starts = (0..blocks.count()).step_by(usize::try_from(RUN_BLOCKS).unwrap_or(1));
        let runs = starts.map(move |first| file.clone().run(first));
        Ok(Self { runs: futures_util::stream::iter(runs).buffered(RUNS).boxed() })
    }

    /// The next bytes; `None` at the end. After a failure there is nothing more.
    pub async fn next(&mut self) -> Result<Option<Vec<Bytes>>, Failure> {
        self.runs.next().await.transpose()
    }
}

#[derive(Clone)]
struct File {
    remote: Remote,
    path: RemotePath,
    attributes: Attributes,
    blocks: Blocks,
}

impl File {
    /// The blocks from `first` on.
    async fn run(self, first: u64) -> Result<Vec<Bytes>, Failure> {
        let count = RUN_BLOCKS.min(self.blocks.count() - first);
        let request = Read {
            path: self.path.clone(),
            version: self.attributes.version.clone(),
            first,
            count,
        };
        for _ in 0..DAMAGES {
            let collect = |session: Session| self.collect(session, &request);
            match persist(self.remote.retry_for(), || self.session(), collect).await {
                Ok(Some(pieces)) => return Ok(pieces),
                // It is asked for again.
                Ok(None) => {}
                Err(error) if error.is(ErrorCode::VERSION_CHANGED) => {
                    return Err(self.failed(Situation::SourceChanged(Side::Remote)));
                }
                Err(error) => return Err(error.about(self.remote.show(&self.path))),
            }
        }
        Err(self.failed(Situation::NotVerified))
    }

    /// What little there is needs no connection of its own.
    async fn session(&self) -> Result<Session, CallError> {
        if self.blocks.count() <= RUN_BLOCKS {
            self.remote.control().session().await
        } else {
            self.remote.bulk_session(1, 0).await
        }
    }

    /// The pieces of a run, verified; `None` if a block is not what the server read.
    async fn collect(
        &self,
        session: Session,
        request: &Read,
    ) -> Result<Option<Vec<Bytes>>, CallError> {
        let run = request.first..request.first + request.count;
        let room = usize::try_from(request.count).unwrap_or(1) * PIECES + 1;
        let mut answers = session.stream(request, room).await?;
        let mut block = Arriving::new(run.start);
        let (mut pieces, mut frames) = (Vec::new(), Frames::default());
        while let Some((piece, body)) = answers.next().await? {
            frames.take(!body.is_empty())?;
            if body.is_empty() {
                // The last frame: the version was checked again.
                continue;
            }
            let Some(whole) = block.take(self.blocks, &run, piece, body)? else { continue };
            if !self.is_right(&whole) {
                return Ok(None);
            }
            pieces.extend(whole.pieces);
        }
        block.end(&run, &frames)?;
        Ok(Some(pieces))
    }

    fn is_right(&self, whole: &WholeBlock) -> bool {
        let hash = BlockHasher::new(self.blocks, BlockIndex(whole.block)).and_then(|mut hasher| {
            for piece in &whole.pieces {
                hasher.update(piece)?;
            }
            hasher.finish()
        });
        hash.is_ok_and(|hash| hash == whole.hash)
    }

    fn failed(&self, situation: Situation) -> Failure {
        Failure::new(situation, self.remote.show(&self.path))
    }
}
