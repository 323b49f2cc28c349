//! Folders as streams of pages.
//!
//! Names come in the order of the directory, each with its attributes, and the first page is small,
//! so that the first rows are seen at once. A page is read only when the one before the last was
//! taken: a million entries take no more memory than two pages.
//!
//! A cursor is the directory's own cookie with the directory's identity and state; if the folder
//! has changed since, the reader has to start again.
//!
//! Invariant: a cursor that is not of this folder in this state is never sought to.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use sampan_protocol::limits::MAX_LIST_ENTRIES;
use sampan_protocol::{Entry, Name, RemotePath};
use tokio::sync::mpsc;

use super::Inner;
use super::attributes::Meta;
use super::disk::Open;
use super::failure::{about, if_there};
use super::home::Home;
use crate::store::{ListPage, Result, Situation, Stream};

/// Entries of the first page: about a screen.
const FIRST_PAGE: usize = 64;
/// Pages that may wait for their reader.
const PAGES_AHEAD: usize = 2;

/// A folder that is being listed.
pub(super) struct Listing {
    folder: OwnedFd,
    path: RemotePath,
    /// Which state of the folder it was when the listing began.
    state: [u8; STATE_BYTES],
    most: usize,
}

const STATE_BYTES: usize = 20;

fn state_of(meta: &Meta) -> [u8; STATE_BYTES] {
    let mut state = [0; STATE_BYTES];
    state[..8].copy_from_slice(&meta.inode.to_le_bytes());
    state[8..16].copy_from_slice(&meta.ctime.seconds().to_le_bytes());
    state[16..].copy_from_slice(&meta.ctime.nanos().to_le_bytes());
    state
}

impl Inner {
    pub(super) fn open_listing(
        &self,
        home: &Home,
        path: &RemotePath,
        cursor: Option<&[u8]>,
    ) -> Result<Listing> {
        let failed = about(path, "opening a folder");
        let folder = home.folder_at(&self.disk, path, Open::Folder).map_err(&failed)?;
        let state = state_of(&self.disk.stat_open(&folder).map_err(&failed)?);
        if let Some(cursor) = cursor {
            let cookie = cursor
                .split_first_chunk::<8>()
                .filter(|(_, of)| *of == state)
                .map(|(cookie, _)| u64::from_le_bytes(*cookie))
                .ok_or_else(|| Situation::Restart.about(path))?;
            self.disk.seek(&folder, cookie).map_err(|_| Situation::Restart.about(path))?;
        }
        let most = if cursor.is_none() { FIRST_PAGE } else { MAX_LIST_ENTRIES };
        Ok(Listing { folder, path: path.clone(), state, most })
    }

    /// The next page; `None` at the end.
    pub(super) fn next_page(&self, listing: &mut Listing) -> Result<Option<ListPage>> {
        let failed = about(&listing.path, "listing a folder");
        let mut names = Vec::with_capacity(listing.most);
        let mut cookie = None;
        self.disk
            .names(&listing.folder, |name, next| {
                names.push(Name::new(name));
                cookie = Some(next);
                names.len() < listing.most
            })
            .map_err(&failed)?;
        let Some(cookie) = cookie else { return Ok(None) };
        // The kernel gave more names than were taken.
        self.disk.seek(&listing.folder, cookie).map_err(&failed)?;
        listing.most = MAX_LIST_ENTRIES;

        let mut page = ListPage {
            entries: Vec::with_capacity(names.len()),
            cursor: [&cookie.to_le_bytes()[..], &listing.state].concat(),
            unreadable: 0,
        };
        for name in names {
            let Ok(name) = name else {
                page.unreadable += 1;
                continue;
            };
            match if_there(self.disk.stat(&listing.folder, name.as_bytes())) {
                Ok(Some(meta)) => page.entries.push(Entry { name, attributes: meta.attributes() }),
                // Gone since its name was read: not there.
                Ok(None) => {}
                Err(error) => {
                    tracing::debug!(%error, %name, "cannot describe a name");
                    page.unreadable += 1;
                }
            }
        }
        Ok(Some(page))
    }

    /// Sends the pages of a listing until its reader goes or the store closes.
    pub(super) fn stream_listing(self: &Arc<Self>, listing: Listing) -> Stream<ListPage> {
        let (pages, stream) = mpsc::channel(PAGES_AHEAD);
        let inner = self.clone();
        self.spawn(async move {
            let mut listing = listing;
            loop {
                let Ok(room) = pages.reserve().await else { return };
                let worker = inner.clone();
                let next = inner
                    .job(move || {
                        let next = worker.next_page(&mut listing)?;
                        Ok(next.map(|page| (page, listing)))
                    })
                    .await;
                match next {
                    Ok(Some((page, rest))) => {
                        listing = rest;
                        room.send(Ok(page));
                    }
                    Ok(None) => return,
                    Err(error) => {
                        room.send(Err(error));
                        return;
                    }
                }
            }
        });
        stream
    }
}
