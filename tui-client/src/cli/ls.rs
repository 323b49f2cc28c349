//! `sampan ls`: a folder's entries, or one entry.
//!
//! On a terminal a listing is sorted, so it is collected first; into a pipe it streams, and memory
//! stays flat however long it is. Of several places those that are no folders come first, each by its
//! path, then the folders, each below its own: no row leaves open where it lies.
//!
//! Invariant: a name is escaped on a terminal and only there.

use futures_util::StreamExt;
use jiff::tz::TimeZone;
use sampan_protocol::{Attributes, Entry, EntryKind, Name, RemotePath};

use super::args::Ls;
use super::exit::Code;
use super::expand::{Operand, expands, operands};
use super::operands::Places;
use super::output::Output;
use super::report::Report;
use super::{Stop, json, row, session};
use crate::catalogue::cli as text;
use crate::failure::{Failure, Side, Situation};
use crate::remote::{ListStep, Remote};

/// Places that are looked at at once.
const LOOKS_AT_ONCE: usize = 16;

/// Lists each place.
pub(super) async fn run(ls: Ls) -> Result<Code, Stop> {
    let Places { account, places } = Places::read(&ls.places, ls.link.port)?;
    let remote = session::connect(&account, &ls.link).await?;
    let mut report = Report::new(Some(&account), Side::Remote).expanding(ls.globs);
    let is_pattern = ls.globs && places.iter().any(|(_, path)| expands(path));
    let (mut places, failures) = operands(&remote, places, ls.globs).await;
    report.failures(&failures);
    let several = places.len() > 1 || is_pattern;
    if several {
        places = files_first(&remote, places, &mut report).await;
    }
    let mut printer = Printer::new(&ls, several);
    for place in &places {
        match printer.place(&remote, place).await {
            Ok(()) => {}
            Err(Stop::Failed(failure, _)) => report.failure(&failure),
            Err(other) => return Err(other),
        }
    }
    printer.output.flush()?;
    remote.close().await;
    Ok(report.code())
}

/// Looks at every place, and puts those that are no folders before the others.
async fn files_first(remote: &Remote, places: Vec<Operand>, report: &mut Report) -> Vec<Operand> {
    let looks = places.into_iter().map(|operand| async move {
        let found = match &operand.attributes {
            Some(attributes) => Ok(attributes.clone()),
            None => remote.stat(&operand.path).await,
        };
        found.map(|found| Operand { attributes: Some(found), ..operand })
    });
    let mut looks = futures_util::stream::iter(looks).buffered(LOOKS_AT_ONCE);
    let (mut files, mut folders) = (Vec::new(), Vec::new());
    while let Some(look) = looks.next().await {
        match look {
            Err(failure) => report.failure(&failure),
            Ok(operand) => {
                let is_folder = |found: &Attributes| found.kind == EntryKind::Folder;
                let is_folder = operand.attributes.as_ref().is_some_and(is_folder);
                if is_folder { &mut folders } else { &mut files }.push(operand);
            }
        }
    }
    files.append(&mut folders);
    files
}

struct Printer<'a> {
    ls: &'a Ls,
    output: Output,
    zone: TimeZone,
    sorts: bool,
    /// More than one place was asked about.
    several: bool,
    /// Something was printed already.
    separates: bool,
}

impl<'a> Printer<'a> {
    fn new(ls: &'a Ls, several: bool) -> Self {
        let output = Output::standard();
        let sorts = output.is_terminal() && !ls.unsorted;
        Self { ls, output, zone: TimeZone::system(), sorts, several, separates: false }
    }

    async fn place(&mut self, remote: &Remote, operand: &Operand) -> Result<(), Stop> {
        let Operand { place, path, attributes } = operand;
        // What was looked at already is known.
        let found = attributes.clone().filter(|found| found.kind != EntryKind::Folder);
        let attributes = match found {
            Some(_) if place.is_folder() => {
                return Err(
                    Failure::new(Situation::NotAFolder(Side::Remote), remote.show(path)).into()
                );
            }
            Some(found) => found,
            None => match self.folder(remote, path).await {
                Err(Stop::Failed(failure, _)) if may_be_no_folder(&failure) => {
                    if place.is_folder() {
                        return Err((*failure).into());
                    }
                    remote.stat(path).await?
                }
                other => return other,
            },
        };
        // Only the home has no name, and it is a folder.
        let Some(name) = path.name() else { return Ok(()) };
        let entry = Entry { name: name.clone(), attributes };
        self.separates = true;
        self.entry(&entry, path.parent().as_ref(), row::SIZE_COLUMNS, self.several)
    }

    async fn folder(&mut self, remote: &Remote, path: &RemotePath) -> Result<(), Stop> {
        let mut listing = remote.list(path);
        let mut collected = Vec::new();
        let mut began = false;
        let mut unreadable = 0;
        // The first step tells whether it is a folder, before a heading says so.
        while let Some(step) = listing.next().await? {
            if !began {
                began = true;
                self.heading(remote, path)?;
            }
            match step {
                ListStep::Unreadable(names) => unreadable += names,
                ListStep::Entries(mut entries) => {
                    entries.retain(|entry| self.shows(&entry.name));
                    if self.sorts {
                        collected.append(&mut entries);
                        continue;
                    }
                    for entry in &entries {
                        self.entry(entry, Some(path), row::SIZE_COLUMNS, false)?;
                    }
                    self.output.flush()?;
                }
                ListStep::Restart if self.sorts => collected.clear(),
                // What is printed cannot be taken back.
                ListStep::Restart => {
                    let what = text::listing_changed();
                    let situation = Situation::Unexpected(what);
                    return Err(Failure::new(situation, remote.show(path)).into());
                }
            }
        }
        if !began {
            self.heading(remote, path)?;
        }
        collected.sort_unstable_by(|a: &Entry, b| a.name.cmp(&b.name));
        let columns = row::size_columns(collected.iter().map(|entry| &entry.attributes));
        for entry in &collected {
            self.entry(entry, Some(path), columns, false)?;
        }
        if unreadable > 0 {
            let what = text::unreadable_names(unreadable);
            return Err(Failure::new(Situation::Unexpected(what), remote.show(path)).into());
        }
        Ok(())
    }

    fn shows(&self, name: &Name) -> bool {
        self.ls.all || !name.as_bytes().starts_with(b".")
    }

    fn heading(&mut self, remote: &Remote, path: &RemotePath) -> Result<(), Stop> {
        if !self.several || self.ls.json || self.ls.nul {
            return Ok(());
        }
        if std::mem::replace(&mut self.separates, true) {
            self.output.write(b"\n")?;
        }
        self.output.line(&format!("{}:", remote.show(path)))
    }

    /// Prints an entry's row, by its path if it stands below no heading.
    fn entry(
        &mut self,
        entry: &Entry,
        folder: Option<&RemotePath>,
        size_columns: usize,
        by_path: bool,
    ) -> Result<(), Stop> {
        if self.ls.json {
            let folder = folder.filter(|_| self.several);
            return self.output.line(&json::entry(entry, folder).to_string());
        }
        if self.ls.long {
            let facts = row::facts(&entry.attributes, size_columns, &self.zone);
            self.output.write(format!("{facts} ").as_bytes())?;
        }
        let by_path = by_path || self.ls.nul && self.several;
        if let Some(folder) = folder.filter(|folder| by_path && !folder.is_home()) {
            self.output.foreign(&folder.to_bytes())?;
            self.output.write(b"/")?;
        }
        self.output.foreign(entry.name.as_bytes())?;
        self.output.write(if self.ls.nul { b"\0" } else { b"\n" })
    }
}

fn may_be_no_folder(failure: &Failure) -> bool {
    matches!(
        failure.situation,
        Situation::NotAFolder(_) | Situation::IsALink(_) | Situation::NotAFile(_)
    )
}
