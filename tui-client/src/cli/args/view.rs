//! The words of the commands that only look.

use std::ffi::OsString;

use clap::Args;
use clap_complete::Shell;

use super::LinkOptions;

/// `ls`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Ls {
    /// Also mode, size and time
    #[arg(short)]
    pub(in crate::cli) long: bool,
    /// Also names that begin with a dot
    #[arg(short)]
    pub(in crate::cli) all: bool,
    /// As it arrives, not sorted: the usual way where the output is no terminal
    #[arg(short = 'U')]
    pub(in crate::cli) unsorted: bool,
    /// End names with NUL
    #[arg(short = '0', conflicts_with = "json")]
    pub(in crate::cli) nul: bool,
    /// One JSON object a line
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// Expand * ? and [] to the names on the server
    #[arg(short)]
    pub(in crate::cli) globs: bool,
    /// Folders or files
    #[arg(required = true, value_name = "PLACE")]
    pub(in crate::cli) places: Vec<OsString>,
    /// How to connect.
    #[command(flatten)]
    pub(in crate::cli) link: LinkOptions,
}

/// `cat`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Cat {
    /// Expand * ? and [] to the names on the server
    #[arg(short)]
    pub(in crate::cli) globs: bool,
    /// Files
    #[arg(required = true, value_name = "PLACE")]
    pub(in crate::cli) places: Vec<OsString>,
    /// How to connect.
    #[command(flatten)]
    pub(in crate::cli) link: LinkOptions,
}

/// `du`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Du {
    /// Only one line for each place
    #[arg(short)]
    pub(in crate::cli) summarize: bool,
    /// Bytes, not rounded
    #[arg(short)]
    pub(in crate::cli) bytes: bool,
    /// Expand * ? and [] to the names on the server
    #[arg(short)]
    pub(in crate::cli) globs: bool,
    /// One JSON object a line
    #[arg(long, conflicts_with = "bytes")]
    pub(in crate::cli) json: bool,
    /// Folders or files
    #[arg(value_name = "PLACE")]
    pub(in crate::cli) places: Vec<OsString>,
    /// How to connect.
    #[command(flatten)]
    pub(in crate::cli) link: LinkOptions,
}

/// `df`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Df {
    /// One JSON object
    #[arg(long)]
    pub(in crate::cli) json: bool,
    /// Whose quota
    #[arg(value_name = "PLACE")]
    pub(in crate::cli) place: OsString,
    /// How to connect.
    #[command(flatten)]
    pub(in crate::cli) link: LinkOptions,
}

/// `sum`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Sum {
    /// Expand * ? and [] to the names on the server
    #[arg(short)]
    pub(in crate::cli) globs: bool,
    /// Files
    #[arg(required = true, value_name = "PLACE")]
    pub(in crate::cli) places: Vec<OsString>,
    /// How to connect.
    #[command(flatten)]
    pub(in crate::cli) link: LinkOptions,
}

/// `completions`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Completions {
    /// Which shell
    #[arg(value_name = "SHELL", value_enum)]
    pub(in crate::cli) shell: Shell,
}

/// `man`.
#[derive(Args, Debug)]
pub(in crate::cli) struct Man {
    /// The page of this command instead of the program's
    #[arg(value_name = "COMMAND")]
    pub(in crate::cli) command: Option<String>,
}
