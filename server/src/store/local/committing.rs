//! The end of an upload: published, or given up.
//!
//! ```text
//! every block there, root equal → mode, mtime, flush (outside the account's turn)
//!     → turn: target checked again, intent, rename, parent flushed, one transaction
//! ```
//!
//! Invariant: whatever ends an upload, its reservation ends in the same transaction as its row.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sampan_protocol::block::root_of_row;
use sampan_protocol::{Mode, Root, UploadId};

use super::Inner;
use super::change::Answer;
use super::db::answers::Request;
use super::db::ledger;
use super::db::uploads::{self, UploadRow};
use super::failure::{about, while_doing};
use super::home::Home;
use super::intent::{Intent, Publish};
use super::slots::{Slot, SlotKey};
use super::step::Step;
use super::target;
use super::uploads::Upload;
use crate::quota::{self, Charge};
use crate::store::{Changed, OpenedBy, Result, Situation, StoreError};
use crate::upload::Phase;

/// Lets an upload take pieces again, unless its commit began.
pub(super) struct Reopen(Option<Arc<Upload>>);

impl Reopen {
    pub(super) fn of(upload: Arc<Upload>) -> Self {
        Self(Some(upload))
    }

    pub(super) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for Reopen {
    fn drop(&mut self) {
        if let Some(upload) = self.0.take() {
            upload.lock().state.reopen();
        }
    }
}

/// What came of checking an upload.
pub(super) enum Ready {
    /// It was committed before; this was the answer.
    Answered(Answer),
    /// It is whole and on the disk, and takes no more pieces.
    Whole(Arc<Upload>),
}

impl Inner {
    /// Checks an upload and makes its bytes durable. The caller has its slot's turn.
    pub(super) fn make_ready(
        &self,
        request: &Request,
        by: OpenedBy,
        root: Root,
        upload: Arc<Upload>,
    ) -> Result<Ready> {
        if let Some(answer) = self.answer_of(request)? {
            return Ok(Ready::Answered(answer));
        }
        let mut live = upload.lock();
        live.state.check_epoch(by.epoch)?;
        live.state.set_phase(Phase::Committing);
        let mut live = upload.when_quiet(live);
        let wish = live.wish.clone();
        let checked = live.state.row().and_then(|row| {
            match root_of_row(&row, upload.blocks().map_err(|_| Situation::RootMismatch)?) {
                Ok(found) if found == root => Ok(()),
                _ => Err(Situation::RootMismatch),
            }
        });
        if let Err(situation) = checked {
            live.state.reopen();
            return Err(situation.about(&upload.path));
        }
        drop(live);
        if let Err(error) = self.finish_file(&upload, wish.mode, wish.mtime) {
            upload.lock().state.reopen();
            return Err(while_doing("finishing an upload's file")(error));
        }
        self.step(Step::FileFinished)?;
        if let Err(error) = self.disk.flush_file(&upload.data) {
            self.lose_staging_for_now(&upload);
            return Err(while_doing("flushing an upload")(error));
        }
        self.step(Step::DataFlushed)?;
        Ok(Ready::Whole(upload))
    }

    fn finish_file(
        &self,
        upload: &Upload,
        mode: Mode,
        mtime: sampan_protocol::Timestamp,
    ) -> std::io::Result<()> {
        // Space that was taken ahead may be more than the file has.
        self.disk.truncate(&upload.data, upload.size)?;
        self.disk.set_mode(&upload.data, mode)?;
        self.disk.set_mtime(&upload.data, mtime)
    }

    /// Publishes a whole upload. The caller has the account's turn and the slot's.
    pub(super) fn commit(
        &self,
        home: &Home,
        request: &Request,
        upload: &Upload,
    ) -> Result<Changed> {
        let mut published = false;
        let answer = self.change(home, request, || {
            let answer = self.publish(home, request, upload);
            published = answer.is_ok();
            answer
        });
        match &answer {
            _ if published => {
                self.end_upload(upload.slot_key());
                self.sweep(upload.staging());
            }
            // Half published, perhaps: no piece may come until it is settled.
            _ if home.unsettled.load(Ordering::Relaxed) => {}
            // Only a failed flush leaves in doubt what is staged; another failure may be tried again.
            _ if upload.lost.load(Ordering::Relaxed) => self.lose_staging_for_now(upload),
            _ => upload.lock().state.reopen(),
        }
        answer?.changed()
    }

    /// Forgets an upload that is published.
    pub(super) fn end_upload(&self, key: SlotKey) {
        if let Some(upload) = self.uploads.get(key) {
            upload.lock().state.set_phase(Phase::Gone);
        }
        self.uploads.forget(key);
    }

    fn publish(&self, home: &Home, request: &Request, upload: &Upload) -> Result<Answer> {
        let (mut publish, mut extra) = self.plan_publish(home, upload)?;
        loop {
            match self.perform(home, request, &Intent::Publish(publish), extra) {
                // What it counts on may have moved into its reservation meanwhile: a removed tree is
                // credited in nobody's turn.
                Err(error) if error.is_over_quota() => {
                    let planned = extra;
                    (publish, extra) = self.plan_publish(home, upload)?;
                    if extra == planned {
                        return Err(error);
                    }
                }
                performed => return performed,
            }
        }
    }

    fn plan_publish(&self, home: &Home, upload: &Upload) -> Result<(Publish, Charge)> {
        let (account, id, path) = (upload.account, upload.id, &upload.path);
        let row = self.db.read(|connection| uploads::get(connection, account, id))?;
        let row = row.ok_or(Situation::UploadNotFound)?;
        let names = path.names();
        let (_, parents) = names.split_last().ok_or(Situation::InvalidTarget)?;
        let existing = home.existing(&self.disk, path, parents)?;
        let missing = (parents.len() - existing) as u64;
        if missing > 0 && !row.parents {
            return Err(Situation::NotFound.about(path));
        }
        let there = match missing {
            0 => home.place(&self.disk, path)?.stat(&self.disk, path)?,
            _ => None,
        };
        let replaces = target::check(path, &row.target, there)?;
        let file = self.disk.stat_open(&upload.data).map_err(about(path, "reading attributes"))?;
        let new = Charge::entry(upload.size).plus(Charge::entries(missing));
        let extra = self.extra_for(&row, new, replaces.as_ref())?;
        let replaces = replaces.map(|meta| meta.id());
        let (path, file, generation) = (path.clone(), file.id(), upload.generation);
        Ok((Publish { upload: id, path, existing, file, replaces, generation }, extra))
    }

    /// What an upload needs beyond its reservation: it may replace another file than the one it
    /// counted on, or none.
    fn extra_for(
        &self,
        row: &UploadRow,
        new: Charge,
        replaces: Option<&super::attributes::Meta>,
    ) -> Result<Charge> {
        let Some(meta) = replaces else {
            return Ok(quota::extra(new, Charge::NONE, Charge::NONE, row.hold.reserve));
        };
        let claim = self.db.read(|c| ledger::claim(c, row.account, meta.inode()))?;
        let claimed = match claim {
            Some((holder, claimed)) if holder != ledger::stored(row.id.0) => claimed,
            _ => Charge::NONE,
        };
        Ok(quota::extra(new, meta.charge(), claimed, row.hold.reserve))
    }

    /// Gives an upload up; one that is gone is success. The caller has its slot's turn, and the
    /// account's: an intent may still need what is staged.
    pub(super) fn abort(&self, home: &Home, id: UploadId, slot: &Slot) -> Result<()> {
        self.settle_left_over(home)?;
        let account = home.account;
        if let Some(upload) = slot.get() {
            let mut live = upload.lock();
            live.state.set_phase(Phase::Gone);
            drop(upload.when_quiet(live));
        }
        slot.set(None);
        let row = self.db.read(|connection| uploads::get(connection, account, id))?;
        let Some(row) = row else {
            self.uploads.forget_unused((account, id), slot);
            return Ok(());
        };
        self.db.write("giving an upload up", move |connection| {
            uploads::remove(connection, account, id)
        })?;
        self.step(Step::UploadGivenUp)?;
        self.uploads.forget((account, id));
        self.sweep(row.staging());
        Ok(())
    }
}

/// Whether a refusal of a commit may be due to a copy of it that was quicker.
pub(super) fn may_be_answered(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Refused { situation: Situation::UploadNotFound | Situation::UploadTaken, .. }
    )
}
