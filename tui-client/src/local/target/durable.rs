//! Which names on the way to what was published are on the disk.
//!
//! A file is durable only if its name is, and the names of the folders above it: those that this run
//! or a broken one made, up to the chosen folder, and that one's own. So the first time something is
//! published in a folder its whole way is flushed, and then only it.
//!
//! Invariant: a folder counts as durable here only after the one that holds it was flushed, later
//! than it was made.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use rustix::fs::OFlags;
use rustix::io::Errno;
use sampan_protocol::RemotePath;

use super::super::failed::failed;
use super::super::folder::Folder;
use super::TargetRoot;
use crate::failure::Failure;

/// What is known of one chosen folder, by all that work in it.
#[derive(Debug, Default)]
pub(super) struct Durable(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Folders whose own name is on the disk; the home's path is the chosen folder.
    folders: HashSet<RemotePath>,
    /// How many folders above the chosen one were made for it.
    made_above: usize,
    /// What an earlier run did was flushed.
    earlier: bool,
}

/// A folder whose names must be flushed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::local) enum Names {
    /// Of this folder in the chosen one.
    Below(RemotePath),
    /// Of the folder that is so many levels above the chosen one.
    Above(usize),
}

impl Durable {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn with_made_above(levels: usize) -> Self {
        Self(Mutex::new(State { made_above: levels, ..State::default() }))
    }

    /// What must be flushed so that names in `folders` last: they, and what leads there.
    pub(super) fn needed(&self, folders: &[RemotePath]) -> Vec<Names> {
        let state = self.state();
        let mut needed = Vec::new();
        let mut add = |names: Names| {
            if !needed.contains(&names) {
                needed.push(names);
            }
        };
        for folder in folders {
            add(Names::Below(folder.clone()));
            let mut at = folder.clone();
            while !state.folders.contains(&at) {
                let Some(parent) = at.parent() else {
                    // Its own name too, for a run that broke may have made it.
                    (1..=state.made_above.max(1)).for_each(|level| add(Names::Above(level)));
                    break;
                };
                add(Names::Below(parent.clone()));
                at = parent;
            }
        }
        needed
    }

    /// All that [`Self::needed`] named for these was flushed.
    pub(super) fn note(&self, folders: &[RemotePath]) {
        let mut state = self.state();
        for folder in folders {
            let mut at = Some(folder.clone());
            while let Some(folder) = at.filter(|at| !state.folders.contains(at)) {
                at = folder.parent();
                state.folders.insert(folder);
            }
        }
    }

    /// A folder was made anew, perhaps where one was before. What was in that is made anew as well.
    pub(super) fn forget(&self, folder: &RemotePath) {
        self.state().folders.remove(folder);
    }
}

impl TargetRoot {
    /// Makes durable, once in a run, what earlier runs of the same command did here: one of them
    /// may have been told not to, or have broken before it could.
    pub fn flush_earlier(&self) -> Result<(), Failure> {
        if self.durable().state().earlier {
            return Ok(());
        }
        self.flush()?;
        self.durable().state().earlier = true;
        Ok(())
    }

    /// Flushes one folder's names.
    pub(in crate::local) fn flush_names(&self, names: &Names) -> Result<(), Failure> {
        let flush = |folder: &Folder| {
            let flushed = folder.reopen().and_then(|handle| self.disk().flush(handle));
            flushed.map_err(|error| failed(folder.path(), error))
        };
        match names {
            Names::Below(below) => flush(&self.folder().below(below)?),
            Names::Above(levels) => {
                // By the way up from what is open: its path may have led over links.
                let way = vec![".."; *levels].join("/");
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let opened = self.disk().open(self.folder(), way.as_str(), flags);
                match opened.and_then(|handle| self.disk().flush(handle)) {
                    // Who may not even read it has not made a folder in it; some hold no flush.
                    Err(Errno::ACCESS | Errno::PERM | Errno::INVAL | Errno::ROFS) => Ok(()),
                    flushed => flushed.map_err(|error| failed(&self.path().join(way), error)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::local::testing::at;

    #[test]
    fn the_way_to_a_folder_is_flushed_once() {
        let durable = Durable::with_made_above(2);
        let below = |path: &str| Names::Below(at(path));
        let needed = durable.needed(&[at("a/b")]);
        let above = [Names::Above(1), Names::Above(2)];
        assert_eq!(needed[..3], [below("a/b"), below("a"), below("")]);
        assert_eq!(needed[3..], above);
        durable.note(&[at("a/b")]);
        assert_eq!(durable.needed(&[at("a/b"), at("a")]), [below("a/b"), below("a")]);
        assert_eq!(durable.needed(&[at("a/c")]), [below("a/c"), below("a")]);
        durable.forget(&at("a"));
        assert_eq!(durable.needed(&[at("a")]), [below("a"), below("")]);
    }
}
