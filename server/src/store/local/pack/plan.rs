//! Which members of a pack can be published, and by which steps.
//!
//! A pack that fits is planned with few looks at the disk: what must be absent is left to the step
//! itself. One that does not fit, or has a name twice, is planned once more with a look at every name:
//! what would be refused anyway takes nothing from the others, and is refused for its own reason.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;

use sampan_protocol::limits::MAX_PACK_MEMBERS;
use sampan_protocol::{Mode, Name, RemotePath};
use serde::{Deserialize, Serialize};

use super::super::Inner;
use super::super::attributes::{FileId, Meta};
use super::super::change::{Member, Refused};
use super::super::db::ledger;
use super::super::disk::Open;
use super::super::failure::{about, if_there};
use super::super::home::{Home, joined};
use super::super::target;
use super::stage::{StagedContent, StagedPack};
use crate::quota::{self, Charge};
use crate::store::{Result, Situation, StoreError, Target};

/// The intent of a pack.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(in super::super) struct PackSteps {
    /// Where its files lie in staging.
    pub(in super::super) staged: String,
    pub(super) steps: Vec<PackStep>,
    /// Members that need no step; the others' results come from their steps.
    pub(super) known: Vec<(u32, Member)>,
    pub(super) members: u32,
}

/// One name that is published.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct PackStep {
    /// The member that it is; a folder on the way to one is none.
    pub(super) index: Option<u32>,
    pub(super) path: RemotePath,
    pub(super) what: PackStepKind,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum PackStepKind {
    Folder(Mode),
    File(FileId, Option<FileId>),
}

/// Folders of a pack that were looked for.
enum Known {
    There(OwnedFd),
    /// The step of this index makes it.
    Planned(usize),
}

/// Folders that are remembered with an open descriptor.
const OPEN_FOLDERS: usize = 64;
/// Folders on the way to its members that a pack may make: some for each member.
const MADE_FOLDERS: usize = 4 * MAX_PACK_MEMBERS;
/// Bytes that their paths may take together. Each has a whole path of its own, so that a few deep
/// members would else take gigabytes.
const MADE_BYTES: usize = 16 << 20;
/// What a name takes in memory beside its bytes.
const NAME_BYTES: usize = 32;

/// A plan in the making.
pub(super) struct Planner<'a> {
    inner: &'a Inner,
    home: &'a Home,
    folders: HashMap<Vec<u8>, Known>,
    open: usize,
    /// Folders that are made on the way, and bytes of their paths.
    made: (usize, usize),
    /// Files that are planned.
    files: HashSet<Vec<u8>>,
    /// Looks at every name.
    is_careful: bool,
    /// A member did not fit, or what it came to depends on another one: the plan needs care.
    is_doubtful: bool,
    /// What is left of the limits.
    left: Charge,
    pub(super) reserve: Charge,
    pub(super) steps: PackSteps,
}

impl Inner {
    /// Plans a staged pack, in the account's turn.
    pub(super) fn plan_pack(&self, home: &Home, pack: &StagedPack) -> Result<(PackSteps, Charge)> {
        let ledger = self.db.read(|connection| ledger::ledger(connection, home.account))?;
        let planned = self.plan_members(home, pack, &ledger, false)?;
        let planned = if planned.is_doubtful {
            self.plan_members(home, pack, &ledger, true)?
        } else {
            planned
        };
        Ok((planned.steps, planned.reserve))
    }

    fn plan_members<'a>(
        &'a self,
        home: &'a Home,
        pack: &StagedPack,
        ledger: &ledger::Ledger,
        is_careful: bool,
    ) -> Result<Planner<'a>> {
        let ledger::Ledger { limits, used, reserved, .. } = *ledger;
        let mut planner = Planner {
            inner: self,
            home,
            folders: HashMap::new(),
            open: 0,
            made: (0, 0),
            files: HashSet::new(),
            is_careful,
            is_doubtful: false,
            left: Charge {
                bytes: quota::available(limits.bytes, used.bytes, reserved.bytes),
                entries: quota::available(limits.entries, used.entries, reserved.entries),
            },
            reserve: Charge::NONE,
            steps: PackSteps {
                staged: pack.name.clone(),
                steps: Vec::with_capacity(pack.members.len()),
                known: Vec::new(),
                members: u32::try_from(pack.members.len())
                    .expect("a pack has at most 1024 members"),
            },
        };
        for (index, member) in (0..).zip(&pack.members) {
            let outcome = match &member.content {
                StagedContent::Refused(refused) => Err(refused.clone().into()),
                StagedContent::Folder(mode) => planner.folder(index, &member.path, *mode),
                StagedContent::File(file, if_target) => {
                    planner.file(index, &member.path, *file, if_target)
                }
            };
            match outcome {
                Ok(()) => {}
                Err(StoreError::Refused { situation, path }) => {
                    let path = path.or_else(|| Some(member.path.clone()));
                    planner.steps.known.push((index, Err(Refused { situation, path })));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(planner)
    }
}

impl Planner<'_> {
    fn folder(&mut self, index: u32, path: &RemotePath, mode: Mode) -> Result<()> {
        let names = path.names();
        let Some((name, parents)) = names.split_last() else {
            let meta = self.home.stat(&self.inner.disk, path)?;
            self.steps.known.push((index, Ok(meta.attributes())));
            return Ok(());
        };
        let missing = self.missing(path, parents)?;
        if missing == 0 {
            if let Some(Known::Planned(step)) = self.folders.get(path.as_bytes()) {
                // Made by an earlier step, perhaps as a parent; this member says its mode.
                let step = self.steps.steps.get_mut(*step);
                if let Some(PackStep { index: own @ None, what, .. }) = step {
                    *own = Some(index);
                    *what = PackStepKind::Folder(mode);
                    return Ok(());
                }
                return Err(Situation::Exists.about(path));
            }
            match self.there(path, parents, name)? {
                Some(meta) if meta.is_folder() => {
                    self.steps.known.push((index, Ok(meta.attributes())));
                    return Ok(());
                }
                Some(_) => return Err(Situation::Exists.about(path)),
                None if self.is_planned_file(&path.names()) => {
                    return Err(Situation::NotAFolder.about(path));
                }
                None => {}
            }
        }
        let with_it = self.made_with(path, parents, missing)?;
        self.take(Charge::entries(1 + missing as u64), path)?;
        self.made = with_it;
        self.make_parents(path, parents, missing)?;
        self.push_folder(Some(index), path.clone(), mode);
        Ok(())
    }

    fn file(
        &mut self,
        index: u32,
        path: &RemotePath,
        file: FileId,
        if_target: &Target,
    ) -> Result<()> {
        let names = path.names();
        let Some((name, parents)) = names.split_last() else {
            return Err(Situation::InvalidTarget.about(path));
        };
        let missing = self.missing(path, parents)?;
        // What must be absent is left to the step itself, which refuses what is there.
        let there = match (missing, if_target) {
            (0, Target::This(_) | Target::Any) => self.there(path, parents, name)?,
            (0, Target::Absent) if self.is_careful => self.there(path, parents, name)?,
            _ => None,
        };
        let replaces = target::check(path, if_target, there)?;
        let key = path.as_bytes().to_vec();
        if self.is_planned_file(&path.names())
            || matches!(self.folders.get(&key), Some(Known::Planned(_)))
        {
            // An earlier member's by then: what it was to replace is gone, or something is there.
            return Err(match replaces {
                Some(_) => Situation::VersionChanged.about(path),
                None => Situation::Exists.about(path),
            });
        }
        let new = Charge::entry(file.size).plus(Charge::entries(missing as u64));
        let need = match &replaces {
            None => new,
            Some(meta) => {
                let account = self.home.account;
                let claim = self.inner.db.read(|c| ledger::claim(c, account, meta.inode()))?;
                let claimed = claim.map_or(Charge::NONE, |(_, claimed)| claimed);
                quota::extra(new, meta.charge(), claimed, Charge::NONE)
            }
        };
        let with_it = self.made_with(path, parents, missing)?;
        self.take(need, path)?;
        self.made = with_it;
        self.make_parents(path, parents, missing)?;
        self.files.insert(key);
        let what = PackStepKind::File(file, replaces.map(|meta| meta.id()));
        self.steps.steps.push(PackStep { index: Some(index), path: path.clone(), what });
        Ok(())
    }

    /// Takes a part of what the limits leave.
    fn take(&mut self, need: Charge, path: &RemotePath) -> Result<()> {
        self.is_doubtful |= need.less(self.left) != Charge::NONE;
        if need.bytes > self.left.bytes {
            let available = self.left.bytes;
            return Err(Situation::OverQuota { needed: need.bytes, available }.about(path));
        }
        if need.entries > self.left.entries {
            let available = self.left.entries;
            return Err(Situation::TooManyFiles { needed: need.entries, available }.about(path));
        }
        self.left = self.left.less(need);
        self.reserve = self.reserve.plus(need);
        Ok(())
    }

    /// How many of `parents`, from the last one up, are missing and not planned.
    fn missing(&mut self, path: &RemotePath, parents: &[Name]) -> Result<usize> {
        let disk = &self.inner.disk;
        for present in (0..=parents.len()).rev() {
            if self.is_planned_file(&parents[..present]) {
                return Err(Situation::NotAFolder.about(path));
            }
            let key = joined(&parents[..present]);
            if self.folders.contains_key(&key) {
                return Ok(parents.len() - present);
            }
            let opened = self.home.folder(disk, &parents[..present], Open::FolderToLook);
            if let Some(folder) = if_there(opened).map_err(about(path, "looking for folders"))? {
                if self.open == OPEN_FOLDERS {
                    self.folders.retain(|_, known| matches!(known, Known::Planned(_)));
                    self.open = 0;
                }
                self.open += 1;
                self.folders.insert(key, Known::There(folder));
                return Ok(parents.len() - present);
            }
        }
        Err(Situation::NotFound.about(path))
    }

    /// Whether a file is planned there; only a careful planner knows that it will come.
    fn is_planned_file(&mut self, names: &[Name]) -> bool {
        let is_planned = !self.files.is_empty() && self.files.contains(&joined(names));
        self.is_doubtful |= is_planned;
        is_planned && self.is_careful
    }

    /// What is made on the way with a member's folders. Refuses one that needs more than the pack has
    /// left, before any of their paths is made.
    fn made_with(
        &self,
        path: &RemotePath,
        parents: &[Name],
        missing: usize,
    ) -> Result<(usize, usize)> {
        let (mut made, mut bytes) = self.made;
        let mut length: usize = parents[..parents.len() - missing].iter().map(weight).sum();
        for name in &parents[parents.len() - missing..] {
            length += weight(name);
            made += 1;
            bytes += length;
        }
        if made > MADE_FOLDERS || bytes > MADE_BYTES {
            let what = "folders on the way to the members of a pack".to_owned();
            return Err(Situation::LimitExceeded { what }.about(path));
        }
        Ok((made, bytes))
    }

    fn make_parents(&mut self, path: &RemotePath, parents: &[Name], missing: usize) -> Result<()> {
        for end in parents.len() - missing + 1..=parents.len() {
            let folder = RemotePath::from_names(&parents[..end]);
            let folder = folder.map_err(|_| Situation::NameNotStorable.about(path))?;
            self.push_folder(None, folder, Mode::FOLDER);
        }
        Ok(())
    }

    fn push_folder(&mut self, index: Option<u32>, path: RemotePath, mode: Mode) {
        self.folders.insert(path.as_bytes().to_vec(), Known::Planned(self.steps.steps.len()));
        self.steps.steps.push(PackStep { index, path, what: PackStepKind::Folder(mode) });
    }

    /// What lies at a place whose parents are there or planned.
    fn there(&self, path: &RemotePath, parents: &[Name], name: &Name) -> Result<Option<Meta>> {
        match self.folders.get(&joined(parents)) {
            Some(Known::There(folder)) => if_there(self.inner.disk.stat(folder, name.as_bytes()))
                .map_err(about(path, "reading attributes")),
            _ => Ok(None),
        }
    }
}

fn weight(name: &Name) -> usize {
    name.as_bytes().len() + NAME_BYTES
}
