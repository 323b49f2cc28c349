//! What gauges say, and what is said when transfers and changes end.

use std::time::Duration;

use sampan_protocol::ByteSize;

use super::grouped;
use crate::app::changes::{Kind, Running};
use crate::app::transfers::{Ended, Overall, State};
use crate::place::Location;
use crate::transfer::{Direction, SkipReason, Summary};

pub const RETRY_HINT: &str = " · w, then r, tries again";
pub const ALL: &str = "All";
pub const FAILED: &str = "failed";

/// Bytes a second.
pub fn rate(bytes: f64) -> String {
    format!("{}/s", ByteSize(whole(bytes)))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
fn whole(number: f64) -> u64 {
    number.clamp(0.0, u64::MAX as f64) as u64
}

/// Until something is done: `1:05`, `2:03:04`, or a dash.
pub fn left(time: Option<Duration>) -> String {
    /// Beyond this, nobody waits.
    const LONGEST: u64 = 99 * 3600;
    match time.map(|time| time.as_secs()) {
        Some(seconds @ 0..LONGEST) => clock(seconds),
        Some(_) | None => "–:––".to_owned(),
    }
}

fn clock(seconds: u64) -> String {
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match hours {
        0 => format!("{minutes}:{seconds:02}"),
        _ => format!("{hours}:{minutes:02}:{seconds:02}"),
    }
}

/// A share of a whole, rounded down: 100 % means done.
pub fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "100 %".to_owned(),
        _ => format!("{} %", u128::from(part.min(whole)) * 100 / u128::from(whole)),
    }
}

/// Part and whole in bytes.
pub fn bytes_of(part: u64, whole: u64) -> String {
    format!("{} of {}", ByteSize(part), ByteSize(whole))
}

/// What a transfer does.
pub fn state(state: State) -> &'static str {
    match state {
        State::Waiting => "waiting",
        State::Running => "running",
        State::Stalled => "stalled",
        State::Reconnecting => "reconnecting",
        State::Verifying => "verifying",
        State::Paused => "paused",
    }
}

/// The sign of a direction.
pub fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::Upload => "↑",
        Direction::Download => "↓",
    }
}

/// Small files that travel together.
pub fn group(folder: &str, files: u64) -> String {
    let files = if files == 1 { "1 file".to_owned() } else { format!("{} files", grouped(files)) };
    format!("{folder} · {files}")
}

/// Something that is never carried.
pub fn left_out(from: &Location, reason: SkipReason) -> String {
    let what = match reason {
        SkipReason::Link => "a symbolic link",
        _ => "a socket, FIFO or device",
    };
    format!("· left out, {what} · {from}")
}

/// How many of how many, and what waits.
pub fn overall(all: &Overall) -> String {
    let planned = if all.planned { "" } else { "+" };
    let asking = match all.asking {
        0 => String::new(),
        asking => format!(" · {asking} to answer"),
    };
    format!("{}/{}{planned} items{asking}", grouped(all.settled), grouped(all.count))
}

/// How it all ended.
pub fn ended(ended: &Ended) -> String {
    let mut parts = Vec::new();
    let verb = if ended.failed > 0 { "ended" } else { "done" };
    parts.push(format!(
        "{verb}: {} across · {} in {}",
        grouped(ended.done),
        ByteSize(ended.bytes),
        clock(ended.took.as_secs())
    ));
    for (count, word) in
        [(ended.unchanged, "unchanged"), (ended.skipped, "skipped"), (ended.failed, FAILED)]
    {
        if count > 0 {
            parts.push(format!("{} {word}", grouped(count)));
        }
    }
    parts.join(" · ")
}

/// A batch ended.
pub fn batch_ended(summary: &Summary) -> String {
    let others =
        [(summary.unchanged, "unchanged"), (summary.skipped, "skipped"), (summary.failed, FAILED)];
    let others = others.into_iter().filter(|(count, _)| *count > 0);
    let parts = std::iter::once((summary.done, "across")).chain(others);
    let said: Vec<_> = parts.map(|(count, word)| format!("{} {word}", grouped(count))).collect();
    let said = said.join(", ");
    match summary.failed {
        0 => format!("Done: {said}."),
        _ => format!("{said}."),
    }
}

/// Transfers of an earlier run go on.
pub fn resumed(batches: usize) -> String {
    match batches {
        1 => "A copy of an earlier run goes on.".to_owned(),
        _ => format!("{batches} copies of an earlier run go on."),
    }
}

/// Another process holds the queue.
pub fn queue_elsewhere(process: u32) -> String {
    format!("Process {process} keeps this account's queue: copies end with this screen.")
}

/// A change that runs.
pub fn change(running: &Running) -> String {
    let what = match running.kind {
        Kind::NewFolder => "making a folder",
        Kind::Rename => "renaming",
        Kind::Remove => "deleting",
    };
    match running.total {
        1 => format!("{what} …"),
        total => format!("{what} … {} of {}", grouped(running.done), grouped(total as u64)),
    }
}
