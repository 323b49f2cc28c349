//! Planning a download: the server's listings lead, this disk is looked at folder by folder.
//!
//! Invariant: only names from a listing that was asked for, below the folder that was chosen, are
//! ever written (HARDENING S1, S7).

use std::collections::VecDeque;
use std::path::PathBuf;

use sampan_protocol::{Attributes, Entry, EntryKind, Name, RemotePath};
use tokio_util::task::AbortOnDropHandle;

use super::claims::Claims;
use super::remote::look_at_many;
use super::{Ended, LISTINGS, PlanStep, Planner, Target};
use crate::failure::{Failure, Side, Situation};
use crate::local::{Disk, Look, Made, StagingName, TargetRoot, look_through_on};
use crate::place::{Location, shown};
use crate::transfer::command::{self, Links, Source};
use crate::transfer::event::{Outcome, SkipReason};
use crate::transfer::item::{Ends, FolderPlan, FolderTarget, LocalPlace, local_below};
use crate::transfer::job::blocking;

pub(super) async fn plan(
    planner: &Planner,
    sources: Vec<Source<RemotePath>>,
    target: command::Target<PathBuf>,
) -> Result<(), Ended> {
    let remote = &planner.context.remote;
    let paths: Vec<_> = sources.iter().map(|source| source.path.clone()).collect();
    let looks = look_at_many(remote, &paths).await;
    let single = sources.len() == 1;
    let mut found = Vec::new();
    for (source, look) in sources.into_iter().zip(looks) {
        let failure = match look {
            Ok(Some(attributes)) => {
                found.push((source, attributes));
                continue;
            }
            Ok(None) => Failure::new(Situation::NotFound(Side::Remote), remote.show(&source.path)),
            Err(failure) => failure,
        };
        let (from, to) = (Location::Remote(source.path), Location::Local(target.path.clone()));
        planner.fail(from, to, failure).await?;
    }
    let Some((_, first)) = found.first() else { return Ok(()) };
    let is_new_name = single && first.kind != EntryKind::Folder && !target.is_folder;
    let disk = planner.context.disk.clone();
    let base = Base::open(disk, &target.path, is_new_name, planner.options.dry_run).await?;

    let mut claims = Claims::new(planner.options.on_conflict);
    let (mut items, mut is_filled) = (Vec::new(), false);
    for (source, attributes) in found {
        let at = match (source.contents, &base.name) {
            (true, _) => Ok(RemotePath::home()),
            (false, Some(name)) => Ok(name.clone()),
            (false, None) => match source.path.name() {
                Some(name) => RemotePath::from_names(vec![name.clone()]),
                // The home under its own name would have none.
                None => Ok(RemotePath::home()),
            },
        };
        let Ok(at) = at else { continue };
        let is_contents = source.contents || source.path.is_home();
        let is_carried = matches!(attributes.kind, EntryKind::File | EntryKind::Folder);
        let claim = match at.name().filter(|_| is_carried && !is_contents) {
            None => Ok(None),
            Some(name) => {
                let named = |name: &Name| RemotePath::from_names(vec![name.clone()]).ok();
                let from = remote.show(&source.path);
                claims.take(at.clone(), &name, from, attributes.kind, named)
            }
        };
        match claim {
            Ok(beside) => {
                // Sources whose contents are poured together may share names too.
                let by_content = beside.is_some() || (is_contents && is_filled);
                is_filled |= is_contents;
                let from = source.path;
                items.push((Item { from, at, attributes, is_contents, by_content }, beside));
            }
            Err(situation) => {
                let to = base.path_of(&at);
                let failure = Failure::new(situation, shown(&to));
                planner.fail(Location::Remote(source.path), Location::Local(to), failure).await?;
            }
        }
    }
    let mut folders = Vec::new();
    for (mut item, beside) in items {
        let mut look = base.look(item.at.clone()).await;
        // What lies at the target already keeps both from its name, and is decided about as usual.
        if let (Ok(None), Some(beside)) = (&look, beside) {
            item.at = beside;
            look = base.look(item.at.clone()).await;
        }
        folders.extend(Planning { planner, base: &base }.meet(item, look).await?);
    }
    Planning { planner, base: &base }.walk(folders).await
}

/// Where a download goes.
struct Base {
    /// `None` if it is only planned, and not there.
    root: Option<TargetRoot>,
    path: PathBuf,
    /// One file gets this name in it.
    name: Option<RemotePath>,
}

impl Base {
    async fn open(
        disk: Disk,
        target: &std::path::Path,
        may_be_name: bool,
        dry_run: bool,
    ) -> Result<Self, Ended> {
        let target = target.to_owned();
        let opened = blocking(move || {
            let there = match look_through_on(&disk, &target) {
                Ok(look) => Some(look),
                Err(failure) if matches!(failure.situation, Situation::NotFound(_)) => None,
                Err(failure) => return Err(failure),
            };
            let is_folder = there.is_some_and(|there| there.kind == EntryKind::Folder);
            let name = Location::Local(target.clone()).name();
            let (path, name) = match (may_be_name && !is_folder, target.parent(), name) {
                (true, Some(parent), Some(name)) => {
                    let name = RemotePath::from_names(vec![name]).map_err(|_| {
                        Failure::new(Situation::NameNotStorable(Side::Local), shown(&target))
                    })?;
                    (parent.to_owned(), Some(name))
                }
                _ => (target, None),
            };
            let root = if dry_run {
                match TargetRoot::open_on(&disk, &path) {
                    Ok(root) => Some(root),
                    Err(failure) if matches!(failure.situation, Situation::NotFound(_)) => None,
                    Err(failure) => return Err(failure),
                }
            } else {
                Some(TargetRoot::create_on(&disk, &path)?)
            };
            Ok(Self { root, path, name })
        });
        Ok(opened.await?)
    }

    fn path_of(&self, at: &RemotePath) -> PathBuf {
        local_below(&self.path, at)
    }

    async fn look(&self, at: RemotePath) -> Result<Option<Look>, Failure> {
        match self.root.clone() {
            Some(root) => blocking(move || root.look(&at)).await,
            None => Ok(None),
        }
    }
}

/// Something on the server and its place below the base.
struct Item {
    from: RemotePath,
    at: RemotePath,
    attributes: Attributes,
    /// What is in it, and not it itself.
    is_contents: bool,
    /// What lies at its name may be another source: only bytes tell whether this one is there.
    by_content: bool,
}

/// A folder to be listed.
struct Listed {
    from: RemotePath,
    at: RemotePath,
    /// Nothing can be there on this side.
    is_new: bool,
    by_content: bool,
}

/// A folder whose listing is underway. It is read by a task of its own: a listing that nobody reads
/// holds up its connection, and with it whatever else is asked for while another folder is decided.
struct Listing {
    folder: Listed,
    entries: AbortOnDropHandle<Result<(Vec<Entry>, u64), Failure>>,
}

struct Planning<'a> {
    planner: &'a Planner,
    base: &'a Base,
}

impl Planning<'_> {
    /// Lists folder after folder, several ahead.
    async fn walk(&self, mut folders: Vec<Listed>) -> Result<(), Ended> {
        // Last in, first out: what waits stays as small as a tree is deep, not as it is wide.
        folders.reverse();
        let mut listings = VecDeque::new();
        loop {
            while listings.len() < LISTINGS
                && let Some(folder) = folders.pop()
            {
                listings.push_back(self.list(folder));
            }
            let Some(Listing { folder, entries }) = listings.pop_front() else { return Ok(()) };
            let listed = entries.await.unwrap_or_else(|error| {
                let subject = self.planner.context.remote.show(&folder.from);
                Err(Failure::new(Situation::Unexpected(error.to_string()), subject))
            });
            let (from, to) = (
                Location::Remote(folder.from.clone()),
                Location::Local(self.base.path_of(&folder.at)),
            );
            let entries = match listed {
                Ok((entries, 0)) => entries,
                Ok((entries, unreadable)) => {
                    let text = format!("{unreadable} names in it could not be described");
                    let subject = self.planner.context.remote.show(&folder.from);
                    let failure = Failure::new(Situation::Unexpected(text), subject);
                    self.planner.fail(from, to, failure).await?;
                    entries
                }
                Err(failure) => {
                    self.planner.fail(from, to, failure).await?;
                    continue;
                }
            };
            folders.extend(self.entries(&folder, entries).await?);
        }
    }

    fn list(&self, folder: Listed) -> Listing {
        let (remote, from) = (self.planner.context.remote.clone(), folder.from.clone());
        let entries = tokio::spawn(async move { remote.list_all(&from).await });
        Listing { folder, entries: AbortOnDropHandle::new(entries) }
    }

    /// Decides about everything in a folder.
    async fn entries(
        &self,
        folder: &Listed,
        mut entries: Vec<Entry>,
    ) -> Result<Vec<Listed>, Ended> {
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        entries.dedup_by(|a, b| a.name == b.name);
        let mut items = Vec::with_capacity(entries.len());
        for Entry { name, attributes } in entries {
            if let (Ok(from), Ok(at)) = (folder.from.join(&name), folder.at.join(&name)) {
                let by_content = folder.by_content;
                items.push(Item { from, at, attributes, is_contents: false, by_content });
                continue;
            }
            let to = self.base.path_of(&folder.at);
            let subject = format!("{}/{name}", shown(&to));
            let failure = Failure::new(Situation::NameNotStorable(Side::Local), subject);
            let from = Location::Remote(folder.from.clone());
            self.planner.fail(from, Location::Local(to), failure).await?;
        }
        let looks = self.looks(folder, &items).await;
        let mut folders = Vec::new();
        for (item, look) in items.into_iter().zip(looks) {
            folders.extend(self.meet(item, look).await?);
        }
        Ok(folders)
    }

    async fn looks(&self, folder: &Listed, items: &[Item]) -> Vec<Result<Option<Look>, Failure>> {
        let root = match &self.base.root {
            Some(root) if !folder.is_new => root.clone(),
            _ => return items.iter().map(|_| Ok(None)).collect(),
        };
        let places: Vec<_> = items.iter().map(|item| item.at.clone()).collect();
        let looked =
            blocking(move || Ok(places.iter().map(|at| root.look(at)).collect::<Vec<_>>()));
        match looked.await {
            Ok(looks) => looks,
            Err(failure) => items.iter().map(|_| Err(failure.clone())).collect(),
        }
    }

    /// Decides about one thing; gives the folder that is to be listed.
    async fn meet(
        &self,
        item: Item,
        look: Result<Option<Look>, Failure>,
    ) -> Result<Option<Listed>, Ended> {
        let from = Location::Remote(item.from.clone());
        let to = Location::Local(self.base.path_of(&item.at));
        let remote = &self.planner.context.remote;
        let source = Some(item.attributes.clone());
        let look = match look {
            Ok(look) => look,
            Err(failure) => return self.planner.fail(from, to, failure).await.map(|()| None),
        };
        let is_staging = item.from.name().is_some_and(|name| StagingName::matches(name.as_bytes()));
        let outcome = match item.attributes.kind {
            _ if is_staging => Outcome::Skipped(SkipReason::Staging),
            EntryKind::Folder => return self.folder(item, look).await,
            EntryKind::File => {
                return self.file(item, look).await.map(|()| None);
            }
            EntryKind::Link if self.planner.options.links == Links::Fail => {
                let situation = Situation::IsALink(Side::Remote);
                Outcome::Failed(Failure::new(situation, remote.show(&item.from)))
            }
            EntryKind::Link => Outcome::Skipped(SkipReason::Link),
            EntryKind::Other => Outcome::Skipped(SkipReason::NotAFile),
        };
        self.planner.settle(from, to, source, outcome).await.map(|()| None)
    }

    async fn file(&self, item: Item, look: Option<Look>) -> Result<(), Ended> {
        let Some(root) = self.base.root.clone() else {
            let to = Location::Local(self.base.path_of(&item.at));
            let outcome = Outcome::Skipped(SkipReason::DryRun);
            let from = Location::Remote(item.from);
            return self.planner.settle(from, to, Some(item.attributes), outcome).await;
        };
        let to = LocalPlace { root, at: item.at };
        let ends = Ends::Down { from: item.from, to, victim: None };
        let target = look.map(|look| Target { attributes: look.attributes(), look: Some(look) });
        self.planner.file(item.attributes, ends, target, item.by_content).await
    }

    async fn folder(&self, item: Item, look: Option<Look>) -> Result<Option<Listed>, Ended> {
        let Item { from, at, attributes, is_contents, by_content } = item;
        let to = Location::Local(self.base.path_of(&at));
        let there = look.map(|look| look.attributes());
        if let Some(there) = &there
            && there.kind != EntryKind::Folder
        {
            let situation = match there.kind {
                EntryKind::Link => Situation::IsALink(Side::Local),
                _ => Situation::KindDiffers(Side::Local),
            };
            let failure = Failure::new(situation, shown(&self.base.path_of(&at)));
            return self.planner.fail(Location::Remote(from), to, failure).await.map(|()| None);
        }
        let is_new = there.is_none();
        let listed = Listed { from: from.clone(), at: at.clone(), is_new, by_content };
        if is_contents {
            return Ok(Some(listed));
        }
        let from = Location::Remote(from);
        let Some(root) = self.base.root.clone().filter(|_| !self.planner.options.dry_run) else {
            let outcome = match there {
                Some(_) => Outcome::Unchanged,
                None => Outcome::Skipped(SkipReason::DryRun),
            };
            self.planner.settle(from, to, Some(attributes), outcome).await?;
            return Ok(Some(listed));
        };
        let (maker, place) = (root.clone(), at.clone());
        match blocking(move || maker.make_folder(&place)).await {
            Err(failure) => self.planner.fail(from, to, failure).await.map(|()| None),
            Ok(made) => {
                if made == Made::Existing
                    && let Err(failure) = self.planner.flush_earlier(&root).await
                {
                    return self.planner.fail(from, to, failure).await.map(|()| None);
                }
                let existed = there.filter(|_| made == Made::Existing);
                let target = FolderTarget::Local(LocalPlace { root, at });
                let folder = FolderPlan { source: attributes, from, target, existed };
                self.planner.tell(PlanStep::Folder(folder)).await?;
                Ok(Some(listed))
            }
        }
    }
}
