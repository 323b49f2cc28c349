//! Copies, moves, questions of the engine, leaving while something runs.

use super::*;
use crate::app::changes::Change;
use crate::app::dialog::content::{Block, Content};
use crate::app::testing::name;
use crate::failure::{Failure, Situation};
use crate::transfer::{
    Batch, BatchId, Command, Direction, Event as Told, ItemId, OnConflict, Outcome, Resolution,
    Route, Summary, Totals, Transfer,
};

fn submitted(effects: &[Effect]) -> (BatchId, Batch) {
    match effects {
        [Effect::Transfer(Command::Submit(id, batch))] => (*id, batch.clone()),
        other => panic!("one batch was expected: {other:?}"),
    }
}

fn here(text: &str) -> Location {
    crate::app::testing::home().join(&name(text)).unwrap()
}

fn there(text: &str) -> Location {
    Location::Remote(RemotePath::parse(text.as_bytes()).unwrap())
}

fn conflict(batch: BatchId, item: u64) -> Event {
    Event::Transfer(Told::Conflict {
        batch,
        item: ItemId(item),
        from: (here("f0"), file("f0", 5).attributes),
        to: (there("f0"), file("f0", 6).attributes),
    })
}

fn summary(batch: BatchId) -> Event {
    Event::Transfer(Told::Summary { batch, summary: Summary::default() })
}

#[test]
fn f5_copies_what_is_marked_and_asks_nothing() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("End Space Home Down Space F5");
    assert!(bench.app.dialogs.is_empty());
    let (_, batch) = submitted(&bench.taken());
    let Route::Upload { sources, target } = batch.route else { panic!("{batch:?}") };
    let paths: Vec<_> = sources.iter().map(|source| source.path.to_str().unwrap()).collect();
    assert_eq!(paths, ["/home/anna/docs", "/home/anna/f9"]);
    assert_eq!((target.path, target.is_folder), (RemotePath::home(), true));
    assert_eq!(batch.options.on_conflict, OnConflict::Ask);
    assert!(bench.left().marks.is_empty());
}

#[test]
fn f5_from_the_right_pane_downloads() {
    let mut bench = Bench::new(&twelve(), &[file("there", 1)]);
    bench.press("Tab F5");
    let (_, batch) = submitted(&bench.taken());
    let Route::Download { sources, target } = batch.route else { panic!("{batch:?}") };
    assert_eq!(sources[0].path.to_string(), "/there");
    assert_eq!(target.path.to_str(), Some("/home/anna"));
}

#[test]
fn a_conflict_asks_and_each_answer_goes_to_the_engine() {
    let cases = [
        ("y", Resolution::Overwrite, false),
        ("o", Resolution::Overwrite, false),
        ("n", Resolution::Skip, false),
        ("s", Resolution::Skip, false),
        ("Enter", Resolution::Skip, false),
        ("Esc", Resolution::Skip, false),
        ("k", Resolution::Rename, false),
        ("w", Resolution::Newer, false),
        ("a y", Resolution::Overwrite, true),
        ("a a n", Resolution::Skip, false),
    ];
    for (keys, answer, whole_batch) in cases {
        let mut bench = Bench::new(&twelve(), &[]);
        bench.press("End F5");
        let (batch, _) = submitted(&bench.taken());
        bench.event(conflict(batch, 1));
        assert!(matches!(bench.dialog(), Dialog::Overwrite(_)));
        bench.press(keys);
        let resolved = Command::Resolve { item: ItemId(1), answer, whole_batch };
        assert_eq!(bench.taken(), [Effect::Transfer(resolved)], "{keys}");
        assert!(bench.app.dialogs.is_empty());
    }
}

#[test]
fn questions_come_one_after_the_other_and_never_over_another_dialog() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("End F5");
    let (batch, _) = submitted(&bench.taken());
    bench.press("F7 x");
    bench.event(conflict(batch, 1)).event(conflict(batch, 2));
    assert!(matches!(bench.dialog(), Dialog::Name(_)), "nobody types into a question");
    bench.press("Esc");
    assert!(matches!(bench.dialog(), Dialog::Overwrite(d) if d.conflict.item == ItemId(1)));
    bench.press("n");
    assert!(matches!(bench.dialog(), Dialog::Overwrite(d) if d.conflict.item == ItemId(2)));
    bench.event(summary(batch));
    assert!(bench.app.dialogs.is_empty(), "a question without an asker goes");
}

#[test]
fn an_answer_for_all_takes_the_other_questions_of_the_batch_away() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("End F5");
    let (batch, _) = submitted(&bench.taken());
    bench.event(conflict(batch, 1)).event(conflict(batch, 2)).press("a y");
    assert!(bench.app.dialogs.is_empty());
}

#[test]
fn leaving_asks_while_something_runs_and_not_before_or_after() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("End F5");
    let (batch, _) = submitted(&bench.taken());
    bench.press("F10");
    assert!(matches!(bench.dialog(), Dialog::Quit(_)));
    bench.press("n");
    assert_eq!(bench.taken(), []);
    bench.press("q y");
    assert_eq!(bench.taken(), [Effect::Leave]);
    bench.event(summary(batch));
    bench.taken();
    bench.press("F10");
    assert_eq!(bench.taken(), [Effect::Leave]);
}

#[test]
fn the_question_about_leaving_tells_what_runs_now() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("End F5");
    let (batch, _) = submitted(&bench.taken());
    bench.press("F10");
    let running = Block::Text(crate::catalogue::screen::QUIT_TRANSFERS.to_owned());
    assert!(Content::of(bench.dialog(), &bench.app).blocks.contains(&running));
    bench.event(summary(batch));
    assert!(!Content::of(bench.dialog(), &bench.app).blocks.contains(&running));
}

#[test]
fn the_question_about_stopping_goes_when_nothing_runs() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("End F5");
    let (batch, _) = submitted(&bench.taken());
    bench.press("x");
    assert!(matches!(bench.dialog(), Dialog::Stop(_)));
    bench.event(summary(batch));
    assert!(bench.app.dialogs.is_empty());
}

#[test]
fn f6_removes_each_source_only_after_it_is_across() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("End F6");
    let (batch, order) = submitted(&bench.taken());
    assert!(order.options.checksum, "what is there already must have equal contents");
    let read = file("f9", 100).attributes;
    let transfer = Transfer {
        direction: Direction::Upload,
        from: here("f9"),
        to: there("f9"),
        files: 1,
        bytes: 100,
        resumed: 0,
    };
    bench.event(Event::Transfer(Told::Started { batch, item: ItemId(1), transfer }));
    assert_eq!(bench.taken(), []);
    bench.event(Event::Transfer(Told::Finished {
        batch,
        item: ItemId(1),
        from: here("f9"),
        to: there("f9"),
        source: Some(read.clone()),
        outcome: Outcome::Done { moved: 100, root: None },
    }));
    let effects = bench.taken();
    let [Effect::Change { id, change: Change::Remove(seen) }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((&seen[0].location, &seen[0].attributes), (&here("f9"), &read));
    bench.event(summary(batch));
    assert!(bench.app.is_busy(), "the move is not over before its source is gone");
    bench.event(Event::Changed { id: *id, failures: vec![] });
    assert!(!bench.app.is_busy());
}

#[test]
fn stopping_asks_and_cancels_every_batch() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("End F5");
    let (batch, _) = submitted(&bench.taken());
    bench.press("x n");
    assert_eq!(bench.taken(), []);
    bench.press("x y");
    assert_eq!(bench.taken(), [Effect::Transfer(Command::Cancel(batch))]);
}

#[test]
fn panes_follow_what_arrives_but_not_with_every_file() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("End F5");
    let (batch, _) = submitted(&bench.taken());
    let totals = Totals { files: 100, folders: 0, bytes: 100 };
    bench.event(Event::Transfer(Told::Planned { batch, totals, complete: true }));
    let mut lists = 0;
    for item in 0..100 {
        bench.event(Event::Transfer(Told::Finished {
            batch,
            item: ItemId(item),
            from: here("f9"),
            to: there("f9"),
            source: None,
            outcome: Outcome::Unchanged,
        }));
        bench.wait(Duration::from_millis(10));
        lists += bench
            .taken()
            .iter()
            .filter(|effect| matches!(effect, Effect::List { pane: PaneId::Right, .. }))
            .count();
    }
    assert!((1..=2).contains(&lists), "{lists} in a second");
}

#[test]
fn while_uploads_run_the_quota_is_asked_for_every_two_seconds() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("End F5");
    let mut asked = 0;
    for _ in 0..100 {
        bench.wait(Duration::from_millis(50));
        asked += bench.taken().iter().filter(|effect| **effect == Effect::AskQuota).count();
    }
    assert_eq!(asked, 3);
}

fn failed(batch: BatchId, name: &str, to: Location) -> Event {
    let failure = Failure::new(Situation::LinkLost, name);
    Event::Transfer(Told::Finished {
        batch,
        item: ItemId(1),
        from: here(name),
        to,
        source: Some(file(name, 100).attributes),
        outcome: Outcome::Failed(failure),
    })
}

/// Folder, and names of what goes there.
fn upload(effect: &Effect) -> (String, Vec<String>, bool) {
    let Effect::Transfer(Command::Submit(_, batch)) = effect else { panic!("{effect:?}") };
    let Route::Upload { sources, target } = &batch.route else { panic!("{batch:?}") };
    let names = sources.iter().map(|source| source.path.display().to_string()).collect();
    (target.path.to_string(), names, target.is_folder)
}

#[test]
fn what_failed_is_carried_again_under_the_names_it_was_to_get() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("w r");
    assert_eq!(bench.taken(), [], "there is no panel yet");
    bench.press("Esc").wait(Duration::from_secs(1)).press("End F5");
    let (batch, _) = submitted(&bench.taken());
    for event in [
        failed(batch, "f1", there("docs/f1")),
        failed(batch, "f2", there("docs/f2 (2)")),
        failed(batch, "docs", there("docs")),
        summary(batch),
    ] {
        bench.event(event);
    }
    bench.taken();
    bench.press("w Enter");
    assert!(matches!(bench.dialog(), Dialog::Failures(d) if d.failures.len() == 3));
    bench.press("Enter r");
    let orders = bench.taken();
    let here = |name: &str| format!("/home/anna/{name}");
    assert_eq!(
        orders.iter().map(upload).collect::<Vec<_>>(),
        [
            ("/".to_owned(), vec![here("docs")], true),
            ("/docs".to_owned(), vec![here("f1")], true),
            ("/docs/f2 (2)".to_owned(), vec![here("f2")], false),
        ]
    );
    assert_eq!(bench.app.transfers.lost().count(), 0);
    bench.press("r");
    assert_eq!(bench.taken(), [], "nothing is carried twice");
}

#[test]
fn a_batch_that_could_not_begin_is_carried_again_whole() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("End Space Home Down Space F5");
    let (batch, order) = submitted(&bench.taken());
    let home = Location::Remote(RemotePath::home());
    bench.event(failed(batch, "docs", home)).event(summary(batch));
    bench.taken();
    bench.press("w r");
    let (_, again) = submitted(&bench.taken());
    assert_eq!(again, order);
}

#[test]
fn what_lies_in_a_folder_that_failed_goes_with_it() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("Home Down F5");
    let (batch, _) = submitted(&bench.taken());
    let inner = Failure::new(Situation::LinkLost, "f");
    let from = here("docs").join(&name("f")).unwrap();
    bench.event(failed(batch, "docs", there("docs"))).event(Event::Transfer(Told::Finished {
        batch,
        item: ItemId(2),
        from,
        to: there("docs/f"),
        source: None,
        outcome: Outcome::Failed(inner),
    }));
    bench.event(summary(batch));
    bench.taken();
    bench.press("w r");
    let (_, again) = submitted(&bench.taken());
    let Route::Upload { sources, .. } = again.route else { panic!("an upload") };
    assert_eq!(sources.len(), 1);
}

#[test]
fn the_panel_takes_the_keys_until_it_is_left() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("End F5");
    let (batch, _) = submitted(&bench.taken());
    bench.press("w");
    assert!(bench.app.in_panel);
    bench.press("Space F8 n");
    assert!(bench.app.dialogs.is_empty() && bench.left().marks.is_empty());
    bench.press("x y");
    assert_eq!(bench.taken(), [Effect::Transfer(Command::Cancel(batch))]);
    bench.press("Tab Space");
    assert_eq!(bench.marked(PaneId::Left), ["f9"]);
    bench.press("w Esc").wait(Duration::from_secs(1));
    assert!(!bench.app.in_panel);
    assert_eq!(bench.marked(PaneId::Left), ["f9"], "the cheapest step back");
}

#[test]
fn within_one_side_f5_says_that_it_cannot_and_f6_moves() {
    let mut bench = Bench::new(&twelve(), &[]);
    let right = bench.app.pane_mut(PaneId::Right);
    right.navigate(Location::Local("/srv".into()), None);
    right.receive(rows(&[]), 0, true, 10);
    bench.press("End F5");
    assert_eq!(bench.taken(), []);
    let notice = bench.app.notice.as_ref().unwrap();
    assert!(notice.text.contains("F6 moves"), "{}", notice.text);
    bench.press("F6");
    let effects = bench.taken();
    let [Effect::Change { change: Change::Rename(renamings), .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(renamings[0].to, Location::Local("/srv/f9".into()));
}
