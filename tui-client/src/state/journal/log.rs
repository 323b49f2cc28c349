//! A journal's file while it is open: records go to its end, and what they come to is known.
//!
//! Invariant: `length` bytes of the file are whole; whatever a failed writing left behind them is
//! cut off, or overwritten by the next record. Nothing is written once the journal was let go.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::format::{GONE, HEADER_BYTES, Kept, STAGED, write_record};
use super::staged::StagedFile;
use crate::disk::Disk;

/// A journal of this length is written anew, in less, if nothing in it must last.
const COMPACT_BYTES: u64 = 1 << 20;

#[derive(Debug)]
pub(super) struct Log {
    pub(super) disk: Disk,
    pub(super) path: PathBuf,
    /// `None` once it was let go.
    pub(super) file: Option<OwnedFd>,
    pub(super) length: u64,
    pub(super) kept: Kept,
}

impl Log {
    /// Writes records to the end of the file, and flushes them if they must last.
    pub(super) fn append(&mut self, records: &[u8], lasts: bool) -> Result<(), Errno> {
        let Some(file) = &self.file else { return Ok(()) };
        let written = self
            .disk
            .write_at(file, records, self.length)
            .and_then(|()| if lasts { self.disk.flush_bytes(file) } else { Ok(()) });
        if let Err(error) = written {
            // A part of a record would hide all that is written behind it.
            if let Err(error) = self.disk.truncate(file, self.length) {
                tracing::debug!(%error, "a torn record stays until the next is written over it");
            }
            return Err(error);
        }
        self.length += records.len() as u64;
        Ok(())
    }

    /// Names downloads before they are staged.
    ///
    /// Only a sweep ever looks for them, so no transfer fails, or waits for a flush, because of them:
    /// what a full disk or a power cut takes from here stays as a hidden file beside its target.
    pub(super) fn stage(&mut self, files: &[StagedFile]) {
        let new =
            files.iter().filter(|file| self.kept.staged.get(file.staging.as_str()) != Some(file));
        let new: Vec<_> = new.cloned().collect();
        let records = new.iter().filter_map(|file| write_record(0, STAGED, &file.write()));
        self.append_names(&records.flatten().collect::<Vec<_>>());
        for file in new {
            self.kept.staged.insert(file.staging.as_str().to_owned(), file);
        }
    }

    /// These are published, or removed.
    pub(super) fn gone<'a>(&mut self, names: impl Iterator<Item = &'a str>) {
        let gone = names.filter(|name| self.kept.staged.remove(*name).is_some());
        let records = gone.filter_map(|name| write_record(0, GONE, name.as_bytes()));
        let records: Vec<u8> = records.flatten().collect();
        self.append_names(&records);
    }

    fn append_names(&mut self, records: &[u8]) {
        if records.is_empty() {
            return;
        }
        if let Err(error) = self.append(records, false) {
            tracing::debug!(%error, "the journal lacks names of staged downloads");
        }
        if self.length > COMPACT_BYTES
            && let Err(error) = self.compact()
        {
            tracing::debug!(%error, "the journal stays long");
        }
    }

    /// Writes it anew in place, if it holds nothing but names of staged downloads.
    pub(super) fn compact(&mut self) -> Result<(), Errno> {
        let header = HEADER_BYTES as u64;
        let records = self.kept.staged.values();
        let records = records.filter_map(|file| write_record(0, STAGED, &file.write()));
        let records: Vec<u8> = records.flatten().collect();
        let is_worth_it = 2 * (header + records.len() as u64) < self.length;
        let Some(file) = self.file.as_ref().filter(|_| self.kept.batches.is_empty() && is_worth_it)
        else {
            return Ok(());
        };
        self.disk.truncate(file, header)?;
        self.length = header;
        self.append(&records, false)
    }

    pub(super) fn flush(&self) -> Result<(), Errno> {
        self.file.as_ref().map_or(Ok(()), |file| self.disk.flush(file))
    }

    /// Lets the lock go, whoever still has a hand on this.
    pub(super) fn let_go(&mut self) {
        if let Some(file) = self.file.take()
            && let Err(error) = self.disk.lock(file, FlockOperation::Unlock)
        {
            tracing::debug!(%error, "the lock goes with the file");
        }
    }
}
