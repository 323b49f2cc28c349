//! Whether two files of one size are equal, by their content.

use sampan_protocol::{RemotePath, Root};

use crate::failure::{Failure, Side, Situation};
use crate::transfer::item::{Ends, LocalSource};
use crate::transfer::job::{Context, blocking};

/// Whether source and target have one root. Both sides hash at once.
pub(in crate::transfer) async fn is_equal(context: &Context, ends: &Ends) -> Result<bool, Failure> {
    let (local, remote): (LocalSource, &RemotePath) = match ends {
        Ends::Up { from, to } => (from.clone(), to),
        Ends::Down { from, to, .. } => (to.as_source(), from),
    };
    let (ours, theirs) = tokio::join!(root_of(local), context.remote.sum(remote));
    Ok(ours? == theirs?.root)
}

async fn root_of(local: LocalSource) -> Result<Root, Failure> {
    blocking(move || {
        let source = local.open()?;
        let (_, root) = source.row(|_| true)?;
        if !source.is_proven(|| root)? {
            let subject = crate::place::shown(source.path());
            return Err(Failure::new(Situation::SourceChanged(Side::Local), subject));
        }
        Ok(root)
    })
    .await
}
