//! What a run must remember to be finished by a later one.
//!
//! A journal holds one secret number, its seed; upload keys and the names of staged downloads follow
//! from it and from what is carried where: whoever opens the same journal again finds the same
//! uploads and the same staged files. The queue of the screen also keeps which batches are not
//! finished. For those who never come back, staged downloads are named.
//!
//! Invariant: a journal is held by one process at a time, by a lock on its file.

mod discard;
mod format;
mod key;
mod log;
mod staged;
#[cfg(test)]
mod tests;

use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::io::Errno;

use self::format::{
    BEGUN, FINISHED, HEADER_BYTES, Replayed, read_header, replay, write_header, write_record,
};
use self::log::Log;
use super::State;
use super::private::{PrivateFolder, own_file, parts, read_all, try_lock};
use crate::disk::Disk;
use crate::failure::{Failure, Situation};
use crate::step::{self, Step};

pub(super) use self::discard::discard;
pub(super) use self::format::{Kept, kept};
pub use self::key::{JournalKey, JournalScope, TransferKeys};
pub use self::staged::StagedFile;

/// How the names of journals end.
pub(super) const JOURNAL: &str = "journal";

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    seed: [u8; 32],
    /// An earlier run left it.
    continued: bool,
    keeps_batches: bool,
    /// `None`: kept in memory only. Keys have a weak hand on it, to name what they stage.
    log: Option<Arc<Mutex<Log>>>,
}

impl Journal {
    /// Opens the journal of `key`, or makes it with `fresh_seed`. Held by another process, it ends
    /// as [`Situation::AlreadyRunning`].
    pub fn open(
        state: &State,
        key: &JournalKey,
        fresh_seed: [u8; 32],
        process: u32,
    ) -> Result<Self, Failure> {
        let path = state.journals().join(format!("{}.{JOURNAL}", key.name));
        let failed = |error: Errno| own_file(&path, error);
        let disk = &state.disk;
        let (folder, name) = parts(&path);
        let folder = PrivateFolder::create(disk, folder).map_err(failed)?;
        let file = loop {
            let file = folder.open_file(name).map_err(failed)?;
            if !try_lock(disk, &file).map_err(failed)? {
                let process = holder(disk, &file).map_err(failed)?;
                return Err(Failure::new(Situation::AlreadyRunning { process }, ""));
            }
            // Whoever finished just now may have unlinked it between our open and our lock.
            if folder.holds(&file, name).map_err(failed)? {
                break file;
            }
        };
        step::at(Step::JournalMade);
        let content = read_all(disk, &file).map_err(failed)?;
        let left = read_header(&content).map(|(_, seed)| seed);
        let continued = left.is_some();
        let seed = left.unwrap_or(fresh_seed);
        // Without a header nothing in it is believed.
        let Replayed { kept, end, lasting } = replay(if continued { &content } else { &[] });
        // A queue's journal is never removed: what is finished needs no room in it.
        let is_over = kept.is_empty();
        let (length, lasting) = if is_over { (HEADER_BYTES, HEADER_BYTES) } else { (end, lasting) };
        let staged_there = replay(content.get(..lasting).unwrap_or_default()).kept.staged;
        let (length, lasting) = (length as u64, lasting as u64);
        let header = write_header(process, &seed);
        disk.write_at(&file, header.as_bytes(), 0).map_err(failed)?;
        disk.truncate(&file, length).map_err(failed)?;
        let (disk, path_kept) = (disk.clone(), path.clone());
        let mut log = Log {
            disk,
            path: path_kept,
            file: Some(file),
            length,
            kept,
            lasting,
            staged_there,
            compact_at: 0,
        };
        log.compact().map_err(failed)?;
        log.flush().map_err(failed)?;
        // Its name as well: without the journal nobody finds what was begun under its seed. An
        // earlier run may have died before it came to this.
        folder.flush().map_err(failed)?;
        step::at(Step::JournalOpened);
        let log = Some(Arc::new(Mutex::new(log)));
        Ok(Self { seed, continued, keeps_batches: key.keeps_batches, log })
    }

    /// A journal that nobody finds again.
    pub fn in_memory(seed: [u8; 32]) -> Self {
        Self { seed, continued: false, keeps_batches: false, log: None }
    }

    /// The keys that follow from it.
    pub fn keys(&self) -> TransferKeys {
        let log = self.log.as_ref().map(Arc::downgrade).unwrap_or_default();
        TransferKeys { seed: self.seed, continued: self.continued, log }
    }

    /// The batches that were begun and not finished, oldest first.
    pub fn unfinished(&self) -> Vec<(u64, Vec<u8>)> {
        self.log.as_ref().map(|log| locked(log).kept.batches.clone()).unwrap_or_default()
    }

    /// Records a batch, durably, before anything of it is shown or moved. A command's journal keeps
    /// none.
    pub fn begin(&mut self, batch: u64, content: &[u8]) -> Result<(), Failure> {
        self.append(batch, BEGUN, content)
    }

    /// A batch needs no more work.
    pub fn finish(&mut self, batch: u64) -> Result<(), Failure> {
        self.append(batch, FINISHED, &[])
    }

    fn append(&mut self, batch: u64, kind: u8, content: &[u8]) -> Result<(), Failure> {
        let Some(log) = self.log.as_ref().filter(|_| self.keeps_batches) else { return Ok(()) };
        let Some(record) = write_record(batch, kind, content) else {
            let text = "so much at once is not written down: a restart would forget it".to_owned();
            return Err(Failure::new(Situation::Unexpected(text), ""));
        };
        let mut log = locked(log);
        log.append_lasting(&record).map_err(|error| own_file(&log.path, error))?;
        log.kept.apply(batch, kind, content);
        step::at(if kind == BEGUN { Step::BatchWritten } else { Step::BatchFinished });
        Ok(())
    }

    /// Removes it: nothing is left to be finished. What an earlier run staged, and this one did not
    /// take up, goes first, for nobody would name it any more; if that fails, the journal stays.
    pub fn remove(self) -> Result<(), Failure> {
        let Some(log) = &self.log else { return Ok(()) };
        let log = locked(log);
        discard(&log.disk, log.kept.staged.values())?;
        let (folder, name) = parts(&log.path);
        let removed = PrivateFolder::open(&log.disk, folder).and_then(|folder| folder.unlink(name));
        match removed {
            // Somebody else removed it.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(own_file(&log.path, error)),
        }
        step::at(Step::JournalRemoved);
        Ok(())
    }
}

impl Drop for Journal {
    /// Whoever opens it next finds it free, also if a task that was given up has keys of it yet.
    fn drop(&mut self) {
        if let Some(log) = &self.log {
            locked(log).let_go();
        }
    }
}

/// What is in a log is whole after each step, so a panic elsewhere does not spoil it.
fn locked(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The process that holds a journal; 0 while it has not written itself down yet.
fn holder(disk: &Disk, file: impl AsFd) -> Result<u32, Errno> {
    let mut header = vec![0; HEADER_BYTES];
    let read = disk.read_at(file, &mut header, 0)?;
    Ok(read_header(&header[..read]).map_or(0, |(process, _)| process))
}
