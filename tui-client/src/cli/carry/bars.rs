//! Bars on a terminal: one for each active transfer, as many as are bearable, and one for the whole.
//!
//! Invariant: they are drawn at most ten times a second, on standard error; when they are gone
//! nothing of them is left on the screen.

use std::collections::HashMap;
use std::time::Instant;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::gauges::Gauges;
use crate::catalogue::cli as text;
use crate::place::Location;
use crate::remote::LinkState;
use crate::transfer::{Event, ItemId, Phase, Transfer};

const DRAWS_PER_SECOND: u8 = 10;

/// Active transfers that have a bar; more only count in the whole.
const MOST_BARS: usize = 8;

/// Columns of a bar's name.
const NAME_COLUMNS: usize = 24;

const PART: &str = "{prefix} {wide_bar} {decimal_total_bytes:>10} {percent:>3}% {msg:12}";
const WHOLE: &str = "{prefix} {wide_bar} {decimal_total_bytes:>10} {percent:>3}% \
                     {decimal_bytes_per_sec:>12} {eta:>4} {msg}";

/// The bars of one batch.
pub(super) struct Bars {
    all: MultiProgress,
    whole: ProgressBar,
    parts: HashMap<ItemId, ProgressBar>,
    gauges: Gauges,
}

impl Bars {
    /// On standard error, nothing drawn yet.
    pub(super) fn new() -> Self {
        let all = MultiProgress::with_draw_target(target());
        let whole = all.add(ProgressBar::no_length().with_style(style(WHOLE)));
        whole.set_prefix(fit(&text::whole(0)));
        Self { all, whole, parts: HashMap::new(), gauges: Gauges::default() }
    }

    /// Shows what an event changes.
    pub(super) fn take(&mut self, event: &Event) {
        self.gauges.take(event);
        match event {
            Event::Started { item, transfer, .. } => self.begin(*item, transfer),
            Event::Progress { item, bytes } => {
                if let Some(part) = self.parts.get(item) {
                    part.set_position(*bytes);
                }
            }
            Event::Phase { item, phase } => {
                if let Some(part) = self.parts.get(item) {
                    part.set_message(phase_name(*phase));
                }
            }
            Event::Finished { item, .. } => {
                // A group goes on after each of its members.
                let is_group = self.gauges.is_active(*item);
                if !is_group {
                    self.end(*item);
                }
            }
            Event::GroupFinished { item } => self.end(*item),
            Event::Planned { .. } | Event::Conflict { .. } | Event::Summary { .. } => {}
        }
        let (length, position) = self.gauges.whole();
        if let Some(length) = length {
            self.whole.set_length(length);
        }
        self.whole.set_position(position);
        self.whole.set_prefix(fit(&text::whole(self.gauges.files())));
    }

    fn begin(&mut self, item: ItemId, transfer: &Transfer) {
        if self.parts.len() == MOST_BARS {
            return;
        }
        let bar = ProgressBar::new(transfer.bytes).with_style(style(PART));
        let bar = self.all.insert_before(&self.whole, bar);
        bar.set_prefix(fit(&name(transfer)));
        bar.set_position(transfer.resumed);
        self.parts.insert(item, bar);
        if transfer.resumed > 0 {
            // What was there already says nothing about the rate.
            self.whole.set_position(self.gauges.whole().1);
            self.whole.reset_eta();
        }
    }

    fn end(&mut self, item: ItemId) {
        if let Some(bar) = self.parts.remove(&item) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
    }

    /// Shows how the link is.
    pub(super) fn link(&self, link: &LinkState, now: Instant) {
        self.whole.set_message(text::link(link, now));
    }

    /// Prints a line above the bars.
    pub(super) fn above(&self, print: impl FnOnce()) {
        self.all.suspend(print);
    }

    /// Takes the bars off the screen while a question stands there.
    pub(super) fn hide(&self) {
        // A terminal that cannot be cleared shows a stale bar; there is nothing else to do.
        let _cleared = self.all.clear();
        self.all.set_draw_target(ProgressDrawTarget::hidden());
    }

    /// Brings them back.
    pub(super) fn show(&self) {
        self.all.set_draw_target(target());
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        self.parts.values().for_each(ProgressBar::finish_and_clear);
        self.whole.finish_and_clear();
        let _cleared = self.all.clear();
    }
}

fn target() -> ProgressDrawTarget {
    ProgressDrawTarget::stderr_with_hz(DRAWS_PER_SECOND)
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are tested")
}

fn name(transfer: &Transfer) -> String {
    let name = |location: &Location| {
        location.name().map_or_else(|| location.to_string(), |name| name.to_string())
    };
    match transfer.files {
        1 => name(&transfer.from),
        files => text::group(files, &name(&transfer.from)),
    }
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Running => "",
        other => text::phase(other),
    }
}

/// Exactly [`NAME_COLUMNS`] wide: cut in its middle, for the end of a name tells its kind, or padded.
fn fit(name: &str) -> String {
    let width = name.width();
    if width <= NAME_COLUMNS {
        return format!("{name}{}", " ".repeat(NAME_COLUMNS - width));
    }
    let (head_columns, tail_columns) = (NAME_COLUMNS / 2, NAME_COLUMNS - NAME_COLUMNS / 2 - 1);
    let head = take(name.graphemes(true), head_columns);
    let tail = take(name.graphemes(true).rev(), tail_columns);
    let tail: String = tail.iter().rev().copied().collect();
    let shown = format!("{}…{tail}", head.concat());
    let width = shown.width();
    format!("{shown}{}", " ".repeat(NAME_COLUMNS.saturating_sub(width)))
}

fn take<'a>(graphemes: impl Iterator<Item = &'a str>, columns: usize) -> Vec<&'a str> {
    let mut left = columns;
    graphemes
        .take_while(|grapheme| {
            let fits = grapheme.width() <= left;
            left = left.saturating_sub(grapheme.width());
            fits
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_sound() {
        style(PART);
        style(WHOLE);
    }

    #[test]
    fn names_fit_their_columns() {
        let cases = [
            ("a.txt", "a.txt                   "),
            ("abcdefghijklmnopqrstuvwx", "abcdefghijklmnopqrstuvwx"),
            ("abcdefghijklmnopqrstuvwxyz.txt", "abcdefghijkl…tuvwxyz.txt"),
            ("你好你好你好你好你好你好你好你好.txt", "你好你好你好…好你好.txt "),
        ];
        for (name, expected) in cases {
            assert_eq!(fit(name), expected);
            assert_eq!(fit(name).width(), NAME_COLUMNS);
        }
        assert_eq!(fit(&"👩‍🚀".repeat(40)).width(), NAME_COLUMNS);
    }
}
