//! When to paint: a change at once, but not again within 4 ms.
//!
//! Invariant: every change is painted; nothing is painted without one.

use std::time::{Duration, Instant};

/// Between two paintings at least so much passes: 250 a second are more than any terminal shows.
const SHORTEST: Duration = Duration::from_millis(4);

/// When to paint.
#[derive(Debug)]
pub(super) struct Pace {
    painted: Option<Instant>,
    changed: bool,
}

impl Pace {
    pub(super) fn new() -> Self {
        Self { painted: None, changed: false }
    }

    /// Something that is shown has changed.
    pub(super) fn changed(&mut self) {
        self.changed = true;
    }

    /// When to paint next; `None` if there is nothing to paint.
    pub(super) fn due_at(&self) -> Option<Instant> {
        let earliest = self.painted.map(|painted| painted + SHORTEST);
        self.changed.then(|| earliest.unwrap_or_else(Instant::now))
    }

    /// Whether to paint now.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.changed && self.painted.is_none_or(|painted| now >= painted + SHORTEST)
    }

    /// It was painted.
    pub(super) fn painted(&mut self, now: Instant) {
        *self = Self { painted: Some(now), changed: false };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_painted_at_once_and_the_next_after_4_ms() {
        let start = Instant::now();
        let mut pace = Pace::new();
        assert!(!pace.is_due(start));
        pace.changed();
        assert!(pace.is_due(start));
        pace.painted(start);
        assert_eq!((pace.is_due(start), pace.due_at()), (false, None));
        pace.changed();
        assert!(!pace.is_due(start + Duration::from_millis(3)));
        assert_eq!(pace.due_at(), Some(start + SHORTEST));
        assert!(pace.is_due(start + SHORTEST));
    }

    #[test]
    fn after_a_rest_a_change_does_not_wait() {
        let start = Instant::now();
        let mut pace = Pace::new();
        pace.painted(start);
        pace.changed();
        assert!(pace.is_due(start + Duration::from_secs(1)));
    }
}
