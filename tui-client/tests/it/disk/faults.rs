//! Disks that fail by plan.

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
    /// Of the bytes to be carried only a part is, and the next call fails.
    Short(Errno),
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
            Fault::FullFrom(errno) if takes_space(call) => {
                state.failed.get_or_insert_with(|| kind(call));
                Err(errno)
            }
            Fault::Short(errno) if state.failed.is_none() => {
                state.failed = Some(format!("short {}", kind(call)));
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
