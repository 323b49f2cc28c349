//! Times as people write them.

use std::time::Duration;

/// How long a lost connection is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Patience {
    /// So long without progress; zero: not at all.
    For(Duration),
    /// For ever.
    Forever,
}

/// Units of time: the longer suffix before the one that it ends with.
const UNITS: [(&str, f64); 5] = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0), ("", 1.0)];

fn parse_duration(written: &str) -> Result<Duration, String> {
    let wrong = || format!("`{written}` is no time; write seconds, or such as 500ms, 30s, 10m, 1h");
    let (number, factor) = UNITS
        .iter()
        .find_map(|(unit, factor)| Some((written.strip_suffix(unit)?, factor)))
        .ok_or_else(wrong)?;
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(wrong());
    }
    let number: f64 = number.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(number * factor).map_err(|_| wrong())
}

pub(super) fn parse_timeout(written: &str) -> Result<Duration, String> {
    match parse_duration(written)? {
        Duration::ZERO => Err("no time at all is too short for any server".to_owned()),
        time => Ok(time),
    }
}

pub(super) fn parse_patience(written: &str) -> Result<Patience, String> {
    match written {
        "forever" => Ok(Patience::Forever),
        time => parse_duration(time).map(Patience::For),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        let cases = [("10", 10.0), ("0", 0.0), ("2.5s", 2.5), ("250ms", 0.25), ("10m", 600.0)];
        for (written, seconds) in cases {
            assert_eq!(parse_duration(written), Ok(Duration::from_secs_f64(seconds)), "{written}");
        }
        for written in ["", "s", "-1", "1d", "1e9", "inf", "NaN", "1.2.3", "99999999999999999999h"]
        {
            assert!(parse_duration(written).is_err(), "{written}");
        }
        assert_eq!(parse_patience("forever"), Ok(Patience::Forever));
        assert_eq!(parse_patience("0"), Ok(Patience::For(Duration::ZERO)));
    }
}
