//! The demo on a real terminal: it opens by itself, and nothing of it stays.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use rustix::termios::LocalModes;
use tempfile::TempDir;

use crate::program::Program;
use crate::terminal::OnTerminal;

/// Whatever lies in the folder for throw-away files.
fn left(temporary: &Path) -> Vec<String> {
    let names = fs::read_dir(temporary).unwrap();
    names.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn start(program: &Program, temporary: &Path, more: &str) -> OnTerminal {
    let line = format!("TMPDIR={} exec $SAMPAN demo {more}", temporary.display());
    let mut terminal = OnTerminal::run(program, &line);
    terminal.faces("Start here.txt");
    terminal.faces("Welcome.txt");
    terminal
}

#[test]
fn it_opens_on_both_sides_and_leaves_nothing_when_the_person_does() {
    let (program, temporary) = (Program::new(), TempDir::new().unwrap());
    let mut terminal = start(&program, temporary.path(), "");
    assert_eq!(left(temporary.path()).len(), 1);
    terminal.types("\x1b[21~");
    let (seen, code) = terminal.ends();
    assert_eq!((code, left(temporary.path())), (0, vec![]), "{seen}");
    assert_eq!(fs::read_dir(program.home()).unwrap().count(), 0, "it has a SAMPAN_HOME of its own");
}

#[test]
fn it_leaves_nothing_when_a_signal_ends_it() {
    let (program, temporary) = (Program::new(), TempDir::new().unwrap());
    let terminal = start(&program, temporary.path(), "");
    let process = i32::try_from(terminal.process()).unwrap();
    kill_process(Pid::from_raw(process).unwrap(), Signal::TERM).unwrap();
    let (seen, code) = terminal.ends();
    assert_eq!((code, left(temporary.path())), (130, vec![]), "{seen}");
}

/// A terminal that takes nothing: a program that paints waits in its write, and hears no signal.
#[test]
fn on_a_terminal_that_takes_nothing_it_gives_it_back_and_leaves_nothing() {
    // Blocked before the signal comes, and only by the giving back itself.
    for paints in [true, false] {
        let (program, temporary) = (Program::new(), TempDir::new().unwrap());
        let mut terminal = start(&program, temporary.path(), "");
        let process = Pid::from_raw(i32::try_from(terminal.process()).unwrap()).unwrap();
        let stopped = terminal.stops();
        assert!(!is_cooked(&stopped), "the screen is on it");
        if paints {
            terminal.types("\x1b[B\x1b[B\t");
            until_it_waits_for_its_output(process);
        }
        kill_process(process, Signal::TERM).unwrap();
        let (seen, code) = terminal.ends_while(&stopped);
        assert_eq!((code, left(temporary.path())), (130, vec![]), "{seen}");
        let restored = seen.rfind("\x1b[?1049l").unwrap_or_else(|| panic!("{seen:?}"));
        assert!(seen[restored..].contains("\x1b[?25h"), "{seen:?}");
        assert!(!seen[restored..].contains("\x1b[?2026h"), "painted over: {seen:?}");
        assert!(is_cooked(&stopped), "the terminal is still raw");
    }
}

fn is_cooked(terminal: &File) -> bool {
    let modes = rustix::termios::tcgetattr(terminal).unwrap().local_modes;
    modes.contains(LocalModes::ICANON | LocalModes::ECHO)
}

/// Until it is in the system's `write` on its standard output.
fn until_it_waits_for_its_output(process: Pid) {
    let path = format!("/proc/{}/syscall", process.as_raw_nonzero());
    let write = if cfg!(target_arch = "x86_64") { "1 0x1 " } else { "64 0x1 " };
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let call = fs::read_to_string(&path).unwrap();
        if call.starts_with(write) {
            return;
        }
        assert!(Instant::now() < deadline, "it never waited for its output, but in {call}");
        std::thread::yield_now();
    }
}

#[test]
fn it_keeps_everything_if_asked_and_takes_no_folder_that_is_there() {
    let (program, temporary) = (Program::new(), TempDir::new().unwrap());
    let kept = temporary.path().join("kept");
    let more = format!("--keep {}", kept.display());
    let mut terminal = start(&program, temporary.path(), &more);
    terminal.types("\x1b[21~");
    let (seen, code) = terminal.ends();
    assert_eq!(code, 0, "{seen}");
    assert!(seen.contains("sampand serve --data"), "{seen}");
    assert!(kept.join("server/homes/ada/Welcome.txt").is_file());
    assert!(kept.join("files/Start here.txt").is_file());
    let again = program.run(["demo", "--keep", kept.to_str().unwrap()]);
    again.failed(1, &["kept", "exists already"]);
}

#[test]
fn without_a_terminal_the_screen_says_so_with_2() {
    let program = Program::new();
    program.run::<&str>([]).failed(2, &["terminal", "--help"]);
    program.run(["no-such-command"]).failed(2, &["no-such-command", "no command"]);
    program.run(["./no-such-folder"]).failed(7, &["no-such-folder", "no such file or folder"]);
}
