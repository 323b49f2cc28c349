//! Asking for room before a batch begins.
//!
//! What an earlier run of the same journal has reserved already is not asked for twice.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sampan_protocol::UploadKey;
use sampan_protocol::message::Unfinished;

use super::Director;
use super::jobs::{JobEnd, Work};
use crate::failure::Failure;
use crate::place::Location;
use crate::remote::{CallError, Session, persist_on};
use crate::transfer::command::BatchId;
use crate::transfer::item::Ends;
use crate::transfer::job::Context;
use crate::transfer::room::missing;

impl Director {
    /// Asks the server, in a job, whether the held work of a batch fits.
    pub(super) fn ask_for_room(&mut self, id: BatchId) {
        let Some(batch) = self.batches.get(&id) else { return };
        let (bytes, entries) = batch.room();
        let keys: Vec<UploadKey> = batch
            .held
            .iter()
            .filter_map(|(_, work)| match work {
                Work::File(plan) => match &plan.ends {
                    Ends::Up { from, to } => {
                        Some(self.context.keys.upload_key(&from.to_bytes(), &to.to_bytes()))
                    }
                    Ends::Down { .. } => None,
                },
                Work::Pack(_) => None,
            })
            .collect();
        let target = match &batch.target {
            Location::Remote(path) => self.context.remote.show(path),
            Location::Local(path) => crate::place::shown(path).to_string(),
        };
        let context = Arc::clone(&self.context);
        self.jobs.spawn(async move {
            let needed = Needed { bytes, entries, keys, target };
            JobEnd::Room { batch: id, answer: needed.ask(&context).await }
        });
    }
}

struct Needed {
    bytes: u64,
    entries: u64,
    keys: Vec<UploadKey>,
    target: String,
}

impl Needed {
    async fn ask(&self, context: &Context) -> Result<(), Failure> {
        let Some(first) = self.missing(context, 0, 0).await? else { return Ok(()) };
        let (bytes, entries) = self.reserved(context).await?;
        if bytes == 0 && entries == 0 {
            return Err(first);
        }
        self.missing(context, bytes, entries).await?.map_or(Ok(()), Err)
    }

    /// What is missing, if so much is reserved already.
    async fn missing(
        &self,
        context: &Context,
        bytes: u64,
        entries: u64,
    ) -> Result<Option<Failure>, Failure> {
        let bytes = self.bytes.saturating_sub(bytes);
        let entries = self.entries.saturating_sub(entries);
        missing(context, bytes, entries, &self.target).await
    }

    /// What our own unfinished uploads hold.
    async fn reserved(&self, context: &Context) -> Result<(u64, u64), Failure> {
        let ours: HashSet<UploadKey> = self.keys.iter().copied().collect();
        let list = async |session: Session| {
            let mut held = HashMap::new();
            let take = |upload: Unfinished| {
                if ours.contains(&upload.key) {
                    held.insert(upload.key, upload.reserved);
                }
            };
            session.unfinished(take).await?;
            Ok::<_, CallError>(held)
        };
        let held = persist_on(&context.remote.control(), list).await;
        let held = held.map_err(|error| error.about(&self.target))?;
        let sum =
            |(bytes, entries): (u64, u64), reserved| (bytes.saturating_add(reserved), entries + 1);
        Ok(held.into_values().fold((0, 0), sum))
    }
}
