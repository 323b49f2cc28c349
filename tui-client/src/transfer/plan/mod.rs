//! From what a person ordered to files and folders: walk, look at the other side, decide.
//!
//! A plan runs beside the transfers: what it finds is handed over step by step, and the listings of
//! the other side are asked for ahead. Nothing is decided that was not looked at.
//!
//! Invariant: everything found is named by a step: carried, there already, left out, or failed.

mod claims;
mod compare;
mod download;
mod remote;
mod upload;

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

use sampan_protocol::{Attributes, RemotePath};
use tokio::sync::{mpsc, watch};

pub(super) use self::compare::is_equal;
use super::beside::{Beside, beside_local, beside_remote};
use super::command::{Batch, BatchId, Options, Route, Source};
use super::decide::{Decision, Policy, Replace, conflict, decide};
use super::download::discard;
use super::event::{Outcome, SkipReason};
use super::item::{Ends, FilePlan, FolderPlan, Settled};
use super::job::{Context, blocking};
use super::room::Need;
use crate::failure::{Failure, Side};
use crate::local::{Look, TargetRoot};
use crate::place::Location;

/// Steps that may wait for the engine.
pub(super) const STEPS: usize = 1024;
/// Listings of the other side that are asked for at once.
const LISTINGS: usize = 16;

/// What a plan finds.
#[derive(Debug)]
pub(super) enum PlanStep {
    /// Carry it.
    File(FilePlan),
    /// Its target exists and differs: someone must say what to do.
    Conflict(FilePlan, Target),
    /// Make it, and give it its mode and time once its contents are there.
    Folder(FolderPlan),
    /// Needs no work.
    Settled(Settled),
    /// Everything was found, or the plan failed as a whole. Nothing follows.
    Ended(Result<(), Failure>),
}

/// What lies at a target.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) attributes: Attributes,
    /// If it is on this machine.
    pub(super) look: Option<Look>,
}

/// One plan of a batch: a batch is planned once, and what of it is decided again has further ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct PlanId {
    pub(super) batch: BatchId,
    pub(super) number: u64,
}

/// Where a plan tells its steps.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    pub(super) sender: mpsc::Sender<(PlanId, PlanStep)>,
    /// Whether the batch is to find no more for now; `None` if it is not there any more.
    pub(super) held: Option<watch::Receiver<bool>>,
}

impl Steps {
    /// Waits while its batch is held, and while very many steps wait. False if nobody listens.
    async fn tell(&self, id: PlanId, step: PlanStep) -> bool {
        if let Some(mut held) = self.held.clone()
            && held.wait_for(|held| !held).await.is_err()
        {
            return false;
        }
        self.sender.send((id, step)).await.is_ok()
    }
}

/// Plans `batch`.
pub(super) async fn plan(context: Arc<Context>, id: PlanId, batch: Batch, steps: Steps) {
    let planner = Planner { context, options: batch.options, id, steps, need: Need::default() };
    let ended = match batch.route {
        Route::Upload { sources, target } => {
            match upload::plan(&planner, once(sources), target.clone()).await {
                Ok(()) if planner.options.dry_run => planner.fits(target.path).await,
                ended => ended,
            }
        }
        Route::Download { sources, target } => {
            download::plan(&planner, once(sources), target).await
        }
    };
    planner.end(ended).await;
}

/// Looks again at files that failed, or waited for others, and decides anew.
pub(super) async fn plan_again(
    context: Arc<Context>,
    id: PlanId,
    options: Options,
    files: Vec<FilePlan>,
    steps: Steps,
) {
    let planner = Planner { context, options, id, steps, need: Need::default() };
    let again = async {
        for file in files {
            planner.again(file.ends).await?;
        }
        Ok(())
    };
    let ended = again.await;
    planner.end(ended).await;
}

/// Whoever names a source twice means it once.
fn once<P: Clone + Eq + Hash>(mut sources: Vec<Source<P>>) -> Vec<Source<P>> {
    let mut seen = HashSet::new();
    sources.retain(|source| seen.insert((source.path.clone(), source.contents)));
    sources
}

/// Why a plan ends before its end.
enum Ended {
    Failed(Failure),
    /// The batch was cancelled.
    NobodyListens,
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

struct Planner {
    context: Arc<Context>,
    options: Options,
    id: PlanId,
    steps: Steps,
    /// What a plan that is not carried out would need on the server.
    need: Need,
}

impl Planner {
    /// Asks whether all that was planned fits, as the server is asked before a batch begins.
    async fn fits(&self, target: RemotePath) -> Result<(), Ended> {
        let subject = self.context.remote.show(&target);
        match self.need.missing(&self.context, &subject).await? {
            Some(failure) => Err(failure.into()),
            None => Ok(()),
        }
    }

    async fn tell(&self, step: PlanStep) -> Result<(), Ended> {
        if self.steps.tell(self.id, step).await { Ok(()) } else { Err(Ended::NobodyListens) }
    }

    async fn end(&self, ended: Result<(), Ended>) {
        let result = match ended {
            Ok(()) => Ok(()),
            Err(Ended::Failed(failure)) => Err(failure),
            Err(Ended::NobodyListens) => return,
        };
        // If nobody listens by now, nobody minds.
        let _ = self.tell(PlanStep::Ended(result)).await;
    }

    /// Looks at both ends of a file and decides about it.
    async fn again(&self, ends: Ends) -> Result<(), Ended> {
        let (from, to) = (ends.from(), ends.to());
        match self.look_at_ends(&ends).await {
            // What came there meanwhile may be another source of this batch.
            Ok((source, target)) => self.file(source, ends, target, true).await,
            Err(failure) => self.fail(from, to, failure).await,
        }
    }

    async fn look_at_ends(&self, ends: &Ends) -> Result<(Attributes, Option<Target>), Failure> {
        let remote = &self.context.remote;
        match ends {
            Ends::Up { from, to } => {
                let from = from.clone();
                let source = blocking(move || Ok(from.open()?.attributes())).await?;
                let target = remote.stat_if_there(to).await?;
                Ok((source, target.map(|attributes| Target { attributes, look: None })))
            }
            Ends::Down { from, to, .. } => {
                let source = remote.stat(from).await?;
                let to = to.clone();
                let look = blocking(move || to.root.look(&to.at)).await?;
                let target =
                    look.map(|look| Target { attributes: look.attributes(), look: Some(look) });
                Ok((source, target))
            }
        }
    }

    async fn settle(
        &self,
        from: Location,
        to: Location,
        source: Option<Attributes>,
        outcome: Outcome,
    ) -> Result<(), Ended> {
        self.tell(PlanStep::Settled(Settled { from, to, source, outcome })).await
    }

    async fn fail(&self, from: Location, to: Location, failure: Failure) -> Result<(), Ended> {
        self.settle(from, to, None, Outcome::Failed(failure)).await
    }

    /// Decides about a file whose target is `target`, if there is one; `by_content` as `--checksum`
    /// would, whatever the options say.
    async fn file(
        &self,
        source: Attributes,
        ends: Ends,
        target: Option<Target>,
        by_content: bool,
    ) -> Result<(), Ended> {
        let side = match ends {
            Ends::Up { .. } => Side::Remote,
            Ends::Down { .. } => Side::Local,
        };
        let Options { on_conflict, checksum, .. } = self.options;
        let policy = Policy { on_conflict, checksum: checksum || by_content, side };
        let attributes = target.as_ref().map(|target| &target.attributes);
        let mut decision = decide(policy, &source, attributes);
        if decision == Decision::Compare
            && let Some(target) = attributes
        {
            decision = match is_equal(&self.context, &ends).await {
                Ok(true) => Decision::Unchanged,
                Ok(false) => conflict(policy, &source, target),
                Err(failure) => return self.fail(ends.from(), ends.to(), failure).await,
            };
        }
        self.decided(decision, source, ends, target).await
    }

    async fn decided(
        &self,
        decision: Decision,
        source: Attributes,
        mut ends: Ends,
        target: Option<Target>,
    ) -> Result<(), Ended> {
        let (from, mut to) = (ends.from(), ends.to());
        let outcome = match (decision, target) {
            (Decision::Send(replace), target) if self.options.dry_run => {
                match self.would_send(&replace, &source, &ends, target.as_ref()).await {
                    Ok((name, outcome)) => {
                        to = name;
                        outcome
                    }
                    Err(failure) => return self.fail(from, to, failure).await,
                }
            }
            (Decision::Ask | Decision::Compare, target) if self.options.dry_run => {
                // What the answer will be is not known; the least that it can take is.
                self.needs(&source, &ends, target.as_ref());
                Outcome::Skipped(SkipReason::DryRun)
            }
            (Decision::Send(replace), target) => {
                let credit = target.as_ref().map(|target| target.attributes.size);
                if let Ends::Down { victim, .. } = &mut ends {
                    *victim = target.and_then(|target| target.look).map(|look| look.identity);
                }
                let credit = credit.filter(|_| matches!(replace, Replace::This(_)));
                let credit = credit.unwrap_or_default();
                let plan = FilePlan { source, ends, replace, credit };
                return self.tell(PlanStep::File(plan)).await;
            }
            (Decision::Ask | Decision::Compare, Some(target)) => {
                let plan = FilePlan { source, ends, replace: Replace::Nothing, credit: 0 };
                return self.tell(PlanStep::Conflict(plan, target)).await;
            }
            (Decision::Ask | Decision::Compare, None) | (Decision::Unchanged, _) => {
                self.unchanged(&ends).await
            }
            (Decision::Skip(reason), _) => Outcome::Skipped(reason),
            (Decision::Fail(situation), _) => {
                let subject = match &to {
                    Location::Local(path) => super::item::subject(path),
                    Location::Remote(path) => self.context.remote.show(path),
                };
                Outcome::Failed(Failure::new(situation, subject))
            }
        };
        self.settle(from, to, Some(source), outcome).await
    }

    /// What sending would come to, and under which name.
    async fn would_send(
        &self,
        replace: &Replace,
        source: &Attributes,
        ends: &Ends,
        target: Option<&Target>,
    ) -> Result<(Location, Outcome), Failure> {
        let to = match (replace, ends) {
            (Replace::KeepBoth, Ends::Up { from, to }) => {
                match beside_remote(&self.context, from, source, to).await? {
                    Beside::Free(to) => Location::Remote(to),
                    Beside::There(to) => return Ok((Location::Remote(to), Outcome::Unchanged)),
                }
            }
            (Replace::KeepBoth, Ends::Down { from, to, .. }) => {
                match beside_local(&self.context, from, source, to).await? {
                    Beside::Free(to) => Location::Local(to.path()),
                    Beside::There(to) => {
                        return Ok((Location::Local(to.path()), Outcome::Unchanged));
                    }
                }
            }
            _ => ends.to(),
        };
        self.needs(source, ends, target.filter(|_| matches!(replace, Replace::This(_))));
        Ok((to, Outcome::Skipped(SkipReason::DryRun)))
    }

    /// Counts what an upload that is only planned would need, on top of what it replaces.
    fn needs(&self, source: &Attributes, ends: &Ends, replaced: Option<&Target>) {
        if let Ends::Up { to, .. } = ends {
            let credit = replaced.map(|target| target.attributes.size);
            self.need.file(to, source.size, credit);
        }
    }

    /// What is there already. A run that died between putting a download in its place and removing
    /// what was there before left the latter under the staging name.
    async fn unchanged(&self, ends: &Ends) -> Outcome {
        if let Ends::Down { from, to, .. } = ends
            && self.context.keys.are_continued()
            && !self.options.dry_run
        {
            if let Err(failure) = discard(&self.context, from, to).await {
                return Outcome::Failed(failure);
            }
            if let Err(failure) = self.flush_earlier(&to.root).await {
                return Outcome::Failed(failure);
            }
        }
        Outcome::Unchanged
    }

    /// What an earlier run put in its place may not be on the disk yet; this one answers for it.
    async fn flush_earlier(&self, root: &TargetRoot) -> Result<(), Failure> {
        if !self.options.flush || !self.context.keys.are_continued() {
            return Ok(());
        }
        let root = root.clone();
        blocking(move || root.flush_earlier()).await
    }
}
