//! That nothing of a throw-away folder stays behind.
//!
//! Invariant: what is removed was made by this run; whoever adds it answers for that.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::report::tell;
use crate::catalogue::cli as text;
use crate::place::shown;

/// How often a folder is tried that others still write to.
const TRIES: u32 = 100;

/// Folders that must be gone when the program is. Owned outside of all tasks.
#[derive(Debug, Default)]
pub(super) struct Leftovers(Arc<Folders>);

/// The folders, for whoever may have to end the program.
#[derive(Debug, Default)]
pub(super) struct Folders(Mutex<Vec<PathBuf>>);

impl Leftovers {
    /// Removes `folder`, which this run made, in the end.
    #[cfg(all(feature = "demo", target_os = "linux"))]
    pub(super) fn add(&self, folder: PathBuf) {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
    }

    pub(super) fn folders(&self) -> Arc<Folders> {
        Arc::clone(&self.0)
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        self.0.remove();
    }
}

impl Folders {
    /// Removes them. Whoever comes while another does goes on when they are gone.
    pub(super) fn remove(&self) {
        let mut folders = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for folder in folders.drain(..) {
            if let Err(error) = remove(&folder) {
                tell(&text::demo_stays(&shown(&folder), &error));
            }
        }
    }
}

/// A program that is ended where it is may still write into it.
fn remove(folder: &Path) -> io::Result<()> {
    let mut tries = 0;
    loop {
        match std::fs::remove_dir_all(folder) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty && tries < TRIES => {
                tries += 1;
            }
            removed => return removed,
        }
    }
}
