//! Many small files down in one request, published together.
//!
//! Invariant: a member is published only if it is whole, was asked for, and has the root that the
//! server read; a name that comes from the server is only ever one of the request's numbers (S1, S7).
//! An answer holds no more memory than the files that were asked for (S12).

use bytes::Bytes;
use sampan_protocol::message::{PackFile, ReadPack};
use sampan_protocol::pack::{Arrived, ReadPackReader};
use sampan_protocol::{ErrorCode, RemotePath, Root};

use super::file::{condition, make_folders, staged_file, staging_name};
use crate::failure::{Failure, Side, Situation};
use crate::local::{Group, StagingName, Whole};
use crate::remote::{CallError, Session, persist, refused};
use crate::state::TransferKeys;
use crate::transfer::decide::Replace;
use crate::transfer::event::{Outcome, Phase};
use crate::transfer::item::{Ends, FilePlan, LocalPlace, Settled};
use crate::transfer::job::{Context, Control, blocking};

/// Pages of the answer that may wait: what one request of 8 MiB comes to.
const PAGES: usize = 16;

/// What became of a pack.
#[derive(Debug, Default)]
pub(in crate::transfer) struct PackReport {
    /// Files that are done with, for better or worse.
    pub(in crate::transfer) settled: Vec<(FilePlan, Settled)>,
    /// Files that are others by now; to be looked at again.
    pub(in crate::transfer) changed: Vec<FilePlan>,
}

/// Carries a pack down. All its files go below one root.
pub(in crate::transfer) async fn download_pack(
    context: &Context,
    control: &Control,
    lane: usize,
    plans: Vec<FilePlan>,
    flush: bool,
) -> PackReport {
    control.gauge.begin(0);
    control.gate().await;
    control.gauge.phase(Phase::Running);
    let bytes: u64 = plans.iter().map(|plan| plan.source.size).sum();
    let blocks = usize::try_from(bytes >> 20).unwrap_or(usize::MAX).saturating_add(1);
    let _memory = context.memory.reserve(blocks).await;
    context.pace.take(bytes).await;

    let files = plans.iter().map(|plan| {
        let (from, _) = ends(plan);
        PackFile { path: from.clone(), version: plan.source.version.clone() }
    });
    let request = ReadPack { files: files.collect() };
    let sizes: Vec<u64> = plans.iter().map(|plan| plan.source.size).collect();
    let fetch = |session: Session| fetch(session, &request, &sizes, control);
    let fetched = persist(context.remote.retry_for(), || context.session(lane), fetch).await;
    let mut report = PackReport::default();
    let contents = match fetched {
        Ok(contents) => contents,
        Err(error) => {
            for plan in plans {
                let situation = error.clone().about("").situation;
                report.settled.push(failed(context, plan, situation));
            }
            return report;
        }
    };
    control.gauge.phase(Phase::Committing);
    let mut arrived = Vec::new();
    for (plan, content) in plans.into_iter().zip(contents) {
        match content {
            Content::Missing => {
                let text = "the server did not send it".to_owned();
                report.settled.push(failed(context, plan, Situation::Unexpected(text)));
            }
            Content::Refused(ErrorCode::VERSION_CHANGED, _) | Content::OtherSize => {
                report.changed.push(plan);
            }
            Content::Refused(_, situation) => report.settled.push(failed(context, plan, situation)),
            Content::File { bytes, root } => {
                let (from, to) = ends(&plan);
                let staging = staging_name(context, from, to);
                arrived.push(Staged { plan, bytes, root, staging });
            }
        }
    }
    let keys = context.keys.clone();
    let published = blocking(move || Ok(publish(arrived, flush, &keys))).await;
    for (plan, root, result) in published.unwrap_or_default() {
        let outcome = match result {
            Ok(()) => {
                control.gauge.add_acknowledged(plan.source.size);
                Outcome::Done { moved: plan.source.size, root: Some(root) }
            }
            Err(failure) => Outcome::Failed(failure),
        };
        let settled = settled(&plan, outcome);
        report.settled.push((plan, settled));
    }
    report
}

fn ends(plan: &FilePlan) -> (&RemotePath, &LocalPlace) {
    match &plan.ends {
        Ends::Down { from, to, .. } => (from, to),
        Ends::Up { .. } => unreachable!("the engine gives downloads to this job"),
    }
}

fn settled(plan: &FilePlan, outcome: Outcome) -> Settled {
    let source = Some(plan.source.clone());
    Settled { from: plan.ends.from(), to: plan.ends.to(), source, outcome }
}

fn failed(context: &Context, plan: FilePlan, situation: Situation) -> (FilePlan, Settled) {
    let failure = Failure::new(situation, context.remote.show(ends(&plan).0));
    let settled = settled(&plan, Outcome::Failed(failure));
    (plan, settled)
}

/// What came of one member.
#[derive(Clone)]
enum Content {
    Missing,
    Refused(ErrorCode, Situation),
    /// It is another file by now.
    OtherSize,
    File {
        bytes: Bytes,
        root: Root,
    },
}

async fn fetch(
    session: Session,
    request: &ReadPack,
    sizes: &[u64],
    control: &Control,
) -> Result<Vec<Content>, CallError> {
    let mut answers = session.stream(request, PAGES).await?;
    let mut reader = ReadPackReader::new(sizes.len(), sizes.iter().sum());
    let mut contents = vec![Content::Missing; sizes.len()];
    while let Some((page, body)) = answers.next().await? {
        control.gauge.add_moved(body.len() as u64);
        let taken = reader.take(page, body);
        for (index, arrived) in taken.map_err(|error| CallError::Malformed(error.to_string()))? {
            contents[index] = content(arrived, sizes[index]);
        }
    }
    Ok(contents)
}

/// Nothing is kept of a file that is not the one that was planned.
fn content(arrived: Arrived, planned: u64) -> Content {
    match arrived {
        Err(refusal) => Content::Refused(refusal.code, refused(&refusal)),
        Ok((bytes, _)) if bytes.len() as u64 != planned => Content::OtherSize,
        Ok((bytes, root)) => Content::File { bytes, root },
    }
}

struct Staged {
    plan: FilePlan,
    bytes: Bytes,
    root: Root,
    staging: StagingName,
}

/// Writes, flushes and names all that arrived; answers for each.
fn publish(
    arrived: Vec<Staged>,
    flush: bool,
    keys: &TransferKeys,
) -> Vec<(FilePlan, Root, Result<(), Failure>)> {
    let Some(first) = arrived.first() else { return Vec::new() };
    let staged = arrived.iter().map(|file| staged_file(ends(&file.plan).1, &file.staging));
    let staged: Vec<_> = staged.collect();
    keys.stage(&staged);
    let mut group = Group::new(&ends(&first.plan).1.root, flush);
    let mut results = Vec::with_capacity(arrived.len());
    let mut taken_in = Vec::new();
    for Staged { plan, bytes, root, staging } in arrived {
        let put = put(&mut group, &plan, &bytes, root, &staging);
        if put.is_ok() {
            taken_in.push(results.len());
        }
        results.push((plan, root, put));
    }
    // For a moment these names may lead to a user's own files: nobody who comes after a crash may take
    // those for what was staged.
    let is_over = |place: &&usize| matches!(results[**place].0.replace, Replace::This(_));
    keys.gone(taken_in.iter().filter(is_over).map(|place| &staged[*place].staging));
    // What was not taken in stays named: of that an earlier run may have left something.
    let (mut stay, mut gone) = (Vec::new(), Vec::new());
    for (place, published) in taken_in.into_iter().zip(group.publish_each()) {
        let is_staged = published.as_ref().is_err_and(|why| why.is_staged);
        if is_staged { &mut stay } else { &mut gone }.push(staged[place].clone());
        results[place].2 = published.map_err(|why| why.failure);
    }
    keys.gone(gone.iter().map(|file| &file.staging));
    keys.stage(&stay);
    results
}

fn put(
    group: &mut Group,
    plan: &FilePlan,
    bytes: &Bytes,
    root: Root,
    staging: &StagingName,
) -> Result<(), Failure> {
    let (_, to) = ends(plan);
    if blake3::hash(bytes).as_bytes() != root.as_bytes() {
        return Err(Failure::new(Situation::NotVerified, crate::place::shown(&to.path())));
    }
    let Ends::Down { victim, .. } = &plan.ends else {
        unreachable!("the engine gives downloads to this job");
    };
    let whole = Whole {
        at: &to.at,
        staging,
        content: bytes,
        mode: plan.source.mode,
        mtime: plan.source.mtime,
        condition: condition(&plan.replace, *victim),
    };
    match group.put(&whole) {
        // Its folder went away since it was planned.
        Err(failure) if failure.situation == Situation::NotFound(Side::Local) => {
            make_folders(to, to.at.parent())?;
            group.put(&whole)
        }
        put => put,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_kept_of_a_file_of_another_size() {
        let arrived = |size: usize| Ok((Bytes::from(vec![0; size]), Root([0; 32])));
        assert!(matches!(content(arrived(4), 4), Content::File { .. }));
        assert!(matches!(content(arrived(3), 4), Content::OtherSize));
    }
}
