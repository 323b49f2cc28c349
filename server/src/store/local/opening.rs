//! Opening and resuming uploads.
//!
//! All that can be refused is refused here, before any byte: the name, what lies at the target, the
//! quota, the disk. What is opened holds its quota until it is committed, given up or expired.
//!
//! Invariant: equal keys of one account give the same upload, and each opening a higher epoch.

use std::sync::Arc;

use sampan_protocol::{Epoch, RemotePath, UploadId};

use super::Inner;
use super::attributes::{Meta, kept_mode};
use super::db::uploads::{Opening, UploadRow};
use super::db::{ledger, uploads};
use super::failure::{about, while_doing};
use super::home::Home;
use super::step::Step;
use super::uploads::{Upload, blocks_of};
use super::{staging, target};
use crate::quota::{self, Charge};
use crate::store::{NewUpload, Opened, OpenedBy, Result, Situation};
use crate::upload;

/// What opening found.
pub(super) enum Found {
    /// It was made just now, and is loaded.
    New(Opened),
    /// It is there, and has to be taken over.
    There(UploadRow),
}

impl Inner {
    /// Finds or makes the upload of a key. The caller has the account's turn.
    pub(super) fn find_or_make(&self, home: &Home, new: &NewUpload) -> Result<Found> {
        self.settle_left_over(home)?;
        let mode = kept_mode(new.mode, false);
        let account = home.account;
        let found = self.db.read(|connection| uploads::find(connection, account, &new.key))?;
        if let Some(mut row) = found {
            if row.path != new.path || row.size != new.size {
                return Err(Situation::UploadDiffers.about(&new.path));
            }
            row.mode = mode;
            row.mtime = new.mtime;
            row.target = new.if_target.clone();
            row.parents = new.parents;
            return Ok(Found::There(row));
        }
        blocks_of(new.size)?;
        let (missing, victim) = self.look_at_target(home, new)?;
        self.check_disk(new.size, &new.path)?;
        let charge = Charge::entry(new.size).plus(Charge::entries(missing));
        let claimed = match victim {
            Some(victim) => self.db.read(|c| ledger::claim(c, account, victim.inode()))?,
            None => None,
        };
        // A file that another upload counts on is no credit of this one.
        let victim = victim.filter(|_| claimed.is_none());
        let now = self.now();
        let row = UploadRow {
            id: UploadId(0),
            account,
            key: new.key,
            path: new.path.clone(),
            size: new.size,
            mode,
            mtime: new.mtime,
            target: new.if_target.clone(),
            parents: new.parents,
            epoch: Epoch(1),
            hold: quota::hold(charge, victim.map(|victim| victim.charge())),
            credit_inode: victim.map(|victim| victim.inode),
            victim_bytes: victim.map(|victim| victim.size),
            victim_born: victim.and_then(|victim| victim.born),
            opened: now,
            touched: now.seconds(),
            proved: true,
            generation: 0,
        };
        self.make(row).map(Found::New)
    }

    fn make(&self, mut row: UploadRow) -> Result<Opened> {
        let opening = Opening { row: row.clone(), most: self.options.max_uploads };
        row.id = self
            .db
            .write("opening an upload", move |connection| uploads::insert(connection, &opening))?;
        self.step(Step::UploadWritten)?;
        self.make_room_for_upload();
        let upload = match self.open_staging(&row) {
            Ok(upload) => upload,
            Err(error) => {
                let (account, id) = (row.account, row.id);
                self.db.write("giving an upload up", move |connection| {
                    uploads::remove(connection, account, id)
                })?;
                return Err(error);
            }
        };
        self.step(Step::StagingMade)?;
        let opened = self.opened(&upload, row.epoch);
        self.uploads.slot(row.slot_key()).set(Some(upload));
        Ok(opened)
    }

    /// How many parents are missing at a target, and the file that will be replaced there.
    fn look_at_target(&self, home: &Home, new: &NewUpload) -> Result<(u64, Option<Meta>)> {
        let path = &new.path;
        let names = path.names();
        let Some((name, parents)) = names.split_last() else {
            return Err(Situation::InvalidTarget.about(path));
        };
        self.try_name(name.as_bytes(), path)?;
        let present = home.existing(&self.disk, path, parents)?;
        let missing = (parents.len() - present) as u64;
        if missing > 0 && !new.parents {
            return Err(Situation::NotFound.about(path));
        }
        let there = match missing {
            0 => home.place(&self.disk, path)?.stat(&self.disk, path)?,
            _ => None,
        };
        Ok((missing, target::check(path, &new.if_target, there)?))
    }

    /// Whether the file system can hold a name, tried in staging: better now than at the end. Plain
    /// names pass unasked.
    fn try_name(&self, name: &[u8], path: &RemotePath) -> Result<()> {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._- ()+,=@~".contains(byte);
        let ends_plainly = !name.ends_with(b".") && !name.ends_with(b" ");
        if name.len() <= 128 && ends_plainly && name.iter().all(plain) {
            return Ok(());
        }
        let failed = while_doing("trying a name");
        let probe = staging::fresh(staging::GONE);
        let staging = &self.layout.staging;
        let mode = sampan_protocol::Mode::new(0o700);
        self.disk.make_folder(staging, probe.as_bytes(), mode).map_err(&failed)?;
        let tried = self
            .disk
            .open_beneath(staging, probe.as_bytes(), super::disk::Open::Folder)
            .and_then(|folder| {
                self.disk.make_folder(&folder, name, mode)?;
                self.disk.remove_folder(&folder, name)
            });
        self.disk.remove_folder(staging, probe.as_bytes()).map_err(&failed)?;
        tried.map_err(about(path, "trying a name"))
    }

    /// Takes over an upload that is there. The caller has its slot's turn.
    pub(super) fn resume(&self, row: &UploadRow, upload: &Arc<Upload>) -> Result<Opened> {
        let epoch = self.take_over(upload, row)?;
        self.step(Step::UploadResumed)?;
        upload.note_touch(self.now_seconds());
        Ok(self.opened(upload, epoch))
    }

    fn opened(&self, upload: &Arc<Upload>, epoch: Epoch) -> Opened {
        Opened {
            by: OpenedBy { upload: upload.id, epoch },
            stripe: upload::stripe(upload.size),
            staged: upload.lock().state.staged(),
            expires: self.now().plus(self.options.upload_expiry),
        }
    }
}
