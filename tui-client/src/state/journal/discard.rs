//! Removing the staged downloads that a journal still names.
//!
//! Invariant: only a name of the fixed pattern is ever removed, in a folder that is opened below the
//! one that the user chose, over no link.

use super::staged::StagedFile;
use crate::disk::Disk;
use crate::failure::{Failure, Side, Situation};
use crate::local::TargetRoot;

/// Removes them. What is not there any more counts as removed; but where the chosen folder itself is
/// not there, the disk that holds it may only be unmounted. What cannot be removed keeps none of the
/// others; the first failure is told.
pub(in crate::state) fn discard<'a>(
    disk: &Disk,
    files: impl Iterator<Item = &'a StagedFile>,
) -> Result<(), Failure> {
    let mut all = Ok(());
    for file in files {
        all = all.and(discard_one(disk, file));
    }
    all
}

fn discard_one(disk: &Disk, file: &StagedFile) -> Result<(), Failure> {
    let root = match TargetRoot::open_on(disk, &file.root) {
        Err(Failure { situation, .. }) if is_another(&situation) => return Ok(()),
        root => root?,
    };
    match root.discard(&file.at, &file.staging) {
        // With the folder went what was in it. Over a link that stands there now nobody goes.
        Err(Failure { situation, .. }) if is_another(&situation) => Ok(()),
        discarded => discarded,
    }
}

/// Whether something else is there than the folder.
fn is_another(situation: &Situation) -> bool {
    use Situation as S;
    matches!(
        situation,
        S::NotAFolder(Side::Local) | S::KindDiffers(Side::Local) | S::IsALink(Side::Local)
    )
}
