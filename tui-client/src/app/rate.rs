//! How fast bytes go by: an average that forgets with a time constant of 15 seconds.
//!
//! Every byte counts with the weight `exp(-age / 15 s)`; their sum is divided by what a steady rate
//! would have summed up to since the start. So the first seconds are not too low, a stall lowers it
//! at once, and single gusts do not move it much.

use std::time::{Duration, Instant};

/// How long a byte is remembered: after so long it counts with a weight of 1/e.
pub const MEMORY: Duration = Duration::from_secs(15);

/// Shorter spans would divide by almost nothing.
const SHORTEST: Duration = Duration::from_millis(200);

/// A rate of bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    started: Instant,
    updated: Instant,
    weighted: f64,
}

impl Rate {
    /// Nothing went by yet.
    pub fn new(now: Instant) -> Self {
        Self { started: now, updated: now, weighted: 0.0 }
    }

    /// So many bytes went by since the last call.
    pub fn add(&mut self, bytes: u64, now: Instant) {
        self.weighted = self.weighted * self.fading(now) + bytes as f64;
        self.updated = now;
    }

    /// Bytes a second.
    pub fn value(&self, now: Instant) -> f64 {
        let span = now.saturating_duration_since(self.started).max(SHORTEST).as_secs_f64();
        let memory = MEMORY.as_secs_f64();
        let steady = memory * (1.0 - (-span / memory).exp());
        self.weighted * self.fading(now) / steady
    }

    /// How long `bytes` will take; `None` if nothing moves.
    pub fn time_for(&self, bytes: u64, now: Instant) -> Option<Duration> {
        let rate = self.value(now);
        // Slower than a byte a second is not moving.
        if rate < 1.0 {
            return None;
        }
        Duration::try_from_secs_f64(bytes as f64 / rate).ok()
    }

    fn fading(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.updated).as_secs_f64();
        (-age / MEMORY.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(rate: &mut Rate, from: Instant, seconds: u64, per_second: u64) -> Instant {
        let steps = seconds * 10;
        for step in 1..=steps {
            rate.add(per_second / 10, from + Duration::from_millis(step * 100));
        }
        from + Duration::from_secs(seconds)
    }

    fn off_by(value: f64, wanted: f64) -> f64 {
        ((value - wanted) / wanted).abs()
    }

    #[test]
    fn a_steady_rate_is_right_from_the_first_second() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let now = feed(&mut rate, start, 1, 1_000_000);
        assert!(off_by(rate.value(now), 1e6) < 0.02, "{}", rate.value(now));
        let now = feed(&mut rate, now, 59, 1_000_000);
        assert!(off_by(rate.value(now), 1e6) < 0.02, "{}", rate.value(now));
        let left = rate.time_for(60_000_000, now).unwrap();
        assert!(off_by(left.as_secs_f64(), 60.0) < 0.02, "{left:?}");
    }

    #[test]
    fn a_step_is_followed_and_a_stall_fades() {
        let start = Instant::now();
        let mut rate = Rate::new(start);
        let now = feed(&mut rate, start, 30, 1_000_000);
        let now = feed(&mut rate, now, 30, 4_000_000);
        assert!(off_by(rate.value(now), 4e6) < 0.12, "{}", rate.value(now));
        let later = now + Duration::from_secs(15);
        assert!(off_by(rate.value(later), rate.value(now) / std::f64::consts::E) < 0.03);
        assert_eq!(rate.time_for(1, now + Duration::from_mins(10)), None);
    }
}
