//! What is marked in a pane: by name, so that a reload keeps it.
//!
//! Invariant: `bytes` is the sum over all marked files as they were last seen.

use std::collections::HashMap;
use std::sync::Arc;

use sampan_protocol::{Entry, Name};

use super::listing::Rows;

/// Marked rows.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    entries: HashMap<Name, Arc<Entry>>,
    bytes: u64,
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

    /// Bytes of the marked files; what folders hold is not known.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Whether this name is marked.
    pub fn holds(&self, name: &Name) -> bool {
        self.entries.contains_key(name)
    }

    /// Marks or unmarks.
    pub fn set(&mut self, entry: &Arc<Entry>, marked: bool) {
        if let Some(old) = self.entries.remove(&entry.name) {
            self.bytes = self.bytes.saturating_sub(old.attributes.size);
        }
        if marked {
            self.bytes = self.bytes.saturating_add(entry.attributes.size);
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
    use crate::app::testing::file;

    #[test]
    fn bytes_are_the_sum_of_the_marked() {
        let rows: Rows = Arc::new([("a", 5), ("b", 7)].map(|(n, s)| Arc::new(file(n, s))).into());
        let mut marks = Marks::default();
        rows.iter().for_each(|entry| marks.set(entry, true));
        marks.set(&rows[0], true);
        assert_eq!((marks.count(), marks.bytes()), (2, 12));
        assert!(!marks.toggle(&rows[1]));
        assert_eq!((marks.count(), marks.bytes()), (1, 5));
    }

    #[test]
    fn a_reload_keeps_what_is_still_there_with_its_new_size() {
        let old: Rows = Arc::new([("a", 5), ("b", 7)].map(|(n, s)| Arc::new(file(n, s))).into());
        let new: Rows = Arc::new([("b", 9), ("c", 1)].map(|(n, s)| Arc::new(file(n, s))).into());
        let mut marks = Marks::default();
        old.iter().for_each(|entry| marks.set(entry, true));
        marks.refresh(&new);
        assert_eq!((marks.count(), marks.bytes()), (1, 9));
    }
}
