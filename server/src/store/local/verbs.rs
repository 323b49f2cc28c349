//! The verbs of the seam: each waits for what it needs and hands the work to a job.
//!
//! Invariant: a change holds its account's turn until its job has ended, also if its caller is gone.

mod accounts;

use std::sync::Arc;

use async_trait::async_trait;
use sampan_protocol::limits::MAX_BLOCKS_PER_REQUEST;
use sampan_protocol::{
    Attributes, BlockHash, ChangeKey, Mode, RemotePath, Root, Timestamp, UploadId, Version,
};
use tokio::sync::mpsc;

use super::change::request;
use super::committing::{Ready, may_be_answered};
use super::opening::Found;
use super::remove::{Removal, Removing};
use super::staging::SWEEP_WHEN_CLOSING;
use super::writing::CopyFrom;
use super::{Inner, LocalStore};
use crate::store::{
    AccountId, Changed, ListPage, NewUpload, Opened, OpenedBy, PackItem, PackOutcome, PackedFile,
    Piece, ReadPiece, Removed, Rename, Result, RowPart, ScanProgress, Scanned, Situation, Staged,
    Store, StoreError, Stream, Unfinished, Usage,
};

/// Tries to open an upload that ends at the same time.
const OPEN_TRIES: usize = 8;

#[async_trait]
impl Store for LocalStore {
    async fn stat(&self, account: AccountId, path: &RemotePath) -> Result<Attributes> {
        let home = self.inner.home(account).await?;
        let (inner, path) = (self.inner.clone(), path.clone());
        self.inner.job(move || Ok(home.stat(&inner.disk, &path)?.attributes())).await
    }

    async fn list(
        &self,
        account: AccountId,
        path: &RemotePath,
        cursor: Option<&[u8]>,
    ) -> Result<Stream<ListPage>> {
        let home = self.inner.home(account).await?;
        let (inner, path, cursor) = (self.inner.clone(), path.clone(), cursor.map(<[u8]>::to_vec));
        let listing =
            self.inner.job(move || inner.open_listing(&home, &path, cursor.as_deref())).await?;
        Ok(self.inner.stream_listing(listing))
    }

    async fn mkdir(
        &self,
        account: AccountId,
        change: ChangeKey,
        path: &RemotePath,
        parents: bool,
        mode: Mode,
    ) -> Result<Changed> {
        let (home, turn) = self.inner.turn(account).await?;
        let (inner, path) = (self.inner.clone(), path.clone());
        self.inner
            .job(move || {
                let changed = inner.mkdir(&home, change, &path, parents, mode);
                drop(turn);
                changed
            })
            .await
    }

    async fn rename(
        &self,
        account: AccountId,
        change: ChangeKey,
        rename: Rename,
    ) -> Result<Changed> {
        let (home, turn) = self.inner.turn(account).await?;
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                let changed = inner.rename(&home, change, &rename);
                drop(turn);
                changed
            })
            .await
    }

    async fn remove(
        &self,
        account: AccountId,
        change: ChangeKey,
        path: &RemotePath,
        recursive: bool,
        version: Option<&Version>,
    ) -> Result<Removed> {
        let (home, turn) = self.inner.turn(account).await?;
        let removing = Removing { path: path.clone(), recursive, version: version.cloned() };
        let inner = self.inner.clone();
        let removal = self
            .inner
            .job(move || {
                let removal = inner.remove(&home, change, &removing);
                // Started here, so that it runs even if nobody waits.
                if let Ok(Removal::Purging(id, request)) = &removal {
                    inner.start_purge(*id, request);
                }
                drop(turn);
                removal
            })
            .await?;
        match removal {
            Removal::Done(removed) => Ok(removed),
            Removal::Purging(id, request) => self.inner.purged(id, request).await,
        }
    }

    async fn set_attributes(
        &self,
        account: AccountId,
        change: ChangeKey,
        path: &RemotePath,
        mode: Option<Mode>,
        mtime: Option<Timestamp>,
    ) -> Result<Changed> {
        let (home, turn) = self.inner.turn(account).await?;
        let (inner, path) = (self.inner.clone(), path.clone());
        self.inner
            .job(move || {
                let changed = inner.set_attributes(&home, change, &path, mode, mtime);
                drop(turn);
                changed
            })
            .await
    }

    async fn open_upload(&self, account: AccountId, upload: NewUpload) -> Result<Opened> {
        for _ in 0..OPEN_TRIES {
            let (home, turn) = self.inner.turn(account).await?;
            let (inner, new) = (self.inner.clone(), upload.clone());
            let found = self
                .inner
                .job(move || {
                    let found = inner.find_or_make(&home, &new);
                    drop(turn);
                    found
                })
                .await?;
            let row = match found {
                Found::New(opened) => return Ok(opened),
                Found::There(row) => row,
            };
            match self.inner.resume_loaded(row).await {
                // It was committed, or given up, since it was found.
                Err(StoreError::Refused { situation: Situation::UploadNotFound, .. }) => {}
                resumed => return resumed,
            }
        }
        Err(Situation::UploadNotFound.about(&upload.path))
    }

    async fn write(
        &self,
        account: AccountId,
        by: OpenedBy,
        piece: Piece,
    ) -> Result<Option<BlockHash>> {
        let upload = self.inner.upload(account, by.upload).await?;
        let inner = self.inner.clone();
        self.inner.job(move || inner.write_piece(&upload, by.epoch, &piece)).await
    }

    async fn copy_block(
        &self,
        account: AccountId,
        by: OpenedBy,
        block: u64,
        base: &RemotePath,
        version: &Version,
        offset: u64,
    ) -> Result<BlockHash> {
        let home = self.inner.home(account).await?;
        let upload = self.inner.upload(account, by.upload).await?;
        let from = CopyFrom { block, base: base.clone(), version: version.clone(), offset };
        let inner = self.inner.clone();
        self.inner.job(move || inner.copy_block(&home, &upload, by.epoch, &from)).await
    }

    async fn commit(
        &self,
        account: AccountId,
        change: ChangeKey,
        by: OpenedBy,
        root: Root,
    ) -> Result<Changed> {
        let request = request(account, change, "commit", &(by.upload, root));
        let (upload, reopen, slot_turn) = match self.inner.ready(request, by, root).await {
            Ok((Ready::Whole(upload), reopen, slot_turn)) => (upload, reopen, slot_turn),
            Ok((Ready::Answered(answer), ..)) => return answer.changed(),
            Err(error) if may_be_answered(&error) => {
                let inner = self.inner.clone();
                let answer = self.inner.job(move || inner.answer_of(&request)).await?;
                return answer.ok_or(error)?.changed();
            }
            Err(error) => return Err(error),
        };
        let (home, turn) = self.inner.turn(account).await?;
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                // From here on the commit itself says who may do what.
                reopen.disarm();
                let changed = inner.commit(&home, &request, &upload);
                drop(slot_turn);
                drop(turn);
                changed
            })
            .await
    }

    async fn abort(&self, account: AccountId, _change: ChangeKey, upload: UploadId) -> Result<()> {
        let taken = self.inner.slot((account, upload)).await?;
        self.inner.give_up_upload(account, upload, taken, |_| Ok(true)).await.map(drop)
    }

    async fn upload_row(
        &self,
        account: AccountId,
        upload: UploadId,
        first: u64,
        count: u64,
    ) -> Result<Vec<(u64, BlockHash)>> {
        if count > MAX_BLOCKS_PER_REQUEST {
            let what = format!("{count} blocks of at most {MAX_BLOCKS_PER_REQUEST} in a request");
            return Err(Situation::LimitExceeded { what }.into());
        }
        let upload = self.inner.upload(account, upload).await?;
        // Its lock may be held while a journal is written.
        self.inner.job(move || Ok(Inner::row_of(&upload, first, count))).await
    }

    async fn uploads_after(
        &self,
        account: AccountId,
        after: Option<UploadId>,
        most: usize,
    ) -> Result<Vec<Unfinished>> {
        let inner = self.inner.clone();
        self.inner.job(move || inner.unfinished(account, after, most)).await
    }

    async fn pack(
        &self,
        account: AccountId,
        change: ChangeKey,
        items: mpsc::Receiver<PackItem>,
    ) -> Result<Vec<PackOutcome>> {
        let home = self.inner.home(account).await?;
        let members = if self.inner.is_answered(account, change).await? {
            self.inner.answer_pack(account, change, items).await?
        } else {
            self.inner.take_pack(home, change, items).await?
        };
        Ok(members.into_iter().map(|member| member.map_err(Into::into)).collect())
    }

    async fn read(
        &self,
        account: AccountId,
        path: &RemotePath,
        version: &Version,
        first: u64,
        count: u64,
    ) -> Result<Stream<ReadPiece>> {
        let home = self.inner.home(account).await?;
        let (inner, path, version) = (self.inner.clone(), path.clone(), version.clone());
        let open = move || inner.open_reading(&home, &path, &version, first, count);
        Ok(self.inner.stream_blocks(self.inner.job(open).await?))
    }

    async fn read_row(
        &self,
        account: AccountId,
        path: &RemotePath,
        version: &Version,
        first: u64,
        count: u64,
        fine: bool,
    ) -> Result<Stream<RowPart>> {
        let home = self.inner.home(account).await?;
        let (inner, path, version) = (self.inner.clone(), path.clone(), version.clone());
        let of = home.clone();
        let open = move || inner.open_reading(&of, &path, &version, first, count);
        Ok(self.inner.stream_row(home, self.inner.job(open).await?, fine))
    }

    async fn read_pack(
        &self,
        account: AccountId,
        files: Vec<(RemotePath, Version)>,
    ) -> Result<mpsc::Receiver<PackedFile>> {
        let home = self.inner.home(account).await?;
        self.inner.stream_pack(home, files)
    }

    async fn sum(&self, account: AccountId, path: &RemotePath) -> Result<(Root, Attributes)> {
        let home = self.inner.home(account).await?;
        let (inner, path, of) = (self.inner.clone(), path.clone(), home.clone());
        let mut sum = self.inner.job(move || inner.open_sum(&of, &path)).await?;
        loop {
            let inner = self.inner.clone();
            match self.inner.hash_job(&home, move || inner.sum_more(sum)).await? {
                Ok(summed) => return Ok(summed),
                Err(more) => sum = more,
            }
        }
    }

    async fn usage(&self, account: AccountId) -> Result<Usage> {
        let inner = self.inner.clone();
        self.inner.job(move || inner.usage(account)).await
    }

    async fn scan(&self, account: AccountId, progress: Arc<ScanProgress>) -> Result<Scanned> {
        self.inner.scan(account, &progress).await
    }

    fn is_durable(&self) -> bool {
        self.inner.disk.is_durable()
    }

    async fn staged(&self) -> Result<Staged> {
        let inner = self.inner.clone();
        self.inner.job(move || inner.staged()).await
    }

    async fn failed(&self) {
        self.inner.db.broken().await;
    }

    async fn close(&self) {
        if self.inner.is_closing() {
            self.inner.tasks.wait().await;
            return;
        }
        self.inner.closing.cancel();
        self.inner.tasks.close();
        self.inner.tasks.wait().await;
        let inner = self.inner.clone();
        let closed = tokio::task::spawn_blocking(move || {
            inner.sweep_for(SWEEP_WHEN_CLOSING);
            let marked = inner.mark_clean();
            inner.db.close();
            marked
        });
        match closed.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the store was not closed cleanly"),
            Err(error) => tracing::error!(%error, "closing the store panicked"),
        }
    }
}
