//! The screen, as the command line opens it: `sampan`, `sampan PLACE`, `sampan DIR`.
//!
//! A place is connected to before the screen opens, with the same questions and exit codes as every
//! command; without one a dialog asks.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::slice;

use sampan_protocol::EntryKind;

use super::args::LinkOptions;
use super::exit::Code;
use super::operands::Places;
use super::report::tell;
use super::{Stop, session};
use crate::address::Place;
use crate::catalogue::cli as text;
use crate::failure::{Failure, Side, Situation};
use crate::local;
use crate::place::shown;
use crate::runtime::{self, Ended, Right, ScreenError, Start};
use crate::state::State;

/// Opens it on what was named.
pub(super) async fn run(start: Option<OsString>, link: &LinkOptions) -> Result<Code, Stop> {
    let state = State::from_environment()?;
    if link.is_about_a_server() && !start.as_deref().is_some_and(Place::is_meant_by) {
        // The dialog asks on its own: what was said here would be silently dropped.
        return Err(Stop::Usage(text::no_place_for_options()));
    }
    let (left, right) = match start {
        None => (absolute(Path::new("."))?, Right::Ask),
        Some(place) if Place::is_meant_by(&place) => {
            let left = absolute(Path::new("."))?;
            let Places { account, mut places } = Places::read(slice::from_ref(&place), link.port)?;
            let Some((_, path)) = places.pop() else { return Ok(Code::Done) };
            let remote = session::connect(&account, &link.on_screen()).await?;
            (left, Right::Connected(remote, path))
        }
        Some(folder) => (folder_here(&folder)?, Right::Ask),
    };
    open(Start { state, left, right }).await
}

/// Opens it, and fails at SIGUSR1: how a test sees what a panic leaves of the terminal.
#[cfg(debug_assertions)]
pub(super) async fn run_and_fail(link: &LinkOptions) -> Result<Code, Stop> {
    use tokio::signal::unix::{SignalKind, signal};

    let failed = |error: std::io::Error| Failure::new(Situation::Unexpected(error.to_string()), "");
    let mut asked = signal(SignalKind::user_defined1()).map_err(failed)?;
    let failing = tokio::spawn(async move {
        asked.recv().await;
        panic!("this part of the program was asked to fail");
    });
    let ended = run(None, link).await;
    failing.abort();
    // It ended by its panic or by this; both were wanted.
    let _ended = failing.await;
    ended
}

/// Opens it.
pub(super) async fn open(start: Start) -> Result<Code, Stop> {
    match runtime::run(start).await {
        Ok(Ended::Left) => Ok(Code::Done),
        Ok(Ended::Stopped) => Ok(Code::Interrupted),
        Err(error @ ScreenError::NoTerminal) => Err(Stop::Usage(text::no_screen(&error))),
        Err(ScreenError::Queue(failure)) => Err(failure.into()),
        Err(error) => {
            tell(&text::screen_failed(&error));
            Ok(Code::Mixed)
        }
    }
}

/// A word that is no command, no place and no folder is most likely a command misspelt.
fn folder_here(written: &OsStr) -> Result<PathBuf, Stop> {
    let path = absolute(Path::new(written))?;
    match local::look_through(&path) {
        Ok(look) if look.kind == EntryKind::Folder => Ok(path),
        Ok(_) => Err(Failure::new(Situation::NotAFolder(Side::Local), shown(&path)).into()),
        Err(failure) => {
            let is_word = !written.as_encoded_bytes().contains(&b'/');
            let is_missing = matches!(failure.situation, Situation::NotFound(_));
            if is_word && is_missing {
                return Err(Stop::Usage(text::no_command(&shown(Path::new(written)))));
            }
            Err(failure.into())
        }
    }
}

fn absolute(path: &Path) -> Result<PathBuf, Stop> {
    let absolute = std::path::absolute(path).map_err(|error| local::failed(path, error))?;
    Ok(absolute.components().collect())
}
