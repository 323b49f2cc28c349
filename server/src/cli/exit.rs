//! The one place that maps errors to exit codes, and prints them.

use std::io::{self, Write};
use std::process::ExitCode;

use sampan_protocol::Escaped;

use super::output::complain;
use crate::account::PasswordRefused;
use crate::config::ConfigError;
use crate::control::{AdminRefusal, CallError, RefusalKind};
use crate::listener::BindError;
use crate::server::StartError;
use crate::state::StateError;
use crate::store::local::OpenError;
use crate::store::{Situation, StoreError};

/// Some of it failed, or for a reason without a code of its own.
pub(super) const FAILED: u8 = 1;
const WRONG_USAGE: u8 = 2;
const NO_CONNECTION: u8 = 3;
const NO_PASSWORD: u8 = 4;
const NO_SPACE: u8 = 6;
const NOT_THERE_OR_NOT_ALLOWED: u8 = 7;
/// Stopped by a signal.
pub(super) const STOPPED: u8 = 130;

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
pub(super) enum CliError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error(transparent)]
    Start(#[from] StartError),
    #[error(transparent)]
    Bind(#[from] BindError),
    #[error(transparent)]
    Call(#[from] CallError),
    #[error(transparent)]
    Refused(#[from] AdminRefusal),
    #[error(transparent)]
    Password(#[from] PasswordRefused),
    #[error("the passwords differ; nothing was changed, try again")]
    PasswordsDiffer,
    #[error("a password is needed and there is no terminal to ask on: use --password-stdin")]
    NoTerminal,
    #[error("there is no command `{}`; `sampand --help` lists them", Escaped(.0.as_bytes()))]
    NoSuchCommand(String),
    #[error("cannot read the password: {0}")]
    PasswordUnreadable(io::Error),
    #[error("interrupted")]
    Interrupted,
    #[error("the running server answered something else: restart it, it may be of another version")]
    OtherAnswer,
    #[error("cannot write the output: {0}")]
    Output(io::Error),
    #[error("cannot start: {0}")]
    Runtime(io::Error),
}

impl CliError {
    fn code(&self) -> u8 {
        match self {
            Self::Config(ConfigError::Unreadable { source, .. })
            | Self::Runtime(source)
            | Self::Output(source)
            | Self::PasswordUnreadable(source)
            | Self::Bind(BindError { source, .. })
            | Self::Start(StartError::Open(OpenError::Folder { source, .. })) => code_of_io(source),
            Self::Config(_)
            | Self::Password(_)
            | Self::PasswordsDiffer
            | Self::NoSuchCommand(_) => WRONG_USAGE,
            Self::State(error) | Self::Start(StartError::State(error)) => code_of_state(error),
            Self::Start(
                StartError::Store(error) | StartError::Open(OpenError::Recovery(error)),
            ) => code_of_store(error),
            Self::Start(StartError::Open(OpenError::DiskFull { .. })) => NO_SPACE,
            Self::Start(_) | Self::OtherAnswer => FAILED,
            Self::Call(_) => NO_CONNECTION,
            Self::NoTerminal => NO_PASSWORD,
            Self::Interrupted => STOPPED,
            Self::Refused(refusal) => match refusal.kind {
                RefusalKind::NotFound | RefusalKind::NotAllowed => NOT_THERE_OR_NOT_ALLOWED,
                RefusalKind::NoSpace => NO_SPACE,
                RefusalKind::Wrong => WRONG_USAGE,
                RefusalKind::Exists | RefusalKind::Failed => FAILED,
            },
        }
    }

    /// Whoever read the output has had enough: nothing to complain about.
    fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }
}

fn code_of_state(error: &StateError) -> u8 {
    match error {
        StateError::Io { source, .. } => code_of_io(source),
        StateError::Missing { .. } | StateError::NotOwner { .. } | StateError::TooOpen { .. } => {
            NOT_THERE_OR_NOT_ALLOWED
        }
        _ => FAILED,
    }
}

fn code_of_store(error: &StoreError) -> u8 {
    match error {
        StoreError::Disk { source, .. } => code_of_io(source),
        StoreError::Refused { situation: Situation::DiskFull, .. } => NO_SPACE,
        _ => FAILED,
    }
}

fn code_of_io(error: &io::Error) -> u8 {
    use io::ErrorKind as K;
    match error.kind() {
        K::NotFound | K::PermissionDenied => NOT_THERE_OR_NOT_ALLOWED,
        K::StorageFull | K::QuotaExceeded => NO_SPACE,
        _ => FAILED,
    }
}

/// What went wrong with some of what was asked.
#[derive(Debug, Default)]
pub(super) struct Failures {
    code: Option<u8>,
}

impl Failures {
    /// Prints it.
    pub(super) fn add(&mut self, error: &CliError) {
        complain(format_args!("sampand: {error}\n"));
        let code = error.code();
        self.code = Some(self.code.map_or(code, |first| if first == code { code } else { FAILED }));
    }

    /// If all failed for one reason, that reason's code.
    pub(super) fn code(&self) -> ExitCode {
        self.code.map_or(ExitCode::SUCCESS, ExitCode::from)
    }
}

/// Prints what went wrong and gives the code.
pub(super) fn code_of(outcome: Result<ExitCode, CliError>) -> ExitCode {
    match outcome {
        Ok(code) => code,
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("sampand: {error}\n"));
            ExitCode::from(error.code())
        }
    }
}

/// What the arguments' reader has to say: help and versions are data, the rest is wrong usage.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    if error.use_stderr() {
        complain(format_args!("{}", error.render()));
        return ExitCode::from(WRONG_USAGE);
    }
    let written = write!(io::stdout(), "{}", error.render()).map_err(CliError::Output);
    code_of(written.map(|()| ExitCode::SUCCESS))
}
