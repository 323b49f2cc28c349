//! `sampan get`: files and folders of a home to this machine.

use std::ffi::OsStr;
use std::path::Path;

use super::args::Get;
use super::carry::Errand;
use super::exit::Code;
use super::operands::Places;
use super::route::{local_target, remote_sources};
use super::{Stop, carry};
use crate::address::Place;
use crate::catalogue::cli as text;
use crate::place::shown;
use crate::transfer::{Options, Route};

/// Carries the places to the local target.
///
/// Position decides: the last of several operands is local, one alone is a place that comes into
/// the current folder. A last operand with the scheme is no local name that anybody means.
pub(super) async fn run(get: Get) -> Result<Code, Stop> {
    let (places, target) = match get.operands.split_last() {
        Some((target, places @ [_, ..])) => (places, target.as_os_str()),
        _ => (&*get.operands, OsStr::new(".")),
    };
    if Place::has_scheme(target) {
        return Err(Stop::Usage(text::get_ends_here(&shown(Path::new(target)))));
    }
    let places = Places::read(places, get.link.port)?;
    let errand = Errand {
        verb: "get",
        account: places.account.clone(),
        route: Route::Download { sources: remote_sources(places), target: local_target(target)? },
        options: Options { flush: !get.no_flush, ..Options::default() },
        globs: get.globs,
    };
    carry::run(errand, &get.transfer, &get.link).await
}
