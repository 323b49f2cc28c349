//! Putting a staged file under its name.
//!
//! A new name is given by a rename that refuses an existing one. A file is replaced by exchanging
//! it with the staged one; then the displaced one, now in staging, is checked, and exchanged back
//! if it is not the one that was meant.
//!
//! Invariant: at every instant the name holds the old file or the new one, whole.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use sampan_protocol::{Mode, RemotePath};

use super::Inner;
use super::attributes::{FileId, Meta};
use super::change::{Answer, Carried, Effect, Failure, Gone};
use super::disk::Open;
use super::failure::{about, if_there, while_doing};
use super::folders::Making;
use super::home::{Home, Place};
use super::intent::Publish;
use super::staging;
use super::step::Step;
use crate::quota::Charge;
use crate::store::{Result, Situation, StoreError};

/// A staged file and what it may replace.
pub(super) struct Staged<'a> {
    pub(super) folder: &'a OwnedFd,
    pub(super) name: &'a [u8],
    pub(super) file: FileId,
    pub(super) replaces: Option<FileId>,
}

impl FileId {
    /// As what went.
    pub(super) fn gone(&self) -> Gone {
        Gone::file(self.inode(), self.size)
    }
}

impl Effect {
    fn published(&mut self, publish: &Publish) {
        self.came = self.came.plus(Charge::entry(publish.file.size));
        self.went.extend(publish.replaces.as_ref().map(FileId::gone));
        self.upload = Some(publish.upload);
    }
}

impl Inner {
    pub(super) fn carry_publish(
        &self,
        home: &Home,
        publish: &Publish,
        effect: &mut Effect,
    ) -> Carried {
        let path = &publish.path;
        let names = path.names();
        let Some((name, parents)) = names.split_last() else {
            return Err(Situation::InvalidTarget.about(path).into());
        };
        let making =
            Making { path, names: parents, existing: publish.existing, mode: Mode::FOLDER };
        let (folder, _) = self.make_folders(home, &making, effect)?;
        let place = Place { folder: &folder, name: name.as_bytes() };
        let staged_in = publish.staged_in();
        let staged_folder =
            self.disk.open_beneath(&self.layout.staging, staged_in.as_bytes(), Open::Folder);
        let staged_folder =
            if_there(staged_folder).map_err(while_doing("opening an upload's staging"))?;
        let Some(staged_folder) = staged_folder else {
            return self.carry_lost(home, publish, &place, effect);
        };
        let staged = Staged {
            folder: &staged_folder,
            name: staging::DATA,
            file: publish.file,
            replaces: publish.replaces,
        };
        let meta = self.swap_in(&staged, &place, path)?;
        if let Err(error) = self.disk.flush_folder(place.folder) {
            // Nobody may see what may be gone after a power cut.
            self.note_lost(home, publish);
            let error = about(path, "flushing a folder")(error);
            return Err(Failure::after(self.swap_out(&staged, &place, path), error));
        }
        self.step(Step::FolderFlushed)?;
        effect.published(publish);
        Ok(Answer::Changed(meta.attributes()))
    }

    /// Without its staging an upload is either published already, or cannot be any more.
    fn carry_lost(
        &self,
        home: &Home,
        publish: &Publish,
        place: &Place<'_, &OwnedFd>,
        effect: &mut Effect,
    ) -> Carried {
        let path = &publish.path;
        let there = place.stat(&self.disk, path)?;
        let Some(meta) = there.filter(|there| there.id() == publish.file) else {
            tracing::error!(upload = %publish.upload, "what was staged of an upload is gone");
            self.note_lost(home, publish);
            return Err(Situation::UploadNotFound.about(path).into());
        };
        if let Err(error) = self.disk.flush_folder(place.folder) {
            let error = about(path, "flushing a folder")(error);
            return Err(Failure { error, left: true });
        }
        effect.published(publish);
        Ok(Answer::Changed(meta.attributes()))
    }

    /// What is staged of an upload is not to be used again.
    fn note_lost(&self, home: &Home, publish: &Publish) {
        if let Some(upload) = self.uploads.get((home.account, publish.upload)) {
            upload.lost.store(true, Ordering::Relaxed);
        }
    }

    /// Puts a staged file under its name, unless it is there already. Its folder is not flushed.
    pub(super) fn swap_in(
        &self,
        staged: &Staged<'_>,
        place: &Place<'_, &OwnedFd>,
        path: &RemotePath,
    ) -> Carried<Meta> {
        let failed = about(path, "publishing a file");
        let from = (staged.folder, staged.name);
        match staged.replaces {
            // No look before it: the rename itself refuses what is there.
            None => {
                if let Err(error) = self.disk.rename(from, place.at()) {
                    let there = place.stat(&self.disk, path)?;
                    if there.is_none_or(|there| there.id() != staged.file) {
                        return Err(failed(error).into());
                    }
                }
            }
            Some(_) => self.exchange_in(staged, place, path)?,
        }
        self.step(Step::Renamed)?;
        self.look_at_swapped(staged, place, path)
            .map_err(|error| Failure::after(self.swap_out(staged, place, path), error))
    }

    /// Exchanges a staged file with the one it replaces, unless that is done already.
    fn exchange_in(
        &self,
        staged: &Staged<'_>,
        place: &Place<'_, &OwnedFd>,
        path: &RemotePath,
    ) -> Result<()> {
        let failed = about(path, "replacing a file");
        let from = (staged.folder, staged.name);
        match place.stat(&self.disk, path)? {
            Some(there) if there.id() == staged.file => Ok(()),
            Some(_) => self.disk.exchange(from, place.at()).map_err(failed),
            // A file that went meanwhile is another state than the one that was meant.
            None => Err(Situation::VersionChanged.about(path)),
        }
    }

    /// Whether what was displaced is what was meant; and what lies there now.
    fn look_at_swapped(
        &self,
        staged: &Staged<'_>,
        place: &Place<'_, &OwnedFd>,
        path: &RemotePath,
    ) -> Result<Meta> {
        let failed = about(path, "publishing a file");
        if let Some(meant) = &staged.replaces {
            let displaced = if_there(self.disk.stat(staged.folder, staged.name));
            if displaced.map_err(&failed)?.is_some_and(|displaced| displaced.id() != *meant) {
                return Err(Situation::VersionChanged.about(path));
            }
        }
        let meta = self.disk.stat(place.folder, place.name).map_err(failed)?;
        if meta.id() == staged.file {
            Ok(meta)
        } else {
            Err(StoreError::Corrupt("another file lay in staging".to_owned()))
        }
    }

    /// Takes a published file back into staging, and puts back what it replaced.
    pub(super) fn swap_out(
        &self,
        staged: &Staged<'_>,
        place: &Place<'_, &OwnedFd>,
        path: &RemotePath,
    ) -> Result<()> {
        let back = (staged.folder, staged.name);
        match staged.replaces {
            Some(_) => self.disk.exchange(place.at(), back),
            None => self.disk.rename(place.at(), back),
        }
        .and_then(|()| self.disk.flush_folder(place.folder))
        .map_err(about(path, "taking a file back"))
    }
}
