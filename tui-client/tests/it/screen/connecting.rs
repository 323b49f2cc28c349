//! The connect dialog: what it asks, what it says when it does not work.

use tempfile::TempDir;

use super::{ENTER, Journey, SIZE, TAB};
use crate::program::Program;
use crate::server::{PASSWORD, TestServer};
use crate::terminal::OnTerminal;

fn begin(program: &Program) -> Journey {
    let local = TempDir::new().unwrap();
    let mut terminal = OnTerminal::sized(program, local.path(), "exec $SAMPAN", SIZE);
    terminal.faces("Password");
    Journey { local, terminal }
}

#[test]
fn it_asks_about_the_fingerprint_says_that_a_password_is_wrong_and_opens() {
    let server = TestServer::start();
    let user = server.user("ada");
    std::fs::write(user.home().join("a letter.txt"), b"Dear Ada").unwrap();
    let stranger = Program::new();
    let mut journey = begin(&stranger);
    journey.types(&user.place(""));
    journey.types(&TAB.repeat(4));
    journey.types("not the password");
    journey.types(ENTER);
    journey.faces("Unknown server");
    journey.faces(&server.fingerprint());
    assert!(!stranger.home().join("known_servers").exists());
    journey.types("y");
    journey.faces("the login was refused: name or password are wrong");
    // The focus is on the password, and the rest is as it was.
    journey.types(PASSWORD);
    journey.types(ENTER);
    journey.faces("a letter.txt");
    let (seen, wrong) = (journey.terminal.seen(), "not the password");
    assert!(!seen.contains(wrong) && !seen.contains(PASSWORD), "a password was shown");
    journey.faces("live");
    journey.leaves();
}

#[test]
fn n_to_the_fingerprint_connects_to_nobody_and_keeps_nothing() {
    let server = TestServer::start();
    let user = server.user("ada");
    let stranger = Program::new();
    let mut journey = begin(&stranger);
    journey.types(&user.place(""));
    journey.types(&TAB.repeat(4));
    journey.types(PASSWORD);
    journey.types(ENTER);
    journey.faces("Unknown server");
    journey.types("n");
    journey.terminal.comes_to("the dialog again", |face| {
        !face.contents().contains("Unknown server") && face.contents().contains("Connect")
    });
    journey.types("\x1b");
    journey.faces("Press C, Enter or click here.");
    assert!(!stranger.home().join("known_servers").exists());
    journey.leaves();
}

#[test]
fn nobody_there_is_said_in_the_dialog() {
    let program = Program::new();
    let mut journey = begin(&program);
    // A port that was free a moment ago.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    journey.types(&format!("sampan://ada@127.0.0.1:{port}/"));
    journey.types(&TAB.repeat(4));
    journey.types("x");
    journey.types(ENTER);
    journey.faces("nobody listens there");
    journey.types("\x1b");
    journey.faces("Not connected.");
    journey.leaves();
}
