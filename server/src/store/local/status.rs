//! What is held and what is left.

use sampan_protocol::{BlockHash, UploadId};

use super::Inner;
use super::db::ledger::{self, Ledger};
use super::db::uploads::{self, UploadRow};
use super::disk::Open;
use super::failure::{if_there, while_doing};
use super::journal::Journal;
use super::staging;
use super::uploads::blocks_of;
use crate::store::{AccountId, Result, Staged, Unfinished, Usage};
use crate::upload::UploadState;

impl Inner {
    pub(super) fn usage(&self, account: AccountId) -> Result<Usage> {
        let ledger = self.db.read(|connection| ledger::ledger(connection, account))?;
        let Ledger { limits, used, reserved, as_of, .. } = ledger;
        let space = self.disk.space(&self.layout.staging);
        let space = space.map_err(while_doing("asking for space"))?;
        Ok(Usage {
            limits,
            used: used.bytes,
            reserved: reserved.bytes,
            entries: used.entries,
            reserved_entries: reserved.entries,
            disk_free: space.saturating_sub(self.options.disk_floor),
            as_of,
        })
    }

    pub(super) fn unfinished(
        &self,
        account: AccountId,
        after: Option<UploadId>,
        most: usize,
    ) -> Result<Vec<Unfinished>> {
        let page = |connection: &_| uploads::page(connection, account, after, most);
        let rows = self.db.read(page)?;
        let describe = |row: UploadRow| {
            let touched = self.uploads.get(row.slot_key()).map_or(row.touched, |upload| {
                upload.touched.load(std::sync::atomic::Ordering::Relaxed)
            });
            let touched = sampan_protocol::Timestamp::new(touched, 0).unwrap_or(row.opened);
            Ok(Unfinished {
                upload: row.id,
                key: row.key,
                staged: self.staged_bytes(&row)?,
                path: row.path,
                size: row.size,
                reserved: row.hold.reserve.bytes,
                opened: row.opened,
                expires: touched.plus(self.options.upload_expiry),
            })
        };
        rows.into_iter().map(describe).collect()
    }

    pub(super) fn staged(&self) -> Result<Staged> {
        let mut staged = Staged::default();
        for row in self.db.read(|connection| uploads::all(connection, None))? {
            staged.uploads += 1;
            staged.bytes += self.staged_bytes(&row)?;
        }
        Ok(staged)
    }

    /// Bytes that are staged; of an upload that nobody works on, as its journal says.
    fn staged_bytes(&self, row: &UploadRow) -> Result<u64> {
        if let Some(upload) = self.uploads.get(row.slot_key()) {
            return Ok(upload.lock().state.staged_bytes());
        }
        let blocks = blocks_of(row.size)?;
        let read = || {
            let name = row.staging();
            let folder =
                self.disk.open_beneath(&self.layout.staging, name.as_bytes(), Open::Folder);
            let Some(folder) = if_there(folder)? else { return Ok(0) };
            let journal = self.disk.open_beneath(&folder, staging::JOURNAL, Open::OurFile);
            let Some(journal) = if_there(journal)? else { return Ok(0) };
            let (staged, _) = Journal::look(&self.disk, row.id, &journal, blocks.count())?;
            Ok(UploadState::new(blocks, row.epoch, staged).staged_bytes())
        };
        read().map_err(while_doing("reading a journal"))
    }

    /// Hashes of staged blocks.
    pub(super) fn row_of(
        upload: &super::uploads::Upload,
        first: u64,
        count: u64,
    ) -> Vec<(u64, BlockHash)> {
        upload.lock().state.hashes(first, count)
    }
}
