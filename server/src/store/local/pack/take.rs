//! A pack from its first member to its answer.
//!
//! Members are staged a few in each job, as they come, so that nothing of a pack waits in memory.
//!
//! Invariant: a pack that was abandoned publishes nothing.

use std::sync::Arc;

use sampan_protocol::ChangeKey;
use tokio::sync::mpsc;

use super::{PackDigest, StagedPack};
use crate::store::local::Inner;
use crate::store::local::change::Member;
use crate::store::local::db::answers;
use crate::store::local::home::Home;
use crate::store::local::step::Step;
use crate::store::{AccountId, PackContent, PackItem, Result, Situation, StoreError};

/// Members of a pack, or bytes, that are staged in one job.
const STAGED_A_JOB: usize = 256;
const STAGED_BYTES_A_JOB: usize = 1 << 20;

impl Inner {
    /// Whether a change was carried out before.
    pub(in crate::store::local) async fn is_answered(
        self: &Arc<Self>,
        account: AccountId,
        change: ChangeKey,
    ) -> Result<bool> {
        let inner = self.clone();
        self.job(move || inner.db.read(|connection| answers::exists(connection, account, &change)))
            .await
    }

    /// A pack that was carried out before: its members are only compared.
    pub(in crate::store::local) async fn answer_pack(
        self: &Arc<Self>,
        account: AccountId,
        change: ChangeKey,
        mut items: mpsc::Receiver<PackItem>,
    ) -> Result<Vec<Member>> {
        let mut digest = PackDigest::default();
        while let Some(item) = items.recv().await {
            match item {
                PackItem::Member { path, mode, content } => digest.take(&path, mode, &content),
                PackItem::Abandoned => return Err(abandoned()),
            }
        }
        let (inner, request) = (self.clone(), digest.finish(account, change));
        let answer = self.job(move || inner.answer_of(&request)).await?;
        answer.ok_or(Situation::ChangeKeyReused)?.pack()
    }

    /// Stages a pack as it arrives, and publishes it.
    pub(in crate::store::local) async fn take_pack(
        self: &Arc<Self>,
        home: Arc<Home>,
        change: ChangeKey,
        mut items: mpsc::Receiver<PackItem>,
    ) -> Result<Vec<Member>> {
        let inner = self.clone();
        let account = home.account;
        let mut pack = self.job(move || StagedPack::new(inner, account)).await?;
        let mut ended = false;
        while !ended {
            let mut some = Vec::new();
            let mut bytes = 0;
            loop {
                // The first is waited for, others are taken along.
                let item = if some.is_empty() {
                    items.recv().await
                } else {
                    match items.try_recv() {
                        Ok(item) => Some(item),
                        Err(mpsc::error::TryRecvError::Empty) => break,
                        Err(mpsc::error::TryRecvError::Disconnected) => None,
                    }
                };
                match item {
                    None => {
                        ended = true;
                        break;
                    }
                    Some(PackItem::Abandoned) => return Err(abandoned()),
                    Some(item) => {
                        bytes += bytes_of(&item);
                        some.push(item);
                    }
                }
                if some.len() >= STAGED_A_JOB || bytes >= STAGED_BYTES_A_JOB {
                    break;
                }
            }
            pack = self
                .job(move || {
                    pack.stage(some)?;
                    Ok(pack)
                })
                .await?;
        }
        let inner = self.clone();
        let pack = self
            .job(move || {
                pack.flush()?;
                inner.step(Step::PackFlushed)?;
                Ok(pack)
            })
            .await?;
        let (_, turn) = self.turn(home.account).await?;
        let inner = self.clone();
        self.job(move || {
            let request = pack.digest.finish(home.account, change);
            let published = inner.publish_pack(&home, &request, &pack);
            drop(pack);
            drop(turn);
            published
        })
        .await
    }
}

fn abandoned() -> StoreError {
    Situation::Incomplete { missing: 0 }.into()
}

fn bytes_of(item: &PackItem) -> usize {
    match item {
        PackItem::Member { content: PackContent::File { bytes, .. }, .. } => bytes.len(),
        _ => 0,
    }
}
