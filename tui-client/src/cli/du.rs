//! `sampan du`: what folders hold, added up as the quota counts it.
//!
//! Listings are asked for ahead; a folder's line is printed once everything in it was counted, so
//! that it follows those of the folders in it. On a terminal lines are sorted, so they are collected
//! first; into a pipe they stream.
//!
//! Invariant: a sum is logical bytes of files, and one entry for each name: what `df` shows as used,
//! if nothing changes meanwhile. What could not be counted is a failure.

mod tree;

use std::cmp::Ordering;

use sampan_protocol::{ByteSize, EntryKind, RemotePath};

use self::tree::{Sum, Tree};
use super::args::Du;
use super::exit::Code;
use super::expand::{Operand, operands};
use super::operands::Places;
use super::output::Output;
use super::report::Report;
use super::{Stop, json, session};
use crate::catalogue::cli as text;
use crate::failure::{Failure, Side, Situation};
use crate::remote::Remote;

/// Adds up each place; one that fails does not keep the others.
pub(super) async fn run(du: Du) -> Result<Code, Stop> {
    if du.places.is_empty() {
        return Err(Stop::Usage(text::no_place()));
    }
    let Places { account, places } = Places::read(&du.places, du.link.port)?;
    let remote = session::connect(&account, &du.link).await?;
    let mut report = Report::new(Some(&account), Side::Remote).expanding(du.globs);
    let (places, failures) = operands(&remote, places, du.globs).await;
    report.failures(&failures);
    let output = Output::standard();
    let collected = (output.is_terminal() && !du.summarize).then(Vec::new);
    let mut printer = Printer { du: &du, output, collected };
    for place in &places {
        match add_up(&remote, place, &mut printer, &mut report).await {
            Ok(()) => {}
            Err(Stop::Failed(failure, _)) => report.failure(&failure),
            Err(other) => return Err(other),
        }
    }
    remote.close().await;
    Ok(report.code())
}

async fn add_up(
    remote: &Remote,
    operand: &Operand,
    printer: &mut Printer<'_>,
    report: &mut Report,
) -> Result<(), Stop> {
    let Operand { place, path, attributes } = operand;
    let attributes = match attributes {
        Some(attributes) => attributes.clone(),
        None => remote.stat(path).await?,
    };
    if attributes.kind != EntryKind::Folder {
        if place.is_folder() {
            let situation = Situation::NotAFolder(Side::Remote);
            return Err(Failure::new(situation, remote.show(path)).into());
        }
        printer.line(path, Sum::of(&attributes))?;
        return printer.end();
    }
    let mut tree = Tree::new(remote.clone(), path.clone());
    while let Some((folder, sum)) = tree.next(|failure| report.failure(&failure)).await {
        // The home itself is no entry of it.
        if !printer.du.summarize || folder == *path {
            printer.line(&folder, sum)?;
        }
    }
    printer.end()
}

struct Printer<'a> {
    du: &'a Du,
    output: Output,
    /// Lines that are sorted before they are printed, if they are.
    collected: Option<Vec<(RemotePath, Sum)>>,
}

impl Printer<'_> {
    fn line(&mut self, path: &RemotePath, sum: Sum) -> Result<(), Stop> {
        match &mut self.collected {
            Some(lines) => lines.push((path.clone(), sum)),
            None => self.print(path, sum)?,
        }
        Ok(())
    }

    /// A place is done with.
    fn end(&mut self) -> Result<(), Stop> {
        let mut lines = self.collected.as_mut().map(std::mem::take).unwrap_or_default();
        lines.sort_unstable_by(|(one, _), (other, _)| inner_first(one, other));
        for (path, sum) in lines {
            self.print(&path, sum)?;
        }
        self.output.flush()
    }

    fn print(&mut self, path: &RemotePath, sum: Sum) -> Result<(), Stop> {
        if self.du.json {
            return self.output.line(&json::sum(path, sum.bytes, sum.entries).to_string());
        }
        let bytes =
            if self.du.bytes { sum.bytes.to_string() } else { ByteSize(sum.bytes).to_string() };
        self.output.write(format!("{bytes:>10} {:>8} ", sum.entries).as_bytes())?;
        let path = if path.is_home() { b".".to_vec() } else { path.to_bytes() };
        self.output.foreign(&path)?;
        self.output.write(b"\n")
    }
}

/// By name, but a folder after what is in it.
fn inner_first(one: &RemotePath, other: &RemotePath) -> Ordering {
    // Name by name, for in a path as one row of bytes the separator is a byte like others.
    match one.row().zip(other.row()).find(|(one, other)| one != other) {
        Some((one, other)) => one.cmp(other),
        None => other.depth().cmp(&one.depth()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_comes_after_what_is_in_it() {
        let path = |written: &str| RemotePath::parse(written.as_bytes()).unwrap();
        let mut paths = ["", "b", "a", "a/c/d", "a b", "a/b", "a/c"].map(path);
        paths.sort_unstable_by(inner_first);
        assert_eq!(paths, ["a/b", "a/c/d", "a/c", "a", "a b", "b", ""].map(path));
    }
}
