//! What a download is called until it is whole: `.sampan-XXXXXXXXXXXXXXXX.part`.
//!
//! The length is fixed, so that a final name of 255 bytes can be staged too, and the pattern is
//! narrow, so that nobody else's file is taken for ours.

use std::fmt;

const PREFIX: &str = ".sampan-";
const SUFFIX: &str = ".part";
/// Hexadecimal digits between them.
const DIGITS: usize = 16;

/// The name of a staged download. Invariant: [`Self::matches`] it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct StagingName(String);

impl StagingName {
    /// From sixteen hexadecimal digits; `None` if they are not.
    pub fn new(digits: &str) -> Option<Self> {
        let name = format!("{PREFIX}{digits}{SUFFIX}");
        Self::matches(name.as_bytes()).then_some(Self(name))
    }

    /// From a random number.
    pub fn of(random: u64) -> Self {
        Self(format!("{PREFIX}{random:016x}{SUFFIX}"))
    }

    /// From a name; `None` if it is no staged download's.
    pub fn read(name: &[u8]) -> Option<Self> {
        let name = std::str::from_utf8(name).ok()?;
        Self::matches(name.as_bytes()).then(|| Self(name.to_owned()))
    }

    /// Whether a name is that of a staged download, of ours or of another run.
    pub fn matches(name: &[u8]) -> bool {
        name.strip_prefix(PREFIX.as_bytes())
            .and_then(|rest| rest.strip_suffix(SUFFIX.as_bytes()))
            .is_some_and(|id| id.len() == DIGITS && id.iter().all(u8::is_ascii_hexdigit))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for StagingName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_pattern_is_ours() {
        let name = StagingName::of(0xab);
        assert_eq!(name.as_str(), ".sampan-00000000000000ab.part");
        assert_eq!(StagingName::new("00000000000000ab"), Some(name));
        for digits in ["", "0", "00000000000000abc", "00000000000000g0", "../00000000000000"] {
            assert_eq!(StagingName::new(digits), None, "{digits}");
        }
        let others: [&[u8]; 5] = [
            b".sampan-00000000000000ab.part ",
            b"sampan-00000000000000ab.part",
            b".sampan-00000000000000ab.PART",
            b".sampan-.part",
            b".sampan-\xff000000000000000.part",
        ];
        for other in others {
            assert!(!StagingName::matches(other), "{other:?}");
        }
    }
}
