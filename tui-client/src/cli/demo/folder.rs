//! The demo's folder.
//!
//! Invariant: only a folder that this run made counts as left over.

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rand::RngExt;

use crate::cli::leftovers::Leftovers;
use crate::failure::Failure;
use crate::local::failed;

/// The demo's folder.
#[derive(Debug)]
pub(super) struct DemoFolder {
    path: PathBuf,
}

impl DemoFolder {
    /// A new folder with the server's in it: `keep`, which must not be there yet, or one that goes
    /// with `leftovers`.
    pub(super) fn new(keep: Option<&Path>, leftovers: &Leftovers) -> Result<Self, Failure> {
        let path = if let Some(keep) = keep {
            let path = std::path::absolute(keep).map_err(|error| failed(keep, error))?;
            make(&path).map_err(|error| failed(&path, error))?;
            path
        } else {
            let path = fresh()?;
            leftovers.add(path.clone());
            path
        };
        let folder = Self { path };
        // The server takes no data folder that others may enter.
        make(&folder.server()).map_err(|error| failed(&folder.server(), error))?;
        Ok(folder)
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What the left pane shows.
    pub(super) fn files(&self) -> PathBuf {
        self.path.join("files")
    }

    /// The program's own files.
    pub(super) fn client(&self) -> PathBuf {
        self.path.join("client")
    }

    /// The server's data.
    pub(super) fn server(&self) -> PathBuf {
        self.path.join("server")
    }
}

fn fresh() -> Result<PathBuf, Failure> {
    loop {
        let number: u64 = rand::rng().random();
        let path = std::env::temp_dir().join(format!("sampan-demo-{number:016x}"));
        match make(&path) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(&path, error)),
        }
    }
}

/// For this user only. Never takes a folder that is there.
fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(path)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::failure::{Side, Situation};

    #[test]
    fn a_throw_away_folder_goes_with_the_leftovers() {
        let leftovers = Leftovers::default();
        let folder = DemoFolder::new(None, &leftovers).unwrap();
        for made in [folder.path(), &folder.server()] {
            let mode = fs::metadata(made).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{}", made.display());
        }
        fs::create_dir_all(folder.server().join("homes")).unwrap();
        drop(leftovers);
        assert!(!folder.path().exists());
    }

    #[test]
    fn a_kept_folder_stays_and_must_be_new() {
        let here = tempfile::tempdir().unwrap();
        let keep = here.path().join("demo");
        let leftovers = Leftovers::default();
        DemoFolder::new(Some(&keep), &leftovers).unwrap();
        let failure = DemoFolder::new(Some(&keep), &leftovers).unwrap_err();
        assert_eq!(failure.situation, Situation::Exists(Side::Local));
        drop(leftovers);
        assert!(keep.is_dir());
    }
}
