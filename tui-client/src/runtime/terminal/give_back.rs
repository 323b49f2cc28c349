//! Bytes to a terminal that may take none: stopped, or at the far end of a link that hangs.
//!
//! Whoever paints may be waiting in a write, and the terminal takes no other bytes before that has
//! ended. What still waits there is a picture that nobody needs any more: after a while it is thrown
//! away, so that the bytes that put the terminal right find room.
//!
//! Invariant: it takes no longer than [`GIVEN_UP_AFTER`], and waits for no lock that a painter holds.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::termios::{Action, QueueSelector, tcflow, tcflush};

/// A terminal that took nothing for so long is made room in.
const SLUGGISH_AFTER: Duration = Duration::from_millis(500);

/// And one that takes nothing even then is left as it is.
const GIVEN_UP_AFTER: Duration = Duration::from_millis(1500);

/// Between two looks at a terminal that takes nothing.
const LOOK_AGAIN: Timespec = Timespec { tv_sec: 0, tv_nsec: 10_000_000 };

/// Ends a sequence that was cut in its middle (ECMA-48: string terminator), and means nothing alone.
const END_OF_SEQUENCE: &[u8] = b"\x1b\\";

/// Writes `bytes` to the terminal that `output` is.
pub(super) fn give(output: impl AsFd, bytes: &[u8]) -> io::Result<()> {
    let terminal = opened_again(output.as_fd())?;
    let begun = Instant::now();
    let all = [END_OF_SEQUENCE, bytes].concat();
    let mut rest = &*all;
    let mut is_pushed = false;
    while !rest.is_empty() {
        match rustix::io::write(&terminal, rest) {
            Ok(written) => {
                rest = &rest[written..];
                continue;
            }
            Err(Errno::INTR) => continue,
            Err(Errno::AGAIN) => {}
            Err(error) => return Err(error.into()),
        }
        if begun.elapsed() >= GIVEN_UP_AFTER {
            return Err(io::ErrorKind::TimedOut.into());
        }
        if begun.elapsed() >= SLUGGISH_AFTER {
            if !is_pushed {
                is_pushed = true;
                silence(output.as_fd())?;
            }
            make_room(&terminal)?;
            // Some of it may just have been thrown away.
            rest = &all;
        }
        let mut ready = [PollFd::new(&terminal, PollFlags::OUT)];
        match poll(&mut ready, Some(&LOOK_AGAIN)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// The terminal by a description of its own: not to wait is a property of the description, and that
/// of our output is the shell's as well.
fn opened_again(output: impl AsFd) -> io::Result<File> {
    let name = rustix::termios::ttyname(output, Vec::new())?;
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(name, flags, Mode::empty())?.into())
}

/// From here on a painter that goes on paints nowhere; only the write that it waits in is still one
/// to the terminal.
fn silence(output: impl AsFd) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let is_standard = output.as_fd().as_raw_fd() == rustix::stdio::stdout().as_raw_fd();
    if is_standard {
        let nowhere =
            rustix::fs::open("/dev/null", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
        rustix::stdio::dup2_stdout(nowhere)?;
    }
    Ok(())
}

/// Throws away what the terminal has not taken, and wakes whoever waits for it to be taken.
fn make_room(terminal: &File) -> io::Result<()> {
    tcflush(terminal, QueueSelector::OFlush)?;
    // Also if somebody stopped it; to go on is what wakes a writer.
    tcflow(terminal, Action::OOff)?;
    tcflow(terminal, Action::OOn)?;
    Ok(())
}
