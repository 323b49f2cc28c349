//! A server that is killed under a transfer and comes back: the screen lives, counts down, goes on.

use std::collections::BTreeSet;

use tempfile::TempDir;

use super::sampand::{PASSWORD, Sampand, USER};
use super::sluice::Sluice;
use super::{F5, Journey, SIZE, Side, assert_equal, noise, title};
use crate::program::Program;

const MIB: usize = 1 << 20;

/// The seconds that a title counts down.
fn countdown(face: &vt100::Screen) -> Option<u32> {
    let title = title(face, Side::Right);
    let (_, rest) = title.split_once("link lost · ")?;
    rest.split_once(" s")?.0.parse().ok()
}

#[test]
fn a_killed_server_is_waited_for_and_the_file_arrives_whole() {
    let mut server = Sampand::start();
    let sluice = Sluice::to(server.port);
    let program = Program::new();
    let local = TempDir::new().unwrap();
    std::fs::write(local.path().join("cargo"), noise(1, 24 * MIB)).unwrap();
    let line = format!(
        "SAMPAN_PASSWORD='{PASSWORD}' exec $SAMPAN --accept-new sampan://{USER}@127.0.0.1:{}/",
        sluice.port
    );
    let mut journey = Journey::of_line(&program, local, &line, SIZE);
    let row = journey.finds(Side::Left, "cargo");
    sluice.hold_after(8 * MIB);
    journey.drags(&[row]);
    journey.types(F5);
    // Some of it is across, and not all.
    journey.terminal.comes_to("a gauge that moved", |face| {
        let text = face.contents();
        let gauge = text.lines().find(|line| line.starts_with("↑ cargo"));
        gauge.is_some_and(|line| line.contains('%') && !line.contains(" 0 %"))
    });

    server.kill();
    sluice.cut();
    journey.faces("link lost");
    journey.faces("reconnecting");
    // It counts down: seconds are seen to change.
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        journey.terminal.comes_to("a countdown", |face| {
            countdown(face).is_some_and(|seconds| !seen.contains(&seconds))
        });
        seen.extend(countdown(journey.terminal.face()));
    }
    // It is alive meanwhile: keys are heard, the local side works.
    journey.types("\x1b[18~");
    journey.faces("New folder");
    journey.types("made meanwhile\r");
    journey.finds(Side::Left, "made meanwhile");
    assert!(journey.terminal.face().contents().contains("link lost"));

    sluice.open();
    server.serve();
    journey.faces("✓ done: 1 across");
    journey.finds(Side::Right, "cargo");
    assert_equal(&journey.local("cargo"), &server.home().join("cargo"));
    assert!(!journey.terminal.face().contents().contains("link lost"));
    journey.leaves();
}
