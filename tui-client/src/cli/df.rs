//! `sampan df`: quota and use of an account.

use std::slice;

use super::args::Df;
use super::exit::Code;
use super::operands::Places;
use super::output::Output;
use super::report::tell;
use super::{Stop, json, session};
use crate::catalogue::cli as text;

/// Prints quota, use, what is in flight, what is available, and files.
pub(super) async fn run(df: Df) -> Result<Code, Stop> {
    let Places { account, places } = Places::read(slice::from_ref(&df.place), df.link.port)?;
    if let Some((_, path)) = places.first().filter(|(_, path)| !path.is_home()) {
        tell(&text::quota_of_the_account(&account.show(path)));
    }
    let remote = session::connect(&account, &df.link).await?;
    let quota = remote.quota().await?;
    let mut output = Output::standard();
    if df.json {
        output.line(&json::quota(&quota).to_string())?;
    } else {
        for line in text::quota(&quota) {
            output.line(&line)?;
        }
    }
    output.flush()?;
    remote.close().await;
    Ok(Code::Done)
}
