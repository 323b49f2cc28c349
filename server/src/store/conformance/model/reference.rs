//! One account as HARDENING 3 says it must be: pure, sequential, and small enough to be believed.
//!
//! Nothing here is taken from a store: files have numbers instead of inodes, folders are entries of
//! a map, and each rule is written down once.

use std::collections::BTreeMap;

use super::operation::{At, Call, If, Meant, Op};
use crate::store::{QuotaLimits, Situation};

/// Bytes and entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) bytes: u64,
    pub(super) entries: u64,
}

impl Sum {
    pub(super) fn new(bytes: u64, entries: u64) -> Self {
        Self { bytes, entries }
    }

    fn map(self, other: Self, with: fn(u64, u64) -> u64) -> Self {
        Self { bytes: with(self.bytes, other.bytes), entries: with(self.entries, other.entries) }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        self.map(other, u64::saturating_add)
    }

    /// Never below nothing.
    pub(super) fn less(self, other: Self) -> Self {
        self.map(other, u64::saturating_sub)
    }

    pub(super) fn min(self, other: Self) -> Self {
        self.map(other, u64::min)
    }
}

impl Call {
    /// What the operation's target, or that of a member, means.
    pub(super) fn target(&self, index: usize, target: If) -> Target {
        match target {
            If::Absent => Target::Absent,
            If::Any => Target::Any,
            If::Stale => Target::This(None),
            If::Fresh => Target::This(self.fresh[index]),
        }
    }
}

/// Names a file for ever, and how often it was renamed, which makes another version of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct FileState {
    pub(super) number: (u64, u32),
    pub(super) moves: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Folder,
    File { state: FileState, size: u64 },
}

impl Node {
    pub(super) fn sum(self) -> Sum {
        match self {
            Self::Folder => Sum::new(0, 1),
            Self::File { size, .. } => Sum::new(size, 1),
        }
    }
}

/// What may be replaced, once it is known what `Fresh` means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    Absent,
    Any,
    This(Option<FileState>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upload {
    /// The operation that opened it.
    pub(super) born: u64,
    pub(super) epoch: u32,
    pub(super) at: At,
    pub(super) size: u64,
    pub(super) target: Target,
    pub(super) parents: bool,
    pub(super) reserved: Sum,
    /// The file that it counts on, and with how much.
    pub(super) credit: Option<((u64, u32), Sum)>,
    /// The bytes of that file as the store knows it.
    pub(super) victim: Option<u64>,
    pub(super) touched: i64,
}

impl Upload {
    pub(super) fn is_idle(&self, now: i64, expiry: i64) -> bool {
        self.touched <= now - expiry
    }
}

/// What an operation came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    /// The epoch.
    Opened(u32),
    Removed(Sum),
    /// What was used, and what is.
    Scanned(Sum, Sum),
    Refused(Situation),
    Pack(Vec<Option<Situation>>),
}

/// What a removed tree still has to give back: it goes name by name, after the tree has gone.
pub(super) type Purge = Vec<Node>;

/// One account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) limits: QuotaLimits,
    pub(super) tree: BTreeMap<At, Node>,
    pub(super) used: Sum,
    pub(super) uploads: BTreeMap<u64, Upload>,
    /// Trees that are being deleted, by the operations that removed them.
    pub(super) purges: BTreeMap<u64, Purge>,
    pub(super) now: i64,
    /// A hand changed something since the last scan.
    pub(super) has_drifted: bool,
    /// That came to light.
    pub(super) scan_due: bool,
}

pub(super) type Checked<T> = Result<T, Situation>;

/// The folders on the way to a place, from the top.
pub(super) fn ways(at: &str) -> impl Iterator<Item = &str> {
    at.match_indices('/').map(|(end, _)| &at[..end])
}

pub(super) fn is_below(at: &str, folder: &str) -> bool {
    at.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

impl Account {
    /// The sum over unfinished uploads.
    pub(super) fn reserved(&self) -> Sum {
        self.uploads.values().fold(Sum::default(), |sum, upload| sum.plus(upload.reserved))
    }

    /// The sum over files and folders, and what is still being deleted.
    pub(super) fn counted(&self) -> Sum {
        self.tree.values().fold(Sum::default(), |sum, node| sum.plus(node.sum()))
    }

    /// What the limits leave.
    pub(super) fn available(&self) -> Sum {
        let held = self.used.plus(self.reserved());
        let left = |limit: Option<u64>, held: u64| {
            limit.map_or(u64::MAX, |limit| limit.saturating_sub(held))
        };
        Sum::new(left(self.limits.bytes, held.bytes), left(self.limits.entries, held.entries))
    }

    /// "Reserve in one conditional step, or refuse with needed and available"; nothing always fits.
    pub(super) fn fits(need: Sum, left: Sum) -> Checked<()> {
        if need.bytes > 0 && need.bytes > left.bytes {
            Err(Situation::OverQuota { needed: need.bytes, available: left.bytes })
        } else if need.entries > 0 && need.entries > left.entries {
            Err(Situation::TooManyFiles { needed: need.entries, available: left.entries })
        } else {
            Ok(())
        }
    }

    /// How many folders on the way to `at` are missing.
    pub(super) fn missing(&self, at: &str) -> Checked<u64> {
        let mut missing = 0;
        for way in ways(at) {
            match self.tree.get(way) {
                Some(Node::Folder) => {}
                Some(Node::File { .. }) => return Err(Situation::NotAFolder),
                None => missing += 1,
            }
        }
        Ok(missing)
    }

    /// What lies at `at`, whose folders must be there.
    pub(super) fn look(&self, at: &str) -> Checked<Option<Node>> {
        match self.missing(at)? {
            0 => Ok(self.tree.get(at).copied()),
            _ => Err(Situation::NotFound),
        }
    }

    /// The file that would be replaced, if that is allowed.
    pub(super) fn check(target: Target, there: Option<Node>) -> Checked<Option<(FileState, u64)>> {
        match (target, there) {
            (Target::This(_), None) => Err(Situation::VersionChanged),
            (_, None) => Ok(None),
            (Target::Absent, Some(_)) => Err(Situation::Exists),
            (_, Some(Node::Folder)) => Err(Situation::IsAFolder),
            (Target::This(meant), Some(Node::File { state, .. })) if meant != Some(state) => {
                Err(Situation::VersionChanged)
            }
            (_, Some(Node::File { state, size })) => Ok(Some((state, size))),
        }
    }

    /// The upload that counts on a file, and with how much.
    pub(super) fn claim(&self, file: FileState) -> Option<(u64, Sum)> {
        self.uploads.iter().find_map(|(slot, upload)| match upload.credit {
            Some((number, credit)) if number == file.number => Some((*slot, credit)),
            _ => None,
        })
    }

    pub(super) fn make_ways(&mut self, at: &str) {
        for way in ways(at) {
            if self.tree.insert(way.to_owned(), Node::Folder).is_none() {
                self.used.entries += 1;
            }
        }
    }

    /// A file that was replaced or removed: what an upload counted on moves into its reservation.
    /// "Use never goes below 0; a surprise queues a scan."
    pub(super) fn gone(&mut self, node: Node) {
        self.scan_due |= node.sum().less(self.used) != Sum::default();
        self.used = self.used.less(node.sum());
        let Node::File { state, size } = node else { return };
        let Some((holder, credit)) = self.claim(state) else { return };
        let upload = self.uploads.get_mut(&holder).expect("just found");
        self.scan_due |= upload.victim != Some(size);
        upload.reserved = upload.reserved.plus(credit.min(node.sum()));
        upload.credit = None;
    }

    /// An operation, as it is meant now. `None`: it is about an upload that is not there.
    pub(super) fn call(&self, number: u64, op: &Op) -> Option<Call> {
        let fresh = match op {
            Op::Open { at, .. } | Op::Rename { to: at, .. } => vec![self.state(at)],
            Op::Pack(members) => members.iter().map(|member| self.state(member.at())).collect(),
            _ => Vec::new(),
        };
        let upload = match op {
            Op::Commit { slot } | Op::Abort { slot } => {
                let upload = self.uploads.get(slot)?;
                Some(Meant { born: upload.born, epoch: upload.epoch, size: upload.size })
            }
            _ => None,
        };
        let is_possible = match op {
            Op::Hand(hand) => self.lets(hand),
            _ => true,
        };
        Some(Call { number, op: op.clone(), fresh, upload, is_possible })
    }

    fn state(&self, at: &str) -> Option<FileState> {
        match self.tree.get(at) {
            Some(Node::File { state, .. }) => Some(*state),
            _ => None,
        }
    }

    /// Carries an operation out, whole.
    pub(super) fn apply(&mut self, call: &Call) -> Outcome {
        let outcome = self.begin(call);
        self.finish_purge(call.number);
        outcome
    }

    /// Carries an operation out; what a removed tree holds stays charged.
    pub(super) fn begin(&mut self, call: &Call) -> Outcome {
        let done = |()| Outcome::Done;
        let number = call.number;
        let outcome = match &call.op {
            Op::Open { slot, at, size, target, parents } => {
                let target = call.target(0, *target);
                let wish = Upload {
                    born: number,
                    epoch: 1,
                    at: at.clone(),
                    size: *size,
                    target,
                    parents: *parents,
                    reserved: Sum::default(),
                    credit: None,
                    victim: None,
                    touched: self.now,
                };
                self.open(*slot, wish).map(Outcome::Opened)
            }
            Op::Commit { slot } => self.commit(call, *slot).map(done),
            Op::Abort { slot } => {
                let is_meant =
                    |upload: &Upload| call.upload.is_some_and(|meant| meant.born == upload.born);
                if self.uploads.get(slot).is_some_and(is_meant) {
                    self.uploads.remove(slot);
                }
                Ok(Outcome::Done)
            }
            Op::Mkdir { at, parents } => self.mkdir(at, *parents).map(done),
            Op::Rename { from, to, target } => {
                self.rename(from, to, call.target(0, *target)).map(done)
            }
            Op::Remove { at, recursive } => {
                self.remove(number, at, *recursive).map(Outcome::Removed)
            }
            Op::Pack(members) => Ok(Outcome::Pack(self.pack(call, members))),
            Op::Limits(limits) => {
                self.limits = *limits;
                Ok(Outcome::Done)
            }
            Op::Hand(hand) => {
                if call.is_possible {
                    self.by_hand(number, hand);
                }
                Ok(Outcome::Done)
            }
            Op::Scan => {
                let before = self.used;
                self.scan();
                Ok(Outcome::Scanned(before, self.used))
            }
        };
        outcome.unwrap_or_else(Outcome::Refused)
    }

    pub(super) fn put(&mut self, at: &str, number: (u64, u32), size: u64) {
        let node = Node::File { state: FileState { number, moves: 0 }, size };
        self.tree.insert(at.to_owned(), node);
        self.used = self.used.plus(node.sum());
    }

    /// Moves a name with all below it, over whatever file is there.
    pub(super) fn move_names(&mut self, from: &str, to: &str) {
        let below: Vec<At> = self.tree.keys().filter(|at| is_below(at, from)).cloned().collect();
        for at in below {
            let node = self.tree.remove(&at).expect("just found");
            self.tree.insert(format!("{to}{}", &at[from.len()..]), node);
        }
        let moved = match self.tree.remove(from).expect("it was looked for") {
            Node::Folder => Node::Folder,
            Node::File { state, size } => {
                Node::File { state: FileState { moves: state.moves + 1, ..state }, size }
            }
        };
        self.tree.insert(to.to_owned(), moved);
    }

    /// A removed tree is deleted, and what it held is free.
    pub(super) fn finish_purge(&mut self, number: u64) {
        for node in self.purges.remove(&number).unwrap_or_default() {
            self.gone(node);
        }
    }

    /// Gives an idle upload up.
    pub(super) fn expire(&mut self, slot: u64, expiry: i64) {
        if self.uploads.get(&slot).is_some_and(|upload| upload.is_idle(self.now, expiry)) {
            self.uploads.remove(&slot);
        }
    }
}
