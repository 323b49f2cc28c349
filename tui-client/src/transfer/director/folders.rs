//! Modes and times of folders, once their contents are there.

use std::sync::Arc;

use futures_util::StreamExt;

use crate::failure::Failure;
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

/// Gives each folder its mode and time. What is inside another one comes before it.
pub(super) async fn finish(context: &Arc<Context>, folders: Vec<FolderPlan>) -> Vec<FolderEnd> {
    let is_local =
        folders.first().is_some_and(|folder| matches!(folder.target, FolderTarget::Local(_)));
    if is_local { finish_local(folders).await } else { finish_remote(context, folders).await }
}

async fn finish_remote(context: &Arc<Context>, folders: Vec<FolderPlan>) -> Vec<FolderEnd> {
    // Giving a folder its time does not change the time of the one that holds it: any order does.
    let finish = |folder: FolderPlan| async {
        let FolderTarget::Remote(path) = &folder.target else {
            unreachable!("a batch has one direction");
        };
        let (mode, mtime) = (folder.source.mode, folder.source.mtime);
        let set = context.remote.set_attributes(path, Some(mode), Some(mtime)).await;
        end(folder, set.map(|_| ()))
    };
    futures_util::stream::iter(folders).map(finish).buffered(AT_ONCE).collect().await
}

async fn finish_local(folders: Vec<FolderPlan>) -> Vec<FolderEnd> {
    let places = folders.clone();
    let finished = blocking(move || {
        Ok(places
            .iter()
            .map(|folder| match &folder.target {
                FolderTarget::Local(LocalPlace { root, at }) => {
                    root.finish_folder(at, folder.source.mode, folder.source.mtime)
                }
                FolderTarget::Remote(_) => unreachable!("a batch has one direction"),
            })
            .collect::<Vec<_>>())
    });
    match finished.await {
        Ok(results) => folders.into_iter().zip(results).map(|(f, result)| end(f, result)).collect(),
        Err(failure) => folders.into_iter().map(|f| end(f, Err(failure.clone()))).collect(),
    }
}

fn end(folder: FolderPlan, result: Result<(), Failure>) -> FolderEnd {
    let outcome = match result {
        Ok(()) => Outcome::Done { moved: 0, root: None },
        Err(failure) => Outcome::Failed(failure),
    };
    FolderEnd { folder, outcome }
}
