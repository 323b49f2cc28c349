//! `sampand user …`

use std::process::ExitCode;

use clap::Subcommand;
use sampan_protocol::ByteSize;
use serde::Serialize;

use super::admin::Admin;
use super::exit::CliError;
use super::output::{
    count_or_none, files_and_folders, moment, print, print_json, print_table, size_or_none,
};
use super::scan::tell_unusual;
use super::{LimitArgument, NameArgument, password};
use crate::account::AccountName;
use crate::control::{AccountRow, AdminAnswer, AdminRequest};

#[derive(Debug, Subcommand)]
pub(super) enum UserCommand {
    /// Makes an account and its home
    #[command(after_help = "Examples:\n  sampand user add anna --quota 10GiB\n  \
                            echo secret | sampand user add bert --password-stdin")]
    Add {
        #[command(flatten)]
        name: NameArgument,
        /// Bytes it may hold, such as 500M, 10GiB or none [default: default_quota]
        #[arg(long, env = "SAMPAND_DEFAULT_QUOTA", value_name = "SIZE")]
        quota: Option<LimitArgument>,
        /// Files and folders it may hold, or none [default: default_max_files]
        #[arg(long, value_name = "N")]
        max_files: Option<LimitArgument>,
        /// Read the password from standard input, one line
        #[arg(long)]
        password_stdin: bool,
        /// Give it the home that lies there already
        #[arg(long)]
        take_home: bool,
    },
    /// Lists accounts
    #[command(after_help = "Example:\n  sampand user list --json")]
    List {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Sets a password; ends open sessions and voids keys at once
    #[command(after_help = "Example:\n  sampand user passwd anna")]
    Passwd {
        #[command(flatten)]
        name: NameArgument,
        /// Read the password from standard input, one line
        #[arg(long)]
        password_stdin: bool,
    },
    /// Closes an account; ends open sessions and voids keys at once
    #[command(after_help = "Example:\n  sampand user disable anna")]
    Disable {
        #[command(flatten)]
        name: NameArgument,
    },
    /// Opens a closed account
    #[command(after_help = "Example:\n  sampand user enable anna")]
    Enable {
        #[command(flatten)]
        name: NameArgument,
    },
    /// Forgets an account; its home stays unless --purge
    #[command(after_help = "Example:\n  sampand user remove anna --purge")]
    Remove {
        #[command(flatten)]
        name: NameArgument,
        /// Delete its home too
        #[arg(long)]
        purge: bool,
    },
}

pub(super) async fn run(command: UserCommand, admin: &Admin<'_>) -> Result<ExitCode, CliError> {
    match command {
        UserCommand::Add { name, quota, max_files, password_stdin, take_home } => {
            let default = admin.settings.default_quota;
            let limits = [
                quota.map_or(default.bytes, |limit| limit.0),
                max_files.map_or(default.entries, |limit| limit.0),
            ];
            add(admin, name.name, limits, password_stdin, take_home).await
        }
        UserCommand::List { json } => list(admin, json).await,
        UserCommand::Passwd { name: NameArgument { name }, password_stdin } => {
            let verifier = password::new_verifier(&name, password_stdin, admin.interrupt).await?;
            let verifier = (&verifier).into();
            let request = AdminRequest::SetPassword { name: name.to_string(), verifier };
            done(admin, request, &format!("password of {name} changed\n")).await
        }
        UserCommand::Disable { name: NameArgument { name } } => {
            let request = AdminRequest::SetDisabled { name: name.to_string(), disabled: true };
            done(admin, request, &format!("{name} disabled\n")).await
        }
        UserCommand::Enable { name: NameArgument { name } } => {
            let request = AdminRequest::SetDisabled { name: name.to_string(), disabled: false };
            done(admin, request, &format!("{name} enabled\n")).await
        }
        UserCommand::Remove { name: NameArgument { name }, purge } => {
            let request = AdminRequest::RemoveUser { name: name.to_string(), purge };
            let home = if purge { "home deleted" } else { "home kept" };
            done(admin, request, &format!("{name} removed, {home}\n")).await
        }
    }
}

async fn done(
    admin: &Admin<'_>,
    request: AdminRequest,
    message: &str,
) -> Result<ExitCode, CliError> {
    match admin.perform(request).await? {
        AdminAnswer::Done => print(message).map(|()| ExitCode::SUCCESS),
        _ => Err(CliError::OtherAnswer),
    }
}

async fn add(
    admin: &Admin<'_>,
    name: AccountName,
    [bytes, entries]: [Option<u64>; 2],
    password_stdin: bool,
    take_home: bool,
) -> Result<ExitCode, CliError> {
    let verifier = password::new_verifier(&name, password_stdin, admin.interrupt).await?;
    let verifier = (&verifier).into();
    let request =
        AdminRequest::AddUser { name: name.to_string(), verifier, bytes, entries, take_home };
    let AdminAnswer::Added { bytes: found, entries: found_entries, unusual } =
        admin.perform(request).await?
    else {
        return Err(CliError::OtherAnswer);
    };
    let quota = size_or_none(bytes);
    let max_files = count_or_none(entries);
    let mut lines = vec![format!("{name} added, quota {quota}, max files {max_files}\n")];
    if take_home {
        let size = ByteSize(found);
        lines.push(format!("home taken: {}, {size}\n", files_and_folders(found_entries)));
    }
    tell_unusual(name.as_str(), &unusual);
    print(&lines.concat())?;
    Ok(ExitCode::SUCCESS)
}

/// An account as JSON.
#[derive(Serialize)]
struct JsonRow {
    name: String,
    disabled: bool,
    created: String,
    quota: Option<u64>,
    used: u64,
    in_flight: u64,
    max_files: Option<u64>,
    files: u64,
}

async fn list(admin: &Admin<'_>, json: bool) -> Result<ExitCode, CliError> {
    let AdminAnswer::Users(users) = admin.perform(AdminRequest::ListUsers).await? else {
        return Err(CliError::OtherAnswer);
    };
    if json {
        print_json(users.into_iter().map(json_row))?;
    } else {
        let heading = ["NAME", "STATE", "USED", "QUOTA", "FILES", "CREATED"];
        let mut rows = vec![heading.map(ToOwned::to_owned)];
        rows.extend(users.into_iter().map(table_row));
        print_table(&rows)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn json_row(row: AccountRow) -> JsonRow {
    let AccountRow { name, disabled, created, quota } = row;
    JsonRow {
        name,
        disabled,
        created: moment(created),
        quota: quota.limit,
        used: quota.used,
        in_flight: quota.reserved,
        max_files: quota.max_files,
        files: quota.files,
    }
}

fn table_row(row: AccountRow) -> [String; 6] {
    let AccountRow { name, disabled, created, quota } = row;
    [
        name,
        if disabled { "disabled" } else { "open" }.to_owned(),
        ByteSize(quota.used).to_string(),
        size_or_none(quota.limit),
        quota.files.to_string(),
        moment(created),
    ]
}
