//! What an administrator sets: the file as it is written, and what becomes of it.
//!
//! The file is TOML; a flag beats the environment, which beats the file. [`Settings::load`] reads
//! the raw form and checks every value at once, so that everything behind it holds checked values
//! with units. An unknown key is an error: a misspelt limit must not silently be no limit.
//!
//! `assets/sampand.example.toml` names every key; a test holds it to the defaults below.
//!
//! Invariant: nothing else reads the file, and no default stands anywhere else.

mod file;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_protocol::limits::{DEFAULT_PORT, LOGIN_DEADLINE_SECONDS};
use serde::Deserialize;

pub use self::file::{ConfigError, parse_address};
use crate::state;
use crate::store::QuotaLimits;
use crate::store::local::{self, LocalOptions};

/// Read when neither `--data` nor `--config` nor their variables are given.
pub const DEFAULT_FILE: &str = "/etc/sampan/sampand.toml";

/// Where data lies when nothing names a place.
pub const DEFAULT_DATA: &str = "/var/lib/sampan";

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// One dual-stack socket on the default port, or IPv4 only where IPv6 is absent.
    Default,
    /// These addresses, all of them.
    At(Vec<SocketAddr>),
}

impl Listen {
    /// The dual-stack address of [`Self::Default`].
    pub const DUAL_STACK: SocketAddr =
        SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), DEFAULT_PORT);
    /// What serves instead where IPv6 is absent.
    pub const IPV4_ONLY: SocketAddr =
        SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), DEFAULT_PORT);
}

/// What an acknowledged change means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// It is on disk.
    #[default]
    Full,
    /// It may be lost in a power cut; the answer says so.
    Relaxed,
}

impl From<Durability> for local::Durability {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Full => Self::Full,
            Durability::Relaxed => Self::Relaxed,
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One object a line.
    Json,
}

/// How much of everything a server takes at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Connections that are logged in. Each costs some 64 KiB while it idles.
    pub connections: u32,
    /// Of those, how many may belong to one account.
    pub connections_per_account: u32,
    /// Connections that are not yet logged in; more wait unaccepted.
    pub logins: u32,
    /// Of those, how many may come from one address (an IPv6 /64 counts as one).
    pub logins_per_address: u32,
    /// Unanswered requests of one connection; one more waits unread.
    pub requests: u32,
    /// Without any frame for so long, a connection is closed.
    pub idle: Duration,
    /// From accept to logged in (HARDENING S9).
    pub login_deadline: Duration,
    /// What running requests get when the server stops.
    pub grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 1000,
            connections_per_account: 64,
            logins: 256,
            logins_per_address: 64,
            requests: 64,
            idle: Duration::from_mins(1),
            login_deadline: Duration::from_secs(LOGIN_DEADLINE_SECONDS),
            grace: Duration::from_secs(10),
        }
    }
}

/// Everything that can be set, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where to listen.
    pub listen: Listen,
    /// The folder of homes, staging, database and keys.
    pub data: PathBuf,
    /// What an account may hold that is made without `--quota`.
    pub default_quota: QuotaLimits,
    /// What an acknowledged change means.
    pub durability: Durability,
    /// How log lines look.
    pub log: LogFormat,
    /// Bytes of free disk below which nothing new is taken.
    pub disk_floor: u64,
    /// An upload to which no byte came for so long is given up.
    pub upload_expiry: Duration,
    /// Unfinished uploads of one account.
    pub max_uploads: u64,
    /// Bounds of sessions.
    pub bounds: Bounds,
}

impl Default for Settings {
    fn default() -> Self {
        let LocalOptions { disk_floor, upload_expiry, max_uploads, .. } = LocalOptions::default();
        Self {
            listen: Listen::Default,
            data: DEFAULT_DATA.into(),
            default_quota: QuotaLimits::default(),
            durability: Durability::Full,
            log: LogFormat::Text,
            disk_floor,
            upload_expiry,
            max_uploads,
            bounds: Bounds::default(),
        }
    }
}

/// What flags and environment say.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--config` or `SAMPAND_CONFIG`.
    pub config: Option<PathBuf>,
    /// `--data` or `SAMPAND_DATA`.
    pub data: Option<PathBuf>,
    /// `--listen`, as often as it was given, or `SAMPAND_LISTEN`.
    pub listen: Vec<SocketAddr>,
    /// `--durability` or `SAMPAND_DURABILITY`.
    pub durability: Option<Durability>,
    /// `--log` or `SAMPAND_LOG_FORMAT`.
    pub log: Option<LogFormat>,
}

impl Settings {
    /// Reads the file that holds here, if any, and puts `overrides` over it.
    pub fn load(overrides: &Overrides) -> Result<Self, ConfigError> {
        let mut settings = match (&overrides.config, &overrides.data) {
            (Some(file), _) => Self::of_file(file)?,
            (None, Some(_)) => Self::default(),
            (None, None) => match Self::of_file(Path::new(DEFAULT_FILE)) {
                Err(ConfigError::Unreadable { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound =>
                {
                    Self::default()
                }
                other => other?,
            },
        };
        if let Some(data) = &overrides.data {
            settings.data.clone_from(data);
        }
        if !overrides.listen.is_empty() {
            settings.listen = Listen::At(overrides.listen.clone());
        }
        if let Some(durability) = overrides.durability {
            settings.durability = durability;
        }
        if let Some(log) = overrides.log {
            settings.log = log;
        }
        Ok(settings)
    }

    fn of_file(path: &Path) -> Result<Self, ConfigError> {
        let text = state::read_configuration(path)
            .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }
}

#[cfg(test)]
mod tests;
