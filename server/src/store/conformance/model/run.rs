//! A program in the model and in a store, side by side.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use sampan_protocol::UploadId;

use super::driver::{Seen, Sent, look};
use super::operation::{Op, Step};
use super::reference::{Account, Outcome, Sum};
use super::{EXPIRY, Hands, Modelled};
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
    pub(super) at_once: u64,
    pub(super) expired: u64,
    again: u64,
    restarts: u64,
    hands: u64,
    scans: u64,
    /// Scans that found what hands had changed.
    corrections: u64,
    /// Scans that a surprise queued.
    pub(super) surprises: u64,
}

impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { operations, refused, over_quota, at_once, expired, again, restarts, .. } = self;
        let Self { hands, scans, corrections, surprises, .. } = self;
        write!(
            f,
            "{operations} operations, {at_once} of them at once; {refused} refused, {over_quota} \
             by the quota; {again} sent again; {expired} uploads expired; {restarts} restarts; \
             {hands} changes by hand; {scans} scans, {corrections} of them corrected use, and \
             {surprises} after a surprise; no drift"
        )
    }
}

impl Stats {
    pub(super) fn note(&mut self, sent: &Sent, outcome: &Outcome) {
        use crate::store::Situation::{OverQuota, TooManyFiles};
        self.operations += 1;
        self.hands += u64::from(matches!(sent.op(), Op::Hand(_)) && sent.calls[0].is_possible);
        if let Outcome::Scanned(before, after) = outcome {
            self.scans += 1;
            self.corrections += u64::from(before != after);
        }
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
pub(super) struct Side {
    pub(super) user: Arc<User>,
    /// What it may be by all that was seen: more than one only where operations met.
    pub(super) models: Vec<Account>,
    pub(super) hands: Arc<dyn Hands>,
    ids: BTreeMap<u64, UploadId>,
    /// The last change with a key, and what it was answered.
    last: Option<(Sent, Outcome)>,
}

pub(super) struct Run<F> {
    pub(super) fixture: F,
    pub(super) sides: Vec<Side>,
    number: u64,
    pub(super) stats: Stats,
}

/// What a step comes to, or whose account it went wrong for, and how.
pub(super) type Stepped<T = ()> = Result<T, (Option<usize>, String)>;

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
        let models = vec![Account { limits: *limits, ..Account::default() }];
        let hands = fixture.hands(made.id).await;
        sides.push(Side { user, models, hands, ids: BTreeMap::new(), last: None });
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
    async fn step(&mut self, step: &Step) -> Stepped {
        match step {
            Step::One(index, op) => self.one(*index, op).await,
            Step::Again(index) => self.again(*index).await,
            Step::AtOnce(ops, expiry) => self.at_once(ops, *expiry).await,
            Step::Expire => {
                self.pass_time();
                self.fixture.expire().await;
                for index in 0..self.sides.len() {
                    let mut expired = 0;
                    for model in &mut self.sides[index].models {
                        let before = model.uploads.len();
                        for slot in model.uploads.keys().copied().collect::<Vec<_>>() {
                            model.expire(slot, EXPIRY);
                        }
                        expired = before - model.uploads.len();
                    }
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

    pub(super) fn pass_time(&mut self) {
        self.fixture.pass_time(PASSES);
        for model in self.sides.iter_mut().flat_map(|side| &mut side.models) {
            model.now += PASSES;
        }
    }

    /// An operation, ready to be carried out. `None`: it is about an upload that is not there.
    pub(super) async fn prepare(&mut self, index: usize, op: &Op) -> Stepped<Option<Sent>> {
        self.number += 1;
        let side = &self.sides[index];
        let calls = side.models.iter().map(|model| model.call(self.number, op));
        let Some(calls) = calls.collect::<Option<Vec<_>>>() else { return Ok(None) };
        let prepared = Sent::prepare(&side.user, calls, &side.ids).await;
        prepared.map(Some).map_err(|error| (Some(index), format!("preparing failed: {error:?}")))
    }

    /// One operation, and both sides compared.
    async fn one(&mut self, index: usize, op: &Op) -> Stepped {
        let Some(sent) = self.prepare(index, op).await? else { return Ok(()) };
        let failed = |why: String| (Some(index), why);
        let side = &mut self.sides[index];
        let before = side.models.clone();
        let accounts = self.fixture.accounts();
        let carried = sent.carry(&side.user, &*accounts, &*side.hands, false).await;
        let found = carried.map_err(failed)?;
        let mut meant = Vec::new();
        for (mut model, call) in std::mem::take(&mut side.models).into_iter().zip(&sent.calls) {
            let outcome = model.apply(call);
            if outcome == found {
                if model.scan_due {
                    self.stats.surprises += 1;
                    model.scan();
                }
                side.models.push(model);
            }
            meant.push(outcome);
        }
        if side.models.is_empty() {
            let why = format!("{op:?}\n  came to   {found:?}\n  should be {meant:?}\n  {before:?}");
            return Err(failed(why));
        }
        self.stats.note(&sent, &found);
        if sent.is_keyed() {
            side.last = Some((sent, found));
        }
        self.check(index).await
    }

    /// HARDENING 2.7: the last change once more gives its first answer, and no second effect.
    async fn again(&mut self, index: usize) -> Stepped {
        let side = &self.sides[index];
        let Some((sent, first)) = &side.last else { return Ok(()) };
        let failed = |why: String| (Some(index), why);
        let accounts = self.fixture.accounts();
        let carried = sent.carry(&side.user, &*accounts, &*side.hands, true).await;
        let found = carried.map_err(failed)?;
        if found != *first {
            let why = format!("{:?} again came to {found:?}, first to {first:?}", sent.op());
            return Err(failed(why));
        }
        self.stats.again += 1;
        self.check(index).await
    }

    /// Both sides of an account that is at rest.
    pub(super) async fn check(&mut self, index: usize) -> Stepped {
        let failed = |why: String| (Some(index), why);
        self.when_scanned(index).await?;
        let side = &mut self.sides[index];
        let looked = look(&side.user).await;
        let (seen, ids) = looked.map_err(|error| failed(format!("cannot look: {error:?}")))?;
        side.ids = ids;
        let (fits, others) = std::mem::take(&mut side.models)
            .into_iter()
            .partition::<Vec<_>, _>(|model| Seen::of(model) == seen);
        let Some(model) = fits.first() else {
            return Err(failed(format!("there is {seen:?}\n  there should be one of {others:?}")));
        };
        let (bytes, entries) = self.fixture.counted(side.user.id).await;
        if Sum::new(bytes, entries) != model.counted() {
            return Err(failed(format!("a count finds {bytes} bytes and {entries} entries")));
        }
        side.models = fits;
        Ok(())
    }

    /// Waits until no scan is due: one that a surprise queued is the store's own to begin.
    pub(super) async fn when_scanned(&self, index: usize) -> Stepped {
        let failed = |why: String| (Some(index), why);
        while self.fixture.audit(self.sides[index].user.id).await.map_err(failed)?.scan_due {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}
