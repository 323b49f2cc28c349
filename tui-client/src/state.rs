//! The program's own files: known servers, login keys, journals.
//!
//! They lie in the platform's folders, or all under `SAMPAN_HOME`. Every file is replaced as a whole
//! (written beside, flushed, renamed), so that a crash leaves the old one or the new one.
//!
//! Invariant: no other module opens a file of the program itself, and no password is in any of them.

mod journal;
mod keys;
mod known_servers;
mod sweep;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Side, Situation};
use crate::place::shown;

pub use journal::{Journal, JournalKey, JournalScope, TransferKeys};
pub use keys::StoredKey;
pub use known_servers::{KnownServers, Pin};

/// Names the folder that holds everything.
pub const HOME_VARIABLE: &str = "SAMPAN_HOME";

/// Where the program keeps its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    config: PathBuf,
    state: PathBuf,
}

impl State {
    /// The folders of this run: `SAMPAN_HOME` if set, else the platform's.
    pub fn from_environment() -> Result<Self, Failure> {
        match std::env::var_os(HOME_VARIABLE) {
            Some(home) if !home.is_empty() => Ok(Self::under(Path::new(&home))),
            _ => {
                let found = directories::ProjectDirs::from("", "", "sampan").ok_or_else(|| {
                    let text = format!("no home folder is known; set {HOME_VARIABLE}");
                    Failure::new(Situation::Unexpected(text), "")
                })?;
                let state = found.state_dir().unwrap_or_else(|| found.data_local_dir());
                Ok(Self { config: found.config_dir().to_owned(), state: state.to_owned() })
            }
        }
    }

    /// Everything under one folder.
    pub fn under(home: &Path) -> Self {
        Self { config: home.to_owned(), state: home.join("state") }
    }

    /// The pinned identities of servers.
    pub fn known_servers(&self) -> KnownServers {
        KnownServers::at(self.config.join("known_servers"))
    }

    /// The folder of journals.
    fn journals(&self) -> PathBuf {
        self.state.join("journals")
    }

    /// The folder of login keys.
    fn keys(&self) -> PathBuf {
        self.state.join("keys")
    }
}

/// Makes `folder`, and those above it, for this user only.
fn make_private_folder(folder: &Path) -> io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// Replaces `path` as a whole, durably, readable for this user only.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    make_private_folder(folder)?;
    let beside = beside(path);
    let written = write_new(&beside, content).and_then(|()| fs::rename(&beside, path));
    if let Err(error) = written {
        // What is half written must not stay; if it cannot go, the first error says more.
        return fs::remove_file(&beside).map_or(Err(error.kind().into()), |()| Err(error));
    }
    File::open(folder)?.sync_all()
}

fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(content)?;
    file.sync_all()
}

fn beside(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    path.with_file_name(name)
}

/// A failure with one of the program's own files.
fn own_file(path: &Path, error: &io::Error) -> Failure {
    let situation = match error.kind() {
        io::ErrorKind::PermissionDenied => Situation::PermissionDenied(Side::Local),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Situation::DiskFull(Side::Local)
        }
        _ => Situation::DiskFailed(Side::Local, error.to_string()),
    };
    Failure::new(situation, shown(path))
}
