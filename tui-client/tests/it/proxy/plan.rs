//! What goes wrong on a connection, and at which byte: pure, so that a run is repeated by its seed.
//!
//! Invariant: a fault happens after exactly the bytes that it names, however they arrive.

use std::collections::VecDeque;
use std::time::Duration;

/// What a network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The connection ends in order: both ends read its end.
    Cut,
    /// The connection is reset: what was underway is thrown away.
    Reset,
    /// Neither direction passes anything more, and nobody is told: a router forgot the connection.
    HalfOpen,
    /// This direction passes nothing more, and nobody is told. The other goes on.
    Stall,
    /// The same with the other direction.
    StallBack,
    /// So many bytes are delivered one by one.
    Trickle(u64),
    /// From now on whatever arrives waits for so long.
    Delay(Duration),
    /// From now on so many bytes pass in a second.
    Limit(u64),
}

/// A fault, after so many bytes of its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) after: u64,
    pub(crate) fault: Fault,
}

/// What one connection meets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    /// On the way to the server.
    pub(crate) up: Vec<Step>,
    /// On the way to the client.
    pub(crate) down: Vec<Step>,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Up,
    Down,
}

impl Way {
    pub(crate) fn back(self) -> Self {
        match self {
            Self::Up => Self::Down,
            Self::Down => Self::Up,
        }
    }
}

impl Plan {
    /// One fault.
    pub(crate) fn one(way: Way, after: u64, fault: Fault) -> Self {
        let step = vec![Step { after, fault }];
        match way {
            Way::Up => Self { up: step, down: Vec::new() },
            Way::Down => Self { up: Vec::new(), down: step },
        }
    }
}

/// One direction of a connection on its way through its plan.
#[derive(Debug)]
pub(crate) struct Script {
    steps: VecDeque<Step>,
    passed: u64,
}

/// What comes next in a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// So many bytes pass, one at least.
    Pass(usize),
    /// Something happens before the next byte.
    Happens(Fault),
}

impl Script {
    /// Steps in the order of their places.
    pub(crate) fn new(mut steps: Vec<Step>) -> Self {
        steps.sort_by_key(|step| step.after);
        Self { steps: steps.into(), passed: 0 }
    }

    /// The next turn when `waiting` bytes, one at least, have arrived.
    pub(crate) fn next(&mut self, waiting: usize) -> Turn {
        let Some(step) = self.steps.front().copied() else { return self.pass(waiting) };
        match usize::try_from(step.after.saturating_sub(self.passed)) {
            Ok(0) => {
                self.steps.pop_front();
                Turn::Happens(step.fault)
            }
            Ok(before) => self.pass(waiting.min(before)),
            Err(_) => self.pass(waiting),
        }
    }

    fn pass(&mut self, bytes: usize) -> Turn {
        self.passed += bytes as u64;
        Turn::Pass(bytes)
    }
}

/// A number of `range` that only the seed and the place in its row decide.
pub(crate) fn drawn(seed: u64, number: u64, range: std::ops::Range<u64>) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&seed.to_le_bytes()).update(&number.to_le_bytes());
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    range.start + u64::from_le_bytes(bytes) % (range.end - range.start)
}

#[test]
fn a_fault_happens_at_its_byte_however_bytes_arrive() {
    let steps = vec![
        Step { after: 10, fault: Fault::Cut },
        Step { after: 0, fault: Fault::Trickle(3) },
        Step { after: 4, fault: Fault::Limit(1) },
    ];
    for chunk in [1, 3, 4, 7, 100] {
        let mut script = Script::new(steps.clone());
        let (mut passed, mut happened, mut waiting) = (0, Vec::new(), chunk);
        while happened.len() < 3 {
            match script.next(waiting) {
                Turn::Pass(bytes) => {
                    assert!(bytes > 0);
                    passed += bytes as u64;
                    waiting = if waiting == bytes { chunk } else { waiting - bytes };
                }
                Turn::Happens(fault) => happened.push((passed, fault)),
            }
        }
        let expected = [(0, Fault::Trickle(3)), (4, Fault::Limit(1)), (10, Fault::Cut)];
        assert_eq!(happened, expected, "chunks of {chunk}");
    }
}

#[test]
fn a_seed_draws_the_same_numbers_again() {
    let row = |seed| (0..100).map(|number| drawn(seed, number, 5..9)).collect::<Vec<_>>();
    assert_eq!(row(1), row(1));
    assert_ne!(row(1), row(2));
    assert!(row(3).iter().all(|number| (5..9).contains(number)));
    assert!((5..9).all(|number| row(3).contains(&number)));
}
