//! Log lines: on standard error, one for each login, change and transfer.
//!
//! Every name that came from outside is shown through the protocol's escaper by whoever logs it; a
//! refusal or failure is logged where it is answered and nowhere else.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use sampan_protocol::{RemotePath, UploadId};
use tracing_subscriber::EnvFilter;

use crate::config::LogFormat;
use crate::store::AccountId;

/// What is logged when `SAMPAND_LOG` does not say otherwise.
const DEFAULT_FILTER: &str = "warn,sampan_server=info";

/// Sends log lines to standard error. Only a program does this; the library never.
pub(crate) fn start(format: LogFormat) {
    let filter =
        EnvFilter::try_from_env("SAMPAND_LOG").unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
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

#[cfg(test)]
mod tests {
    use super::*;

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
