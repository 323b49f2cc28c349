//! Getting an administrator's request carried out: by the server that runs, or here.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::exit::CliError;
use crate::config::Settings;
use crate::control::{AdminAnswer, AdminRequest, Administration, call};
use crate::server::open_claimed;
use crate::state::{DataFolder, StateError};

/// A folder that is claimed while nobody answers belongs to a server that starts or stops, or to
/// another command. It gets the time that a stop may take.
const PATIENCE: Duration = Duration::from_secs(15);

/// Between two looks at a claimed folder.
const PAUSE: Duration = Duration::from_millis(50);

/// Carries the request out; a refusal is an error.
pub(super) async fn perform(
    settings: &Settings,
    request: AdminRequest,
) -> Result<AdminAnswer, CliError> {
    // Only who makes an account may be the first: what others ask about is somewhere else.
    let folder = match request {
        AdminRequest::AddUser { .. } => DataFolder::open(&settings.data)?,
        _ => DataFolder::open_existing(&settings.data)?,
    };
    let give_up = Instant::now() + PATIENCE;
    let answer = loop {
        if let Some(server) = folder.call_admin_socket().await? {
            break call(server, &request).await?;
        }
        match folder.lock() {
            Ok(lock) => {
                let open = open_claimed(folder, lock, settings).await?;
                let administration =
                    Administration::direct(open.store.clone(), open.accounts.clone());
                let answer = administration.perform(request).await;
                open.store.close().await;
                break answer;
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
