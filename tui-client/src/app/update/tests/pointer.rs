//! Clicks, sweeps, carrying. Cells: the left list begins at column 1 and row 2, the right one at
//! column 41; row 2 shows `..`.

use super::*;
use crate::app::gesture::Gesture;
use crate::app::layout::{self, Hit};
use crate::transfer::{Command, Route};
use MouseKind::{Down, Drag, Up, WheelDown, WheelUp};

const LEFT: u16 = 6;
const RIGHT: u16 = 46;
const GUTTER: u16 = 1;
/// The screen's row of the list's first row.
const TOP: u16 = 2;

fn many(count: usize) -> Vec<Entry> {
    (0..count).map(|index| file(&format!("f{index:03}"), 10)).collect()
}

#[test]
fn a_click_moves_focus_and_cursor_and_keeps_marks() {
    let mut bench = Bench::new(&twelve(), &[file("a", 1), file("b", 1)]);
    bench.press("Down Space");
    bench.mouse(Down, RIGHT, TOP + 1).mouse(Up, RIGHT, TOP + 1);
    assert_eq!(bench.app.focus, PaneId::Right);
    assert_eq!(bench.under_cursor(PaneId::Right), "b");
    assert_eq!(bench.marked(PaneId::Left), ["docs"]);
}

#[test]
fn two_clicks_on_one_row_in_time_open_it() {
    let double = |second: u16, pause: u64| {
        let mut bench = Bench::new(&twelve(), &[]);
        bench.mouse(Down, LEFT, TOP + 1).mouse(Up, LEFT, TOP + 1);
        bench.now += Duration::from_millis(pause);
        bench.mouse(Down, LEFT, second).mouse(Up, LEFT, second);
        bench.left().location.to_string()
    };
    assert_eq!(double(TOP + 1, 400), "/home/anna/docs");
    assert_eq!(double(TOP + 1, 401), "/home/anna", "too late");
    assert_eq!(double(TOP + 2, 100), "/home/anna", "another row");
}

#[test]
fn the_wheel_scrolls_the_pane_under_it_and_nothing_else() {
    let mut bench = Bench::new(&twelve(), &many(100));
    bench.mouse(WheelDown, RIGHT, TOP + 5).mouse(WheelDown, RIGHT, TOP + 5);
    assert_eq!((bench.right().offset, bench.right().cursor), (6, 0));
    bench.mouse(WheelUp, RIGHT, TOP + 5);
    assert_eq!(bench.right().offset, 3);
    assert_eq!(bench.app.focus, PaneId::Left);
    assert_eq!(bench.left().offset, 0);
}

#[test]
fn the_gutter_marks_and_paints() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.mouse(Down, GUTTER, TOP + 2).mouse(Up, GUTTER, TOP + 2);
    assert_eq!(bench.marked(PaneId::Left), ["pics"]);
    bench.mouse(Down, GUTTER, TOP + 2).mouse(Up, GUTTER, TOP + 2);
    assert_eq!(bench.marked(PaneId::Left), Vec::<String>::new());
    // One report, three rows on: those between are painted too.
    bench.mouse(Down, GUTTER + 1, TOP + 3).mouse(Drag, LEFT, TOP + 6).mouse(Up, LEFT, TOP + 6);
    assert_eq!(bench.marked(PaneId::Left), ["f0", "f1", "f2", "f3"]);
    // From a marked row it unmarks.
    bench.mouse(Down, GUTTER, TOP + 5).mouse(Drag, GUTTER, TOP + 4).mouse(Up, GUTTER, TOP + 4);
    assert_eq!(bench.marked(PaneId::Left), ["f0", "f3"]);
}

#[test]
fn a_band_marks_every_row_between_and_gives_back_what_it_leaves() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("End Space");
    bench.mouse(Down, LEFT, TOP + 1).mouse(Drag, LEFT, TOP + 8);
    assert_eq!(bench.marked(PaneId::Left).len(), 9, "eight, and the one of before");
    bench.mouse(Drag, LEFT, TOP + 2).mouse(Up, LEFT, TOP + 2);
    assert_eq!(bench.marked(PaneId::Left), ["docs", "pics", "f9"]);
}

#[test]
fn press_on_row_1_one_report_at_row_200_and_release_marks_200() {
    let mut bench = Bench::new(&many(300), &[]);
    bench.app.screen = Size { columns: 80, rows: 210 };
    let (first, last) = (TOP + 1, TOP + 200);
    bench.mouse(Down, LEFT, first).mouse(Drag, LEFT, last).mouse(Up, LEFT, last);
    let marked = bench.marked(PaneId::Left);
    assert_eq!(marked.len(), 200);
    assert_eq!((marked[0].as_str(), marked[199].as_str()), ("f000", "f199"));
}

#[test]
fn the_same_on_a_small_screen_by_the_wheel() {
    let mut bench = Bench::new(&many(300), &[]);
    bench.mouse(Down, LEFT, TOP + 1).mouse(Drag, LEFT, TOP + 2);
    for _ in 0..63 {
        bench.mouse(WheelDown, LEFT, TOP + 2);
    }
    // 63 × 3 rows scrolled away; row 200 is 11 below the first in view.
    bench.mouse(Drag, LEFT, TOP + 11).mouse(Up, LEFT, TOP + 11);
    assert_eq!(bench.marked(PaneId::Left).len(), 200);
}

#[test]
fn a_pointer_that_rests_beyond_the_edge_scrolls_on() {
    let mut bench = Bench::new(&many(300), &[]);
    let bottom = TOP + u16::try_from(bench.app.list_height(PaneId::Left)).unwrap();
    bench.mouse(Down, LEFT, TOP + 1).mouse(Drag, LEFT, bottom + 2);
    let before = bench.left().offset;
    assert!(bench.app.wakes_at(bench.now).is_some());
    bench.wait(Duration::from_millis(50)).wait(Duration::from_millis(50));
    assert_eq!(bench.left().offset, before + 6, "three rows beyond scroll three at a time");
    for _ in 0..200 {
        bench.wait(Duration::from_millis(50));
    }
    bench.mouse(Up, LEFT, bottom + 2);
    assert_eq!(bench.marked(PaneId::Left).len(), 300);
    assert_eq!(bench.app.wakes_at(bench.now), None);
}

#[test]
fn esc_resize_lost_focus_and_a_lost_up_take_a_band_back() {
    let cancels: [(&str, Event); 4] = [
        ("esc", Event::Key(Key::plain(Code::Esc))),
        ("resize", Event::Resized(Size { columns: 100, rows: 30 })),
        ("focus", Event::FocusLost),
        ("lost up", Event::Mouse(Mouse::plain(Down, 6, 23))),
    ];
    for (what, cancel) in cancels {
        let mut bench = Bench::new(&twelve(), &[]);
        bench.press("End Space");
        bench.mouse(Down, LEFT, TOP + 1).mouse(Drag, LEFT, TOP + 5);
        bench.event(cancel);
        assert_eq!(bench.marked(PaneId::Left), ["f9"], "{what}");
        bench.mouse(Drag, LEFT, TOP + 6).mouse(Up, LEFT, TOP + 6);
        assert_eq!(bench.marked(PaneId::Left), ["f9"], "{what}: the rest means nothing");
    }
}

#[test]
fn a_band_into_the_other_pane_carries_its_one_row() {
    let mut bench = Bench::new(&twelve(), &[folder("in")]);
    bench.mouse(Down, LEFT, TOP + 3).mouse(Drag, LEFT, TOP + 6).mouse(Drag, RIGHT, TOP + 9);
    assert_eq!(bench.marked(PaneId::Left), Vec::<String>::new());
    let Gesture::Carrying(carry) = &bench.app.gesture else { panic!("{:?}", bench.app.gesture) };
    assert_eq!(carry.items.len(), 1);
    // Back again it is a band again.
    bench.mouse(Drag, LEFT, TOP + 4);
    assert_eq!(bench.marked(PaneId::Left), ["f0", "f1"]);
    bench.mouse(Drag, RIGHT, TOP + 9).mouse(Up, RIGHT, TOP + 9);
    let [Effect::Transfer(Command::Submit(_, batch))] = &bench.taken()[..] else { panic!() };
    let Route::Upload { sources, target } = &batch.route else { panic!() };
    assert_eq!(sources[0].path.to_str(), Some("/home/anna/f0"));
    assert!(target.path.is_home());
}

/// Marks `f0` and `f1` on the left, carries them to a cell, and says where they went.
fn carried_to(x: u16, y: u16, ctrl: bool) -> Vec<Effect> {
    let mut bench = Bench::new(&twelve(), &[]);
    bench
        .app
        .pane_mut(PaneId::Right)
        .navigate(Location::Remote(RemotePath::parse(b"docs").unwrap()), None);
    let there = rows(&[folder("in"), file("a", 1)]);
    bench.app.pane_mut(PaneId::Right).receive(there, 0, true, 10);
    bench.press("Down Down Down Space Space");
    bench.mouse(Down, LEFT, TOP + 3).mouse(Drag, x, y);
    assert!(matches!(bench.app.gesture, Gesture::Carrying(_)));
    bench.event(Event::Mouse(Mouse { ctrl, ..Mouse::plain(Up, x, y) }));
    bench.taken()
}

fn target(effects: &[Effect]) -> String {
    match effects {
        [Effect::Transfer(Command::Submit(_, batch))] => match &batch.route {
            Route::Upload { sources, target } => format!("{} to {}", sources.len(), target.path),
            Route::Download { .. } => panic!("a download"),
        },
        other => format!("{other:?}"),
    }
}

#[test]
fn marked_rows_are_dropped_on_a_pane_a_folder_or_the_parent() {
    assert_eq!(target(&carried_to(RIGHT, TOP + 10, false)), "2 to /docs");
    assert_eq!(target(&carried_to(RIGHT, 0, false)), "2 to /docs", "on its frame");
    assert_eq!(target(&carried_to(RIGHT, TOP + 2, false)), "2 to /docs", "on a file");
    assert_eq!(target(&carried_to(RIGHT, TOP + 1, false)), "2 to /docs/in");
    assert_eq!(target(&carried_to(RIGHT, TOP, false)), "2 to /");
    assert_eq!(carried_to(LEFT, TOP + 9, false), [], "at home: nothing");
    assert_eq!(carried_to(LEFT, 23, false), [], "on the bar: nothing");
}

#[test]
fn within_a_side_carried_rows_move_by_new_names() {
    use crate::app::changes::Change;
    let effects = carried_to(LEFT, TOP + 1, false);
    let [Effect::Change { change: Change::Rename(renamings), .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(renamings[0].to, Location::Local("/home/anna/docs/f0".into()));
    assert_eq!(renamings.len(), 2);
}

#[test]
fn ctrl_at_the_drop_moves_across() {
    let [Effect::Transfer(Command::Submit(_, copied))] = &carried_to(RIGHT, 12, false)[..] else {
        panic!()
    };
    let [Effect::Transfer(Command::Submit(_, moved))] = &carried_to(RIGHT, 12, true)[..] else {
        panic!()
    };
    assert!(!copied.options.checksum && moved.options.checksum);
}

#[test]
fn a_shaky_click_on_a_marked_row_carries_nothing() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("Down Space");
    bench.mouse(Down, LEFT, TOP + 1).mouse(Drag, LEFT + 1, TOP + 1).mouse(Up, LEFT + 1, TOP + 1);
    assert_eq!(bench.marked(PaneId::Left), ["docs"]);
    assert_eq!(bench.taken(), []);
}

#[test]
fn modifiers_toggle_and_extend() {
    let mut bench = Bench::new(&twelve(), &[]);
    let click = |x, y, ctrl, shift| Event::Mouse(Mouse { ctrl, shift, ..Mouse::plain(Down, x, y) });
    bench.event(click(LEFT, TOP + 2, true, false));
    assert_eq!(bench.marked(PaneId::Left), ["pics"]);
    bench.event(click(LEFT, TOP + 4, false, true));
    assert_eq!(bench.marked(PaneId::Left), ["pics", "f0", "f1"]);
}

/// A cell of a button.
fn cell_of(bench: &Bench, wanted: Hit) -> (u16, u16) {
    let Size { columns, rows } = bench.app.screen;
    let mut cells = (0..rows).flat_map(|y| (0..columns).map(move |x| (x, y)));
    let found = cells.find(|(x, y)| layout::hit(&bench.app, *x, *y) == wanted);
    found.unwrap_or_else(|| panic!("{wanted:?} is nowhere"))
}

#[test]
fn every_button_is_clickable_and_only_where_it_was_pressed() {
    use crate::app::action;
    use crate::app::dialog::Control;
    for (action, _, label) in action::bar() {
        let mut bench = Bench::new(&twelve(), &[]);
        bench.press("Down");
        let (x, y) = cell_of(&bench, Hit::Bar(action));
        bench.mouse(Down, x, y).mouse(Up, x, y);
        let something = !bench.app.dialogs.is_empty() || !bench.taken().is_empty();
        assert!(something, "{label}");
    }
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("Down F8");
    let (x, y) = cell_of(&bench, Hit::Control(Control::Button(0)));
    bench.mouse(Down, x, y).mouse(Up, 0, 0);
    assert!(!bench.app.dialogs.is_empty(), "let go elsewhere: nothing");
    bench.mouse(Down, x, y).mouse(Up, x, y);
    assert!(matches!(&bench.taken()[..], [Effect::Change { .. }]));
}

#[test]
fn a_dialog_takes_the_pointer_from_the_panes() {
    let mut bench = Bench::new(&twelve(), &[]);
    bench.press("F7");
    bench.mouse(Down, LEFT, TOP + 3).mouse(Up, LEFT, TOP + 3);
    assert_eq!(bench.left().cursor, 0);
    assert!(!bench.app.dialogs.is_empty());
}

#[test]
fn without_a_connection_a_click_on_the_right_asks_for_one() {
    let mut bench = Bench::offline(&twelve());
    bench.mouse(Down, RIGHT, TOP + 5).mouse(Up, RIGHT, TOP + 5);
    assert!(matches!(bench.dialog(), Dialog::Connect(_)));
}

/// Transfers reload a pane again and again: new rows above those that were there.
fn reloaded(bench: &mut Bench, pane: PaneId, entries: &[Entry]) {
    let more: Vec<_> = ["a1", "a2", "a3"].iter().map(|name| file(name, 1)).collect();
    let all = [&more[..], entries].concat();
    bench.event(Event::Rows {
        pane,
        generation: bench.app.pane(pane).generation,
        rows: rows(&all),
        unreadable: 0,
        complete: true,
    });
}

#[test]
fn what_the_wheel_brought_into_view_stays_there_while_the_pane_is_reloaded() {
    let there = many(100);
    let mut bench = Bench::new(&twelve(), &there);
    for _ in 0..10 {
        bench.mouse(WheelDown, RIGHT, TOP + 5);
    }
    let first = |bench: &Bench| bench.right().name_of(bench.right().offset);
    let before = first(&bench);
    assert_eq!(bench.right().offset, 30);
    reloaded(&mut bench, PaneId::Right, &there);
    assert_eq!((first(&bench), bench.right().offset), (before, 33));
    assert_eq!(bench.right().cursor, 0);
    // A cursor in view is what stays there.
    bench.mouse(Down, RIGHT, TOP + 4).mouse(Up, RIGHT, TOP + 4);
    let under = bench.under_cursor(PaneId::Right);
    bench.press("r");
    reloaded(&mut bench, PaneId::Right, &many(90));
    assert_eq!(bench.under_cursor(PaneId::Right), under);
    assert!(bench.right().shows_cursor(bench.app.list_height(PaneId::Right)));
}

#[test]
fn a_drag_takes_the_row_that_was_pressed_also_when_others_took_its_place() {
    let here = twelve();
    let mut bench = Bench::new(&here, &[folder("in")]);
    bench.mouse(Down, LEFT, TOP + 5);
    let pressed = bench.under_cursor(PaneId::Left);
    reloaded(&mut bench, PaneId::Left, &here);
    bench.mouse(Drag, RIGHT, TOP + 10).mouse(Up, RIGHT, TOP + 10);
    let [Effect::Transfer(Command::Submit(_, batch))] = &bench.taken()[..] else { panic!() };
    let Route::Upload { sources, .. } = &batch.route else { panic!() };
    assert_eq!(sources.len(), 1);
    assert!(sources[0].path.ends_with(&pressed), "{sources:?} instead of {pressed}");
    // One that is gone takes nothing else with it.
    let mut bench = Bench::new(&here, &[folder("in")]);
    bench.mouse(Down, LEFT, TOP + 5);
    reloaded(&mut bench, PaneId::Left, &here[..2]);
    bench.mouse(Drag, RIGHT, TOP + 10).mouse(Up, RIGHT, TOP + 10);
    assert!(bench.taken().is_empty());
}

#[test]
fn a_sweep_goes_on_from_the_same_names_after_a_reload() {
    let here = twelve();
    let mut bench = Bench::new(&here, &[]);
    bench.mouse(Down, LEFT, TOP + 3).mouse(Drag, LEFT, TOP + 5);
    assert_eq!(bench.marked(PaneId::Left), ["f0", "f1", "f2"]);
    reloaded(&mut bench, PaneId::Left, &here);
    assert_eq!(bench.marked(PaneId::Left), ["f0", "f1", "f2"]);
    let last = TOP + u16::try_from(bench.left().len() - bench.left().offset).unwrap() - 1;
    bench.mouse(Drag, LEFT, last).mouse(Up, LEFT, last);
    let marked = bench.marked(PaneId::Left);
    assert_eq!((marked.len(), marked[0].as_str()), (10, "f0"));
    // One whose end is gone is taken back.
    bench.press("Esc");
    bench.mouse(Down, LEFT, last - 2).mouse(Drag, LEFT, last);
    assert_eq!(bench.marked(PaneId::Left).len(), 3);
    reloaded(&mut bench, PaneId::Left, &here[..4]);
    assert!(bench.marked(PaneId::Left).is_empty());
}

#[test]
fn two_clicks_on_two_names_in_one_place_open_nothing() {
    let here = twelve();
    let mut bench = Bench::new(&here, &[]);
    bench.mouse(Down, LEFT, TOP + 1).mouse(Up, LEFT, TOP + 1);
    reloaded(&mut bench, PaneId::Left, &[folder("aa"), folder("docs")]);
    bench.mouse(Down, LEFT, TOP + 1).mouse(Up, LEFT, TOP + 1);
    assert_eq!(bench.left().location.to_string(), "/home/anna");
    assert_eq!(bench.under_cursor(PaneId::Left), "aa");
}
