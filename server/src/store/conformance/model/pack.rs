//! A pack in the model: members in their order, each whole or refused by itself.
//!
//! What a member needs is taken from what the limits left before the pack: what others of its
//! members free is free after it. A name is published once in a pack.

use std::collections::BTreeMap;

use super::operation::{At, Call, Member};
use super::reference::{Account, Checked, FileState, Node, Sum, Target, ways};
use crate::store::Situation;

/// What a pack put at a name.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Put {
    /// A folder; whether a member asked for it, or it was on the way to one.
    Folder(bool),
    File,
}

/// A pack in the making.
struct Packing<'a> {
    account: &'a mut Account,
    before: Account,
    put: BTreeMap<At, Put>,
    /// What was replaced: credited together, once all that comes is charged.
    went: Vec<Node>,
    left: Sum,
    number: u64,
}

impl Account {
    pub(super) fn pack(&mut self, call: &Call, members: &[Member]) -> Vec<Option<Situation>> {
        let (before, left, number) = (self.clone(), self.available(), call.number);
        let mut packing =
            Packing { account: self, before, put: BTreeMap::new(), went: Vec::new(), left, number };
        let outcomes = members.iter().enumerate().map(|(index, member)| match member {
            Member::Folder(at) => packing.folder(at).err(),
            Member::File(at, size, target) => {
                packing.file(index as u32, at, *size, call.target(index, *target)).err()
            }
        });
        let outcomes = outcomes.collect();
        for node in packing.went {
            packing.account.gone(node);
        }
        outcomes
    }
}

impl Packing<'_> {
    fn folder(&mut self, at: &At) -> Checked<()> {
        let missing = self.account.missing(at)?;
        match (self.put.get_mut(at), self.before.tree.get(at)) {
            (Some(Put::Folder(asked @ false)), _) => *asked = true,
            (Some(Put::File), None) => return Err(Situation::NotAFolder),
            (Some(_), _) | (None, Some(Node::File { .. })) => return Err(Situation::Exists),
            (None, Some(Node::Folder)) => {}
            (None, None) => {
                self.take(Sum::new(0, 1 + missing))?;
                self.make_ways(at);
                self.account.tree.insert(at.clone(), Node::Folder);
                self.account.used.entries += 1;
                self.put.insert(at.clone(), Put::Folder(true));
            }
        }
        Ok(())
    }

    fn file(&mut self, index: u32, at: &At, size: u64, target: Target) -> Checked<()> {
        let missing = self.account.missing(at)?;
        let victim = Account::check(target, self.before.tree.get(at).copied())?;
        if self.put.contains_key(at) {
            // What was meant to be replaced is gone; or there was nothing, and now there is.
            let meant = victim.is_some();
            return Err(if meant { Situation::VersionChanged } else { Situation::Exists });
        }
        let frees = victim.map_or(Sum::default(), |(state, size)| self.frees(state, size));
        self.take(Sum::new(size, 1 + missing).less(frees))?;
        self.make_ways(at);
        if let Some((state, size)) = victim {
            self.went.push(Node::File { state, size });
        }
        self.account.put(at, (self.number, index), size);
        self.put.insert(at.clone(), Put::File);
        Ok(())
    }

    /// What another upload counts on is not free.
    fn frees(&self, state: FileState, size: u64) -> Sum {
        let claimed = self.account.claim(state).map_or(Sum::default(), |(_, credit)| credit);
        Sum::new(size, 1).less(claimed)
    }

    fn take(&mut self, need: Sum) -> Checked<()> {
        Account::fits(need, self.left)?;
        self.left = self.left.less(need);
        Ok(())
    }

    fn make_ways(&mut self, at: &At) {
        for way in ways(at) {
            if !self.account.tree.contains_key(way) {
                self.put.insert(way.to_owned(), Put::Folder(false));
            }
        }
        self.account.make_ways(at);
    }
}
