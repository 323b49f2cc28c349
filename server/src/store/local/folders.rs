//! Making folders, asked for or on the way to a file.
//!
//! Invariant: a folder that was made counts as an entry exactly once, whether its change then
//! succeeds or not.

use std::io;
use std::os::fd::OwnedFd;

use sampan_protocol::{Mode, Name, RemotePath};

use super::Inner;
use super::attributes::{Meta, kept_mode};
use super::change::{Answer, Carried, Effect, Failure, request};
use super::disk::Open;
use super::failure::about;
use super::home::Home;
use super::intent::Intent;
use super::step::Step;
use crate::quota::Charge;
use crate::store::{Changed, Result, Situation};

impl Inner {
    pub(super) fn mkdir(
        &self,
        home: &Home,
        change: sampan_protocol::ChangeKey,
        path: &RemotePath,
        parents: bool,
        mode: Mode,
    ) -> Result<Changed> {
        let request = request(home.account, change, "mkdir", &(path, parents, mode));
        let answer = self.change(home, &request, || {
            let existing = if parents {
                home.existing(&self.disk, path, &path.names())?
            } else {
                let place = home.place(&self.disk, path)?;
                if place.stat(&self.disk, path)?.is_some() {
                    return Err(Situation::Exists.about(path));
                }
                path.depth() - 1
            };
            let missing = path.depth() - existing;
            if missing == 0 {
                // Success without a change. It is kept all the same: a copy that comes late must not
                // make again what was removed since then.
                let answer = Answer::Changed(home.stat(&self.disk, path)?.attributes());
                self.keep_answer(&request, &answer)?;
                return Ok(answer);
            }
            self.check_disk(0, path)?;
            let mode = kept_mode(mode, true);
            let intent = Intent::Mkdir { path: path.clone(), existing, mode };
            self.perform(home, &request, &intent, Charge::entries(missing as u64))
        });
        answer?.changed()
    }

    pub(super) fn carry_mkdir(
        &self,
        home: &Home,
        path: &RemotePath,
        existing: usize,
        mode: Mode,
        effect: &mut Effect,
    ) -> Carried {
        let names = path.names();
        let making = Making { path, names: &names, existing, mode };
        let (_, meta) = self.make_folders(home, &making, effect)?;
        let meta = meta.ok_or_else(|| Situation::InvalidTarget.about(path))?;
        Ok(Answer::Changed(meta.attributes()))
    }

    /// Makes folders and opens the last. One that is there by now was made before a crash. Each
    /// that is made is in the effect; the one that fails is taken back.
    pub(super) fn make_folders(
        &self,
        home: &Home,
        making: &Making<'_>,
        effect: &mut Effect,
    ) -> Carried<(OwnedFd, Option<Meta>)> {
        let Making { path, names, existing, mode } = *making;
        let (present, missing) = names.split_at(existing.min(names.len()));
        let folder = home.folder(&self.disk, present, Open::Folder);
        let mut folder = folder.map_err(about(path, "opening a folder"))?;
        let mut meta = None;
        for (index, name) in missing.iter().enumerate() {
            let mode = if index + 1 == missing.len() { mode } else { Mode::FOLDER };
            let (below, found) = self.make_one_folder(&folder, name, path, mode)?;
            if let Err(error) = self.disk.flush_folder(&folder) {
                let failed = about(path, "making a folder");
                let undone = self.disk.remove_folder(&folder, name.as_bytes());
                return Err(Failure::after(undone.map_err(&failed), failed(error)));
            }
            effect.came.entries += 1;
            folder = below;
            meta = Some(found);
            self.step(Step::FolderMade)?;
        }
        Ok((folder, meta))
    }

    /// Makes a folder and opens it; takes it back if that fails. The one above is not flushed.
    pub(super) fn make_one_folder(
        &self,
        folder: &OwnedFd,
        name: &Name,
        path: &RemotePath,
        mode: Mode,
    ) -> Carried<(OwnedFd, Meta)> {
        let failed = about(path, "making a folder");
        let is_new = match self.disk.make_folder(folder, name.as_bytes(), mode) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            Err(error) => return Err(failed(error).into()),
            Ok(()) => true,
        };
        let finish = || {
            let below = self.disk.open_beneath(folder, name.as_bytes(), Open::Folder)?;
            let mut meta = self.disk.stat_open(&below)?;
            // The process' mask may have taken bits away.
            if meta.mode != mode {
                self.disk.set_mode(&below, mode)?;
                self.disk.flush_folder(&below)?;
                meta = self.disk.stat_open(&below)?;
            }
            Ok((below, meta))
        };
        finish().map_err(|error| {
            let error = failed(error);
            if !is_new {
                return error.into();
            }
            let undone = self.disk.remove_folder(folder, name.as_bytes());
            Failure::after(undone.map_err(&failed), error)
        })
    }
}

/// Folders to be made.
#[derive(Clone, Copy)]
pub(super) struct Making<'a> {
    /// For whom.
    pub(super) path: &'a RemotePath,
    /// The row of folders.
    pub(super) names: &'a [Name],
    /// How many of them are there.
    pub(super) existing: usize,
    /// What the last one gets.
    pub(super) mode: Mode,
}
