//! Carrying across: by the pointer and by F5 and F6, with gauges, questions and a terminal that
//! changes its size meanwhile.

use std::fs;

use sampan_server::store::QuotaLimits;

use super::sluice::Sluice;
use super::{F5, F6, F8, Journey, Side, TAB, assert_equal, noise, row_of};
use crate::server::TestServer;

const MIB: usize = 1 << 20;

#[test]
fn marked_rows_are_dragged_to_the_other_side_with_gauges() {
    let server = TestServer::start();
    let sluice = Sluice::to(server.port);
    let user = server.user("ada").through(sluice.port);
    let files = [("one", noise(1, 3 * MIB)), ("two", noise(2, 4 * MIB)), ("three", noise(3, 700))];
    let mut journey = Journey::begin(&user, &files);
    let (first, last) = (journey.finds(Side::Left, "one"), journey.finds(Side::Left, "two"));
    sluice.hold_after(2 * MIB);
    journey.drags(&[first, last]);
    journey.faces("3/3 marked");
    journey.drags(&[first, (first.0 + 10, first.1), (70, 8)]);
    // One gauge for all, one for each file that is on its way, with what they do.
    journey.terminal.comes_to("gauges", |face| {
        let text = face.contents();
        let gauge = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(&format!("↑ {name}")));
            line.is_some_and(|line| line.contains('%') && line.contains("stalled"))
        };
        text.lines().any(|line| line.starts_with("All ") && line.contains(" of 7.34 MB"))
            && gauge("one")
            && gauge("two")
    });
    sluice.open();
    journey.faces("✓ done: 3 across");
    for (name, _) in &files {
        journey.finds(Side::Right, name);
        assert_equal(&journey.local(name), &user.home().join(name));
    }
    journey.leaves();
}

#[test]
fn an_unmarked_row_is_carried_alone_and_into_the_folder_it_is_dropped_on() {
    let server = TestServer::start();
    let user = server.user("ada");
    fs::create_dir(user.home().join("docs")).unwrap();
    let mut journey = Journey::begin(&user, &[("one", noise(1, 5000)), ("two", noise(2, 5000))]);
    let (from, to) = (journey.finds(Side::Left, "two"), journey.finds(Side::Right, "docs"));
    journey.drags(&[from, (60, from.1), to]);
    journey.faces("✓ done: 1 across");
    assert_equal(&journey.local("two"), &user.home().join("docs/two"));
    assert!(!user.home().join("docs/one").exists());
    journey.leaves();
}

#[test]
fn f5_asks_only_about_what_conflicts_and_takes_letters() {
    let server = TestServer::start();
    let user = server.user("ada");
    let names = ["kept", "new", "replaced", "twice.txt"];
    for name in &names {
        if *name != "new" {
            fs::write(user.home().join(name), b"old").unwrap();
        }
    }
    let files: Vec<_> =
        names.iter().zip(1..).map(|(name, seed)| (*name, noise(seed, 99))).collect();
    let mut journey = Journey::begin(&user, &files);
    let (first, last) = (journey.finds(Side::Left, "kept"), journey.finds(Side::Left, "twice.txt"));
    journey.drags(&[first, last]);
    journey.faces("4/4 marked");
    journey.types(F5);
    let mut answers = vec![("kept", "n"), ("replaced", "y"), ("twice.txt", "k")];
    while !answers.is_empty() {
        let asked = |face: &vt100::Screen, name: &str| {
            face.contents().contains(&format!("{name} exists already, with other content."))
        };
        journey
            .terminal
            .comes_to("a question", |face| answers.iter().any(|(name, _)| asked(face, name)));
        let face = journey.terminal.face();
        let which = answers.iter().position(|(name, _)| asked(face, name)).unwrap();
        // Both places are named with their side.
        assert!(face.contents().contains("this machine: "), "{}", face.contents());
        assert!(face.contents().contains("sampan://ada@"), "{}", face.contents());
        let (_, letter) = answers.remove(which);
        journey.types(letter);
    }
    journey.faces("3 across");
    journey.faces("1 skipped");
    let home = user.home();
    assert_eq!(fs::read(home.join("kept")).unwrap(), b"old");
    assert_eq!(fs::read(home.join("twice.txt")).unwrap(), b"old");
    assert_equal(&journey.local("new"), &home.join("new"));
    assert_equal(&journey.local("replaced"), &home.join("replaced"));
    assert_equal(&journey.local("twice.txt"), &home.join("twice (2).txt"));
    journey.leaves();
}

#[test]
fn f5_downloads_from_the_right_pane_and_f6_moves() {
    let server = TestServer::start();
    let user = server.user("ada");
    for (name, seed) in [("cargo", 1), ("moved", 2)] {
        fs::write(user.home().join(name), noise(seed, 3 * MIB)).unwrap();
    }
    let mut journey = Journey::begin(&user, &[]);
    journey.types(TAB);
    let row = journey.finds(Side::Right, "cargo");
    journey.drags(&[row]);
    journey.types(F5);
    journey.faces("✓ done: 1 across");
    assert_equal(&journey.local("cargo"), &user.home().join("cargo"));
    let row = journey.finds(Side::Right, "moved");
    journey.drags(&[row]);
    journey.types(F6);
    journey.finds(Side::Left, "moved");
    journey
        .terminal
        .comes_to("the source gone", |face| row_of(face, Side::Right, "moved").is_none());
    assert!(fs::read(journey.local("moved")).unwrap() == noise(2, 3 * MIB));
    journey.leaves();
}

#[test]
fn the_terminal_may_change_its_size_during_a_transfer() {
    let server = TestServer::start();
    let sluice = Sluice::to(server.port);
    let user = server.user("ada").through(sluice.port);
    let mut journey = Journey::begin(&user, &[("cargo", noise(1, 4 * MIB))]);
    let row = journey.finds(Side::Left, "cargo");
    sluice.hold_after(MIB);
    journey.drags(&[row]);
    journey.types(F5);
    journey.faces("All ");
    journey.terminal.resize((60, 16));
    journey.terminal.comes_to("the smallest screen", |face| {
        let text = face.contents();
        ["quota", "All ", "↑ cargo", "10 Quit"].iter().all(|part| text.contains(part))
    });
    journey.terminal.resize((59, 15));
    journey.faces("Sampan needs 60×16 cells; this terminal has 59×15.");
    journey.terminal.resize((1, 1));
    journey.terminal.resize((20, 5));
    journey.faces("Sampan needs");
    journey.terminal.resize((140, 40));
    journey.faces("F10 Quit");
    sluice.open();
    journey.faces("✓ done: 1 across");
    assert_equal(&journey.local("cargo"), &user.home().join("cargo"));
    journey.leaves();
}

#[test]
fn what_failed_says_why_and_is_tried_again_by_r() {
    let server = TestServer::start();
    let limits = QuotaLimits { bytes: Some(2_000_000), entries: None };
    let user = server.limited_user("ada", limits);
    let mut journey =
        Journey::begin(&user, &[("first", noise(1, 1_200_000)), ("second", noise(2, 1_200_000))]);
    let row = journey.finds(Side::Left, "first");
    journey.drags(&[row]);
    journey.types(F5);
    journey.faces("✓ done: 1 across");
    let row = journey.finds(Side::Left, "second");
    journey.drags(&[row]);
    journey.types(F5);
    journey.faces("1 failed");
    journey.faces("! failed · ");
    journey.types("w\r");
    journey.faces("This did not work");
    journey.faces("quota");
    journey.types("\r\t\t");
    // Room is made, and the same once more.
    let row = journey.finds(Side::Right, "first");
    journey.drags(&[row]);
    journey.types(F8);
    journey.faces("Delete this one from");
    journey.types("y");
    journey.terminal.comes_to("room", |face| row_of(face, Side::Right, "first").is_none());
    journey.types("wr");
    journey.faces("✓ done: 1 across");
    assert_equal(&journey.local("second"), &user.home().join("second"));
    journey.types("w");
    journey.faces("F10 Quit");
    journey.leaves();
}
