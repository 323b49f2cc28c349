//! Log lines: on standard error, one for each login, change and transfer.
//!
//! Every name that came from outside is shown through the protocol's escaper by whoever logs it; a
//! refusal or failure is logged where it is answered and nowhere else.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sampan_protocol::{RemotePath, UploadId, Version};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;
use crate::store::AccountId;

/// What is logged when `SAMPAND_LOG` does not say otherwise.
const DEFAULT_FILTER: &str = "warn,sampan_server=info";

/// Sends log lines to standard error. Only a program does this; the library never.
pub(crate) fn start(format: LogFormat) {
    let said = std::env::var("SAMPAND_LOG").ok().filter(|said| !said.is_empty());
    let filter = said.and_then(|said| EnvFilter::try_new(said).ok());
    let filter = filter.unwrap_or_else(|| EnvFilter::new(DEFAULT_FILTER));
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_target(false)
        .with_ansi(false);
    match format {
        LogFormat::Text => lines.init(),
        LogFormat::Json => lines.json().init(),
    }
}

/// Uploads of which a line is due when they end. Only for those lines: one that is forgotten, for a
/// restart or for [`MAX_OPEN_UPLOADS`], is logged without path and time.
#[derive(Debug, Default)]
pub(crate) struct OpenUploads {
    rows: Mutex<Rows>,
}

/// Uploads that are remembered, of all accounts.
const MAX_OPEN_UPLOADS: usize = 4096;

#[derive(Debug, Default)]
struct Rows {
    begun: HashMap<(AccountId, UploadId), Begun>,
    order: VecDeque<(AccountId, UploadId)>,
}

/// Where an upload goes and since when.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    /// Its target.
    pub(crate) path: RemotePath,
    /// When this process opened it first.
    pub(crate) at: Instant,
}

impl OpenUploads {
    /// An upload was opened, or opened again.
    pub(crate) fn begin(&self, account: AccountId, upload: UploadId, begun: Begun) {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (account, upload);
        if rows.begun.contains_key(&key) {
            return;
        }
        rows.begun.insert(key, begun);
        rows.order.push_back(key);
        // Ended uploads stay in the order until they come up: hence the second bound.
        while rows.begun.len() > MAX_OPEN_UPLOADS || rows.order.len() > 2 * MAX_OPEN_UPLOADS {
            let Some(oldest) = rows.order.pop_front() else { break };
            rows.begun.remove(&oldest);
        }
    }

    /// An upload ended.
    pub(crate) fn end(&self, account: AccountId, upload: UploadId) -> Option<Begun> {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        rows.begun.remove(&(account, upload))
    }
}

/// Files that are being read, so that a file is one line however many requests fetch it. The line is
/// due at the beginning, for nobody tells the server which request is the last.
#[derive(Debug, Default)]
pub(crate) struct OpenReads {
    rows: Mutex<HashMap<(AccountId, RemotePath, Version), Instant>>,
}

/// Files that are remembered, of all accounts; beyond, a file may have more than one line.
const MAX_OPEN_READS: usize = 4096;
/// What was not asked for during this is a transfer of its own when it is asked for again.
const READ_GAP: Duration = Duration::from_mins(10);

impl OpenReads {
    /// Blocks from `first` on are asked for; says whether a transfer begins with that: at a file's
    /// beginning, or where nobody has read for long.
    pub(crate) fn begins(
        &self,
        account: AccountId,
        path: &RemotePath,
        version: &Version,
        first: u64,
        now: Instant,
    ) -> bool {
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        if rows.len() >= MAX_OPEN_READS {
            rows.retain(|_, last| now.saturating_duration_since(*last) < READ_GAP);
            if rows.len() >= MAX_OPEN_READS {
                rows.clear();
            }
        }
        let before = rows.insert((account, path.clone(), version.clone()), now);
        let is_new = before.is_none_or(|last| now.saturating_duration_since(last) >= READ_GAP);
        first == 0 || is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_read_in_many_requests_has_one_line() {
        let (reads, start) = (OpenReads::default(), Instant::now());
        let (anna, home) = (AccountId(1), RemotePath::home());
        let begins = |version: &[u8], first, now| {
            reads.begins(anna, &home, &Version::new(version).unwrap(), first, now)
        };
        assert!(begins(b"1", 0, start));
        assert!(!begins(b"1", 8, start) && !begins(b"1", 16, start));
        assert!(begins(b"1", 0, start), "read again from its beginning");
        assert!(begins(b"2", 8, start), "a resumed one");
        assert!(!begins(b"2", 16, start + READ_GAP / 2));
        assert!(begins(b"2", 24, start + 2 * READ_GAP));
        for number in 0..2 * MAX_OPEN_READS as u64 {
            begins(&number.to_le_bytes(), 8, start);
        }
        assert!(reads.rows.lock().unwrap().len() <= MAX_OPEN_READS);
    }

    #[test]
    fn uploads_are_remembered_within_bounds() {
        let uploads = OpenUploads::default();
        let begun = || Begun { path: RemotePath::home(), at: Instant::now() };
        let account = AccountId(1);
        let last = 3 * MAX_OPEN_UPLOADS as u64;
        (0..=last).for_each(|number| uploads.begin(account, UploadId(number), begun()));
        assert!(uploads.end(account, UploadId(0)).is_none());
        assert!(uploads.end(account, UploadId(last)).is_some());
        assert!(uploads.end(account, UploadId(last)).is_none());
        let rows = uploads.rows.lock().unwrap();
        assert!(rows.begun.len() <= MAX_OPEN_UPLOADS && rows.order.len() <= 2 * MAX_OPEN_UPLOADS);
    }
}
