//! Planning an upload: the walk leads, the server's listings follow it folder by folder.
//!
//! Invariant: a folder's listing is kept only while the walk is inside it.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sampan_protocol::{Attributes, EntryKind, Name, RemotePath};
use tokio::sync::Semaphore;
use tokio_util::task::AbortOnDropHandle;

use super::claims::Claims;
use super::remote::{Entries, entries_if_there, look_at_many};
use super::{Ended, LISTINGS, PlanStep, Planner, Target};
use crate::failure::{Failure, Side, Situation};
use crate::local::{Found, Item, Walk, look_on, look_through_on};
use crate::place::{Location, shown};
use crate::transfer::command::{self, Links, Source};
use crate::transfer::event::{Outcome, SkipReason};
use crate::transfer::item::{Ends, FolderPlan, FolderTarget, LocalSource, local_below};
use crate::transfer::job::blocking;

/// Things that the walk may be ahead of the decisions.
const AHEAD: usize = 1024;

pub(super) async fn plan(
    planner: &Planner,
    sources: Vec<Source<PathBuf>>,
    target: command::Target<RemotePath>,
) -> Result<(), Ended> {
    let remote = &planner.context.remote;
    let there = remote.stat_if_there(&target.path).await?;
    let starts = starts(planner, sources, &target, there.as_ref()).await?;
    // Before anything moves.
    let starts = claim(planner, starts).await?;
    let paths: Vec<_> = starts.iter().map(|start| start.to.clone()).collect();
    // Below a folder that is not there nothing is.
    let looks = match &there {
        None => paths.iter().map(|_| Ok(None)).collect(),
        Some(_) => look_at_many(remote, &paths).await,
    };
    let mut is_filled = false;
    for (mut start, look) in starts.into_iter().zip(looks) {
        let from = Location::Local(start.from.to_path_buf());
        let to = Location::Remote(start.to.clone());
        let look = if start.contents && std::mem::replace(&mut is_filled, true) {
            // What was carried before has changed it, and may have names that are in this one too.
            start.by_content = true;
            remote.stat_if_there(&start.to).await
        } else {
            look
        };
        // What lies at the target already keeps both from its name, and is decided about as usual.
        let look = match (&look, start.beside.take()) {
            (Ok(None), Some(beside)) => {
                start.to = beside;
                remote.stat_if_there(&start.to).await
            }
            _ => look,
        };
        match look {
            Ok(there) => walk(planner, start, there).await?,
            Err(failure) => planner.fail(from, to, failure).await?,
        }
    }
    Ok(())
}

/// Looking through a link found nothing there, or only the link again.
fn leads_nowhere(failure: &Failure) -> bool {
    matches!(failure.situation, Situation::NotFound(_) | Situation::IsALink(_))
}

/// A source and where it goes.
struct Start {
    from: Arc<Path>,
    to: RemotePath,
    contents: bool,
    kind: EntryKind,
    /// Where it goes to be kept beside another source that has its name.
    beside: Option<RemotePath>,
    /// What lies at its name may be that other source: only bytes tell whether this one is there.
    by_content: bool,
}

/// Gives each source a name of its own; those that get none are told of.
async fn claim(planner: &Planner, starts: Vec<Start>) -> Result<Vec<Start>, Ended> {
    let mut claims = Claims::new(planner.options.on_conflict);
    let mut claimed = Vec::with_capacity(starts.len());
    for start in starts {
        let is_carried = matches!(start.kind, EntryKind::File | EntryKind::Folder);
        let Some((folder, name)) = start.to.split().filter(|_| is_carried && !start.contents)
        else {
            claimed.push(start);
            continue;
        };
        let named = |name: &Name| folder.join(name).ok();
        let from = shown(&start.from).to_string();
        match claims.take(start.to.clone(), &name, from, start.kind, named) {
            Ok(beside) => {
                let by_content = beside.is_some();
                claimed.push(Start { beside, by_content, ..start });
            }
            Err(situation) => {
                let failure = Failure::new(situation, planner.context.remote.show(&start.to));
                let from = Location::Local(start.from.to_path_buf());
                planner.fail(from, Location::Remote(start.to), failure).await?;
            }
        }
    }
    Ok(claimed)
}

/// Maps the sources to their targets; those that cannot be looked at are told of.
async fn starts(
    planner: &Planner,
    sources: Vec<Source<PathBuf>>,
    target: &command::Target<RemotePath>,
    there: Option<&Attributes>,
) -> Result<Vec<Start>, Ended> {
    let single = sources.len() == 1;
    let mut starts = Vec::new();
    for source in sources {
        let links = planner.options.links;
        let path = source.path.clone();
        let through = source.contents || links == Links::Follow;
        let disk = planner.context.disk.clone();
        let look = if through { look_through_on } else { look_on };
        let looked = blocking(move || {
            look(&disk, &path).map_err(|failure| match look_on(&disk, &path) {
                Ok(link) if link.kind == EntryKind::Link && leads_nowhere(&failure) => {
                    Failure { situation: Situation::LinkToNowhere, ..failure }
                }
                _ => failure,
            })
        })
        .await;
        let into_folder = |name: Option<Name>| match name {
            Some(name) => target.path.join(&name).map_err(|_| {
                let subject = shown(&source.path);
                Failure::new(Situation::NameNotStorable(Side::Remote), subject)
            }),
            None => Err(Failure::new(Situation::InvalidTarget, shown(&source.path))),
        };
        let is_folder_there = there.is_some_and(|there| there.kind == EntryKind::Folder);
        let to = match &looked {
            Err(failure) => Err(failure.clone()),
            Ok(_) if source.contents => Ok(target.path.clone()),
            Ok(look)
                if single
                    && look.kind != EntryKind::Folder
                    && !target.is_folder
                    && !is_folder_there =>
            {
                Ok(target.path.clone())
            }
            Ok(_) => match there {
                Some(there) if there.kind != EntryKind::Folder => {
                    let subject = planner.context.remote.show(&target.path);
                    return Err(Failure::new(no_folder(there.kind), subject).into());
                }
                _ => into_folder(Location::Local(source.path.clone()).name()),
            },
        };
        match (to, looked) {
            (Ok(to), Ok(look)) => {
                let (from, contents, kind) = (source.path.into(), source.contents, look.kind);
                starts.push(Start { from, to, contents, kind, beside: None, by_content: false });
            }
            (Err(failure), _) | (_, Err(failure)) => {
                let (from, to) = (Location::Local(source.path), target.path.clone());
                planner.fail(from, Location::Remote(to), failure).await?;
            }
        }
    }
    Ok(starts)
}

async fn walk(planner: &Planner, start: Start, there: Option<Attributes>) -> Result<(), Ended> {
    let links = planner.options.links;
    let walk = if start.contents {
        Walk::of_contents(&start.from, links)
    } else {
        Walk::of(&start.from, links)
    };
    let walk = walk.on(&planner.context.disk);
    let mut listings = Listings::new(planner, start.to.clone(), there.clone());
    if start.contents {
        let is_there = there.is_some();
        listings.enter(RemotePath::home(), is_there);
    }
    let mut pieces = walk.stream();
    let mut waiting = VecDeque::new();
    let (mut ended, mut carries) = (false, false);
    loop {
        while !ended && waiting.len() < AHEAD {
            match pieces.next().await {
                Some(Ok(piece)) => {
                    for found in &piece {
                        listings.expect(found);
                    }
                    waiting.extend(piece);
                }
                Some(Err(failure)) => return Err(failure.into()),
                None => ended = true,
            }
        }
        let Some(found) = waiting.pop_front() else { break };
        carries |= matches!(found, Found::File(_) | Found::Folder(_));
        Walking { planner, start: &start, there: there.as_ref() }
            .meet(found, &mut listings)
            .await?;
    }
    // What is carried makes the folder that it goes into; nothing makes none.
    if start.contents && there.is_none() && !carries && !planner.options.dry_run {
        planner.context.remote.mkdir(&start.to, true, None).await?;
    }
    Ok(())
}

struct Walking<'a> {
    planner: &'a Planner,
    start: &'a Start,
    there: Option<&'a Attributes>,
}

impl Walking<'_> {
    async fn meet(&self, found: Found, listings: &mut Listings) -> Result<(), Ended> {
        match found {
            Found::Folder(item) => self.folder(&item, listings).await,
            Found::File(item) => {
                let Some(there) = self.target(&item.below, listings).await? else { return Ok(()) };
                let Some(to) = self.to(&item.below).await? else { return Ok(()) };
                let links = self.planner.options.links;
                let from =
                    LocalSource::new(Arc::clone(&self.start.from), item.below.clone(), links)
                        .on(&self.planner.context.disk);
                let ends = Ends::Up { from, to };
                let target = there.map(|attributes| Target { attributes, look: None });
                let by_content = self.start.by_content;
                self.planner.file(item.attributes(), ends, target, by_content).await
            }
            Found::Skipped(item, reason) => {
                if is_blocked(&item.below, listings) {
                    return Ok(());
                }
                let Some(to) = self.to(&item.below).await? else { return Ok(()) };
                let (from, to) = (self.from(&item.below), Location::Remote(to));
                let outcome = Outcome::Skipped(reason);
                let source = Some(item.attributes());
                self.planner.settle(Location::Local(from), to, source, outcome).await
            }
            Found::Failed { below, failure } => {
                let below = below.unwrap_or_default();
                if is_blocked(&below, listings) {
                    return Ok(());
                }
                let to = self.start.to.join_path(&below).unwrap_or_else(|_| self.start.to.clone());
                let from = Location::Local(self.from(&below));
                self.planner.fail(from, Location::Remote(to), failure).await
            }
        }
    }

    async fn folder(&self, item: &Item, listings: &mut Listings) -> Result<(), Ended> {
        let Some(there) = self.target(&item.below, listings).await? else {
            listings.block(item.below.clone());
            return Ok(());
        };
        let Some(to) = self.to(&item.below).await? else {
            listings.block(item.below.clone());
            return Ok(());
        };
        let from = Location::Local(self.from(&item.below));
        let source = item.attributes();
        if let Some(there) = &there
            && there.kind != EntryKind::Folder
        {
            listings.block(item.below.clone());
            let situation = no_folder(there.kind);
            let failure = Failure::new(situation, self.planner.context.remote.show(&to));
            return self.planner.fail(from, Location::Remote(to), failure).await;
        }
        listings.enter(item.below.clone(), there.is_some());
        if self.planner.options.dry_run {
            let outcome = if there.is_some() {
                Outcome::Unchanged
            } else {
                self.planner.need.folder();
                Outcome::Skipped(SkipReason::DryRun)
            };
            return self.planner.settle(from, Location::Remote(to), Some(source), outcome).await;
        }
        let target = FolderTarget::Remote(to);
        let folder = FolderPlan { source, from, target, existed: there };
        self.planner.tell(PlanStep::Folder(folder)).await
    }

    /// What lies at a place's target; `None` if something above it is in the way, which was told.
    async fn target(
        &self,
        below: &RemotePath,
        listings: &mut Listings,
    ) -> Result<Option<Option<Attributes>>, Ended> {
        let Some((parent, name)) = below.split() else {
            return Ok(Some(self.there.cloned()));
        };
        listings.leave_all_but(below);
        match listings.of(&parent).await {
            Ok(Known::Absent) => Ok(Some(None)),
            Ok(Known::Blocked) => Ok(None),
            Ok(Known::Listed(entries)) => Ok(Some(entries.get(&name).cloned())),
            Err(failure) => {
                // Told once; what is in the folder cannot be decided about.
                listings.block(parent.clone());
                let from = Location::Local(self.from(&parent));
                let to = self.start.to.join_path(&parent).unwrap_or_default();
                self.planner.fail(from, Location::Remote(to), failure).await?;
                Ok(None)
            }
        }
    }

    /// Where a place goes; `None` if that is no path any more, which is told.
    async fn to(&self, below: &RemotePath) -> Result<Option<RemotePath>, Ended> {
        let Ok(to) = self.start.to.join_path(below) else {
            let from = self.from(below);
            let failure = Failure::new(Situation::NameNotStorable(Side::Remote), shown(&from));
            let to = Location::Remote(self.start.to.clone());
            self.planner.fail(Location::Local(from), to, failure).await?;
            return Ok(None);
        };
        Ok(Some(to))
    }

    fn from(&self, below: &RemotePath) -> PathBuf {
        if below.is_home() { self.start.from.to_path_buf() } else { join(&self.start.from, below) }
    }
}

fn is_blocked(below: &RemotePath, listings: &Listings) -> bool {
    below.parent().is_some_and(|parent| listings.is_blocked(&parent))
}

fn join(folder: &Path, below: &RemotePath) -> PathBuf {
    local_below(folder, below)
}

/// The server's listings of the folders that the walk is in, asked for ahead.
struct Listings {
    context: Arc<super::Context>,
    to: RemotePath,
    is_there: bool,
    permits: Arc<Semaphore>,
    known: HashMap<RemotePath, Listing>,
    /// The folder that was asked for last.
    at: Option<RemotePath>,
}

enum Listing {
    Loading(AbortOnDropHandle<Result<Option<Entries>, Failure>>),
    Listed(Entries),
    /// There is no such folder on the server.
    Absent,
    /// What is below is not carried; that was told.
    Blocked,
}

enum Known<'a> {
    Listed(&'a Entries),
    Absent,
    Blocked,
}

impl Listings {
    fn new(planner: &Planner, to: RemotePath, there: Option<Attributes>) -> Self {
        Self {
            context: Arc::clone(&planner.context),
            to,
            is_there: there.is_some_and(|there| there.kind == EntryKind::Folder),
            permits: Arc::new(Semaphore::new(LISTINGS)),
            known: HashMap::new(),
            at: None,
        }
    }

    /// The walk is ahead at this: its listing may be needed.
    fn expect(&mut self, found: &Found) {
        let Found::Folder(item) = found else { return };
        let above = item.below.parent().unwrap_or_default();
        let useless = matches!(self.known.get(&above), Some(Listing::Absent | Listing::Blocked));
        if self.is_there && !useless && !self.known.contains_key(&item.below) {
            let loading = self.load(&item.below);
            self.known.insert(item.below.clone(), loading);
        }
    }

    fn load(&self, below: &RemotePath) -> Listing {
        let Ok(path) = self.to.join_path(below) else { return Listing::Absent };
        let (context, permits) = (Arc::clone(&self.context), Arc::clone(&self.permits));
        let task = tokio::spawn(async move {
            let _permit = permits.acquire_owned().await;
            entries_if_there(context, path).await
        });
        Listing::Loading(AbortOnDropHandle::new(task))
    }

    /// The walk enters a folder that is on the server, or is not.
    fn enter(&mut self, below: RemotePath, is_there: bool) {
        if !is_there {
            self.known.insert(below, Listing::Absent);
        } else if !self.known.contains_key(&below) {
            let loading = self.load(&below);
            self.known.insert(below, loading);
        }
    }

    fn block(&mut self, below: RemotePath) {
        self.known.insert(below, Listing::Blocked);
    }

    fn is_blocked(&self, below: &RemotePath) -> bool {
        matches!(self.known.get(below), Some(Listing::Blocked))
    }

    /// The walk is at `below`: folders that do not hold it are done, but for those ahead.
    fn leave_all_but(&mut self, below: &RemotePath) {
        let parent = below.parent();
        if parent == self.at {
            return;
        }
        self.at = parent;
        self.known.retain(|folder, listing| {
            matches!(listing, Listing::Loading(_)) || below.is_within(folder)
        });
    }

    async fn of(&mut self, folder: &RemotePath) -> Result<Known<'_>, Failure> {
        let listing = self.known.entry(folder.clone()).or_insert(Listing::Absent);
        if let Listing::Loading(task) = listing {
            let loaded = task.await.unwrap_or_else(|error| {
                Err(Failure::new(Situation::Unexpected(error.to_string()), ""))
            })?;
            *listing = loaded.map_or(Listing::Absent, Listing::Listed);
        }
        Ok(match listing {
            Listing::Listed(entries) => Known::Listed(entries),
            Listing::Absent | Listing::Loading(_) => Known::Absent,
            Listing::Blocked => Known::Blocked,
        })
    }
}

/// Why what lies on the server is no folder to carry into.
fn no_folder(kind: EntryKind) -> Situation {
    match kind {
        EntryKind::Link => Situation::IsALink(Side::Remote),
        _ => Situation::KindDiffers(Side::Remote),
    }
}
