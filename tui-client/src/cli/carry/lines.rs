//! The engine's events as JSON lines for scripts.
//!
//! `plan start progress done skip unchanged fail summary`; paths of the home are relative to it, local
//! ones absolute. `id` pairs the lines of one transfer; the members of a group of small files carry
//! the group's. Folders have one line only, once their contents are there.
//!
//! Invariant: progress comes at most four times a second for each transfer; every other event once.

use std::collections::HashMap;
use std::os::unix::ffi::OsStrExt;
use std::time::{Duration, Instant};

use crate::catalogue::cli as text;
use crate::cli::exit::Code;
use crate::cli::json::Line;
use crate::place::Location;
use crate::transfer::{Event, ItemId, Outcome, Summary, Totals};

/// Least time between two progress lines of one transfer.
const PROGRESS_EVERY: Duration = Duration::from_millis(250);

/// Makes lines of events.
#[derive(Debug, Default)]
pub(super) struct Lines {
    running: HashMap<ItemId, Running>,
}

#[derive(Debug)]
struct Running {
    bytes: u64,
    told: Option<Instant>,
}

/// What failed, for its line.
pub(super) struct Failed {
    /// The sentence.
    pub(super) message: String,
    /// The code that it alone would end with.
    pub(super) code: Code,
}

impl Lines {
    /// The line for an event, if it has one. `failed` describes an outcome that is a failure.
    pub(super) fn of(
        &mut self,
        event: &Event,
        failed: Option<Failed>,
        now: Instant,
    ) -> Option<Line> {
        match event {
            Event::Planned { totals, complete, .. } => Some(
                Line::event("plan")
                    .with("files", totals.files)
                    .with("folders", totals.folders)
                    .with("bytes", totals.bytes)
                    .with("complete", *complete),
            ),
            Event::Started { item, transfer, .. } => {
                self.running.insert(*item, Running { bytes: transfer.bytes, told: None });
                let line = Line::event("start").with("id", item.0);
                Some(
                    between(line, &transfer.from, &transfer.to)
                        .with("files", transfer.files)
                        .with("bytes", transfer.bytes)
                        .with("resumed", transfer.resumed),
                )
            }
            Event::Progress { item, bytes } => {
                let running = self.running.get_mut(item)?;
                let is_due = running.told.is_none_or(|told| now - told >= PROGRESS_EVERY);
                if !is_due {
                    return None;
                }
                running.told = Some(now);
                let line = Line::event("progress").with("id", item.0);
                Some(line.with("done", *bytes).with("bytes", running.bytes))
            }
            Event::Finished { item, from, to, outcome, source, .. } => {
                let line = match outcome {
                    Outcome::Done { .. } => Line::event("done"),
                    Outcome::Unchanged => Line::event("unchanged"),
                    Outcome::Skipped(_) => Line::event("skip"),
                    Outcome::Failed(_) => Line::event("fail"),
                };
                let line = between(line.with("id", item.0), from, to);
                let line = match source {
                    Some(source) => line.with("bytes", source.size),
                    None => line,
                };
                Some(match (outcome, failed) {
                    (Outcome::Done { moved, root }, _) => {
                        let root = root.as_ref().map(ToString::to_string);
                        line.with("moved", *moved).with("blake3", root)
                    }
                    (Outcome::Skipped(reason), _) => line.with("reason", text::skip_word(*reason)),
                    (Outcome::Failed(_), Some(Failed { message, code })) => {
                        line.with("message", message).with("code", code as u8)
                    }
                    (Outcome::Unchanged | Outcome::Failed(_), _) => line,
                })
            }
            Event::Summary { summary, .. } => Some(whole(summary)),
            Event::Phase { .. } | Event::GroupFinished { .. } | Event::Conflict { .. } => None,
        }
    }
}

fn whole(summary: &Summary) -> Line {
    let line = Line::event("summary")
        .with("done", summary.done)
        .with("unchanged", summary.unchanged)
        .with("skipped", summary.skipped)
        .with("failed", summary.failed)
        .with("bytes", summary.bytes)
        .with("moved", summary.moved);
    match summary.planned {
        None => line,
        Some(Totals { files, folders, bytes }) => line
            .with("planned_files", files)
            .with("planned_folders", folders)
            .with("planned_bytes", bytes),
    }
}

fn between(line: Line, from: &Location, to: &Location) -> Line {
    line.with_bytes("from", &bytes(from)).with_bytes("to", &bytes(to))
}

fn bytes(location: &Location) -> Vec<u8> {
    match location {
        Location::Local(path) => path.as_os_str().as_bytes().to_vec(),
        Location::Remote(path) => path.to_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use sampan_protocol::{RemotePath, Root};

    use super::*;
    use crate::failure::{Failure, Side, Situation};
    use crate::transfer::{BatchId, Direction, SkipReason, Transfer};

    fn from() -> Location {
        Location::Local("/l/a".into())
    }

    fn to() -> Location {
        Location::Remote(RemotePath::parse(b"r/\xff").unwrap())
    }

    fn finished(outcome: Outcome) -> Event {
        let (batch, item) = (BatchId(1), ItemId(7));
        Event::Finished { batch, item, from: from(), to: to(), source: None, outcome }
    }

    #[test]
    fn every_event_of_the_contract_has_its_line() {
        let batch = BatchId(1);
        let totals = Totals { files: 2, folders: 1, bytes: 30 };
        let direction = Direction::Upload;
        let transfer =
            Transfer { direction, from: from(), to: to(), files: 1, bytes: 30, resumed: 10 };
        let failure = Failure::new(Situation::NotFound(Side::Local), "x");
        let failed = || Failed { message: "x: gone".into(), code: Code::NoSuchFile };
        let ends = r#""from":"/l/a","to":"r/�","to_b64":"ci//""#;
        let table = [
            (
                Event::Planned { batch, totals, complete: true },
                r#"{"event":"plan","files":2,"folders":1,"bytes":30,"complete":true}"#.to_owned(),
            ),
            (
                Event::Started { batch, item: ItemId(7), transfer },
                format!(r#"{{"event":"start","id":7,{ends},"files":1,"bytes":30,"resumed":10}}"#),
            ),
            (
                Event::Progress { item: ItemId(7), bytes: 20 },
                r#"{"event":"progress","id":7,"done":20,"bytes":30}"#.to_owned(),
            ),
            (
                finished(Outcome::Done { moved: 20, root: Some(Root([0xab; 32])) }),
                format!(
                    r#"{{"event":"done","id":7,{ends},"moved":20,"blake3":"{}"}}"#,
                    "ab".repeat(32)
                ),
            ),
            (
                finished(Outcome::Unchanged),
                format!(r#"{{"event":"unchanged","id":7,{ends}}}"#),
            ),
            (
                finished(Outcome::Skipped(SkipReason::Link)),
                format!(r#"{{"event":"skip","id":7,{ends},"reason":"link"}}"#),
            ),
            (
                finished(Outcome::Failed(failure)),
                format!(r#"{{"event":"fail","id":7,{ends},"message":"x: gone","code":7}}"#),
            ),
            (
                Event::Summary { batch, summary: Summary { done: 1, ..Summary::default() } },
                r#"{"event":"summary","done":1,"unchanged":0,"skipped":0,"failed":0,"bytes":0,"moved":0}"#
                    .to_owned(),
            ),
        ];
        let mut lines = Lines::default();
        for (event, expected) in table {
            let line = lines.of(&event, Some(failed()), Instant::now());
            assert_eq!(line.map(|line| line.to_string()), Some(expected));
        }
    }

    #[test]
    fn progress_is_throttled_for_each_transfer() {
        let mut lines = Lines::default();
        let start = Instant::now();
        for item in [1, 2] {
            lines.running.insert(ItemId(item), Running { bytes: 9, told: None });
        }
        let mut tells = |item, millis| {
            let event = Event::Progress { item: ItemId(item), bytes: 1 };
            lines.of(&event, None, start + Duration::from_millis(millis)).is_some()
        };
        assert!(tells(1, 0) && tells(2, 0));
        assert!(!tells(1, 249) && tells(1, 250) && !tells(1, 300) && tells(2, 300));
    }
}
