//! The transfers: a gauge for all, then one a transfer, then what failed and why.

use super::gauge;
use super::paint::Paint;
use crate::app::App;
use crate::app::layout::Area;
use crate::app::transfers::{Item, Line, Overall, State};
use crate::app::width::{fit, fit_right, width};
use crate::catalogue::screen as text;
use crate::failure::Failure;
use crate::message::Message;

pub(super) fn paint(app: &App, area: Area, paint: &mut Paint) {
    if area.height == 0 {
        return;
    }
    let broken = app.connection.is_broken();
    if let Some(all) = app.transfers.overall(paint.now) {
        overall(&all, broken, area.row(0), paint);
    }
    let below = (1..area.height).map(|row| area.row(row));
    let offset = app.transfers.offset.min(app.transfers.line_count().saturating_sub(1));
    for (area, line) in below.zip(app.transfers.lines().skip(offset)) {
        match line {
            Line::Running(item) => running(item, broken, area, paint),
            Line::Failed(lost) => failed(app, &lost.failure, area, paint),
            Line::LeftOut(left) => {
                let line = text::left_out(&left.from, left.reason);
                paint.text(area, &line, paint.theme.plain);
            }
        }
    }
}

/// Columns of the gauge for all.
const SHORTEST: usize = 8;
const LONGEST: usize = 24;

/// A gauge, then what there is room for.
fn overall(all: &Overall, broken: bool, area: Area, paint: &mut Paint) {
    // What was fast before the link died says nothing of when it will be done.
    let ((up, down), left) = if broken { ((0.0, 0.0), None) } else { (all.rates, all.left) };
    if let Some(ended) = &all.ended {
        let style = if ended.failed > 0 { paint.theme.bad } else { paint.theme.good };
        let mark = if ended.failed > 0 { "!" } else { "✓" };
        let line = format!("{mark} {}", text::ended(ended));
        let room = usize::from(area.width).saturating_sub(width(&line));
        let hint = if ended.failed > 0 { text::RETRY_HINT } else { "" };
        let hint = if width(hint) <= room { hint } else { "" };
        paint.text(area, &format!("{line}{hint}"), style);
        return;
    }
    let mut rates = Vec::new();
    for (arrow, rate) in [("↑", up), ("↓", down)] {
        if rate >= 1.0 {
            rates.push(format!("{arrow} {}", text::rate(rate)));
        }
    }
    // Before anything was found, nothing is done of an unknown whole.
    let total = if all.planned { all.total } else { all.total.max(1) };
    let parts = [
        fit_right(&text::percent(all.bytes, total), 5),
        text::bytes_of(all.bytes, all.total),
        rates.join(" "),
        text::left(left),
        text::overall(all),
    ];
    let mut room = usize::from(area.width).saturating_sub(width(text::ALL) + 1 + SHORTEST);
    let mut tail = String::new();
    for part in parts.iter().filter(|part| !part.is_empty()) {
        let columns = width(part) + 2;
        if columns > room {
            continue;
        }
        room -= columns;
        tail = format!("{tail}  {part}");
    }
    let columns = (SHORTEST + room).min(LONGEST);
    let bar = gauge::bar(gauge::fraction(all.bytes, total), columns);
    paint.text(area, &format!("{} {bar}{tail}", text::ALL), paint.theme.filled);
}

fn running(item: &Item, broken: bool, area: Area, paint: &mut Paint) {
    const PERCENT: usize = 5;
    const BYTES: usize = 11;
    const RATE: usize = 9;
    const LEFT: usize = 7;
    const STATE: usize = 12;
    let all = usize::from(area.width);
    let (gauge_columns, bytes_columns) = match all {
        110.. => (14, 20),
        80..110 => (8, BYTES),
        _ => (6, BYTES),
    };
    let state = item.state(broken, paint.now);
    let transfer = &item.transfer;
    let bytes = if bytes_columns > BYTES {
        text::bytes_of(item.bytes, transfer.bytes)
    } else {
        format!("{}/{}", text::size_short(item.bytes), text::size_short(transfer.bytes))
    };
    let moves = matches!(state, State::Running | State::Verifying);
    let rate = text::rate(if broken { 0.0 } else { item.rate.value(paint.now) });
    let left = text::left(item.left(paint.now).filter(|_| moves));
    let word = text::state(state);
    let tail = match (all >= 80, state) {
        (true, _) => {
            format!("{} {} {}", fit_right(&rate, RATE), fit_right(&left, LEFT), fit(word, STATE))
        }
        (false, State::Running) => {
            format!("{} {}", fit_right(&rate, RATE), fit_right(&left, LEFT - 1))
        }
        (false, _) => fit(word, RATE + LEFT),
    };
    let right = format!(
        " {} {} {} {tail}",
        gauge::bar(gauge::fraction(item.bytes, transfer.bytes), gauge_columns),
        fit_right(&text::percent(item.bytes, transfer.bytes), PERCENT),
        fit_right(&bytes, bytes_columns),
    );
    let name = transfer.to.name().map_or_else(|| transfer.to.to_string(), |name| name.to_string());
    let name = if item.is_group() { text::group(&name, transfer.files) } else { name };
    let room = all.saturating_sub(2 + width(&right));
    let line = format!("{} {}{right}", text::arrow(transfer.direction), fit(&name, room));
    let style = match state {
        State::Stalled | State::Reconnecting => paint.theme.bad,
        State::Waiting | State::Paused => paint.theme.faint,
        State::Running | State::Verifying => paint.theme.plain,
    };
    paint.text(area, &line, style);
}

fn failed(app: &App, failure: &Failure, area: Area, paint: &mut Paint) {
    let message = Message::of(failure, app.connection.account());
    paint.text(area, &format!("! {} · {message}", text::FAILED), paint.theme.bad);
}
