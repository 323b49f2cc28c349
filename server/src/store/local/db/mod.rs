//! The database: one writer with group commit, a few readers.
//!
//! Writes are queued to one thread, which runs as many as wait inside one transaction, each in a
//! savepoint of its own, and answers them only after the commit: with `durability = "full"` one
//! flush pays for all of them. Everything here blocks and is called from blocking threads only.
//!
//! Invariant: what a write answered is committed; a write that failed left nothing.

pub(super) mod accounts;
pub(super) mod answers;
pub(super) mod intents;
pub(super) mod ledger;
pub(super) mod scans;
pub(super) mod schema;
pub(super) mod uploads;

use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags};
use tokio_util::sync::CancellationToken;

use super::OpenError;
use super::disk::Disk;
use super::faults::Call;
use crate::store::{Result, Situation, StoreError};

/// Writes that may wait; more make their callers wait.
const QUEUED_WRITES: usize = 256;
/// Writes that share one commit.
const GROUP: usize = 64;
/// Connections for reading. Reads are short.
const READERS: usize = 4;
/// How long SQLite waits for a lock; only a person with `sqlite3` can hold one.
const BUSY: Duration = Duration::from_secs(10);
/// Bytes of the write-ahead log whose space is taken ahead, so that a disk that somebody else filled
/// does not keep users from removing files: the 1,000 pages at which SQLite begins it anew, and some.
const LOG_RESERVE: u64 = 5 << 20;
/// Prepared statements kept for each connection.
const STATEMENTS: usize = 128;

type Reply = Box<dyn FnOnce(&std::result::Result<(), String>) + Send>;
/// Runs in a savepoint; `Ok` keeps what it did, and its reply waits for the commit.
/// Without a connection no transaction could begin, and its reply is told why.
type Write = Box<
    dyn FnOnce(std::result::Result<&Connection, &str>) -> std::result::Result<Reply, Reply> + Send,
>;

/// The open database.
pub(super) struct Db {
    writes: Mutex<Option<SyncSender<Write>>>,
    writer: Mutex<Option<JoinHandle<()>>>,
    readers: Mutex<Vec<Connection>>,
    returned: Condvar,
    /// The writer panicked: nothing can be changed any more.
    broken: CancellationToken,
}

/// Turns SQLite's errors into ours.
pub(super) fn failed(doing: &'static str) -> impl Fn(rusqlite::Error) -> StoreError {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Situation::DiskFull.into(),
        _ => StoreError::Database { doing, source: Box::new(error) },
    }
}

impl Db {
    /// Opens or makes the database at `path`; brings an older one up to date.
    pub(super) fn open(path: &Path, disk: &Disk) -> rusqlite::Result<Self> {
        let mut writer = connect(path, true)?;
        writer.pragma_update(None, "journal_mode", "WAL")?;
        let synchronous = if disk.is_durable() { "FULL" } else { "NORMAL" };
        writer.pragma_update(None, "synchronous", synchronous)?;
        writer.pragma_update(None, "foreign_keys", true)?;
        schema::migrate(&mut writer)?;
        take_log_space(path, disk);
        let readers =
            (0..READERS).map(|_| connect(path, false)).collect::<rusqlite::Result<Vec<_>>>()?;

        let (sender, queue) = sync_channel(QUEUED_WRITES);
        let disk = disk.clone();
        let broken = CancellationToken::new();
        let guard = BrokenBy(broken.clone());
        let thread = std::thread::Builder::new()
            .name("database".to_owned())
            .spawn(move || {
                let _guard = guard;
                write_all(&writer, &queue, &disk);
            })
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        Ok(Self {
            writes: Mutex::new(Some(sender)),
            writer: Mutex::new(Some(thread)),
            readers: Mutex::new(readers),
            returned: Condvar::new(),
            broken,
        })
    }

    /// Runs `write` in a transaction and answers after the commit.
    pub(super) fn write<T: Send + 'static>(
        &self,
        doing: &'static str,
        write: impl FnOnce(&Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (answer, answered) = sync_channel(1);
        let write: Write = Box::new(move |connection| {
            let reply = |result: Result<T>| -> Reply {
                Box::new(move |committed| {
                    let result = result.and_then(|kept| match committed {
                        Ok(()) => Ok(kept),
                        Err(error) => Err(commit_failed(doing, error)),
                    });
                    // The caller waits below; it cannot have gone.
                    drop(answer.send(result));
                })
            };
            match connection.map(write) {
                Ok(Ok(kept)) => Ok(reply(Ok(kept))),
                Ok(Err(error)) => Err(reply(Err(error))),
                Err(why) => Err(reply(Err(commit_failed(doing, why)))),
            }
        });
        let writes = lock(&self.writes).clone().ok_or(StoreError::Closed)?;
        writes.send(write).map_err(|_| StoreError::Closed)?;
        drop(writes);
        answered.recv().map_err(|_| StoreError::Closed)?
    }

    /// Runs `read` on a connection that sees what is committed.
    pub(super) fn read<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        let mut readers = lock(&self.readers);
        let connection = loop {
            match readers.pop() {
                Some(connection) => break connection,
                None => {
                    readers = self.returned.wait(readers).unwrap_or_else(PoisonError::into_inner);
                }
            }
        };
        drop(readers);
        let lent = Lent { db: self, connection: Some(connection) };
        read(lent.connection.as_ref().expect("lent until it is dropped"))
    }

    /// Waits until nothing can be changed any more, if it ever comes to that.
    pub(super) async fn broken(&self) {
        self.broken.cancelled().await;
    }

    /// Ends the writer after what is queued.
    pub(super) fn close(&self) {
        drop(lock(&self.writes).take());
        if let Some(thread) = lock(&self.writer).take()
            && thread.join().is_err()
        {
            tracing::error!("the database's thread panicked");
        }
    }
}

/// Opens the database, and refuses one of a newer program before it is touched.
pub(super) fn open_checked(path: &Path, disk: &Disk) -> std::result::Result<Db, OpenError> {
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => OpenError::DiskFull { path: path.to_owned() },
        _ => OpenError::Database { path: path.to_owned(), source: Box::new(error) },
    };
    let found = connect(path, true).and_then(|probe| schema::version(&probe)).map_err(failed)?;
    if found > schema::FORMAT {
        let (path, known) = (path.to_owned(), schema::FORMAT);
        return Err(OpenError::Newer { path, found, known });
    }
    Db::open(path, disk).map_err(failed)
}

/// Says so if the thread that holds it panics.
struct BrokenBy(CancellationToken);

impl Drop for BrokenBy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!("the database's thread panicked: nothing can be changed any more");
            self.0.cancel();
        }
    }
}

/// A reader that goes back even if its user panics.
struct Lent<'a> {
    db: &'a Db,
    connection: Option<Connection>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            lock(&self.db.readers).push(connection);
            self.db.returned.notify_one();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(path: &Path, writes: bool) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
    flags |= if writes {
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
    } else {
        OpenFlags::SQLITE_OPEN_READ_ONLY
    };
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(connection)
}

/// Takes the log's space. Without it the database works as long as the disk has room.
fn take_log_space(database: &Path, disk: &Disk) {
    let mut log = database.as_os_str().to_owned();
    log.push("-wal");
    let taken = std::fs::OpenOptions::new()
        .write(true)
        .open(log)
        .and_then(|log| disk.allocate(&log, LOG_RESERVE));
    match taken {
        Ok(true) => {}
        Ok(false) => tracing::debug!("the file system cannot take the database's space ahead"),
        Err(error) => tracing::warn!("cannot take the database's space ahead: {error}"),
    }
}

fn commit_failed(doing: &'static str, error: &str) -> StoreError {
    if error == FULL {
        return Situation::DiskFull.into();
    }
    StoreError::Database { doing, source: error.to_owned().into() }
}

const FULL: &str = "the disk is full";

/// What those are told whose transaction failed.
fn told(error: &rusqlite::Error) -> String {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => FULL.to_owned(),
        _ => error.to_string(),
    }
}

/// The writer's life: groups until the queue closes.
fn write_all(connection: &Connection, queue: &Receiver<Write>, disk: &Disk) {
    while let Ok(first) = queue.recv() {
        let mut replies = Vec::new();
        let committed = write_group(connection, first, queue, disk, &mut replies);
        if committed.is_err() && !connection.is_autocommit() {
            // Nothing of the group stays; each caller hears it.
            if let Err(error) = connection.execute_batch("ROLLBACK") {
                tracing::error!(%error, "cannot roll a transaction back");
            }
        }
        let committed = committed.map_err(|error| told(&error));
        for reply in replies {
            reply(&committed);
        }
    }
    if let Err(error) = connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)") {
        tracing::warn!(%error, "cannot fold the write-ahead log into the database");
    }
}

fn write_group(
    connection: &Connection,
    first: Write,
    queue: &Receiver<Write>,
    disk: &Disk,
    replies: &mut Vec<Reply>,
) -> rusqlite::Result<()> {
    let mut next = Some(first);
    let begun = gate(disk).and_then(|()| connection.execute_batch("BEGIN IMMEDIATE"));
    let mut count = 0;
    while let Some(write) = next.take() {
        match &begun {
            Ok(()) => {
                connection.execute_batch("SAVEPOINT one")?;
                match write(Ok(connection)) {
                    Ok(reply) => replies.push(reply),
                    Err(reply) => {
                        replies.push(reply);
                        connection.execute_batch("ROLLBACK TO one")?;
                    }
                }
                connection.execute_batch("RELEASE one")?;
            }
            Err(error) => match write(Err(&told(error))) {
                Ok(reply) | Err(reply) => replies.push(reply),
            },
        }
        count += 1;
        if count < GROUP {
            next = queue.try_recv().ok();
        }
    }
    begun?;
    gate(disk)?;
    connection.execute_batch("COMMIT")
}

fn gate(disk: &Disk) -> rusqlite::Result<()> {
    let failed = |error: io::Error| match rustix::io::Errno::from_io_error(&error) {
        // As SQLite says it.
        Some(rustix::io::Errno::NOSPC | rustix::io::Errno::DQUOT) => {
            let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
            rusqlite::Error::SqliteFailure(full, None)
        }
        _ => rusqlite::Error::ToSqlConversionFailure(Box::new(error)),
    };
    disk.gate(Call::Transaction).map_err(failed)
}
