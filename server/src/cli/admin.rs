//! Getting an administrator's request carried out: by the server that runs, or here.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::exit::CliError;
use crate::config::Settings;
use crate::control::{AdminAnswer, AdminRequest, Administration, call};
use crate::server::open_claimed;
use crate::state::{DataFolder, StateError};
use crate::store::ScanProgress;

/// A folder that is claimed while nobody answers belongs to a server that starts or stops, or to
/// another command. It gets the time that a stop may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Between two looks at a claimed folder.
const PAUSE: Duration = Duration::from_millis(50);

/// How often is said how far a count is.
const COUNTING_EVERY: Duration = Duration::from_secs(1);

/// Carries the request out; a refusal is an error.
pub(super) async fn perform(
    settings: &Settings,
    request: AdminRequest,
) -> Result<AdminAnswer, CliError> {
    perform_watched(settings, request, &mut |_, _| {}, std::future::pending()).await
}

/// The same for a request that may take long: `counting` hears how far a count is, entries and
/// round, and `stop` ends it.
pub(super) async fn perform_watched(
    settings: &Settings,
    request: AdminRequest,
    counting: &mut (dyn FnMut(u64, u64) + Send),
    stop: impl Future<Output = ()>,
) -> Result<AdminAnswer, CliError> {
    tokio::pin!(stop);
    // Only who makes an account may be the first: what others ask about is somewhere else.
    let folder = match request {
        AdminRequest::AddUser { .. } => DataFolder::open(&settings.data)?,
        _ => DataFolder::open_existing(&settings.data)?,
    };
    let give_up = Instant::now() + PATIENCE;
    let answer = loop {
        if let Some(server) = folder.call_admin_socket().await? {
            break tokio::select! {
                answer = call(server, &request, counting) => answer?,
                () = &mut stop => return Err(CliError::Interrupted),
            };
        }
        match folder.lock() {
            Ok(lock) => {
                let open = open_claimed(folder, lock, settings).await?;
                let administration =
                    Administration::direct(open.store.clone(), open.accounts.clone());
                let answer = tokio::select! {
                    answer = watch(&administration, request, counting) => Ok(answer),
                    () = &mut stop => Err(CliError::Interrupted),
                };
                open.store.close().await;
                break answer?;
            }
            Err(StateError::Locked { .. }) if Instant::now() < give_up => sleep(PAUSE).await,
            Err(error) => return Err(error.into()),
        }
    };
    match answer {
        AdminAnswer::Refused(refusal) => Err(refusal.into()),
        answer => Ok(answer),
    }
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
