//! What an administrator sets: the file as it is written, and what becomes of it.
//!
//! The file is TOML; a flag beats the environment, which beats the file. [`Settings::load`] reads
//! the raw form and checks every value at once, so that everything behind it holds checked values
//! with units. An unknown key is an error: a misspelt limit must not silently be no limit.
//!
//! `assets/sampand.example.toml` names every key; a test holds it to the defaults below.
//!
//! Invariant: nothing else reads the file, and no default stands anywhere else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_protocol::limits::{DEFAULT_PORT, LOGIN_DEADLINE_SECONDS};
use sampan_protocol::size::{SizeError, parse_limit};
use serde::Deserialize;
use toml::Spanned;

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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
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
    /// `--listen`, as often as it was given.
    pub listen: Vec<SocketAddr>,
    /// `--log`.
    pub log: Option<LogFormat>,
}

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

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../assets/sampand.example.toml");

    fn parse(text: &str) -> Result<Settings, String> {
        Settings::parse(text, Path::new("c.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_written_is_the_defaults() {
        assert_eq!(parse(""), Ok(Settings::default()));
    }

    /// Every key stands in the example as `#key = default`, and without the `#` it is accepted.
    #[test]
    fn the_example_names_every_key_with_its_default() {
        assert_eq!(parse(EXAMPLE), Ok(Settings::default()), "as shipped, it sets nothing");
        let is_setting = |line: &&str| {
            line.strip_prefix('#').is_some_and(|rest| rest.starts_with(|c: char| c.is_lowercase()))
        };
        let settings: Vec<&str> = EXAMPLE.lines().filter(is_setting).collect();
        let uncommented: Vec<&str> = settings.iter().map(|line| &line[1..]).collect();
        let listening = Listen::At(vec![Listen::DUAL_STACK]);
        let expected = Settings { listen: listening, ..Settings::default() };
        assert_eq!(parse(&uncommented.join("\n")), Ok(expected));

        let named: Vec<&str> = uncommented
            .iter()
            .filter_map(|line| line.split_once(" = "))
            .map(|(key, _)| key)
            .collect();
        let unknown = parse("no_such_key = 1").unwrap_err();
        let known: Vec<&str> = unknown.split('`').skip(1).step_by(2).skip(1).collect();
        assert!(!known.is_empty(), "{unknown}");
        assert_eq!(named, known, "in the order of the code");
    }

    #[test]
    fn an_error_names_line_and_key() {
        let cases = [
            ("data = '/d'\nlisten_on = 'x'", "2", "listen_on"),
            ("data = 'here'", "line 1", "data: write an absolute path"),
            ("log = 'text'\n\ndefault_quota = '10 apples'", "line 3", "default_quota: `10 apples`"),
            ("listen = ['[::]:1', 'localhost']", "line 1", "listen: `localhost`"),
            ("listen = []", "line 1", "listen: name at least one"),
            ("durability = 'maybe'", "1", "maybe"),
            ("max_requests = 0", "1", "max_requests"),
            ("idle_seconds = 1", "line 1", "idle_seconds: at least 10 seconds"),
        ];
        for (text, line, key) in cases {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("c.toml: "), "{error}");
            assert!(error.contains(line) && error.contains(key), "{error}");
        }
    }

    #[test]
    fn values_are_read() {
        let settings = parse(
            "listen = '127.0.0.1:0'\ndefault_quota = '10GiB'\ndefault_max_files = '5k'\n\
             durability = 'relaxed'\nlog = 'json'\ndisk_floor = 'none'\nidle_seconds = 30",
        )
        .unwrap();
        assert_eq!(settings.listen, Listen::At(vec!["127.0.0.1:0".parse().unwrap()]));
        let quota = QuotaLimits { bytes: Some(10 << 30), entries: Some(5000) };
        assert_eq!(settings.default_quota, quota);
        assert_eq!(settings.durability, Durability::Relaxed);
        assert_eq!(settings.log, LogFormat::Json);
        assert_eq!(settings.disk_floor, 0);
        assert_eq!(settings.bounds.idle, Duration::from_secs(30));
    }

    #[test]
    fn a_flag_beats_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("c.toml");
        std::fs::write(&file, "data = '/from/file'\nlisten = '127.0.0.1:1'\nlog = 'json'").unwrap();
        let overrides = Overrides { config: Some(file), ..Overrides::default() };
        let from_file = Settings::load(&overrides).unwrap();
        assert_eq!(from_file.data, Path::new("/from/file"));

        let address = "127.0.0.1:2".parse().unwrap();
        let overrides = Overrides {
            data: Some("/from/flag".into()),
            listen: vec![address],
            log: Some(LogFormat::Text),
            ..overrides
        };
        let over = Settings::load(&overrides).unwrap();
        assert_eq!(over.data, Path::new("/from/flag"));
        assert_eq!(over.listen, Listen::At(vec![address]));
        assert_eq!(over.log, LogFormat::Text);
    }

    #[test]
    fn a_named_file_must_be_there() {
        let overrides = Overrides { config: Some("/no/such.toml".into()), ..Overrides::default() };
        let error = Settings::load(&overrides).unwrap_err().to_string();
        assert!(error.contains("/no/such.toml"), "{error}");
    }
}
