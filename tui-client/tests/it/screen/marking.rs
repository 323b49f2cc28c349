//! Marks: by the pointer over rows, in the gutter, by keys.

use super::{Journey, Side, counts, marked, noise};
use crate::server::TestServer;

fn six() -> Vec<(&'static str, Vec<u8>)> {
    let names = ["a.bin", "b.bin", "c.bin", "d.bin", "e.bin", "f.bin"];
    names.into_iter().zip(1..).map(|(name, seed)| (name, noise(seed, 1000))).collect()
}

#[test]
fn a_drag_over_rows_marks_exactly_these_rows() {
    let server = TestServer::start();
    let user = server.user("ada");
    let mut journey = Journey::begin(&user, &six());
    let (from, to) = (journey.finds(Side::Left, "b.bin"), journey.finds(Side::Left, "e.bin"));
    // One report for four rows, as a fast hand makes it.
    journey.drags(&[from, to]);
    journey.faces("4/6 marked · 4.00 kB");
    let names = ["b.bin", "c.bin", "d.bin", "e.bin"];
    assert_eq!(marked(journey.terminal.face(), Side::Left), names);
    assert_eq!(marked(journey.terminal.face(), Side::Right), [""; 0]);

    // In the gutter one click takes one mark away; upwards works as well.
    journey.drags(&[(1, to.1)]);
    journey.faces("3/6 marked");
    let (from, to) = (journey.finds(Side::Left, "f.bin"), journey.finds(Side::Left, "e.bin"));
    journey.drags(&[from, (from.0, from.1 - 1), to]);
    journey.faces("5/6 marked");
    journey.types("\x1b");
    journey.terminal.comes_to("no marks", |face| counts(face, Side::Left).contains("6 items"));
    journey.leaves();
}

#[test]
fn space_and_insert_mark_and_go_down() {
    let server = TestServer::start();
    let user = server.user("ada");
    let mut journey = Journey::begin(&user, &six());
    // Home is on `..`, which takes no mark.
    journey.types("\x1b[H\x1b[B \x1b[2~");
    journey.faces("2/6 marked · 2.00 kB");
    assert_eq!(marked(journey.terminal.face(), Side::Left), ["a.bin", "b.bin"]);
    journey.leaves();
}
