//! Publishing the members of a pack.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::Ordering;

use sampan_protocol::{Attributes, Name, RemotePath};

use super::super::Inner;
use super::super::attributes::{FileId, Meta};
use super::super::change::{Answer, Carried, Effect, Failure, Member, Refused};
use super::super::db::answers::Request;
use super::super::db::intents;
use super::super::disk::Open;
use super::super::encoding::decode;
use super::super::failure::{about, if_there, while_doing};
use super::super::home::{Home, Place, joined};
use super::super::intent::Intent;
use super::super::publish::Staged;
use super::super::step::Step;
use super::plan::{PackStep, PackStepKind, PackSteps};
use super::stage::StagedPack;
use crate::quota::Charge;
use crate::store::{Result, Situation, StoreError};

/// Folders that are flushed each for itself; more are flushed with the whole file system.
const FLUSHED_ALONE: usize = 32;
/// Times that a pack is planned, if its account's limits are lowered each time.
const PLANS: u32 = 8;
/// Folders that are kept open between steps.
const OPEN_FOLDERS: usize = 64;

/// The folders that a pack touches.
struct Folders<'a> {
    inner: &'a Inner,
    home: &'a Home,
    open: HashMap<Vec<u8>, OwnedFd>,
    touched: HashSet<Vec<u8>>,
}

impl Folders<'_> {
    /// The open folder of `names`, which will be flushed.
    fn touch(&mut self, path: &RemotePath, names: &[Name]) -> Result<&OwnedFd> {
        let key = joined(names);
        if !self.open.contains_key(&key) {
            if self.open.len() >= OPEN_FOLDERS {
                self.open.clear();
            }
            let folder = self.home.folder(&self.inner.disk, names, Open::Folder);
            let folder = folder.map_err(about(path, "opening a folder"))?;
            self.open.insert(key.clone(), folder);
            self.touched.insert(key.clone());
        }
        Ok(&self.open[&key])
    }

    fn flush(&self) -> io::Result<()> {
        let disk = &self.inner.disk;
        if self.touched.len() > FLUSHED_ALONE || self.touched.len() > self.open.len() {
            return disk.flush_all(&self.inner.layout.homes);
        }
        self.open.values().try_for_each(|folder| disk.flush_folder(folder))
    }
}

/// A step that was taken.
struct Taken<'a> {
    step: &'a PackStep,
    attributes: Attributes,
    /// The same folder as that of an earlier step, under a name that the file system takes for the
    /// same: it came once.
    is_again: bool,
}

impl Inner {
    /// Publishes a staged and flushed pack. The caller has the account's turn.
    pub(in super::super) fn publish_pack(
        &self,
        home: &Home,
        request: &Request,
        pack: &StagedPack,
    ) -> Result<Vec<Member>> {
        let answer = self.change(home, request, || {
            let mut tries = PLANS;
            loop {
                tries -= 1;
                let (steps, reserve) = self.plan_pack(home, pack)?;
                match self.perform(home, request, &Intent::Pack(steps), reserve) {
                    // The limits were lowered since it was planned: they are no change of the
                    // account's own, and wait for no turn.
                    Err(error) if error.is_over_quota() && tries > 0 => {}
                    performed => return performed,
                }
            }
        });
        if home.unsettled.load(Ordering::Relaxed) && self.may_be_needed(home, pack) {
            pack.keep();
        }
        answer?.pack()
    }

    /// Whether an intent needs what is staged of a pack; also if that cannot be found out.
    fn may_be_needed(&self, home: &Home, pack: &StagedPack) -> bool {
        let left = self.db.read(|connection| intents::all(connection, Some(home.account)));
        let Ok(left) = left else { return true };
        left.iter().any(|stored| match decode::<Intent>(&stored.body) {
            Ok(intent) => intent.staged().is_some_and(|staged| staged == pack.name),
            Err(_) => true,
        })
    }

    pub(in super::super) fn carry_pack(
        &self,
        home: &Home,
        pack: &PackSteps,
        effect: &mut Effect,
    ) -> Carried {
        let staged_in =
            self.disk.open_beneath(&self.layout.staging, pack.staged.as_bytes(), Open::Folder);
        // Without it a member is either published already, or cannot be any more.
        let staged_in = if_there(staged_in).map_err(while_doing("opening a pack's staging"))?;
        let mut folders =
            Folders { inner: self, home, open: HashMap::new(), touched: HashSet::new() };
        let refused = Refused { situation: Situation::NotFound, path: None };
        let mut results: Vec<Member> = vec![Err(refused); pack.members as usize];
        for (index, result) in &pack.known {
            results[*index as usize].clone_from(result);
        }
        let mut taken: Vec<Taken<'_>> = Vec::with_capacity(pack.steps.len());
        let mut made = HashSet::new();
        for step in &pack.steps {
            match self.take_step(&mut folders, staged_in.as_ref(), step) {
                Ok(meta) => {
                    let is_again = meta.is_folder() && !made.insert(meta.inode);
                    taken.push(Taken { step, attributes: meta.attributes(), is_again });
                    self.step(Step::PackMemberPublished)?;
                }
                Err(Failure { error: StoreError::Refused { situation, path }, left: false }) => {
                    if let Some(index) = step.index {
                        let path = path.or_else(|| Some(step.path.clone()));
                        results[index as usize] = Err(Refused { situation, path });
                    }
                }
                Err(failure) if failure.left => return Err(failure),
                // A failing disk fails the whole group.
                Err(failure) => {
                    return Err(self.undo_pack(
                        &folders,
                        staged_in.as_ref(),
                        &taken,
                        effect,
                        failure.error,
                    ));
                }
            }
        }
        self.step(Step::PackPublished)?;
        if let Err(error) = folders.flush() {
            let error = while_doing("flushing a pack's folders")(error);
            return Err(self.undo_pack(&folders, staged_in.as_ref(), &taken, effect, error));
        }
        self.step(Step::FoldersFlushed)?;
        for taken in taken {
            effect.count(&taken);
            let Taken { step, attributes, .. } = taken;
            let Some(index) = step.index else { continue };
            results[index as usize] = Ok(match step.what {
                PackStepKind::File(..) => attributes,
                // Of a folder at the end, when what is in it has come; if another hand has taken it
                // away by then, as it was made.
                PackStepKind::Folder(_) => {
                    let now = home.stat(&self.disk, &step.path);
                    now.map_or(attributes, |meta| meta.attributes())
                }
            });
        }
        Ok(Answer::Pack(results))
    }

    fn take_step(
        &self,
        folders: &mut Folders<'_>,
        staged_in: Option<&OwnedFd>,
        step: &PackStep,
    ) -> Carried<Meta> {
        let path = &step.path;
        let names = path.names();
        let Some((name, parents)) = names.split_last() else {
            return Err(Situation::InvalidTarget.about(path).into());
        };
        let folder = folders.touch(path, parents)?;
        match &step.what {
            PackStepKind::Folder(mode) => {
                let (_, meta) = self.make_one_folder(folder, name, path, *mode)?;
                Ok(meta)
            }
            PackStepKind::File(file, replaces) => {
                let index = step.index.map(|index| index.to_string()).unwrap_or_default();
                let place = Place { folder, name: name.as_bytes() };
                let Some(staged_in) = staged_in else {
                    let there = place.stat(&self.disk, path)?;
                    let done = there.filter(|there| there.id() == *file);
                    let meta = done.ok_or_else(|| Situation::NotFound.about(path))?;
                    return Ok(meta);
                };
                let staged = Staged {
                    folder: staged_in,
                    name: index.as_bytes(),
                    file: *file,
                    replaces: *replaces,
                };
                self.swap_in(&staged, &place, path)
            }
        }
    }

    /// Takes back what was published of a pack; folders that were made stay and count.
    fn undo_pack(
        &self,
        folders: &Folders<'_>,
        staged_in: Option<&OwnedFd>,
        taken: &[Taken<'_>],
        effect: &mut Effect,
        error: StoreError,
    ) -> Failure {
        let Some(staged_in) = staged_in else { return Failure { error, left: true } };
        let mut undone = Ok(());
        for taken in taken.iter().rev() {
            let step = taken.step;
            let path = &step.path;
            let (PackStepKind::File(file, replaces), Some(index)) = (&step.what, step.index) else {
                effect.count(taken);
                continue;
            };
            let index = index.to_string();
            let staged = Staged {
                folder: staged_in,
                name: index.as_bytes(),
                file: *file,
                replaces: *replaces,
            };
            let back = folders
                .home
                .place_to_change(&self.disk, path)
                .and_then(|place| self.swap_out(&staged, &place.borrowed(), path));
            undone = undone.and(back);
        }
        Failure::after(undone, error)
    }
}

impl Effect {
    fn count(&mut self, taken: &Taken<'_>) {
        match &taken.step.what {
            PackStepKind::Folder(_) if taken.is_again => {}
            PackStepKind::Folder(_) => self.came = self.came.plus(Charge::entries(1)),
            PackStepKind::File(file, replaces) => {
                self.came = self.came.plus(Charge::entry(file.size));
                self.went.extend(replaces.as_ref().map(FileId::gone));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sampan_protocol::Mode;

    use super::*;
    use crate::store::conformance::{path, user};
    use crate::store::local::tests::Local;

    /// Where the file system takes two names for one, a pack's folder of both comes once.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_folder_of_two_names_counts_once() {
        let local = Local::new().await;
        let anna = user(&local).await;
        let folder = |index, at| PackStep {
            index,
            path: path(at),
            what: PackStepKind::Folder(Mode::FOLDER),
        };
        // To a file system that folds case `D` and `d` are what `d` and `d` are to any.
        let steps = vec![
            folder(Some(0), "d"),
            folder(Some(1), "d"),
            folder(None, "d/e"),
            folder(Some(2), "d/e"),
        ];
        let pack = PackSteps { staged: "p0".to_owned(), steps, known: Vec::new(), members: 3 };
        let inner = local.local().inner.clone();
        let carried = tokio::task::spawn_blocking(move || {
            let home = inner.open_home(anna.id).unwrap();
            let mut effect = Effect::default();
            let answer = inner.carry_pack(&home, &pack, &mut effect).unwrap();
            (answer.pack().unwrap(), effect.came)
        });
        let (members, came) = carried.await.unwrap();
        assert!(members.iter().all(Member::is_ok), "{members:?}");
        assert_eq!(came, Charge::entries(2));
    }
}
