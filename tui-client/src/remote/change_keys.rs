//! Numbers for changes: each new change gets the next one, and the server learns up to where all
//! were answered, so that it may forget those answers.
//!
//! Invariant: `answered` never passes a change that may still be sent again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use sampan_protocol::{ChangeKey, InstanceId};

/// The changes of one client process.
#[derive(Debug)]
pub(super) struct ChangeKeys {
    instance: InstanceId,
    numbers: Mutex<Numbers>,
}

#[derive(Debug, Default)]
struct Numbers {
    last: u64,
    open: BTreeSet<u64>,
}

impl ChangeKeys {
    pub(super) fn new(instance: InstanceId) -> Self {
        Self { instance, numbers: Mutex::default() }
    }

    /// A number for a new change. It counts as answered when the guard is dropped: then nobody sends
    /// it again.
    pub(super) fn begin(self: &Arc<Self>) -> OpenChange {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.last += 1;
        let sequence = numbers.last;
        numbers.open.insert(sequence);
        let answered = numbers.open.first().map_or(sequence, |first| first - 1);
        OpenChange {
            keys: Arc::clone(self),
            key: ChangeKey { instance: self.instance, sequence, answered },
        }
    }
}

/// A change that may still be sent again.
#[derive(Debug)]
pub struct OpenChange {
    keys: Arc<ChangeKeys>,
    key: ChangeKey,
}

impl OpenChange {
    /// The change's name.
    pub fn key(&self) -> ChangeKey {
        self.key
    }
}

impl Drop for OpenChange {
    fn drop(&mut self) {
        let mut numbers = self.keys.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.open.remove(&self.key.sequence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answered_follows_the_oldest_open_change() {
        let keys = Arc::new(ChangeKeys::new(InstanceId([7; 16])));
        let numbers = |change: &OpenChange| (change.key().sequence, change.key().answered);
        let first = keys.begin();
        let second = keys.begin();
        assert_eq!((numbers(&first), numbers(&second)), ((1, 0), (2, 0)));
        drop(second);
        let third = keys.begin();
        assert_eq!(numbers(&third), (3, 0));
        drop(first);
        assert_eq!(numbers(&keys.begin()), (4, 2));
        drop(third);
        assert_eq!(numbers(&keys.begin()), (5, 4));
    }
}
