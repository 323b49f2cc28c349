//! Numbers of bytes as people write and read them.
//!
//! `k M G T` are powers of 1000 and `Ki Mi Gi Ti` of 1024, each with or without a `B`, as in
//! IEC 80000-13; `none` is for limits that are not set.

use std::fmt;
use std::str::FromStr;

/// A number of bytes that shows itself with three figures, such as `1.50 GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

/// Why a text is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// Neither digits nor digits with a known unit.
    #[error("`{0}` is no size; write digits and a unit, such as 500M, 2GiB or none")]
    Malformed(String),
    /// More than 2^64 - 1 bytes.
    #[error("`{0}` is more bytes than a file system can hold")]
    TooLarge(String),
}

const UNITS: [(&str, u64); 9] = [
    ("", 1),
    ("k", 1000),
    ("m", 1000_u64.pow(2)),
    ("g", 1000_u64.pow(3)),
    ("t", 1000_u64.pow(4)),
    ("ki", 1 << 10),
    ("mi", 1 << 20),
    ("gi", 1 << 30),
    ("ti", 1 << 40),
];

impl FromStr for ByteSize {
    type Err = SizeError;

    /// Digits, perhaps with a decimal fraction, then a unit in either case; a space between is
    /// allowed. A fraction of a byte is cut off.
    fn from_str(written: &str) -> Result<Self, SizeError> {
        let malformed = || SizeError::Malformed(written.to_owned());
        let too_large = || SizeError::TooLarge(written.to_owned());
        let text = written.trim();
        let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(digits_end);
        let unit = unit.trim_start().to_ascii_lowercase();
        let unit = unit.strip_suffix('b').unwrap_or(&unit);
        let (_, factor) = *UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(malformed)?;

        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || (number.contains('.') && fraction.is_empty()) {
            return Err(malformed());
        }
        if fraction.contains('.') || fraction.len() > 12 {
            return Err(malformed());
        }
        let whole: u64 = whole.parse().map_err(|_| too_large())?;
        let mut part = 0_u128;
        if !fraction.is_empty() {
            let digits: u128 = fraction.parse().map_err(|_| malformed())?;
            let scale = 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| malformed())?);
            part = digits * u128::from(factor) / scale;
        }
        let bytes = u128::from(whole) * u128::from(factor) + part;
        u64::try_from(bytes).map(Self).map_err(|_| too_large())
    }
}

impl fmt::Display for ByteSize {
    /// Powers of 1000, three figures: `999 B`, `1.50 GB`, `12.3 MB`, `123 kB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 7] = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
        if self.0 < 1000 {
            return f.pad(&format!("{} B", self.0));
        }
        let mut value = self.0 as f64;
        let mut unit = 0;
        // 999.5 would be printed as 1000.
        while value >= 999.5 && unit + 1 < NAMES.len() {
            value /= 1000.0;
            unit += 1;
        }
        let decimals = if value < 9.995 { 2 } else { usize::from(value < 99.95) };
        f.pad(&format!("{value:.decimals$} {}", NAMES[unit]))
    }
}

/// A limit of bytes or of files: a number or `none`.
pub fn parse_limit(written: &str) -> Result<Option<u64>, SizeError> {
    match written {
        "none" => Ok(None),
        size => size.parse().map(|ByteSize(bytes)| Some(bytes)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let cases = [
            ("0", 0),
            ("1000", 1000),
            ("5k", 5000),
            ("5K", 5000),
            ("2GiB", 2 << 30),
            ("2gi", 2 << 30),
            ("1.5 MB", 1_500_000),
            ("1TB", 1_000_000_000_000),
            ("18446744073709551615", u64::MAX),
        ];
        for (written, bytes) in cases {
            assert_eq!(written.parse(), Ok(ByteSize(bytes)), "{written}");
        }
        assert_eq!(parse_limit("none"), Ok(None));
    }

    #[test]
    fn nonsense_is_refused() {
        for written in ["", "k", "1.", ".5", "1x", "-1", "1 0", "1.2.3", "1kk", "NaN"] {
            assert!(
                matches!(written.parse::<ByteSize>(), Err(SizeError::Malformed(_))),
                "{written}"
            );
        }
        for written in ["18446744073709551616", "99999999T"] {
            assert!(
                matches!(written.parse::<ByteSize>(), Err(SizeError::TooLarge(_))),
                "{written}"
            );
        }
    }

    #[test]
    fn sizes_show_three_figures() {
        let cases = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (999_499, "999 kB"),
            (999_500, "1.00 MB"),
            (12_345_678, "12.3 MB"),
            (1_500_000_000, "1.50 GB"),
            (u64::MAX, "18.4 EB"),
        ];
        for (bytes, shown) in cases {
            assert_eq!(ByteSize(bytes).to_string(), shown);
        }
    }
}
