//! Operations that run at once, and the order that explains them.

use std::collections::BTreeMap;

use super::driver::{Sent, look};
use super::operation::{Call, Op};
use super::reference::{Account, Outcome, Sum};
use super::run::{Run, Stepped};
use super::serial::serialise;
use super::{Hand, Modelled};

impl<F: Modelled + 'static> Run<F> {
    /// Operations at once; then some order of them must explain what each came to.
    pub(super) async fn at_once(&mut self, ops: &[(usize, Op)], expiry: bool) -> Stepped {
        if expiry {
            self.pass_time();
        }
        let mut sent: Vec<(usize, Sent)> = Vec::new();
        for (index, op) in ops {
            if let Some(ready) = self.prepare(*index, op).await? {
                sent.push((*index, ready));
            }
        }
        self.keep_hands_away(&mut sent);
        let mut tasks = Vec::new();
        let bounds: Vec<Bounds> = (0..self.sides.len())
            .map(|index| most(&self.sides[index].models[0], index, &sent))
            .collect();
        for (index, sent) in sent {
            let user = self.sides[index].user.clone();
            let (accounts, hands) = (self.fixture.accounts(), self.sides[index].hands.clone());
            tasks.push((
                index,
                tokio::spawn(async move {
                    let outcome = sent.carry(&user, &*accounts, &*hands, false).await?;
                    Ok::<_, String>((sent, outcome))
                }),
            ));
        }
        if expiry {
            self.fixture.expire().await;
        }
        let mut calls: BTreeMap<usize, Vec<(Vec<Call>, Outcome)>> = BTreeMap::new();
        for (index, task) in tasks {
            let answered = task.await.map_err(|error| error.to_string());
            let answered = answered.and_then(|answered| answered);
            let (sent, outcome) = answered.map_err(|why| (Some(index), why))?;
            self.stats.note(&sent, &outcome);
            self.stats.at_once += 1;
            calls.entry(index).or_default().push((sent.calls, outcome));
            self.audit(index, bounds[index]).await?;
        }
        for index in 0..self.sides.len() {
            let mine = calls.remove(&index).unwrap_or_default();
            if mine.is_empty() && !expiry {
                continue;
            }
            self.when_scanned(index).await?;
            let side = &self.sides[index];
            let failed = |why: String| (Some(index), why);
            let looked = look(&side.user).await;
            let (seen, _) = looked.map_err(|error| failed(format!("cannot look: {error:?}")))?;
            let mut ends: Vec<Account> = Vec::new();
            for (which, model) in side.models.iter().enumerate() {
                let calls: Vec<(Call, Outcome)> = mine
                    .iter()
                    .map(|(calls, outcome)| (calls[which].clone(), outcome.clone()))
                    .collect();
                for end in serialise(model, &calls, expiry, &seen) {
                    if !ends.contains(&end) {
                        ends.push(end);
                    }
                }
            }
            let Some(end) = ends.first() else {
                let calls = mine
                    .iter()
                    .map(|(calls, outcome)| format!("\n  {:?} -> {outcome:?}", calls[0].op));
                let calls = calls.collect::<String>();
                let why =
                    format!("no order explains{calls}\n  from {:?}\n  to   {seen:?}", side.models);
                return Err(failed(why));
            };
            let before = side.models[0].uploads.len();
            self.stats.expired += u64::from(expiry && end.uploads.len() < before);
            self.sides[index].models = ends;
            self.check(index).await?;
        }
        Ok(())
    }

    /// Leaves out changes by hand that meet another operation of their account, and those of more than
    /// one name that a scan may meet halfway.
    fn keep_hands_away(&self, sent: &mut Vec<(usize, Sent)>) {
        let mut kept: Vec<(usize, Sent)> = Vec::new();
        let (hands, others): (Vec<_>, Vec<_>) =
            sent.drain(..).partition(|(_, sent)| matches!(sent.op(), Op::Hand(_)));
        kept.extend(others);
        for (index, hand) in hands {
            let model = &self.sides[index].models[0];
            let Op::Hand(change) = hand.op() else { continue };
            let mut mine = kept.iter().filter(|(other, _)| *other == index);
            let is_scanned =
                model.has_drifted || mine.clone().any(|(_, sent)| *sent.op() == Op::Scan);
            let is_whole = !is_scanned || model.is_of_one_name(change);
            if is_whole && !mine.any(|(_, sent)| model.meets(change, sent.op())) {
                // Not always the last one to begin.
                kept.insert(kept.len() / 2, (index, hand));
            }
        }
        *sent = kept;
    }

    /// The books at any moment.
    async fn audit(&self, index: usize, bounds: Bounds) -> Stepped {
        let failed = |why: String| (Some(index), why);
        let books = self.fixture.audit(self.sides[index].user.id).await.map_err(failed)?;
        let Bounds { most, by_hand } = bounds;
        if books.bytes > most.bytes || books.entries > most.entries {
            return Err(failed(format!("{books:?} is more than {most:?}")));
        }
        if books.scan_due && !by_hand {
            return Err(failed("a scan is due, though no hand changed anything".to_owned()));
        }
        Ok(())
    }
}

/// What may be while operations run.
#[derive(Clone, Copy)]
struct Bounds {
    most: Sum,
    /// A hand changed something.
    by_hand: bool,
}

/// The most that an account may hold while `sent` run: what it held, or what a limit allows; and what
/// hands put there, which a scan may add.
fn most(model: &Account, index: usize, sent: &[(usize, Sent)]) -> Bounds {
    let mine = || sent.iter().filter(|(other, _)| *other == index).map(|(_, sent)| sent);
    let by_hand = mine().any(|sent| matches!(sent.op(), Op::Hand(_))) || model.has_drifted;
    let mut held = model.used.plus(model.reserved());
    let lowered_or_raised = mine().filter_map(|sent| match sent.op() {
        Op::Limits(limits) => Some(*limits),
        _ => None,
    });
    let limits = std::iter::once(model.limits).chain(lowered_or_raised);
    let most = |limit: Option<u64>, held: u64| held.max(limit.unwrap_or(u64::MAX));
    held = limits.fold(held, |sum, limits| {
        Sum::new(most(limits.bytes, sum.bytes), most(limits.entries, sum.entries))
    });
    if by_hand {
        let credits = model.uploads.values().filter_map(|upload| upload.credit);
        held = credits.fold(held.plus(model.counted()), |sum, (_, credit)| sum.plus(credit));
        let written = mine().filter_map(|sent| match sent.op() {
            Op::Hand(Hand::Write { bytes, .. } | Hand::Replace { bytes, .. }) => Some(*bytes),
            _ => None,
        });
        held = held.plus(Sum::new(written.sum(), 1));
    }
    Bounds { most: held, by_hand }
}
