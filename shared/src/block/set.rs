//! Which blocks of a file: a set of indices, kept and sent as runs.
//!
//! Invariant: the runs are not empty, ascend, and do not touch; so equal sets have equal runs, and
//! a set takes 16 bytes a run, however many blocks it holds.

use std::fmt;
use std::ops::Range;

use serde::de::{SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{BlockIndex, Blocks};

/// Most runs of a set on the wire: they fill less than a frame's header at their longest.
pub const MAX_RUNS: usize = 32_768;

/// A set names a block that its file does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("block {last} is outside a file of {count} blocks")]
pub struct NotInFile {
    /// The last block of the set.
    pub last: BlockIndex,
    /// Blocks of the file.
    pub count: u64,
}

/// A set of blocks, such as those that are staged.
///
/// On the wire `[[first, count], …]`, ascending. A set of more than [`MAX_RUNS`] runs is sent
/// without its last ones: sets say what is there, and saying less only costs sending it again.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct BlockSet {
    /// Start and end (exclusive).
    runs: Vec<(u64, u64)>,
}

impl BlockSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { runs: Vec::new() }
    }

    /// Every block of a file.
    pub fn all(blocks: Blocks) -> Self {
        let mut set = Self::new();
        set.insert_range(0..blocks.count());
        set
    }

    /// Whether no block is in the set.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Blocks in the set.
    pub fn len(&self) -> u64 {
        self.runs.iter().map(|(start, end)| end - start).sum()
    }

    /// Whether `index` is in the set.
    pub fn contains(&self, index: BlockIndex) -> bool {
        let after = self.runs.partition_point(|(start, _)| *start <= index.0);
        after > 0 && index.0 < self.runs[after - 1].1
    }

    /// Adds a block; says whether it was missing.
    pub fn insert(&mut self, index: BlockIndex) -> bool {
        let missing = !self.contains(index);
        if missing {
            self.insert_range(index.0..index.0.saturating_add(1));
        }
        missing
    }

    /// Adds the blocks from `range.start` up to `range.end`, the latter excluded.
    pub fn insert_range(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        // Runs that overlap or touch the new one become one with it.
        let from = self.runs.partition_point(|(_, end)| *end < range.start);
        let to = self.runs.partition_point(|(start, _)| *start <= range.end);
        let mut merged = (range.start, range.end);
        if let Some((start, _)) = self.runs[from..to].first() {
            merged.0 = merged.0.min(*start);
        }
        if let Some((_, end)) = self.runs[from..to].last() {
            merged.1 = merged.1.max(*end);
        }
        self.runs.splice(from..to, [merged]);
    }

    /// Takes the blocks from `range.start` up to `range.end`, the latter excluded, out of the set.
    pub fn remove_range(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let from = self.runs.partition_point(|(_, end)| *end <= range.start);
        let to = self.runs.partition_point(|(start, _)| *start < range.end);
        if from >= to {
            return;
        }
        let before = (self.runs[from].0, range.start);
        let after = (range.end, self.runs[to - 1].1);
        let kept = [before, after].into_iter().filter(|(start, end)| start < end);
        self.runs.splice(from..to, kept);
    }

    /// The runs in ascending order.
    pub fn runs(&self) -> impl Iterator<Item = Range<u64>> {
        self.runs.iter().map(|(start, end)| *start..*end)
    }

    /// The blocks in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = BlockIndex> {
        self.runs().flatten().map(BlockIndex)
    }

    /// The blocks of `range` that are not in the set, in ascending order.
    pub fn missing_in(&self, range: Range<u64>) -> impl Iterator<Item = BlockIndex> {
        let mut at = range.start;
        let mut next = self.runs.partition_point(|(_, end)| *end <= at);
        std::iter::from_fn(move || {
            while let Some((start, end)) = self.runs.get(next)
                && *start <= at
            {
                at = at.max(*end);
                next += 1;
            }
            (at < range.end).then(|| {
                at += 1;
                BlockIndex(at - 1)
            })
        })
    }

    /// What is here and not in `other`.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Self {
        let mut difference = self.clone();
        for run in other.runs() {
            difference.remove_range(run);
        }
        difference
    }

    /// Whether every block of the file is in the set.
    pub fn is_whole(&self, blocks: Blocks) -> bool {
        match self.runs[..] {
            [] => blocks.count() == 0,
            [(start, end)] => start == 0 && end == blocks.count(),
            _ => false,
        }
    }

    /// Checks a set from the wire against the file that it is about.
    pub fn check(&self, blocks: Blocks) -> Result<(), NotInFile> {
        match self.runs.last() {
            Some((_, end)) if *end > blocks.count() => {
                Err(NotInFile { last: BlockIndex(end - 1), count: blocks.count() })
            }
            _ => Ok(()),
        }
    }
}

impl FromIterator<BlockIndex> for BlockSet {
    fn from_iter<I: IntoIterator<Item = BlockIndex>>(blocks: I) -> Self {
        let mut set = Self::new();
        for block in blocks {
            set.insert(block);
        }
        set
    }
}

impl Serialize for BlockSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let runs = &self.runs[..self.runs.len().min(MAX_RUNS)];
        let mut seq = serializer.serialize_seq(Some(runs.len()))?;
        for (start, end) in runs {
            seq.serialize_element(&(start, end - start))?;
        }
        seq.end()
    }
}

impl<'de> Deserialize<'de> for BlockSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(RunsVisitor)
    }
}

struct RunsVisitor;

impl<'de> Visitor<'de> for RunsVisitor {
    type Value = BlockSet;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at most {MAX_RUNS} ascending runs of blocks [first, count]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<BlockSet, A::Error> {
        use serde::de::Error;

        let mut runs: Vec<(u64, u64)> = Vec::new();
        while let Some((first, count)) = seq.next_element::<(u64, u64)>()? {
            let end = first.checked_add(count).filter(|end| *end > first);
            let end = end.ok_or_else(|| A::Error::custom("a run of blocks is empty or endless"))?;
            let full = runs.len() == MAX_RUNS;
            match runs.last_mut() {
                Some((_, before)) if first < *before => {
                    return Err(A::Error::custom("runs of blocks do not ascend"));
                }
                Some((_, before)) if first == *before => *before = end,
                _ if full => return Err(A::Error::invalid_length(MAX_RUNS + 1, &self)),
                _ => runs.push((first, end)),
            }
        }
        Ok(BlockSet { runs })
    }
}
