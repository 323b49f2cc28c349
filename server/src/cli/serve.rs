//! `sampand serve`

use std::process::ExitCode;

use tokio_util::task::AbortOnDropHandle;

use super::descriptors::raise_limit;
use super::exit::{CliError, FAILED, STOPPED};
use super::notify::{READY, STOPPING, notify};
use super::output::print;
use super::signals::Signals;
use crate::config::Settings;
use crate::control::AdminSocket;
use crate::server::{OpenData, RunningServer, open_claimed, start};
use crate::state::DataFolder;
use crate::{listener, telemetry};

/// Serves until a signal. The folder is claimed before anything is bound, so that a second server
/// hears about the first one and not about its port.
pub(super) async fn serve(settings: &Settings) -> Result<ExitCode, CliError> {
    telemetry::start(settings.log);
    raise_limit(&settings.bounds);
    let mut signals = Signals::catch().map_err(CliError::Runtime)?;
    let folder = DataFolder::open(&settings.data)?;
    let lock = folder.lock()?;
    let sockets = listener::bind(&settings.listen)?;
    let open = open_claimed(folder, lock, settings).await?;
    let identity = open.identity()?;
    let OpenData { store, accounts, folder, lock } = open;
    let server = start(settings.bounds, store, accounts, &identity, sockets).await?;
    let admin = AdminSocket::bind(folder)?.serve(server.administration(), server.shutdown());
    let mut admin = AbortOnDropHandle::new(tokio::spawn(admin));

    announce(&server)?;
    // A server that cannot go on ends, so that whoever watches over it starts another.
    let mut without_admin = false;
    let has_failed = tokio::select! {
        () = signals.next() => false,
        () = server.failed() => true,
        _ = &mut admin => {
            tracing::error!("the admin socket's task ended, and the server stops");
            without_admin = true;
            true
        }
    };
    notify(STOPPING);
    tracing::info!("stopping");
    let shutdown = server.shutdown();
    shutdown.begin();
    let stopped = async {
        server.stopped().await;
        if without_admin { Ok(()) } else { admin.await }
    };
    let code = tokio::select! {
        ended = stopped => {
            if let Err(error) = ended {
                tracing::error!("the admin socket's task panicked: {error}");
            }
            tracing::info!("stopped");
            if has_failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS }
        }
        () = signals.next() => {
            tracing::warn!("stopped by a second signal, with requests running");
            ExitCode::from(STOPPED)
        }
    };
    drop(lock);
    Ok(code)
}

/// One line for each socket, in the order in which they were asked for; then systemd.
fn announce(server: &RunningServer) -> Result<(), CliError> {
    let fingerprint = server.fingerprint();
    let lines = server.addresses().iter();
    let lines = lines.map(|address| format!("listening on {address} fingerprint {fingerprint}\n"));
    print(&lines.collect::<String>())?;
    notify(READY);
    Ok(())
}
