//! The quota of HARDENING 3 as a model, and any store against it.
//!
//! ```text
//! operation   what accounts do, drawn from a seed
//! reference   an account as it must be; `verbs` and `pack`: what must come of each operation
//! driver      what comes of it in a store
//! hand        what an administrator changes on the disk, and scans
//! run         both side by side, one operation after the other
//! at_once     several at once; `serial`: the orders that explain them
//! shrink      the shortest program that still fails
//! ```
//!
//! After every operation everything that can be seen of its account is compared: limits, use,
//! reservations, uploads, names and sizes, and a count of what lies on the disk. What ran at once is
//! compared when it is quiet, with each outcome of some order of it; meanwhile the books are audited
//! after each answer.
//!
//! What is used is kept apart from the tree: a change by hand alters the tree alone, and a scan sets
//! use to what is counted. A surprise queues a scan; whoever looks waits for that. Hands are also at
//! work beside operations and scans, one for each account, but not where an operation is.

mod at_once;
mod driver;
mod hand;
mod operation;
mod pack;
mod reference;
mod run;
mod serial;
mod shrink;
mod verbs;

use std::sync::Arc;

use async_trait::async_trait;

pub(crate) use self::hand::{Hand, Hands};
use self::operation::Draw;
use super::Fixture;
use crate::store::AccountId;

/// Seconds after which an idle upload is given up, in every store that is modelled.
pub(crate) const EXPIRY: i64 = 100;
/// As many accounts as HARDENING's proof asks for.
const ACCOUNTS: usize = 64;
/// Operations of each form in a default run; `SAMPAN_MODEL_STEPS` says how many else.
const OPERATIONS: usize = 1000;

/// A store whose clock a test winds and whose books it can open.
#[async_trait]
pub(crate) trait Modelled: Fixture {
    /// Lets time pass.
    fn pass_time(&self, seconds: i64);
    /// Gives up the uploads that are idle for [`EXPIRY`] by now.
    async fn expire(&self);
    /// Use and reservations of an account at one moment, which must be what its parts add up to.
    async fn audit(&self, account: AccountId) -> Result<Books, String>;
    /// Who changes the account's home by hand.
    async fn hands(&self, account: AccountId) -> Arc<dyn Hands>;
}

/// What an account holds at one moment: use and reservations together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Books {
    pub(crate) bytes: u64,
    pub(crate) entries: u64,
    /// A surprise queued a scan.
    pub(crate) scan_due: bool,
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// HARDENING 3, 2.6: the quota equals its model, whatever happens and however much at once.
#[expect(clippy::print_stdout, reason = "a random test says its seed")]
pub(crate) async fn the_quota_equals_its_model<F: Modelled + 'static>(fresh: impl AsyncFn() -> F) {
    let seed = number("SAMPAN_MODEL_SEED").unwrap_or_else(rand::random);
    let operations = number("SAMPAN_MODEL_STEPS").map_or(OPERATIONS, |steps| steps as usize);
    println!("the quota's model: SAMPAN_MODEL_SEED={seed} SAMPAN_MODEL_STEPS={operations}");
    let mut draw = Draw(seed);
    let limits: Vec<_> = (0..ACCOUNTS).map(|_| draw.first_limits()).collect();
    let program = draw.program(ACCOUNTS, operations);
    match run::run(fresh().await, &limits, &program).await {
        Ok(stats) => println!("{stats}"),
        Err(failure) => {
            println!("{failure}\ncutting it down …");
            let program = shrink::shrink(&fresh, &limits, program, &failure).await;
            panic!("seed {seed}, {operations} operations: {failure}\ncut down to:{program}");
        }
    }
}
