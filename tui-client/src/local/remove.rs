//! Removing a tree, one name after another, without following a link.
//!
//! Folders down to [`OPEN_LEVELS`] stay open, deeper ones are found again from the top, so that
//! depth costs no descriptors. A folder's names are read in batches, from its beginning each time,
//! for what a file system gives while names vanish is its own affair.
//!
//! Invariant: every folder that is gone into is checked to be the one that was seen; nothing on
//! another file system is removed; what cannot be removed is named, and the rest goes on.

use std::collections::HashSet;

use rustix::io::Errno;
use sampan_protocol::Name;

use super::attributes::{Identity, Look};
use super::change::Removed;
use super::failed::{about, failed};
use super::folder::Folder;
use crate::failure::{Failure, Side, Situation};

/// Levels whose folders stay open.
const OPEN_LEVELS: usize = 64;
/// Names read at once.
const BATCH: usize = 4096;
/// Failures that are told one by one.
const MAX_FAILURES: usize = 1000;

/// A tree that is being removed.
pub(super) struct Removal<'a> {
    /// The folder that holds the tree.
    parent: Folder,
    name: Name,
    levels: Vec<Level>,
    removed: Removed,
    go_on: &'a mut dyn FnMut(u64) -> bool,
}

struct Level {
    name: Name,
    identity: Identity,
    /// `None` while it is deep and something below it is removed.
    folder: Option<Folder>,
    /// Read and not removed yet.
    names: Vec<Name>,
    /// What could not be removed; it will be read again, and passed over.
    stuck: HashSet<Name>,
}

impl<'a> Removal<'a> {
    /// Of the folder `name` in `parent`, which was seen as `look`.
    pub(super) fn new(
        parent: Folder,
        name: Name,
        look: &Look,
        go_on: &'a mut dyn FnMut(u64) -> bool,
    ) -> Result<Self, Failure> {
        let mut removal = Self {
            parent,
            name: name.clone(),
            levels: Vec::new(),
            removed: Removed::default(),
            go_on,
        };
        let parent = removal.parent.clone();
        removal.enter(&parent, name, look)?;
        Ok(removal)
    }

    /// Removes until nothing is left that can be.
    pub(super) fn run(mut self) -> Removed {
        while !self.levels.is_empty() {
            if !(self.go_on)(self.removed.files + self.removed.folders) {
                let path = self.parent.path_to(&self.name);
                self.fail(about(Situation::Interrupted, &path));
                break;
            }
            if let Err(failure) = self.step() {
                self.fail(failure);
                self.leave_stuck();
            }
        }
        self.removed
    }

    /// Removes the next name of the innermost folder, goes into it, or leaves the folder.
    fn step(&mut self) -> Result<(), Failure> {
        let folder = self.innermost()?;
        let Some(level) = self.levels.last_mut() else { return Ok(()) };
        let Some(name) = level.names.pop() else {
            return match read_batch(&folder, &level.stuck) {
                Ok(names) if names.is_empty() => self.leave(),
                Ok(names) => {
                    level.names = names;
                    Ok(())
                }
                Err(error) => Err(failed(folder.path(), error)),
            };
        };
        let path = || folder.path_to(&name);
        let met = match folder.look_at(&name) {
            Ok(look) if look.is_folder() => self.enter(&folder, name.clone(), &look),
            Ok(_) => match folder.disk().unlink(&folder, name.as_bytes()) {
                Ok(()) => {
                    self.removed.files += 1;
                    Ok(())
                }
                Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(failed(&path(), error)),
            },
            // Somebody else removed it.
            Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(failed(&path(), error)),
        };
        if let Err(failure) = met {
            self.fail(failure);
            if let Some(level) = self.levels.last_mut() {
                level.stuck.insert(name);
            }
        }
        Ok(())
    }

    fn enter(&mut self, above: &Folder, name: Name, look: &Look) -> Result<(), Failure> {
        let folder = above.descend(std::slice::from_ref(&name))?;
        let identity = folder.look()?.identity;
        if !identity.is_same_file(&look.identity) {
            return Err(about(Situation::TargetChanged(Side::Local), folder.path()));
        }
        let home = self.levels.first().map_or(identity.device, |top| top.identity.device);
        let above = self.levels.is_empty().then(|| self.parent.look()).transpose()?;
        if identity.device != home || above.is_some_and(|above| above.identity.device != home) {
            return Err(about(Situation::OtherFileSystem, folder.path()));
        }
        if self.levels.len() > OPEN_LEVELS
            && let Some(level) = self.levels.last_mut()
        {
            level.folder = None;
        }
        let (names, stuck) = (Vec::new(), HashSet::new());
        self.levels.push(Level { name, identity, folder: Some(folder), names, stuck });
        Ok(())
    }

    /// The innermost folder, opened again if it was closed.
    fn innermost(&mut self) -> Result<Folder, Failure> {
        let way: Vec<Name> = match self.levels.last() {
            Some(Level { folder: Some(folder), .. }) => return Ok(folder.clone()),
            _ => self.levels.iter().map(|level| level.name.clone()).collect(),
        };
        let folder = self.parent.descend(&way)?;
        let identity = folder.look()?.identity;
        match self.levels.last_mut() {
            Some(level) if level.identity.is_same_file(&identity) => {
                level.folder = Some(folder.clone());
                Ok(folder)
            }
            _ => Err(about(Situation::TargetChanged(Side::Local), folder.path())),
        }
    }

    /// Removes the innermost folder, which holds nothing that could be removed.
    fn leave(&mut self) -> Result<(), Failure> {
        let Some(level) = self.levels.pop() else { return Ok(()) };
        if !level.stuck.is_empty() {
            self.stick(level.name);
            return Ok(());
        }
        let above = if self.levels.is_empty() { self.parent.clone() } else { self.innermost()? };
        match above.disk().remove_folder(&above, level.name.as_bytes()) {
            Ok(()) => self.removed.folders += 1,
            Err(Errno::NOENT) => {}
            Err(error) => {
                self.fail(failed(&above.path_to(&level.name), error));
                self.stick(level.name);
            }
        }
        Ok(())
    }

    /// Goes on outside a folder that cannot be worked on.
    fn leave_stuck(&mut self) {
        if let Some(level) = self.levels.pop() {
            self.stick(level.name);
        }
    }

    fn stick(&mut self, name: Name) {
        if let Some(above) = self.levels.last_mut() {
            above.stuck.insert(name);
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.removed.failed += 1;
        if self.removed.failures.len() < MAX_FAILURES {
            self.removed.failures.push(failure);
        }
    }
}

fn read_batch(folder: &Folder, stuck: &HashSet<Name>) -> rustix::io::Result<Vec<Name>> {
    let mut names = Vec::new();
    let mut entries = folder.names()?;
    while names.len() < BATCH {
        let Some(entry) = folder.disk().next_name(&mut entries) else { break };
        // `.` and `..` are no names; a name of more than 255 bytes is on no disk that is not broken.
        let entry = entry?;
        if let Ok(name) = Name::new(entry.file_name().to_bytes())
            && !stuck.contains(&name)
        {
            names.push(name);
        }
    }
    Ok(names)
}
