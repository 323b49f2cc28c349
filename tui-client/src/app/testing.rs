//! Made-up rows for tests.

use std::sync::Arc;

use sampan_protocol::{Attributes, Entry, EntryKind, Mode, Name, RemotePath, Timestamp, Version};

use super::listing::Rows;
use super::order::Order;
use super::route::across;
use crate::place::Location;
use crate::transfer::{Batch, Options};

pub(crate) fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).expect("tests use names")
}

pub(crate) fn home() -> Location {
    Location::Local("/home/anna".into())
}

pub(crate) fn entry(bytes: &[u8], kind: EntryKind, size: u64) -> Entry {
    let version: Vec<u8> = size.to_le_bytes().into();
    Entry {
        name: Name::new(bytes).expect("tests use names"),
        attributes: Attributes {
            kind,
            size,
            // 2026-03-12 14:05:06 UTC
            mtime: Timestamp::new(1_773_324_306, 0).expect("no fraction"),
            mode: if kind == EntryKind::Folder { Mode::FOLDER } else { Mode::FILE },
            version: Version::new(&version).expect("eight bytes"),
        },
    }
}

pub(crate) fn file(name: &str, size: u64) -> Entry {
    entry(name.as_bytes(), EntryKind::File, size)
}

pub(crate) fn folder(name: &str) -> Entry {
    entry(name.as_bytes(), EntryKind::Folder, 0)
}

/// Sorted, as a listing hands them over.
pub(crate) fn rows(entries: &[Entry]) -> Rows {
    let mut rows: Vec<Arc<Entry>> = entries.iter().cloned().map(Arc::new).collect();
    rows.sort_by(|left, right| Order::Natural.compare(left, right));
    Arc::new(rows)
}

/// An upload of `a` into the home.
pub(crate) fn order() -> Batch {
    let from = home().join(&name("a")).expect("a short path");
    let route = across([&from], &Location::Remote(RemotePath::home()), true);
    Batch { route: route.expect("it leads across"), options: Options::default() }
}
