//! Removing the staged downloads that a journal still names.
//!
//! Invariant: only a name of the fixed pattern is ever removed, in a folder that is opened below the
//! one that the user chose, over no link.

use super::staged::StagedFile;
use crate::disk::Disk;
use crate::failure::{Failure, Side, Situation};
use crate::local::TargetRoot;

/// Removes them. What is not there any more counts as removed.
pub(in crate::state) fn discard<'a>(
    disk: &Disk,
    files: impl Iterator<Item = &'a StagedFile>,
) -> Result<(), Failure> {
    for file in files {
        let root = TargetRoot::open_on(disk, &file.root);
        match root.and_then(|root| root.discard(&file.at, &file.staging)) {
            // With the folder went what was in it. Over a link that stands there now nobody goes.
            Err(Failure { situation, .. }) if is_another(&situation) => {}
            discarded => discarded?,
        }
    }
    Ok(())
}

/// Whether there is no such folder any more.
fn is_another(situation: &Situation) -> bool {
    use Situation as S;
    matches!(
        situation,
        S::NotFound(Side::Local)
            | S::NotAFolder(Side::Local)
            | S::KindDiffers(Side::Local)
            | S::IsALink(Side::Local)
    )
}
