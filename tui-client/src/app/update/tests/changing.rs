//! New folders, new names, removals.

use super::*;
use crate::app::changes::{Change, Seen};
use crate::app::dialog::content::Content;
use crate::app::testing::name;
use crate::failure::{Failure, Side, Situation};

fn here(text: &str) -> Location {
    crate::app::testing::home().join(&name(text)).unwrap()
}

fn only_change(effects: &[Effect]) -> (ChangeId, Change) {
    match effects {
        [Effect::Change { id, change }] => (*id, change.clone()),
        other => panic!("one change was expected: {other:?}"),
    }
}

#[test]
fn a_new_folder_is_made_and_gets_the_cursor() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("F7 n e w Enter");
    let (id, change) = only_change(&bench.taken());
    assert_eq!(change, Change::NewFolder(here("new")));
    bench.event(Event::Changed { id, failures: vec![] });
    let generation = bench.left().generation;
    let mut now = twelve();
    now.push(folder("new"));
    let complete = true;
    let rows = rows(&now);
    bench.event(Event::Rows { pane: PaneId::Left, generation, rows, unreadable: 0, complete });
    assert_eq!(bench.under_cursor(PaneId::Left), "new");
}

#[test]
fn a_change_that_runs_is_stopped_with_x_after_a_question() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("F7 n e w Enter");
    let (id, _) = only_change(&bench.taken());
    bench.press("x");
    assert!(matches!(bench.dialog(), Dialog::Stop(_)));
    bench.press("y");
    assert_eq!(bench.taken(), [Effect::StopChanges]);
    bench.press("x");
    assert!(matches!(bench.dialog(), Dialog::Stop(_)), "it runs until it says that it ended");
    bench.event(Event::Changed { id, failures: vec![] });
    assert!(bench.app.dialogs.is_empty(), "the question goes when nothing runs");
}

#[test]
fn what_is_no_name_is_said_and_can_be_corrected() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("F7 a / b Enter");
    assert_eq!(bench.taken(), []);
    assert!(matches!(bench.dialog(), Dialog::Name(dialog) if dialog.problem.is_some()));
    bench.press("Backspace Backspace Enter");
    assert_eq!(only_change(&bench.taken()).1, Change::NewFolder(here("a")));
}

#[test]
fn a_rename_begins_with_the_old_name() {
    let mut bench = Bench::new(&[file("report.txt", 7)], &[]);
    bench.press("Down F2 - 2 Enter");
    let (_, change) = only_change(&bench.taken());
    let Change::Rename(renamings) = change else { panic!("{change:?}") };
    assert_eq!(renamings[0].from.location, here("report.txt"));
    assert_eq!(renamings[0].from.attributes, file("report.txt", 7).attributes);
    assert_eq!(renamings[0].to, here("report-2.txt"));
}

#[test]
fn a_refused_rename_leaves_the_cursor_where_it_was() {
    let both = [file("a", 1), file("b", 2)];
    let mut bench = Bench::new(&both, &[]);
    bench.press("Down F2 Backspace b Enter");
    let (id, _) = only_change(&bench.taken());
    let exists = Failure::new(Situation::Exists(Side::Local), "b");
    bench.event(Event::Changed { id, failures: vec![exists] });
    let generation = bench.app.pane(PaneId::Left).generation;
    let (rows, complete) = (rows(&both), true);
    bench.event(Event::Rows { pane: PaneId::Left, generation, rows, unreadable: 0, complete });
    assert_eq!(bench.under_cursor(PaneId::Left), "a", "what is deleted next is not the other one");
    let said = Content::of(bench.dialog(), &bench.app).blocks;
    assert!(!format!("{said:?}").contains("--"), "no command line here: {said:?}");
}

#[test]
fn an_unchanged_name_changes_nothing() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("Down F2 Enter");
    assert_eq!(bench.taken(), []);
    assert!(bench.app.changes.is_empty());
}

#[test]
fn delete_asks_and_only_yes_deletes() {
    for no in ["Enter", "n", "N", "Esc", "Ctrl-c", "Tab Right Enter", "d n"] {
        let mut bench = Bench::new(&twelve(), &[]);
        bench.press("Down F8").press(no);
        assert_eq!(bench.taken(), [], "{no}");
        assert!(bench.app.dialogs.is_empty(), "{no}");
    }
    for yes in ["y", "Y", "Left Enter", "Tab Enter", "Tab Space"] {
        let mut bench = Bench::new(&twelve(), &[]);
        bench.press("Down F8").press(yes);
        let seen = Seen { location: here("docs"), attributes: folder("docs").attributes };
        assert_eq!(only_change(&bench.taken()).1, Change::Remove(vec![seen]), "{yes}");
    }
}

#[test]
fn delete_is_pinned_to_what_was_seen() {
    let mut bench = Bench::new(&[file("a", 1), file("b", 2)], &[]);
    bench.press("Down Space Space F8");
    let generation = bench.left().generation;
    let complete = true;
    let rows = rows(&[file("a", 999)]);
    bench.event(Event::Rows { pane: PaneId::Left, generation, rows, unreadable: 0, complete });
    bench.press("y");
    let seen = |name, size| Seen { location: here(name), attributes: file(name, size).attributes };
    let change = only_change(&bench.taken()).1;
    assert_eq!(change, Change::Remove(vec![seen("a", 1), seen("b", 2)]));
}

#[test]
fn what_did_not_work_is_shown_and_the_panes_are_read_again() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("Down F8 y");
    let (id, _) = only_change(&bench.taken());
    let failure = Failure::new(Situation::PermissionDenied(Side::Local), "/home/anna/docs");
    bench.event(Event::Changed { id, failures: vec![failure] });
    assert!(matches!(bench.dialog(), Dialog::Failures(_)));
    let lists = bench.taken().into_iter().filter(|e| matches!(e, Effect::List { .. })).count();
    assert_eq!(lists, 2);
}

#[test]
fn the_row_of_the_parent_is_neither_renamed_nor_deleted() {
    for keys in ["F8", "F2", "F5", "F6"] {
        let mut bench = Bench::new(&twelve(), &[]);
        bench.press(keys);
        assert_eq!(bench.taken(), [], "{keys}");
        assert!(bench.app.dialogs.is_empty(), "{keys}");
        assert!(bench.app.notice.is_some(), "{keys}");
    }
}
