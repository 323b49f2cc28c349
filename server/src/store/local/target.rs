//! What may be replaced at a target: checked before any byte moves, and again when it is replaced.
//!
//! Invariant: a folder is never replaced by a file, nor a file by a folder; a link or device is
//! never replaced at all.

use sampan_protocol::{EntryKind, RemotePath};

use super::attributes::Meta;
use crate::store::{Result, Situation, Target};

/// Checks what lies at `path` against what may be replaced there by a file. Gives the file that
/// will be replaced.
pub(super) fn check(
    path: &RemotePath,
    target: &Target,
    there: Option<Meta>,
) -> Result<Option<Meta>> {
    let refused = |situation: Situation| Err(situation.about(path));
    let Some(meta) = there else {
        return match target {
            Target::This(_) => refused(Situation::VersionChanged),
            Target::Absent | Target::Any => Ok(None),
        };
    };
    match (target, meta.kind) {
        (Target::Absent, _) => refused(Situation::Exists),
        (_, EntryKind::Folder) => refused(Situation::IsAFolder),
        (_, EntryKind::Link) => refused(Situation::IsALink),
        (_, EntryKind::Other) => refused(Situation::NotAFile),
        (Target::This(version), EntryKind::File) if *version != meta.version() => {
            refused(Situation::VersionChanged)
        }
        (Target::This(_) | Target::Any, EntryKind::File) => Ok(Some(meta)),
    }
}
