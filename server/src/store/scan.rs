//! What counting a home anew says.

use std::sync::atomic::{AtomicU64, Ordering};

use sampan_protocol::Timestamp;

/// A home that was counted anew, and its ledger before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scanned {
    /// Bytes that the ledger said were used.
    pub used_before: u64,
    /// Files and folders that it said there were.
    pub entries_before: u64,
    /// Bytes that are used.
    pub used: u64,
    /// Files and folders that there are.
    pub entries: u64,
    /// When the count began: what hands changed later is not in it.
    pub as_of: Timestamp,
    /// What no user put there.
    pub oddities: Oddities,
}

/// What a count met that only an administrator can have put there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// The first of them.
    pub found: Vec<Oddity>,
    /// All of them, also those that are not named.
    pub count: u64,
}

/// Oddities that are named; a home of a million links is not told link by link.
const NAMED: usize = 100;

impl Oddities {
    pub(crate) fn add(&mut self, path: Vec<u8>, kind: OddityKind) {
        self.count += 1;
        if self.found.len() < NAMED {
            self.found.push(Oddity { path, kind });
        }
    }
}

/// One thing that no user put there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oddity {
    /// Its path below the home, as bytes with `/` between the names.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: OddityKind,
}

/// Kinds of oddities, and how they count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OddityKind {
    /// A folder that may not be read: counts itself; what is in it does not.
    Unreadable,
    /// A mount: counts itself; what is mounted there does not.
    Mount,
    /// A symbolic link: counts as an entry without bytes.
    Link,
    /// A socket, FIFO or device: counts as an entry without bytes.
    Special,
}

/// How far a count is, for who waits for it.
#[derive(Debug, Default)]
pub struct ScanProgress {
    entries: AtomicU64,
    round: AtomicU64,
}

impl ScanProgress {
    /// Files and folders that were counted in this round.
    pub fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Which round it is: another one begins if the home was changed meanwhile.
    pub fn round(&self) -> u64 {
        self.round.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self, round: u64) {
        self.entries.store(0, Ordering::Relaxed);
        self.round.store(round, Ordering::Relaxed);
    }

    pub(crate) fn counted(&self, entries: u64) {
        self.entries.store(entries, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oddities_are_all_counted_and_some_named() {
        let mut oddities = Oddities::default();
        for number in 0..1000_u32 {
            oddities.add(number.to_be_bytes().to_vec(), OddityKind::Link);
        }
        assert_eq!((oddities.found.len(), oddities.count), (NAMED, 1000));
        assert_eq!(oddities.found[0].path, [0; 4]);
    }
}
