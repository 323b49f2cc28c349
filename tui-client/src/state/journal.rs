//! What a run must remember to be finished by a later one.
//!
//! A journal holds one secret number, its seed; upload keys and the names of staged downloads follow
//! from it and from what is carried where. So nothing need be written for each file: whoever opens
//! the same journal again finds the same uploads and the same staged files. The queue of the screen
//! also keeps which batches are not finished.
//!
//! Invariant: a journal is held by one process at a time, by a lock on its file.

mod format;
mod key;
#[cfg(test)]
mod tests;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use self::format::{
    BEGUN, FINISHED, HEADER_BYTES, MAX_RECORD_BYTES, apply, read_header, replay, write_header,
};
use super::{State, make_private_folder, own_file};
use crate::failure::{Failure, Situation};
use crate::step::{self, Step};

pub(super) use self::format::keeps_nothing;
pub use self::key::{JournalKey, JournalScope, TransferKeys};

/// How the names of journals end.
pub(super) const JOURNAL: &str = "journal";

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    seed: [u8; 32],
    /// An earlier run left it.
    continued: bool,
    /// `None`: kept in memory only.
    on_disk: Option<OnDisk>,
}

#[derive(Debug)]
struct OnDisk {
    path: PathBuf,
    file: File,
    /// Bytes of it that are whole; what lies behind them counts as not written.
    length: u64,
    keeps_batches: bool,
    /// Batches that were begun and not finished, in order.
    open: Vec<(u64, Vec<u8>)>,
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
        let folder = state.journals();
        let path = folder.join(format!("{}.{JOURNAL}", key.name));
        let failed = |error: io::Error| own_file(&path, &error);
        make_private_folder(&folder).map_err(failed)?;
        let mut file = loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let process = holder(&file).map_err(failed)?;
                    return Err(Failure::new(Situation::AlreadyRunning { process }, ""));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
            // Whoever finished just now may have unlinked it between our open and our lock.
            if is_at(&file, &path).map_err(failed)? {
                break file;
            }
        };
        step::at(Step::JournalMade);
        let mut content = Vec::new();
        file.read_to_end(&mut content).map_err(failed)?;
        let left = read_header(&content).map(|(_, seed)| seed);
        let continued = left.is_some();
        let seed = left.unwrap_or(fresh_seed);
        let (open, valid) = if continued { replay(&content) } else { (Vec::new(), HEADER_BYTES) };
        // A queue's journal is never removed: what is finished needs no room in it.
        let valid = if open.is_empty() { HEADER_BYTES } else { valid };
        let header = write_header(process, &seed);
        file.write_all_at(header.as_bytes(), 0).map_err(failed)?;
        file.set_len(valid as u64).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        // Its name as well: without the journal nobody finds what was begun under its seed. An
        // earlier run may have died before it came to this.
        File::open(&folder).and_then(|folder| folder.sync_all()).map_err(failed)?;
        step::at(Step::JournalOpened);
        let (length, keeps_batches) = (valid as u64, key.keeps_batches);
        let on_disk = Some(OnDisk { path, file, length, keeps_batches, open });
        Ok(Self { seed, continued, on_disk })
    }

    /// A journal that nobody finds again.
    pub fn in_memory(seed: [u8; 32]) -> Self {
        Self { seed, continued: false, on_disk: None }
    }

    /// The keys that follow from it.
    pub fn keys(&self) -> TransferKeys {
        TransferKeys { seed: self.seed, continued: self.continued }
    }

    /// The batches that were begun and not finished, oldest first.
    pub fn unfinished(&self) -> &[(u64, Vec<u8>)] {
        self.on_disk.as_ref().map_or(&[], |disk| &disk.open)
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
        let Some(disk) = self.on_disk.as_mut().filter(|disk| disk.keeps_batches) else {
            return Ok(());
        };
        let mut payload = batch.to_le_bytes().to_vec();
        payload.push(kind);
        payload.extend_from_slice(content);
        if payload.len() > MAX_RECORD_BYTES {
            let text = "so much at once is not written down: a restart would forget it".to_owned();
            return Err(Failure::new(Situation::Unexpected(text), ""));
        }
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut record = length.to_le_bytes().to_vec();
        record.extend_from_slice(&blake3::hash(&payload).as_bytes()[..4]);
        record.extend_from_slice(&payload);
        let written = disk.file.write_all_at(&record, disk.length);
        if let Err(error) = written.and_then(|()| disk.file.sync_data()) {
            // A part of a record would hide all that is written behind it.
            if let Err(error) = disk.file.set_len(disk.length) {
                tracing::debug!(%error, "a torn record stays until the next is written over it");
            }
            return Err(own_file(&disk.path, &error));
        }
        disk.length += record.len() as u64;
        apply(&mut disk.open, batch, kind, content);
        step::at(if kind == BEGUN { Step::BatchWritten } else { Step::BatchFinished });
        Ok(())
    }

    /// Removes it: nothing is left to be finished.
    pub fn remove(self) -> Result<(), Failure> {
        let Some(disk) = self.on_disk else { return Ok(()) };
        fs::remove_file(&disk.path).map_err(|error| own_file(&disk.path, &error))?;
        step::at(Step::JournalRemoved);
        Ok(())
    }
}

/// Whether `file` is what lies at `path` now.
pub(super) fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    let ours = file.metadata()?;
    match fs::metadata(path) {
        Ok(there) => Ok((ours.dev(), ours.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// The process that holds a journal; 0 while it has not written itself down yet.
fn holder(file: &File) -> io::Result<u32> {
    let mut header = vec![0; HEADER_BYTES];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => Ok(read_header(&header).map_or(0, |(process, _)| process)),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        Err(error) => Err(error),
    }
}
