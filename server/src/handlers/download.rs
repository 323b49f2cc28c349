//! Files down: blocks of one, hashes of one, or many small ones whole.

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use sampan_protocol::block::BlockHash;
use sampan_protocol::limits::{MAX_BLOCKS_PER_REQUEST, MAX_PACK_MEMBER_BYTES, MAX_PACK_MEMBERS};
use sampan_protocol::message::{
    Member, MemberOutcome, Read, ReadPack, ReadPackPage, ReadPiece, ReadRow, RowPart, Sum,
    SumAnswer,
};

use super::{Outcome, at_most, refusal_in_row};
use crate::context::Context;
use crate::session::{Answer, Answers};
use crate::store::{self, StoreError};

/// Bytes of small files that are gathered into one frame: one more member always fits below what a
/// body may have.
const GATHERED_BYTES: usize = 512 << 10;

/// Members in one frame.
const MEMBERS_PER_PAGE: usize = 256;

/// Each piece goes out as the store reads it. The last frame, without a body, says that the file was
/// the same to the end.
pub(crate) async fn read(
    context: Context,
    request: Read,
    mut answers: Answers<Read>,
) -> Outcome<Answer<ReadPiece>> {
    let Read { path, version, first, count } = request;
    at_most(count, MAX_BLOCKS_PER_REQUEST, "blocks of one request")?;
    let _room = context.room_to_read().await;
    let (started, mut bytes) = (Instant::now(), 0);
    let (store, account) = (context.store(), context.account());
    let mut pieces = store.read(account, &path, &version, first, count).await?;
    if context.shared.reads.begins(account, &path, &version, first, started) {
        tracing::info!(%path, first, "downloading");
    }
    let mut read = 0;
    while let Some(piece) = pieces.recv().await {
        let store::ReadPiece { block, offset, bytes: body, hash } = piece?;
        bytes += body.len() as u64;
        read += u64::from(hash.is_some());
        answers.send(Answer { args: ReadPiece { block, offset, hash }, body }).await?;
    }
    all_came(read, count)?;
    let seconds = started.elapsed().as_secs_f64();
    tracing::debug!(%path, first, bytes, seconds, "read");
    Ok(ReadPiece { block: first.saturating_add(count), offset: 0, hash: None }.into())
}

pub(crate) async fn read_row(
    context: Context,
    request: ReadRow,
    mut answers: Answers<ReadRow>,
) -> Outcome<Answer<RowPart>> {
    let ReadRow { path, version, first, count, fine } = request;
    at_most(count, MAX_BLOCKS_PER_REQUEST, "blocks of one request")?;
    let (store, account) = (context.store(), context.account());
    let parts = store.read_row(account, &path, &version, first, count, fine).await?;
    send_row(parts, count, &mut answers).await?;
    Ok(RowPart { first: first.saturating_add(count) }.into())
}

/// Sends the parts of a row of `count` blocks as they come. The last frame is the caller's: it says
/// that all of them came.
async fn send_row(
    mut parts: store::Stream<store::RowPart>,
    count: u64,
    answers: &mut Answers<ReadRow>,
) -> Outcome<()> {
    let mut read = 0;
    while let Some(part) = parts.recv().await {
        let store::RowPart { first, blocks, hashes } = part?;
        read += blocks;
        let mut body = BytesMut::with_capacity(hashes.len() * BlockHash::BYTES);
        for hash in &hashes {
            body.put_slice(hash.as_bytes());
        }
        answers.send(Answer { args: RowPart { first }, body: body.freeze() }).await?;
    }
    all_came(read, count)
}

pub(crate) async fn sum(context: Context, request: Sum) -> Outcome<SumAnswer> {
    let (root, attributes) = context.store().sum(context.account(), &request.path).await?;
    Ok(SumAnswer { root, attributes })
}

/// Files are gathered into frames while they come faster than frames are due.
pub(crate) async fn read_pack(
    context: Context,
    request: ReadPack,
    mut answers: Answers<ReadPack>,
) -> Outcome<Answer<ReadPackPage>> {
    at_most(request.files.len() as u64, MAX_PACK_MEMBERS as u64, "files of one request")?;
    let _room = context.room_to_read().await;
    let asked = request.files.len() as u64;
    let files = request.files.into_iter().map(|file| (file.path, file.version)).collect();
    let (started, mut count, mut total) = (Instant::now(), 0_u64, 0_u64);
    let mut packed = context.store().read_pack(context.account(), files).await?;
    let (mut page, mut answered) = (Page::default(), 0);
    while let Some(store::PackedFile { index, content }) = packed.recv().await {
        answered += 1;
        let outcome = match content {
            Ok((bytes, root)) if bytes.len() as u64 <= MAX_PACK_MEMBER_BYTES => {
                let size = bytes.len() as u64;
                (count, total) = (count + 1, total + size);
                page.body.put_slice(&bytes);
                MemberOutcome::File { size, root }
            }
            Ok(_) => {
                let refused = store::Situation::TooLargeForPack.into();
                MemberOutcome::Refused(refusal_in_row(refused))
            }
            Err(error) => MemberOutcome::Refused(refusal_in_row(error)),
        };
        page.members.push(Member { index, outcome });
        if page.body.len() >= GATHERED_BYTES || page.members.len() >= MEMBERS_PER_PAGE {
            answers.send(std::mem::take(&mut page).into_answer()).await?;
        }
    }
    all_came(answered, asked)?;
    let seconds = started.elapsed().as_secs_f64();
    tracing::info!(files = count, bytes = total, seconds, "downloaded small files");
    Ok(page.into_answer())
}

/// A stream of the store that ends early, and without an error, ends because the store closes.
fn all_came(came: u64, asked: u64) -> Outcome<()> {
    if came == asked { Ok(()) } else { Err(StoreError::Closed.into()) }
}

#[derive(Default)]
struct Page {
    members: Vec<Member>,
    body: BytesMut,
}

impl Page {
    fn into_answer(self) -> Answer<ReadPackPage> {
        Answer { args: ReadPackPage { members: self.members }, body: Bytes::from(self.body) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row of grains has many hashes for each block: that many came is no sign that all of it did.
    #[tokio::test]
    async fn a_row_that_ends_early_is_not_passed_as_whole() {
        for fine in [false, true] {
            for came in [0, 1, 2] {
                let (sender, parts) = tokio::sync::mpsc::channel(2);
                for first in 0..came {
                    let hashes = vec![BlockHash([7; 32]); if fine { 16 } else { 1 }];
                    sender.send(Ok(store::RowPart { first, blocks: 1, hashes })).await.unwrap();
                }
                drop(sender);
                let (mut answers, _sent) = Answers::of_a_test();
                let sent = send_row(parts, 2, &mut answers).await;
                let is_closed =
                    matches!(&sent, Err(super::super::HandlerError::Store(StoreError::Closed)));
                assert_eq!((sent.is_ok(), is_closed), (came == 2, came < 2), "{fine} {came}");
            }
        }
    }
}
