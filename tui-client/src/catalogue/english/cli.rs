//! What the commands say, apart from failures.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io;
use std::os::unix::ffi::OsStrExt;

use sampan_protocol::message::{QuotaAnswer, Unfinished};
use sampan_protocol::{ByteSize, Escaped, UploadId};

use crate::address::{Account, Server};

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

/// Operands lack a place.
pub fn no_place() -> String {
    "a place is missing; write USER@HOST:PATH or sampan://USER@HOST[:PORT]/PATH".to_owned()
}

/// Places of two accounts in one command.
pub fn two_accounts(first: &Account, other: &Account) -> String {
    format!("all places of one command must be one account's; here are {first} and {other}")
}

/// A local operand that cannot be a file's name.
pub fn no_local_name(written: &str) -> String {
    format!("`{written}` is no local file or folder")
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
    format!("the key of {account} is refused; `sampan login {account}` enrols it again")
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
    match names {
        1 => "one name could not be read by the server".to_owned(),
        _ => format!("{names} names could not be read by the server"),
    }
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
    format!("a key of this machine is enrolled for {account}; `sampan logout {account}` revokes it")
}

/// `logout` is done.
pub fn logged_out(account: &Account) -> String {
    format!("the key for {account} is revoked and removed")
}

/// `logout` without a key.
pub fn no_key(account: &Account) -> String {
    format!("there is no key of this machine for {account}; `sampan login {account}` enrols one")
}

/// `forget` is done.
pub fn forgotten(server: &Server, file: &impl Display) -> String {
    format!("{server} is forgotten, in {file}")
}

/// `forget` of what is not stored.
pub fn not_stored(server: &Server, file: &impl Display) -> String {
    format!("{server}: no such server in {file}")
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
