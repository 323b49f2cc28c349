//! Whether something fits on the server, as a failure that says by how much it does not.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use sampan_protocol::RemotePath;
use sampan_protocol::limits::MAX_PACK_MEMBER_BYTES;
use sampan_protocol::message::Unfinished;

use super::job::Context;
use crate::failure::{Failure, Side, Situation};
use crate::remote::{CallError, Session, persist_on};

/// What is missing for so many bytes and entries, for what `subject` shows.
pub(super) async fn missing(
    context: &Context,
    bytes: u64,
    entries: u64,
    subject: &str,
) -> Result<Option<Failure>, Failure> {
    let answer = context.remote.fits(bytes, entries).await?;
    let situation = match (answer.missing_bytes, answer.missing_entries) {
        (0, 0) => return Ok(None),
        (0, missing) => {
            Situation::TooManyFiles { needed: entries, available: entries.saturating_sub(missing) }
        }
        _ if answer.disk_full => Situation::DiskFull(Side::Remote),
        (missing, _) => {
            Situation::OverQuota { needed: bytes, available: bytes.saturating_sub(missing) }
        }
    };
    Ok(Some(Failure::new(situation, subject)))
}

/// What a plan that is not carried out would need.
#[derive(Debug, Default)]
pub(super) struct Need(Mutex<Sum>);

#[derive(Clone, Debug, Default)]
struct Sum {
    bytes: u64,
    entries: u64,
    /// Where files go that may have an unfinished upload, which holds room already.
    large: HashSet<RemotePath>,
}

impl Need {
    /// A file of so many bytes; `credit` is what it replaces.
    pub(super) fn file(&self, to: &RemotePath, bytes: u64, credit: Option<u64>) {
        let mut sum = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sum.bytes = sum.bytes.saturating_add(bytes.saturating_sub(credit.unwrap_or_default()));
        sum.entries += u64::from(credit.is_none());
        if bytes > MAX_PACK_MEMBER_BYTES {
            sum.large.insert(to.clone());
        }
    }

    /// A folder.
    pub(super) fn folder(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entries += 1;
    }

    /// What of it is missing. What an interrupted run reserved for the same targets is there.
    pub(super) async fn missing(
        &self,
        context: &Context,
        subject: &str,
    ) -> Result<Option<Failure>, Failure> {
        let Sum { bytes, entries, large } =
            self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if bytes == 0 && entries == 0 {
            return Ok(None);
        }
        let Some(first) = missing(context, bytes, entries, subject).await? else { return Ok(None) };
        let list = async |session: Session| {
            let mut held = (0_u64, 0_u64);
            let take = |upload: Unfinished| {
                if large.contains(&upload.path) {
                    held = (held.0.saturating_add(upload.reserved), held.1 + 1);
                }
            };
            session.unfinished(take).await?;
            Ok::<_, CallError>(held)
        };
        let held = persist_on(&context.remote.control(), list).await;
        match held.map_err(|error| error.about(subject))? {
            (0, 0) => Ok(Some(first)),
            (held, uploads) => {
                let bytes = bytes.saturating_sub(held);
                missing(context, bytes, entries.saturating_sub(uploads), subject).await
            }
        }
    }
}
