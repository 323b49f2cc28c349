//! A listing's rows for people: names alone, or mode, size, time and name in columns.
//!
//! Invariant: a row is pure text; whether foreign bytes are escaped is decided by who prints it.

use jiff::tz::TimeZone;
use sampan_protocol::{Attributes, EntryKind, Mode, Timestamp};

/// Columns that hold the size, at least; the widest of a sorted listing widens it.
pub(super) const SIZE_COLUMNS: usize = 13;

/// What stands before the name in a long row: `drwxr-xr-x         4096 2026-11-22 17:36:05`.
///
/// Of what is no file there is no size to tell.
pub(super) fn facts(attributes: &Attributes, size_columns: usize, zone: &TimeZone) -> String {
    let size = match attributes.kind {
        EntryKind::File => attributes.size.to_string(),
        EntryKind::Folder | EntryKind::Link | EntryKind::Other => "-".to_owned(),
    };
    let mode = mode(attributes.kind, attributes.mode);
    format!("{mode} {size:>size_columns$} {}", local_time(attributes.mtime, zone))
}

/// Digits of the size, to line up a sorted listing.
pub(super) fn size_columns<'a>(rows: impl Iterator<Item = &'a Attributes>) -> usize {
    rows.map(|row| row.size.to_string().len()).max().unwrap_or_default()
}

fn mode(kind: EntryKind, mode: Mode) -> String {
    let letter = match kind {
        EntryKind::File => '-',
        EntryKind::Folder => 'd',
        EntryKind::Link => 'l',
        EntryKind::Other => '?',
    };
    let mut text = String::with_capacity(10);
    text.push(letter);
    for (index, right) in "rwxrwxrwx".chars().enumerate() {
        let is_set = mode.bits() & (0o400 >> index) != 0;
        text.push(if is_set { right } else { '-' });
    }
    text
}

/// ISO 8601 with a space, to the second, in the zone of this machine.
pub(super) fn local_time(time: Timestamp, zone: &TimeZone) -> String {
    let nanos = i32::try_from(time.nanos()).unwrap_or_default();
    match jiff::Timestamp::new(time.seconds(), nanos) {
        Ok(moment) => moment.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        // A file may claim a year that no calendar has.
        Err(_) => format!("{:>19}", time.seconds()),
    }
}

#[cfg(test)]
mod tests {
    use sampan_protocol::Version;

    use super::*;

    fn attributes(kind: EntryKind, mode: u32, size: u64, seconds: i64) -> Attributes {
        Attributes {
            kind,
            size,
            mtime: Timestamp::new(seconds, 999_999_999).unwrap(),
            mode: Mode::new(mode),
            version: Version::default(),
        }
    }

    #[test]
    fn long_rows_line_up() {
        let zone = TimeZone::UTC;
        let table = [
            (EntryKind::File, 0o644, 1_234_567, "-rw-r--r-- 1234567 2023-11-14 22:13:20"),
            (EntryKind::Folder, 0o750, 0, "drwxr-x---       - 2023-11-14 22:13:20"),
            (EntryKind::Link, 0o777, 0, "lrwxrwxrwx       - 2023-11-14 22:13:20"),
            (EntryKind::Other, 0o001, 0, "?--------x       - 2023-11-14 22:13:20"),
        ];
        for (kind, mode, size, expected) in table {
            let row = attributes(kind, mode, size, 1_700_000_000);
            assert_eq!(facts(&row, 7, &zone), expected);
        }
    }

    #[test]
    fn a_time_is_shown_in_the_zone_and_never_fails() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let time = |seconds| local_time(Timestamp::new(seconds, 0).unwrap(), &zone);
        assert_eq!(time(0), "1970-01-01 02:00:00");
        assert_eq!(time(-1), "1970-01-01 01:59:59");
        assert_eq!(time(i64::MAX), "9223372036854775807");
        assert_eq!(time(i64::MIN).trim(), "-9223372036854775808");
    }

    #[test]
    fn the_widest_size_decides() {
        let rows = [9, 12_345, 7].map(|size| attributes(EntryKind::File, 0, size, 0));
        assert_eq!(size_columns(rows.iter()), 5);
        assert_eq!(size_columns(std::iter::empty()), 0);
    }
}
