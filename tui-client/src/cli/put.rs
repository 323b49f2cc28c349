//! `sampan put`: local files and folders to a home.

use std::slice;

use super::args::Put;
use super::carry::Errand;
use super::exit::Code;
use super::operands::Places;
use super::route::{local_source, remote_target};
use super::{Stop, carry};
use crate::catalogue::cli as text;
use crate::transfer::{Options, Route};

/// Carries the local sources to the place.
pub(super) async fn run(put: Put) -> Result<Code, Stop> {
    let Some((target, sources @ [_, ..])) = put.operands.split_last() else {
        return Err(Stop::Usage(text::no_target()));
    };
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
