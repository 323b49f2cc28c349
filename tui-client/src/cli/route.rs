//! The operands of `put` and `get`: what their position says is local, and what their ends say.
//!
//! Invariant: a local operand is never read as a place, so local names may hold `:` and `@`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use sampan_protocol::RemotePath;

use super::Stop;
use super::operands::Places;
use crate::address::{Place, means_contents};
use crate::catalogue::cli as text;
use crate::place::shown;
use crate::transfer::{Route, Source, Target};

/// Places as sources.
pub(super) fn remote_sources(places: Places) -> Vec<Source<RemotePath>> {
    let source = |(place, path): (Place, RemotePath)| {
        // The home has no name under which it could go anywhere.
        let contents = place.is_contents() || path.is_home();
        Source { path, contents }
    };
    places.places.into_iter().map(source).collect()
}

/// A place as the target of a transfer.
pub(super) fn remote_target(place: &Place, path: RemotePath) -> Target<RemotePath> {
    Target { path, is_folder: place.is_folder() }
}

/// A local name as a source: absolute, `contents` if it ends in `/.`.
pub(super) fn local_source(written: &OsStr) -> Result<Source<PathBuf>, Stop> {
    let contents = means_contents(written.as_bytes());
    let mut path = absolute(written)?;
    if !contents && path.file_name().is_none() {
        // `..` goes under the name of the folder that it means; where there is none, as with `/`,
        // the person must say that the contents are meant.
        let named = path.canonicalize().ok().filter(|real| real.file_name().is_some());
        path = named.ok_or_else(|| Stop::Usage(text::no_name(&shown(Path::new(written)))))?;
    }
    Ok(Source { path, contents })
}

/// A local name as a target: absolute, a folder if it ends in `/`, `.` or `..`.
pub(super) fn local_target(written: &OsStr) -> Result<Target<PathBuf>, Stop> {
    let last = written.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let is_folder = matches!(last, b"" | b"." | b"..");
    Ok(Target { path: absolute(written)?, is_folder })
}

/// Absolute, without `.`, doubled or trailing separators. A `..` stays, since what it means depends
/// on links on the way.
fn absolute(written: &OsStr) -> Result<PathBuf, Stop> {
    let path = std::path::absolute(Path::new(written))
        .map_err(|_| Stop::Usage(text::no_local_name(&shown(Path::new(written)))))?;
    Ok(path.components().filter(|part| *part != Component::CurDir).collect())
}

/// What tells this errand from others: its absolute operands, in order, without flags. A repeated
/// command finds by them what an interrupted one left.
pub(super) fn operands(route: &Route) -> Vec<Vec<u8>> {
    let local = |path: &PathBuf| path.as_os_str().as_bytes().to_vec();
    match route {
        Route::Upload { sources, target } => row(sources, target, local, RemotePath::to_bytes),
        Route::Download { sources, target } => row(sources, target, RemotePath::to_bytes, local),
    }
}

fn row<S, T>(
    sources: &[Source<S>],
    target: &Target<T>,
    source_bytes: impl Fn(&S) -> Vec<u8>,
    target_bytes: impl Fn(&T) -> Vec<u8>,
) -> Vec<Vec<u8>> {
    let marked = |mut bytes: Vec<u8>, is_marked: bool, mark: &[u8]| {
        bytes.extend_from_slice(if is_marked { mark } else { b"" });
        bytes
    };
    let mut row: Vec<_> = sources
        .iter()
        .map(|source| marked(source_bytes(&source.path), source.contents, b"/."))
        .collect();
    row.push(marked(target_bytes(&target.path), target.is_folder, b"/"));
    row
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    #[test]
    fn a_home_as_a_source_means_its_contents() {
        let written = ["u@h:", "u@h:a", "u@h:a/.", "u@h:a/"].map(OsString::from);
        let sources = remote_sources(Places::read(&written, None).unwrap());
        let contents: Vec<_> = sources.iter().map(|source| source.contents).collect();
        assert_eq!(contents, [true, false, true, false]);
    }

    #[test]
    fn local_ends_say_what_is_meant() {
        let here = std::env::current_dir().unwrap();
        let cases = [("a", false), ("a/", false), ("./a//", false), ("a/.", true), (".", true)];
        for (written, contents) in cases {
            let source = local_source(OsStr::new(written)).unwrap();
            let expected = if written == "." { here.clone() } else { here.join("a") };
            assert_eq!((source.path, source.contents), (expected, contents), "{written}");
        }
        for (written, is_folder) in [("a", false), ("a/", true), (".", true), ("..", true)] {
            assert_eq!(local_target(OsStr::new(written)).unwrap().is_folder, is_folder);
        }
        let colon = local_target(OsStr::new("a:b")).unwrap();
        assert_eq!(colon.path, here.join("a:b"));
    }

    #[test]
    fn a_source_without_a_name_is_resolved_or_refused() {
        let above = std::env::current_dir().unwrap().canonicalize().unwrap();
        let above = above.parent().unwrap().to_owned();
        assert_eq!(local_source(OsStr::new("..")).unwrap().path, above);
        for written in ["", "/", "/.."] {
            let refused = local_source(OsStr::new(written));
            assert!(matches!(refused, Err(Stop::Usage(_))), "{written}: {refused:?}");
        }
        assert!(local_source(OsStr::new("/.")).unwrap().contents);
    }

    #[test]
    fn operands_tell_errands_apart() {
        let route = |contents, is_folder| Route::Upload {
            sources: vec![Source { path: PathBuf::from("/x"), contents }],
            target: Target { path: RemotePath::parse(b"y").unwrap(), is_folder },
        };
        assert_eq!(operands(&route(false, false)), [b"/x".to_vec(), b"y".to_vec()]);
        assert_eq!(operands(&route(true, true)), [b"/x/.".to_vec(), b"y/".to_vec()]);
    }
}
