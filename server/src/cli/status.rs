//! `sampand status`

use std::process::ExitCode;

use sampan_protocol::ByteSize;
use serde::Serialize;

use super::admin::Admin;
use super::exit::CliError;
use super::output::{print, print_json};
use crate::control::{AdminAnswer, AdminRequest, StatusRow};

/// How the server is, as JSON. `sessions` and `uptime_seconds` are null while none runs.
#[derive(Serialize)]
struct JsonRow {
    running: bool,
    version: String,
    accounts: u64,
    sessions: Option<u64>,
    uploads: u64,
    staged: u64,
    uptime_seconds: Option<u64>,
}

pub(super) async fn run(json: bool, admin: &Admin<'_>) -> Result<ExitCode, CliError> {
    let AdminAnswer::Status(status) = admin.perform(AdminRequest::Status).await? else {
        return Err(CliError::OtherAnswer);
    };
    let StatusRow { version, accounts, uploads, staged, sessions, uptime } = status;
    if json {
        let running = uptime.is_some();
        let uptime_seconds = uptime;
        print_json([JsonRow {
            running,
            version,
            accounts,
            sessions,
            uploads,
            staged,
            uptime_seconds,
        }])?;
    } else {
        let running = match (uptime, sessions) {
            (Some(seconds), Some(sessions)) => {
                format!("up for         {}\nopen sessions  {sessions}\n", duration(seconds))
            }
            _ => "no server runs on this folder\n".to_owned(),
        };
        print(&format!(
            "version        {version}\n{running}accounts       {accounts}\n\
             uploads        {uploads} unfinished, {} staged\n",
            ByteSize(staged)
        ))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// `3 d 4 h`, `4 h 5 min`, `5 min 6 s`, `6 s`.
fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} d {} h", hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let cases = [(59, "59 s"), (61, "1 min 1 s"), (7260, "2 h 1 min"), (90_000, "1 d 1 h")];
        for (seconds, shown) in cases {
            assert_eq!(duration(seconds), shown);
        }
    }
}
