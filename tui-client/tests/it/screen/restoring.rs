//! The terminal is as it was before, whichever way the screen ends.

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use vt100::MouseProtocolMode;

use super::{CTRL_C, F10, SIZE};
use crate::program::Program;
use crate::server::TestServer;
use crate::terminal::OnTerminal;

/// Runs the program from a shell that outlives it and prints how the terminal is then.
fn from_a_shell(program: &Program, arguments: &str) -> OnTerminal {
    let line = format!("trap : HUP INT TERM; $SAMPAN {arguments}; echo code $?; stty -a; echo END");
    OnTerminal::sized(program, std::path::Path::new("/"), &line, SIZE)
}

/// The program: the child of the shell.
fn process(terminal: &OnTerminal) -> Pid {
    let shell = terminal.process();
    let children = std::fs::read_to_string(format!("/proc/{shell}/task/{shell}/children")).unwrap();
    Pid::from_raw(children.trim().parse().unwrap()).unwrap()
}

/// Waits until the screen is there with all its modes.
#[track_caller]
fn opens(terminal: &mut OnTerminal) {
    terminal.comes_to("the screen", |face| {
        face.alternate_screen()
            && face.mouse_protocol_mode() == MouseProtocolMode::ButtonMotion
            && face.bracketed_paste()
            && face.contents().contains("F10 Quit")
    });
}

#[track_caller]
fn is_restored(mut terminal: OnTerminal, code: u32) {
    terminal.faces("END");
    let face = terminal.face();
    let text = face.contents();
    assert!(text.contains(&format!("code {code}")), "{text}");
    assert!(!face.alternate_screen(), "the alternate screen was not left");
    assert!(!face.hide_cursor(), "the cursor is hidden");
    assert_eq!(face.mouse_protocol_mode(), MouseProtocolMode::None);
    assert!(!face.bracketed_paste(), "pastes are bracketed");
    let (seen, _) = terminal.ends();
    // Reports of the focus, which the face knows nothing of.
    assert!(seen.rfind("\x1b[?1004l") > seen.rfind("\x1b[?1004h"), "the focus is reported");
    let words: Vec<_> = seen.rsplit("code ").next().unwrap().split_whitespace().collect();
    for mode in ["echo", "icanon", "isig", "icrnl", "opost"] {
        assert!(words.contains(&mode), "`{mode}` is off: {words:?}");
    }
}

#[test]
fn after_f10() {
    let program = Program::new();
    let mut terminal = from_a_shell(&program, "");
    opens(&mut terminal);
    terminal.types("\x1b");
    terminal.faces("Press C, Enter or click here.");
    terminal.types(F10);
    is_restored(terminal, 0);
}

#[test]
fn after_ctrl_c() {
    let program = Program::new();
    let mut terminal = from_a_shell(&program, "");
    opens(&mut terminal);
    // The dialog first.
    terminal.types(CTRL_C);
    terminal.faces("Press C, Enter or click here.");
    terminal.types(CTRL_C);
    terminal.faces("Leave Sampan?");
    terminal.types("y");
    is_restored(terminal, 0);
}

#[test]
fn after_signals() {
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let program = Program::new();
        let mut terminal = from_a_shell(&program, "");
        opens(&mut terminal);
        kill_process(process(&terminal), signal).unwrap();
        is_restored(terminal, 130);
    }
}

#[test]
fn after_an_error_at_the_start() {
    let server = TestServer::start();
    let user = server.user("ada");
    // Where its journals belong lies a file: the queue cannot be opened.
    for name in ["journals", "state/journals"] {
        let path = user.program.home().join(name);
        if path.parent().is_some_and(std::path::Path::is_dir) {
            std::fs::write(path, b"").unwrap();
        }
    }
    let mut terminal = from_a_shell(&user.program, &user.place(""));
    terminal.faces("journals");
    is_restored(terminal, 1);
}

#[cfg(debug_assertions)]
#[test]
fn after_a_panic_whose_message_can_be_read() {
    let program = Program::new();
    let mut terminal = from_a_shell(&program, "fail-on-screen");
    opens(&mut terminal);
    kill_process(process(&terminal), Signal::USR1).unwrap();
    terminal.faces("this part of the program was asked to fail");
    is_restored(terminal, 1);
}

#[test]
fn when_the_terminal_goes_away_the_program_ends() {
    let (program, temporary) = (Program::new(), TempDir::new().unwrap());
    let line = format!("TMPDIR={} exec $SAMPAN demo", temporary.path().display());
    let mut terminal = OnTerminal::sized(&program, temporary.path(), &line, SIZE);
    terminal.faces("Welcome.txt");
    let code = terminal.hangs_up();
    assert_eq!(code, 130);
    assert_eq!(std::fs::read_dir(temporary.path()).unwrap().count(), 0, "the demo left something");
}
