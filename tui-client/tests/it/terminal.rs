//! Questions on a real terminal: where they go, what they show, and what is left when they are cut
//! short.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use portable_pty::{Child, CommandBuilder, MasterPty, PtySize, native_pty_system};
use rustix::fs::{Mode, OFlags};
use sampan_protocol::testing::identity;

use crate::contact::Handshakes;
use crate::program::Program;

/// Columns and rows of a terminal that nothing else was said of.
const SIZE: (u16, u16) = (100, 24);

/// Longer than any step takes, so that a test that hangs fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A shell's command line on a terminal of its own.
pub(crate) struct OnTerminal {
    child: Box<dyn Child + Send + Sync>,
    input: Box<dyn Write + Send>,
    output: Receiver<Vec<u8>>,
    seen: String,
    /// What the terminal's face shows now; a screen is painted by differences, so its texts are not
    /// found in `seen`.
    face: vt100::Parser,
    master: Box<dyn MasterPty + Send>,
}

impl OnTerminal {
    /// Runs `line` by `sh`, with the program as `$SAMPAN`.
    pub(crate) fn run(program: &Program, line: &str) -> Self {
        Self::sized(program, Path::new("/"), line, SIZE)
    }

    /// The same in `folder`, on a terminal of so many columns and rows.
    pub(crate) fn sized(program: &Program, folder: &Path, line: &str, size: (u16, u16)) -> Self {
        let pair = native_pty_system().openpty(cells(size)).unwrap();
        let mut command = CommandBuilder::new("/bin/sh");
        command.args(["-c", line]);
        command.cwd(folder);
        command.env("TERM", "xterm-256color");
        command.env("TZ", "UTC");
        command.env("SAMPAN", env!("CARGO_BIN_EXE_sampan"));
        command.env("SAMPAN_HOME", program.home());
        command.env_remove("SAMPAN_PASSWORD");
        let child = pair.slave.spawn_command(command).unwrap();
        let input = pair.master.take_writer().unwrap();
        let mut reader = pair.master.try_clone_reader().unwrap();
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            // A terminal whose last program has gone ends with an error.
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    break;
                }
            }
        });
        let face = vt100::Parser::new(count(size.1), count(size.0), 0);
        Self { child, input, output, seen: String::new(), face, master: pair.master }
    }

    /// Waits until `text` was printed.
    #[track_caller]
    pub(crate) fn shows(&mut self, text: &str) {
        let printed = |terminal: &Self| terminal.seen.contains(text);
        assert!(self.waits(printed), "`{text}` was never printed:\n{}", self.seen);
    }

    /// Waits until the terminal's face shows `text`.
    #[track_caller]
    pub(crate) fn faces(&mut self, text: &str) {
        self.comes_to(text, |face| face.contents().contains(text));
    }

    /// Waits until the terminal's face has come to be so, in a picture that is whole.
    #[track_caller]
    pub(crate) fn comes_to(&mut self, what: &str, so: impl Fn(&vt100::Screen) -> bool) {
        let faced = |terminal: &Self| terminal.is_whole() && so(terminal.face());
        assert!(self.waits(faced), "`{what}` never came to be:\n{}", self.face().contents());
    }

    /// All that was printed so far.
    pub(crate) fn seen(&self) -> &str {
        &self.seen
    }

    /// What the terminal shows now.
    pub(crate) fn face(&self) -> &vt100::Screen {
        self.face.screen()
    }

    /// Whether no picture is being painted: it is bracketed by a synchronised update.
    fn is_whole(&self) -> bool {
        let last = |sequence| self.seen.rfind(sequence);
        last("\x1b[?2026l") >= last("\x1b[?2026h")
    }

    /// Gives the terminal so many columns and rows.
    pub(crate) fn resize(&mut self, size: (u16, u16)) {
        // Bytes of the old size first: what they wrap at is the old edge.
        while let Ok(more) = self.output.try_recv() {
            self.take(&more);
        }
        self.face.screen_mut().set_size(count(size.1), count(size.0));
        self.master.resize(cells(size)).unwrap();
    }

    fn take(&mut self, more: &[u8]) {
        self.seen.push_str(&String::from_utf8_lossy(more));
        self.face.process(more);
    }

    fn waits(&mut self, until: impl Fn(&Self) -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !until(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            // Also if there is always more.
            if left.is_zero() {
                return false;
            }
            let Ok(more) = self.output.recv_timeout(left) else { return false };
            self.take(&more);
        }
        true
    }

    pub(crate) fn types(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).unwrap();
        self.input.flush().unwrap();
    }

    /// The process that runs on it.
    pub(crate) fn process(&self) -> u32 {
        self.child.process_id().expect("it runs on this machine")
    }

    /// Stops all output to it; gives the end that programs have, held open.
    pub(crate) fn stops(&mut self) -> File {
        let name = self.master.tty_name().expect("it has a name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let terminal = File::from(rustix::fs::open(name, flags, Mode::empty()).unwrap());
        rustix::termios::tcflow(&terminal, rustix::termios::Action::OOff).unwrap();
        terminal
    }

    /// Waits for the end while `held` keeps the terminal there: all that was shown, and the exit
    /// code.
    pub(crate) fn ends_while(&mut self, held: &File) -> (String, u32) {
        let code = self.child.wait().unwrap().exit_code();
        (&*held).write_all(b"(the end)").unwrap();
        self.shows("(the end)");
        (self.seen.clone(), code)
    }

    /// Takes the terminal away, as a window that is closed does, and waits for the end.
    pub(crate) fn hangs_up(mut self) -> u32 {
        drop(self.input);
        drop(self.master);
        drop(self.output);
        self.child.wait().unwrap().exit_code()
    }

    /// Waits for the end: all that was shown, and the exit code.
    #[track_caller]
    pub(crate) fn ends(mut self) -> (String, u32) {
        self.ends_or_comes_to(|_| false);
        let code = self.child.wait().unwrap().exit_code();
        (self.seen, code)
    }

    /// Waits for the end, or until the terminal's face is so: `false`.
    #[track_caller]
    pub(crate) fn ends_or_comes_to(&mut self, so: impl Fn(&vt100::Screen) -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(more) if !left.is_zero() => self.take(&more),
                // Its last program has gone.
                Err(RecvTimeoutError::Disconnected) => return true,
                Ok(_) | Err(RecvTimeoutError::Timeout) => {
                    self.child.kill().unwrap();
                    panic!("it never ended:\n{}", self.face().contents());
                }
            }
            if self.is_whole() && so(self.face()) {
                return false;
            }
        }
    }
}

fn count(number: u16) -> NonZero<u16> {
    NonZero::new(number).expect("a terminal has cells")
}

fn cells((cols, rows): (u16, u16)) -> PtySize {
    PtySize { rows, cols, pixel_width: 0, pixel_height: 0 }
}

fn pins(program: &Program) -> Option<String> {
    std::fs::read_to_string(program.home().join("known_servers")).ok()
}

#[test]
fn the_identity_is_asked_on_the_terminal_and_never_on_standard_input() {
    let program = Program::new();
    let server = Handshakes::start(identity());
    let line = format!("echo yes | $SAMPAN ls {} | cat", server.place());
    let mut terminal = OnTerminal::run(&program, &line);
    terminal.shows(&identity().fingerprint().to_string());
    terminal.shows("[yes/no]");
    assert_eq!(pins(&program), None);
    terminal.types("perhaps\n");
    terminal.shows("Please type yes, no");
    terminal.types("yes\n");
    terminal.shows("Password of ada@127.0.0.1");
    assert!(pins(&program).unwrap().contains(&identity().fingerprint().to_string()));
    terminal.types("s3cret\n");
    let (seen, _) = terminal.ends();
    assert!(!seen.contains("s3cret"), "the password was shown:\n{seen}");
}

#[test]
fn no_to_the_identity_ends_with_5_and_pins_nothing() {
    let program = Program::new();
    let server = Handshakes::start(identity());
    let mut terminal = OnTerminal::run(&program, &format!("$SAMPAN ls {}", server.place()));
    terminal.shows("[yes/no]");
    terminal.types("no\n");
    let (seen, code) = terminal.ends();
    assert_eq!((code, pins(&program)), (5, None), "{seen}");
    assert!(seen.contains("stopped, as you answered no"), "{seen}");
}

#[test]
fn the_fingerprint_itself_is_an_answer() {
    let program = Program::new();
    let server = Handshakes::start(identity());
    let mut terminal = OnTerminal::run(&program, &format!("$SAMPAN ls {}", server.place()));
    terminal.shows("[yes/no]");
    terminal.types("SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n");
    let (seen, code) = terminal.ends();
    assert_eq!((code, pins(&program)), (5, None), "{seen}");
    assert!(seen.contains("A was given (--fingerprint, or typed)"), "{seen}");

    let mut terminal = OnTerminal::run(&program, &format!("$SAMPAN ls {}", server.place()));
    terminal.shows("[yes/no]");
    terminal.types(&format!("{}\n", identity().fingerprint()));
    terminal.shows("Password of");
    assert!(pins(&program).is_some());
    terminal.types("x\n");
    terminal.ends();
}

#[test]
fn without_a_terminal_on_standard_error_nothing_is_asked() {
    let program = Program::new();
    let server = Handshakes::start(identity());
    let line = format!("$SAMPAN ls {} 2>/dev/null; echo code $?", server.place());
    let (seen, _) = OnTerminal::run(&program, &line).ends();
    assert_eq!(seen.trim(), "code 5");
}

/// The screen takes signals itself; before it is there, nobody else would.
#[test]
fn ctrl_c_at_a_question_before_the_screen_ends_with_130() {
    let program = Program::new();
    let server = Handshakes::start(identity());
    let line = format!("trap : INT; $SAMPAN {}; echo code $?", server.place());
    let mut terminal = OnTerminal::run(&program, &line);
    terminal.shows("[yes/no]");
    terminal.types("\x03");
    terminal.shows("code 130");
    terminal.ends();
    assert_eq!(pins(&program), None);
}

#[test]
fn ctrl_c_at_the_password_ends_with_130_and_the_terminal_echoes_again() {
    let program = Program::new();
    let server = Handshakes::start(identity());
    let fingerprint = identity().fingerprint();
    let line = format!(
        "trap : INT; $SAMPAN ls --fingerprint {fingerprint} {}; echo code $?; stty -a",
        server.place()
    );
    let mut terminal = OnTerminal::run(&program, &line);
    terminal.shows("Password of");
    terminal.types("\x03");
    let (seen, _) = terminal.ends();
    assert!(seen.contains("code 130"), "{seen}");
    assert!(seen.contains(" echo ") && !seen.contains("-echo "), "{seen}");
}

#[test]
fn s2_names_are_escaped_on_a_terminal_also_where_they_end_with_nul() {
    use std::os::unix::ffi::OsStrExt;
    let server = crate::server::TestServer::start();
    let ada = server.user("ada");
    let name = std::ffi::OsStr::from_bytes(b"\x1b[31mred\xff");
    std::fs::write(ada.home().join(name), b"").unwrap();
    for flags in ["-0", "", "-l", "-lU0"] {
        let line = format!("$SAMPAN ls {flags} {}", ada.place(""));
        let (seen, code) = OnTerminal::run(&ada.program, &line).ends();
        assert_eq!(code, 0);
        assert!(seen.contains("\\x1b[31mred\\xff") && !seen.contains('\x1b'), "{flags}: {seen:?}");
        assert_eq!(seen.contains('\0'), flags.contains('0'), "{flags}: {seen:?}");
    }
}

#[test]
fn a_mistyped_password_is_asked_for_again_and_not_for_ever() {
    let server = crate::server::TestServer::start();
    let ada = server.user("ada");
    std::fs::write(ada.home().join("here"), b"").unwrap();
    // It has met the server before, and has no key.
    let program = Program::new();
    let state = sampan_client::state::State::under(program.home());
    state.known_servers().set(&ada.account().server, &server.fingerprint()).unwrap();
    let line = format!("$SAMPAN ls {}", ada.place(""));
    let mut terminal = OnTerminal::run(&program, &line);
    terminal.shows("Password of");
    terminal.types("wrong\n");
    // The answer follows the question: what is typed before it is none.
    terminal
        .comes_to("the question again", |face| face.contents().matches("Password of").count() == 2);
    terminal.types(&format!("{}\n", crate::server::PASSWORD));
    let (seen, code) = terminal.ends();
    assert_eq!((code, seen.matches("Password of").count()), (0, 2), "{seen}");
    assert!(seen.contains("name or password are wrong") && seen.contains("here"), "{seen}");

    let mut terminal = OnTerminal::run(&program, &line);
    for tries in 1..=3 {
        terminal.comes_to("the next question", |face| {
            face.contents().matches("Password of").count() == tries
        });
        terminal.types("wrong\n");
    }
    let (seen, code) = terminal.ends();
    assert_eq!((code, seen.matches("Password of").count()), (4, 3), "{seen}");
}
