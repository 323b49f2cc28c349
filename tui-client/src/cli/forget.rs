//! `sampan forget`: a server's stored identity, so that it is met for the first time again.

use super::args::Forget;
use super::exit::Code;
use super::report::tell;
use super::{Stop, output::Output};
use crate::address::Server;
use crate::catalogue::cli as text;
use crate::place::shown;
use crate::state::State;

/// Forgets, and says what.
pub(super) fn run(forget: &Forget) -> Result<Code, Stop> {
    let server = Server::parse(&forget.server, forget.port)?;
    let known = State::from_environment()?.known_servers();
    if !known.forget(&server)? {
        tell(&text::not_stored(&server, &shown(known.path())));
        return Ok(Code::NoSuchFile);
    }
    let mut output = Output::standard();
    output.line(&text::forgotten(&server, &shown(known.path())))?;
    output.flush()?;
    Ok(Code::Done)
}
