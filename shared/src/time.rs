//! A moment as files carry it: nanoseconds since 1970-01-01 UTC, before it too.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// A file's time. Invariant: `nanos` is below 1,000,000,000 and counts forward from `seconds`,
/// also before 1970.
///
/// On the wire: an array `[seconds, nanos]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

impl Timestamp {
    /// `None` if `nanos` is no fraction of a second.
    pub const fn new(seconds: i64, nanos: u32) -> Option<Self> {
        if nanos < NANOS_PER_SECOND { Some(Self { seconds, nanos }) } else { None }
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds after [`Self::seconds`].
    pub const fn nanos(self) -> u32 {
        self.nanos
    }

    /// This moment and `duration` more; saturates at the end of time.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        let nanos = self.nanos + duration.subsec_nanos();
        let carry = i64::from(nanos / NANOS_PER_SECOND);
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        Self {
            seconds: self.seconds.saturating_add(seconds).saturating_add(carry),
            nanos: nanos % NANOS_PER_SECOND,
        }
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Self::default().plus(after),
            Err(error) => {
                let before = error.duration();
                let whole = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                match before.subsec_nanos() {
                    0 => Self { seconds: -whole, nanos: 0 },
                    nanos => Self { seconds: -whole - 1, nanos: NANOS_PER_SECOND - nanos },
                }
            }
        }
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.seconds, self.nanos).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (seconds, nanos) = <(i64, u32)>::deserialize(deserializer)?;
        Self::new(seconds, nanos)
            .ok_or_else(|| serde::de::Error::custom("nanoseconds of a whole second or more"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_before_the_epoch_counts_forward() {
        let half_before = UNIX_EPOCH - Duration::from_millis(500);
        assert_eq!(Some(Timestamp::from(half_before)), Timestamp::new(-1, 500_000_000));
        assert_eq!(
            Some(Timestamp::from(UNIX_EPOCH - Duration::from_secs(2))),
            Timestamp::new(-2, 0)
        );
    }

    #[test]
    fn plus_carries() {
        let start = Timestamp::new(1, 900_000_000).unwrap();
        assert_eq!(Some(start.plus(Duration::from_millis(200))), Timestamp::new(2, 100_000_000));
    }
}
