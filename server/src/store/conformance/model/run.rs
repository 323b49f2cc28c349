//! A program in the model and in a store, side by side.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sampan_protocol::UploadId;

use super::driver::{Seen, Sent, look};
use super::operation::{Call, Op, Step};
use super::reference::{Account, Outcome, Sum};
use super::serial::serialise;
use super::{EXPIRY, Modelled};
use crate::store::QuotaLimits;
use crate::store::conformance::{User, account};

/// How much time passes before idle uploads are given up.
const PASSES: i64 = 30;

/// Where a program went wrong, and how.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    pub(super) step: usize,
    pub(super) account: Option<usize>,
    why: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: {}", self.step, self.why)
    }
}

/// What a program came to.
#[derive(Debug, Default)]
pub(super) struct Stats {
    operations: u64,
    refused: u64,
    over_quota: u64,
    at_once: u64,
    expired: u64,
    again: u64,
    restarts: u64,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, refused, over_quota, at_once, expired, again, restarts } = self;
        write!(
            f,
            "{operations} operations, {at_once} of them at once; {refused} refused, {over_quota} \
             by the quota; {again} sent again; {expired} uploads expired; {restarts} restarts; no \
             drift"
        )
    }
}

impl Stats {
    fn note(&mut self, outcome: &Outcome) {
        use crate::store::Situation::{OverQuota, TooManyFiles};
        self.operations += 1;
        let mut refused = |situation: &crate::store::Situation| {
            self.refused += 1;
            self.over_quota +=
                u64::from(matches!(situation, OverQuota { .. } | TooManyFiles { .. }));
        };
        match outcome {
            Outcome::Refused(situation) => refused(situation),
            Outcome::Pack(outcomes) => outcomes.iter().flatten().for_each(refused),
            _ => {}
        }
    }
}

/// One account on both sides.
struct Side {
    user: Arc<User>,
    model: Account,
    ids: BTreeMap<u64, UploadId>,
    /// The last change with a key, and what it was answered.
    last: Option<(Sent, Outcome)>,
}

struct Run<F> {
    fixture: F,
    sides: Vec<Side>,
    number: u64,
    stats: Stats,
}

type Step1<T = ()> = Result<T, (Option<usize>, String)>;

/// Runs a program in a fresh store.
pub(super) async fn run<F: Modelled + 'static>(
    fixture: F,
    limits: &[QuotaLimits],
    program: &[Step],
) -> Result<Stats, Failure> {
    let mut sides = Vec::new();
    for (index, limits) in limits.iter().enumerate() {
        let made = account(&fixture, &format!("user{index}"), *limits).await;
        let user = Arc::new(User::of(&fixture, made.id));
        let model = Account { limits: *limits, ..Account::default() };
        sides.push(Side { user, model, ids: BTreeMap::new(), last: None });
    }
    let mut run = Run { fixture, sides, number: 0, stats: Stats::default() };
    for (index, step) in program.iter().enumerate() {
        let failed = |(account, why)| Failure { step: index, account, why };
        run.step(step).await.map_err(failed)?;
    }
    for index in 0..run.sides.len() {
        let failed = |(account, why)| Failure { step: program.len(), account, why };
        run.check(index).await.map_err(failed)?;
    }
    Ok(run.stats)
}

impl<F: Modelled + 'static> Run<F> {
    async fn step(&mut self, step: &Step) -> Step1 {
        match step {
            Step::One(index, op) => self.one(*index, op).await,
            Step::Again(index) => self.again(*index).await,
            Step::AtOnce(ops, expiry) => self.at_once(ops, *expiry).await,
            Step::Expire => {
                self.pass_time();
                self.fixture.expire().await;
                for index in 0..self.sides.len() {
                    let model = &mut self.sides[index].model;
                    let before = model.uploads.len();
                    for slot in model.uploads.keys().copied().collect::<Vec<_>>() {
                        model.expire(slot, EXPIRY);
                    }
                    let expired = before - model.uploads.len();
                    if expired > 0 {
                        self.stats.expired += expired as u64;
                        self.check(index).await?;
                    }
                }
                Ok(())
            }
            Step::Restart => {
                self.stats.restarts += 1;
                self.fixture.restart().await;
                let sides = std::mem::take(&mut self.sides);
                for side in sides {
                    let user = Arc::into_inner(side.user).expect("nothing runs any more");
                    let user = Arc::new(user.again(&self.fixture));
                    self.sides.push(Side { user, ..side });
                }
                Ok(())
            }
        }
    }

    fn pass_time(&mut self) {
        self.fixture.pass_time(PASSES);
        for side in &mut self.sides {
            side.model.now += PASSES;
        }
    }

    fn call(&mut self, index: usize, op: &Op) -> Option<Call> {
        self.number += 1;
        self.sides[index].model.call(self.number, op)
    }

    async fn prepare(&self, index: usize, call: Call) -> Step1<Sent> {
        let side = &self.sides[index];
        let prepared = Sent::prepare(&side.user, call, &side.ids).await;
        prepared.map_err(|error| (Some(index), format!("preparing failed: {error:?}")))
    }

    /// One operation, and both sides compared.
    async fn one(&mut self, index: usize, op: &Op) -> Step1 {
        let Some(call) = self.call(index, op) else { return Ok(()) };
        let sent = self.prepare(index, call).await?;
        let failed = |why: String| (Some(index), why);
        let before = self.sides[index].model.clone();
        let side = &mut self.sides[index];
        let accounts = self.fixture.accounts();
        let found = sent.carry(&side.user, &*accounts, false).await.map_err(failed)?;
        let meant = side.model.apply(&sent.call);
        if found != meant {
            let why = format!("{op:?}\n  came to   {found:?}\n  should be {meant:?}\n  {before:?}");
            return Err(failed(why));
        }
        self.stats.note(&found);
        // A folder that was there is no change whose answer is kept.
        if sent.is_keyed() && (before != side.model || matches!(found, Outcome::Refused(_))) {
            side.last = Some((sent, found));
        }
        self.check(index).await
    }

    /// HARDENING 2.7: the last change once more gives its first answer, and no second effect.
    async fn again(&mut self, index: usize) -> Step1 {
        let side = &self.sides[index];
        let Some((sent, first)) = &side.last else { return Ok(()) };
        let failed = |why: String| (Some(index), why);
        let accounts = self.fixture.accounts();
        let found = sent.carry(&side.user, &*accounts, true).await.map_err(failed)?;
        if found != *first {
            let why = format!("{:?} again came to {found:?}, first to {first:?}", sent.call.op);
            return Err(failed(why));
        }
        self.stats.again += 1;
        self.check(index).await
    }

    /// Operations at once; then some order of them must explain what each came to.
    async fn at_once(&mut self, ops: &[(usize, Op)], expiry: bool) -> Step1 {
        if expiry {
            self.pass_time();
        }
        let mut sent: Vec<(usize, Sent)> = Vec::new();
        for (index, op) in ops {
            if let Some(call) = self.call(*index, op) {
                sent.push((*index, self.prepare(*index, call).await?));
            }
        }
        let mut tasks = Vec::new();
        let bounds: Vec<Sum> = self.sides.iter().map(|side| most(&side.model, &sent)).collect();
        for (index, sent) in sent {
            let user = self.sides[index].user.clone();
            let accounts = self.fixture.accounts();
            tasks.push((
                index,
                tokio::spawn(async move {
                    let outcome = sent.carry(&user, &*accounts, false).await?;
                    Ok::<_, String>((sent.call, outcome))
                }),
            ));
        }
        if expiry {
            self.fixture.expire().await;
        }
        let mut calls: BTreeMap<usize, Vec<(Call, Outcome)>> = BTreeMap::new();
        for (index, task) in tasks {
            let answered = task.await.map_err(|error| error.to_string());
            let answered = answered.and_then(|answered| answered);
            let (call, outcome) = answered.map_err(|why| (Some(index), why))?;
            self.stats.note(&outcome);
            self.stats.at_once += 1;
            calls.entry(index).or_default().push((call, outcome));
            self.audit(index, bounds[index]).await?;
        }
        for index in 0..self.sides.len() {
            let mine = calls.remove(&index).unwrap_or_default();
            if mine.is_empty() && !expiry {
                continue;
            }
            let side = &self.sides[index];
            let failed = |why: String| (Some(index), why);
            let looked = look(&side.user).await;
            let (seen, _) = looked.map_err(|error| failed(format!("cannot look: {error:?}")))?;
            let Some(end) = serialise(&side.model, &mine, expiry, &seen) else {
                let calls: Vec<String> = mine
                    .iter()
                    .map(|(call, outcome)| format!("\n  {:?} -> {outcome:?}", call.op))
                    .collect();
                return Err(failed(format!(
                    "no order explains{}\n  from {:?}\n  to   {seen:?}",
                    calls.concat(),
                    side.model
                )));
            };
            self.stats.expired += u64::from(expiry && end.uploads.len() < side.model.uploads.len());
            self.sides[index].model = end;
            self.check(index).await?;
        }
        Ok(())
    }

    /// The books at any moment.
    async fn audit(&self, index: usize, most: Sum) -> Step1 {
        let failed = |why: String| (Some(index), why);
        let books = self.fixture.audit(self.sides[index].user.id).await.map_err(failed)?;
        if books.bytes > most.bytes || books.entries > most.entries {
            return Err(failed(format!("{books:?} is more than {most:?}")));
        }
        Ok(())
    }

    /// Both sides of an account that is at rest.
    async fn check(&mut self, index: usize) -> Step1 {
        let failed = |why: String| (Some(index), why);
        let side = &mut self.sides[index];
        let looked = look(&side.user).await;
        let (seen, ids) = looked.map_err(|error| failed(format!("cannot look: {error:?}")))?;
        side.ids = ids;
        let meant = Seen::of(&side.model);
        if seen != meant {
            return Err(failed(format!(
                "\n  there is        {seen:?}\n  there should be {meant:?}"
            )));
        }
        let (bytes, entries) = self.fixture.counted(side.user.id).await;
        if Sum::new(bytes, entries) != side.model.counted() {
            return Err(failed(format!("a count finds {bytes} bytes and {entries} entries")));
        }
        self.fixture.audit(side.user.id).await.map_err(failed).map(drop)
    }
}

/// The most that an account may hold while `sent` run: what it held, or what a limit allows.
fn most(model: &Account, sent: &[(usize, Sent)]) -> Sum {
    let held = model.used.plus(model.reserved());
    let lowered_or_raised = sent.iter().filter_map(|(_, sent)| match &sent.call.op {
        Op::Limits(limits) => Some(*limits),
        _ => None,
    });
    let limits = std::iter::once(model.limits).chain(lowered_or_raised);
    let most = |limit: Option<u64>, held: u64| held.max(limit.unwrap_or(u64::MAX));
    limits.fold(held, |sum, limits| {
        Sum::new(most(limits.bytes, sum.bytes), most(limits.entries, sum.entries))
    })
}
