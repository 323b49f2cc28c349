//! `sampand quota scan`: one account after the other, and what is found said as it is found.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use sampan_protocol::ByteSize;
use serde::Serialize;

use super::admin::Admin;
use super::exit::{CliError, Failures};
use super::output::{complain, files_and_folders, moment, print, print_json};
use crate::account::AccountName;
use crate::control::{AdminAnswer, AdminRequest, ScanRow, UnusualRows};

pub(super) async fn scan(
    name: Option<AccountName>,
    json: bool,
    admin: &Admin<'_>,
) -> Result<ExitCode, CliError> {
    let names = match name {
        Some(name) => vec![name.to_string()],
        None => match admin.perform(AdminRequest::ListUsers).await? {
            AdminAnswer::Users(users) => users.into_iter().map(|user| user.name).collect(),
            _ => return Err(CliError::OtherAnswer),
        },
    };
    let mut failures = Failures::default();
    for name in names {
        let mut progress = Progress::of(&name);
        let request = AdminRequest::ScanQuota { name: name.clone() };
        let counting = &mut |entries, round| progress.show(entries, round);
        let answer = admin.perform_watched(request, counting).await;
        progress.clear();
        match answer {
            Ok(AdminAnswer::Scanned(row)) => tell(row, json)?,
            Ok(_) => return Err(CliError::OtherAnswer),
            Err(CliError::Interrupted) => return Err(CliError::Interrupted),
            // The others' turn comes all the same.
            Err(error) => failures.add(&error),
        }
    }
    Ok(failures.code())
}

/// A home that was counted, as JSON.
#[derive(Serialize)]
struct JsonRow {
    name: String,
    used: u64,
    files: u64,
    used_before: u64,
    files_before: u64,
    as_of: String,
    unusual: Vec<JsonUnusual>,
    unusual_count: u64,
}

#[derive(Serialize)]
struct JsonUnusual {
    path: String,
    what: String,
}

fn tell(row: ScanRow, json: bool) -> Result<(), CliError> {
    if json {
        let ScanRow { name, used, files, used_before, files_before, as_of, unusual } = row;
        let (as_of, unusual_count) = (moment(as_of), unusual.count);
        let unusual = unusual.named.into_iter();
        let unusual = unusual.map(|row| JsonUnusual { path: row.path, what: row.what }).collect();
        return print_json([JsonRow {
            name,
            used,
            files,
            used_before,
            files_before,
            as_of,
            unusual,
            unusual_count,
        }]);
    }
    tell_unusual(&row.name, &row.unusual);
    print(&sentence(&row))
}

fn sentence(row: &ScanRow) -> String {
    let ScanRow { name, used, files, used_before, files_before, as_of, .. } = row;
    let (size, as_of) = (ByteSize(*used), moment(*as_of));
    let counted = format!("{name}: {size} in {} as of {as_of}", files_and_folders(*files));
    if (used, files) == (used_before, files_before) {
        return format!("{counted}, as the ledger said\n");
    }
    let before = ByteSize(*used_before);
    format!("{counted}; the ledger said {before} in {files_before}, and is corrected\n")
}

/// Names what no user put into a home.
pub(super) fn tell_unusual(name: &str, unusual: &UnusualRows) {
    for row in &unusual.named {
        complain(format_args!("sampand: homes/{name}/{} {}\n", row.path, row.what));
    }
    let more = unusual.count.saturating_sub(unusual.named.len() as u64);
    if more > 0 {
        complain(format_args!("sampand: homes/{name}: and {more} more of that kind\n"));
    }
}

/// How far a count is, on a terminal.
struct Progress<'a> {
    name: &'a str,
    is_shown: bool,
}

impl<'a> Progress<'a> {
    fn of(name: &'a str) -> Self {
        Self { name, is_shown: false }
    }

    fn show(&mut self, counted: u64, round: u64) {
        if !io::stderr().is_terminal() {
            return;
        }
        self.is_shown = true;
        let again = if round > 1 { ", again, since it was changed meanwhile" } else { "" };
        write(&format!("\r\x1b[K{}: {} counted{again}", self.name, files_and_folders(counted)));
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.is_shown) {
            write("\r\x1b[K");
        }
    }
}

/// Progress that cannot be shown is no reason to stop.
fn write(text: &str) {
    let mut terminal = io::stderr().lock();
    let (Ok(()) | Err(_)) = terminal.write_all(text.as_bytes()).and_then(|()| terminal.flush());
}

#[cfg(test)]
mod tests {
    use sampan_protocol::Timestamp;

    use super::*;

    #[test]
    fn sentences() {
        let mut row = ScanRow {
            name: "anna".to_owned(),
            used: 1500,
            files: 3,
            used_before: 1500,
            files_before: 3,
            as_of: Timestamp::default(),
            unusual: UnusualRows::default(),
        };
        let counted = "anna: 1.50 kB in 3 files and folders as of 1970-01-01T00:00:00Z";
        assert_eq!(sentence(&row), format!("{counted}, as the ledger said\n"));
        let one = ScanRow { files: 1, files_before: 1, ..row.clone() };
        assert!(sentence(&one).contains("in 1 file or folder as of"));
        row.files_before = 4;
        let corrected = "; the ledger said 1.50 kB in 4, and is corrected\n";
        assert_eq!(sentence(&row), format!("{counted}{corrected}"));
    }
}
