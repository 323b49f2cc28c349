//! Moving, marking, leaving.

use super::*;
use crate::app::ESCAPE_WAIT;

/// The row under the left cursor, and the marked rows, after some keys.
#[test]
fn keys_move_and_mark() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("Down", "docs", &[]),
        ("Down Down Up", "docs", &[]),
        ("End", "f9", &[]),
        ("End Home", "..", &[]),
        ("Up", "..", &[]),
        ("End Down", "f9", &[]),
        ("PgDn", "f9", &[]),
        ("Right", "f9", &[]),
        ("End PgUp", "..", &[]),
        ("End Left", "..", &[]),
        ("Down Space", "pics", &["docs"]),
        ("Down Insert Insert", "f0", &["docs", "pics"]),
        ("Down Space Up Space", "pics", &[]),
        ("Space", "docs", &[]),
    ];
    for (keys, cursor, marked) in cases {
        let mut bench = Bench::new(&twelve(), &[]);
        bench.press(keys);
        assert_eq!(bench.under_cursor(PaneId::Left), *cursor, "{keys}");
        assert_eq!(bench.marked(PaneId::Left), *marked, "{keys}");
    }
}

#[test]
fn a_page_keeps_one_row_in_view() {
    let many: Vec<_> = (0..100).map(|index| file(&format!("f{index}"), 1)).collect();
    let mut bench = Bench::new(&many, &[]);
    let height = bench.app.list_height(PaneId::Left);
    bench.press("PgDn");
    assert_eq!(bench.left().cursor, height - 1);
    bench.press("PgDn PgUp");
    assert_eq!(bench.left().cursor, height - 1);
}

#[test]
fn tab_changes_the_pane_and_keys_follow() {
    let mut bench = Bench::new(&twelve(), &[file("there", 1), file("too", 1)]);
    bench.press("Tab Down");
    assert_eq!(bench.under_cursor(PaneId::Right), "too");
    assert_eq!(bench.under_cursor(PaneId::Left), "..");
    bench.press("BackTab Down");
    assert_eq!(bench.under_cursor(PaneId::Left), "docs");
}

#[test]
fn enter_opens_and_backspace_returns_to_the_child() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("Down Down Enter");
    let pics = Location::Local("/home/anna/pics".into());
    let generation = bench.left().generation;
    assert!(matches!(&bench.taken()[..], [Effect::List { location, .. }] if *location == pics));
    bench.event(Event::Rows {
        pane: PaneId::Left,
        generation,
        rows: rows(&[file("inside", 1)]),
        unreadable: 0,
        complete: true,
    });
    bench.press("Backspace");
    let generation = bench.left().generation;
    bench.event(Event::Rows {
        pane: PaneId::Left,
        generation,
        rows: rows(&twelve()),
        unreadable: 0,
        complete: true,
    });
    assert_eq!(bench.under_cursor(PaneId::Left), "pics");
}

#[test]
fn enter_on_the_parents_row_goes_up_and_ctrl_pgup_too() {
    for keys in ["Enter", "Ctrl-PgUp", "Backspace"] {
        let mut bench = Bench::new(&twelve(), &[]);
        bench.press(keys);
        assert_eq!(bench.left().location, Location::Local("/home".into()), "{keys}");
    }
}

#[test]
fn a_late_answer_changes_nothing() {
    let mut bench = Bench::new(&twelve(), &[]);
    let late = bench.left().generation;
    bench.press("Down Enter");
    bench.event(Event::Rows {
        pane: PaneId::Left,
        generation: late,
        rows: rows(&[file("of-before", 1)]),
        unreadable: 0,
        complete: true,
    });
    assert!(bench.left().rows().is_empty());
}

#[test]
fn reload_asks_again_and_keeps_cursor_and_marks() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("Down Space Ctrl-r");
    let taken = bench.taken();
    assert!(matches!(&taken[..], [Effect::List { .. }, Effect::AskQuota]), "{taken:?}");
    let generation = bench.left().generation;
    bench.event(Event::Rows {
        pane: PaneId::Left,
        generation,
        rows: rows(&[folder("aaa"), folder("docs"), folder("pics")]),
        unreadable: 0,
        complete: true,
    });
    assert_eq!(bench.under_cursor(PaneId::Left), "pics");
    assert_eq!(bench.marked(PaneId::Left), ["docs"]);
}

#[test]
fn f_keys_have_letters_digits_after_esc_and_alt_digits() {
    for keys in ["F7", "n", "Alt-7", "Esc 7"] {
        let mut bench = Bench::new(&twelve(), &[]);
        bench.press(keys);
        assert!(matches!(bench.dialog(), Dialog::Name(_)), "{keys}");
    }
    for keys in ["F1", "?", "Alt-1", "Esc 1"] {
        let mut bench = Bench::new(&twelve(), &[]);
        bench.press(keys);
        assert!(matches!(bench.dialog(), Dialog::Help(_)), "{keys}");
    }
    for keys in ["F10", "q", "Alt-0", "Esc 0"] {
        let mut bench = Bench::new(&twelve(), &[]);
        bench.press(keys);
        assert_eq!(bench.taken(), [Effect::Leave], "{keys}");
    }
}

#[test]
fn esc_unmarks_unless_a_digit_follows() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("Down Space Esc 5");
    assert!(matches!(&bench.taken()[..], [Effect::Transfer(_)]), "the marked row was sent");

    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("Down Space Esc Down");
    assert_eq!(bench.marked(PaneId::Left), Vec::<String>::new());
    assert_eq!(bench.under_cursor(PaneId::Left), "f0");

    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("Down Space Esc");
    assert_eq!(bench.marked(PaneId::Left), ["docs"]);
    let mut clicked = Bench::new(&twelve(), &[]);
    clicked.press("Down Space Esc").mouse(MouseKind::Down, 6, 4);
    assert_eq!(clicked.marked(PaneId::Left), Vec::<String>::new(), "no digit follows any more");
    let wakes = bench.app.wakes_at(bench.now);
    assert_eq!(wakes, Some(bench.now + ESCAPE_WAIT));
    bench.wait(ESCAPE_WAIT);
    assert_eq!(bench.marked(PaneId::Left), Vec::<String>::new());
}

#[test]
fn ctrl_c_closes_what_is_open_and_else_asks() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("F1 Ctrl-c");
    assert!(bench.app.dialogs.is_empty());
    bench.press("Ctrl-c");
    assert!(matches!(bench.dialog(), Dialog::Quit(_)));
    bench.press("Enter");
    assert_eq!(bench.taken(), [], "the safe button has the focus");
    bench.press("Ctrl-c n Ctrl-c Esc Ctrl-c y");
    assert_eq!(bench.taken(), [Effect::Leave]);
}

#[test]
fn the_order_of_names_is_toggled_in_both_panes() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press(",");
    assert_eq!(bench.taken().len(), 2);
    assert_eq!(bench.right().order, crate::app::order::Order::Bytes);
}

#[test]
fn a_folder_that_cannot_be_read_says_why_and_leads_back() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("Down Enter");
    let generation = bench.left().generation;
    let why = crate::failure::Situation::PermissionDenied(crate::failure::Side::Local);
    let failure = crate::failure::Failure::new(why, "/home/anna/docs");
    bench.event(Event::ListingFailed { pane: PaneId::Left, generation, failure });
    assert!(matches!(bench.dialog(), Dialog::Failures(_)));
    bench.press("Enter");
    assert_eq!(bench.under_cursor(PaneId::Left), "docs");
}

#[test]
fn a_shown_folder_that_vanishes_is_told_without_a_dialog_each_time() {
    let mut bench = Bench::new(&twelve(), &[]);
    for _ in 0..3 {
        bench.press("Ctrl-r");
        let generation = bench.left().generation;
        let why = crate::failure::Situation::NotFound(crate::failure::Side::Local);
        let failure = crate::failure::Failure::new(why, "/home/anna");
        bench.event(Event::ListingFailed { pane: PaneId::Left, generation, failure });
        assert!(bench.app.dialogs.is_empty());
        let notice = bench.app.notice.as_ref().map(|notice| notice.text.clone());
        assert!(notice.is_some_and(|text| text.starts_with("/home/anna: no such file")));
    }
}

#[test]
fn nothing_moves_nothing_wakes() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("Down Up");
    assert_eq!(bench.app.wakes_at(bench.now), None);
}
