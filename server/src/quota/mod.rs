//! The arithmetic of quota, without a database or a disk.
//!
//! Charged are logical bytes of files, and entries: files, folders and whatever else has a name. An
//! upload reserves what it will add before its first byte moves. Where it replaces a file, the old
//! one counts as a credit: its bytes are free for the new one, since both are never charged at once.
//! A credit belongs to one upload; if its file goes some other way first, the bytes move from use
//! into the holder's reservation, so that use and reservation together never rise by it.
//!
//! Invariant: nothing here overflows, and `available` is never more than the limit leaves.

/// Bytes and entries, of a request, a reservation or a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Charge {
    /// Logical bytes.
    pub(crate) bytes: u64,
    /// Files and folders.
    pub(crate) entries: u64,
}

impl Charge {
    /// Nothing.
    pub(crate) const NONE: Self = Self { bytes: 0, entries: 0 };

    /// One entry of `bytes`.
    pub(crate) const fn entry(bytes: u64) -> Self {
        Self { bytes, entries: 1 }
    }

    /// Entries without bytes: folders, links.
    pub(crate) const fn entries(entries: u64) -> Self {
        Self { bytes: 0, entries }
    }

    /// Both together.
    #[must_use]
    pub(crate) const fn plus(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            entries: self.entries.saturating_add(other.entries),
        }
    }

    /// What is left of this after `other`, each at least 0.
    #[must_use]
    pub(crate) const fn less(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(other.bytes),
            entries: self.entries.saturating_sub(other.entries),
        }
    }

    /// The smaller of both, each for itself.
    #[must_use]
    pub(crate) fn min(self, other: Self) -> Self {
        Self { bytes: self.bytes.min(other.bytes), entries: self.entries.min(other.entries) }
    }

    /// Whether it is nothing.
    pub(crate) const fn is_none(self) -> bool {
        self.bytes == 0 && self.entries == 0
    }
}

/// What an upload holds: its reservation, and the part of a file to be replaced that it counts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hold {
    /// To be reserved now.
    pub(crate) reserve: Charge,
    /// Covered by the file that will be replaced.
    pub(crate) credit: Charge,
}

/// What an upload of `new` holds if it may count on replacing a file of `victim`.
pub(crate) fn hold(new: Charge, victim: Option<Charge>) -> Hold {
    let credit = victim.map_or(Charge::NONE, |victim| new.min(victim));
    Hold { reserve: new.less(credit), credit }
}

/// What a limit still leaves.
pub(crate) fn available(limit: Option<u64>, used: u64, reserved: u64) -> u64 {
    limit.map_or(u64::MAX, |limit| limit.saturating_sub(used).saturating_sub(reserved))
}

/// What must be reserved beyond `held` before `new` may take the place of `victim`, of which
/// `claimed` moves into the reservation of another upload that held it as a credit.
pub(crate) fn extra(new: Charge, victim: Charge, claimed: Charge, held: Charge) -> Charge {
    new.less(victim.less(claimed)).less(held)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overwrite_reserves_only_the_growth() {
        let grown = hold(Charge::entry(10), Some(Charge::entry(4)));
        assert_eq!(grown.reserve, Charge { bytes: 6, entries: 0 });
        assert_eq!(grown.credit, Charge { bytes: 4, entries: 1 });
        let shrunk = hold(Charge::entry(3), Some(Charge::entry(4)));
        assert_eq!(shrunk.reserve, Charge::NONE);
        assert_eq!(shrunk.credit, Charge::entry(3));
        assert_eq!(hold(Charge::entry(3), None).reserve, Charge::entry(3));
    }

    #[test]
    fn a_limit_below_use_leaves_nothing() {
        assert_eq!(available(Some(10), 7, 2), 1);
        assert_eq!(available(Some(10), 11, 0), 0);
        assert_eq!(available(Some(10), 5, 6), 0);
        assert_eq!(available(None, u64::MAX, 1), u64::MAX);
    }

    #[test]
    fn a_credit_that_another_holds_must_be_paid() {
        let (new, victim) = (Charge::entry(10), Charge::entry(8));
        assert_eq!(extra(new, victim, Charge::NONE, Charge { bytes: 2, entries: 0 }), Charge::NONE);
        assert_eq!(extra(new, victim, Charge::entry(8), Charge::NONE), Charge::entry(10));
        assert_eq!(
            extra(new, victim, Charge::entry(5), Charge::NONE),
            Charge { bytes: 7, entries: 1 }
        );
    }
}
