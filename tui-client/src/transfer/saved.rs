//! A batch as the journal keeps it.
//!
//! Invariant: paths are bytes; what cannot be read back is dropped whole, never in part.

use std::os::unix::ffi::OsStrExt;

use sampan_protocol::RemotePath;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::command::{Batch, Links, OnConflict, Options, Route, Source, Target};
use crate::place::local_path;

#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
#[derive(Serialize, Deserialize)]
struct Saved {
    upload: bool,
    sources: Vec<(ByteBuf, bool)>,
    target: (ByteBuf, bool),
    on_conflict: u8,
    links: u8,
    checksum: bool,
    flush: bool,
    #[serde(default)]
    moves: bool,
}

const POLICIES: [OnConflict; 6] = [
    OnConflict::Ask,
    OnConflict::Overwrite,
    OnConflict::Skip,
    OnConflict::Newer,
    OnConflict::Rename,
    OnConflict::Fail,
];
const LINKS: [Links; 3] = [Links::Skip, Links::Follow, Links::Fail];

/// The bytes to keep; `None` for a batch that is only planned.
pub(super) fn write(batch: &Batch) -> Option<Vec<u8>> {
    if batch.options.dry_run {
        return None;
    }
    let local = |path: &std::path::Path| ByteBuf::from(path.as_os_str().as_bytes());
    let remote = |path: &RemotePath| ByteBuf::from(path.to_bytes());
    let (upload, sources, target) = match &batch.route {
        Route::Upload { sources, target } => (
            true,
            sources.iter().map(|source| (local(&source.path), source.contents)).collect(),
            (remote(&target.path), target.is_folder),
        ),
        Route::Download { sources, target } => (
            false,
            sources.iter().map(|source| (remote(&source.path), source.contents)).collect(),
            (local(&target.path), target.is_folder),
        ),
    };
    let Options { on_conflict, links, checksum, flush, moves, .. } = batch.options;
    let saved = Saved {
        upload,
        sources,
        target,
        on_conflict: number(&POLICIES, on_conflict),
        links: number(&LINKS, links),
        checksum,
        flush,
        moves,
    };
    rmp_serde::to_vec(&saved).ok()
}

fn number<T: PartialEq + Copy>(all: &[T], one: T) -> u8 {
    all.iter().position(|each| *each == one).and_then(|at| u8::try_from(at).ok()).unwrap_or(0)
}

/// The batch of these bytes.
pub(super) fn read(bytes: &[u8]) -> Option<Batch> {
    let saved: Saved = rmp_serde::from_slice(bytes).ok()?;
    let local = |bytes: ByteBuf| Some(local_path(bytes.into_vec()));
    let remote = |bytes: ByteBuf| RemotePath::parse(&bytes).ok();
    let route = if saved.upload {
        Route::Upload {
            sources: sources(saved.sources, local)?,
            target: target(saved.target, remote)?,
        }
    } else {
        Route::Download {
            sources: sources(saved.sources, remote)?,
            target: target(saved.target, local)?,
        }
    };
    let options = Options {
        on_conflict: *POLICIES.get(usize::from(saved.on_conflict))?,
        links: *LINKS.get(usize::from(saved.links))?,
        checksum: saved.checksum,
        flush: saved.flush,
        dry_run: false,
        moves: saved.moves,
    };
    Some(Batch { route, options })
}

fn sources<P>(
    saved: Vec<(ByteBuf, bool)>,
    path: impl Fn(ByteBuf) -> Option<P>,
) -> Option<Vec<Source<P>>> {
    let source = |(bytes, contents)| Some(Source { path: path(bytes)?, contents });
    saved.into_iter().map(source).collect()
}

fn target<P>(
    (bytes, is_folder): (ByteBuf, bool),
    path: impl Fn(ByteBuf) -> Option<P>,
) -> Option<Target<P>> {
    Some(Target { path: path(bytes)?, is_folder })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_comes_back_as_it_was() {
        let odd = local_path(b"/tmp/\xff\x1b".to_vec());
        let home = RemotePath::parse(b"docs/\xfe").unwrap();
        let options = Options {
            on_conflict: OnConflict::Rename,
            links: Links::Follow,
            moves: true,
            ..Options::default()
        };
        let up = Route::Upload {
            sources: vec![Source { path: odd.clone(), contents: true }],
            target: Target { path: home.clone(), is_folder: true },
        };
        let down = Route::Download {
            sources: vec![Source { path: home, contents: false }],
            target: Target { path: odd, is_folder: false },
        };
        for route in [up, down] {
            let batch = Batch { route, options: options.clone() };
            assert_eq!(read(&write(&batch).unwrap()), Some(batch));
        }
        assert_eq!(read(b"nonsense"), None);
    }
}
