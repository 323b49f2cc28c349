//! New folders, new names, removals: on both sides, with questions that name what they are about.

use super::{CTRL_U, ENTER, F2, F7, F8, Journey, Side, TAB, counts, row_of, title};
use crate::server::TestServer;

/// Makes a folder, enters it, makes one in it, renames that, is asked about it, deletes it.
fn whole_life(journey: &mut Journey, side: Side, place: &str) {
    journey.types(F7);
    journey.faces("New folder");
    journey.faces(place);
    journey.types("harbour papers");
    journey.types(ENTER);
    // The cursor is on it.
    journey.finds(side, "harbour papers");
    journey.types(ENTER);
    journey.terminal.comes_to("the folder's path", |face| {
        title(face, side).contains("/harbour papers") && counts(face, side).contains("0 items")
    });
    journey.types(F7);
    journey.faces("New folder");
    journey.types("inner");
    journey.types(ENTER);
    journey.finds(side, "inner");
    journey.types(F2);
    journey.faces("Rename");
    journey.types(CTRL_U);
    journey.types("outer");
    journey.types(ENTER);
    journey.finds(side, "outer");
    for (letter, there) in [("n", true), ("y", false)] {
        journey.types(F8);
        journey.faces("Delete this one from");
        let text = journey.terminal.face().contents();
        let folder = format!("{}/harbour papers", place.trim_end_matches('/'));
        assert!(text.contains(&folder), "{text}");
        assert!(text.contains("outer/ · folder"), "{text}");
        journey.types(letter);
        journey.terminal.comes_to("the answer", |face| {
            !face.contents().contains("Delete this one")
                && row_of(face, side, "outer").is_some() == there
        });
    }
    journey.terminal.comes_to("empty", |face| counts(face, side).contains("0 items"));
}

#[test]
fn in_the_home_on_the_server() {
    let server = TestServer::start();
    let user = server.user("ada");
    let mut journey = Journey::begin(&user, &[]);
    journey.types(TAB);
    whole_life(&mut journey, Side::Right, &user.place(""));
    assert_eq!(std::fs::read_dir(user.home().join("harbour papers")).unwrap().count(), 0);
    journey.leaves();
}

#[test]
fn on_this_machine() {
    let server = TestServer::start();
    let user = server.user("ada");
    let mut journey = Journey::begin(&user, &[]);
    let place = format!("this machine: {}", journey.local.path().display());
    whole_life(&mut journey, Side::Left, &place);
    assert_eq!(std::fs::read_dir(journey.local("harbour papers")).unwrap().count(), 0);
    journey.leaves();
}
