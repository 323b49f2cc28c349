//! Leaving: at once while nothing runs, after a question otherwise.

use super::sluice::Sluice;
use super::{CTRL_C, F5, F10, Journey, Side, noise};
use crate::server::TestServer;

const QUESTION: &str = "Leave Sampan?";

/// A screen with a transfer that does not end before the sluice opens.
fn busy<'a>(server: &'a TestServer, sluice: &Sluice) -> (crate::server::User<'a>, Journey) {
    let user = server.user("ada").through(sluice.port);
    let mut journey = Journey::begin(&user, &[("cargo", noise(1, 4 << 20))]);
    let row = journey.finds(Side::Left, "cargo");
    sluice.hold_after(1 << 20);
    journey.drags(&[row]);
    journey.types(F5);
    journey.faces("All ");
    (user, journey)
}

#[test]
fn f10_asks_while_something_runs_and_what_runs_goes_on_at_the_next_start() {
    let server = TestServer::start();
    let sluice = Sluice::to(server.port);
    let (user, mut journey) = busy(&server, &sluice);
    journey.types(F10);
    journey.faces(QUESTION);
    journey.faces("Transfers are running.");
    journey.types("n");
    journey.terminal.comes_to("the screen again", |face| !face.contents().contains(QUESTION));
    journey.types(F10);
    journey.faces(QUESTION);
    journey.types("y");
    let Journey { local, terminal } = journey;
    let (seen, code) = terminal.ends();
    assert_eq!(code, 0, "{seen}");
    assert!(!user.home().join("cargo").exists(), "half a file must not be seen");

    sluice.open();
    let line = format!("exec $SAMPAN {}", user.place(""));
    let terminal =
        crate::terminal::OnTerminal::sized(&user.program, local.path(), &line, super::SIZE);
    let mut journey = Journey { local, terminal };
    journey.faces("✓ done: 1 across");
    super::assert_equal(&journey.local("cargo"), &user.home().join("cargo"));
    journey.leaves();
}

#[test]
fn ctrl_c_asks_and_never_kills() {
    let server = TestServer::start();
    let user = server.user("ada");
    let mut journey = Journey::begin(&user, &[]);
    journey.types(CTRL_C);
    journey.faces(QUESTION);
    // In a dialog it is the answer that changes nothing.
    journey.types(CTRL_C);
    journey.terminal.comes_to("the screen again", |face| !face.contents().contains(QUESTION));
    journey.types(CTRL_C);
    journey.faces(QUESTION);
    journey.types("y");
    let (seen, code) = journey.terminal.ends();
    assert_eq!(code, 0, "{seen}");
}
