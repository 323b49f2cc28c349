//! The engine's one loop: commands, plans and jobs come in, events go out.
//!
//! ```text
//!            commands                    steps                       ends of jobs
//!               │                          │                              │
//!               ▼                          ▼                              ▼
//!   Submit ─▶ plan (a task) ─▶ packs and files, held until they fit ─▶ queue ─▶ jobs ─▶ events
//!                                conflicts, parked until resolved ──────▲
//! ```
//!
//! Invariant: the loop never waits for a disk, a server or a reader of its events; every task that
//! it starts is in `plans`, `jobs`, `cleaning` or `writing` and ends with it.

mod batch;
mod cancel;
mod conflicts;
mod fits;
mod folders;
mod jobs;
mod places;
mod planning;
mod running;
mod written;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use self::batch::{BatchState, Hold};
use self::jobs::{JobEnd, Work};
use self::running::Running;
use self::written::{Record, Written};
use super::command::{Batch, BatchId, Command, ItemId};
use super::event::{Event, Outcome};
use super::item::{FilePlan, Settled};
use super::job::Context;
use super::plan::{PlanId, PlanStep, STEPS};
use crate::place::Location;
use crate::state::Journal;

/// How often gauges are read while something moves.
const TICK: Duration = Duration::from_millis(100);
/// How long what was found of a batch is held so that all of it can be asked for room before it
/// begins; on a far link, as long as so many round trips take.
const HOLD: Duration = Duration::from_secs(1);
const HOLD_ROUND_TRIPS: u32 = 16;
/// Events that may wait inside before plans are held.
const WAITING_EVENTS: usize = 4096;
/// Work and files behind others that may wait before plans are held. It moves by itself.
const WAITING_WORK: usize = 8192;
/// Questions of one batch that may wait before its plans are held. They wait for a person, perhaps
/// for ever, and must not hold up another batch.
const WAITING_QUESTIONS: usize = 8192;
/// Batches that are done with but for what failed in them and may be tried again. Each keeps its
/// folder open.
const KEPT_BATCHES: usize = 16;
/// Jobs at once, at least; more lanes take more.
const FEWEST_JOBS: usize = 4;

/// The outer ends of the loop.
pub(super) struct Ends {
    pub(super) commands: mpsc::Receiver<Command>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) stop: CancellationToken,
}

#[allow(clippy::large_enum_variant)] // lives for one turn of the loop
enum Happened {
    Stop,
    Command(Option<Command>),
    /// For events.
    Room,
    NobodyLooks,
    Step(Option<(PlanId, PlanStep)>),
    Job(Result<JobEnd, JoinError>),
    Plan(Result<(), JoinError>),
    Cleaned(Result<Vec<FilePlan>, JoinError>),
    Written(Result<Written, JoinError>),
    Tick,
}

pub(super) struct Director {
    context: Arc<Context>,
    /// `None` while it is written to.
    journal: Option<Journal>,
    to_write: VecDeque<Record>,
    writing: JoinSet<Written>,
    ends: Ends,
    /// For plans.
    step_sender: mpsc::Sender<(PlanId, PlanStep)>,
    steps: mpsc::Receiver<(PlanId, PlanStep)>,
    plans: JoinSet<()>,
    jobs: JoinSet<JobEnd>,
    /// Clears away what was stopped; gives its files, whose places are taken until then.
    cleaning: JoinSet<Vec<FilePlan>>,
    batches: BTreeMap<BatchId, BatchState>,
    /// Ready to run, in order.
    queue: VecDeque<(ItemId, BatchId, Work)>,
    running: HashMap<ItemId, Running>,
    /// Where files are on their way to, and which wait for one of these.
    places: HashSet<Location>,
    behind: HashMap<Location, Vec<(BatchId, FilePlan)>>,
    outbox: VecDeque<Event>,
    last_item: u64,
    last_plan: u64,
    paused: bool,
}

impl Director {
    pub(super) fn new(
        context: Arc<Context>,
        journal: Journal,
        ends: Ends,
        last_item: u64,
        resumed: Vec<(BatchId, Batch)>,
    ) -> Self {
        let (step_sender, steps) = mpsc::channel(STEPS);
        let mut director = Self {
            context,
            journal: Some(journal),
            to_write: VecDeque::new(),
            writing: JoinSet::new(),
            ends,
            step_sender,
            steps,
            plans: JoinSet::new(),
            jobs: JoinSet::new(),
            cleaning: JoinSet::new(),
            batches: BTreeMap::new(),
            queue: VecDeque::new(),
            running: HashMap::new(),
            places: HashSet::new(),
            behind: HashMap::new(),
            outbox: VecDeque::new(),
            last_item,
            last_plan: 0,
            paused: false,
        };
        for (id, batch) in resumed {
            if let Some(plan) = director.open_batch(id, &batch) {
                director.begin(plan, batch);
            }
        }
        director
    }

    /// Runs until it is stopped, or nobody can tell it anything any more.
    pub(super) async fn run(mut self) -> Journal {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.settle_batches();
            self.dispatch();
            self.hold_plans();
            let takes_steps =
                self.outbox.len() < WAITING_EVENTS && self.waiting_work() < WAITING_WORK;
            let is_busy =
                !self.running.is_empty() || self.batches.values().any(BatchState::is_open);
            let happened = tokio::select! {
                () = self.ends.stop.cancelled() => Happened::Stop,
                command = self.ends.commands.recv() => Happened::Command(command),
                room = self.ends.events.reserve(), if !self.outbox.is_empty() => match room {
                    Ok(room) => {
                        if let Some(event) = self.outbox.pop_front() {
                            room.send(event);
                        }
                        Happened::Room
                    }
                    Err(_) => Happened::NobodyLooks,
                },
                step = self.steps.recv(), if takes_steps => Happened::Step(step),
                Some(ended) = self.jobs.join_next(), if !self.jobs.is_empty() => {
                    Happened::Job(ended)
                }
                Some(ended) = self.plans.join_next(), if !self.plans.is_empty() => {
                    Happened::Plan(ended)
                }
                Some(ended) = self.cleaning.join_next(), if !self.cleaning.is_empty() => {
                    Happened::Cleaned(ended)
                }
                Some(ended) = self.writing.join_next(), if !self.writing.is_empty() => {
                    Happened::Written(ended)
                }
                _ = ticks.tick(), if is_busy => Happened::Tick,
            };
            match happened {
                Happened::Stop | Happened::Command(None) => break,
                Happened::Command(Some(command)) => self.command(command),
                Happened::Room => self.send_what_fits(),
                // The work goes on.
                Happened::NobodyLooks => self.outbox.clear(),
                Happened::Step(step) => {
                    if let Some((plan, step)) = step {
                        self.step(plan, step);
                    }
                    self.take_more_steps();
                }
                Happened::Job(Ok(end)) => self.job_ended(end),
                Happened::Plan(Ok(())) => {}
                Happened::Cleaned(Ok(files)) => self.cleaned(&files),
                Happened::Job(Err(error))
                | Happened::Plan(Err(error))
                | Happened::Cleaned(Err(error)) => {
                    if error.is_panic() {
                        std::panic::resume_unwind(error.into_panic());
                    }
                }
                Happened::Written(ended) => self.written(ended),
                Happened::Tick => self.tick(),
            }
        }
        self.plans.shutdown().await;
        self.jobs.shutdown().await;
        // What is done is written down first: to clear away may take long, and a program that is
        // ended meanwhile must not carry it once more.
        let journal = self.write_rest().await;
        self.clean_rest().await;
        journal
    }

    /// What was planned, is not under way, and waits for nobody.
    fn waiting_work(&self) -> usize {
        let held: usize = self.batches.values().map(|batch| batch.held.len()).sum();
        let behind: usize = self.behind.values().map(Vec::len).sum();
        self.queue.len() + held + behind
    }

    /// Holds the plans of batches with very many questions, and lets the others go on.
    fn hold_plans(&self) {
        for batch in self.batches.values() {
            let holds = batch.parked.len() >= WAITING_QUESTIONS;
            batch.plans_held.send_if_modified(|held| std::mem::replace(held, holds) != holds);
        }
    }

    fn send_what_fits(&mut self) {
        while let Some(event) = self.outbox.pop_front() {
            if let Err(error) = self.ends.events.try_send(event) {
                if let mpsc::error::TrySendError::Full(event) = error {
                    self.outbox.push_front(event);
                }
                return;
            }
        }
    }

    fn take_more_steps(&mut self) {
        for _ in 0..STEPS {
            match self.steps.try_recv() {
                Ok((plan, step)) => self.step(plan, step),
                Err(_) => return,
            }
        }
    }

    fn next_item(&mut self) -> ItemId {
        self.last_item += 1;
        ItemId(self.last_item)
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Submit(id, batch) => self.submit(id, batch),
            Command::Cancel(id) => self.cancel_batch(id),
            Command::CancelItem(item) => self.cancel_item(item),
            Command::Pause => self.pause(true),
            Command::Resume => self.pause(false),
            Command::Retry(item) => self.retry(item),
            Command::Resolve { item, answer, whole_batch } => {
                self.resolve(item, answer, whole_batch);
            }
            Command::Limit(limit) => self.context.pace.set(limit),
        }
    }

    fn submit(&mut self, id: BatchId, batch: Batch) {
        if let Some(plan) = self.open_batch(id, &batch) {
            self.write_down(Record::Begun(plan, batch));
        }
    }

    fn open_batch(&mut self, id: BatchId, batch: &Batch) -> Option<PlanId> {
        self.batches.insert(id, BatchState::new(batch, Instant::now()));
        self.open_plan(id)
    }

    fn pause(&mut self, paused: bool) {
        self.paused = paused;
        self.context.paused.send_replace(paused);
    }

    fn push_work(&mut self, id: BatchId, work: Work) {
        let item = self.next_item();
        let Some(batch) = self.batches.get_mut(&id) else { return };
        batch.pending += 1;
        if batch.cancelled {
            self.drop_work(id, item, work);
        } else if batch.hold == Hold::Free {
            self.queue.push_back((item, id, work));
        } else {
            batch.hold(item, work, Instant::now());
        }
    }

    /// An item is done with.
    fn finished(&mut self, id: BatchId, item: ItemId, settled: Settled) {
        let Settled { from, to, source, outcome } = settled;
        if let Some(batch) = self.batches.get_mut(&id) {
            batch.count(item, source.as_ref(), &to, &outcome);
        }
        self.outbox.push_back(Event::Finished { batch: id, item, from, to, source, outcome });
    }

    /// Batches that have nothing left to do get their last steps, and their summary.
    fn settle_batches(&mut self) {
        let open: Vec<_> =
            self.batches.iter().filter(|(_, batch)| batch.is_open()).map(|(id, _)| *id).collect();
        for id in open {
            let Some(batch) = self.batches.get_mut(&id) else { continue };
            let again = std::mem::take(&mut batch.again);
            if !again.is_empty() {
                self.decide_again(id, again);
            }
            let Some(batch) = self.batches.get_mut(&id) else { continue };
            if batch.is_planned() {
                self.cut_pack(id);
            }
            self.let_go(id);
            let Some(batch) = self.batches.get_mut(&id) else { continue };
            if !batch.is_planned() || batch.pending > 0 {
                continue;
            }
            if batch.has_folders_to_finish() {
                self.finish_folders(id);
                continue;
            }
            let summary = batch.close();
            self.write_down(Record::Finished(id));
            self.outbox.push_back(Event::Summary { batch: id, summary });
        }
        self.batches.retain(|_, batch| batch.is_open() || batch.can_be_retried());
        let closed = self.batches.values().filter(|batch| !batch.is_open()).count();
        for _ in KEPT_BATCHES..closed {
            let oldest = self.batches.iter().find(|(_, batch)| !batch.is_open());
            let Some(oldest) = oldest.map(|(id, _)| *id) else { break };
            self.batches.remove(&oldest);
        }
    }

    /// Ends the hold of a batch when all of it is known, or it was held long enough.
    fn let_go(&mut self, id: BatchId) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        let hold = HOLD.max(self.context.remote.round_trip() * HOLD_ROUND_TRIPS);
        if !batch.was_held_for(hold, Instant::now()) {
            return;
        }
        if batch.needs_room() {
            batch.hold = Hold::Asking;
            self.ask_for_room(id);
        } else {
            self.release(id);
        }
    }

    fn release(&mut self, id: BatchId) {
        let Some(batch) = self.batches.get_mut(&id) else { return };
        batch.hold = Hold::Free;
        let held = std::mem::take(&mut batch.held);
        self.queue.extend(held.into_iter().map(|(item, work)| (item, id, work)));
    }

    fn tick(&mut self) {
        let told: Vec<_> = self
            .batches
            .iter_mut()
            .filter_map(|(id, batch)| {
                let totals = batch.untold_totals()?;
                Some(Event::Planned { batch: *id, totals, complete: batch.is_planned() })
            })
            .collect();
        self.outbox.extend(told);
        self.read_gauges();
        // A plan that is slow must not keep small files waiting while nothing moves.
        if self.jobs.is_empty() && self.queue.is_empty() {
            let waiting: Vec<_> = self.batches.keys().copied().collect();
            for id in waiting {
                self.cut_pack(id);
            }
        }
    }

    fn most_jobs(&self) -> usize {
        FEWEST_JOBS.max(2 * self.context.lanes)
    }
}

fn settled(plan: &FilePlan, outcome: Outcome) -> Settled {
    let source = Some(plan.source.clone());
    Settled { from: plan.ends.from(), to: plan.ends.to(), source, outcome }
}

/// The folder that holds a place.
fn holder(place: &Location) -> Option<Location> {
    place.parent()
}
