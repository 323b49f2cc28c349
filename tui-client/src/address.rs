//! Places as people write them: `sampan://USER@HOST[:PORT]/PATH`, `USER@HOST:PATH`, `USER@HOST`.
//!
//! Everything after the host's first `/` or `:` is the path, byte for byte: there is no percent
//! decoding and no `?` or `#`, so a name needs no quoting but the shell's. Whether an operand is a
//! place or a local name is never guessed from its text where its position says it.
//!
//! Invariant: a place never holds a password; one that is written with a password is refused.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

use sampan_protocol::{DEFAULT_PORT, Escaped, PathError, RemotePath};

use crate::catalogue::engine::address_problem;

const SCHEME: &[u8] = b"sampan://";

/// An account at a server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Account {
    /// The account's name, as it was written.
    pub user: String,
    /// Which server.
    pub server: Server,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Server {
    /// A name or an address, an IPv6 one without brackets; letters in lower case.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// A place as it was written: an account, and a path below its home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Whose home.
    pub account: Account,
    /// The path's bytes as they were written.
    written: Vec<u8>,
}

/// Why text is no place. The catalogue has the sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// Neither form of a place.
    NotAPlace(String),
    /// A password stands in it.
    Password,
    /// `NAME:PATH`.
    SavedServer(String),
    /// The user's name is empty or not text.
    User(String),
    /// The host is empty or not one.
    Host(String),
    /// A port that is none.
    Port(String),
    /// A port in the place and another one by `-P`.
    PortsDiffer {
        /// In the place.
        place: u16,
        /// By the option.
        option: u16,
    },
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&address_problem(self))
    }
}

impl std::error::Error for AddressError {}

impl Place {
    /// Reads a place. `port` is what `-P` said; it stands where the place says none.
    pub fn parse(written: &OsStr, port: Option<u16>) -> Result<Self, AddressError> {
        let bytes = written.as_bytes();
        match strip_scheme(bytes) {
            Some(rest) => Self::parse_url(rest, bytes, port),
            None => Self::parse_short(bytes, port),
        }
    }

    /// Whether the text begins as only a place does.
    pub fn has_scheme(written: &OsStr) -> bool {
        strip_scheme(written.as_bytes()).is_some()
    }

    /// Whether the text means a place where a local folder could stand too (`sampan X`): one with
    /// the scheme, or with an `@` before any `/`.
    pub fn is_meant_by(written: &OsStr) -> bool {
        let bytes = written.as_bytes();
        let head = bytes.split(|byte| *byte == b'/').next().unwrap_or_default();
        strip_scheme(bytes).is_some() || head.contains(&b'@')
    }

    fn parse_url(rest: &[u8], all: &[u8], port: Option<u16>) -> Result<Self, AddressError> {
        let authority_end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(authority_end);
        let (user, host_port) = split_user(authority, all)?;
        let (host, after) = split_host(host_port, all)?;
        let place_port = match after {
            [] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ => return Err(AddressError::Host(shown(all))),
        };
        Ok(Self::new(user, host, resolve_port(place_port, port)?, path))
    }

    fn parse_short(bytes: &[u8], port: Option<u16>) -> Result<Self, AddressError> {
        let (user, rest) = split_user(bytes, bytes)?;
        let (host, after) = split_host(rest, bytes)?;
        let path = match after {
            [] => after,
            [b':', path @ ..] => path,
            _ => return Err(AddressError::NotAPlace(shown(bytes))),
        };
        Ok(Self::new(user, host, resolve_port(None, port)?, path))
    }

    fn new(user: String, host: String, port: u16, path: &[u8]) -> Self {
        Self { account: Account { user, server: Server { host, port } }, written: path.into() }
    }

    /// The path, resolved part by part; above the home is an error, and nothing was sent.
    pub fn path(&self) -> Result<RemotePath, PathError> {
        RemotePath::parse(&self.written)
    }

    /// It was written as a folder: with a trailing `/`, or ending in `.` or `..`, or as the home.
    pub fn is_folder(&self) -> bool {
        matches!(last_part(&self.written), b"" | b"." | b"..")
    }

    /// It was written as `DIR/.`: what is in the folder, not the folder.
    pub fn is_contents(&self) -> bool {
        means_contents(&self.written)
    }
}

/// Whether a written path ends in a part that is `.`.
pub fn means_contents(written: &[u8]) -> bool {
    let end = written.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    last_part(&written[..end]) == b"."
}

fn last_part(written: &[u8]) -> &[u8] {
    written.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

fn strip_scheme(bytes: &[u8]) -> Option<&[u8]> {
    let (head, rest) = bytes.split_at_checked(SCHEME.len())?;
    head.eq_ignore_ascii_case(SCHEME).then_some(rest)
}

/// Splits at the first `@`, which must come before any `/`.
fn split_user<'a>(bytes: &'a [u8], all: &[u8]) -> Result<(String, &'a [u8]), AddressError> {
    let head = bytes.split(|byte| *byte == b'/').next().unwrap_or_default();
    let Some(at) = head.iter().position(|byte| *byte == b'@') else {
        let reserved = head.contains(&b':') && !head.starts_with(b"[");
        return Err(if reserved {
            AddressError::SavedServer(shown(all))
        } else {
            AddressError::NotAPlace(shown(all))
        });
    };
    let user = &bytes[..at];
    if user.contains(&b':') {
        return Err(AddressError::Password);
    }
    match std::str::from_utf8(user) {
        Ok(user) if !user.is_empty() && !user.chars().any(char::is_control) => {
            Ok((user.to_owned(), &bytes[at + 1..]))
        }
        _ => Err(AddressError::User(shown(all))),
    }
}

/// Splits before the first `:` or `/` that is not part of a bracketed address.
fn split_host<'a>(bytes: &'a [u8], all: &[u8]) -> Result<(String, &'a [u8]), AddressError> {
    let wrong = || AddressError::Host(shown(all));
    if let Some(inside) = bytes.strip_prefix(b"[") {
        let end = inside.iter().position(|byte| *byte == b']').ok_or_else(wrong)?;
        let text = std::str::from_utf8(&inside[..end]).map_err(|_| wrong())?;
        // A zone (`fe80::1%eth0`) is this machine's own business and stays as written.
        let (address, zone) = text.split_once('%').map_or((text, None), |(a, z)| (a, Some(z)));
        let address: std::net::Ipv6Addr = address.parse().map_err(|_| wrong())?;
        let host = match zone {
            Some(zone) if zone.chars().all(|c| c.is_ascii_graphic()) => format!("{address}%{zone}"),
            Some(_) => return Err(wrong()),
            None => address.to_string(),
        };
        return Ok((host, &inside[end + 1..]));
    }
    let end = bytes.iter().position(|byte| matches!(byte, b':' | b'/')).unwrap_or(bytes.len());
    let (host, rest) = bytes.split_at(end);
    let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._".contains(byte) || *byte >= 0x80;
    match std::str::from_utf8(host) {
        Ok(text) if !text.is_empty() && host.iter().all(fits) => {
            Ok((text.to_ascii_lowercase(), rest))
        }
        _ => Err(wrong()),
    }
}

fn parse_port(digits: &[u8]) -> Result<u16, AddressError> {
    let wrong = || AddressError::Port(shown(digits));
    if !digits.iter().all(u8::is_ascii_digit) {
        return Err(wrong());
    }
    let text = std::str::from_utf8(digits).map_err(|_| wrong())?;
    text.parse().ok().filter(|port| *port != 0).ok_or_else(wrong)
}

fn resolve_port(place: Option<u16>, option: Option<u16>) -> Result<u16, AddressError> {
    match (place, option) {
        (Some(place), Some(option)) if place != option => {
            Err(AddressError::PortsDiffer { place, option })
        }
        (Some(port), _) | (None, Some(port)) => Ok(port),
        (None, None) => Ok(DEFAULT_PORT),
    }
}

fn shown(bytes: &[u8]) -> String {
    Escaped(bytes).to_string()
}

impl Server {
    /// Reads `HOST[:PORT]`, as `sampan forget` and the connect dialog take it.
    pub fn parse(written: &str, port: Option<u16>) -> Result<Self, AddressError> {
        let all = written.as_bytes();
        let (host, after) = split_host(all, all)?;
        let place_port = match after {
            [] => None,
            [b':', digits @ ..] => Some(parse_port(digits)?),
            _ => return Err(AddressError::Host(shown(all))),
        };
        Ok(Self { host, port: resolve_port(place_port, port)? })
    }
}

impl fmt::Display for Server {
    /// `HOST:PORT`, an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = Escaped(self.host.as_bytes());
        if self.host.contains(':') {
            write!(f, "[{host}]:{}", self.port)
        } else {
            write!(f, "{host}:{}", self.port)
        }
    }
}

impl fmt::Display for Account {
    /// `USER@HOST`, and the port where it is not the usual one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@", Escaped(self.user.as_bytes()))?;
        let host = Escaped(self.server.host.as_bytes());
        match (self.server.host.contains(':'), self.server.port) {
            (true, DEFAULT_PORT) => write!(f, "[{host}]"),
            (false, DEFAULT_PORT) => write!(f, "{host}"),
            _ => self.server.fmt(f),
        }
    }
}

impl Account {
    /// The home as an operand to be typed. `USER@HOST:PORT` would be a path that is called like a
    /// port, so that only the usual port has the short form.
    pub fn operand(&self) -> String {
        if self.server.port == DEFAULT_PORT { self.to_string() } else { format!("sampan://{self}") }
    }

    /// `sampan://USER@HOST[:PORT]/PATH`, through the escaper.
    pub fn show(&self, path: &RemotePath) -> String {
        format!("sampan://{self}{path}")
    }
}

#[cfg(test)]
#[path = "address/tests.rs"]
mod tests;
