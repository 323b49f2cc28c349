//! An account's name, which is also its home's folder.
//!
//! Invariant: a name matches `[a-z0-9_][a-z0-9_.-]{0,31}`; so it is no path, no option and no
//! hidden file, and looks the same everywhere.

use std::fmt;
use std::str::FromStr;

/// Most bytes of a name.
const MAX_BYTES: usize = 32;

/// A name that an account may have.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountName(String);

/// A text is no name for an account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{}` cannot be an account's name: use 1 to 32 of a-z, 0-9, `_`, `.` and `-`, and begin with a \
     letter, a digit or `_`",
    sampan_protocol::escape::escaped_text(.0)
)]
pub struct NotAnAccountName(String);

impl AccountName {
    /// Reads what a client sent or a person wrote, after SASLprep (RFC 4013).
    pub fn prepare(written: &str) -> Result<Self, NotAnAccountName> {
        let refused = || NotAnAccountName(written.to_owned());
        stringprep::saslprep(written).map_err(|_| refused())?.parse().map_err(|_| refused())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AccountName {
    type Err = NotAnAccountName;

    fn from_str(text: &str) -> Result<Self, NotAnAccountName> {
        let begins = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let goes_on = |byte: u8| begins(byte) || byte == b'.' || byte == b'-';
        let valid = text.len() <= MAX_BYTES
            && text.bytes().next().is_some_and(begins)
            && text.bytes().all(goes_on);
        if valid { Ok(Self(text.to_owned())) } else { Err(NotAnAccountName(text.to_owned())) }
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let longest = "a".repeat(32);
        for good in ["a", "_x", "0", "anna.b-c_9", longest.as_str()] {
            assert_eq!(good.parse::<AccountName>().unwrap().as_str(), good);
        }
        let too_long = "a".repeat(33);
        for bad in ["", ".a", "-a", "Anna", "a/b", "..", "a b", "ä", "a\n", too_long.as_str()] {
            assert!(bad.parse::<AccountName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refused_name_is_shown_escaped() {
        let error = "a\x1b[31m".parse::<AccountName>().unwrap_err().to_string();
        assert!(error.contains("\\x1b[31m") && !error.contains('\x1b'), "{error}");
    }

    #[test]
    fn a_name_is_prepared_as_people_type_it() {
        // Full-width letters and a soft hyphen become what they look like.
        assert_eq!(AccountName::prepare("\u{ff41}nn\u{ad}a").unwrap().as_str(), "anna");
        assert!(AccountName::prepare("a\u{7}").is_err());
    }
}
