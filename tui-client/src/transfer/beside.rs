//! What lies at a target that nobody expected there: keeping both, and one's own file come first.
//!
//! A run that was cut short, or the same command given once more, finds its own copy: it is there
//! already, and is neither kept a third time nor a stranger.
//!
//! Invariant: what counts as there already has the source's size, time and root.

use sampan_protocol::{Attributes, EntryKind, RemotePath};

use super::event::Outcome;
use super::item::{Ends, FilePlan, LocalPlace, LocalSource, Settled};
use super::job::{Context, blocking};
use super::plan::is_equal;
use crate::failure::{Failure, Side, Situation};
use crate::local::numbered;
use crate::place::{Location, shown};

/// How many names are tried.
const NAME_TRIES: u64 = 10_000;

/// The first name like a taken one under which nothing else lies: `NAME (2).EXT` and so on.
pub(super) enum Beside<P> {
    /// Nothing has it.
    Free(P),
    /// The source lies there already.
    There(P),
}

/// Where in the home.
pub(super) async fn beside_remote(
    context: &Context,
    from: &LocalSource,
    source: &Attributes,
    taken: &RemotePath,
) -> Result<Beside<RemotePath>, Failure> {
    let subject = || context.remote.show(taken);
    let invalid = || Failure::new(Situation::InvalidTarget, subject());
    let (folder, name) = taken.split().ok_or_else(invalid)?;
    for number in 2..NAME_TRIES {
        let to = folder.join(&numbered(&name, number)).map_err(|_| invalid())?;
        let Some(there) = context.remote.stat_if_there(&to).await? else {
            return Ok(Beside::Free(to));
        };
        let ends = Ends::Up { from: from.clone(), to: to.clone() };
        if may_be_equal(source, &there) && is_equal(context, &ends).await? {
            return Ok(Beside::There(to));
        }
    }
    Err(Failure::new(Situation::Exists(Side::Remote), subject()))
}

/// Where on this machine.
pub(super) async fn beside_local(
    context: &Context,
    from: &RemotePath,
    source: &Attributes,
    taken: &LocalPlace,
) -> Result<Beside<LocalPlace>, Failure> {
    let invalid = || Failure::new(Situation::InvalidTarget, shown(&taken.path()));
    let (folder, name) = taken.at.split().ok_or_else(invalid)?;
    for number in 2..NAME_TRIES {
        let at = folder.join(&numbered(&name, number)).map_err(|_| invalid())?;
        let to = LocalPlace { root: taken.root.clone(), at };
        let place = to.clone();
        let Some(there) = blocking(move || place.root.look(&place.at)).await? else {
            return Ok(Beside::Free(to));
        };
        let ends = Ends::Down { from: from.clone(), to: to.clone(), victim: None };
        if may_be_equal(source, &there.attributes()) && is_equal(context, &ends).await? {
            return Ok(Beside::There(to));
        }
    }
    Err(Failure::new(Situation::Exists(Side::Local), shown(&taken.path())))
}

/// An upload that was refused because something appeared at its target meanwhile: perhaps the source
/// itself, which a run that was killed had sent to its end, and which the server published since.
pub(super) async fn came_meanwhile(context: &Context, plan: &FilePlan, settled: &Settled) -> bool {
    let is_refused = matches!(
        &settled.outcome,
        Outcome::Failed(failure) if failure.situation == Situation::TargetChanged(Side::Remote)
    );
    let (true, Ends::Up { from, .. }, Location::Remote(to), Some(source)) =
        (is_refused, &plan.ends, &settled.to, &settled.source)
    else {
        return false;
    };
    // If that cannot be told, the refusal stands.
    let Ok(Some(there)) = context.remote.stat_if_there(to).await else { return false };
    let ends = Ends::Up { from: from.clone(), to: to.clone() };
    may_be_equal(source, &there) && is_equal(context, &ends).await.unwrap_or(false)
}

/// Whether it is worth reading both.
fn may_be_equal(source: &Attributes, there: &Attributes) -> bool {
    there.kind == EntryKind::File && there.size == source.size && there.mtime == source.mtime
}
