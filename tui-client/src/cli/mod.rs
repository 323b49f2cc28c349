//! The command line: arguments to one command, or to the screen; failures to an exit code.
//!
//! Each command is a file and reads as a story: operands, connection, work, report. What they share
//! is `session` (identity and login, with the questions that may need), `report` (failures),
//! `output` and `json` (data).
//!
//! Invariant: data goes to standard output and everything else to standard error; a command that
//! failed in part says so for each part, and its exit code follows `exit` alone.

mod args;
mod ask;
mod carry;
mod cat;
mod completions;
#[cfg(all(feature = "demo", target_os = "linux"))]
mod demo;
mod df;
mod du;
mod exit;
mod expand;
mod forget;
mod get;
mod glob;
mod interrupt;
mod json;
mod leftovers;
mod login;
mod ls;
mod mkdir;
mod mv;
mod operands;
mod output;
mod put;
mod report;
mod rm;
mod route;
mod row;
mod screen;
mod session;
mod sum;
mod uploads;

use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use clap::error::{ContextKind, ErrorKind};
use sampan_protocol::Escaped;

use self::args::{Arguments, Command};
use self::exit::Code;
use self::interrupt::Interrupt;
use self::leftovers::Leftovers;
use self::report::{Report, tell};
use crate::address::{Account, AddressError, Place};
use crate::catalogue::cli as text;
use crate::failure::{Failure, Side};

/// How long tasks may take to end after the command has.
const END_WITHIN: Duration = Duration::from_secs(1);

/// How long the screen may take to end in order.
const SCREEN_ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Why a command ends before its end.
#[derive(Debug)]
enum Stop {
    /// The operands make no sense; the text says why.
    Usage(String),
    /// Something did not happen, to an account's home if it is said.
    Failed(Box<Failure>, Option<Box<Account>>),
    /// The reader of standard output has gone.
    ClosedPipe,
    /// Standard output cannot be written.
    Output(io::Error),
}

impl From<AddressError> for Stop {
    fn from(error: AddressError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<Failure> for Stop {
    fn from(failure: Failure) -> Self {
        Self::Failed(Box::new(failure), None)
    }
}

impl Stop {
    /// A failure in `account`'s home.
    fn failed(failure: Failure, account: &Account) -> Self {
        Self::Failed(Box::new(failure), Some(Box::new(account.clone())))
    }

    /// Tells why, and gives the exit code.
    fn conclude(self) -> Code {
        match self {
            Self::Usage(reason) => {
                tell(&reason);
                Code::Usage
            }
            Self::Failed(failure, account) => {
                // What ends a command before its work begins is not about a local source.
                let mut report = Report::new(account.as_deref(), Side::Remote);
                report.failure(&failure);
                report.code()
            }
            Self::ClosedPipe => Code::Done,
            Self::Output(error) => {
                tell(&text::no_output(&error));
                match error.kind() {
                    io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Code::NoSpace,
                    _ => Code::Mixed,
                }
            }
        }
    }
}

/// The whole program.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(told) if is_out_of_order(&told) => {
            let first = std::env::args_os().nth(1).unwrap_or_default();
            let is_place = Place::is_meant_by(&first) || first.as_encoded_bytes().contains(&b'/');
            tell(&match first.as_encoded_bytes() {
                [b'-', ..] => text::command_comes_first(),
                _ if is_place => text::command_comes_first(),
                word => text::no_command(&Escaped(word)),
            });
            return Code::Usage.into();
        }
        Err(told) => {
            return help_or_usage(&told).into();
        }
    };
    // Outside of all tasks: dropped when none of them runs any more, on a panic too.
    let leftovers = Leftovers::default();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            tell(&text::no_tasks(&error));
            return Code::Mixed.into();
        }
    };
    let code = runtime.block_on(run(arguments, &leftovers));
    runtime.shutdown_timeout(END_WITHIN);
    drop(leftovers);
    code.into()
}

/// What the arguments' reader has to say: help and versions are data, the rest is wrong usage.
fn help_or_usage(told: &clap::Error) -> Code {
    match told.print().and_then(|()| io::stdout().flush()) {
        _ if told.use_stderr() => Code::Usage,
        Ok(()) => Code::Done,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Code::Done,
        Err(error) => Stop::Output(error).conclude(),
    }
}

/// Something stood before a command's name, so that the name was taken for a place.
fn is_out_of_order(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::ArgumentConflict
        && error.get(ContextKind::InvalidSubcommand).is_some()
}

async fn run(arguments: Arguments, leftovers: &Leftovers) -> Code {
    let at_signal = AtSignal::of(arguments.command.as_ref());
    let interrupt = match Interrupt::listen(at_signal.grace(), leftovers.folders()) {
        Ok(interrupt) => interrupt,
        Err(error) => {
            tell(&text::no_tasks(&error));
            return Code::Mixed;
        }
    };
    let mut command = Box::pin(dispatch(arguments, leftovers));
    tokio::select! {
        ended = &mut command => return ended.unwrap_or_else(Stop::conclude),
        () = interrupt.heard() => {}
    }
    match at_signal {
        AtSignal::End => {}
        AtSignal::EndAndTell => {
            // Bars clear their lines when they go, and what was written over them.
            drop(command);
            tell(&text::interrupted());
        }
        // Questions stand before the screen: who leaves there leaves at once.
        AtSignal::EndsItself if !crate::runtime::is_on_screen() => {}
        AtSignal::EndsItself => {
            // The screen hears signals too. One that came before it listened is not heard there.
            let ended = tokio::time::timeout(SCREEN_ENDS_WITHIN, command);
            tokio::select! {
                ended = ended => if let Ok(Err(stop)) = ended {
                    stop.conclude();
                },
                // Dropped where it is, which gives the terminal back.
                () = interrupt.heard_again() => {}
            }
        }
    }
    Code::Interrupted
}

/// What a signal means to a command.
enum AtSignal {
    End,
    /// Its work can be gone on with, and that is said.
    EndAndTell,
    /// It takes itself down in order.
    EndsItself,
}

impl AtSignal {
    /// What it may take at the second signal to leave nothing behind.
    fn grace(&self) -> Duration {
        match self {
            Self::End | Self::EndAndTell => Duration::from_millis(100),
            Self::EndsItself => Duration::from_secs(2),
        }
    }

    fn of(command: Option<&Command>) -> Self {
        match command {
            Some(Command::Put(_) | Command::Get(_)) => Self::EndAndTell,
            #[cfg(feature = "demo")]
            Some(Command::Demo(_)) => Self::EndsItself,
            #[cfg(debug_assertions)]
            Some(Command::FailOnScreen) => Self::EndsItself,
            None => Self::EndsItself,
            Some(_) => Self::End,
        }
    }
}

async fn dispatch(arguments: Arguments, leftovers: &Leftovers) -> Result<Code, Stop> {
    let Some(command) = arguments.command else {
        return screen::run(arguments.start, &arguments.link).await;
    };
    match command {
        Command::Ls(ls) => ls::run(ls).await,
        Command::Put(put) => put::run(put).await,
        Command::Get(get) => get::run(get).await,
        Command::Mkdir(mkdir) => mkdir::run(mkdir).await,
        Command::Rm(rm) => rm::run(rm).await,
        Command::Mv(mv) => mv::run(mv).await,
        Command::Cat(cat) => cat::run(cat).await,
        Command::Du(du) => du::run(du).await,
        Command::Df(df) => df::run(df).await,
        Command::Sum(sum) => sum::run(sum).await,
        Command::Uploads(uploads) => uploads::run(uploads).await,
        Command::Login(login) => login::log_in(login).await,
        Command::Logout(logout) => login::log_out(logout).await,
        Command::Forget(forget) => forget::run(&forget),
        Command::Completions(shell) => completions::completions(&shell),
        Command::Man(page) => completions::man(&page),
        #[cfg(debug_assertions)]
        Command::FailOnScreen => screen::run_and_fail(&arguments.link).await,
        #[cfg(all(feature = "demo", target_os = "linux"))]
        Command::Demo(demo) => demo::run(demo, leftovers).await,
        #[cfg(all(feature = "demo", not(target_os = "linux")))]
        Command::Demo(_) => Err(Stop::Usage(text::no_demo_here())),
    }
}
