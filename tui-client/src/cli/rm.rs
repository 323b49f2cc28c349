//! `sampan rm`: removes, and never asks.
//!
//! Invariant: the home itself is refused here, before anything is sent.

use super::args::Rm;
use super::exit::Code;
use super::expand::operands;
use super::operands::Places;
use super::report::Report;
use super::{Stop, session};
use crate::failure::{Failure, Side, Situation};

/// Removes each place; one that fails does not keep the others.
pub(super) async fn run(rm: Rm) -> Result<Code, Stop> {
    let Places { account, places } = Places::read(&rm.places, rm.link.port)?;
    if let Some((_, home)) = places.iter().find(|(_, path)| path.is_home()) {
        let failure = Failure::new(Situation::HomeItself, account.show(home));
        return Err(Stop::failed(failure, &account));
    }
    let remote = session::connect(&account, &rm.link).await?;
    let mut report = Report::new(Some(&account), Side::Remote).expanding(rm.globs);
    let (doomed, failures) = operands(&remote, places, rm.globs).await;
    for failure in failures.iter().filter(|failure| !(rm.force && is_missing(failure))) {
        report.failure(failure);
    }
    for operand in &doomed {
        match remote.remove(&operand.path, rm.recursive, None).await {
            Ok(_) => {}
            Err(failure) if rm.force && is_missing(&failure) => {}
            Err(failure) => report.failure(&failure),
        }
    }
    remote.close().await;
    Ok(report.code())
}

/// A name below what is no folder is missing too.
fn is_missing(failure: &Failure) -> bool {
    matches!(
        failure.situation,
        Situation::NotFound(_) | Situation::NotAFolder(_) | Situation::NoMatch
    )
}
