//! The main job inside tmux, as `sampan demo` shows it. The pointer's reports go to tmux as from any
//! terminal, and reach the program through it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::{
    CTRL_U, ENTER, F2, F5, F7, F8, Journey, SIZE, Side, TAB, assert_equal, marked, row_of, title,
};
use crate::program::Program;
use crate::terminal::OnTerminal;

/// A tmux of its own, which ends with its only session.
struct Tmux {
    socket: PathBuf,
}

impl Tmux {
    /// What tmux itself says of its pane.
    fn captured(&self) -> String {
        let mut capture = Command::new("tmux");
        capture.arg("-S").arg(&self.socket).args(["capture-pane", "-p"]);
        String::from_utf8(capture.output().unwrap().stdout).unwrap()
    }

    /// Keys from outside, as a script sends them.
    fn sends(&self, keys: &[&str]) {
        let mut send = Command::new("tmux");
        let status = send.arg("-S").arg(&self.socket).arg("send-keys").args(keys).status();
        assert!(status.unwrap().success());
    }
}

fn is_there() -> bool {
    Command::new("tmux").arg("-V").output().is_ok_and(|output| output.status.success())
}

/// The demo's folder in the folder for throw-away files.
fn demo_in(temporary: &Path) -> PathBuf {
    let names = fs::read_dir(temporary).unwrap().map(|entry| entry.unwrap().file_name());
    let demo = names.into_iter().find(|name| name.as_encoded_bytes().starts_with(b"sampan-demo-"));
    temporary.join(demo.expect("the demo has made its folder"))
}

#[test]
#[ignore = "needs tmux"]
fn system_the_main_job_inside_tmux() {
    assert!(is_there(), "tmux is missing: install it, on Debian by `apt-get install tmux`");
    let (program, folder) = (Program::new(), TempDir::new().unwrap());
    let configuration = folder.path().join("tmux.conf");
    fs::write(&configuration, "set -g mouse on\nset -g status off\nset -s escape-time 20\n")
        .unwrap();
    let tmux = Tmux { socket: folder.path().join("tmux") };
    let temporary = folder.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    let line = format!(
        "unset TMUX; exec tmux -u -S {} -f {} new-session \"TMPDIR={} $SAMPAN demo\"",
        tmux.socket.display(),
        configuration.display(),
        temporary.display()
    );
    let terminal = OnTerminal::sized(&program, folder.path(), &line, SIZE);
    let mut journey = Journey { local: folder, terminal };
    journey.faces("Start here.txt");
    journey.faces("Welcome.txt");
    let demo = demo_in(&temporary);
    let home = demo.join("server/homes/ada");

    // Mark by a drag, carry to the other pane, see the gauges run.
    let (from, to) = (journey.finds(Side::Left, "Big cargo"), journey.finds(Side::Left, "Crates"));
    journey.drags(&[from, to]);
    journey
        .terminal
        .comes_to("two marks", |face| marked(face, Side::Left) == ["Big cargo/", "Crates/"]);
    journey.drags(&[from, (from.0 + 10, from.1), (70, 12)]);
    journey.terminal.comes_to("gauges", |face| {
        face.contents().lines().any(|line| line.starts_with("All ") && line.contains('%'))
    });
    journey.faces("✓ done: ");
    for file in ["Big cargo/film.mov", "Big cargo/disk image.img", "Crates/03/crate 003.bin"] {
        assert_equal(&demo.join("files").join(file), &home.join(file));
    }
    journey.finds(Side::Right, "Big cargo");

    // A folder on the server: made, entered, filled, renamed, deleted.
    journey.types(TAB);
    journey.types(F7);
    journey.faces("New folder");
    tmux.sends(&["-l", "papers"]);
    tmux.sends(&["Enter"]);
    journey.finds(Side::Right, "papers");
    journey.types(ENTER);
    journey.terminal.comes_to("its path", |face| title(face, Side::Right).contains("/papers"));
    journey.types(TAB);
    let row = journey.finds(Side::Left, "Start here.txt");
    journey.drags(&[row]);
    journey.types(F5);
    journey.finds(Side::Right, "Start here.txt");
    assert_equal(&demo.join("files/Start here.txt"), &home.join("papers/Start here.txt"));
    journey.types(TAB);
    let row = journey.finds(Side::Right, "Start here.txt");
    journey.drags(&[row]);
    journey.types(F2);
    journey.faces("Rename");
    journey.types("\x05");
    journey.types(CTRL_U);
    journey.types("Start.txt");
    journey.types(ENTER);
    journey.finds(Side::Right, "Start.txt");
    journey.types(F8);
    journey.faces("Delete this one from");
    assert!(tmux.captured().contains("sampan://ada@127.0.0.1:"), "{}", tmux.captured());
    journey.types("y");
    journey.terminal.comes_to("it gone", |face| row_of(face, Side::Right, "Start.txt").is_none());
    assert_eq!(fs::read_dir(home.join("papers")).unwrap().count(), 0);

    tmux.sends(&["F10"]);
    let Journey { local, terminal } = journey;
    let (seen, code) = terminal.ends();
    assert_eq!(code, 0, "{seen}");
    assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "the demo left something");
    drop(local);
}
