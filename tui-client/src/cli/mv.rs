//! `sampan mv`: moves and renames inside a home.

use sampan_protocol::message::Precondition;
use sampan_protocol::{EntryKind, RemotePath};

use super::args::Mv;
use super::exit::Code;
use super::expand::operands;
use super::operands::Places;
use super::report::Report;
use super::{Stop, session};
use crate::address::Place;
use crate::catalogue::cli as text;
use crate::failure::{Failure, Side, Situation};
use crate::remote::Remote;

/// Moves each source; one that fails does not keep the others.
pub(super) async fn run(mv: Mv) -> Result<Code, Stop> {
    let Places { account, mut places } = Places::read(&mv.operands, mv.link.port)?;
    let Some((target, to)) = places.pop().filter(|_| !places.is_empty()) else {
        return Err(Stop::Usage(text::no_target()));
    };
    if let Some((_, home)) = places.iter().find(|(_, path)| path.is_home()) {
        let failure = Failure::new(Situation::HomeItself, account.show(home));
        return Err(Stop::failed(failure, &account));
    }
    let remote = session::connect(&account, &mv.link).await?;
    let mut report = Report::new(Some(&account), Side::Remote);
    let if_target = if mv.overwrite { Precondition::Any } else { Precondition::Absent };
    let (sources, failures) = operands(&remote, places, mv.globs).await;
    report.failures(&failures);
    if sources.is_empty() {
        remote.close().await;
        return Ok(report.code());
    }
    let into = is_folder(&remote, &target, &to, sources.len()).await?;
    for source in &sources {
        let from = &source.path;
        let to = match (into, from.name()) {
            (true, Some(name)) => to.join(&name).map_err(|_| {
                Failure::new(Situation::NameNotStorable(Side::Remote), remote.show(from))
            }),
            _ => Ok(to.clone()),
        };
        let moved = match to {
            Ok(to) => remote.rename(from, &to, None, if_target.clone()).await.map(drop),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = moved {
            report.failure(&failure);
        }
    }
    remote.close().await;
    Ok(report.code())
}

/// Whether the sources go into the target, rather than becoming it.
async fn is_folder(
    remote: &Remote,
    target: &Place,
    path: &RemotePath,
    sources: usize,
) -> Result<bool, Failure> {
    if path.is_home() {
        return Ok(true);
    }
    let kind = remote.stat_if_there(path).await?.map(|attributes| attributes.kind);
    let must_be = sources > 1 || target.is_folder();
    match kind {
        Some(EntryKind::Folder) => Ok(true),
        None if must_be => Err(Failure::new(Situation::NotFound(Side::Remote), remote.show(path))),
        Some(_) if must_be => {
            Err(Failure::new(Situation::NotAFolder(Side::Remote), remote.show(path)))
        }
        _ => Ok(false),
    }
}
