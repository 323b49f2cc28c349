//! Many small files up, with one answer.
//!
//! Members go to the store as their frames arrive; nothing of a pack is gathered here.

use std::time::Instant;

use bytes::Bytes;
use sampan_protocol::message::{Pack, PackAnswer, PackMember, PackMemberKind, PackResult};
use sampan_protocol::pack::PackReader;
use tokio::sync::mpsc;

use super::{Outcome, refusal_in_row, target_of};
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
    let mut reader = PackReader::default();
    let mut part = first;
    loop {
        for (member, bytes) in reader.take(part.args, part.body)? {
            if items.send(item(member, bytes)).await.is_err() {
                // The store has an answer already: a repeated change, or a refusal of the whole.
                return Ok(reader.bytes());
            }
        }
        if part.is_last {
            return Ok(reader.bytes());
        }
        part = parts.next().await?;
    }
}

fn item(PackMember { path, mode, kind }: PackMember, bytes: Bytes) -> PackItem {
    let content = match kind {
        PackMemberKind::Folder {} => PackContent::Folder,
        PackMemberKind::File { mtime, root, if_target, .. } => {
            PackContent::File { bytes, mtime, root, if_target: target_of(if_target) }
        }
    };
    PackItem::Member { path, mode, content }
}
