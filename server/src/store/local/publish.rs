//! Putting a staged file under its name.
//!
//! A new name is given by a rename that refuses an existing one. A file is replaced by exchanging
//! it with the staged one; then the displaced one, now in staging, is checked, and exchanged back
//! if it is not the one that was meant.
//!
//! Invariant: at every instant the name holds the old file or the new one, whole.

use std::os::fd::OwnedFd;

use sampan_protocol::{Mode, RemotePath};

use super::Inner;
use super::attributes::{FileId, Meta};
use super::change::{Answer, Effect, Gone};
use super::disk::Open;
use super::failure::{about, if_there, while_doing};
use super::home::{Home, Place};
use super::intent::Publish;
use super::staging;
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
        Gone { inode: Some(self.inode), bytes: self.size, entries: 1 }
    }
}

impl Inner {
    pub(super) fn carry_publish(
        &self,
        home: &Home,
        publish: &Publish,
        effect: &mut Effect,
    ) -> Result<Answer> {
        let path = &publish.path;
        let Some((name, parents)) = path.names().split_last() else {
            return Err(Situation::InvalidTarget.about(path));
        };
        let made = self.make_folders(home, path, parents, publish.existing, Mode::FOLDER, effect);
        let place = Place { folder: made?, name: name.as_bytes() };
        let staged_in = staging::of_upload(publish.upload);
        let folder = self
            .disk
            .open_beneath(&self.layout.staging, staged_in.as_bytes(), Open::Folder)
            .map_err(while_doing("opening an upload's staging"))?;
        let staged = Staged {
            folder: &folder,
            name: staging::DATA,
            file: publish.file,
            replaces: publish.replaces,
        };
        self.swap_in(&staged, &place, path)?;
        if let Err(error) = self.disk.flush_folder(&place.folder) {
            // Nobody may see what may be gone after a power cut.
            self.swap_out(&staged, &place, path)?;
            return Err(about(path, "flushing a folder")(error));
        }
        self.step("folder flushed")?;
        let meta = self.disk.stat(&place.folder, place.name);
        let meta = meta.map_err(about(path, "reading attributes"))?;
        effect.came = effect.came.plus(Charge::entry(publish.file.size));
        effect.went.extend(publish.replaces.as_ref().map(FileId::gone));
        effect.upload = Some(publish.upload);
        Ok(Answer::Changed(meta.attributes()))
    }

    /// Puts a staged file under its name, unless it is there already. Its folder is not flushed.
    pub(super) fn swap_in(
        &self,
        staged: &Staged<'_>,
        place: &Place<'_>,
        path: &RemotePath,
    ) -> Result<()> {
        let failed = about(path, "publishing a file");
        let from = (staged.folder, staged.name);
        let there = place.stat(&self.disk, path)?;
        if there.is_none_or(|there| there.id() != staged.file) {
            let found = self.disk.stat(staged.folder, staged.name).map_err(&failed)?;
            if found.id() != staged.file {
                return Err(StoreError::Corrupt("another file lies in staging".to_owned()));
            }
            // A file that went meanwhile is another state than the one that was meant.
            match (there, &staged.replaces) {
                (None, Some(_)) => return Err(Situation::VersionChanged.about(path)),
                (_, Some(_)) => self.disk.exchange(from, place.at()).map_err(&failed)?,
                (_, None) => self.disk.rename(from, place.at()).map_err(&failed)?,
            }
        }
        self.step("renamed")?;
        let Some(meant) = &staged.replaces else { return Ok(()) };
        let displaced: Option<Meta> =
            if_there(self.disk.stat(staged.folder, staged.name)).map_err(&failed)?;
        if displaced.is_some_and(|displaced| displaced.id() != *meant) {
            self.disk.exchange(from, place.at()).map_err(&failed)?;
            self.disk.flush_folder(&place.folder).map_err(&failed)?;
            return Err(Situation::VersionChanged.about(path));
        }
        Ok(())
    }

    /// Takes a published file back into staging, and puts back what it replaced.
    pub(super) fn swap_out(
        &self,
        staged: &Staged<'_>,
        place: &Place<'_>,
        path: &RemotePath,
    ) -> Result<()> {
        let back = (staged.folder, staged.name);
        match staged.replaces {
            Some(_) => self.disk.exchange(place.at(), back),
            None => self.disk.rename(place.at(), back),
        }
        .map_err(about(path, "taking a file back"))
    }
}
