//! What an administrator orders while the server runs, and orders again when it died under it: a home
//! counted anew, an account removed with all it has.

use std::io::Write;
use std::process::{Output, Stdio};

use super::drive::{Deaths, Outcome, bury, comes_to, serve, stop};
use super::world::{NAMES, World};

/// An account that is there for one round.
pub(super) const GUEST: &str = "guest";

/// Counts the first person's home.
pub(super) fn scan(world: &mut World, deaths: &mut Deaths) {
    let words = ["quota", "scan", NAMES[0]];
    carry(world, deaths, &words, |_, output| output.status.success());
}

/// Removes the guest, home and all.
pub(super) fn remove_guest(world: &mut World, deaths: &mut Deaths) {
    let words = ["user", "remove", GUEST, "--purge"];
    carry(world, deaths, &words, |world, output| {
        // Whoever did not hear that it is removed is told that there is none.
        output.status.success()
            || (output.status.code() == Some(7) && is_there(world) == Some(false))
    });
    assert_eq!(is_there(world), Some(false));
    assert!(!world.data().join("homes").join(GUEST).exists(), "its home is left");
}

/// Adds an account that takes the home that lies there.
pub(super) fn add(world: &World, name: &str) {
    let words = ["user", "add", name, "--take-home", "--password-stdin"];
    let mut command = world.command(&words);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"correct horse\n").unwrap();
    assert!(child.wait().unwrap().success());
}

/// Whether the guest has an account; unknown where the server dies under the question.
fn is_there(world: &World) -> Option<bool> {
    let output = world.command(&["user", "list", "--json"]).output().unwrap();
    let list = String::from_utf8(output.stdout).unwrap();
    let named = format!("\"{GUEST}\"");
    output.status.success().then(|| list.lines().any(|line| line.contains(&named)))
}

/// Gives an order until a server that nobody told to die has carried it out.
fn carry(
    world: &mut World,
    deaths: &mut Deaths,
    words: &[&str],
    is_done: impl Fn(&World, &Output) -> bool,
) {
    deaths.client.clear();
    deaths.lines.clear();
    loop {
        serve(world, deaths);
        let is_armed = world.server.as_ref().is_some_and(|server| server.armed.is_some());
        let output = world.command(words).output().unwrap();
        if is_done(world, &output) {
            stop(world, deaths);
            if !is_armed {
                return;
            }
        } else {
            // Only a server that dies under it leaves it undone.
            let outcome = comes_to(world, |_| false);
            assert_eq!(outcome, Outcome::Died, "{words:?}: {output:?}");
            bury(world, deaths);
        }
    }
}
