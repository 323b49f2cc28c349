//! Ways across: from one side to a folder of the other.

use crate::place::Location;
use crate::transfer::{Direction, Route, Source, Target};

/// The route of these sources to `target`, which is a folder or a new name; `None` within one side.
pub fn across<'a>(
    sources: impl IntoIterator<Item = &'a Location>,
    target: &Location,
    is_folder: bool,
) -> Option<Route> {
    let sources = sources.into_iter();
    match target {
        Location::Remote(path) => {
            let sources = sources.map(|from| match from {
                Location::Local(path) => Some(Source { path: path.clone(), contents: false }),
                Location::Remote(_) => None,
            });
            let sources = sources.collect::<Option<Vec<_>>>()?;
            Some(Route::Upload { sources, target: Target { path: path.clone(), is_folder } })
        }
        Location::Local(path) => {
            let sources = sources.map(|from| match from {
                Location::Remote(path) => Some(Source { path: path.clone(), contents: false }),
                Location::Local(_) => None,
            });
            let sources = sources.collect::<Option<Vec<_>>>()?;
            Some(Route::Download { sources, target: Target { path: path.clone(), is_folder } })
        }
    }
}

/// Which way a route goes.
pub fn direction(route: &Route) -> Direction {
    match route {
        Route::Upload { .. } => Direction::Upload,
        Route::Download { .. } => Direction::Download,
    }
}
