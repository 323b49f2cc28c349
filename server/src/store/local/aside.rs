//! What a purge has not credited yet: what it still has to delete, and what it set aside.
//!
//! Invariant: whoever counts here holds the account's purging turn, or is its purge.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::Inner;
use super::change::Gone;
use super::db::scans::Found;
use super::disk::Open;
use super::failure::if_there;
use super::purge::{Beside, Doomed, Purge};
use super::walking::Walk;
use crate::quota::Charge;
use crate::store::OddityKind;

/// Numbers of the inodes that uploads count on.
type Wanted = Arc<HashSet<u64>>;

/// What lies in the folders that were set aside, and these themselves.
#[derive(Debug, Default)]
pub(super) struct Aside {
    charge: Charge,
    /// Files in them that an upload may count on.
    found: Vec<Found>,
    /// Something in them could not be counted.
    pub(super) is_short: bool,
}

impl Aside {
    /// As what goes with the last batch: files that an upload may count on each for itself.
    pub(super) fn gone(&self) -> Vec<Doomed> {
        let mut rest = self.charge;
        let mut gone = Vec::with_capacity(self.found.len() + 1);
        for Found { file, bytes } in &self.found {
            rest = rest.less(Charge::entry(*bytes));
            gone.push(Gone::file(*file, *bytes));
        }
        if !rest.is_none() {
            gone.push(Gone::uncredited(rest));
        }
        gone.into_iter().map(|gone| Doomed { folder: None, name: Vec::new(), gone }).collect()
    }

    fn add(&mut self, walk: Walk) {
        self.charge = self.charge.plus(walk.counted).plus(Charge::entries(1));
        self.found.extend(walk.found);
        self.is_short |=
            walk.oddities.found.iter().any(|oddity| oddity.kind == OddityKind::Unreadable);
    }
}

/// A count of what is still charged of a removed tree, taken a page at a time.
pub(super) struct PurgeCount {
    /// `None`: another hand took it away.
    root: Option<OwnedFd>,
    /// What was written down, but for what was set aside since then.
    batch: Vec<Doomed>,
    /// Folders in it that are still to be counted.
    todo: Vec<Vec<u8>>,
    walk: Option<Walk>,
    wanted: Wanted,
    there: Aside,
}

impl Inner {
    /// Leaves out of a batch what lies in folders that were set aside: it goes with these.
    pub(super) fn leave_out_aside(
        &self,
        root: &OwnedFd,
        batch: &mut Vec<Doomed>,
    ) -> io::Result<()> {
        let mut failed = Ok(());
        let mut open: Option<(String, Option<OwnedFd>)> = None;
        batch.retain(|doomed| {
            let mut is_there = || {
                let Some(number) = doomed.folder else {
                    // It may be no folder by now.
                    let aside = Beside::aside(&String::from_utf8_lossy(&doomed.name));
                    return Ok(if_there(self.disk.stat(root, aside.as_bytes()))?.is_some());
                };
                let aside = Beside::aside(&number.to_string());
                if open.as_ref().is_none_or(|(name, _)| *name != aside) {
                    let folder = self.disk.open_beneath(root, aside.as_bytes(), Open::FolderToLook);
                    let folder = match folder {
                        Err(error) if super::purge::is_kept(&error) => None,
                        opened => if_there(opened)?,
                    };
                    open = Some((aside, folder));
                }
                match &open {
                    Some((_, Some(folder))) => {
                        Ok(if_there(self.disk.stat(folder, &doomed.name))?.is_some())
                    }
                    _ => Ok(false),
                }
            };
            match is_there() {
                Ok(is_aside) => !is_aside,
                Err(error) => {
                    failed = Err(error);
                    true
                }
            }
        });
        failed
    }

    /// Counts what was set aside of a tree.
    pub(super) fn count_aside(&self, root: &OwnedFd, wanted: &Wanted) -> io::Result<Aside> {
        let mut aside = Aside::default();
        for (beside, name) in self.beside(root)? {
            if matches!(beside, Beside::Aside(_))
                && let Some(mut walk) = self.walk_beside(root, &name, wanted, &mut aside)?
            {
                while self.walk_on(&mut walk)? {}
                aside.add(walk);
            }
        }
        Ok(aside)
    }

    /// Begins to count what is still charged of a removed tree, also of what its batch names.
    pub(super) fn begin_purge_count(&self, purge: Purge, wanted: Wanted) -> io::Result<PurgeCount> {
        let Purge { staged, mut batch, .. } = purge;
        let root = self.disk.open_beneath(&self.layout.staging, staged.as_bytes(), Open::Folder);
        let root = if_there(root)?;
        let mut todo = Vec::new();
        if let Some(root) = &root {
            self.leave_out_aside(root, &mut batch)?;
            todo.extend(self.beside(root)?.into_iter().map(|(_, name)| name));
        }
        Ok(PurgeCount { root, batch, todo, walk: None, wanted, there: Aside::default() })
    }

    /// Counts one more page. `false`: everything is counted.
    pub(super) fn count_purge_on(&self, count: &mut PurgeCount) -> io::Result<bool> {
        loop {
            if let Some(mut walk) = count.walk.take() {
                if self.walk_on(&mut walk)? {
                    count.walk = Some(walk);
                    return Ok(true);
                }
                count.there.add(walk);
            }
            let (Some(root), Some(name)) = (&count.root, count.todo.pop()) else {
                return Ok(false);
            };
            count.walk = self.walk_beside(root, &name, &count.wanted, &mut count.there)?;
        }
    }

    /// What was counted, and the files in it that an upload may count on.
    pub(super) fn end_purge_count(&self, count: PurgeCount) -> io::Result<(Charge, Vec<Found>)> {
        let PurgeCount { root, batch, there, wanted, .. } = count;
        // What a batch names is credited as it was written down, be it there or not.
        let named = match &root {
            Some(root) => self.still_there(root, &batch)?,
            None => Charge::NONE,
        };
        let (mut sum, mut found) = (there.charge.less(named), Vec::new());
        for Doomed { gone, .. } in &batch {
            sum = sum.plus(gone.charge());
            let file = gone.inode().filter(|file| wanted.contains(&file.number));
            found.extend(file.map(|file| Found { file, bytes: gone.bytes }));
        }
        found.extend(there.found);
        Ok((sum, found))
    }

    /// The folders that lie beside each other in a removed tree's place.
    fn beside(&self, root: &OwnedFd) -> io::Result<Vec<(Beside, Vec<u8>)>> {
        let mut found = Vec::new();
        self.disk.seek(root, 0)?;
        self.disk.names(root, |name, _| {
            found.extend(Beside::of(name).map(|beside| (beside, name.to_vec())));
            true
        })?;
        Ok(found)
    }

    /// Begins to count one of them; one that cannot be entered is in the sum itself.
    fn walk_beside(
        &self,
        root: &OwnedFd,
        name: &[u8],
        wanted: &Wanted,
        sum: &mut Aside,
    ) -> io::Result<Option<Walk>> {
        let folder = match self.disk.open_beneath(root, name, Open::Folder) {
            Err(error) if super::purge::is_kept(&error) => {
                sum.charge = sum.charge.plus(Charge::entries(1));
                sum.is_short = true;
                return Ok(None);
            }
            opened => if_there(opened)?,
        };
        Ok(folder.map(|folder| Walk::new(folder, wanted.clone())))
    }

    /// What is still there of what a batch names.
    fn still_there(&self, root: &OwnedFd, batch: &[Doomed]) -> io::Result<Charge> {
        let mut sum = Charge::NONE;
        for doomed in batch {
            let found = match doomed.folder {
                None => self.disk.stat(root, &doomed.name),
                Some(number) => {
                    let path = [number.to_string().as_bytes(), b"/", &doomed.name].concat();
                    self.disk
                        .open_beneath(root, &path, Open::Handle)
                        .and_then(|found| self.disk.stat_open(&found))
                }
            };
            match found {
                Err(error) if super::purge::is_kept(&error) => {}
                found => {
                    if let Some(meta) = if_there(found)? {
                        sum = sum.plus(meta.charge());
                    }
                }
            }
        }
        Ok(sum)
    }
}
