//! What the model's accounts do, and how a program of it is drawn.
//!
//! A program is drawn whole before it runs, from its seed alone: an operation names a slot or a path
//! and not what lies there, so that any part of a program is a program too, and a failing one can be
//! cut down.

use std::fmt;

use super::hand::Hand;
use super::reference::FileState;
use crate::store::QuotaLimits;

/// Uploads that one account may have at once: equal slots have equal keys.
pub(super) const SLOTS: u64 = 4;
/// Accounts that most operations are for.
const BUSY: usize = 8;
/// Largest file.
const MOST_BYTES: u64 = 1500;

/// Where: names with `/` between them.
pub(crate) type At = String;

/// What may be replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum If {
    /// Nothing may be there.
    Absent,
    /// Whatever file.
    Any,
    /// The file that is there when the step begins.
    Fresh,
    /// A state that no file has.
    Stale,
}

/// An operation, and what it says of states that were looked up when its step began.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// Names it for ever; what it makes is named after it.
    pub(super) number: u64,
    pub(super) op: Op,
    /// What `Fresh` means, for the operation's target or each member's.
    pub(super) fresh: Vec<Option<FileState>>,
    /// The upload that is meant.
    pub(super) upload: Option<Meant>,
    /// Of a change by hand: whether it can be done as things are.
    pub(super) is_possible: bool,
}

/// An upload, as it was when the step began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meant {
    /// The operation that opened it.
    pub(super) born: u64,
    pub(super) epoch: u32,
    pub(super) size: u64,
}

/// A member of a pack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Folder(At),
    File(At, u64, If),
}

impl Member {
    pub(super) fn at(&self) -> &At {
        match self {
            Self::Folder(at) | Self::File(at, ..) => at,
        }
    }
}

/// One thing that an account does, or that is done to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// Opens the upload of a slot, or resumes it.
    Open {
        slot: u64,
        at: At,
        size: u64,
        target: If,
        parents: bool,
    },
    /// Sends what is missing and commits.
    Commit {
        slot: u64,
    },
    Abort {
        slot: u64,
    },
    Mkdir {
        at: At,
        parents: bool,
    },
    Rename {
        from: At,
        to: At,
        target: If,
    },
    Remove {
        at: At,
        recursive: bool,
    },
    Pack(Vec<Member>),
    Limits(QuotaLimits),
    /// By an administrator, on the disk.
    Hand(Hand),
    /// The home is counted anew.
    Scan,
}

/// One step of a program; numbers name accounts.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// Alone.
    One(usize, Op),
    /// The change before, again, under its key.
    Again(usize),
    /// At once; with `expiry` time passes before them, and idle uploads are given up beside them.
    AtOnce(Vec<(usize, Op)>, bool),
    /// Time passes, and idle uploads are given up.
    Expire,
    /// The store ends and is opened again.
    Restart,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(account, op) => write!(f, "{account}: {op:?}"),
            Self::AtOnce(ops, expiry) => {
                write!(f, "at once{}:", if *expiry { ", with expiry" } else { "" })?;
                ops.iter().try_for_each(|(account, op)| write!(f, "\n      {account}: {op:?}"))
            }
            other => write!(f, "{other:?}"),
        }
    }
}

/// Numbers from a seed (SplitMix64).
pub(super) struct Draw(pub(super) u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A place, most often of a file. A removed tree has at most a dozen names, so that it is deleted
    /// and credited in one batch.
    fn at(&mut self) -> At {
        // Where things meet: several uploads that would replace one file, and what moves it away.
        match self.below(8) {
            0 | 1 => return "f".to_owned(),
            2 | 3 => return "g".to_owned(),
            _ => {}
        }
        let folder = ["", "", "", "a/", "a/", "b/", "a/b/"][self.below(7) as usize];
        let name = ["f", "g", "h", "f", "g", "h", "a", "b"][self.below(8) as usize];
        format!("{folder}{name}")
    }

    /// A place, most often of a folder.
    fn folder(&mut self) -> At {
        ["a", "b", "a/b", "a", "b", "a/b", "f", "b/f"][self.below(8) as usize].to_owned()
    }

    fn size(&mut self) -> u64 {
        match self.below(8) {
            0 => 0,
            1 => 1,
            _ => self.below(MOST_BYTES),
        }
    }

    fn target(&mut self) -> If {
        match self.below(16) {
            0..=8 => If::Any,
            9..=11 => If::Absent,
            12..=14 => If::Fresh,
            _ => If::Stale,
        }
    }

    /// Where a limit bites, most often.
    fn limits(&mut self) -> QuotaLimits {
        let bytes = (!self.one_in(8)).then(|| self.below(5000));
        let entries = (!self.one_in(4)).then(|| self.below(14));
        QuotaLimits { bytes, entries }
    }

    fn members(&mut self) -> Vec<Member> {
        let mut member = || {
            if self.one_in(4) {
                Member::Folder(self.folder())
            } else {
                Member::File(self.at(), self.size(), self.target())
            }
        };
        let some = (0..3).map(|_| member()).collect::<Vec<_>>();
        let keep = 1 + self.below(some.len() as u64) as usize;
        some.into_iter().take(keep).collect()
    }

    fn op(&mut self) -> Op {
        let slot = self.below(SLOTS);
        match self.below(40) {
            0..=7 => {
                let (at, size, target) = (self.at(), self.size(), self.target());
                Op::Open { slot, at, size, target, parents: !self.one_in(4) }
            }
            8..=13 => Op::Commit { slot },
            14 => Op::Abort { slot },
            15..=17 => Op::Mkdir { at: self.folder(), parents: !self.one_in(4) },
            18..=21 => Op::Rename { from: self.at(), to: self.at(), target: self.target() },
            22 => Op::Remove { at: self.folder(), recursive: !self.one_in(4) },
            23..=25 => Op::Remove { at: self.at(), recursive: !self.one_in(4) },
            26..=29 => Op::Pack(self.members()),
            30 | 31 => Op::Limits(self.limits()),
            32..=37 => Op::Hand(self.hand()),
            _ => Op::Scan,
        }
    }

    fn hand(&mut self) -> Hand {
        match self.below(10) {
            0..=2 => Hand::Write { at: self.at(), bytes: self.size() },
            3 | 4 => Hand::Replace { at: self.at(), bytes: self.size() },
            5 => Hand::Remove { at: self.folder() },
            6 => Hand::Remove { at: self.at() },
            7 | 8 => Hand::Rename { from: self.at(), to: self.at() },
            _ => Hand::Mkdir { at: self.folder() },
        }
    }

    /// Most often one of a few that are busy: theirs are the full homes.
    fn account(&mut self, accounts: usize) -> usize {
        let among = if self.one_in(4) { accounts } else { accounts.min(BUSY) };
        self.below(among as u64) as usize
    }

    /// What starts an account off.
    pub(super) fn first_limits(&mut self) -> QuotaLimits {
        self.limits()
    }

    /// A program over `accounts`, of about `operations` operations one after the other and as many
    /// at once.
    pub(super) fn program(&mut self, accounts: usize, operations: usize) -> Vec<Step> {
        let (mut program, mut count) = (Vec::new(), 0);
        while count < operations {
            let account = self.account(accounts);
            // An account goes on for a while, so that what it holds matters.
            for _ in 0..=self.below(12) {
                program.push(match self.below(40) {
                    0 => Step::Expire,
                    1 | 2 => Step::Again(account),
                    _ => Step::One(account, self.op()),
                });
                count += 1;
            }
            if self.one_in(64) {
                program.push(Step::Restart);
            }
        }
        count = 0;
        while count < operations {
            let busy = 1 + self.below(4);
            let mut ops = Vec::new();
            for _ in 0..busy {
                let account = self.account(accounts);
                // First something to race for.
                for _ in 0..self.below(4) {
                    program.push(Step::One(account, self.op()));
                }
                for _ in 0..2 + self.below(4) {
                    let op = self.op();
                    // Two commits of one upload at once are one that was sent twice.
                    let is_again = |(other, there): &(usize, Op)| {
                        *other == account && matches!(op, Op::Commit { .. }) && *there == op
                    };
                    if !ops.iter().any(is_again) {
                        ops.push((account, op));
                    }
                }
            }
            count += ops.len();
            program.push(Step::AtOnce(ops, self.one_in(8)));
        }
        program
    }
}
