//! What a person types, as one tree; the help of each word stands beside it.
//!
//! clap answers wrong usage itself, with exit code 2. Operands are bytes, never text, for names are.
//!
//! Invariant: a flag is here only if it is carried out.

#![expect(clippy::struct_excessive_bools, reason = "flags are bools")]

mod carry;
mod time;
mod view;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use sampan_protocol::transport::Fingerprint;

pub(super) use self::carry::{Get, Put, TransferOptions};
pub(super) use self::time::Patience;
use self::time::{parse_patience, parse_timeout};
pub(super) use self::view::{Cat, Completions, Df, Du, Ls, Man, Sum};

/// Carries files between your machine and your server, from a terminal.
///
/// Without a command it opens the screen. A PLACE is USER@HOST:PATH or
/// sampan://USER@HOST[:PORT]/PATH; without a path it is the home.
#[derive(Debug, Parser)]
#[command(
    name = "sampan",
    version,
    args_conflicts_with_subcommands = true,
    override_usage = "sampan [OPTIONS]           the screen, which asks where to connect\n       \
                      sampan [OPTIONS] PLACE     the screen, connected\n       \
                      sampan [OPTIONS] DIR       the screen, with that folder on the left\n       \
                      sampan COMMAND [OPTIONS] OPERAND…",
    after_help = "Example:\n  sampan ada@files.example.org\n\nExit codes:\n  \
                  0    done\n  \
                  1    failed for several reasons, or a target exists\n  \
                  2    wrong usage\n  \
                  3    no connection\n  \
                  4    login refused, or a password needed and nobody to ask\n  \
                  5    the server is not who it was, or unknown and nobody to ask\n  \
                  6    over quota or out of space\n  \
                  7    no such file, or not allowed\n  \
                  130  stopped by a signal\n\nEnvironment:\n  \
                  SAMPAN_PASSWORD  the password, where nobody is asked for it\n  \
                  SAMPAN_HOME      one folder for settings, keys, known servers and journals, \
                  instead of the platform's"
)]
pub(super) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    /// Where the screen begins: a home on a server, or a folder here
    #[arg(value_name = "PLACE|DIR")]
    pub(super) start: Option<OsString>,
    /// How to connect.
    #[command(flatten)]
    pub(super) link: LinkOptions,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List folders and files
    #[command(after_help = "Example:\n  sampan ls -l ada@files.example.org:inbox")]
    Ls(Ls),
    /// Carry files and folders to the server
    ///
    /// A folder goes into the target under its own name; the target is made, with parents, if it is
    /// missing. Permission bits and times are kept; on the server the owner can always read and
    /// write, and set-id and sticky bits are dropped. Links, sockets, FIFOs and devices are named and
    /// left out, which is no failure.
    #[command(
        override_usage = "sampan put [OPTIONS] LOCAL… PLACE",
        after_help = "Example:\n  sampan put report.pdf photos \
                            ada@files.example.org:inbox/\n\nRepeating an interrupted command \
                            finishes it. A source that is named twice is carried once; of two \
                            with one name the second fails, but that --on-conflict rename keeps \
                            two files."
    )]
    Put(Put),
    /// Carry files and folders from the server
    ///
    /// A folder goes into the target under its own name; the target is made, with parents, if it is
    /// missing; a trailing / says that it is a folder. Until a file is whole it is called
    /// `.sampan-….part`; what an interrupted run left is taken up by the same command, and may be
    /// deleted if nobody repeats it.
    #[command(
        override_usage = "sampan get [OPTIONS] PLACE… [LOCAL]",
        after_help = "Example:\n  sampan get ada@files.example.org:inbox/photos \
                            .\n\nRepeating an interrupted command finishes it. A source that is \
                            named twice is carried once; of two with one name the second fails, \
                            but that --on-conflict rename keeps two files."
    )]
    Get(Get),
    /// Make folders
    #[command(after_help = "Example:\n  sampan mkdir -p ada@files.example.org:work/2026/autumn")]
    Mkdir(Mkdir),
    /// Remove files, links and folders; never asks
    #[command(after_help = "Example:\n  sampan rm -r ada@files.example.org:inbox/old")]
    Rm(Rm),
    /// Move or rename inside a home
    #[command(
        override_usage = "sampan mv [OPTIONS] PLACE… PLACE",
        after_help = "Example:\n  sampan mv ada@files.example.org:inbox/a.txt \
                      ada@files.example.org:work/"
    )]
    Mv(Mv),
    /// Print files, verified, to standard output
    #[command(after_help = "Example:\n  sampan cat ada@files.example.org:log.txt | tail")]
    Cat(Cat),
    /// Add up what folders hold, as the quota counts it
    ///
    /// Each line is a folder with all that is in it: bytes, the number of files and folders, itself
    /// included, and the path. Links and devices count as files of no bytes. For the home it is what
    /// `df` calls used.
    #[command(
        after_help = "Examples:\n  sampan du ada@files.example.org:inbox\n  sampan du -s -g \
                            'ada@files.example.org:*'"
    )]
    Du(Du),
    /// Show an account's quota and use
    #[command(after_help = "Example:\n  sampan df ada@files.example.org")]
    Df(Df),
    /// Print the BLAKE3 of files, as b3sum does
    #[command(after_help = "Example:\n  sampan sum ada@files.example.org:inbox/disk.img")]
    Sum(Sum),
    /// List unfinished uploads, which hold quota, or give some up
    ///
    /// A place below the home stands for the uploads to it and to what is in it.
    #[command(
        override_usage = "sampan uploads [OPTIONS] PLACE\n       sampan uploads --abort \
                          [OPTIONS] ID… PLACE",
        after_help = "Examples:\n  sampan uploads ada@files.example.org\n  sampan uploads \
                      --abort 17 ada@files.example.org"
    )]
    Uploads(Uploads),
    /// Enrol a key, so that later runs need no password
    #[command(after_help = "Example:\n  sampan login ada@files.example.org")]
    Login(Login),
    /// Revoke the key that `login` enrolled
    #[command(after_help = "Example:\n  sampan logout ada@files.example.org")]
    Logout(Login),
    /// Forget a server's stored identity
    #[command(after_help = "Examples:\n  sampan forget files.example.org:7227\n  sampan forget \
                            ada@files.example.org")]
    Forget(Forget),
    /// Print what makes a shell complete these commands
    #[command(after_help = "Example:\n  sampan completions bash \
                            > ~/.local/share/bash-completion/completions/sampan")]
    Completions(Completions),
    /// Print the manual page, in roff
    #[command(after_help = "Examples:\n  sampan man | man -l -\n  sampan man put > sampan-put.1")]
    Man(Man),
    /// Try it: a private server with sample files, and the screen on it
    #[cfg(feature = "demo")]
    #[command(after_help = "Example:\n  sampan demo --keep /tmp/sampan-demo")]
    Demo(Demo),
    /// Open the screen and fail at SIGUSR1; not in a release
    #[cfg(debug_assertions)]
    #[command(hide = true, after_help = "Example:\n  sampan fail-on-screen")]
    FailOnScreen,
}

/// How to reach a server and prove who is there.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Connection")]
pub(super) struct LinkOptions {
    /// The server's port, where the place names none [default: 7227]
    #[arg(short = 'P', long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: Option<u16>,
    /// Take the password from the first line of this file; the variable SAMPAN_PASSWORD does too
    #[arg(long, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// Trust a server that is met for the first time, without asking
    #[arg(long)]
    pub(super) accept_new: bool,
    /// Connect only to the server with this fingerprint, whatever is stored; nothing is stored
    #[arg(long, value_name = "SHA256:…")]
    pub(super) fingerprint: Option<Fingerprint>,
    /// How long the first contact may take, such as 10s
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_timeout)]
    pub(super) timeout: Duration,
    /// How long a lost connection is tried again without progress: a time, 0 or forever [default:
    /// 10m; on the screen forever]
    #[arg(long, value_name = "TIME", value_parser = parse_patience)]
    pub(super) retry_for: Option<Patience>,
}

impl LinkOptions {
    /// Whether something was said that only means something with a place.
    pub(super) fn is_about_a_server(&self) -> bool {
        let Self { port, password_file, accept_new, fingerprint, timeout: _, retry_for: _ } = self;
        port.is_some() || password_file.is_some() || *accept_new || fingerprint.is_some()
    }

    /// The same for the screen: where nothing was said, a person who looks at it decides how long to
    /// wait, by leaving.
    pub(super) fn on_screen(&self) -> Self {
        Self { retry_for: self.retry_for.or(Some(Patience::Forever)), ..self.clone() }
    }
}

/// `mkdir`.
#[derive(Args, Debug)]
pub(super) struct Mkdir {
    /// Also missing parents; a folder that is there is no error
    #[arg(short)]
    pub(super) parents: bool,
    /// New folders
    #[arg(required = true, value_name = "PLACE")]
    pub(super) places: Vec<OsString>,
    /// How to connect.
    #[command(flatten)]
    pub(super) link: LinkOptions,
}

/// `rm`.
#[derive(Args, Debug)]
pub(super) struct Rm {
    /// Folders with what is in them
    #[arg(short)]
    pub(super) recursive: bool,
    /// A missing name is no error
    #[arg(short)]
    pub(super) force: bool,
    /// Expand * ? and [] to the names on the server
    #[arg(short)]
    pub(super) globs: bool,
    /// What goes
    #[arg(required = true, value_name = "PLACE")]
    pub(super) places: Vec<OsString>,
    /// How to connect.
    #[command(flatten)]
    pub(super) link: LinkOptions,
}

/// `mv`.
#[derive(Args, Debug)]
pub(super) struct Mv {
    /// Replace a file that is at the target
    #[arg(long)]
    pub(super) overwrite: bool,
    /// Expand * ? and [] in what moves to the names on the server
    #[arg(short)]
    pub(super) globs: bool,
    /// What moves; then its new name, or the folder it goes into
    // One list: clap takes no option between the words of two.
    #[arg(required = true, value_name = "PLACE… TARGET", num_args = 1..)]
    pub(super) operands: Vec<OsString>,
    /// How to connect.
    #[command(flatten)]
    pub(super) link: LinkOptions,
}

/// `uploads`.
#[derive(Args, Debug)]
pub(super) struct Uploads {
    /// One JSON object a line
    #[arg(long, conflicts_with = "abort")]
    pub(super) json: bool,
    /// Give these up, and free the quota they hold
    #[arg(long)]
    pub(super) abort: bool,
    /// With --abort the uploads' ids, then the place
    #[arg(required = true, value_name = "[ID…] PLACE", num_args = 1..)]
    pub(super) operands: Vec<OsString>,
    /// How to connect.
    #[command(flatten)]
    pub(super) link: LinkOptions,
}

/// `login` and `logout`.
#[derive(Args, Debug)]
pub(super) struct Login {
    /// Whose key
    #[arg(value_name = "PLACE")]
    pub(super) place: OsString,
    /// How to connect.
    #[command(flatten)]
    pub(super) link: LinkOptions,
}

/// `forget`.
#[derive(Args, Debug)]
pub(super) struct Forget {
    /// Which server; a place on it will do
    #[arg(value_name = "HOST[:PORT]")]
    pub(super) server: OsString,
    /// The server's port, where HOST names none [default: 7227]
    #[arg(short = 'P', long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub(super) port: Option<u16>,
}

/// `demo`.
#[cfg(feature = "demo")]
#[derive(Args, Debug)]
pub(super) struct Demo {
    /// Keep server, settings and files in this new folder
    #[arg(long, value_name = "DIR")]
    pub(super) keep: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(words: &[&str]) -> Result<Arguments, clap::Error> {
        Arguments::try_parse_from(std::iter::once(&"sampan").chain(words))
    }

    #[test]
    fn the_tree_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        let mut root = Arguments::command();
        root.build();
        for command in std::iter::once(&root).chain(root.get_subcommands()) {
            if command.get_name() == "help" {
                continue;
            }
            let help = command.clone().render_long_help().to_string();
            let (_, example) = help.split_once("Example").unwrap_or_else(|| {
                panic!("`{}` has no example:\n{help}", command.get_name());
            });
            assert!(example.contains("sampan "), "{help}");
        }
    }

    #[test]
    fn operands_fall_into_their_places() {
        let put = parse(&["put", "a", "-P", "9", "b:c", "--quiet", "u@h:x"]).unwrap();
        let Some(Command::Put(put)) = put.command else { panic!("{put:?}") };
        assert_eq!(put.operands, ["a", "b:c", "u@h:x"]);
        assert_eq!((put.link.port, put.transfer.quiet), (Some(9), true));

        let mv = parse(&["mv", "u@h:a", "u@h:b", "--overwrite", "u@h:c"]).unwrap();
        let Some(Command::Mv(mv)) = mv.command else { panic!("{mv:?}") };
        assert_eq!((mv.operands.len(), mv.overwrite), (3, true));

        let start = parse(&["./ls"]).unwrap();
        assert_eq!((start.command.is_none(), start.start), (true, Some("./ls".into())));
        assert!(parse(&[]).unwrap().start.is_none());
        let start = parse(&["-P", "99", "u@h"]).unwrap();
        assert_eq!((start.link.port, start.start), (Some(99), Some("u@h".into())));
    }

    #[test]
    fn a_screen_waits_for_a_lost_link_for_as_long_as_somebody_looks() {
        let patience = |words: &[&str]| parse(words).unwrap().link.on_screen().retry_for;
        assert_eq!(patience(&["u@h"]), Some(Patience::Forever));
        let said = Some(Patience::For(Duration::from_mins(1)));
        assert_eq!(patience(&["--retry-for", "1m", "u@h"]), said);
    }

    #[test]
    fn wrong_usage_is_refused() {
        for words in [
            &["ls"][..],
            &["put"],
            &["get"],
            &["mv"],
            &["mkdir", "-p"],
            &["get", "u@h:x", "--links", "follow"],
            &["put", "a", "u@h:", "--no-flush"],
            &["put", "a", "u@h:", "--limit", "0"],
            &["put", "a", "u@h:", "--limit", "fast"],
            &["put", "a", "u@h:", "--on-conflict", "maybe"],
            &["put", "a", "u@h:", "--connections", "0"],
            &["ls", "-P", "0", "u@h"],
            &["ls", "--fingerprint", "SHA256:x", "u@h"],
            &["ls", "--timeout", "0", "u@h"],
            &["ls", "--timeout", "soon", "u@h"],
            &["ls", "-0", "--json", "u@h"],
            &["lss", "u@h"],
            &["ls", "--frobnicate", "u@h"],
        ] {
            let error = parse(words).expect_err(&format!("{words:?}"));
            assert_eq!(error.exit_code(), 2, "{words:?}");
        }
        for words in [&["--help"][..], &["--version"], &["put", "--help"]] {
            assert_eq!(parse(words).unwrap_err().exit_code(), 0, "{words:?}");
        }
    }
}
