//! Cuts a failing program down: leaves steps out as long as it still fails.
//!
//! What fails only when operations meet may fail one time in some: each candidate is tried a few
//! times, and the whole is bounded.

use std::fmt::Write as _;

use super::Modelled;
use super::operation::Step;
use super::run::{Failure, run};
use crate::store::QuotaLimits;

/// Programs that are run at most.
const RUNS: usize = 80;
/// Times that one is run before it counts as one that works.
const TRIES: usize = 2;

/// The shortest program that was found to fail, with its failure.
pub(super) async fn shrink<F: Modelled + 'static>(
    fresh: &impl AsyncFn() -> F,
    limits: &[QuotaLimits],
    mut program: Vec<Step>,
    failure: &Failure,
) -> String {
    program.truncate(failure.step + 1);
    let mut failure = failure.clone();
    let mut runs = 0;
    // Other accounts are most often innocent.
    if let Some(guilty) = failure.account {
        let alone = program.iter().filter_map(|step| step.of(guilty)).collect();
        cut(fresh, limits, &mut program, &mut failure, alone, &mut runs).await;
    }
    let mut size = program.len().div_ceil(2);
    while size > 0 && runs < RUNS {
        let mut start = 0;
        while start < program.len() && runs < RUNS {
            let end = (start + size).min(program.len());
            let rest = [&program[..start], &program[end..]].concat();
            if !cut(fresh, limits, &mut program, &mut failure, rest, &mut runs).await {
                start = end;
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    let mut shown = String::new();
    for step in &program {
        write!(shown, "\n    {step}").expect("writing to memory has no way to fail");
    }
    format!("{shown}\n  which fails at {failure}")
}

/// Takes `shorter` for the program if it fails.
async fn cut<F: Modelled + 'static>(
    fresh: &impl AsyncFn() -> F,
    limits: &[QuotaLimits],
    program: &mut Vec<Step>,
    failure: &mut Failure,
    mut shorter: Vec<Step>,
    runs: &mut usize,
) -> bool {
    for _ in 0..TRIES {
        *runs += 1;
        if let Err(found) = run(fresh().await, limits, &shorter).await {
            shorter.truncate(found.step + 1);
            *program = shorter;
            *failure = found;
            return true;
        }
    }
    false
}

impl Step {
    /// What of a step is about one account.
    fn of(&self, account: usize) -> Option<Self> {
        match self {
            Self::One(index, _) | Self::Again(index) if *index != account => None,
            Self::AtOnce(ops, expiry) => {
                let ops: Vec<_> =
                    ops.iter().filter(|(index, _)| *index == account).cloned().collect();
                (!ops.is_empty() || *expiry).then_some(Self::AtOnce(ops, *expiry))
            }
            other => Some(other.clone()),
        }
    }
}
