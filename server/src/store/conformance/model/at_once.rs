//! Operations that run at once, and the order that explains them.

use std::collections::BTreeMap;

use super::Modelled;
use super::driver::{Sent, look};
use super::operation::{Call, Op};
use super::reference::{Account, Outcome, Sum};
use super::run::{Run, Stepped};
use super::serial::serialise;

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
        let mut tasks = Vec::new();
        let bounds: Vec<Sum> = self.sides.iter().map(|side| most(&side.models[0], &sent)).collect();
        for (index, sent) in sent {
            let user = self.sides[index].user.clone();
            let accounts = self.fixture.accounts();
            tasks.push((
                index,
                tokio::spawn(async move {
                    let outcome = sent.carry(&user, &*accounts, false).await?;
                    Ok::<_, String>((sent.calls, outcome))
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
            let (meant, outcome) = answered.map_err(|why| (Some(index), why))?;
            self.stats.note(&outcome);
            self.stats.at_once += 1;
            calls.entry(index).or_default().push((meant, outcome));
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

    /// The books at any moment.
    async fn audit(&self, index: usize, most: Sum) -> Stepped {
        let failed = |why: String| (Some(index), why);
        let books = self.fixture.audit(self.sides[index].user.id).await.map_err(failed)?;
        if books.bytes > most.bytes || books.entries > most.entries {
            return Err(failed(format!("{books:?} is more than {most:?}")));
        }
        Ok(())
    }
}

/// The most that an account may hold while `sent` run: what it held, or what a limit allows.
fn most(model: &Account, sent: &[(usize, Sent)]) -> Sum {
    let held = model.used.plus(model.reserved());
    let lowered_or_raised = sent.iter().filter_map(|(_, sent)| match &sent.op() {
        Op::Limits(limits) => Some(*limits),
        _ => None,
    });
    let limits = std::iter::once(model.limits).chain(lowered_or_raised);
    let most = |limit: Option<u64>, held: u64| held.max(limit.unwrap_or(u64::MAX));
    limits.fold(held, |sum, limits| {
        Sum::new(most(limits.bytes, sum.bytes), most(limits.entries, sum.entries))
    })
}
