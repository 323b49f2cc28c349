use super::*;
use crate::app::testing::{file, home, name, order};
use crate::failure::{Failure, Side, Situation};
use crate::transfer::{Phase, SkipReason};

const BATCH: BatchId = BatchId(7);
const ITEM: ItemId = ItemId(1);
const MB: u64 = 1_000_000;

fn at(text: &str) -> Location {
    home().join(&name(text)).unwrap()
}

fn started(item: ItemId, files: u64, bytes: u64, resumed: u64) -> Event {
    let direction = Direction::Upload;
    let transfer = Transfer { direction, from: at("a"), to: at("b"), files, bytes, resumed };
    Event::Started { batch: BATCH, item, transfer }
}

fn finished(item: ItemId, bytes: u64, outcome: Outcome) -> Event {
    let source = Some(file("a", bytes).attributes);
    Event::Finished { batch: BATCH, item, from: at("a"), to: at("b"), source, outcome }
}

fn planned(files: u64, bytes: u64) -> Event {
    let totals = Totals { files, folders: 0, bytes };
    Event::Planned { batch: BATCH, totals, complete: true }
}

fn done() -> Outcome {
    Outcome::Done { moved: 1, root: None }
}

fn running(now: Instant, events: impl IntoIterator<Item = Event>) -> Transfers {
    let mut transfers = Transfers::new(now);
    transfers.begin(BATCH, order(), now);
    events.into_iter().for_each(|event| transfers.apply(event, now));
    transfers
}

fn only_item(transfers: &Transfers) -> &Item {
    match transfers.lines().next() {
        Some(Line::Running(item)) => item,
        other => panic!("no running transfer: {other:?}"),
    }
}

#[test]
fn the_gauge_for_all_counts_what_runs_what_is_done_and_what_was_there() {
    let now = Instant::now();
    let transfers = running(
        now,
        [
            planned(4, 100 * MB),
            // It was there already, and is not in what is carried.
            finished(ItemId(2), 20 * MB, Outcome::Unchanged),
            started(ITEM, 1, 50 * MB, 10 * MB),
            Event::Progress { item: ITEM, bytes: 30 * MB },
            started(ItemId(3), 1, 5 * MB, 0),
            finished(ItemId(3), 5 * MB, done()),
        ],
    );
    let all = transfers.overall(now).unwrap();
    assert_eq!((all.bytes, all.total, all.planned), (35 * MB, 100 * MB, true));
    assert_eq!((all.settled, all.count, all.active), (1, 4, 1));
    assert_eq!(all.ended, None);
}

#[test]
fn a_group_counts_its_bytes_once() {
    let now = Instant::now();
    let mut transfers = running(
        now,
        [
            planned(3, 3 * MB),
            started(ITEM, 3, 3 * MB, 0),
            Event::Progress { item: ITEM, bytes: 3 * MB },
            finished(ITEM, MB, done()),
            finished(ITEM, MB, done()),
            finished(ITEM, MB, done()),
        ],
    );
    assert_eq!(transfers.overall(now).unwrap().bytes, 3 * MB);
    transfers.apply(Event::GroupFinished { item: ITEM }, now);
    let all = transfers.overall(now).unwrap();
    assert_eq!((all.bytes, all.settled, all.active), (3 * MB, 3, 0));
}

#[test]
fn what_was_there_raises_the_gauge_and_not_the_rate() {
    let now = Instant::now();
    let transfers = running(now, [started(ITEM, 1, 100 * MB, 60 * MB)]);
    assert_eq!(only_item(&transfers).bytes, 60 * MB);
    assert!(only_item(&transfers).rate.value(now) < 1.0);
}

#[test]
fn states_follow_phase_link_and_silence() {
    use State::{Paused, Reconnecting, Running, Stalled, Verifying, Waiting};
    let start = Instant::now();
    let soon = start + Duration::from_secs(1);
    let late = start + STALL;
    let cases = [
        (Phase::Waiting, false, late, Waiting),
        (Phase::Waiting, true, late, Reconnecting),
        (Phase::Running, false, soon, Running),
        (Phase::Running, false, late, Stalled),
        (Phase::Running, true, soon, Reconnecting),
        (Phase::Verifying, false, late, Verifying),
        (Phase::Committing, false, late, Verifying),
        (Phase::Committing, true, late, Reconnecting),
        (Phase::Paused, true, late, Paused),
    ];
    for (phase, broken, now, state) in cases {
        let phased = Event::Phase { item: ITEM, phase };
        let transfers = running(start, [started(ITEM, 1, MB, 0), phased]);
        assert_eq!(only_item(&transfers).state(broken, now), state, "{phase:?} {broken}");
    }
}

#[test]
fn blocks_sent_again_take_the_gauge_back() {
    let now = Instant::now();
    let back = [MB, MB / 2].map(|bytes| Event::Progress { item: ITEM, bytes });
    let transfers = running(now, [started(ITEM, 1, MB, 0)].into_iter().chain(back));
    assert_eq!(only_item(&transfers).bytes, MB / 2);
}

#[test]
fn the_end_is_told_with_what_failed_and_why() {
    let start = Instant::now();
    let failure = Failure::new(Situation::NotFound(Side::Local), "a");
    let mut transfers =
        running(start, [planned(1, MB), finished(ITEM, MB, Outcome::Failed(failure.clone()))]);
    assert!(transfers.is_running());
    let summary = Summary { failed: 1, failures: vec![failure.clone()], ..Summary::default() };
    let later = start + Duration::from_secs(61);
    transfers.apply(Event::Summary { batch: BATCH, summary }, later);
    assert!(!transfers.is_running());
    let ended = transfers.overall(later + Duration::from_secs(9)).unwrap().ended.unwrap();
    assert_eq!((ended.failed, ended.took), (1, Duration::from_secs(61)));
    assert!(
        transfers.lines().any(|line| matches!(line, Line::Failed(lost) if lost.failure == failure))
    );
    assert!(transfers.dismiss(later));
    assert!(transfers.is_empty());
}

#[test]
fn what_cannot_be_carried_is_named_and_what_was_declined_is_not() {
    let reasons = [SkipReason::Link, SkipReason::TargetExists, SkipReason::NotAFile];
    let told = reasons.map(|reason| finished(ITEM, 1, Outcome::Skipped(reason)));
    let transfers = running(Instant::now(), told);
    let left_out: Vec<_> = transfers
        .lines()
        .map(|line| match line {
            Line::LeftOut(left) => left.reason,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(left_out, [SkipReason::NotAFile, SkipReason::Link], "latest first");
    assert_eq!(transfers.line_count(), 2);
}

#[test]
fn a_batch_after_rest_starts_anew_and_one_beside_adds_up() {
    let now = Instant::now();
    let mut transfers = running(now, [planned(1, MB)]);
    transfers.begin(BatchId(8), order(), now);
    let totals = Totals { files: 1, folders: 0, bytes: MB };
    transfers.apply(Event::Planned { batch: BatchId(8), totals, complete: true }, now);
    assert_eq!(transfers.overall(now).unwrap().total, 2 * MB);
    for batch in [BATCH, BatchId(8)] {
        transfers.apply(Event::Summary { batch, summary: Summary::default() }, now);
    }
    transfers.begin(BatchId(9), order(), now);
    assert_eq!(transfers.overall(now).unwrap().total, 0);
}

#[test]
fn an_answer_for_the_batch_answers_its_other_questions() {
    let now = Instant::now();
    let side = || (at("a"), file("a", 1).attributes);
    let ask = |batch, item| Event::Conflict { batch, item, from: side(), to: side() };
    let mut transfers =
        running(now, [ask(BATCH, ItemId(1)), ask(BATCH, ItemId(2)), ask(BatchId(8), ItemId(3))]);
    let first = transfers.conflict().unwrap().clone();
    transfers.answered(&first, true);
    assert_eq!(transfers.conflict().unwrap().item, ItemId(3));
}

/// The engine's totals hold what is carried; what was there already fills no gauge.
#[test]
fn what_was_there_already_does_not_fill_the_gauge() {
    let now = Instant::now();
    let mut transfers = running(now, [planned(1, 10 * MB)]);
    for item in 10..30 {
        transfers.apply(finished(ItemId(item), 5 * MB, Outcome::Unchanged), now);
        let skipped = Outcome::Skipped(SkipReason::TargetExists);
        transfers.apply(finished(ItemId(item + 100), 5 * MB, skipped), now);
    }
    let overall = transfers.overall(now).unwrap();
    assert_eq!((overall.bytes, overall.total, overall.settled), (0, 10 * MB, 0));
    transfers.apply(started(ITEM, 1, 10 * MB, 0), now);
    transfers.apply(finished(ITEM, 10 * MB, done()), now);
    let overall = transfers.overall(now).unwrap();
    assert_eq!((overall.bytes, overall.total, overall.settled), (10 * MB, 10 * MB, 1));
}

/// Questions that were on their way when the person answered for all are not asked again.
#[test]
fn a_question_that_comes_after_the_answer_for_all_is_not_asked() {
    let now = Instant::now();
    let conflict = |item: u64| Event::Conflict {
        batch: BATCH,
        item: ItemId(item),
        from: (at("a"), file("a", 1).attributes),
        to: (at("b"), file("b", 2).attributes),
    };
    let mut transfers = running(now, [conflict(1), conflict(2)]);
    let first = transfers.conflict().unwrap().clone();
    transfers.answered(&first, false);
    transfers.apply(conflict(3), now);
    assert_eq!(transfers.conflict().unwrap().item, ItemId(2));
    let second = transfers.conflict().unwrap().clone();
    transfers.answered(&second, true);
    transfers.apply(conflict(4), now);
    assert!(transfers.conflict().is_none());
}
