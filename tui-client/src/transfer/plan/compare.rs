//! Whether two files of one size are equal, by their content.

use std::path::PathBuf;

use sampan_protocol::{RemotePath, Root};

use crate::failure::{Failure, Side, Situation};
use crate::local::Source;
use crate::transfer::command::Links;
use crate::transfer::item::Ends;
use crate::transfer::job::{Context, blocking};

/// Whether source and target have one root. Both sides hash at once.
pub(super) async fn is_equal(context: &Context, ends: &Ends) -> Result<bool, Failure> {
    let (local, links, remote): (PathBuf, Links, &RemotePath) = match ends {
        Ends::Up { from, links, to } => (from.clone(), *links, to),
        Ends::Down { from, to, .. } => (to.path(), Links::Skip, from),
    };
    let (ours, theirs) = tokio::join!(root_of(local, links), context.remote.sum(remote));
    Ok(ours? == theirs?.root)
}

async fn root_of(path: PathBuf, links: Links) -> Result<Root, Failure> {
    blocking(move || {
        let source = Source::open(&path, links)?;
        let (_, root) = source.row(|_| true)?;
        if !source.is_still()? {
            let subject = crate::place::shown(&path);
            return Err(Failure::new(Situation::SourceChanged(Side::Local), subject));
        }
        Ok(root)
    })
    .await
}
