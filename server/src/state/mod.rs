//! The program's own files: the layout of `DATA`, and all of it that is neither a home nor the
//! store's.
//!
//! ```text
//! DATA/            0700, the server's user
//!   format         version of this layout
//!   lock           held by `serve`, or by a command that works without it; says whose pid
//!   admin.sock     0600, while `serve` runs
//!   tls/           key (0600) and certificate, made on first use
//!   homes/  staging/  sampand.db    the store's
//! ```
//!
//! [`DataFolder::open`] makes and checks it; [`DataFolder::lock`] claims it.
//!
//! Invariant: files here are written to a new name, flushed, and renamed, so that a crash leaves
//! the old or the new one. Nothing here reads or writes a home.

mod folder;
mod identity;
mod lock;
mod owner;

use std::io;
use std::path::{Path, PathBuf};

pub use self::folder::DataFolder;
pub use self::lock::DataLock;
pub use self::owner::act_as_owner;

/// Why the data folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The system refused.
    #[error("cannot {doing} {}: {source}", .path.display())]
    Io {
        /// What was tried, as a verb.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Nothing has been made yet, or somewhere else.
    #[error(
        "there is no {}: check --data, SAMPAND_DATA and the configuration file; `sampand user add` \
         and `sampand serve` make it", .path.display()
    )]
    Missing {
        /// What was named.
        path: PathBuf,
    },
    /// A file, or something else that is no folder.
    #[error("{} is no folder: name another place with --data", .path.display())]
    NotAFolder {
        /// What was named.
        path: PathBuf,
    },
    /// Another user's folder.
    #[error(
        "{} belongs to user {owner}, not to user {user}: run this as its owner or as root, or name \
         another folder with --data", .path.display()
    )]
    NotOwner {
        /// The folder.
        path: PathBuf,
        /// Who owns it.
        owner: u32,
        /// Who asks.
        user: u32,
    },
    /// Others may look in or write.
    #[error(
        "{} can be entered by others than its owner (mode {mode:03o}): run chmod 700 on it",
        .path.display()
    )]
    TooOpen {
        /// The folder or file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Something else lies there.
    #[error(
        "{} holds `{found}` and is no data folder of sampand: name an empty or new one with --data",
        .path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
        /// A name in it that is not ours, escaped.
        found: String,
    },
    /// Made by another version.
    #[error(
        "{} has format `{found}`, and this sampand reads format {known}: use the sampand that wrote \
         it, or a newer one", .path.display()
    )]
    Format {
        /// The folder.
        path: PathBuf,
        /// What it says, escaped.
        found: String,
        /// What is known.
        known: &'static str,
    },
    /// Another process has it.
    #[error(
        "{} is in use by another sampand{}: stop that one, or name another folder with --data",
        .path.display(), pid_suffix(*.pid)
    )]
    Locked {
        /// The folder.
        path: PathBuf,
        /// Whose, if it said so.
        pid: Option<u32>,
    },
    /// The TLS key or certificate cannot be used.
    #[error(
        "{}: {why}: put a backup of the folder in its place, for clients know the server by it",
        .path.display()
    )]
    Identity {
        /// The folder of both.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

fn pid_suffix(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

impl StateError {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// The text of a configuration file.
pub fn read_configuration(path: &Path) -> io::Result<String> {
    std::fs::read_to_string(path)
}
