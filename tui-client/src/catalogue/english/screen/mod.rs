//! What the screen says: one subject a file.

mod actions;
mod buttons;
mod link;
mod notices;
mod panes;
mod questions;
mod transfers;

pub use actions::*;
pub use buttons::*;
pub use link::*;
pub use notices::*;
pub use panes::*;
pub use questions::*;
pub use transfers::*;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::tz::TimeZone;
    use sampan_protocol::{Mode, Timestamp};

    use super::*;

    #[test]
    fn sizes_are_for_people_and_exact() {
        assert_eq!(size_both(999), "999 B");
        assert_eq!(size_both(1_234_567), "1.23 MB (1,234,567)");
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(size_short(12_345_678), "12.3M");
        assert_eq!(size_short(999), "999");
    }

    #[test]
    fn modes_are_shown_as_ls_does() {
        assert_eq!(mode(Mode::new(0o755)), "rwxr-xr-x");
        assert_eq!(mode(Mode::new(0o640)), "rw-r-----");
    }

    #[test]
    fn times_left_are_short_or_a_dash() {
        assert_eq!(left(Some(Duration::from_secs(65))), "1:05");
        assert_eq!(left(Some(Duration::from_secs(7384))), "2:03:04");
        assert_eq!(left(Some(Duration::MAX)), "–:––");
        assert_eq!(left(None), "–:––");
    }

    #[test]
    fn a_hundred_percent_is_not_said_before_the_end() {
        assert_eq!(percent(999_999, 1_000_000), "99 %");
        assert_eq!(percent(u64::MAX, u64::MAX), "100 %");
        assert_eq!(percent(0, 0), "100 %");
    }

    #[test]
    fn moments_fit_their_columns() {
        let time = Timestamp::new(1_773_324_306, 0).unwrap();
        let zone = TimeZone::UTC;
        assert_eq!(moment_in(time, &zone, 16), "2026-03-12 14:05");
        assert_eq!(moment_in(time, &zone, 10), "2026-03-12");
        assert_eq!(moment_in(time, &zone, 7), "12Mar26");
        assert_eq!(moment(Timestamp::new(i64::MAX, 0).unwrap(), &zone), "?");
    }
}
