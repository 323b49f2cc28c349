//! Is anybody there?

use sampan_protocol::message::{Empty, Ping};

use super::Outcome;
use crate::context::Context;

/// That it answers is the answer.
#[allow(clippy::unused_async)] // a handler like the others
pub(crate) async fn ping(_: Context, _: Ping) -> Outcome<Empty> {
    Ok(Empty {})
}
