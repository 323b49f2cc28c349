//! What a purge has not credited yet: what it still has to delete, and what it set aside.
//!
//! Invariant: whoever counts here holds the account's purging turn, or is its purge.

use std::collections::HashSet;
use std::io;
use std::os::fd::OwnedFd;

use super::Inner;
use super::change::Gone;
use super::disk::Open;
use super::failure::{if_there, while_doing};
use super::purge::{Beside, Doomed, Purge};
use super::walking::Walk;
use crate::quota::Charge;
use crate::store::{OddityKind, Result};

/// What lies in the folders that were set aside, and these themselves.
#[derive(Debug, Default)]
pub(super) struct Aside {
    charge: Charge,
    /// Something in them could not be counted.
    pub(super) is_short: bool,
}

impl Aside {
    /// As what goes with the last batch.
    pub(super) fn gone(&self) -> Option<Doomed> {
        let Charge { bytes, entries } = self.charge;
        let gone = Gone { inode: None, bytes, entries };
        (entries > 0).then(|| Doomed { folder: None, name: Vec::new(), gone })
    }

    fn add(&mut self, walk: &Walk) {
        self.charge = self.charge.plus(walk.counted).plus(Charge::entries(1));
        self.is_short |=
            walk.oddities.found.iter().any(|oddity| oddity.kind == OddityKind::Unreadable);
    }
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
    pub(super) fn count_aside(&self, root: &OwnedFd) -> io::Result<Aside> {
        let mut aside = Aside::default();
        for (beside, name) in self.beside(root)? {
            if matches!(beside, Beside::Aside(_)) {
                self.count_beside(root, &name, &mut aside)?;
            }
        }
        Ok(aside)
    }

    /// What is still charged of a removed tree, also of what its batch names.
    pub(super) fn count_purge(&self, purge: &Purge) -> Result<Charge> {
        self.try_count_purge(purge).map_err(while_doing("counting a removed folder"))
    }

    fn try_count_purge(&self, purge: &Purge) -> io::Result<Charge> {
        let sum = |batch: &[Doomed]| {
            let charge = |gone: &Gone| Charge { bytes: gone.bytes, entries: gone.entries };
            batch.iter().fold(Charge::NONE, |sum, doomed| sum.plus(charge(&doomed.gone)))
        };
        let root =
            self.disk.open_beneath(&self.layout.staging, purge.staged.as_bytes(), Open::Folder);
        let Some(root) = if_there(root)? else { return Ok(sum(&purge.batch)) };
        let mut batch = purge.batch.clone();
        self.leave_out_aside(&root, &mut batch)?;
        let mut there = Aside::default();
        for (_, name) in self.beside(&root)? {
            self.count_beside(&root, &name, &mut there)?;
        }
        // What a batch names is credited as it was written down, be it there or not.
        let named = self.still_there(&root, &batch)?;
        Ok(there.charge.less(named).plus(sum(&batch)))
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

    fn count_beside(&self, root: &OwnedFd, name: &[u8], sum: &mut Aside) -> io::Result<()> {
        let folder = match self.disk.open_beneath(root, name, Open::Folder) {
            Err(error) if super::purge::is_kept(&error) => {
                sum.charge = sum.charge.plus(Charge::entries(1));
                sum.is_short = true;
                return Ok(());
            }
            opened => if_there(opened)?,
        };
        let Some(folder) = folder else { return Ok(()) };
        let mut walk = Walk::new(folder, HashSet::new());
        while self.walk_on(&mut walk)? {}
        sum.add(&walk);
        Ok(())
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
