//! What an administrator does by hand on the server's disk, behind the store's back.
//!
//! "What an admin changes by hand counts from the next scan": it alters the tree, and nothing of what
//! is used, reserved or counted on.

use super::operation::{At, Member, Op};
use super::reference::{Account, FileState, Node, Sum, is_below, ways};

/// One change by hand. What cannot be done as things are is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hand {
    /// Gives a file these bytes, in place; makes it if there is none.
    Write {
        at: At,
        bytes: u64,
    },
    /// Moves another file over one, or makes one.
    Replace {
        at: At,
        bytes: u64,
    },
    /// With all below it.
    Remove {
        at: At,
    },
    /// To a free name, or a file over a file.
    Rename {
        from: At,
        to: At,
    },
    Mkdir {
        at: At,
    },
}

/// Who has a hand in an account's home.
pub(crate) trait Hands: Send + Sync {
    /// Does it, as another process would: each change is seen whole or not at all. A file that is
    /// changed or moved has another state than any before.
    fn change(&self, hand: &Hand);
}

impl Hand {
    /// The places that it is about.
    fn places(&self) -> Vec<&At> {
        match self {
            Self::Write { at, .. }
            | Self::Replace { at, .. }
            | Self::Remove { at }
            | Self::Mkdir { at } => vec![at],
            Self::Rename { from, to } => vec![from, to],
        }
    }
}

/// Whether one lies on the way to the other, or is it.
fn is_related(one: &str, other: &str) -> bool {
    one == other || is_below(one, other) || is_below(other, one)
}

impl Account {
    /// Whether a change by hand and an operation are about the same part of the home. Which of two
    /// such is first, and what a hand does in the middle of the other, nothing defines.
    pub(super) fn meets(&self, hand: &Hand, op: &Op) -> bool {
        let upload = |slot: &u64| self.uploads.get(slot).map(|upload| &upload.at);
        let others: Vec<&At> = match op {
            // A count may see the later of two, and not the one before.
            Op::Hand(_) => return true,
            Op::Open { at, .. } | Op::Mkdir { at, .. } | Op::Remove { at, .. } => vec![at],
            Op::Commit { slot } | Op::Abort { slot } => upload(slot).into_iter().collect(),
            Op::Rename { from, to, .. } => vec![from, to],
            Op::Pack(members) => members.iter().map(Member::at).collect(),
            Op::Limits(_) | Op::Scan => Vec::new(),
        };
        let places = hand.places();
        others.iter().any(|other| places.iter().any(|place| is_related(place, other)))
    }

    /// Whether a count that runs meanwhile sees all of it or nothing.
    pub(super) fn is_of_one_name(&self, hand: &Hand) -> bool {
        match hand {
            Hand::Write { .. } | Hand::Replace { .. } | Hand::Mkdir { .. } => true,
            Hand::Remove { at } => !matches!(self.tree.get(at), Some(Node::Folder)),
            Hand::Rename { .. } => false,
        }
    }

    /// Whether it can be done.
    pub(super) fn lets(&self, hand: &Hand) -> bool {
        let is_folder = |at: &str| matches!(self.tree.get(at), Some(Node::Folder));
        let is_there = |at: &str| self.tree.contains_key(at);
        let has_way = |at: &str| ways(at).all(is_folder);
        match hand {
            Hand::Write { at, .. } | Hand::Replace { at, .. } => has_way(at) && !is_folder(at),
            Hand::Remove { at } => is_there(at),
            Hand::Rename { from, to } => {
                let is_free = !is_there(to) || !is_folder(from) && !is_folder(to);
                is_there(from) && has_way(to) && from != to && !is_below(to, from) && is_free
            }
            Hand::Mkdir { at } => has_way(at) && !is_there(at),
        }
    }

    /// What is there then; what is used stays as it is.
    pub(super) fn by_hand(&mut self, number: u64, hand: &Hand) {
        self.has_drifted = true;
        let new = |bytes| {
            let state = FileState { number: (number, 0), moves: 0 };
            Node::File { state, size: bytes }
        };
        match hand {
            Hand::Write { at, bytes } => {
                let written = match self.tree.get(at) {
                    Some(Node::File { state, .. }) => {
                        let state = FileState { moves: state.moves + 1, ..*state };
                        Node::File { state, size: *bytes }
                    }
                    _ => new(*bytes),
                };
                self.tree.insert(at.clone(), written);
            }
            Hand::Replace { at, bytes } => {
                self.tree.insert(at.clone(), new(*bytes));
            }
            Hand::Remove { at } => self.tree.retain(|there, _| there != at && !is_below(there, at)),
            Hand::Rename { from, to } => self.move_names(from, to),
            Hand::Mkdir { at } => {
                self.tree.insert(at.clone(), Node::Folder);
            }
        }
    }

    /// "What an admin changes by hand counts from the next scan." Credits follow their files: of one
    /// that is gone, or smaller, what it no longer covers is reserved.
    pub(super) fn scan(&mut self) {
        let removed = self.purges.values().flatten();
        self.used = removed.fold(self.counted(), |sum, node| sum.plus(node.sum()));
        let there: Vec<(FileState, u64)> = self
            .tree
            .values()
            .chain(self.purges.values().flatten())
            .filter_map(|node| match node {
                Node::File { state, size } => Some((*state, *size)),
                Node::Folder => None,
            })
            .collect();
        for upload in self.uploads.values_mut() {
            let Some((number, credit)) = upload.credit else { continue };
            let file = there.iter().find(|(state, _)| state.number == number);
            let covered = file.map(|(_, size)| credit.min(Sum::new(*size, 1)));
            let moved = credit.less(covered.unwrap_or_default());
            upload.reserved = upload.reserved.plus(moved);
            upload.credit = covered.map(|covered| (number, covered));
            upload.victim = file.map(|(_, size)| *size);
        }
        self.scan_due = false;
        self.has_drifted = false;
    }
}
