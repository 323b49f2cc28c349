//! `sampan mkdir`: new folders.

use super::args::Mkdir;
use super::exit::Code;
use super::operands::Places;
use super::report::Report;
use super::{Stop, session};
use crate::catalogue::cli as text;
use crate::failure::{Failure, Side, Situation};

/// Makes each folder; one that fails does not keep the others from being made.
pub(super) async fn run(mkdir: Mkdir) -> Result<Code, Stop> {
    let Places { account, places } = Places::read(&mkdir.places, mkdir.link.port)?;
    let remote = session::connect(&account, &mkdir.link).await?;
    let mut report = Report::new(Some(&account), Side::Remote);
    for (_, path) in &places {
        if path.is_home() {
            // It is there already, and no request can name it.
            if !mkdir.parents {
                let failure = Failure::new(Situation::Exists(Side::Remote), remote.show(path));
                report.failure_but(&failure, Some(text::parents_take_it()));
            }
            continue;
        }
        let Err(failure) = remote.mkdir(path, mkdir.parents, None).await else { continue };
        match failure.situation {
            Situation::Exists(_) => report.failure_but(&failure, Some(text::parents_take_it())),
            Situation::NotFound(_) => report.failure_but(&failure, Some(text::parents_make_them())),
            _ => report.failure(&failure),
        }
    }
    remote.close().await;
    Ok(report.code())
}
