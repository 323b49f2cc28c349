//! Rows of a folder, from pages in directory order to a sorted whole.
//!
//! The sorter lives in the task that reads the folder, not in the loop: what the screen gets is
//! sorted already, and taking it over costs the same for ten rows and for a million.
//!
//! Invariant: every list of rows that leaves is sorted and holds everything read so far.

use std::sync::Arc;

use sampan_protocol::Entry;

use super::order::Order;

/// Sorted rows, shared between the task that reads and the screen that shows.
pub type Rows = Arc<Vec<Arc<Entry>>>;

/// A first look is worth little; after it, rows are sorted again only when they have grown by half.
const GROWTH: (usize, usize) = (3, 2);

/// Collects pages and sorts them.
#[derive(Debug)]
pub struct Sorter {
    order: Order,
    rows: Vec<Arc<Entry>>,
    handed_out: usize,
}

impl Sorter {
    /// An empty one.
    pub fn new(order: Order) -> Self {
        Self { order, rows: Vec::new(), handed_out: 0 }
    }

    /// Takes a page. Answers the rows so far if they are worth showing now.
    pub fn push(&mut self, page: impl IntoIterator<Item = Entry>) -> Option<Rows> {
        self.rows.extend(page.into_iter().map(Arc::new));
        if self.rows.len() <= self.handed_out * GROWTH.0 / GROWTH.1 {
            return None;
        }
        self.sort();
        self.handed_out = self.rows.len();
        Some(Arc::new(self.rows.clone()))
    }

    /// There are no more pages.
    pub fn finish(mut self) -> Rows {
        self.sort();
        Arc::new(self.rows)
    }

    fn sort(&mut self) {
        // The standard sort finds the run that is sorted already: this is a merge.
        self.rows.sort_by(|left, right| self.order.compare(left, right));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{file, folder};

    fn names(rows: &Rows) -> Vec<String> {
        rows.iter().map(|entry| entry.name.to_string()).collect()
    }

    #[test]
    fn rows_come_sorted_and_whole() {
        let mut sorter = Sorter::new(Order::Natural);
        let first = sorter.push([file("b", 1), file("a10", 1), folder("z")]).unwrap();
        assert_eq!(names(&first), ["z", "a10", "b"]);
        assert!(sorter.push([file("a9", 1)]).is_none(), "grown by a third only");
        let second = sorter.push([folder("y")]).unwrap();
        assert_eq!(names(&second), ["y", "z", "a9", "a10", "b"]);
        sorter.push([file("c", 1)]);
        assert_eq!(names(&sorter.finish()), ["y", "z", "a9", "a10", "b", "c"]);
    }
}
