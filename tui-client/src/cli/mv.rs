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
    let mut report = Report::new(Some(&account), Side::Remote).expanding(mv.globs);
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
        let (to, moved) = match to {
            // Nothing replaces itself, whatever may be replaced.
            Ok(to) if to == *from => {
                report.failure(&onto_itself(&remote, from).await);
                continue;
            }
            Ok(to) => {
                let moved = remote.rename(from, &to, None, if_target.clone()).await;
                (remote.show(&to), moved.map(drop))
            }
            Err(failure) => (String::new(), Err(failure)),
        };
        match moved {
            Ok(()) => {}
            Err(failure) if mv.overwrite && is_of_another_kind(&failure, &to) => {
                report.failure_but(&failure, Some(text::only_files_are_replaced()));
            }
            Err(failure) => report.failure(&failure),
        }
    }
    remote.close().await;
    Ok(report.code())
}

/// A name is its own new one: it exists already, if it is there.
async fn onto_itself(remote: &Remote, path: &RemotePath) -> Failure {
    let situation = match remote.stat_if_there(path).await {
        Ok(Some(_)) => Situation::Exists(Side::Remote),
        Ok(None) => Situation::NotFound(Side::Remote),
        Err(failure) => return failure,
    };
    Failure::new(situation, remote.show(path))
}

/// A folder is at the target, or is to replace a file there.
fn is_of_another_kind(failure: &Failure, target: &str) -> bool {
    let is_in_the_way = matches!(
        failure.situation,
        Situation::Exists(_) | Situation::NotAFolder(_) | Situation::IsAFolder(_)
    );
    is_in_the_way && failure.subject == target
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
