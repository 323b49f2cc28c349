//! Many small files up, with one answer.
//!
//! Members go to the store as their frames arrive; nothing of a pack is gathered here.

use std::time::Instant;

use bytes::Bytes;
use sampan_protocol::limits::{MAX_PACK_BYTES, MAX_PACK_MEMBERS};
use sampan_protocol::message::{Pack, PackAnswer, PackMember, PackMemberKind, PackResult};
use tokio::sync::mpsc;

use super::{HandlerError, Outcome, at_most, refusal_in_row, target_of};
use crate::context::Context;
use crate::session::{Answer, Answers, Part, Parts};
use crate::store::{PackContent, PackItem, PackOutcome};

/// Members that may wait for the store.
const WAITING_MEMBERS: usize = 8;

/// Results in one frame.
const RESULTS_PER_PAGE: usize = 256;

pub(crate) async fn pack(
    context: Context,
    mut parts: Parts<Pack>,
    mut answers: Answers<Pack>,
) -> Outcome<Answer<PackAnswer>> {
    let started = Instant::now();
    let first = parts.next().await?;
    let change = first.args.change;
    let (items, staged) = mpsc::channel(WAITING_MEMBERS);
    let feeding = async move {
        let fed = feed(&items, first, &mut parts).await;
        if fed.is_err() && items.send(PackItem::Abandoned).await.is_err() {
            tracing::trace!("the store has ended the pack already");
        }
        fed
    };
    let publishing = context.store().pack(context.account(), change, staged);
    let (fed, published) = tokio::join!(feeding, publishing);
    // Why the feeding stopped comes first: the store was only told that it did.
    let bytes = fed?;
    let outcomes = published?;

    let refused = outcomes.iter().filter(|outcome| outcome.is_err()).count();
    let members = outcomes.len() - refused;
    let seconds = started.elapsed().as_secs_f64();
    tracing::info!(members, refused, bytes, seconds, "uploaded small files");

    let durability = context.shared.durability();
    let mut results = (0_u32..).zip(outcomes).map(|(index, outcome)| result(index, outcome));
    let mut page: Vec<_> = results.by_ref().take(RESULTS_PER_PAGE).collect();
    loop {
        let next: Vec<_> = results.by_ref().take(RESULTS_PER_PAGE).collect();
        if next.is_empty() {
            return Ok(PackAnswer { results: page, durability }.into());
        }
        let full = std::mem::replace(&mut page, next);
        answers.send(PackAnswer { results: full, durability }).await?;
    }
}

fn result(index: u32, outcome: PackOutcome) -> PackResult {
    match outcome {
        Ok(attributes) => PackResult { index, attributes: Some(attributes), refusal: None },
        Err(error) => PackResult { index, attributes: None, refusal: Some(refusal_in_row(error)) },
    }
}

/// Hands every member to the store; gives their bytes.
async fn feed(
    items: &mpsc::Sender<PackItem>,
    first: Part<Pack>,
    parts: &mut Parts<Pack>,
) -> Outcome<u64> {
    let change = first.args.change;
    let (mut members, mut bytes) = (0, 0);
    let mut part = first;
    loop {
        if part.args.change != change {
            return Err(HandlerError::Malformed("a pack has one change key".into()));
        }
        members += part.args.members.len() as u64;
        bytes += part.body.len() as u64;
        at_most(members, MAX_PACK_MEMBERS as u64, "members of a pack")?;
        at_most(bytes, MAX_PACK_BYTES, "bytes of a pack")?;
        for item in cut(part.args.members, part.body)? {
            if items.send(item).await.is_err() {
                // The store has an answer already: a repeated change, or a refusal of the whole.
                return Ok(bytes);
            }
        }
        if part.is_last {
            return Ok(bytes);
        }
        part = parts.next().await?;
    }
}

/// The members of one frame with their slices of its body.
fn cut(members: Vec<PackMember>, mut body: Bytes) -> Outcome<Vec<PackItem>> {
    let uneven = || HandlerError::Malformed("the sizes do not add up to the body".into());
    let mut items = Vec::with_capacity(members.len());
    for PackMember { path, mode, kind } in members {
        let content = match kind {
            PackMemberKind::Folder {} => PackContent::Folder,
            PackMemberKind::File { size, mtime, root, if_target } => {
                let size = usize::try_from(size).ok().filter(|size| *size <= body.len());
                let bytes = body.split_to(size.ok_or_else(uneven)?);
                PackContent::File { bytes, mtime, root, if_target: target_of(if_target) }
            }
        };
        items.push(PackItem::Member { path, mode, content });
    }
    if body.is_empty() { Ok(items) } else { Err(uneven()) }
}

#[cfg(test)]
mod tests {
    use sampan_protocol::message::Precondition;
    use sampan_protocol::{Mode, RemotePath, Root, Timestamp};

    use super::*;

    fn file(size: u64) -> PackMember {
        let (mtime, root) = (Timestamp::default(), Root([0; 32]));
        let kind = PackMemberKind::File { size, mtime, root, if_target: Precondition::Any };
        PackMember { path: RemotePath::parse(b"f").unwrap(), mode: Mode::FILE, kind }
    }

    fn sizes(items: Vec<PackItem>) -> Vec<usize> {
        items
            .into_iter()
            .filter_map(|item| match item {
                PackItem::Member { content: PackContent::File { bytes, .. }, .. } => {
                    Some(bytes.len())
                }
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_body_is_cut_exactly() {
        let body = Bytes::from_static(b"12345");
        assert_eq!(sizes(cut(vec![file(2), file(0), file(3)], body.clone()).unwrap()), [2, 0, 3]);
        for wrong in [vec![file(2)], vec![file(6)], vec![file(5), file(1)], vec![file(u64::MAX)]] {
            assert!(matches!(cut(wrong, body.clone()), Err(HandlerError::Malformed(_))));
        }
    }
}
