//! What is marked in a pane: by name, so that a reload keeps it.
//!
//! Invariant: the extent is the sum over all marked rows as they were last seen.

use std::collections::HashMap;
use std::sync::Arc;

use sampan_protocol::{Entry, EntryKind, Name};

use super::listing::Rows;

/// How much some rows are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Rows.
    pub items: usize,
    /// Of these, folders; what they hold is not known.
    pub folders: usize,
    /// Bytes of the others.
    pub bytes: u64,
}

impl Extent {
    /// Of these rows.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        entries.into_iter().map(Self::of_one).fold(Self::default(), Self::plus)
    }

    fn of_one(entry: &Entry) -> Self {
        if entry.attributes.kind == EntryKind::Folder {
            return Self { items: 1, folders: 1, bytes: 0 };
        }
        Self { items: 1, folders: 0, bytes: entry.attributes.size }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            items: self.items + other.items,
            folders: self.folders + other.folders,
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn without(self, other: Self) -> Self {
        Self {
            items: self.items.saturating_sub(other.items),
            folders: self.folders.saturating_sub(other.folders),
            bytes: self.bytes.saturating_sub(other.bytes),
        }
    }
}

/// Marked rows.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    entries: HashMap<Name, Arc<Entry>>,
    extent: Extent,
}

impl Marks {
    /// Whether nothing is marked.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many are marked.
    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// How much is marked.
    pub fn extent(&self) -> Extent {
        self.extent
    }

    /// Whether this name is marked.
    pub fn holds(&self, name: &Name) -> bool {
        self.entries.contains_key(name)
    }

    /// Marks or unmarks.
    pub fn set(&mut self, entry: &Arc<Entry>, marked: bool) {
        if let Some(old) = self.entries.remove(&entry.name) {
            self.extent = self.extent.without(Extent::of_one(&old));
        }
        if marked {
            self.extent = self.extent.plus(Extent::of_one(entry));
            self.entries.insert(entry.name.clone(), Arc::clone(entry));
        }
    }

    /// Marks what is not, unmarks what is. Answers whether it is marked now.
    pub fn toggle(&mut self, entry: &Arc<Entry>) -> bool {
        let marked = !self.holds(&entry.name);
        self.set(entry, marked);
        marked
    }

    /// Unmarks all.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The marked rows in the order in which they are shown.
    pub fn in_order(&self, rows: &Rows) -> Vec<Arc<Entry>> {
        rows.iter().filter(|entry| self.holds(&entry.name)).map(Arc::clone).collect()
    }

    /// After a reload: forgets what is gone, and takes over what is known now of the rest.
    pub fn refresh(&mut self, rows: &Rows) {
        if self.is_empty() {
            return;
        }
        let mut fresh = Self::default();
        for entry in rows.iter().filter(|entry| self.holds(&entry.name)) {
            fresh.set(entry, true);
        }
        *self = fresh;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{file, folder};

    #[test]
    fn folders_are_counted_and_have_no_bytes() {
        let docs = Arc::new(folder("docs"));
        let mut marks = Marks::default();
        marks.set(&docs, true);
        marks.set(&Arc::new(file("a", 5)), true);
        assert_eq!(marks.extent(), Extent { items: 2, folders: 1, bytes: 5 });
        marks.set(&docs, false);
        assert_eq!(marks.extent(), Extent { items: 1, folders: 0, bytes: 5 });
    }

    #[test]
    fn bytes_are_the_sum_of_the_marked() {
        let rows: Rows = Arc::new([("a", 5), ("b", 7)].map(|(n, s)| Arc::new(file(n, s))).into());
        let mut marks = Marks::default();
        rows.iter().for_each(|entry| marks.set(entry, true));
        marks.set(&rows[0], true);
        assert_eq!((marks.count(), marks.extent().bytes), (2, 12));
        assert!(!marks.toggle(&rows[1]));
        assert_eq!((marks.count(), marks.extent().bytes), (1, 5));
    }

    #[test]
    fn a_reload_keeps_what_is_still_there_with_its_new_size() {
        let old: Rows = Arc::new([("a", 5), ("b", 7)].map(|(n, s)| Arc::new(file(n, s))).into());
        let new: Rows = Arc::new([("b", 9), ("c", 1)].map(|(n, s)| Arc::new(file(n, s))).into());
        let mut marks = Marks::default();
        old.iter().for_each(|entry| marks.set(entry, true));
        marks.refresh(&new);
        assert_eq!((marks.count(), marks.extent().bytes), (1, 9));
    }
}
