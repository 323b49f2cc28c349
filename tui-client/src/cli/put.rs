//! `sampan put`: local files and folders to a home.

use std::path::Path;
use std::slice;

use super::args::Put;
use super::carry::Errand;
use super::exit::Code;
use super::operands::Places;
use super::route::{local_source, remote_target};
use super::{Stop, carry};
use crate::address::{AddressError, Place};
use crate::catalogue::cli as text;
use crate::place::shown;
use crate::transfer::{Options, Route};

/// Carries the local sources to the place.
pub(super) async fn run(put: Put) -> Result<Code, Stop> {
    let Some((target, sources @ [_, ..])) = put.operands.split_last() else {
        return Err(Stop::Usage(text::no_target()));
    };
    if let Some(source) = sources.iter().find(|source| Place::has_scheme(source)) {
        return Err(Stop::Usage(text::put_begins_here(&shown(Path::new(source)))));
    }
    if matches!(Place::parse(target, put.link.port), Err(AddressError::NotAPlace(_))) {
        return Err(Stop::Usage(text::put_ends_there(&shown(Path::new(target)))));
    }
    let Places { account, mut places } = Places::read(slice::from_ref(target), put.link.port)?;
    let Some((place, path)) = places.pop() else { return Ok(Code::Done) };
    let sources = sources.iter().map(|source| local_source(source)).collect::<Result<_, _>>()?;
    let errand = Errand {
        verb: "put",
        account,
        route: Route::Upload { sources, target: remote_target(&place, path) },
        options: Options { links: put.links.into(), ..Options::default() },
        globs: false,
    };
    carry::run(errand, &put.transfer, &put.link).await
}
