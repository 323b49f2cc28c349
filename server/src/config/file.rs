//! The file as it is written, and how it becomes [`Settings`].
//!
//! Invariant: every value that is refused is named with its line and key.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_protocol::size::{SizeError, parse_limit};
use serde::Deserialize;
use toml::Spanned;

use super::{Durability, Listen, LogFormat, Settings};

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The named file cannot be read.
    #[error("cannot read the configuration {}: {source}", .path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No TOML, an unknown key, or a value of another type. The text names line and key.
    #[error("{}: {error}", .path.display())]
    NotUnderstood {
        /// Which file.
        path: PathBuf,
        /// Where and why, over several lines.
        error: Box<toml::de::Error>,
    },
    /// A value that cannot be.
    #[error("{}: line {line}: {key}: {why}", .path.display())]
    Value {
        /// Which file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// Which key.
        key: &'static str,
        /// What is wrong, and what would be right.
        why: String,
    },
}

impl Settings {
    /// Reads a configuration's text; `path` is for messages.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let raw: Raw = toml::from_str(text).map_err(|error| ConfigError::NotUnderstood {
            path: path.to_owned(),
            error: Box::new(error),
        })?;
        raw.check(&Reader { text, path })
    }
}

/// The file as it is written. Every key may be absent.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Raw {
    listen: Option<Spanned<OneOrMany>>,
    data: Option<Spanned<PathBuf>>,
    default_quota: Option<Spanned<String>>,
    default_max_files: Option<Spanned<String>>,
    durability: Option<Durability>,
    log: Option<LogFormat>,
    disk_floor: Option<Spanned<String>>,
    upload_expiry_days: Option<NonZeroU32>,
    max_uploads: Option<NonZeroU32>,
    max_connections: Option<NonZeroU32>,
    max_connections_per_account: Option<NonZeroU32>,
    max_logins: Option<NonZeroU32>,
    max_logins_per_address: Option<NonZeroU32>,
    max_requests: Option<NonZeroU32>,
    idle_seconds: Option<Spanned<u32>>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl Raw {
    fn check(self, reader: &Reader<'_>) -> Result<Settings, ConfigError> {
        let mut settings = Settings::default();
        if let Some(listen) = self.listen {
            settings.listen = reader.value("listen", listen, listen_addresses)?;
        }
        if let Some(data) = self.data {
            settings.data = reader.value("data", data, |data| {
                if data.is_absolute() { Ok(data) } else { Err("write an absolute path".into()) }
            })?;
        }
        if let Some(size) = self.default_quota {
            settings.default_quota.bytes =
                reader.value("default_quota", size, |size| limit(&size))?;
        }
        if let Some(count) = self.default_max_files {
            settings.default_quota.entries =
                reader.value("default_max_files", count, |count| limit(&count))?;
        }
        if let Some(size) = self.disk_floor {
            settings.disk_floor =
                reader.value("disk_floor", size, |size| Ok(limit(&size)?.unwrap_or(0)))?;
        }
        if let Some(seconds) = self.idle_seconds {
            settings.bounds.idle = reader.value("idle_seconds", seconds, |seconds| {
                // Below this a client's pings would have to race the bound.
                if seconds >= 10 {
                    Ok(Duration::from_secs(u64::from(seconds)))
                } else {
                    Err("at least 10 seconds".into())
                }
            })?;
        }
        if let Some(days) = self.upload_expiry_days {
            settings.upload_expiry = Duration::from_hours(24 * u64::from(days.get()));
        }
        if let Some(uploads) = self.max_uploads {
            settings.max_uploads = uploads.get().into();
        }
        settings.durability = self.durability.unwrap_or_default();
        settings.log = self.log.unwrap_or_default();
        let bounds = &mut settings.bounds;
        set(&mut bounds.connections, self.max_connections);
        set(&mut bounds.connections_per_account, self.max_connections_per_account);
        set(&mut bounds.logins, self.max_logins);
        set(&mut bounds.logins_per_address, self.max_logins_per_address);
        set(&mut bounds.requests, self.max_requests);
        Ok(settings)
    }
}

fn set(bound: &mut u32, value: Option<NonZeroU32>) {
    if let Some(value) = value {
        *bound = value.get();
    }
}

fn listen_addresses(written: OneOrMany) -> Result<Listen, String> {
    let addresses = match written {
        OneOrMany::One(address) => vec![address],
        OneOrMany::Many(addresses) => addresses,
    };
    if addresses.is_empty() {
        return Err("name at least one ADDR:PORT, or leave the key out".into());
    }
    let parsed: Result<_, _> = addresses.iter().map(|address| parse_address(address)).collect();
    parsed.map(Listen::At)
}

/// Reads `ADDR:PORT`, such as `[::]:7227` or `127.0.0.1:0`.
pub fn parse_address(written: &str) -> Result<SocketAddr, String> {
    written
        .parse()
        .map_err(|_| format!("`{written}` is no ADDR:PORT, such as [::]:7227 or 127.0.0.1:0"))
}

fn limit(written: &str) -> Result<Option<u64>, String> {
    parse_limit(written).map_err(|error: SizeError| error.to_string())
}

/// Knows where in which file a value stands.
struct Reader<'a> {
    text: &'a str,
    path: &'a Path,
}

impl Reader<'_> {
    fn value<T, U>(
        &self,
        key: &'static str,
        written: Spanned<T>,
        check: impl FnOnce(T) -> Result<U, String>,
    ) -> Result<U, ConfigError> {
        let Range { start, .. } = written.span();
        check(written.into_inner()).map_err(|why| ConfigError::Value {
            path: self.path.to_owned(),
            line: 1 + self.text[..start].matches('\n').count(),
            key,
            why,
        })
    }
}
