//! What the commands say, apart from failures.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Display;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::time::Instant;

use sampan_protocol::message::{QuotaAnswer, Unfinished};
use sampan_protocol::{ByteSize, Escaped, UploadId};

use super::counted::counted;
use super::engine::{path_of, what_next};
use crate::address::{Account, Server};
use crate::failure::{Side, Situation};
use crate::remote::LinkState;
use crate::transfer::{Phase, SkipReason, Summary};

/// A line on standard error.
pub fn told(message: &str) -> String {
    format!("sampan: {message}")
}

/// Standard output cannot be written.
pub fn no_output(error: &io::Error) -> String {
    format!("standard output cannot be written: {error}")
}

/// The program cannot run at all.
pub fn no_tasks(error: &io::Error) -> String {
    format!("the operating system lets no tasks or signals be set up: {error}")
}

/// `--limit` with what is no rate. It was typed by whoever reads this.
pub fn no_rate(written: &str) -> String {
    format!(
        "`{written}` is no rate; write bytes a second, with one of k M G T (of 1000) or Ki Mi Gi \
         Ti (of 1024) behind them, such as 500k or 2MiB"
    )
}

/// Operands lack a place.
pub fn no_place() -> String {
    "a place is missing; write USER@HOST:PATH or sampan://USER@HOST[:PORT]/PATH".to_owned()
}

/// Options of a connection, and none is asked for.
pub fn no_place_for_options() -> String {
    "these options are about a server: name its place too, as in `sampan -P 7300 USER@HOST`"
        .to_owned()
}

/// Options or operands before the name of a command.
pub fn command_comes_first() -> String {
    "a command's name comes first, its options and operands behind it, as in `sampan ls -P 7300 \
     USER@HOST`; without a command there is at most one PLACE or DIR"
        .to_owned()
}

/// One operand where there must be two.
pub fn no_target() -> String {
    "the last operand is where to, and nothing stands before it; see --help".to_owned()
}

/// `get` onto what is written as a place.
pub fn get_ends_here(written: &impl Display) -> String {
    format!(
        "`{written}` is a place, and the last operand of `get` is where to on this machine: add a \
         local folder, such as `.`; a local one of this name is written `./{written}`, and `mv` \
         moves inside a home"
    )
}

/// `put` of what is written as a place.
pub fn put_begins_here(written: &impl Display) -> String {
    format!(
        "`{written}` is a place, and what `put` carries lies on this machine; a local file of this \
         name is written `./{written}`, and `mv` moves inside a home"
    )
}

/// `put` to what is no place.
pub fn put_ends_there(written: &impl Display) -> String {
    format!(
        "`{written}` is no place, and the last operand of `put` is where to on a server: \
         USER@HOST:PATH or sampan://USER@HOST[:PORT]/PATH"
    )
}

/// Places of two accounts in one command.
pub fn two_accounts(first: &Account, other: &Account) -> String {
    format!("all places of one command must be one account's; here are {first} and {other}")
}

/// A local operand that cannot be a file's name.
pub fn no_local_name(written: &impl Display) -> String {
    format!("`{written}` is no local file or folder")
}

/// A local source that has no name to go under.
pub fn no_name(written: &impl Display) -> String {
    format!("`{written}` has no name to carry it under; write `{written}/.` for what is in it")
}

/// `--on-conflict ask` without anybody to ask.
pub fn nobody_to_ask() -> String {
    "--on-conflict ask needs a terminal to ask on; choose overwrite, skip, newer, rename or fail"
        .to_owned()
}

/// Asks whether an unknown server is the right one.
pub fn unknown_server(server: &Server, fingerprint: &str) -> String {
    format!(
        "The server {server} is met for the first time. Its fingerprint is\n  {fingerprint}\n\
         `sampand fingerprint` prints it on the server. Is it the same? [yes/no] "
    )
}

/// Neither yes nor no.
pub fn yes_or_no() -> String {
    "Please type yes, no, or the fingerprint: ".to_owned()
}

/// Asks for a password.
pub fn password_of(account: &Account) -> String {
    format!("Password of {account}: ")
}

/// The key did not let in; the password is asked for next.
pub fn key_refused(account: &Account) -> String {
    format!("the key of {account} is refused; `sampan login {}` enrols it again", account.operand())
}

/// A password that is no UTF-8. `source` is a variable or a file.
pub fn password_is_no_text(source: &str) -> String {
    format!("the password in {source} is no text in UTF-8")
}

/// What a failed question is about.
pub fn the_terminal() -> &'static str {
    "the terminal"
}

/// A listing that streamed had to begin again.
pub fn listing_changed() -> String {
    "the folder changed while it was listed; list it again".to_owned()
}

/// Names in a listing that the server could not describe.
pub fn unreadable_names(names: u64) -> String {
    format!("{} could not be read by the server", counted(names, "name", "names"))
}

/// `cat` of a folder.
pub fn get_carries_folders() -> String {
    "`sampan get` carries folders".to_owned()
}

/// The link was lost for good under a command that goes on when it is repeated.
pub fn goes_on() -> String {
    "run the same command again to go on where it stopped, or wait longer with --retry-for"
        .to_owned()
}

/// With `-g` something is missing that was no pattern: only a bracket may have looked like one.
pub fn no_pattern(subject: &str) -> Option<String> {
    let advice = "a [ that no ] closes stands for itself; close it, or write [[] for one";
    path_of(subject).contains('[').then(|| advice.to_owned())
}

/// With `-g` something is missing that was no pattern and does not look like one.
pub fn check_spelling() -> Option<String> {
    what_next(&Situation::NotFound(Side::Remote), "", "")
}

/// `mv --overwrite` with a folder on either side.
pub fn only_files_are_replaced() -> String {
    "--overwrite replaces a file with a file, and no folder; move or remove what is there first"
        .to_owned()
}

/// `man` of what is no command.
pub fn no_such_command(name: &str) -> String {
    let name = Escaped(name.as_bytes());
    format!("there is no command `{name}`; `sampan --help` lists them")
}

/// `mkdir` on a folder that is there.
pub fn parents_take_it() -> String {
    "with -p a folder that is there is no error".to_owned()
}

/// `mkdir` below a folder that is not there.
pub fn parents_make_them() -> String {
    "with -p missing parents are made too".to_owned()
}

/// `df`'s lines.
pub fn quota(quota: &QuotaAnswer) -> Vec<String> {
    let bytes = |bytes: u64| match bytes {
        0..1000 => ByteSize(bytes).to_string(),
        _ => format!("{} ({bytes} bytes)", ByteSize(bytes)),
    };
    let limit = quota.limit.map_or_else(|| "none".to_owned(), bytes);
    let files = match quota.max_entries {
        Some(most) => format!("{} of {most}", quota.entries),
        None => quota.entries.to_string(),
    };
    let files = match quota.reserved_entries {
        0 => files,
        more => format!("{files}, and {more} in flight"),
    };
    vec![
        format!("quota      {limit}"),
        format!("used       {}", bytes(quota.used)),
        format!("in flight  {}", bytes(quota.reserved)),
        format!("available  {}", bytes(quota.available)),
        format!("files      {files}"),
    ]
}

/// One of the unfinished uploads.
pub fn unfinished(upload: &Unfinished) -> String {
    let Unfinished { upload: id, path, size, staged, reserved, .. } = upload;
    let (size, staged, reserved) = (ByteSize(*size), ByteSize(*staged), ByteSize(*reserved));
    format!("{id:>6}  {staged} of {size} across, {reserved} held  {path}")
}

/// `df` of a folder.
pub fn quota_of_the_account(written: &str) -> String {
    format!(
        "{written}: the quota is the whole account's, and is shown; `sampan du` adds up a folder"
    )
}

/// An unfinished upload as the subject of a failure.
pub fn upload(id: UploadId) -> String {
    format!("upload {id}")
}

/// `uploads` with ids and without `--abort`, or the other way round.
pub fn ids_go_with_abort() -> String {
    "--abort needs the ids of uploads before the place, and ids need --abort".to_owned()
}

/// What should be an upload's id.
pub fn no_upload_id(written: &OsStr) -> String {
    format!("`{}` is no id of an upload; they are numbers", Escaped(written.as_bytes()))
}

/// `login` is done.
pub fn logged_in(account: &Account) -> String {
    format!(
        "a key of this machine is enrolled for {account}; `sampan logout {}` revokes it",
        account.operand()
    )
}

/// `logout` is done.
pub fn logged_out(account: &Account) -> String {
    format!("the key for {account} is revoked and removed")
}

/// `logout` without a key.
pub fn no_key(account: &Account) -> String {
    format!(
        "there is no key of this machine for {account}; `sampan login {}` enrols one",
        account.operand()
    )
}

/// `forget` is done.
pub fn forgotten(server: &Server, file: &impl Display) -> String {
    format!("{server} is forgotten, in {file}")
}

/// `forget` of what is not stored.
pub fn not_stored(server: &Server, file: &impl Display) -> String {
    format!("{server}: nothing is stored for it in {file}; check host and port")
}

/// The name of the bar for the whole.
pub fn whole(files: u64) -> String {
    match files {
        0 => "all".to_owned(),
        1 => "all (1 done)".to_owned(),
        _ => format!("all ({files} done)"),
    }
}

/// The name of the bar for a group of small files.
pub fn group(files: u64, folder: &str) -> String {
    format!("{} in {folder}", counted(files, "file", "files"))
}

/// What a transfer does.
pub fn phase(phase: Phase) -> &'static str {
    match phase {
        Phase::Waiting => "waiting",
        Phase::Running => "running",
        Phase::Verifying => "verifying",
        Phase::Committing => "publishing",
        Phase::Paused => "paused",
    }
}

/// How the link is, beside the bar for the whole; nothing while all is well.
pub fn link(link: &LinkState, now: Instant) -> String {
    match link {
        LinkState::Live { .. } => String::new(),
        LinkState::Silent { since } => {
            format!("silent for {} s", now.saturating_duration_since(*since).as_secs())
        }
        LinkState::Reconnecting { attempt, .. } => format!("reconnecting, try {attempt}"),
        LinkState::Down { .. } => "no connection".to_owned(),
    }
}

/// The link was lost, and is tried again from now on.
pub fn link_lost() -> String {
    "the link is lost; it is tried again, and the transfers wait".to_owned()
}

/// The link that was lost is there again.
pub fn link_is_back() -> String {
    "the link is back; the transfers go on".to_owned()
}

/// Why something was left out, in a word for scripts.
pub fn skip_word(reason: SkipReason) -> &'static str {
    match reason {
        SkipReason::Link => "link",
        SkipReason::NotAFile => "not-a-file",
        SkipReason::TargetExists => "target-exists",
        SkipReason::TargetNewer => "target-newer",
        SkipReason::Staging => "staging",
        SkipReason::Cancelled => "cancelled",
        SkipReason::DryRun => "dry-run",
    }
}

/// Something on one side that was left out.
pub fn left_out(from: &str, side: Side, reason: SkipReason) -> String {
    let why = match reason {
        SkipReason::Link if side == Side::Local => {
            "a symbolic link; `put --links follow` carries what it points to"
        }
        SkipReason::Link => "a symbolic link, which the server does not follow",
        SkipReason::NotAFile => "a socket, FIFO or device, which is never opened",
        SkipReason::TargetExists => "the target exists",
        SkipReason::TargetNewer => "the target is newer",
        SkipReason::Staging => "an unfinished download",
        SkipReason::Cancelled => "cancelled",
        SkipReason::DryRun => "only planned",
    };
    format!("{from}: left out: {why}")
}

/// `--dry-run`'s line.
pub fn would_carry(from: &str, to: &str) -> String {
    format!("{from} -> {to}")
}

/// The last line of a batch on a terminal.
pub fn summary(summary: &Summary) -> String {
    let Summary { done, unchanged, skipped, failed, bytes, .. } = summary;
    let mut line = format!("{done} done, {}", ByteSize(*bytes));
    for (count, what) in [(unchanged, "unchanged"), (skipped, "left out"), (failed, "failed")] {
        if *count > 0 {
            line = format!("{line}, {count} {what}");
        }
    }
    line
}

/// Size, time and place of one side of a conflict.
pub fn facts(size: u64, time: &str, location: &str) -> String {
    format!("{:>10}  {time}  {location}", ByteSize(size).to_string())
}

/// What the question about a conflict is about.
pub fn conflict(how: &str, there: &str, new: &str) -> String {
    format!("The target exists, {how}:\n  there {there}\n  new   {new}\n")
}

/// The answers to a conflict.
pub fn conflict_choices() -> String {
    "(y) overwrite, (n) skip, (w) overwrite if newer, (r) rename; a capital letter for all: "
        .to_owned()
}

/// The engine stopped without a word.
pub fn engine_ended() -> String {
    "the transfers ended before they were finished".to_owned()
}

/// SIGINT or SIGTERM while files were carried.
pub fn interrupted() -> String {
    "stopped; run the same command again to go on where it stopped".to_owned()
}

/// The screen cannot open.
pub fn no_screen(error: &impl Display) -> String {
    format!("{error}; the commands work without one, see `sampan --help`")
}

/// The screen ended by an error.
pub fn screen_failed(error: &dyn Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// A single word that nothing is called.
pub fn no_command(written: &impl Display) -> String {
    format!("`{written}` is no command, no place and no folder here; see `sampan --help`")
}

/// The demo on another system.
pub fn no_demo_here() -> String {
    "the demo needs the server, which runs on Linux only; connect to one instead".to_owned()
}

/// The demo sets up its files.
pub fn demo_begins(folder: &impl Display) -> String {
    format!("a private server and sample files are being made in {folder}")
}

/// The demo's folder was to be kept.
pub fn demo_kept(folder: &impl Display) -> String {
    format!("everything stays in {folder}; `sampand serve --data {folder}/server` serves it again")
}

/// The demo's folder could not be removed.
pub fn demo_stays(folder: &impl Display, error: &io::Error) -> String {
    format!("{folder} could not be removed: {error}; remove it by hand")
}

/// What a failure of the demo's server is about.
pub fn the_demo_server() -> &'static str {
    "the demo's server"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quota_lines() {
        let answer = QuotaAnswer {
            limit: Some(20_000_000_000),
            used: 1_500_000,
            reserved: 0,
            available: 999,
            max_entries: Some(100),
            entries: 7,
            reserved_entries: 2,
            as_of: None,
        };
        assert_eq!(
            quota(&answer),
            [
                "quota      20.0 GB (20000000000 bytes)",
                "used       1.50 MB (1500000 bytes)",
                "in flight  0 B",
                "available  999 B",
                "files      7 of 100, and 2 in flight",
            ]
        );
    }
}
