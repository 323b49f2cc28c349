//! Many small files down in one request, published together.
//!
//! Invariant: a member is published only if it is whole, was asked for, and has the root that the
//! server read; a name that comes from the server is only ever one of the request's numbers (S1, S7).
//! An answer holds no more memory than the files that were asked for (S12).

use bytes::Bytes;
use sampan_protocol::message::{Member, MemberOutcome, PackFile, ReadPack};
use sampan_protocol::{ErrorCode, RemotePath, Root};

use super::file::{condition, make_folders, staging_name};
use crate::failure::{Failure, Side, Situation};
use crate::local::{Group, StagingName, Whole};
use crate::remote::{CallError, Session, persist, refused};
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
    let fetched = persist(|| context.session(lane), fetch).await;
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
                arrived.push(Arrived { plan, bytes, root, staging });
            }
        }
    }
    let published = blocking(move || Ok(publish(arrived, flush))).await;
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
    let mut arriving = Arriving::new(sizes);
    while let Some((page, body)) = answers.next().await? {
        control.gauge.add_moved(body.len() as u64);
        arriving.take(page.members, body)?;
    }
    Ok(arriving.contents)
}

/// An answer as it comes. What is kept of a frame keeps the whole frame in memory, so the frames are
/// bounded, and not only what is kept of them.
struct Arriving<'a> {
    sizes: &'a [u64],
    contents: Vec<Content>,
    /// Bytes that may still come.
    room: u64,
    /// Frames that may still come: each brings a member, but for one that ends the answer.
    frames: usize,
}

impl<'a> Arriving<'a> {
    fn new(sizes: &'a [u64]) -> Self {
        let contents = vec![Content::Missing; sizes.len()];
        Self { sizes, contents, room: sizes.iter().sum(), frames: sizes.len() + 1 }
    }

    fn take(&mut self, members: Vec<Member>, mut body: Bytes) -> Result<(), CallError> {
        let malformed = |text: &str| CallError::Malformed(text.to_owned());
        let room = self.room.checked_sub(body.len() as u64);
        self.room = room.ok_or_else(|| malformed("a pack is longer than its files"))?;
        let frames = self.frames.checked_sub(1);
        self.frames = frames.ok_or_else(|| malformed("a pack has more parts than files"))?;
        for Member { index, outcome } in members {
            let at = usize::try_from(index).unwrap_or(usize::MAX);
            let (Some(place), Some(planned)) = (self.contents.get_mut(at), self.sizes.get(at))
            else {
                return Err(malformed("a pack holds a member that was not asked for"));
            };
            *place = match outcome {
                MemberOutcome::Refused(refusal) => {
                    Content::Refused(refusal.code, refused(&refusal))
                }
                MemberOutcome::File { size, root } => {
                    let length = usize::try_from(size).ok().filter(|size| *size <= body.len());
                    let text = "a pack's members are longer than its body";
                    let bytes = body.split_to(length.ok_or_else(|| malformed(text))?);
                    if size == *planned {
                        Content::File { bytes, root }
                    } else {
                        Content::OtherSize
                    }
                }
            };
        }
        Ok(())
    }
}

struct Arrived {
    plan: FilePlan,
    bytes: Bytes,
    root: Root,
    staging: StagingName,
}

/// Writes, flushes and names all that arrived; answers for each.
fn publish(arrived: Vec<Arrived>, flush: bool) -> Vec<(FilePlan, Root, Result<(), Failure>)> {
    let Some(first) = arrived.first() else { return Vec::new() };
    let mut group = Group::new(&ends(&first.plan).1.root, flush);
    let mut results = Vec::with_capacity(arrived.len());
    let mut taken_in = Vec::new();
    for Arrived { plan, bytes, root, staging } in arrived {
        let put = put(&mut group, &plan, &bytes, root, &staging);
        if put.is_ok() {
            taken_in.push(results.len());
        }
        results.push((plan, root, put));
    }
    for (place, published) in taken_in.into_iter().zip(group.publish()) {
        results[place].2 = published;
    }
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

    fn member(index: u64, size: u64) -> Member {
        let index = index.try_into().unwrap();
        Member { index, outcome: MemberOutcome::File { size, root: Root([0; 32]) } }
    }

    #[test]
    fn s12_an_answer_cannot_hold_more_than_was_asked_for() {
        let body = |length: usize| Bytes::from(vec![0; length]);
        let sizes = [4, 6];
        let mut honest = Arriving::new(&sizes);
        honest.take(vec![member(0, 4)], body(4)).unwrap();
        honest.take(vec![member(1, 6)], body(6)).unwrap();
        honest.take(Vec::new(), body(0)).unwrap();
        assert!(honest.contents.iter().all(|content| matches!(content, Content::File { .. })));

        let mut long = Arriving::new(&sizes);
        long.take(vec![member(0, 4)], body(4)).unwrap();
        assert!(long.take(vec![member(1, 6)], body(7)).is_err(), "more bytes than the files have");
        let mut endless = Arriving::new(&sizes);
        for _ in 0..3 {
            endless.take(Vec::new(), body(0)).unwrap();
        }
        assert!(endless.take(Vec::new(), body(0)).is_err(), "more frames than members");

        let mut other = Arriving::new(&sizes);
        other.take(vec![member(0, 3)], body(3)).unwrap();
        assert!(matches!(other.contents[0], Content::OtherSize), "nothing of it is kept");
        assert!(other.take(vec![member(2, 1)], body(1)).is_err(), "it was not asked for");
    }
}
