//! Removing files, links, empty folders and trees.
//!
//! A file is moved into staging in one step, credited, and deleted later. So is a tree, but its
//! bytes are credited as they are deleted (`purge`), and its answer comes after that.
//!
//! Invariant: what is credited is no longer in the home; what is still in the home is charged.

use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use sampan_protocol::{ChangeKey, EntryKind, Mode, RemotePath, Version};

use super::Inner;
use super::attributes::FileId;
use super::change::{Answer, Carried, Effect, Failure, Gone, request};
use super::db::answers::Request;
use super::db::intents;
use super::disk::Open;
use super::encoding::{decode, encode};
use super::failure::{about, if_there, while_doing};
use super::home::Home;
use super::intent::{Intent, Take};
use super::purge::Purge;
use super::staging;
use super::step::Step;
use crate::quota::Charge;
use crate::store::{Removed, Result, Situation};

/// What a removal came to in its turn.
pub(super) enum Removal {
    Done(Removed),
    /// A tree lies in staging; the intent of this id deletes it.
    Purging(i64, Request),
}

/// What is to be removed.
pub(super) struct Removing {
    pub(super) path: RemotePath,
    pub(super) recursive: bool,
    pub(super) version: Option<Version>,
}

impl Inner {
    pub(super) fn remove(
        &self,
        home: &Home,
        change: ChangeKey,
        removing: &Removing,
    ) -> Result<Removal> {
        let Removing { path, recursive, version } = removing;
        let request = request(home.account, change, "remove", &(path, recursive, version));
        self.settle_left_over(home)?;
        // A copy of a change that is still deleting waits for it.
        if let Some(purging) = self.purging(&request)? {
            return Ok(Removal::Purging(purging, request));
        }
        let mut purging = None;
        let mut moved = None;
        let answer = self.change(home, &request, || {
            let meta = home.stat(&self.disk, path)?;
            if path.is_home() {
                return Err(Situation::InvalidTarget.about(path));
            }
            if version.as_ref().is_some_and(|version| *version != meta.version()) {
                return Err(Situation::VersionChanged.about(path));
            }
            let take = |staged| Take {
                path: path.clone(),
                id: meta.id(),
                is_file: meta.kind == EntryKind::File,
                staged,
            };
            let intent = match (meta.kind, recursive) {
                (EntryKind::Folder, false) => {
                    Intent::RemoveFolder { path: path.clone(), id: meta.id() }
                }
                (EntryKind::Folder, true) => {
                    let staged = staging::fresh(staging::GONE);
                    self.disk
                        .make_folder(&self.layout.staging, staged.as_bytes(), Mode::new(0o700))
                        // Before its intent: that must never name what a power cut took.
                        .and_then(|()| self.disk.flush_folder(&self.layout.staging))
                        .map_err(while_doing("making a folder in staging"))?;
                    purging = Some(self.remove_tree(home, &request, &take(staged))?);
                    return Ok(Answer::Removed(Removed { entries: 0, bytes: 0 }));
                }
                _ => {
                    let staged = staging::fresh(staging::GONE);
                    moved = Some(staged.clone());
                    Intent::Remove(take(staged))
                }
            };
            self.perform(home, &request, &intent, Charge::NONE)
        });
        if let (Some(staged), Ok(_)) = (moved, &answer) {
            self.sweep(staged);
        }
        match (answer, purging) {
            (Ok(_), Some(id)) => Ok(Removal::Purging(id, request)),
            (answer, _) => Ok(Removal::Done(answer?.removed()?)),
        }
    }

    /// The intent that deletes what `request` removed, if it is still at it.
    fn purging(&self, request: &Request) -> Result<Option<i64>> {
        let stored = self.db.read(|connection| intents::find(connection, request))?;
        let Some(stored) = stored else { return Ok(None) };
        if stored.request.digest != request.digest {
            return Err(Situation::ChangeKeyReused.into());
        }
        Ok(matches!(decode(&stored.body)?, Intent::Purge(_)).then_some(stored.id))
    }

    /// Moves a tree into staging; its intent then says that it is to be deleted.
    fn remove_tree(&self, home: &Home, request: &Request, take: &Take) -> Result<i64> {
        home.note_change();
        let intent = Intent::RemoveTree(take.clone());
        let (written, body) = (*request, encode(&intent));
        let id = self.db.write("writing an intent", move |connection| {
            intents::insert(connection, &written, &body, Charge::NONE)
        })?;
        self.step(Step::IntentWritten)?;
        match self.take_tree(home, take) {
            Ok(()) => {}
            Err(Failure { error, left }) => {
                if left {
                    home.unsettled.store(true, Ordering::Relaxed);
                    return Err(error.not_refused());
                }
                if self.give_up(home, request, id) {
                    self.sweep(take.staged.clone());
                }
                return Err(error);
            }
        }
        if let Err(error) = self.start_purging(id, take) {
            // The tree is gone from the home, and will be deleted.
            home.unsettled.store(true, Ordering::Relaxed);
            return Err(error.not_refused());
        }
        Ok(id)
    }

    /// Says in an intent that its tree lies in staging.
    pub(super) fn start_purging(&self, id: i64, take: &Take) -> Result<()> {
        let body = encode(&Intent::Purge(Purge::new(take.staged.clone())));
        self.db.write("updating an intent", move |connection| {
            intents::update(connection, id, &body)
        })?;
        self.step(Step::TreeTaken)
    }

    /// Moves a tree into its folder in staging, unless it is there already.
    pub(super) fn take_tree(&self, home: &Home, take: &Take) -> Carried<()> {
        let staged =
            self.disk.open_beneath(&self.layout.staging, take.staged.as_bytes(), Open::Folder);
        let staged = if_there(staged).map_err(while_doing("opening a folder in staging"))?;
        let staged = staged.ok_or_else(|| Situation::NotFound.about(&take.path))?;
        self.take(home, take, (&staged, Purge::FIRST))
    }

    pub(super) fn carry_remove(&self, home: &Home, take: &Take, effect: &mut Effect) -> Carried {
        self.take(home, take, (&self.layout.staging, take.staged.as_bytes()))?;
        let bytes = take.id.size;
        effect.went.push(if take.is_file {
            take.id.gone()
        } else {
            Gone::uncredited(Charge::entry(bytes))
        });
        Ok(Answer::Removed(Removed { entries: 1, bytes }))
    }

    /// Moves a name into staging, durably, unless it is there already.
    fn take(&self, home: &Home, take: &Take, staged: (&OwnedFd, &[u8])) -> Carried<()> {
        let failed = about(&take.path, "removing a file or folder");
        let place = home.place_to_change(&self.disk, &take.path)?;
        if let Some(there) = place.stat(&self.disk, &take.path)?
            && there.id() == take.id
        {
            self.disk.rename(place.at(), staged).map_err(&failed)?;
        }
        self.step(Step::Renamed)?;
        let finish = || {
            match if_there(self.disk.stat(staged.0, staged.1)).map_err(&failed)? {
                None => return Err(Situation::NotFound.about(&take.path)),
                Some(taken) if taken.id() != take.id => {
                    return Err(Situation::VersionChanged.about(&take.path));
                }
                Some(_) => {}
            }
            self.disk.flush_folder(&place.folder).map_err(&failed)
        };
        if let Err(error) = finish() {
            let back = self.disk.rename(staged, place.at());
            let undone = if_there(back).and_then(|_| self.disk.flush_folder(&place.folder));
            return Err(Failure::after(undone.map_err(&failed), error));
        }
        Ok(self.step(Step::FolderFlushed)?)
    }

    pub(super) fn carry_remove_folder(
        &self,
        home: &Home,
        path: &RemotePath,
        id: &FileId,
        effect: &mut Effect,
    ) -> Carried {
        let failed = about(path, "removing a folder");
        let place = home.place_to_change(&self.disk, path)?;
        if let Some(there) = place.stat(&self.disk, path)? {
            if there.id() != *id {
                return Err(Situation::VersionChanged.about(path).into());
            }
            self.disk.remove_folder(&place.folder, place.name).map_err(&failed)?;
        }
        self.step(Step::Removed)?;
        if let Err(error) = self.disk.flush_folder(&place.folder) {
            return Err(Failure { error: failed(error), left: true });
        }
        self.step(Step::FolderFlushed)?;
        effect.went.push(Gone::uncredited(Charge::entries(1)));
        Ok(Answer::Removed(Removed { entries: 1, bytes: 0 }))
    }
}
