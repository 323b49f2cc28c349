//! Moving a name inside a home.
//!
//! Free of quota, but for what it replaces. Replacing exchanges both names; the displaced file,
//! which then lies where the moved one was, goes into staging.
//!
//! Invariant: the moved file has a name in the home at every instant.

use sampan_protocol::{ChangeKey, EntryKind, RemotePath};

use super::Inner;
use super::attributes::Meta;
use super::change::{Answer, Effect, request};
use super::failure::about;
use super::home::{Home, Place};
use super::intent::{Intent, Move};
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
        if let Some(staged) = moved {
            self.sweep(staged);
        }
        answer?.changed()
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

    pub(super) fn carry_rename(
        &self,
        home: &Home,
        rename: &Move,
        effect: &mut Effect,
    ) -> Result<Answer> {
        let Move { from, to, moved, replaces, .. } = rename;
        let failed = about(to, "moving a file");
        let source = home.place_to_change(&self.disk, from)?;
        let dest = home.place_to_change(&self.disk, to)?;
        let there = dest.stat(&self.disk, to)?;
        if there.is_none_or(|there| there.id() != *moved) {
            match source.stat(&self.disk, from)? {
                None => return Err(Situation::NotFound.about(from)),
                Some(other) if other.id() != *moved => {
                    return Err(Situation::VersionChanged.about(from));
                }
                Some(_) => {}
            }
            match replaces {
                None => self.disk.rename(source.at(), dest.at()).map_err(&failed)?,
                Some(_) => self.disk.exchange(source.at(), dest.at()).map_err(&failed)?,
            }
        }
        self.step("renamed")?;
        if replaces.is_some() {
            self.displace(rename, &source, &dest)?;
            self.step("displaced")?;
        }
        let flushed = self.disk.flush_folder(&dest.folder);
        if let Err(error) = flushed.and_then(|()| self.disk.flush_folder(&source.folder)) {
            self.undo_rename(rename, &source, &dest)?;
            return Err(failed(error));
        }
        self.step("folder flushed")?;
        let meta = self.disk.stat(&dest.folder, dest.name).map_err(&failed)?;
        effect.went.extend(replaces.as_ref().map(super::attributes::FileId::gone));
        Ok(Answer::Changed(meta.attributes()))
    }

    /// Takes what was replaced, which lies where the moved file was, into staging; if it is not
    /// what was meant, exchanges both back.
    fn displace(&self, rename: &Move, source: &Place<'_>, dest: &Place<'_>) -> Result<()> {
        let failed = about(&rename.from, "taking a replaced file away");
        let Some(displaced) = source.stat(&self.disk, &rename.from)? else { return Ok(()) };
        if Some(displaced.id()) != rename.replaces {
            self.disk.exchange(source.at(), dest.at()).map_err(&failed)?;
            self.disk.flush_folder(&dest.folder).map_err(&failed)?;
            self.disk.flush_folder(&source.folder).map_err(&failed)?;
            return Err(Situation::VersionChanged.about(&rename.to));
        }
        let staged = (&self.layout.staging, rename.staged.as_bytes());
        self.disk.rename(source.at(), staged).map_err(&failed)
    }

    fn undo_rename(&self, rename: &Move, source: &Place<'_>, dest: &Place<'_>) -> Result<()> {
        let staged = (&self.layout.staging, rename.staged.as_bytes());
        self.disk
            .rename(dest.at(), source.at())
            .and_then(|()| match rename.replaces {
                Some(_) => self.disk.rename(staged, dest.at()),
                None => Ok(()),
            })
            .map_err(about(&rename.to, "moving a file back"))
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
