//! Dropping dead on request: not in a release.
//!
//! `SAMPAND_DIE_AT=renamed:3` kills the process, as SIGKILL from outside would, when a change comes
//! to this step for the third time; `SAMPAND_DIE_AT=call:1234` before that file-system call of the
//! store, whichever it is. `SAMPAND_FAIL_FLUSH` lets the first flush of a file fail, which some steps
//! come after. `SAMPAND_CLOCK_AHEAD` puts the store's clock so many seconds ahead, so
//! that uploads expire while a test looks on.
//!
//! Invariant: nothing runs on after the kill, no destructor and no other thread's next line.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use sampan_protocol::Timestamp;

use crate::store::local::{Call, Clock, Faults, LocalOptions, Step};

/// Names where to die.
const WHERE: &str = "SAMPAND_DIE_AT";
/// Set if a flush is to fail.
const FAIL_FLUSH: &str = "SAMPAND_FAIL_FLUSH";
/// Says by how many seconds the store's clock is ahead.
const CLOCK_AHEAD: &str = "SAMPAND_CLOCK_AHEAD";
/// How often such a store looks for what has expired.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Stands for any file-system call.
const ANY_CALL: &str = "call";

/// Where to die, and how often that is still passed alive.
struct DieAt {
    /// `None`: a call.
    step: Option<&'static str>,
    left: AtomicU64,
    fails_flush: AtomicBool,
}

/// The options with what the environment asks for.
pub(crate) fn armed(mut options: LocalOptions) -> LocalOptions {
    if let Ok(place) = std::env::var(WHERE) {
        options.faults = Some(Arc::new(DieAt::parse(&place)));
    }
    if let Ok(ahead) = std::env::var(CLOCK_AHEAD) {
        options.clock = ahead_by(ahead.parse().expect("SAMPAND_CLOCK_AHEAD is whole seconds"));
        options.expire_every = LOOK_AGAIN;
    }
    options
}

fn ahead_by(seconds: u64) -> Clock {
    let ahead = Duration::from_secs(seconds);
    Arc::new(move || Timestamp::from(std::time::SystemTime::now() + ahead))
}

impl DieAt {
    fn parse(place: &str) -> Self {
        let (name, times) = place.rsplit_once(':').unwrap_or((place, "1"));
        let known = || Step::ALL.iter().map(|step| step.name()).find(|step| *step == name);
        let step = (name != ANY_CALL).then(|| known().expect("SAMPAND_DIE_AT names a step"));
        let times = times.parse().expect("SAMPAND_DIE_AT ends with a number");
        let fails_flush = AtomicBool::new(std::env::var_os(FAIL_FLUSH).is_some());
        Self { step, left: AtomicU64::new(times), fails_flush }
    }

    fn passes(&self) {
        if self.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            let (Ok(()) | Err(_)) = kill_process(getpid(), Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}

impl Faults for DieAt {
    fn before(&self, call: Call) -> io::Result<()> {
        if self.step.is_none() {
            self.passes();
        }
        if call == Call::FlushFile && self.fails_flush.swap(false, Ordering::Relaxed) {
            return Err(io::Error::other("a flush that a test lets fail"));
        }
        Ok(())
    }

    fn lives_at(&self, step: &'static str) -> bool {
        if self.step == Some(step) {
            self.passes();
        }
        true
    }
}
