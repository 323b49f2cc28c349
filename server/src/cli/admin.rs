//! Getting an administrator's request carried out: by the server that runs, or here.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{Instant, sleep};

use super::exit::CliError;
use super::signals::Interrupt;
use crate::config::Settings;
use crate::control::{AdminAnswer, AdminRequest, Administration, call};
use crate::server::open_claimed;
use crate::state::{DataFolder, DataLock, StateError};
use crate::store::ScanProgress;

/// A folder that is claimed while nobody answers belongs to a server that starts or stops, or to
/// another command. It gets the time that a stop may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Between two looks at a claimed folder.
const PAUSE: Duration = Duration::from_millis(50);

/// How often is said how far a count is.
const COUNTING_EVERY: Duration = Duration::from_secs(1);

/// An administrator at work: on which data, and until which signal.
pub(super) struct Admin<'a> {
    pub(super) settings: &'a Settings,
    pub(super) interrupt: &'a Interrupt,
}

impl Admin<'_> {
    /// Carries the request out; a refusal is an error. A signal ends the waiting: what the server has
    /// begun it may finish.
    pub(super) async fn perform(&self, request: AdminRequest) -> Result<AdminAnswer, CliError> {
        self.perform_watched(request, &mut |_, _| {}).await
    }

    /// The same for a request that may take long: `counting` hears how far a count is, entries and
    /// round.
    pub(super) async fn perform_watched(
        &self,
        request: AdminRequest,
        counting: &mut (dyn FnMut(u64, u64) + Send),
    ) -> Result<AdminAnswer, CliError> {
        let settings = self.settings;
        // Only who makes an account may be the first: what others ask about is somewhere else.
        let folder = match request {
            AdminRequest::AddUser { .. } => DataFolder::open(&settings.data)?,
            _ => DataFolder::open_existing(&settings.data)?,
        };
        let answer = match self.server_or_lock(&folder).await? {
            Claim::Served(server) => {
                self.unless_stopped(call(server, &request, counting)).await??
            }
            Claim::Locked(lock) => {
                let open = open_claimed(folder, lock, settings).await?;
                let administration =
                    Administration::direct(open.store.clone(), open.accounts.clone());
                let answer = self.unless_stopped(watch(&administration, request, counting)).await;
                open.store.close().await;
                answer?
            }
        };
        match answer {
            AdminAnswer::Refused(refusal) => Err(refusal.into()),
            answer => Ok(answer),
        }
    }

    /// Whoever serves the folder, or else the folder itself.
    async fn server_or_lock(&self, folder: &DataFolder) -> Result<Claim, CliError> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            if let Some(server) = folder.call_admin_socket().await? {
                return Ok(Claim::Served(server));
            }
            match folder.lock() {
                Ok(lock) => return Ok(Claim::Locked(lock)),
                Err(StateError::Locked { .. }) if Instant::now() < give_up => {
                    self.unless_stopped(sleep(PAUSE)).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, CliError> {
        tokio::select! {
            done = work => Ok(done),
            () = self.interrupt.heard() => Err(CliError::Interrupted),
        }
    }
}

/// Who carries a request out.
enum Claim {
    /// The server that runs.
    Served(UnixStream),
    /// This process.
    Locked(DataLock),
}

/// Carries the request out here, and says how far it is.
async fn watch(
    administration: &Administration,
    request: AdminRequest,
    counting: &mut (dyn FnMut(u64, u64) + Send),
) -> AdminAnswer {
    let progress = Arc::new(ScanProgress::default());
    let performing = administration.perform_watched(request, Arc::clone(&progress));
    tokio::pin!(performing);
    loop {
        tokio::select! {
            answer = &mut performing => return answer,
            () = sleep(COUNTING_EVERY) => counting(progress.entries(), progress.round()),
        }
    }
}
