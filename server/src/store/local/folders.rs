//! Making folders, asked for or on the way to a file.
//!
//! Invariant: a folder that was made counts as an entry exactly once, whether its change then
//! succeeds or not.

use std::io;
use std::os::fd::OwnedFd;

use sampan_protocol::{Mode, Name, RemotePath};

use super::Inner;
use super::attributes::kept_mode;
use super::change::{Answer, Effect, request};
use super::disk::Open;
use super::failure::about;
use super::home::Home;
use super::intent::Intent;
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
                home.existing(&self.disk, path, path.names())?
            } else {
                let place = home.place(&self.disk, path)?;
                if place.stat(&self.disk, path)?.is_some() {
                    return Err(Situation::Exists.about(path));
                }
                path.names().len() - 1
            };
            let missing = path.names().len() - existing;
            if missing == 0 {
                // Success without a change; nothing to keep.
                return Ok(Answer::Changed(home.stat(&self.disk, path)?.attributes()));
            }
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
    ) -> Result<Answer> {
        let folder = self.make_folders(home, path, path.names(), existing, mode, effect)?;
        let meta = self.disk.stat_open(&folder).map_err(about(path, "reading attributes"))?;
        Ok(Answer::Changed(meta.attributes()))
    }

    /// Makes the folders of `names` after the first `existing` ones, the last with `mode`, and
    /// opens the last. One that is there by now was made before a crash.
    #[expect(clippy::too_many_arguments, reason = "a path, which part of it, and what to do there")]
    pub(super) fn make_folders(
        &self,
        home: &Home,
        path: &RemotePath,
        names: &[Name],
        existing: usize,
        mode: Mode,
        effect: &mut Effect,
    ) -> Result<OwnedFd> {
        let failed = about(path, "making a folder");
        let (present, missing) = names.split_at(existing.min(names.len()));
        let mut folder = home.folder(&self.disk, present, Open::Folder).map_err(&failed)?;
        for (index, name) in missing.iter().enumerate() {
            let mode = if index + 1 == missing.len() { mode } else { Mode::FOLDER };
            match self.disk.make_folder(&folder, name.as_bytes(), mode) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(failed(error));
                }
                _ => {}
            }
            let below = self.disk.open_beneath(&folder, name.as_bytes(), Open::Folder);
            let below = below.map_err(&failed)?;
            effect.came.entries += 1;
            // The process' mask may have taken bits away.
            if self.disk.stat_open(&below).map_err(&failed)?.mode != mode {
                self.disk.set_mode(&below, mode).map_err(&failed)?;
                self.disk.flush_folder(&below).map_err(&failed)?;
            }
            self.disk.flush_folder(&folder).map_err(&failed)?;
            self.step("folder made")?;
            folder = below;
        }
        Ok(folder)
    }
}
