//! A journal's file while it is open: records go to its end, and what they come to is known.
//!
//! Invariant: `length` bytes of the file are whole; whatever a failed writing left behind them is
//! cut off, or overwritten by the next record. While a batch is open, nothing before `lasting` is
//! ever cut off or written over. Nothing is written once the journal was let go.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use super::format::{GONE, HEADER_BYTES, Kept, STAGED, write_record};
use super::staged::StagedFile;
use crate::disk::Disk;

/// So many bytes of names behind what must last are written anew, in less.
pub(super) const COMPACT_BYTES: u64 = 1 << 20;
/// So many are before something that must last is written behind them, for then they stay.
const SETTLED_BYTES: u64 = 64 << 10;

#[derive(Debug)]
pub(super) struct Log {
    pub(super) disk: Disk,
    pub(super) path: PathBuf,
    /// `None` once it was let go.
    pub(super) file: Option<OwnedFd>,
    pub(super) length: u64,
    pub(super) kept: Kept,
    /// The end of the last record that must last.
    pub(super) lasting: u64,
    /// The downloads that are staged by the records up to there.
    pub(super) staged_there: BTreeMap<String, StagedFile>,
    /// From this length on it is written anew.
    pub(super) compact_at: u64,
}

impl Log {
    /// Writes a record that must last to the end of the file, and flushes it.
    pub(super) fn append_lasting(&mut self, record: &[u8]) -> Result<(), Errno> {
        if self.length - self.lasting > SETTLED_BYTES
            && let Err(error) = self.compact()
        {
            tracing::debug!(%error, "the journal stays long");
        }
        self.append(record, true)?;
        self.lasting = self.length;
        self.staged_there.clone_from(&self.kept.staged);
        self.compact_at = self.length + COMPACT_BYTES;
        Ok(())
    }

    fn append(&mut self, records: &[u8], lasts: bool) -> Result<(), Errno> {
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
        if self.length > self.compact_at
            && let Err(error) = self.compact()
        {
            tracing::debug!(%error, "the journal stays long");
        }
    }

    /// Writes anew, in place, what is behind the last record that must last; all of it if no batch is
    /// open, for then none must.
    ///
    /// A crash meanwhile takes names of staged downloads at most.
    pub(super) fn compact(&mut self) -> Result<(), Errno> {
        let nothing_lasts = self.kept.batches.is_empty();
        let base = if nothing_lasts { HEADER_BYTES as u64 } else { self.lasting };
        if nothing_lasts {
            // What is to be written does not build on them. If they stay after all, they are said
            // again, which does no harm.
            self.staged_there.clear();
        }
        let records = self.names_behind();
        let written = if self.length > base + 2 * records.len() as u64 {
            self.write_behind(base, &records)
        } else {
            Ok(())
        };
        // Not again for each record: when there are twice as many.
        self.compact_at = self.length + (self.length - self.lasting).max(COMPACT_BYTES);
        written
    }

    fn write_behind(&mut self, base: u64, records: &[u8]) -> Result<(), Errno> {
        let Some(file) = &self.file else { return Ok(()) };
        self.disk.truncate(file, base)?;
        (self.length, self.lasting) = (base, base);
        self.append(records, false)
    }

    /// What makes of the downloads that are staged by the records that last those that are now.
    fn names_behind(&self) -> Vec<u8> {
        let (now, there) = (&self.kept.staged, &self.staged_there);
        let gone = there.keys().filter(|name| !now.contains_key(*name));
        let gone = gone.filter_map(|name| write_record(0, GONE, name.as_bytes()));
        let new = now.iter().filter(|(name, file)| there.get(*name) != Some(*file));
        let new = new.filter_map(|(_, file)| write_record(0, STAGED, &file.write()));
        gone.chain(new).flatten().collect()
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
