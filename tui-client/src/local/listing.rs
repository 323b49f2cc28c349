//! A folder's entries.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, Mode as OsMode, OFlags, openat, statat};
use rustix::io::Errno;
use sampan_protocol::{Entry, Name};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::attributes::attributes_of;
use super::failed;
use crate::failure::Failure;

/// Entries in one page: a screen or two comes quickly, and a hundred thousand do not come one by one.
const PAGE_ENTRIES: usize = 512;
/// Pages that may wait for their reader.
const PAGES: usize = 8;

/// A folder's entries as they are read, in directory order.
pub struct LocalListing {
    pages: mpsc::Receiver<Result<Vec<Entry>, Failure>>,
    reader: JoinHandle<()>,
}

impl LocalListing {
    /// The next page; `None` at the end. An error is the last.
    pub async fn next(&mut self) -> Option<Result<Vec<Entry>, Failure>> {
        let page = self.pages.recv().await;
        if page.is_none() {
            // It has sent its last page; a panic in it is the program's.
            if let Err(error) = (&mut self.reader).await {
                std::panic::resume_unwind(error.into_panic());
            }
        }
        page
    }
}

/// Lists `path` on a thread of its own; dropping the listing ends it.
pub fn list(path: PathBuf) -> LocalListing {
    let (sender, pages) = mpsc::channel(PAGES);
    let reader = tokio::task::spawn_blocking(move || {
        let mut page = Vec::new();
        let ended = read_folder(&path, |entry| {
            page.push(entry);
            if page.len() < PAGE_ENTRIES {
                return true;
            }
            sender.blocking_send(Ok(std::mem::take(&mut page))).is_ok()
        });
        let last = match ended {
            Ok(()) => Ok(page),
            Err(failure) => Err(failure),
        };
        // A reader who went away wants no last page.
        let _ = sender.blocking_send(last);
    });
    LocalListing { pages, reader }
}

/// Gives each entry of `path` to `take`, until it returns false. Names that vanish meanwhile are
/// left out.
pub fn read_folder(path: &Path, mut take: impl FnMut(Entry) -> bool) -> Result<(), Failure> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let wrong = |error: Errno| failed(path, error);
    let handle = openat(CWD, path, flags, OsMode::empty()).map_err(wrong)?;
    for entry in Dir::read_from(&handle).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        let Ok(name) = Name::new(entry.file_name().to_bytes()) else {
            // Only `.` and `..` are no names; the kernel gives out no others.
            continue;
        };
        let attributes = match statat(&handle, entry.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => attributes_of(&stat),
            Err(Errno::NOENT) => continue,
            Err(error) => {
                use std::os::unix::ffi::OsStrExt;
                let name = std::ffi::OsStr::from_bytes(name.as_bytes());
                return Err(failed(&path.join(name), error));
            }
        };
        if !take(Entry { name, attributes }) {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_entry_comes_once() {
        let folder = tempfile::tempdir().unwrap();
        for index in 0..1300 {
            std::fs::write(folder.path().join(index.to_string()), b"").unwrap();
        }
        let mut listing = list(folder.path().to_owned());
        let mut names = Vec::new();
        let mut pages = 0;
        while let Some(page) = listing.next().await {
            pages += 1;
            names.extend(page.unwrap().into_iter().map(|entry| entry.name));
        }
        assert_eq!(pages, 3);
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 1300);
    }

    #[tokio::test]
    async fn a_folder_that_is_none_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let mut listing = list(folder.path().join("none"));
        assert!(listing.next().await.unwrap().is_err());
        assert!(listing.next().await.is_none());
    }
}
