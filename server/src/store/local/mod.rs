//! The store in SQLite and plain files.
//!
//! ```text
//! async face (this file)          waits for turns and room, never for a disk
//!   └ jobs on blocking threads    one change, one page, one block each
//!       ├ home, listing, reading  users' files, below an open folder each (`home`)
//!       ├ change, intent, …       changes: intent, steps, settlement (`change`)
//!       ├ uploads, pack, …        staging
//!       ├ db                      SQLite: one writer with group commit, a few readers
//!       └ disk                    every file-system call
//! ```
//!
//! A verb becomes one job or a few; a job runs to its end, also if its caller is gone, and whatever
//! it holds (an account's turn, an upload's turn, a place among the jobs) goes with it. Streams are
//! tasks that run a short job for each page, so that a slow reader holds no thread.
//!
//! Invariant: nothing here blocks an async thread, no guard lives across an await, and everything
//! that waits is bounded.

mod accounts;
mod aside;
mod attributes;
mod change;
mod committing;
mod db;
mod disk;
mod due;
mod encoding;
mod failure;
mod faults;
mod folders;
mod home;
mod intent;
mod journal;
mod layout;
mod listing;
mod loading;
mod opening;
mod pack;
mod publish;
mod purge;
mod purging;
mod reading;
mod recovery;
mod remove;
mod rename;
mod scanning;
mod setting;
mod slots;
mod staging;
mod status;
mod step;
mod target;
mod uploads;
mod verbs;
mod walking;
mod writing;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sampan_protocol::{RemotePath, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::{AbortOnDropHandle, TaskTracker};

use self::db::{Db, accounts as accounts_table};
use self::disk::Disk;
use self::due::Scans;
pub use self::faults::{Call, Faults};
use self::home::{Home, Homes};
use self::layout::Layout;
pub use self::layout::OpenError;
use self::pack::OpenPacks;
use self::purging::{FlushQueue, Purges};
pub(crate) use self::slots::LOADED_UPLOADS;
use self::slots::{Slot, SlotKey, Uploads};
use self::staging::Sweeps;
pub use self::step::Step;
use self::uploads::Upload;
use super::{AccountId, Result, Situation, StoreError};

/// What an acknowledged change means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// It is on disk.
    #[default]
    Full,
    /// It may be lost in a power cut.
    Relaxed,
}

/// Tells the time.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// How a [`LocalStore`] works.
#[derive(Clone)]
pub struct LocalOptions {
    /// What an acknowledged change means.
    pub durability: Durability,
    /// Bytes of the disk that are left free: below it nothing more is reserved.
    pub disk_floor: u64,
    /// After so long without a byte an upload is given up.
    pub upload_expiry: Duration,
    /// How often idle uploads and old answers are looked for.
    pub expire_every: Duration,
    /// Most unfinished uploads of one account.
    pub max_uploads: u64,
    /// Most jobs on blocking threads at once.
    pub jobs: usize,
    /// Tells the time.
    pub clock: Clock,
    /// For tests of what happens when the disk fails.
    pub faults: Option<Arc<dyn Faults>>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            disk_floor: 256 << 20,
            upload_expiry: Duration::from_hours(7 * 24),
            expire_every: Duration::from_mins(1),
            max_uploads: 1000,
            jobs: 64,
            clock: Arc::new(|| std::time::SystemTime::now().into()),
            faults: None,
        }
    }
}

/// Uploads that may wait for a background flush.
const QUEUED_FLUSHES: usize = 64;
/// Slices of long work (deleting trees, sweeping staging, counting homes, hashing staged blocks again)
/// that run at once, beside the jobs of those who wait.
const SLOW_JOBS: usize = 3;
/// Slices of files that are hashed at once, because somebody asked for sums and rows, beside the
/// jobs of those who wait: logins must not stand behind them.
const HASH_JOBS: usize = 8;
/// Before a task that panicked begins anew: what made it panic may still be there.
const WORKER_PAUSE: Duration = if cfg!(test) { Duration::ZERO } else { Duration::from_secs(1) };

/// [`super::Store`] and [`super::Accounts`] on the server's own disk.
pub struct LocalStore {
    inner: Arc<Inner>,
}

/// What jobs work with.
struct Inner {
    options: LocalOptions,
    disk: Disk,
    layout: Layout,
    db: Db,
    homes: Homes,
    uploads: Uploads,
    purges: Purges,
    scans: Scans,
    packs: OpenPacks,
    flushes: mpsc::Sender<Arc<Upload>>,
    flush_queue: FlushQueue,
    sweeps: Sweeps,
    jobs: Arc<Semaphore>,
    slow_jobs: Arc<Semaphore>,
    hash_jobs: Arc<Semaphore>,
    closing: CancellationToken,
    tasks: TaskTracker,
}

impl LocalStore {
    /// Opens the store in the data folder `data`, which the caller has locked; makes what is
    /// missing in it and finishes what an earlier run left. Needs a runtime.
    pub async fn open(
        data: PathBuf,
        options: LocalOptions,
    ) -> std::result::Result<Arc<Self>, OpenError> {
        let (flushes, flush_queue) = mpsc::channel(QUEUED_FLUSHES);
        let opening = tokio::task::spawn_blocking(move || {
            let disk = Disk::new(options.faults.clone(), options.durability == Durability::Full);
            let layout = Layout::open(&data, &disk)?;
            let db = db::open_checked(&layout.database, &disk)?;
            let homes = db.read(accounts_table::all).map_err(OpenError::Recovery);
            let checked = homes.and_then(|homes| {
                layout::check_homes(&layout, &disk, &data, homes.iter().map(|home| &*home.name))
            });
            if let Err(error) = checked {
                db.close();
                return Err(error);
            }
            let inner = Arc::new(Inner {
                disk,
                layout,
                db,
                homes: Homes::default(),
                uploads: Uploads::default(),
                purges: Purges::default(),
                scans: Scans::default(),
                packs: OpenPacks::default(),
                flushes,
                flush_queue: FlushQueue::default(),
                sweeps: Sweeps::default(),
                jobs: Arc::new(Semaphore::new(options.jobs.max(1))),
                slow_jobs: Arc::new(Semaphore::new(SLOW_JOBS)),
                hash_jobs: Arc::new(Semaphore::new(HASH_JOBS)),
                closing: CancellationToken::new(),
                tasks: TaskTracker::new(),
                options,
            });
            match inner.recover() {
                Ok(orphans) => Ok((inner, orphans)),
                Err(error) => {
                    inner.db.close();
                    Err(OpenError::Recovery(error))
                }
            }
        });
        let (inner, orphans) = match opening.await {
            Ok(opened) => opened?,
            Err(error) => return Err(StoreError::Corrupt(error.to_string()).into()),
        };
        inner.go_on(orphans);
        inner.flush_queue.put_back(flush_queue);
        inner.spawn_worker("purges", Inner::start_purges);
        inner.spawn_worker("flushes", Inner::flush_uploads);
        inner.spawn_worker("sweeps", Inner::sweep_staging);
        inner.spawn_worker("scans", Inner::scan_what_is_due);
        inner.spawn_worker("expiry", Inner::expire);
        Ok(Arc::new(Self { inner }))
    }
}

impl Inner {
    fn now(&self) -> Timestamp {
        (self.options.clock)()
    }

    fn now_seconds(&self) -> i64 {
        self.now().seconds()
    }

    fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// A task that the store owns: it ends when the store closes, and is waited for.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let closing = self.closing.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                () = closing.cancelled() => {}
                () = task => {}
            }
        });
    }

    /// One of the tasks without which the store would do less and less, in silence: if it panics,
    /// that is said, and it begins anew.
    fn spawn_worker<F>(self: &Arc<Self>, worker: &'static str, work: fn(Arc<Self>) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let inner = self.clone();
        self.spawn(async move {
            loop {
                let running = AbortOnDropHandle::new(inner.tasks.spawn(work(inner.clone())));
                match running.await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::error!(%error, worker, "a background task panicked; it begins anew");
                    }
                }
                tokio::time::sleep(WORKER_PAUSE).await;
            }
        });
    }

    /// Runs `work` on a blocking thread when there is room. It runs to its end even if the caller
    /// stops waiting.
    async fn job<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.job_among(&self.jobs, work).await
    }

    /// The same for a slice of long work, of which little runs at once: it takes no place from
    /// those who wait.
    async fn slow_job<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.job_among(&self.slow_jobs, work).await
    }

    /// The same for a slice of a file that is hashed for an account. Whoever asks for much waits for
    /// himself: the next slices of all accounts take their turns.
    async fn hash_job<T: Send + 'static>(
        &self,
        home: &Home,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let among_own = acquire(&home.hashing).await?;
        let work = move || {
            let result = work();
            drop(among_own);
            result
        };
        self.job_among(&self.hash_jobs, work).await
    }

    async fn job_among<T: Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let room = acquire(places).await?;
        if self.is_closing() {
            return Err(StoreError::Closed);
        }
        let working = self.tasks.spawn_blocking(move || {
            let result = work();
            drop(room);
            result
        });
        working.await.map_err(|error| StoreError::Corrupt(format!("a job ended: {error}")))?
    }

    /// The account's open home.
    async fn home(self: &Arc<Self>, account: AccountId) -> Result<Arc<Home>> {
        if let Some(home) = self.homes.get(account) {
            return Ok(home);
        }
        let inner = self.clone();
        self.job(move || inner.open_home(account)).await
    }

    /// The account's home and its turn to be changed.
    async fn turn(self: &Arc<Self>, account: AccountId) -> Result<(Arc<Home>, Turn)> {
        let home = self.home(account).await?;
        let turn = acquire(&home.turn).await?;
        Ok((home, turn))
    }

    /// An upload's slot and its turn.
    async fn slot(&self, key: SlotKey) -> Result<(Arc<Slot>, Turn)> {
        let slot = self.uploads.slot(key);
        let turn = acquire(&slot.turn).await?;
        Ok((slot, turn))
    }

    /// The same, unless somebody has it.
    fn free_slot(&self, key: SlotKey) -> Option<(Arc<Slot>, Turn)> {
        let slot = self.uploads.slot(key);
        let turn = slot.turn.clone().try_acquire_owned().ok()?;
        Some((slot, turn))
    }

    /// The upload, loaded if need be.
    async fn upload(
        self: &Arc<Self>,
        account: AccountId,
        id: sampan_protocol::UploadId,
    ) -> Result<Arc<Upload>> {
        if let Some(upload) = self.uploads.get((account, id)) {
            return Ok(upload);
        }
        let (slot, turn) = self.slot((account, id)).await?;
        let (upload, _turn) = self.loaded(account, id, slot, turn).await?;
        Ok(upload)
    }

    /// Refuses if the disk cannot take `bytes` more and keep its floor.
    fn check_disk(&self, bytes: u64, path: &RemotePath) -> Result<()> {
        let space = self
            .disk
            .space(&self.layout.staging)
            .map_err(failure::while_doing("asking for space"))?;
        if space < self.options.disk_floor.saturating_add(bytes) {
            return Err(Situation::DiskFull.about(path));
        }
        Ok(())
    }

    /// Refuses if the disk is at its floor.
    fn check_disk_floor(&self) -> Result<()> {
        self.check_disk(0, &RemotePath::home()).map_err(|error| match error {
            StoreError::Refused { situation, .. } => situation.into(),
            other => other,
        })
    }
}

/// The right to change something, which a job takes along.
type Turn = OwnedSemaphorePermit;

async fn acquire(turn: &Arc<Semaphore>) -> Result<Turn> {
    turn.clone().acquire_owned().await.map_err(|_| StoreError::Closed)
}
