//! Disks that fail by plan.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use rustix::io::Errno;
use sampan_client::local::{Call, Faults};

/// What happens to the n-th call, the first being 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It fails, once.
    Once(Errno),
    /// It and every later one that takes space fails: the disk is full and stays so.
    FullFrom(Errno),
    /// It and every later one fails: the disk is gone.
    GoneFrom(Errno),
    /// The n-th writing carries only a part of its bytes, and the next one fails. Other calls do not
    /// count.
    Short(Errno),
}

impl Fault {
    pub(super) fn errno(self) -> Errno {
        match self {
            Self::Once(errno)
            | Self::FullFrom(errno)
            | Self::GoneFrom(errno)
            | Self::Short(errno) => errno,
        }
    }

    /// Whether it says that there is no room.
    pub(super) fn is_full(self) -> bool {
        matches!(self.errno(), Errno::NOSPC | Errno::DQUOT)
    }
}

/// How often which call was made to fail in which way.
#[derive(Default)]
pub(super) struct Injected(BTreeMap<(String, String), usize>);

impl Injected {
    pub(super) fn count(&mut self, fault: Fault, failed: &str) {
        let fault = match fault {
            Fault::Once(errno) => format!("{} once", name(errno)),
            Fault::FullFrom(errno) => format!("{} from then on", name(errno)),
            Fault::GoneFrom(errno) => format!("{} at everything from then on", name(errno)),
            Fault::Short(errno) => format!("half, then {}", name(errno)),
        };
        *self.0.entry((fault, failed.to_owned())).or_default() += 1;
    }

    pub(super) fn all(&self) -> usize {
        self.0.values().sum()
    }

    /// One line a fault.
    pub(super) fn print(&self, what: &str) {
        println!("{what}: {} faults injected", self.all());
        let faults: BTreeSet<_> = self.0.keys().map(|(fault, _)| fault).collect();
        for fault in faults {
            let calls = self.0.iter().filter(|((of, _), _)| of == fault);
            let calls: Vec<_> = calls.map(|((_, call), count)| format!("{call} {count}")).collect();
            println!("    {fault}: {}", calls.join(", "));
        }
    }
}

fn name(errno: Errno) -> String {
    let known = [(Errno::IO, "EIO"), (Errno::NOSPC, "ENOSPC"), (Errno::DQUOT, "EDQUOT")];
    let known = known.iter().find(|(of, _)| *of == errno);
    known.map_or_else(|| errno.to_string(), |(_, name)| (*name).to_owned())
}

/// Counts calls, and lets one fail.
pub(super) struct FailAt {
    fault: Fault,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    left: usize,
    failed: Option<String>,
}

impl FailAt {
    pub(super) fn new(call: usize, fault: Fault) -> Self {
        Self { fault, state: Mutex::new(State { left: call, failed: None }) }
    }

    /// Which call failed, if it came to it.
    pub(super) fn failed(&self) -> Option<String> {
        self.state.lock().unwrap().failed.clone()
    }
}

impl Faults for FailAt {
    fn before(&self, call: Call<'_>) -> Result<usize, Errno> {
        let mut state = self.state.lock().unwrap();
        if matches!(self.fault, Fault::Short(_)) && !matches!(call, Call::Write { .. }) {
            return Ok(usize::MAX);
        }
        let is_due = state.left == 0;
        state.left = state.left.saturating_sub(1);
        if !is_due {
            return Ok(usize::MAX);
        }
        match self.fault {
            Fault::Once(errno) if state.failed.is_none() => {
                state.failed = Some(kind(call));
                Err(errno)
            }
            Fault::GoneFrom(errno) => {
                state.failed.get_or_insert_with(|| kind(call));
                Err(errno)
            }
            Fault::FullFrom(errno) if takes_space(call) => {
                state.failed.get_or_insert_with(|| kind(call));
                Err(errno)
            }
            Fault::Short(errno) if state.failed.is_none() => {
                state.failed = Some(kind(call));
                match call {
                    // The next one is due as well.
                    Call::Write { bytes, .. } if bytes.len() > 1 => {
                        state.failed = None;
                        Ok(bytes.len() / 2)
                    }
                    _ => Err(errno),
                }
            }
            _ => Ok(usize::MAX),
        }
    }
}

fn takes_space(call: Call<'_>) -> bool {
    matches!(
        call,
        Call::Create { .. } | Call::MakeFolder { .. } | Call::Write { .. } | Call::Allocate
    )
}

/// Only the name of a call: what it is about differs from run to run.
pub(super) fn kind(call: Call<'_>) -> String {
    let all = format!("{call:?}");
    let end = all.find([' ', '{']).unwrap_or(all.len());
    all[..end].to_owned()
}

/// A disk that never does more than a little at once, and is interrupted again and again.
pub(super) struct Slow(pub(super) Mutex<usize>);

impl Faults for Slow {
    fn before(&self, call: Call<'_>) -> Result<usize, Errno> {
        let mut calls = self.0.lock().unwrap();
        *calls += 1;
        match call {
            Call::Read | Call::Write { .. } | Call::FlushBytes { .. } | Call::Flush { .. }
                if calls.is_multiple_of(3) =>
            {
                Err(Errno::INTR)
            }
            Call::Read | Call::Write { .. } => Ok(1 + *calls * 997 % 100_000),
            _ => Ok(usize::MAX),
        }
    }
}
