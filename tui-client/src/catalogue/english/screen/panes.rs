//! What panes say: names, sizes, moments, counts, what a side can hold.

use jiff::Timestamp as Moment;
use jiff::tz::TimeZone;
use sampan_protocol::message::QuotaAnswer;
use sampan_protocol::{ByteSize, Mode, Timestamp};

use super::bytes_of;
use crate::app::marks::Extent;
use crate::app::order::Order;

pub const NOT_CONNECTED_LINES: [&str; 2] = ["Not connected.", "Press C, Enter or click here."];
pub const READING: &str = "reading …";
pub const EMPTY: &str = "(empty)";
pub const HEAD_NAME: &str = "Name";
pub const HEAD_SIZE: &str = "Size";
pub const HEAD_CHANGED: &str = "Changed";
pub const FOLDER_SIZE: &str = "folder";
pub const LINK_SIZE: &str = "link";
pub const OTHER_SIZE: &str = "other";
pub const QUOTA: &str = "quota";
pub const DISK: &str = "disk";
pub const SERVER_SIDE: &str = "server";

/// A local path in a question.
pub fn on_this_machine(path: &str) -> String {
    format!("this machine: {path}")
}

/// A remote path when no account is known.
pub fn on_server(path: &str) -> String {
    format!("server: {path}")
}

/// How names are sorted now.
pub fn order(order: Order) -> &'static str {
    match order {
        Order::Natural => "Names are sorted naturally: 2 before 10.",
        Order::Bytes => "Names are sorted byte by byte: 10 before 2.",
    }
}

/// A moment in full, down to the second.
pub fn moment(time: Timestamp, zone: &TimeZone) -> String {
    formatted(time, zone, "%Y-%m-%d %H:%M:%S")
}

/// A moment in so many columns, or in the next shape that is narrower.
pub fn moment_in(time: Timestamp, zone: &TimeZone, columns: usize) -> String {
    let format = match columns {
        16.. => "%Y-%m-%d %H:%M",
        10..16 => "%Y-%m-%d",
        _ => "%d%b%y",
    };
    formatted(time, zone, format)
}

fn formatted(time: Timestamp, zone: &TimeZone, format: &str) -> String {
    let nanos = i32::try_from(time.nanos()).unwrap_or(0);
    match Moment::new(time.seconds(), nanos) {
        Ok(moment) => moment.to_zoned(zone.clone()).strftime(format).to_string(),
        // Before the year -9999 or behind 9999: no calendar of ours.
        Err(_) => "?".to_owned(),
    }
}

/// A size for a narrow column: `12.3M`.
pub fn size_short(bytes: u64) -> String {
    let full = ByteSize(bytes).to_string();
    let (number, unit) = full.split_once(' ').unwrap_or((&full, ""));
    match unit.strip_suffix('B') {
        Some("") | None => number.to_owned(),
        Some(prefix) => format!("{number}{prefix}"),
    }
}

/// A size for people and for reckoning: `1.20 MB (1,200,000)`.
pub fn size_both(bytes: u64) -> String {
    match bytes {
        0..1000 => ByteSize(bytes).to_string(),
        _ => format!("{} ({})", ByteSize(bytes), grouped(bytes)),
    }
}

/// Digits in groups of three.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Permissions, as `ls -l` shows them.
pub fn mode(mode: Mode) -> String {
    let bits = mode.bits();
    let sign = |shift: u32, sign| if bits >> shift & 1 == 1 { sign } else { '-' };
    (0..9).rev().map(|shift| sign(shift, ['x', 'w', 'r'][shift as usize % 3])).collect()
}

/// How much is marked, and the same for little room.
pub fn marked(marked: Extent, of: usize) -> [String; 2] {
    let share = format!("{}/{}", grouped(marked.items as u64), grouped(of as u64));
    let size = size(marked);
    [format!("{share} marked · {size}"), format!("{share} · {size}")]
}

/// What is known of a size: `700 MB`, `2 folders`, `700 MB + 2 folders`.
fn size(extent: Extent) -> String {
    let folders = match extent.folders {
        1 => "1 folder".to_owned(),
        folders => format!("{} folders", grouped(folders as u64)),
    };
    let bytes = ByteSize(extent.bytes);
    match extent.folders {
        0 => bytes.to_string(),
        all if all == extent.items => folders,
        _ => format!("{bytes} + {folders}"),
    }
}

/// How many rows there are.
pub fn count(files: usize, unreadable: u64) -> String {
    let rows = match files {
        1 => "1 item".to_owned(),
        _ => format!("{} items", grouped(files as u64)),
    };
    match unreadable {
        0 => rows,
        _ => format!("{rows} · {} unreadable", grouped(unreadable)),
    }
}

/// What a pane is about to show.
pub fn reading(rows: usize) -> String {
    match rows {
        0 => READING.to_owned(),
        _ => format!("{READING} {}", grouped(rows as u64)),
    }
}

/// How far down the cursor is.
pub fn position(cursor: usize, rows: usize) -> String {
    match rows.checked_sub(1) {
        None | Some(0) => "100 %".to_owned(),
        Some(last) => format!("{} %", cursor.min(last) * 100 / last),
    }
}

/// How much of the quota is taken, from the longest form to the shortest.
pub fn quota(answer: &QuotaAnswer) -> [String; 3] {
    let taken = answer.used.saturating_add(answer.reserved);
    let usual = match answer.limit {
        Some(limit) => bytes_of(taken, limit),
        None => format!("none · {} used", ByteSize(taken)),
    };
    let short = match answer.limit {
        Some(limit) => format!("{}/{}", size_short(taken), size_short(limit)),
        None => format!("none · {}", size_short(taken)),
    };
    match answer.reserved {
        0 => [usual.clone(), usual, short],
        reserved => [format!("{usual} · {} in flight", ByteSize(reserved)), usual, short],
    }
}

/// How much the disk still takes.
pub fn disk_free(bytes: u64) -> String {
    format!("{} free", ByteSize(bytes))
}

/// What is carried: `12 items · 3.4 GB → sampan://anna@box/docs`.
pub fn carried(extent: Extent, target: Option<&str>, moves: bool) -> String {
    let what = match extent.items {
        folders if folders == extent.folders => size(extent),
        1 => format!("1 item · {}", size(extent)),
        items => format!("{} items · {}", grouped(items as u64), size(extent)),
    };
    let verb = if moves { "move " } else { "" };
    let target = target.map(|target| format!(" → {target}")).unwrap_or_default();
    format!("{verb}{what}{target}")
}
