//! Moving a name inside a home.
//!
//! Free of quota, but for what it replaces. Replacing exchanges both names; the displaced file,
//! which then lies where the moved one was, goes into staging.
//!
//! Invariant: the moved file has a name in the home at every instant.

use std::io;

use sampan_protocol::{ChangeKey, EntryKind, RemotePath};

use super::Inner;
use super::attributes::{FileId, Meta};
use super::change::{Answer, Carried, Effect, Failure, request};
use super::failure::{about, if_there, while_doing};
use super::home::{Home, Place};
use super::intent::{Intent, Move};
use super::step::Step;
use super::{staging, target};
use crate::quota::Charge;
use crate::store::{Changed, Rename, Result, Situation, Target};

impl Inner {
    pub(super) fn rename(
        &self,
        home: &Home,
        change: ChangeKey,
        rename: &Rename,
    ) -> Result<Changed> {
        let Rename { from, to, version, if_target } = rename;
        let args = (from, to, version, if_target);
        let request = request(home.account, change, "rename", &args);
        let mut moved = None;
        let answer = self.change(home, &request, || {
            let intent = self.plan_rename(home, rename)?;
            let answer =
                self.perform(home, &request, &Intent::Rename(intent.clone()), Charge::NONE);
            moved = intent.replaces.map(|_| intent.staged);
            answer
        });
        let changed = answer?.changed()?;
        if let Some(staged) = moved {
            self.sweep(staged);
        }
        Ok(changed)
    }

    fn plan_rename(&self, home: &Home, rename: &Rename) -> Result<Move> {
        let Rename { from, to, version, if_target } = rename;
        let source = home.stat(&self.disk, from)?;
        if from.is_home() || to.is_home() || to.is_within(from) {
            return Err(Situation::InvalidTarget.about(to));
        }
        if version.as_ref().is_some_and(|version| *version != source.version()) {
            return Err(Situation::VersionChanged.about(from));
        }
        let there = home.place(&self.disk, to)?.stat(&self.disk, to)?;
        let replaces = if source.kind == EntryKind::Folder {
            check_no_target(to, if_target, there)?;
            None
        } else {
            target::check(to, if_target, there)?
        };
        if replaces.is_some_and(|replaced| replaced.inode == source.inode) {
            // Two names of one file: there is nothing to replace.
            return Err(Situation::InvalidTarget.about(to));
        }
        Ok(Move {
            from: from.clone(),
            to: to.clone(),
            moved: source.id(),
            replaces: replaces.map(|replaced| replaced.id()),
            staged: staging::fresh(staging::GONE),
        })
    }

    pub(super) fn carry_rename(&self, home: &Home, rename: &Move, effect: &mut Effect) -> Carried {
        let Move { from, to, moved, replaces, .. } = rename;
        let source = home.place_to_change(&self.disk, from)?;
        let dest = home.place_to_change(&self.disk, to)?;
        let failed = |error: io::Error| {
            let is_denied = error.kind() == io::ErrorKind::PermissionDenied;
            let kept = is_denied && !self.disk.may_change(&source.folder);
            about(if kept { from } else { to }, "moving a file")(error)
        };
        self.fetch_back(rename, &source, &dest)?;
        let there = dest.stat(&self.disk, to)?;
        if there.is_none_or(|there| there.id() != *moved) {
            match source.stat(&self.disk, from)? {
                None => return Err(Situation::NotFound.about(from).into()),
                Some(other) if other.id() != *moved => {
                    return Err(Situation::VersionChanged.about(from).into());
                }
                Some(_) => {}
            }
            match replaces {
                None => self.disk.rename(source.at(), dest.at()).map_err(&failed)?,
                Some(_) => self.disk.exchange(source.at(), dest.at()).map_err(&failed)?,
            }
        }
        self.step(Step::Renamed)?;
        let mut displaced = false;
        let meta = self.finish_rename(rename, &source, &dest, &mut displaced).map_err(|error| {
            let undone = self.undo_rename(rename, &source, &dest, displaced);
            Failure::after(undone.map_err(&failed), error)
        })?;
        self.step(Step::FolderFlushed)?;
        effect.went.extend(replaces.as_ref().map(FileId::gone));
        Ok(Answer::Changed(meta.attributes()))
    }

    /// What follows once the name has moved.
    fn finish_rename(
        &self,
        rename: &Move,
        source: &Place<'_>,
        dest: &Place<'_>,
        displaced: &mut bool,
    ) -> Result<Meta> {
        let failed = about(&rename.to, "moving a file");
        if rename.replaces.is_some() && self.staged_by_rename(rename)? == rename.replaces {
            // What lies where the moved file was is somebody else's by now.
            *displaced = true;
        } else if rename.replaces.is_some() {
            // What was replaced lies where the moved file was, unless it was taken away already.
            match source.stat(&self.disk, &rename.from)? {
                Some(there) if Some(there.id()) != rename.replaces => {
                    return Err(Situation::VersionChanged.about(&rename.to));
                }
                Some(_) => {
                    let staged = (&self.layout.staging, rename.staged.as_bytes());
                    self.disk.rename(source.at(), staged).map_err(&failed)?;
                }
                None => {}
            }
            *displaced = true;
            self.step(Step::Displaced)?;
        }
        let meta = self.disk.stat(&dest.folder, dest.name).map_err(&failed)?;
        self.disk
            .flush_folder(&dest.folder)
            .and_then(|()| self.disk.flush_folder(&source.folder))
            .map_err(&failed)?;
        Ok(meta)
    }

    /// Which file lies in the rename's place in staging.
    fn staged_by_rename(&self, rename: &Move) -> Result<Option<FileId>> {
        let staged = self.disk.stat(&self.layout.staging, rename.staged.as_bytes());
        let staged = if_there(staged).map_err(while_doing("looking into staging"))?;
        Ok(staged.map(|staged| staged.id()))
    }

    /// Taking the rename back may have been cut short: whichever of the two files lies in staging
    /// gets a name again, before anything could give the rename up and clear staging away.
    fn fetch_back(
        &self,
        rename: &Move,
        source: &Place<'_>,
        dest: &Place<'_>,
    ) -> std::result::Result<(), Failure> {
        if rename.replaces.is_none() {
            return Ok(());
        }
        let there = dest.stat(&self.disk, &rename.to)?.map(|there| there.id());
        let staged = (&self.layout.staging, rename.staged.as_bytes());
        let fetched = match self.staged_by_rename(rename)? {
            Some(moved) if moved == rename.moved && there == rename.replaces => {
                self.disk.exchange(staged, dest.at())
            }
            Some(moved) if moved == rename.moved => self.disk.rename(staged, source.at()),
            replaced if replaced == rename.replaces && there.is_none() => {
                self.disk.rename(staged, dest.at())
            }
            _ => Ok(()),
        };
        fetched.map_err(|error| {
            let error = about(&rename.to, "fetching a file back from staging")(error);
            Failure { error: error.not_refused(), left: true }
        })
    }

    fn undo_rename(
        &self,
        rename: &Move,
        source: &Place<'_>,
        dest: &Place<'_>,
        displaced: bool,
    ) -> io::Result<()> {
        if displaced {
            // In this order the target is never without a file.
            let staged = (&self.layout.staging, rename.staged.as_bytes());
            self.disk.exchange(staged, dest.at())?;
            self.disk.rename(staged, source.at())?;
        } else if rename.replaces.is_some() {
            self.disk.exchange(source.at(), dest.at())?;
        } else {
            self.disk.rename(dest.at(), source.at())?;
        }
        self.disk.flush_folder(&dest.folder)?;
        self.disk.flush_folder(&source.folder)
    }
}

/// A folder takes a free name only.
fn check_no_target(path: &RemotePath, target: &Target, there: Option<Meta>) -> Result<()> {
    match (target, there) {
        (Target::This(_), None) => Err(Situation::VersionChanged.about(path)),
        (_, None) => Ok(()),
        (Target::Absent, Some(_)) => Err(Situation::Exists.about(path)),
        (_, Some(meta)) if meta.is_folder() => Err(Situation::Exists.about(path)),
        (_, Some(_)) => Err(Situation::NotAFolder.about(path)),
    }
}
