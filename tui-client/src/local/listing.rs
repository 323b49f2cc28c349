//! What a folder holds, in directory order, in pages.
//!
//! The first page is small, so that rows show at once; sorting is the reader's business.
//!
//! Invariant: every name that is there comes, as an entry or as unreadable; nothing is opened but
//! the folder itself.

use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir};
use rustix::io::Errno;
use sampan_protocol::{Entry, Name};

use super::attributes::Look;
use super::failed::{about, failed};
use super::folder::Folder;
use super::stream::Stream;
use crate::disk::Disk;
use crate::failure::{Failure, Side, Situation};

/// Entries of the first page: what fits on a screen.
const FIRST_PAGE: usize = 64;
/// Entries of every other page.
const PAGE: usize = 1024;

/// Some of a folder's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// What could be described.
    pub entries: Vec<Entry>,
    /// What could not.
    pub unreadable: Vec<Unreadable>,
}

impl Page {
    fn len(&self) -> usize {
        self.entries.len() + self.unreadable.len()
    }
}

/// A name that could not be described.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// Its bytes.
    pub name: Vec<u8>,
    /// Why.
    pub failure: Failure,
}

/// A folder that is being read.
#[derive(Debug)]
pub struct Listing {
    path: PathBuf,
    disk: Disk,
    entries: Option<Dir>,
    page: usize,
}

impl Listing {
    /// Opens the folder at the user's own path, following the user's own links.
    pub fn open(path: &Path) -> Result<Self, Failure> {
        Self::open_on(&Disk::default(), path)
    }

    pub(super) fn open_on(disk: &Disk, path: &Path) -> Result<Self, Failure> {
        let opened = Folder::open_on(disk, path)?.names();
        let entries = Some(opened.map_err(|error| failed(path, error))?);
        Ok(Self { path: path.to_owned(), disk: disk.clone(), entries, page: FIRST_PAGE })
    }

    /// The same as a stream, for tasks. Dropping it ends the reading.
    pub fn stream(path: PathBuf) -> Stream<Page> {
        Stream::start(move || Self::open(&path))
    }

    fn next_page(&mut self) -> Result<Page, Failure> {
        let mut page = Page::default();
        while page.len() < self.page {
            let Some(entries) = &mut self.entries else { break };
            match self.disk.next_name(entries) {
                Some(Ok(entry)) => self.describe(entry.file_name().to_bytes(), &mut page)?,
                Some(Err(error)) => {
                    self.entries = None;
                    return Err(failed(&self.path, error));
                }
                None => self.entries = None,
            }
        }
        self.page = PAGE;
        Ok(page)
    }

    fn describe(&self, bytes: &[u8], page: &mut Page) -> Result<(), Failure> {
        if matches!(bytes, b"." | b"..") {
            return Ok(());
        }
        let Some(entries) = &self.entries else { return Ok(()) };
        let folder = entries.fd().map_err(|error| failed(&self.path, error))?;
        let path =
            || self.path.join(<std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(bytes));
        let look = self.disk.look(folder, bytes, AtFlags::SYMLINK_NOFOLLOW);
        let failure = match (Name::new(bytes), look) {
            (Ok(name), Ok(stat)) => {
                page.entries.push(Entry { name, attributes: Look::of(&stat).attributes() });
                return Ok(());
            }
            // It went away since the folder was read: it is not there.
            (_, Err(Errno::NOENT)) => return Ok(()),
            (_, Err(error)) => failed(&path(), error),
            (Err(_), Ok(_)) => about(Situation::NameNotStorable(Side::Remote), &path()),
        };
        page.unreadable.push(Unreadable { name: bytes.to_vec(), failure });
        Ok(())
    }
}

impl Iterator for Listing {
    type Item = Result<Page, Failure>;

    fn next(&mut self) -> Option<Self::Item> {
        let page = self.next_page();
        match page {
            Ok(page) if page.len() == 0 => None,
            page => Some(page),
        }
    }
}

/// What lies at the user's own path; a link is described, not followed.
pub fn look(path: &Path) -> Result<Look, Failure> {
    look_on(&Disk::default(), path)
}

/// The same, on a disk that may fail.
pub fn look_on(disk: &Disk, path: &Path) -> Result<Look, Failure> {
    let stat = disk.look(CWD, path, AtFlags::SYMLINK_NOFOLLOW);
    stat.map(|stat| Look::of(&stat)).map_err(|error| failed(path, error))
}

/// What the user's own path leads to, over links.
pub fn look_through(path: &Path) -> Result<Look, Failure> {
    look_through_on(&Disk::default(), path)
}

/// The same, on a disk that may fail.
pub fn look_through_on(disk: &Disk, path: &Path) -> Result<Look, Failure> {
    let stat = disk.look(CWD, path, AtFlags::empty());
    stat.map(|stat| Look::of(&stat)).map_err(|error| failed(path, error))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use sampan_protocol::{EntryKind, Mode, Timestamp};

    use super::*;
    use crate::local::folder::AsOsStr;
    use crate::local::testing::{fifo, odd_names};

    fn all(path: &Path) -> Vec<Entry> {
        let pages: Vec<Page> = Listing::open(path).unwrap().map(Result::unwrap).collect();
        assert!(pages.iter().all(|page| page.unreadable.is_empty()));
        let mut entries: Vec<_> = pages.into_iter().flat_map(|page| page.entries).collect();
        entries.sort_by(|left, right| left.name.cmp(&right.name));
        entries
    }

    #[test]
    fn every_kind_is_described_and_none_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        fs::write(path.join("file"), "12345").unwrap();
        fs::create_dir(path.join("folder")).unwrap();
        symlink("file", path.join("link")).unwrap();
        fifo(&path.join("pipe"));
        let _socket = UnixListener::bind(path.join("socket")).unwrap();
        let when = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000_000, 123_456_789);
        let file = fs::File::options().write(true).open(path.join("file")).unwrap();
        file.set_modified(when).unwrap();
        rustix::fs::fchmod(&file, rustix::fs::Mode::from_raw_mode(0o4640)).unwrap();

        let found = all(path);
        let kinds: Vec<_> =
            found.iter().map(|entry| (entry.name.to_string(), entry.attributes.kind)).collect();
        let expected = [
            ("file", EntryKind::File),
            ("folder", EntryKind::Folder),
            ("link", EntryKind::Link),
            ("pipe", EntryKind::Other),
            ("socket", EntryKind::Other),
        ];
        assert_eq!(kinds, expected.map(|(name, kind)| (name.to_owned(), kind)));
        let file = &found[0].attributes;
        assert_eq!((file.size, file.mode), (5, Mode::new(0o640)));
        assert_eq!(file.mtime, Timestamp::new(1_000_000_000, 123_456_789).unwrap());
        assert_eq!(file, &look(&path.join("file")).unwrap().attributes());
        assert_eq!(file, &look_through(&path.join("link")).unwrap().attributes());
        assert!(found[1..].iter().all(|entry| entry.attributes.size == 0));
    }

    #[test]
    fn odd_names_come_unchanged_s2() {
        let dir = tempfile::tempdir().unwrap();
        let mut expected = odd_names();
        for name in &expected {
            fs::write(dir.path().join(name.as_os_str()), "").unwrap();
        }
        expected.sort();
        let found: Vec<_> = all(dir.path()).into_iter().map(|entry| entry.name).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_first_page_is_small_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..3000 {
            fs::write(dir.path().join(number.to_string()), "").unwrap();
        }
        let pages: Vec<_> =
            Listing::open(dir.path()).unwrap().map(|page| page.unwrap().entries.len()).collect();
        assert_eq!(pages, [64, 1024, 1024, 888]);
        assert_eq!(all(dir.path()).len(), 3000);
    }

    #[test]
    fn what_cannot_be_listed_says_why() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        symlink(dir.path(), dir.path().join("here")).unwrap();
        let situation =
            |name| Listing::open(&dir.path().join(name)).map(|_| ()).unwrap_err().situation;
        assert_eq!(situation("none"), Situation::NotFound(Side::Local));
        assert_eq!(situation("file"), Situation::NotAFolder(Side::Local));
        assert_eq!(all(&dir.path().join("here")).len(), 2, "the user's own link is followed");
    }

    #[tokio::test]
    async fn a_stream_gives_the_same_pages_and_ends_when_dropped() {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..100 {
            fs::write(dir.path().join(number.to_string()), "").unwrap();
        }
        let mut stream = Listing::stream(dir.path().to_owned());
        let mut sizes = Vec::new();
        while let Some(page) = stream.next().await {
            sizes.push(page.unwrap().entries.len());
        }
        assert_eq!(sizes, [64, 36]);
        let mut missing = Listing::stream(dir.path().join("none"));
        let failure = missing.next().await.unwrap().unwrap_err();
        assert_eq!(failure.situation, Situation::NotFound(Side::Local));
        assert!(missing.next().await.is_none());
    }
}
