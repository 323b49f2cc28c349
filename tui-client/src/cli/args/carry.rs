//! The words of `put` and `get`.

use std::ffi::OsString;

use clap::{Args, ValueEnum};
use sampan_protocol::ByteSize;
use sampan_protocol::size::SizeError;

use super::LinkOptions;
use crate::catalogue::cli::no_rate;
use crate::transfer::{Links, OnConflict};

/// `put`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Put {
    /// Files and folders here, DIR/. for what is in it; then where to, a trailing / means a folder
    // One list: clap takes no option between the words of two.
    #[arg(required = true, value_name = "LOCAL… PLACE", num_args = 1..)]
    pub(in crate::cli) operands: Vec<OsString>,
    /// What to do with links: skip each by name, follow to what they point to, or fail
    #[arg(long, value_name = "WHAT", value_enum, default_value_t = LinksChoice::Skip)]
    pub(in crate::cli) links: LinksChoice,
    /// How to carry.
    #[command(flatten)]
    pub(in crate::cli) transfer: TransferOptions,
    /// How to connect.
    #[command(flatten)]
    pub(in crate::cli) link: LinkOptions,
}

/// `get`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Get {
    /// Files and folders on the server, then where to here; one place alone comes into `.`
    #[arg(required = true, value_name = "PLACE… [LOCAL]", num_args = 1..)]
    pub(in crate::cli) operands: Vec<OsString>,
    /// Expand * ? and [] to the names on the server
    #[arg(short)]
    pub(in crate::cli) globs: bool,
    /// Do not wait until the files are safe on this machine's disk
    #[arg(long)]
    pub(in crate::cli) no_flush: bool,
    /// How to carry.
    #[command(flatten)]
    pub(in crate::cli) transfer: TransferOptions,
    /// How to connect.
    #[command(flatten)]
    pub(in crate::cli) link: LinkOptions,
}

/// What `put` and `get` share.
#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct TransferOptions {
    /// What to do with a target that exists and differs [default: ask on a terminal, else fail]
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(in crate::cli) on_conflict: Option<ConflictChoice>,
    /// At most so many bytes a second, such as 500k or 2MiB
    #[arg(long, value_name = "RATE", value_parser = parse_rate)]
    pub(in crate::cli) limit: Option<u64>,
    /// Connections for bulk data
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub(in crate::cli) connections: Option<u16>,
    /// Compare contents instead of size and time
    #[arg(long)]
    pub(in crate::cli) checksum: bool,
    /// Only say what would be carried, and with `put` whether it fits
    #[arg(long)]
    pub(in crate::cli) dry_run: bool,
    /// No bars, and say only what failed
    #[arg(long)]
    pub(in crate::cli) quiet: bool,
    /// One JSON object an event
    #[arg(long)]
    pub(in crate::cli) json: bool,
}

/// `--on-conflict`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ConflictChoice {
    /// Ask on the terminal
    Ask,
    /// Replace it
    Overwrite,
    /// Leave it
    Skip,
    /// Replace it if it is older
    Newer,
    /// Keep both, the new one as `NAME (2).EXT`; `.tar.gz` and the like are one EXT
    Rename,
    /// Count it as failed
    Fail,
}

impl From<ConflictChoice> for OnConflict {
    fn from(choice: ConflictChoice) -> Self {
        match choice {
            ConflictChoice::Ask => Self::Ask,
            ConflictChoice::Overwrite => Self::Overwrite,
            ConflictChoice::Skip => Self::Skip,
            ConflictChoice::Newer => Self::Newer,
            ConflictChoice::Rename => Self::Rename,
            ConflictChoice::Fail => Self::Fail,
        }
    }
}

/// `--links`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum LinksChoice {
    /// Name and count them
    Skip,
    /// Carry what they point to
    Follow,
    /// Count them as failed
    Fail,
}

impl From<LinksChoice> for Links {
    fn from(choice: LinksChoice) -> Self {
        match choice {
            LinksChoice::Skip => Self::Skip,
            LinksChoice::Follow => Self::Follow,
            LinksChoice::Fail => Self::Fail,
        }
    }
}

fn parse_rate(written: &str) -> Result<u64, String> {
    match written.parse::<ByteSize>() {
        Ok(ByteSize(0)) => Err("at no bytes a second nothing would ever arrive".to_owned()),
        Ok(ByteSize(bytes)) => Ok(bytes),
        Err(SizeError::Malformed(written)) => Err(no_rate(&written)),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_sizes() {
        assert_eq!(parse_rate("2MiB"), Ok(2 << 20));
        assert_eq!(parse_rate("500k"), Ok(500_000));
        // A rate has no word for none: leave the option out.
        assert!(parse_rate("none").unwrap_err().contains("`none`"));
        let advice = parse_rate("abc").unwrap_err();
        assert!(["`abc`", "k M G T", "Ki Mi Gi Ti"].iter().all(|word| advice.contains(word)));
    }
}
