//! `sampand fingerprint`

use std::process::ExitCode;

use super::exit::CliError;
use super::output::print;
use crate::config::Settings;
use crate::state::DataFolder;

/// Works beside a running server. Before the first start it makes the key, so that the line can be
/// handed out first; but not the folder, for the line of a mistyped one would be no server's.
pub(super) fn run(settings: &Settings) -> Result<ExitCode, CliError> {
    let folder = DataFolder::open_existing(&settings.data)?;
    let identity = match folder.identity()? {
        Some(identity) => identity,
        None => folder.identity_or_new(&folder.lock()?)?,
    };
    print(&format!("{}\n", identity.fingerprint()))?;
    Ok(ExitCode::SUCCESS)
}
