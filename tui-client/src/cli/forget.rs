//! `sampan forget`: a server's stored identity, so that it is met for the first time again.

use super::args::Forget;
use super::exit::Code;
use super::report::tell;
use super::{Stop, output::Output};
use crate::address::{Place, Server};
use crate::catalogue::cli as text;
use crate::place::shown;
use crate::state::State;

/// Forgets, and says what.
pub(super) fn run(forget: &Forget) -> Result<Code, Stop> {
    // A place that somebody pastes names its server as well; a bare name is a host.
    let server = if Place::is_meant_by(&forget.server) {
        Place::parse(&forget.server, forget.port)?.account.server
    } else {
        Server::parse(&forget.server.to_string_lossy(), forget.port)?
    };
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
