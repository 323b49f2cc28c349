//! The command line of `sampand`: one command a file.
//!
//! Data goes to standard output, everything else to standard error. A command as root on another
//! user's data folder acts as that user from here on ([`state::act_as_owner`]).

mod admin;
mod descriptors;
mod exit;
mod fingerprint;
mod manual;
mod notify;
mod output;
mod password;
mod quota;
mod scan;
mod serve;
mod signals;
mod status;
mod user;

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::{Arg, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use sampan_protocol::size::{SizeError, parse_limit};

use self::admin::Admin;
use self::exit::CliError;
use self::signals::Interrupt;
use crate::account::AccountName;
use crate::config::{Durability, LogFormat, Overrides, Settings, parse_address};
use crate::state;

/// Sampan's server: homes, quotas and uploads that survive anything.
#[derive(Debug, Parser)]
#[command(
    name = "sampand",
    version,
    after_help = "First steps:\n  sampand user add anna --quota 10GiB\n  sampand serve\n\nExit codes: \
                  0 done, 1 failed, 2 wrong usage, 3 no connection, 4 a password needed and no \
                  terminal, 6 no space, 7 not there or not allowed, 130 stopped by a signal.\n\n\
                  Environment:\n  SAMPAND_DATA    what --data says, where that is not given\n  \
                  SAMPAND_CONFIG  what --config says, where that is not given"
)]
struct Arguments {
    #[command(flatten)]
    place: PlaceArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct PlaceArguments {
    /// Folder of homes, uploads, database and keys [default: /var/lib/sampan]
    #[arg(long, env = "SAMPAND_DATA", global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Configuration file; without it and --data: /etc/sampan/sampand.toml, if there is one
    #[arg(long, env = "SAMPAND_CONFIG", global = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves until SIGTERM or SIGINT
    #[command(after_help = "Example:\n  sampand serve --data /srv/sampan --listen 0.0.0.0:7227")]
    Serve {
        /// Where to listen, as often as needed; port 0 takes a free one [default: [::]:7227]
        #[arg(long, env = "SAMPAND_LISTEN", value_name = "ADDR:PORT", value_delimiter = ',',
              value_parser = parse_address)]
        listen: Vec<SocketAddr>,
        /// Whether an acknowledged change is on disk (full), or may be lost in a power cut [default:
        /// full]
        #[arg(long, env = "SAMPAND_DURABILITY", value_name = "HOW")]
        durability: Option<Durability>,
        /// How log lines look [default: text]
        #[arg(long, env = "SAMPAND_LOG_FORMAT", value_name = "FORMAT")]
        log: Option<LogFormat>,
    },
    /// Makes, lists and changes accounts
    #[command(subcommand)]
    User(user::UserCommand),
    /// Sets and shows what accounts may hold
    #[command(subcommand)]
    Quota(quota::QuotaCommand),
    /// Says how the server is
    #[command(after_help = "Example:\n  sampand status --json")]
    Status {
        /// One JSON object
        #[arg(long)]
        json: bool,
    },
    /// Prints the line that a person compares on first contact
    #[command(after_help = "Example:\n  sampand fingerprint")]
    Fingerprint,
    /// Prints what makes a shell complete these commands
    #[command(after_help = "Example:\n  sampand completions bash \
                            > /etc/bash_completion.d/sampand")]
    Completions {
        /// Which shell
        #[arg(value_name = "SHELL", value_enum)]
        shell: Shell,
    },
    /// Prints the manual page, in roff
    #[command(after_help = "Examples:\n  sampand man | man -l -\n  sampand man user add \
                            > sampand-user-add.1")]
    Man {
        /// The page of this command instead of the program's
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
}

/// An account's name, as an argument.
#[derive(Debug, Args)]
struct NameArgument {
    /// The account: 1 to 32 of a-z 0-9 _ . -
    name: AccountName,
}

/// A limit, as an argument: a size or `none`.
#[derive(Clone, Copy, Debug)]
struct LimitArgument(Option<u64>);

impl std::str::FromStr for LimitArgument {
    type Err = SizeError;

    fn from_str(written: &str) -> Result<Self, SizeError> {
        parse_limit(written).map(Self)
    }
}

/// Runs the program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    match parse(arguments) {
        Ok((arguments, durability)) => exit::code_of(perform(arguments, durability)),
        Err(error) => exit::usage(&error),
    }
}

/// The arguments, and what they or the environment say of the durability.
fn parse(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<(Arguments, Option<Durability>), clap::Error> {
    let matches = without_empty_variables(Arguments::command()).try_get_matches_from(arguments)?;
    let arguments = Arguments::from_arg_matches(&matches)?;
    let durability = match &arguments.command {
        Command::Serve { durability, .. } => *durability,
        // What a command does itself, where no server runs, is as durable as what the server does.
        _ => durability_said(std::env::var_os("SAMPAND_DURABILITY").as_deref())?,
    };
    Ok((arguments, durability))
}

/// A variable that is set to nothing is not set: so a unit file or a shell takes one away.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |arg: &Arg| {
        let value = arg.get_env().and_then(std::env::var_os);
        value.is_some_and(|value| value.is_empty())
    };
    command
        .mut_args(|arg| if is_empty(&arg) { arg.env(Resettable::Reset) } else { arg })
        .mut_subcommands(without_empty_variables)
}

fn durability_said(variable: Option<&OsStr>) -> Result<Option<Durability>, clap::Error> {
    let Some(said) = variable.filter(|said| !said.is_empty()) else { return Ok(None) };
    let said = said.to_string_lossy();
    Durability::from_str(&said, false).map(Some).map_err(|_| {
        let why = format!("SAMPAND_DURABILITY says `{said}`: set it to `full` or `relaxed`");
        Arguments::command().error(ErrorKind::InvalidValue, why)
    })
}

fn perform(arguments: Arguments, durability: Option<Durability>) -> Result<ExitCode, CliError> {
    let Arguments { place: PlaceArguments { data, config }, command } = arguments;
    match &command {
        Command::Completions { shell } => return manual::completions(*shell),
        Command::Man { command } => return manual::man(command),
        _ => {}
    }
    let mut overrides = Overrides { config, data, durability, ..Overrides::default() };
    if let Command::Serve { listen, log, .. } = &command {
        overrides.listen.clone_from(listen);
        overrides.log = *log;
    }
    let settings = Settings::load(&overrides)?;
    state::act_as_owner(&settings.data)?;
    // No thread before this line: see there.
    let interrupt = match command {
        // It hears signals itself.
        Command::Serve { .. } => Interrupt::default(),
        _ => Interrupt::listen().map_err(CliError::Runtime)?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(CliError::Runtime)?;
    let outcome = runtime.block_on(async {
        let admin = Admin { settings: &settings, interrupt: &interrupt };
        match command {
            Command::Serve { .. } => serve::serve(&settings).await,
            Command::User(command) => user::run(command, &admin).await,
            Command::Quota(command) => quota::run(command, &admin).await,
            Command::Status { json } => status::run(json, &admin).await,
            Command::Fingerprint => fingerprint::run(&settings),
            Command::Completions { shell } => manual::completions(shell),
            Command::Man { command } => manual::man(&command),
        }
    });
    // A thread that still waits for a person's answer is not waited for.
    runtime.shutdown_background();
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_variable_of_durability_is_read_for_every_command() {
        let said = |variable: &str| durability_said(Some(OsStr::new(variable)));
        assert_eq!(said("relaxed").unwrap(), Some(Durability::Relaxed));
        assert_eq!(said("full").unwrap(), Some(Durability::Full));
        assert_eq!((said("").unwrap(), durability_said(None).unwrap()), (None, None));
        let error = said("maybe").unwrap_err().to_string();
        assert!(error.contains("`maybe`: set it to `full` or `relaxed`"), "{error}");
    }

    /// CONTRACT: everything has `--help` with an example.
    #[test]
    fn every_command_shows_an_example() {
        fn check(command: &clap::Command) {
            let commands: Vec<_> = command.get_subcommands().collect();
            if commands.is_empty() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("sampand "), "{} has no example", command.get_name());
            }
            commands.into_iter().for_each(check);
        }
        check(&Arguments::command());
    }
}
