//! What is said of the link.

use std::time::Duration;

use crate::address::Account;

pub const LINK_IS_BACK: &str = "The link is back.";

/// Nobody is connected.
pub fn status_absent() -> String {
    "not connected".to_owned()
}

/// An attempt is under way.
pub fn status_connecting(account: &Account) -> String {
    format!("{account} · connecting …")
}

/// The link works.
pub fn status_live(account: &Account, round_trip: Duration) -> String {
    format!("{account} · live · {}", short_time(round_trip))
}

/// Nothing was heard for a while.
pub fn status_silent(account: &Account, silence: Duration) -> String {
    format!("{account} · silent for {} s", silence.as_secs())
}

/// The link is gone and will be tried again.
pub fn status_reconnecting(account: &Account, attempt: u32, seconds: u64, why: &str) -> String {
    match seconds {
        0 => format!("{account} · link lost ({why}) · try {attempt} now"),
        _ => format!("{account} · link lost ({why}) · try {attempt} in {seconds} s"),
    }
}

/// The link is gone for good.
pub fn status_down(account: &Account, why: &str) -> String {
    format!("{account} · link down · C connects again · {why}")
}

/// What a pane's title says while the link is gone.
pub fn title_reconnecting(seconds: u64) -> String {
    match seconds {
        0 => "link lost · trying".to_owned(),
        _ => format!("link lost · {seconds} s"),
    }
}

/// What a pane's title says when the link is gone for good.
pub const TITLE_DOWN: &str = "link down";

fn short_time(time: Duration) -> String {
    match time.as_micros() {
        0..1000 => "<1 ms".to_owned(),
        1000..10_000 => format!("{:.1} ms", time.as_secs_f64() * 1e3),
        _ => format!("{} ms", time.as_millis()),
    }
}
