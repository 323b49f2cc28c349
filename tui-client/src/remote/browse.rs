//! Looking and changing, as people mean it: failures name the place.
//!
//! Invariant: a listing's pages come in directory order and each name once, also across a lost link;
//! where that cannot be kept, the reader is told to start over. What is kept of one is bounded,
//! whatever the server sends.

use std::collections::VecDeque;

use sampan_protocol::message::{
    Changed, Fits, FitsAnswer, List, ListPage, Mkdir, Precondition, QuotaAnswer, QuotaRequest,
    Remove, Removed, Rename, SetAttributes, Stat, Sum, SumAnswer,
};
use sampan_protocol::{Attributes, Entry, ErrorCode, Mode, RemotePath, Timestamp, Version};
use serde_bytes::ByteBuf;

use super::{Answers, CallError, Frames, Remote};
use crate::catalogue::engine as text;
use crate::failure::{Failure, Situation};

/// Pages of a listing that may wait for their reader.
const PAGES: usize = 8;

/// Names of one folder that are taken in at once: some hundred bytes each. More is no folder that a
/// person made, but a listing without end.
const MOST_NAMES: usize = 4_000_000;

/// The next of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListStep {
    /// More entries, in directory order.
    Entries(Vec<Entry>),
    /// So many names could not be described.
    Unreadable(u64),
    /// The folder changed too much: forget all entries so far.
    Restart,
}

/// A folder's entries as they come. Must be read without waiting for another call meanwhile.
pub struct Listing {
    remote: Remote,
    path: RemotePath,
    answers: Option<Answers<List>>,
    cursor: Option<ByteBuf>,
    waiting: VecDeque<ListStep>,
    frames: Frames,
    ended: bool,
}

impl Listing {
    /// The next step; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<ListStep>, Failure> {
        loop {
            if let Some(step) = self.waiting.pop_front() {
                return Ok(Some(step));
            }
            if self.ended {
                return Ok(None);
            }
            match self.page().await {
                Ok(Some(page)) => {
                    if let Err(error) = self.take(page) {
                        self.ended = true;
                        return Err(error.about(self.remote.show(&self.path)));
                    }
                }
                Ok(None) => self.ended = true,
                Err(CallError::Lost) => self.answers = None,
                Err(error) if error.is(ErrorCode::RESTART) && self.cursor.is_some() => {
                    self.answers = None;
                    self.cursor = None;
                    self.waiting.push_back(ListStep::Restart);
                }
                Err(error) => {
                    self.ended = true;
                    return Err(error.about(self.remote.show(&self.path)));
                }
            }
        }
    }

    async fn page(&mut self) -> Result<Option<ListPage>, CallError> {
        if self.answers.is_none() {
            let session = self.remote.control().session().await?;
            let request = List { path: self.path.clone(), cursor: self.cursor.clone() };
            self.answers = Some(session.stream(&request, PAGES).await?);
            self.frames = Frames::default();
        }
        match &mut self.answers {
            Some(answers) => Ok(answers.next().await?.map(|(page, _)| page)),
            None => Ok(None),
        }
    }

    fn take(&mut self, page: ListPage) -> Result<(), CallError> {
        self.frames.take(!page.entries.is_empty() || page.unreadable > 0)?;
        if page.cursor.is_some() {
            self.cursor = page.cursor;
        }
        if page.unreadable > 0 {
            self.waiting.push_back(ListStep::Unreadable(page.unreadable));
        }
        if !page.entries.is_empty() {
            self.waiting.push_back(ListStep::Entries(page.entries));
        }
        Ok(())
    }
}

impl Remote {
    /// A folder's entries, as they come.
    pub fn list(&self, path: &RemotePath) -> Listing {
        Listing {
            remote: self.clone(),
            path: path.clone(),
            answers: None,
            cursor: None,
            waiting: VecDeque::new(),
            frames: Frames::default(),
            ended: false,
        }
    }

    /// A folder's entries, all of them, and how many could not be described.
    pub async fn list_all(&self, path: &RemotePath) -> Result<(Vec<Entry>, u64), Failure> {
        let mut listing = self.list(path);
        let (mut entries, mut unreadable) = (Vec::new(), 0);
        while let Some(step) = listing.next().await? {
            match step {
                ListStep::Entries(more) if entries.len() + more.len() > MOST_NAMES => {
                    let text = text::too_many_names(MOST_NAMES);
                    return Err(Failure::new(Situation::Unexpected(text), self.show(path)));
                }
                ListStep::Entries(more) => entries.extend(more),
                ListStep::Unreadable(more) => unreadable += more,
                ListStep::Restart => {
                    entries.clear();
                    unreadable = 0;
                }
            }
        }
        Ok((entries, unreadable))
    }

    /// What lies at `path`; a link is described, not followed.
    pub async fn stat(&self, path: &RemotePath) -> Result<Attributes, Failure> {
        let answer = self.call(&Stat { path: path.clone() }).await;
        answer.map(|answer| answer.attributes).map_err(|error| error.about(self.show(path)))
    }

    /// The same, with `None` for what is not there.
    pub async fn stat_if_there(&self, path: &RemotePath) -> Result<Option<Attributes>, Failure> {
        match self.call(&Stat { path: path.clone() }).await {
            Ok(answer) => Ok(Some(answer.attributes)),
            Err(error) if error.is(ErrorCode::NOT_FOUND) => Ok(None),
            Err(error) => Err(error.about(self.show(path))),
        }
    }

    /// Makes a folder; with `parents` also those above it, and one that is there is success.
    pub async fn mkdir(
        &self,
        path: &RemotePath,
        parents: bool,
        mode: Option<Mode>,
    ) -> Result<Changed, Failure> {
        let answer =
            self.change(|change| Mkdir { change, path: path.clone(), parents, mode }).await;
        answer.map_err(|error| error.about(self.show(path)))
    }

    /// Moves or renames; what may be replaced at `to` says `if_target`.
    pub async fn rename(
        &self,
        from: &RemotePath,
        to: &RemotePath,
        version: Option<Version>,
        if_target: Precondition,
    ) -> Result<Changed, Failure> {
        let renamed = self
            .change(|change| Rename {
                change,
                from: from.clone(),
                to: to.clone(),
                version,
                if_target,
            })
            .await;
        renamed.map_err(|error| {
            let subject = if error.path() == Some(to) { to } else { from };
            error.about(self.show(subject))
        })
    }

    /// Removes a file, a link, an empty folder or, if `recursive`, a tree.
    pub async fn remove(
        &self,
        path: &RemotePath,
        recursive: bool,
        version: Option<Version>,
    ) -> Result<Removed, Failure> {
        let removed =
            self.change(|change| Remove { change, path: path.clone(), recursive, version }).await;
        removed.map_err(|error| error.about(self.show(path)))
    }

    /// Sets permission bits and modification time.
    pub async fn set_attributes(
        &self,
        path: &RemotePath,
        mode: Option<Mode>,
        mtime: Option<Timestamp>,
    ) -> Result<Changed, Failure> {
        let set =
            self.change(|change| SetAttributes { change, path: path.clone(), mode, mtime }).await;
        set.map_err(|error| error.about(self.show(path)))
    }

    /// Limits and use of the account.
    pub async fn quota(&self) -> Result<QuotaAnswer, Failure> {
        let answer = self.call(&QuotaRequest {}).await;
        answer.map_err(|error| error.about(self.account()))
    }

    /// Whether so much more would fit.
    pub async fn fits(&self, bytes: u64, entries: u64) -> Result<FitsAnswer, Failure> {
        let answer = self.call(&Fits { bytes, entries }).await;
        answer.map_err(|error| error.about(self.account()))
    }

    /// The root of a file: its plain BLAKE3.
    pub async fn sum(&self, path: &RemotePath) -> Result<SumAnswer, Failure> {
        let answer = self.call(&Sum { path: path.clone() }).await;
        answer.map_err(|error| error.about(self.show(path)))
    }
}
