//! What did not come across, and ordering it again.
//!
//! Invariant: nothing is ordered twice: what lies in a folder that is ordered again goes with it.

use std::collections::{BTreeMap, HashSet};

use crate::app::route::across;
use crate::failure::Failure;
use crate::place::Location;
use crate::transfer::{Batch, BatchId, OnConflict, Options, Route};

/// A file or folder that is not across.
#[derive(Clone, Debug, PartialEq)]
pub struct Lost {
    /// Its batch.
    pub batch: BatchId,
    /// Where it lies.
    pub from: Location,
    /// Where it was to go.
    pub to: Location,
    /// Why it did not.
    pub failure: Failure,
}

/// Batches that carry again what one batch lost.
pub(super) fn again(batch: &Batch, lost: &[Lost]) -> Vec<Batch> {
    let options = Options { on_conflict: OnConflict::Ask, ..batch.options.clone() };
    let (target, is_folder) = target(&batch.route);
    if is_folder && lost.iter().any(|lost| lost.to == target) {
        // Not one of its files, but all of it.
        return vec![Batch { route: batch.route.clone(), options }];
    }
    let sources: HashSet<&Location> = lost.iter().map(|lost| &lost.from).collect();
    let mut named: Vec<(&Location, &Location)> = Vec::new();
    let mut into: BTreeMap<Vec<u8>, (Location, Vec<&Location>)> = BTreeMap::new();
    for Lost { from, to, .. } in lost.iter().filter(|lost| !lies_in(&lost.from, &sources)) {
        match to.parent() {
            Some(folder) if to.name() == from.name() => {
                let key = folder.to_string().into_bytes();
                into.entry(key).or_insert_with(|| (folder, Vec::new())).1.push(from);
            }
            _ => named.push((from, to)),
        }
    }
    let into = into.into_values().map(|(folder, sources)| across(sources, &folder, true));
    let named = named.into_iter().map(|(from, to)| across([from], to, false));
    into.chain(named).flatten().map(|route| Batch { route, options: options.clone() }).collect()
}

fn target(route: &Route) -> (Location, bool) {
    match route {
        Route::Upload { target, .. } => (Location::Remote(target.path.clone()), target.is_folder),
        Route::Download { target, .. } => (Location::Local(target.path.clone()), target.is_folder),
    }
}

fn lies_in(place: &Location, folders: &HashSet<&Location>) -> bool {
    let above = std::iter::successors(place.parent(), Location::parent);
    above.into_iter().any(|folder| folders.contains(&folder))
}
