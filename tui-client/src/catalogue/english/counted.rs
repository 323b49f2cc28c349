//! Numbers with what they count.

/// `1 file`, `2 files`: the word that goes with a number.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    let word = if number == 1 { one } else { many };
    format!("{number} {word}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_is_one() {
        let cases = [(0, "0 files"), (1, "1 file"), (2, "2 files"), (21, "21 files")];
        for (number, expected) in cases {
            assert_eq!(counted(number, "file", "files"), expected);
        }
    }
}
