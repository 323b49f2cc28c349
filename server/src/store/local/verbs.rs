//! The verbs of the seam: each waits for what it needs and hands the work to a job.

use async_trait::async_trait;
use sampan_protocol::limits::MAX_BLOCKS_PER_REQUEST;
use sampan_protocol::scram::Verifier;
use sampan_protocol::{
    Attributes, BlockHash, ChangeKey, Mode, RemotePath, Root, Timestamp, UploadId, Version,
};
use tokio::sync::mpsc;

use super::change::request;
use super::committing::{Ready, may_be_answered};
use super::db::accounts;
use super::opening::Found;
use super::pack::{PackDigest, StagedPack};
use super::remove::{Removal, Removing};
use super::staging::SWEEP_WHEN_CLOSING;
use super::writing::CopyFrom;
use super::{Inner, LocalStore};
use crate::store::{
    Account, AccountId, Accounts, Changed, EnrolledKey, ListPage, NewAccount, NewUpload, Opened,
    OpenedBy, PackItem, PackOutcome, PackedFile, Piece, QuotaLimits, ReadPiece, Removed, Rename,
    Result, RowPart, Situation, Staged, Store, StoreError, Stream, Unfinished, Usage,
};

/// Tries to open an upload that ends at the same time.
const OPEN_TRIES: usize = 8;
/// Members of a pack, or bytes, that are staged in one job.
const STAGED_A_JOB: usize = 256;
const STAGED_BYTES_A_JOB: usize = 1 << 20;

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
            let (slot, turn) = self.inner.slot(row.id).await?;
            let inner = self.inner.clone();
            let resumed = self
                .inner
                .job(move || {
                    let resumed = inner.resume(&row, &slot);
                    drop(turn);
                    resumed
                })
                .await;
            match resumed {
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
        let (slot, slot_turn) = self.inner.slot(by.upload).await?;
        let inner = self.inner.clone();
        let ready = self
            .inner
            .job(move || {
                let ready = match inner.make_ready(&request, by, root, &slot) {
                    Err(error) if may_be_answered(&error) => match inner.answer_of(&request)? {
                        Some(answer) => Ok(Ready::Answered(answer)),
                        None => Err(error),
                    },
                    ready => ready,
                };
                ready.map(|ready| (ready, slot_turn))
            })
            .await?;
        let (upload, slot_turn) = match ready {
            (Ready::Answered(answer), _) => return answer.changed(),
            (Ready::Whole(upload), slot_turn) => (upload, slot_turn),
        };
        // Whoever stops waiting here leaves an upload that takes pieces again.
        let reopen = Reopen(Some(upload.clone()));
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
        let (slot, turn) = self.inner.slot(upload).await?;
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                let aborted = inner.abort(account, upload, &slot);
                drop(turn);
                aborted
            })
            .await
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
        Ok(Inner::row_of(&upload, first, count))
    }

    async fn uploads(&self, account: AccountId) -> Result<Vec<Unfinished>> {
        let inner = self.inner.clone();
        self.inner.job(move || inner.unfinished(account)).await
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
        let open = move || inner.open_reading(&home, &path, &version, first, count);
        Ok(self.inner.stream_row(self.inner.job(open).await?, fine))
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
        let (inner, path) = (self.inner.clone(), path.clone());
        let mut sum = self.inner.job(move || inner.open_sum(&home, &path)).await?;
        loop {
            let inner = self.inner.clone();
            match self.inner.job(move || inner.sum_more(sum)).await? {
                Ok(summed) => return Ok(summed),
                Err(more) => sum = more,
            }
        }
    }

    async fn usage(&self, account: AccountId) -> Result<Usage> {
        let inner = self.inner.clone();
        self.inner.job(move || inner.usage(account)).await
    }

    fn is_durable(&self) -> bool {
        self.inner.disk.is_durable()
    }

    async fn staged(&self) -> Result<Staged> {
        let inner = self.inner.clone();
        self.inner.job(move || inner.staged()).await
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

/// Lets an upload take pieces again, unless its commit began.
struct Reopen(Option<std::sync::Arc<super::uploads::Upload>>);

impl Reopen {
    fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Reopen {
    fn drop(&mut self) {
        use crate::upload::Phase;
        if let Some(upload) = self.0.take() {
            let mut live = upload.lock();
            if live.state.phase() == Phase::Committing {
                live.state.set_phase(Phase::Open);
            }
        }
    }
}

impl Inner {
    /// Whether a change was carried out before.
    async fn is_answered(
        self: &std::sync::Arc<Self>,
        account: AccountId,
        change: ChangeKey,
    ) -> Result<bool> {
        let inner = self.clone();
        self.job(move || {
            inner.db.read(|connection| super::db::answers::exists(connection, account, &change))
        })
        .await
    }

    /// A pack that was carried out before: its members are only compared.
    async fn answer_pack(
        self: &std::sync::Arc<Self>,
        account: AccountId,
        change: ChangeKey,
        mut items: mpsc::Receiver<PackItem>,
    ) -> Result<Vec<super::change::Member>> {
        let mut digest = PackDigest::default();
        while let Some(item) = items.recv().await {
            match item {
                PackItem::Member { path, mode, content } => digest.take(&path, mode, &content),
                PackItem::Abandoned => return Err(abandoned()),
            }
        }
        let (inner, request) = (self.clone(), digest.finish(account, change));
        let answer = self.job(move || inner.answer_of(&request)).await?;
        answer.ok_or(Situation::ChangeKeyReused)?.pack()
    }

    /// Stages a pack as it arrives, and publishes it.
    async fn take_pack(
        self: &std::sync::Arc<Self>,
        home: std::sync::Arc<super::home::Home>,
        change: ChangeKey,
        mut items: mpsc::Receiver<PackItem>,
    ) -> Result<Vec<super::change::Member>> {
        let inner = self.clone();
        let mut pack = self.job(move || StagedPack::new(inner)).await?;
        let mut ended = false;
        while !ended {
            let mut some = Vec::new();
            let mut bytes = 0;
            loop {
                // The first is waited for, others are taken along.
                let item = if some.is_empty() {
                    items.recv().await
                } else {
                    match items.try_recv() {
                        Ok(item) => Some(item),
                        Err(mpsc::error::TryRecvError::Empty) => break,
                        Err(mpsc::error::TryRecvError::Disconnected) => None,
                    }
                };
                match item {
                    None => {
                        ended = true;
                        break;
                    }
                    Some(PackItem::Abandoned) => return Err(abandoned()),
                    Some(item) => {
                        bytes += bytes_of(&item);
                        some.push(item);
                    }
                }
                if some.len() >= STAGED_A_JOB || bytes >= STAGED_BYTES_A_JOB {
                    break;
                }
            }
            pack = self
                .job(move || {
                    pack.stage(some)?;
                    Ok(pack)
                })
                .await?;
        }
        let pack = self
            .job(move || {
                pack.flush()?;
                Ok(pack)
            })
            .await?;
        let (_, turn) = self.turn(home.account).await?;
        let inner = self.clone();
        self.job(move || {
            let request = pack.digest.finish(home.account, change);
            let published = inner.publish_pack(&home, &request, &pack);
            drop(pack);
            drop(turn);
            published
        })
        .await
    }
}

fn abandoned() -> StoreError {
    Situation::Incomplete { missing: 0 }.into()
}

fn bytes_of(item: &PackItem) -> usize {
    use crate::store::PackContent;
    match item {
        PackItem::Member { content: PackContent::File { bytes, .. }, .. } => bytes.len(),
        _ => 0,
    }
}

#[async_trait]
impl Accounts for LocalStore {
    async fn add(&self, account: NewAccount) -> Result<(Account, u64, u64)> {
        let inner = self.inner.clone();
        self.inner.job(move || inner.add_account(account)).await
    }

    async fn find(&self, name: &str) -> Result<Option<Account>> {
        let (inner, name) = (self.inner.clone(), name.to_owned());
        self.inner.job(move || inner.db.read(|c| accounts::find(c, &name))).await
    }

    async fn all(&self) -> Result<Vec<Account>> {
        let inner = self.inner.clone();
        self.inner.job(move || inner.db.read(accounts::all)).await
    }

    async fn set_verifier(&self, id: AccountId, verifier: Verifier) -> Result<Account> {
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                inner
                    .db
                    .write("setting a password", move |c| accounts::set_verifier(c, id, &verifier))
            })
            .await
    }

    async fn set_disabled(&self, id: AccountId, disabled: bool) -> Result<Account> {
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                inner
                    .db
                    .write("disabling an account", move |c| accounts::set_disabled(c, id, disabled))
            })
            .await
    }

    async fn set_limits(&self, id: AccountId, limits: QuotaLimits) -> Result<Account> {
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                inner.db.write("setting limits", move |c| accounts::set_limits(c, id, limits))
            })
            .await
    }

    async fn remove(&self, id: AccountId, purge: bool) -> Result<()> {
        let (home, turn) = self.inner.turn(id).await?;
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                let removed = inner.remove_account(&home, purge);
                drop(turn);
                removed
            })
            .await
    }

    async fn enrol_key(&self, id: AccountId, key: EnrolledKey) -> Result<()> {
        let inner = self.inner.clone();
        self.inner
            .job(move || inner.db.write("enrolling a key", move |c| accounts::enrol(c, id, &key)))
            .await
    }

    async fn revoke_key(&self, id: AccountId, public_key: [u8; 32]) -> Result<bool> {
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                inner.db.write("revoking a key", move |c| accounts::revoke(c, id, &public_key))
            })
            .await
    }

    async fn keys(&self, id: AccountId) -> Result<Vec<EnrolledKey>> {
        let inner = self.inner.clone();
        self.inner.job(move || inner.db.read(|c| accounts::keys(c, id))).await
    }

    async fn key_used(&self, id: AccountId, public_key: [u8; 32], when: Timestamp) -> Result<()> {
        let inner = self.inner.clone();
        self.inner
            .job(move || {
                inner.db.write("noting a key's use", move |c| {
                    accounts::key_used(c, id, &public_key, when)
                })
            })
            .await
    }

    async fn login_secret(&self) -> Result<[u8; 32]> {
        let inner = self.inner.clone();
        self.inner.job(move || inner.login_secret()).await
    }
}
