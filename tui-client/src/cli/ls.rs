//! `sampan ls`: a folder's entries, or one entry.
//!
//! On a terminal a listing is sorted, so it is collected first; into a pipe it streams, and memory
//! stays flat however long it is.
//!
//! Invariant: a name is escaped on a terminal and only there.

use jiff::tz::TimeZone;
use sampan_protocol::{Entry, EntryKind, Name, RemotePath};

use super::args::Ls;
use super::exit::Code;
use super::expand::{Operand, operands};
use super::operands::Places;
use super::output::Output;
use super::report::Report;
use super::{Stop, json, row, session};
use crate::catalogue::cli as text;
use crate::failure::{Failure, Side, Situation};
use crate::remote::{ListStep, Remote};

/// Lists each place.
pub(super) async fn run(ls: Ls) -> Result<Code, Stop> {
    let Places { account, places } = Places::read(&ls.places, ls.link.port)?;
    let remote = session::connect(&account, &ls.link).await?;
    let mut report = Report::new(Some(&account), Side::Remote);
    let (places, failures) = operands(&remote, places, ls.globs).await;
    report.failures(&failures);
    let mut printer = Printer::new(&ls, places.len() > 1);
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

struct Printer<'a> {
    ls: &'a Ls,
    output: Output,
    zone: TimeZone,
    sorts: bool,
    /// More than one place was asked about.
    several: bool,
    /// A folder was listed already.
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
        // What a pattern found is known already.
        let found = attributes.clone().filter(|found| found.kind != EntryKind::Folder);
        let attributes = match found {
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
        self.entry(&entry, path.parent().as_ref(), row::SIZE_COLUMNS)
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
                        self.entry(entry, Some(path), row::SIZE_COLUMNS)?;
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
            self.entry(entry, Some(path), columns)?;
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

    fn entry(
        &mut self,
        entry: &Entry,
        folder: Option<&RemotePath>,
        size_columns: usize,
    ) -> Result<(), Stop> {
        if self.ls.json {
            let folder = folder.filter(|_| self.several);
            return self.output.line(&json::entry(entry, folder).to_string());
        }
        if self.ls.long {
            let facts = row::facts(&entry.attributes, size_columns, &self.zone);
            self.output.write(format!("{facts} ").as_bytes())?;
        }
        if !self.ls.nul {
            self.output.foreign(entry.name.as_bytes())?;
            return self.output.write(b"\n");
        }
        if let Some(folder) = folder.filter(|folder| self.several && !folder.is_home()) {
            self.output.foreign(&folder.to_bytes())?;
            self.output.write(b"/")?;
        }
        self.output.foreign(entry.name.as_bytes())?;
        self.output.write(b"\0")
    }
}

fn may_be_no_folder(failure: &Failure) -> bool {
    matches!(
        failure.situation,
        Situation::NotAFolder(_) | Situation::IsALink(_) | Situation::NotAFile(_)
    )
}
