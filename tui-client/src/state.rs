//! The program's own files: known servers, login keys, journals.
//!
//! They lie in the platform's folders, or all under `SAMPAN_HOME`. Every file is replaced as a whole
//! (written beside, flushed, renamed), so that a crash leaves the old one or the new one.
//!
//! Invariant: no other module opens a file of the program itself, and no password is in any of them.

mod journal;
mod keys;
mod known_servers;
mod private;
mod sweep;

use std::path::{Path, PathBuf};

use crate::disk::Disk;
use crate::failure::{Failure, Situation};

pub use journal::{Journal, JournalKey, JournalScope, StagedFile, TransferKeys};
pub use keys::StoredKey;
pub use known_servers::{KnownServers, Pin};

/// Names the folder that holds everything.
pub const HOME_VARIABLE: &str = "SAMPAN_HOME";

/// Where the program keeps its files.
#[derive(Clone, Debug)]
pub struct State {
    config: PathBuf,
    /// What is not for a person to edit.
    kept: PathBuf,
    disk: Disk,
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
                let (config, kept) = (found.config_dir().to_owned(), state.to_owned());
                Ok(Self { config, kept, disk: Disk::default() })
            }
        }
    }

    /// Everything under one folder.
    pub fn under(home: &Path) -> Self {
        let disk = Disk::default();
        Self { config: home.to_owned(), kept: home.join("state"), disk }
    }

    /// The same on a disk that may fail.
    #[must_use]
    pub fn on(self, disk: Disk) -> Self {
        Self { disk, ..self }
    }

    /// The pinned identities of servers.
    pub fn known_servers(&self) -> KnownServers {
        KnownServers::at(self.disk.clone(), self.config.join("known_servers"))
    }

    /// The folder of journals.
    fn journals(&self) -> PathBuf {
        self.kept.join("journals")
    }

    /// The folder of login keys.
    fn keys(&self) -> PathBuf {
        self.kept.join("keys")
    }
}
