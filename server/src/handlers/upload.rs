//! One file up: open, blocks in any order, commit.

use std::time::Instant;

use bytes::{BufMut, Bytes, BytesMut};
use sampan_protocol::block::{BlockHash, BlockIndex, BlockSet};
use sampan_protocol::limits::{MAX_BLOCKS_PER_REQUEST, MAX_FILE_BYTES, PIECE_BYTES};
use sampan_protocol::message::{
    AbortUpload, BlockWritten, CommitUpload, Committed, CopyBlock, Empty, ListUploads, OpenUpload,
    Unfinished, UploadOpened, UploadRow, UploadRowPart, UploadsPage, WriteBlock,
};

use super::{HandlerError, Outcome, at_most, target_of};
use crate::context::Context;
use crate::session::{Answer, Answers, Parts};
use crate::store::{self, NewUpload, OpenedBy, Piece, Situation};
use crate::telemetry::Begun;

/// Unfinished uploads in one frame: with their longest paths below what a header may have.
const UPLOADS_PER_PAGE: usize = 128;

pub(crate) async fn open(context: Context, request: OpenUpload) -> Outcome<UploadOpened> {
    let OpenUpload { key, path, size, mode, mtime, if_target, parents } = request;
    at_most(size, MAX_FILE_BYTES, "bytes of a file")?;
    let begun = Begun { path: path.clone(), at: Instant::now() };
    let upload =
        NewUpload { key, path, size, mode, mtime, if_target: target_of(if_target), parents };
    let opened = context.store().open_upload(context.account(), upload).await?;
    let store::Opened { by: OpenedBy { upload, epoch }, stripe, staged, expires } = opened;
    context.shared.uploads.begin(context.account(), upload, begun);
    Ok(UploadOpened { upload, epoch, stripe, staged, expires })
}

/// Writes each piece as it arrives; the answer carries what was written.
pub(crate) async fn write_block(
    context: Context,
    mut parts: Parts<WriteBlock>,
    _: Answers<WriteBlock>,
) -> Outcome<Answer<BlockWritten>> {
    let first = parts.next().await?;
    let WriteBlock { upload, epoch, block, .. } = first.args;
    let by = OpenedBy { upload, epoch };
    let mut part = first;
    loop {
        let same = (part.args.upload, part.args.epoch, part.args.block) == (upload, epoch, block);
        if !same {
            return Err(HandlerError::Malformed("one request writes one block".into()));
        }
        at_most(part.body.len() as u64, PIECE_BYTES as u64, "bytes of a piece")?;
        let WriteBlock { offset, hash, .. } = part.args;
        let piece = Piece { block, offset, bytes: part.body, expected: hash };
        let written = context.store().write(context.account(), by, piece).await?;
        match (written, part.is_last) {
            (Some(hash), true) => return Ok(BlockWritten { hash }.into()),
            (None, false) => part = parts.next().await?,
            // Less or more than the block.
            (None, true) | (Some(_), false) => {
                return Err(store::StoreError::from(Situation::BlockRefused).into());
            }
        }
    }
}

pub(crate) async fn copy_block(context: Context, request: CopyBlock) -> Outcome<BlockWritten> {
    let CopyBlock { upload, epoch, block, base, version, offset } = request;
    let by = OpenedBy { upload, epoch };
    let (store, account) = (context.store(), context.account());
    let hash = store.copy_block(account, by, block, &base, &version, offset).await?;
    Ok(BlockWritten { hash })
}

pub(crate) async fn commit(context: Context, request: CommitUpload) -> Outcome<Committed> {
    let CommitUpload { change, upload, epoch, root } = request;
    let (store, account) = (context.store(), context.account());
    let by = OpenedBy { upload, epoch };
    let store::Changed { attributes } = store.commit(account, change, by, root).await?;
    let begun = context.shared.uploads.end(account, upload);
    let seconds = begun.as_ref().map(|begun| begun.at.elapsed().as_secs_f64());
    let path = begun.map(|begun| begun.path.to_string());
    tracing::info!(path, %upload, bytes = attributes.size, seconds, "uploaded");
    Ok(Committed { attributes, durability: context.shared.durability() })
}

pub(crate) async fn abort(context: Context, request: AbortUpload) -> Outcome<Empty> {
    let AbortUpload { change, upload } = request;
    context.store().abort(context.account(), change, upload).await?;
    let begun = context.shared.uploads.end(context.account(), upload);
    let path = begun.map(|begun| begun.path.to_string());
    tracing::info!(path, %upload, "upload given up");
    Ok(Empty {})
}

/// The hashes of 1,024 blocks at most, 32 KiB: one frame.
pub(crate) async fn row(
    context: Context,
    request: UploadRow,
    _: Answers<UploadRow>,
) -> Outcome<Answer<UploadRowPart>> {
    let UploadRow { upload, first, count } = request;
    at_most(count, MAX_BLOCKS_PER_REQUEST, "blocks of one request")?;
    let row = context.store().upload_row(context.account(), upload, first, count).await?;
    let mut blocks = BlockSet::new();
    let mut body = BytesMut::with_capacity(row.len() * BlockHash::BYTES);
    for (block, hash) in row {
        blocks.insert(BlockIndex(block));
        body.put_slice(hash.as_bytes());
    }
    Ok(Answer { args: UploadRowPart { blocks }, body: Bytes::from(body) })
}

pub(crate) async fn list(
    context: Context,
    _: ListUploads,
    mut answers: Answers<ListUploads>,
) -> Outcome<Answer<UploadsPage>> {
    let mut after = None;
    loop {
        // A page is looked up when the one before it has gone: a slow reader holds no more.
        let (store, account) = (context.store(), context.account());
        let uploads = store.uploads_after(account, after, UPLOADS_PER_PAGE).await?;
        let full = uploads.len() == UPLOADS_PER_PAGE;
        after = uploads.last().map(|upload| upload.upload);
        let page = UploadsPage { uploads: uploads.into_iter().map(unfinished).collect() };
        if !full {
            return Ok(page.into());
        }
        answers.send(page).await?;
    }
}

fn unfinished(upload: store::Unfinished) -> Unfinished {
    let store::Unfinished { upload, key, path, size, staged, reserved, opened, expires } = upload;
    Unfinished { upload, key, path, size, staged, reserved, opened, expires }
}
