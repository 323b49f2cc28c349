//! The text of SCRAM messages: attributes `a=value` between commas.
//!
//! Invariant: a message is bounded before it is looked at, and a value before it is decoded.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::limits::MAX_USER_BYTES;

/// Most bytes of any message: a name of the longest kind with every byte escaped, and the rest.
pub const MAX_MESSAGE_BYTES: usize = 1536;

/// Most bytes of a nonce, both parts together.
const MAX_NONCE_BYTES: usize = 256;

/// Bytes are no SCRAM message of the step that they came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// More than [`MAX_MESSAGE_BYTES`], or an attribute longer than it can be.
    #[error("a login message is too long")]
    TooLong,
    /// Not UTF-8.
    #[error("a login message is no text")]
    NotText,
    /// An attribute is missing, or another stands in its place.
    #[error("the attribute `{name}=` is missing from a login message")]
    Missing {
        /// Its one letter.
        name: char,
    },
    /// An attribute's value is none.
    #[error("the attribute `{name}=` of a login message has no valid value")]
    Value {
        /// Its one letter.
        name: char,
    },
    /// `m=`: an extension that must be understood and is not.
    #[error("a login message demands an extension that is not known")]
    MandatoryExtension,
    /// Not bound to this TLS connection by `tls-exporter`.
    #[error("the login does not ask for binding to the TLS connection")]
    NotBound,
}

/// A message's attributes, read in order.
pub(super) struct Attributes<'a> {
    rest: Option<&'a str>,
}

impl<'a> Attributes<'a> {
    pub(super) fn read(message: &'a [u8]) -> Result<Self, Malformed> {
        if message.len() > MAX_MESSAGE_BYTES {
            return Err(Malformed::TooLong);
        }
        let text = std::str::from_utf8(message).map_err(|_| Malformed::NotText)?;
        if text.contains('\0') {
            return Err(Malformed::NotText);
        }
        Ok(Self { rest: Some(text) })
    }

    pub(super) fn of(text: &'a str) -> Self {
        Self { rest: Some(text) }
    }

    /// The next attribute, which must be `name`.
    pub(super) fn expect(&mut self, name: char) -> Result<&'a str, Malformed> {
        match self.next()? {
            Some((found, value)) if found == name => Ok(value),
            Some(('m', _)) => Err(Malformed::MandatoryExtension),
            _ => Err(Malformed::Missing { name }),
        }
    }

    /// The next attribute, if there is one more.
    pub(super) fn next(&mut self) -> Result<Option<(char, &'a str)>, Malformed> {
        let Some(rest) = self.rest else { return Ok(None) };
        let (attribute, rest) = match rest.split_once(',') {
            Some((attribute, rest)) => (attribute, Some(rest)),
            None => (rest, None),
        };
        self.rest = rest;
        let mut characters = attribute.chars();
        match (characters.next(), characters.next()) {
            (Some(name), Some('=')) if name.is_ascii_alphabetic() => {
                Ok(Some((name, characters.as_str())))
            }
            _ => Err(Malformed::Value { name: '?' }),
        }
    }

    /// Passes what a later version may have added.
    pub(super) fn ignore_rest(mut self) -> Result<(), Malformed> {
        while let Some((name, _)) = self.next()? {
            if name == 'm' {
                return Err(Malformed::MandatoryExtension);
            }
        }
        Ok(())
    }
}

/// A nonce is printable ASCII without a comma.
pub(super) fn nonce(value: &str) -> Result<&str, Malformed> {
    let printable = value.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
    if value.is_empty() || !printable {
        return Err(Malformed::Value { name: 'r' });
    }
    if value.len() > MAX_NONCE_BYTES { Err(Malformed::TooLong) } else { Ok(value) }
}

pub(super) fn to_base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Decodes exactly `N` bytes.
pub(super) fn from_base64<const N: usize>(name: char, value: &str) -> Result<[u8; N], Malformed> {
    // Four characters for each three bytes: a longer text cannot be it.
    if value.len() > N.div_ceil(3) * 4 {
        return Err(Malformed::Value { name });
    }
    let bytes = STANDARD.decode(value).map_err(|_| Malformed::Value { name })?;
    bytes.try_into().map_err(|_| Malformed::Value { name })
}

/// `,` and `=` would end an attribute.
pub(super) fn escape_user(user: &str) -> String {
    user.replace('=', "=3D").replace(',', "=2C")
}

pub(super) fn unescape_user(escaped: &str) -> Result<String, Malformed> {
    let mut user = String::with_capacity(escaped.len().min(MAX_USER_BYTES));
    let mut parts = escaped.split('=');
    user.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (plain, rest) = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => (',', rest),
            (_, Some(rest)) => ('=', rest),
            _ => return Err(Malformed::Value { name: 'n' }),
        };
        user.push(plain);
        user.push_str(rest);
    }
    if user.len() > MAX_USER_BYTES { Err(Malformed::TooLong) } else { Ok(user) }
}
