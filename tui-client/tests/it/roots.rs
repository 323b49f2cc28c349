//! Who may vouch for a server, in which order: `--fingerprint`; else a pin, even against the roots;
//! else the system's roots; else somebody is asked. The roots are a test's own, by the variable
//! that names them.

use std::fs;

use sampan_protocol::testing::{identity, vouched_for};

use crate::contact::Handshakes;
use crate::program::{Ended, Program};

/// The server shakes hands and hangs up: a program that takes it for the right one ends with 3.
const TRUSTED: i32 = 3;

#[test]
fn a_fingerprint_decides_then_a_pin_then_the_roots() {
    let (root, vouched) = vouched_for(&["127.0.0.1"]);
    let server = Handshakes::start(&vouched);
    let program = Program::new();
    let file = program.home().join("root.pem");
    fs::write(&file, root).unwrap();
    let none = program.home().join("none.pem");
    fs::write(&none, "").unwrap();
    let pins = program.home().join("known_servers");
    let host = format!("127.0.0.1:{}", server.port);
    let (own, other) = (vouched.fingerprint().to_string(), identity().fingerprint().to_string());
    let ls = |knows_the_root: bool, more: &[&str]| {
        let place = server.place();
        let mut command = program.command([&["ls", &*place], more].concat());
        command.env("SSL_CERT_FILE", if knows_the_root { &file } else { &none });
        command.env_remove("SSL_CERT_DIR").env("SAMPAN_PASSWORD", "secret");
        Ended::of(command.output().unwrap())
    };
    let has_pins = || fs::read_to_string(&pins).is_ok_and(|pins| !pins.is_empty());

    // The roots alone: no question, and no pin.
    ls(true, &[]).failed(TRUSTED, &[&host]);
    ls(true, &["--accept-new"]).failed(TRUSTED, &[&host]);
    assert!(!has_pins());
    ls(false, &[]).failed(5, &["not known", &own]);

    // A fingerprint that was given beats them, both ways.
    ls(true, &["--fingerprint", &other]).failed(5, &[&other, &own]);
    ls(false, &["--fingerprint", &own]).failed(TRUSTED, &[&host]);
    assert!(!has_pins());

    // So does a pin; nothing but forgetting it helps, or a fingerprint that is given.
    fs::write(&pins, format!("{host} {other}\n")).unwrap();
    let forget = format!("sampan forget {host}");
    ls(true, &[]).failed(5, &[&forget, &other, &own, "line 1"]);
    ls(true, &["--accept-new"]).failed(5, &[&forget]);
    ls(true, &["--fingerprint", &own]).failed(TRUSTED, &[&host]);
    fs::write(&pins, format!("{host} {own}\n")).unwrap();
    ls(false, &[]).failed(TRUSTED, &[&host]);
    program.run(["forget", &host]).succeeded();
    ls(true, &[]).failed(TRUSTED, &[&host]);
}

/// A certificate counts for the names in it.
#[test]
fn the_roots_vouch_for_the_host_that_was_called() {
    let (root, vouched) = vouched_for(&["files.example.org"]);
    let server = Handshakes::start(&vouched);
    let program = Program::new();
    let file = program.home().join("root.pem");
    fs::write(&file, root).unwrap();
    let mut command = program.command(["ls", &server.place()]);
    command.env("SSL_CERT_FILE", &file).env_remove("SSL_CERT_DIR");
    let ended = Ended::of(command.output().unwrap());
    ended.failed(5, &["not known", &vouched.fingerprint().to_string()]);
}
