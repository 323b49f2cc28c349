//! `-g`: places that are patterns, as the names that the server holds.
//!
//! Each name of a path may be a pattern; only folders are gone into, and no link is followed. What a
//! pattern stands for comes sorted by name.
//!
//! Invariant: a pattern that stands for nothing is a failure, and so is a folder that could not be
//! looked through; what was found beside it counts all the same.

use std::collections::HashSet;

use futures_util::StreamExt;
use sampan_protocol::{Attributes, EntryKind, Name, RemotePath};

use super::glob::Pattern;
use crate::address::Place;
use crate::catalogue::cli as text;
use crate::failure::{Failure, Side, Situation};
use crate::remote::{ListStep, Remote};

/// Requests at once.
const AT_ONCE: usize = 16;

/// One place of a command, with what is known of it.
#[derive(Clone, Debug)]
pub(super) struct Operand {
    /// As it was written; of a pattern the pattern.
    pub(super) place: Place,
    pub(super) path: RemotePath,
    /// What lies there, if a pattern found it.
    pub(super) attributes: Option<Attributes>,
}

/// What a pattern stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) path: RemotePath,
    /// `None` for a path that is no pattern, which was not looked at.
    pub(super) attributes: Option<Attributes>,
}

/// The operands that `places` stand for, and what failed.
pub(super) async fn operands(
    remote: &Remote,
    places: Vec<(Place, RemotePath)>,
    expands: bool,
) -> (Vec<Operand>, Vec<Failure>) {
    let (mut operands, mut failures) = (Vec::new(), Vec::new());
    let mut seen = HashSet::new();
    for (place, path) in places {
        if !expands {
            operands.push(Operand { place, path, attributes: None });
            continue;
        }
        let (found, failed) = expand(remote, &path, place.is_folder()).await;
        failures.extend(failed);
        // What two patterns stand for is meant once.
        let new = found.into_iter().filter(|found| seen.insert(found.path.clone()));
        operands.extend(new.map(|found| {
            let Match { path, attributes } = found;
            Operand { place: place.clone(), path, attributes }
        }));
    }
    (operands, failures)
}

/// Whether a path is a pattern.
pub(super) fn expands(path: &RemotePath) -> bool {
    path.names().iter().any(|name| Pattern::read(name.as_bytes()).is_some())
}

/// What `path` stands for; with `folders_only` only folders.
pub(super) async fn expand(
    remote: &Remote,
    path: &RemotePath,
    folders_only: bool,
) -> (Vec<Match>, Vec<Failure>) {
    let names = path.names();
    let first = names.iter().position(|name| Pattern::read(name.as_bytes()).is_some());
    let Some(first) = first else {
        return (vec![Match { path: path.clone(), attributes: None }], Vec::new());
    };
    // The first names of a path are a path.
    let above = RemotePath::from_names(&names[..first]).unwrap_or_default();
    let mut found = vec![Match { path: above, attributes: None }];
    let mut failures = Vec::new();
    for (depth, name) in names.iter().enumerate().skip(first) {
        let into_folders = depth + 1 < names.len() || folders_only;
        let pattern = Pattern::read(name.as_bytes());
        let looks = found.into_iter().map(|folder| match &pattern {
            Some(pattern) => {
                futures_util::future::Either::Left(matching(remote, folder.path, pattern))
            }
            None => futures_util::future::Either::Right(named(remote, folder.path, name)),
        });
        let mut looks = futures_util::stream::iter(looks).buffered(AT_ONCE);
        let mut below = Vec::new();
        while let Some((more, failure)) = looks.next().await {
            below.extend(more);
            failures.extend(failure);
        }
        found = below;
        found.retain(|found| {
            let kind = found.attributes.as_ref().map(|attributes| attributes.kind);
            !into_folders || kind == Some(EntryKind::Folder)
        });
    }
    if found.is_empty() && failures.is_empty() {
        failures.push(Failure::new(Situation::NoMatch, remote.show(path)));
    }
    (found, failures)
}

/// What of a folder matches, sorted.
async fn matching(
    remote: &Remote,
    folder: RemotePath,
    pattern: &Pattern,
) -> (Vec<Match>, Option<Failure>) {
    let mut listing = remote.list(&folder);
    let mut found = Vec::new();
    let mut failure = None;
    loop {
        match listing.next().await {
            Ok(None) => break,
            Ok(Some(ListStep::Restart)) => (found, failure) = (Vec::new(), None),
            Ok(Some(ListStep::Unreadable(names))) => {
                let situation = Situation::Unexpected(text::unreadable_names(names));
                failure = Some(Failure::new(situation, remote.show(&folder)));
            }
            Ok(Some(ListStep::Entries(entries))) => {
                for entry in entries {
                    if !pattern.matches(entry.name.as_bytes()) {
                        continue;
                    }
                    match folder.join(&entry.name) {
                        Ok(path) => {
                            found.push(Match { path, attributes: Some(entry.attributes) });
                        }
                        Err(_) => failure = Some(too_long(remote, &folder, &entry.name)),
                    }
                }
            }
            Err(failed) if is_no_folder(&failed) => break,
            Err(failed) => {
                failure = Some(failed);
                break;
            }
        }
    }
    found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    (found, failure)
}

/// A name in a folder, if it is there.
async fn named(remote: &Remote, folder: RemotePath, name: &Name) -> (Vec<Match>, Option<Failure>) {
    let Ok(path) = folder.join(name) else {
        return (Vec::new(), Some(too_long(remote, &folder, name)));
    };
    match remote.stat_if_there(&path).await {
        Ok(None) => (Vec::new(), None),
        Ok(attributes) => (vec![Match { path, attributes }], None),
        Err(failure) if is_no_folder(&failure) => (Vec::new(), None),
        Err(failure) => (Vec::new(), Some(failure)),
    }
}

fn too_long(remote: &Remote, folder: &RemotePath, name: &Name) -> Failure {
    let subject = format!("{}/{name}", remote.show(folder));
    Failure::new(Situation::NameNotStorable(Side::Remote), subject)
}

/// There is nothing to look through: it went away, or never was a folder.
fn is_no_folder(failure: &Failure) -> bool {
    matches!(
        failure.situation,
        Situation::NotFound(_)
            | Situation::NotAFolder(_)
            | Situation::IsALink(_)
            | Situation::NotAFile(_)
    )
}
