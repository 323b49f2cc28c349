//! A bar that fills: eighths of a cell, so that slow transfers are seen to move.

/// Cells from an eighth to a whole.
const EIGHTHS: [&str; 8] = ["▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];

/// What is not filled.
const REST: &str = "░";

/// A bar of so many columns, filled by `fraction` from 0 to 1. Anything above 0 shows, and only 1
/// is full.
pub(super) fn bar(fraction: f64, columns: usize) -> String {
    if columns == 0 {
        return String::new();
    }
    let all = columns * 8;
    let exact = fraction.clamp(0.0, 1.0) * all as f64;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to all")]
    let mut filled = exact as usize;
    if fraction > 0.0 {
        filled = filled.max(1);
    }
    if fraction < 1.0 {
        filled = filled.min(all - 1);
    }
    let mut bar = EIGHTHS[7].repeat(filled / 8);
    if let Some(part) = (filled % 8).checked_sub(1) {
        bar += EIGHTHS[part];
    }
    let rest = columns - filled.div_ceil(8);
    bar + &REST.repeat(rest)
}

/// The part of a whole; nothing of nothing is done.
pub(super) fn fraction(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::width::width;

    #[test]
    fn a_bar_has_its_columns_and_is_full_only_at_the_end() {
        for columns in 0..12 {
            for thousandth in 0..=1000_u16 {
                let bar = bar(f64::from(thousandth) / 1000.0, columns);
                assert_eq!(width(&bar), columns);
                let full = bar == "█".repeat(columns);
                assert_eq!(full && columns > 0, thousandth == 1000 && columns > 0, "{thousandth}");
            }
        }
        assert_eq!(bar(0.5, 4), "██░░");
        assert_eq!(bar(0.0001, 4), "▏░░░");
        assert_eq!(bar(0.0, 4), "░░░░");
        assert_eq!(bar(f64::NAN, 2).chars().count(), 2);
    }
}
