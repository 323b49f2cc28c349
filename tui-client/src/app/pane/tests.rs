use super::*;
use crate::app::testing::{file, folder, home, name, rows};

fn opened(entries: &[Entry]) -> Pane {
    let mut pane = Pane::new(home());
    pane.navigate(home(), None);
    pane.receive(rows(entries), 0, true, 10);
    pane
}

fn under_cursor(pane: &Pane) -> String {
    pane.current().map_or("..".to_owned(), |entry| entry.name.to_string())
}

fn numbered(count: usize) -> Vec<Entry> {
    (0..count).map(|index| file(&format!("f{index}"), 1)).collect()
}

#[test]
fn the_cursor_stays_on_its_name_while_rows_arrive() {
    let mut pane = Pane::new(home());
    pane.navigate(home(), None);
    pane.receive(rows(&[file("m", 1), file("p", 1)]), 0, false, 10);
    pane.go_to(pane.position(&name("p")).unwrap(), 10);
    pane.receive(rows(&[file("a", 1), file("m", 1), file("n", 1), file("p", 1)]), 0, true, 10);
    assert_eq!(under_cursor(&pane), "p");
}

#[test]
fn an_untouched_cursor_stays_at_the_top() {
    let mut pane = Pane::new(home());
    pane.navigate(home(), None);
    pane.receive(rows(&[file("m", 1)]), 0, false, 10);
    pane.receive(rows(&[file("a", 1), file("m", 1)]), 0, true, 10);
    assert_eq!(pane.cursor, 0);
}

#[test]
fn a_reload_shows_old_rows_until_the_new_ones_are_complete() {
    let mut pane = opened(&[file("a", 1), file("b", 2)]);
    pane.marks.set(&pane.entry(1).unwrap().clone(), true);
    pane.marks.set(&pane.entry(2).unwrap().clone(), true);
    pane.go_to(2, 10);
    pane.reload(None);
    pane.receive(rows(&[file("0", 1)]), 0, false, 10);
    assert_eq!(pane.rows().len(), 2);
    pane.receive(rows(&[file("0", 1), file("b", 5)]), 0, true, 10);
    assert_eq!(under_cursor(&pane), "b");
    assert_eq!((pane.marks.count(), pane.marks.extent().bytes), (1, 5));
}

#[test]
fn when_its_row_is_gone_the_cursor_stays_in_place() {
    let mut pane = opened(&[file("a", 1), file("b", 1), file("c", 1)]);
    pane.go_to(2, 10);
    pane.reload(None);
    pane.receive(rows(&[file("a", 1), file("c", 1)]), 0, true, 10);
    assert_eq!(under_cursor(&pane), "c");
    pane.reload(None);
    pane.receive(rows(&[file("a", 1)]), 0, true, 10);
    assert_eq!(under_cursor(&pane), "a");
}

#[test]
fn the_wanted_name_gets_the_cursor_when_it_comes() {
    let mut pane = opened(&[folder("docs"), file("a", 1)]);
    pane.reload(Some(name("new")));
    pane.receive(rows(&[folder("docs"), folder("new"), file("a", 1)]), 0, true, 10);
    assert_eq!(under_cursor(&pane), "new");
}

#[test]
fn a_folder_that_cannot_be_opened_leads_back() {
    let mut pane = opened(&[folder("closed"), file("a", 1)]);
    pane.go_to(1, 10);
    pane.marks.set(&pane.entry(2).unwrap().clone(), true);
    let inside = pane.location.join(&name("closed")).unwrap();
    pane.navigate(inside, None);
    assert!(pane.marks.is_empty());
    pane.fail();
    assert_eq!(pane.location, home());
    assert_eq!(under_cursor(&pane), "closed");
    assert_eq!(pane.marks.count(), 1);
}

#[test]
fn scrolling_keeps_within_the_rows() {
    let mut pane = opened(&numbered(100));
    assert_eq!(pane.len(), 101, "with the row of the parent");
    pane.go_to(50, 10);
    assert_eq!(pane.offset, 41);
    pane.scroll(1000, 10);
    assert_eq!((pane.offset, pane.cursor), (91, 50));
    pane.scroll(-3, 10);
    assert_eq!(pane.offset, 88);
    pane.go_to(49, 10);
    assert_eq!(pane.offset, 49);
    pane.go_to(usize::MAX, 10);
    assert_eq!((pane.offset, pane.cursor), (91, 100));
}

#[test]
fn the_root_has_no_row_for_its_parent() {
    let mut pane = Pane::new(Location::Local("/".into()));
    pane.navigate(Location::Local("/".into()), None);
    pane.receive(rows(&[folder("etc")]), 0, true, 10);
    assert_eq!(pane.len(), 1);
    assert!(matches!(pane.row(0), Some(Row::Entry(_))));
}
