//! The order of rows: folders first, then by name, naturally (`2` before `10`) or by bytes.
//!
//! Invariant: a total order. Two different names are never equal, so a row can be found again by
//! halving.

use std::cmp::Ordering;

use sampan_protocol::{Entry, EntryKind};

/// How names compare.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Numbers by value, letters of both cases alike.
    #[default]
    Natural,
    /// Byte by byte.
    Bytes,
}

impl Order {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Natural => Self::Bytes,
            Self::Bytes => Self::Natural,
        }
    }

    /// Which row comes first.
    pub fn compare(self, left: &Entry, right: &Entry) -> Ordering {
        self.compare_names(
            (is_folder(left), left.name.as_bytes()),
            (is_folder(right), right.name.as_bytes()),
        )
    }

    /// The same for a row of which only name and kind are known.
    pub fn compare_names(self, left: (bool, &[u8]), right: (bool, &[u8])) -> Ordering {
        let by_kind = right.0.cmp(&left.0);
        match self {
            Self::Bytes => by_kind.then_with(|| left.1.cmp(right.1)),
            Self::Natural => {
                by_kind.then_with(|| natural(left.1, right.1)).then_with(|| left.1.cmp(right.1))
            }
        }
    }
}

fn is_folder(entry: &Entry) -> bool {
    entry.attributes.kind == EntryKind::Folder
}

/// Runs of digits by value, everything else by byte with ASCII letters in lower case.
fn natural(mut left: &[u8], mut right: &[u8]) -> Ordering {
    loop {
        let (Some(a), Some(b)) = (left.first(), right.first()) else {
            return left.len().cmp(&right.len());
        };
        let ordering = if a.is_ascii_digit() && b.is_ascii_digit() {
            let (number_a, rest_a) = split_number(left);
            let (number_b, rest_b) = split_number(right);
            (left, right) = (rest_a, rest_b);
            number_a.len().cmp(&number_b.len()).then_with(|| number_a.cmp(number_b))
        } else {
            let ordering = a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase());
            (left, right) = (&left[1..], &right[1..]);
            ordering
        };
        if ordering.is_ne() {
            return ordering;
        }
    }
}

/// The leading digits without their zeros, and what follows.
fn split_number(bytes: &[u8]) -> (&[u8], &[u8]) {
    let end = bytes.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(bytes.len());
    let (number, rest) = bytes.split_at(end);
    let zeros = number.iter().take_while(|digit| **digit == b'0').count();
    (&number[zeros..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(order: Order, mut names: Vec<&str>) -> Vec<&str> {
        let folder = |name: &str| name.ends_with('/');
        names.sort_by(|a, b| {
            order.compare_names((folder(a), a.as_bytes()), (folder(b), b.as_bytes()))
        });
        names
    }

    #[test]
    fn folders_come_first_and_numbers_count() {
        let names = vec!["b10", "B2", "b1", "a", "z/", "10", "9", "01", "1", "C/"];
        assert_eq!(
            sorted(Order::Natural, names.clone()),
            ["C/", "z/", "01", "1", "9", "10", "a", "b1", "B2", "b10"]
        );
        assert_eq!(
            sorted(Order::Bytes, names),
            ["C/", "z/", "01", "1", "10", "9", "B2", "a", "b1", "b10"]
        );
    }

    #[test]
    fn different_names_are_never_equal() {
        for pair in [("1", "01"), ("a", "A"), ("x001", "x01"), ("", "0")] {
            for order in [Order::Natural, Order::Bytes] {
                let ordering =
                    order.compare_names((false, pair.0.as_bytes()), (false, pair.1.as_bytes()));
                assert!(ordering.is_ne(), "{pair:?}");
            }
        }
    }
}
