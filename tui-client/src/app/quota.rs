//! What the account may hold, as the server said last.

use std::time::{Duration, Instant};

use sampan_protocol::message::QuotaAnswer;

/// While uploads run, the server is asked this often.
pub const REFRESH: Duration = Duration::from_secs(2);

/// What is known.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Quota {
    /// What the server said.
    pub answer: Option<QuotaAnswer>,
    /// When it was asked last.
    pub asked: Option<Instant>,
}

impl Quota {
    /// Whether it is time to ask again.
    pub fn is_stale(&self, now: Instant) -> bool {
        self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= REFRESH)
    }

    /// How much of the limit is taken, in flight included, from 0 to 1; `None` without a limit.
    pub fn fraction(answer: &QuotaAnswer) -> Option<f64> {
        let limit = answer.limit?;
        let taken = answer.used.saturating_add(answer.reserved);
        // A limit of nothing is full.
        Some(if limit == 0 { 1.0 } else { (taken as f64 / limit as f64).min(1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lowered_limit_is_full_and_no_more() {
        let answer = |limit, used, reserved| QuotaAnswer {
            limit,
            used,
            reserved,
            available: 0,
            max_entries: None,
            entries: 0,
            reserved_entries: 0,
            as_of: None,
        };
        assert_eq!(Quota::fraction(&answer(Some(100), 20, 5)), Some(0.25));
        assert_eq!(Quota::fraction(&answer(Some(100), 200, 0)), Some(1.0));
        assert_eq!(Quota::fraction(&answer(Some(0), 0, 0)), Some(1.0));
        assert_eq!(Quota::fraction(&answer(None, 20, 0)), None);
    }
}
