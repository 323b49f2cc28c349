//! `sampand quota …`

use std::process::ExitCode;

use clap::Subcommand;
use sampan_protocol::ByteSize;
use serde::Serialize;

use super::admin::Admin;
use super::exit::CliError;
use super::output::{count_or_none, moment, print_json, print_table, size_or_none};
use super::scan::scan;
use super::{LimitArgument, NameArgument};
use crate::account::AccountName;
use crate::control::{AdminAnswer, AdminRequest, Limit, QuotaRow};

#[derive(Debug, Subcommand)]
pub(super) enum QuotaCommand {
    /// Sets what an account may hold; a limit below what it holds deletes nothing
    #[command(after_help = "Example:\n  sampand quota set anna 20GiB --max-files 100k")]
    Set {
        #[command(flatten)]
        name: NameArgument,
        /// Bytes, such as 500M, 10GiB or none
        size: LimitArgument,
        /// Files and folders, or none [default: as it is]
        #[arg(long, value_name = "N")]
        max_files: Option<LimitArgument>,
    },
    /// Shows what accounts may hold and do hold
    #[command(after_help = "Example:\n  sampand quota show anna --json")]
    Show {
        /// Only this account
        name: Option<AccountName>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Counts homes anew, so that what was changed by hand on the server's disk counts
    #[command(after_help = "Example:\n  sampand quota scan anna")]
    Scan {
        /// Only this account
        name: Option<AccountName>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(command: QuotaCommand, admin: &Admin<'_>) -> Result<ExitCode, CliError> {
    let (request, json) = match command {
        QuotaCommand::Set { name: NameArgument { name }, size, max_files } => {
            let entries = max_files.map_or(Limit::Keep, |limit| Limit::Set(limit.0));
            let name = name.to_string();
            (AdminRequest::SetQuota { name, bytes: size.0, entries }, false)
        }
        QuotaCommand::Show { name, json } => {
            (AdminRequest::ShowQuota { name: name.map(|name| name.to_string()) }, json)
        }
        QuotaCommand::Scan { name, json } => return scan(name, json, admin).await,
    };
    let AdminAnswer::Quotas(quotas) = admin.perform(request).await? else {
        return Err(CliError::OtherAnswer);
    };
    if json {
        print_json(quotas.into_iter().map(json_row))?;
    } else {
        let heading =
            ["NAME", "QUOTA", "USED", "IN FLIGHT", "AVAILABLE", "FILES", "MAX FILES", "AS OF"];
        let mut rows = vec![heading.map(ToOwned::to_owned)];
        rows.extend(quotas.into_iter().map(table_row));
        print_table(&rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Limits and use as JSON.
#[derive(Serialize)]
struct JsonRow {
    name: String,
    quota: Option<u64>,
    used: u64,
    in_flight: u64,
    available: Option<u64>,
    max_files: Option<u64>,
    files: u64,
    as_of: Option<String>,
}

/// What the quota leaves; the disk may leave less.
fn available(row: &QuotaRow) -> Option<u64> {
    row.limit.map(|limit| limit.saturating_sub(row.used.saturating_add(row.reserved)))
}

fn json_row(row: QuotaRow) -> JsonRow {
    let available = available(&row);
    let QuotaRow { name, limit, used, reserved, max_files, files, as_of, .. } = row;
    let as_of = as_of.map(moment);
    JsonRow { name, quota: limit, used, in_flight: reserved, available, max_files, files, as_of }
}

fn table_row(row: QuotaRow) -> [String; 8] {
    let available = available(&row);
    let QuotaRow { name, limit, used, reserved, max_files, files, as_of, .. } = row;
    [
        name,
        size_or_none(limit),
        ByteSize(used).to_string(),
        ByteSize(reserved).to_string(),
        available.map_or_else(|| "-".to_owned(), |bytes| ByteSize(bytes).to_string()),
        files.to_string(),
        count_or_none(max_files),
        as_of.map_or_else(|| "-".to_owned(), moment),
    ]
}
