//! `sampan cat`: files, verified, to standard output.
//!
//! Invariant: every byte that is printed is what the server read; a file that cannot be printed to
//! its end is a failure, and what follows it is printed all the same.

use super::args::Cat;
use super::exit::Code;
use super::expand::operands;
use super::operands::Places;
use super::output::Output;
use super::report::Report;
use super::{Stop, session};
use crate::catalogue::cli as text;
use crate::failure::{Side, Situation};
use crate::remote::Remote;
use crate::transfer::Content;

/// Prints each file; one that fails does not keep the others.
pub(super) async fn run(cat: Cat) -> Result<Code, Stop> {
    let Places { account, places } = Places::read(&cat.places, cat.link.port)?;
    let remote = session::connect(&account, &cat.link).await?;
    let mut report = Report::new(Some(&account), Side::Remote).expanding(cat.globs);
    let (files, failures) = operands(&remote, places, cat.globs).await;
    report.failures(&failures);
    let mut output = Output::standard();
    for file in &files {
        match print(&remote, &file.path, &mut output).await {
            Ok(()) => {}
            Err(Stop::Failed(failure, _)) => match failure.situation {
                Situation::IsAFolder(_) => {
                    report.failure_but(&failure, Some(text::get_carries_folders()));
                }
                _ => report.failure(&failure),
            },
            Err(other) => return Err(other),
        }
    }
    remote.close().await;
    Ok(report.code())
}

async fn print(
    remote: &Remote,
    path: &sampan_protocol::RemotePath,
    output: &mut Output,
) -> Result<(), Stop> {
    let mut content = Content::open(remote, path).await?;
    while let Some(pieces) = content.next().await? {
        for piece in pieces {
            output.write(&piece)?;
        }
        // Whoever reads it may wait for just this.
        output.flush()?;
    }
    Ok(())
}
