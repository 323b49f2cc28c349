//! What to do about a file whose target may exist: pure.
//!
//! Invariant: nothing is replaced that was not looked at, for every decision to send names what may
//! be there.

use sampan_protocol::message::Precondition;
use sampan_protocol::{Attributes, EntryKind, Version};

use super::command::{OnConflict, Resolution};
use super::event::SkipReason;
use crate::failure::{Side, Situation};

/// What may be replaced at a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Replace {
    /// Nothing: it must be absent.
    Nothing,
    /// This state of a file.
    This(Version),
    /// Nothing, and if the name is taken another one like it is found.
    KeepBoth,
}

impl Replace {
    pub(super) fn precondition(&self) -> Precondition {
        match self {
            Self::Nothing | Self::KeepBoth => Precondition::Absent,
            Self::This(version) => Precondition::This(version.clone()),
        }
    }
}

/// What to do about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Send(Replace),
    /// Whether it is there already is for its content to say.
    Compare,
    Unchanged,
    Skip(SkipReason),
    Ask,
    Fail(Situation),
}

/// How a batch decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Policy {
    pub(super) on_conflict: OnConflict,
    /// Contents decide whether a target is equal, not size and time.
    pub(super) checksum: bool,
    /// Where the targets are.
    pub(super) side: Side,
}

/// About a file whose target is `target`, if there is one.
pub(super) fn decide(policy: Policy, source: &Attributes, target: Option<&Attributes>) -> Decision {
    let Some(target) = target else { return Decision::Send(Replace::Nothing) };
    match target.kind {
        EntryKind::File => {}
        EntryKind::Folder => return Decision::Fail(Situation::KindDiffers(policy.side)),
        EntryKind::Link => return Decision::Fail(Situation::IsALink(policy.side)),
        EntryKind::Other => return Decision::Fail(Situation::NotAFile(policy.side)),
    }
    if source.size == target.size {
        if policy.checksum {
            return Decision::Compare;
        }
        if source.mtime == target.mtime {
            return Decision::Unchanged;
        }
    }
    conflict(policy, source, target)
}

/// About a file whose target exists and differs.
pub(super) fn conflict(policy: Policy, source: &Attributes, target: &Attributes) -> Decision {
    match policy.on_conflict {
        OnConflict::Ask => Decision::Ask,
        OnConflict::Fail => Decision::Fail(Situation::Exists(policy.side)),
        OnConflict::Overwrite => resolve(Resolution::Overwrite, source, target),
        OnConflict::Skip => resolve(Resolution::Skip, source, target),
        OnConflict::Newer => resolve(Resolution::Newer, source, target),
        OnConflict::Rename => resolve(Resolution::Rename, source, target),
    }
}

/// What an answer to a conflict comes to.
pub(super) fn resolve(answer: Resolution, source: &Attributes, target: &Attributes) -> Decision {
    match answer {
        Resolution::Overwrite => Decision::Send(Replace::This(target.version.clone())),
        Resolution::Skip => Decision::Skip(SkipReason::TargetExists),
        Resolution::Newer if target.mtime < source.mtime => {
            Decision::Send(Replace::This(target.version.clone()))
        }
        Resolution::Newer => Decision::Skip(SkipReason::TargetNewer),
        Resolution::Rename => Decision::Send(Replace::KeepBoth),
    }
}

/// The policy that an answer for a whole batch leaves.
pub(super) fn policy_of(answer: Resolution) -> OnConflict {
    match answer {
        Resolution::Overwrite => OnConflict::Overwrite,
        Resolution::Skip => OnConflict::Skip,
        Resolution::Newer => OnConflict::Newer,
        Resolution::Rename => OnConflict::Rename,
    }
}

#[cfg(test)]
mod tests {
    use sampan_protocol::{Mode, Timestamp};

    use super::*;

    fn file(size: u64, seconds: i64) -> Attributes {
        Attributes {
            kind: EntryKind::File,
            size,
            mtime: Timestamp::new(seconds, 0).unwrap(),
            mode: Mode::FILE,
            version: Version::new(&seconds.to_le_bytes()).unwrap(),
        }
    }

    #[test]
    fn every_policy_on_every_target() {
        use Decision as D;
        let policy = |on_conflict, checksum| Policy { on_conflict, checksum, side: Side::Remote };
        let this = |target: &Attributes| D::Send(Replace::This(target.version.clone()));
        let source = file(5, 100);
        let (older, newer, equal) = (file(5, 99), file(6, 101), file(5, 100));
        let folder = Attributes { kind: EntryKind::Folder, ..file(0, 1) };
        let link = Attributes { kind: EntryKind::Link, ..file(0, 1) };
        let cases = [
            (OnConflict::Fail, false, None, D::Send(Replace::Nothing)),
            (OnConflict::Fail, false, Some(&equal), D::Unchanged),
            (OnConflict::Overwrite, true, Some(&equal), D::Compare),
            (OnConflict::Overwrite, true, Some(&newer), this(&newer)),
            (OnConflict::Fail, false, Some(&older), D::Fail(Situation::Exists(Side::Remote))),
            (OnConflict::Ask, false, Some(&older), D::Ask),
            (OnConflict::Overwrite, false, Some(&newer), this(&newer)),
            (OnConflict::Skip, false, Some(&older), D::Skip(SkipReason::TargetExists)),
            (OnConflict::Newer, false, Some(&older), this(&older)),
            (OnConflict::Newer, false, Some(&newer), D::Skip(SkipReason::TargetNewer)),
            (OnConflict::Rename, false, Some(&newer), D::Send(Replace::KeepBoth)),
            (
                OnConflict::Overwrite,
                false,
                Some(&folder),
                D::Fail(Situation::KindDiffers(Side::Remote)),
            ),
            (OnConflict::Overwrite, false, Some(&link), D::Fail(Situation::IsALink(Side::Remote))),
        ];
        for (on_conflict, checksum, target, expected) in cases {
            let decision = decide(policy(on_conflict, checksum), &source, target);
            assert_eq!(decision, expected, "{on_conflict:?} {checksum} {target:?}");
        }
    }
}
