//! Batches on their way into the journal, which waits for the disk and is therefore written beside
//! the loop.
//!
//! Invariant: records are written in the order in which they came, one at a time; nothing of a batch
//! is planned, and so shown or moved, before its own is written.

use tokio::task::JoinError;

use super::Director;
use crate::failure::Failure;
use crate::state::Journal;
use crate::transfer::command::{Batch, BatchId};
use crate::transfer::plan::PlanId;
use crate::transfer::saved;

/// What is to be written down.
pub(super) enum Record {
    /// The plan begins once it is.
    Begun(PlanId, Batch),
    Finished(BatchId),
}

/// What was written, or tried.
pub(super) struct Written {
    journal: Journal,
    record: Record,
}

impl Director {
    pub(super) fn write_down(&mut self, record: Record) {
        self.to_write.push_back(record);
        self.write_next();
    }

    fn write_next(&mut self) {
        if self.to_write.is_empty() {
            return;
        }
        let Some(journal) = self.journal.take() else { return };
        if let Some(record) = self.to_write.pop_front() {
            self.writing.spawn_blocking(move || write(journal, record));
        }
    }

    pub(super) fn written(&mut self, ended: Result<Written, JoinError>) {
        let Written { journal, record } = match ended {
            Ok(written) => written,
            // Never aborted, so it can only have panicked.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.journal = Some(journal);
        if let Record::Begun(plan, batch) = record {
            self.begin(plan, batch);
        }
        self.write_next();
    }

    /// Writes what still waits; gives the journal back.
    pub(super) async fn write_rest(&mut self) -> Journal {
        self.write_next();
        while let Some(ended) = self.writing.join_next().await {
            match ended {
                Ok(written) => self.journal = Some(written.journal),
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
            self.write_next();
        }
        self.journal.take().expect("a journal comes back from each record that is written to it")
    }
}

fn write(mut journal: Journal, record: Record) -> Written {
    let result: Result<(), Failure> = match &record {
        Record::Begun(plan, batch) => match saved::write(batch) {
            Some(bytes) => journal.begin(plan.batch.0, &bytes),
            None => Ok(()),
        },
        Record::Finished(id) => journal.finish(id.0),
    };
    // A batch that cannot be written down is carried all the same, and only a crash would forget
    // it; one that stays in the journal is looked at once more by the next run.
    if let Err(failure) = result {
        tracing::warn!(?failure, "the journal of transfers lacks a record");
    }
    Written { journal, record }
}
