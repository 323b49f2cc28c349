//! That nothing of a throw-away folder stays behind.
//!
//! Invariant: what is removed was made by this run; whoever adds it answers for that.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::report::tell;
use crate::catalogue::cli as text;
use crate::place::shown;

/// Folders that must be gone when the program is. Owned outside of all tasks.
#[derive(Debug, Default)]
pub(super) struct Leftovers(Mutex<Vec<PathBuf>>);

impl Leftovers {
    /// Removes `folder`, which this run made, in the end.
    #[cfg(all(feature = "demo", target_os = "linux"))]
    pub(super) fn add(&self, folder: PathBuf) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(folder);
    }
}

impl Drop for Leftovers {
    fn drop(&mut self) {
        let folders = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for folder in folders.drain(..) {
            if let Err(error) = std::fs::remove_dir_all(&folder) {
                tell(&text::demo_stays(&shown(&folder), &error));
            }
        }
    }
}
