//! Modes and times of folders, once their contents are there.

use std::sync::Arc;

use futures_util::StreamExt;

use crate::failure::Failure;
use crate::local::TargetRoot;
use crate::step::{self, Step};
use crate::transfer::event::Outcome;
use crate::transfer::item::{FolderPlan, FolderTarget, LocalPlace};
use crate::transfer::job::{Context, blocking};

/// Requests at once.
const AT_ONCE: usize = 32;

/// A folder that is done with.
pub(super) struct FolderEnd {
    pub(super) folder: FolderPlan,
    pub(super) outcome: Outcome,
}

/// Gives each folder its mode and time. What is inside another one comes before it. With `flush`
/// folders of this machine are on the disk then, those that are new included.
pub(super) async fn finish(
    context: &Arc<Context>,
    folders: Vec<FolderPlan>,
    flush: bool,
) -> Vec<FolderEnd> {
    let is_local =
        folders.first().is_some_and(|folder| matches!(folder.target, FolderTarget::Local(_)));
    if is_local {
        finish_local(folders, flush).await
    } else {
        finish_remote(context, folders).await
    }
}

async fn finish_remote(context: &Arc<Context>, folders: Vec<FolderPlan>) -> Vec<FolderEnd> {
    // Giving a folder its time does not change the time of the one that holds it: any order does.
    let finish = |folder: FolderPlan| async {
        let FolderTarget::Remote(path) = &folder.target else {
            unreachable!("a batch has one direction");
        };
        let (mode, mtime) = (folder.source.mode, folder.source.mtime);
        let set = context.remote.set_attributes(path, Some(mode), Some(mtime)).await;
        step::at(Step::FolderFinished);
        end(folder, set.map(|_| ()))
    };
    futures_util::stream::iter(folders).map(finish).buffered(AT_ONCE).collect().await
}

async fn finish_local(folders: Vec<FolderPlan>, flush: bool) -> Vec<FolderEnd> {
    let places = folders.clone();
    let finished = blocking(move || {
        let flush: &dyn Fn(&TargetRoot) -> Result<(), Failure> =
            if flush { &TargetRoot::flush } else { &|_| Ok(()) };
        Ok(finish_places(&places, flush))
    });
    match finished.await {
        Ok(results) => folders.into_iter().zip(results).map(|(f, result)| end(f, result)).collect(),
        Err(failure) => folders.into_iter().map(|f| end(f, Err(failure.clone()))).collect(),
    }
}

fn finish_places(
    folders: &[FolderPlan],
    flush: &dyn Fn(&TargetRoot) -> Result<(), Failure>,
) -> Vec<Result<(), Failure>> {
    let mut last = None;
    let mut results: Vec<_> = folders
        .iter()
        .map(|folder| match &folder.target {
            FolderTarget::Local(LocalPlace { root, at }) => {
                last = Some(root);
                let finished = root.finish_folder(at, folder.source.mode, folder.source.mtime);
                step::at(Step::LocalFolderFinished);
                finished
            }
            FolderTarget::Remote(_) => unreachable!("a batch has one direction"),
        })
        .collect();
    // All folders of a batch are below one root, so one flush does for all.
    if let Some(root) = last
        && let Err(failure) = flush(root)
    {
        for result in &mut results {
            if result.is_ok() {
                *result = Err(failure.clone());
            }
        }
    }
    results
}

fn end(folder: FolderPlan, result: Result<(), Failure>) -> FolderEnd {
    let outcome = match result {
        Ok(()) => Outcome::Done { moved: 0, root: None },
        Err(failure) => Outcome::Failed(failure),
    };
    FolderEnd { folder, outcome }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use sampan_protocol::RemotePath;

    use super::*;
    use crate::failure::{Side, Situation};
    use crate::place::Location;

    #[test]
    fn folders_are_flushed_once_after_the_last_and_a_failed_flush_fails_them() {
        let here = tempfile::tempdir().unwrap();
        let root = TargetRoot::open(here.path()).unwrap();
        let folders: Vec<_> = ["a", "b"]
            .into_iter()
            .map(|name| {
                let at = RemotePath::parse(name.as_bytes()).unwrap();
                root.make_folder(&at).unwrap();
                let source = root.look(&at).unwrap().unwrap().attributes();
                let from = Location::Remote(at.clone());
                let target = FolderTarget::Local(LocalPlace { root: root.clone(), at });
                let mode = sampan_protocol::Mode::new(0o750);
                let source = sampan_protocol::Attributes { mode, ..source };
                FolderPlan { source, from, target, existed: None }
            })
            .collect();
        let flushes = Cell::new(0);
        let finished = finish_places(&folders, &|root| {
            let last = RemotePath::parse(b"b").unwrap();
            assert_eq!(root.look(&last).unwrap().unwrap().mode.bits(), 0o750, "flushed too early");
            flushes.set(flushes.get() + 1);
            Ok(())
        });
        assert_eq!((finished, flushes.get()), (vec![Ok(()), Ok(())], 1));
        let broken = Failure::new(Situation::DiskFailed(Side::Local, "broken".to_owned()), "");
        let finished = finish_places(&folders, &|_| Err(broken.clone()));
        assert_eq!(finished, [Err(broken.clone()), Err(broken.clone())]);
    }
}
