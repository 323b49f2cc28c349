//! `put` and `get` on the engine: one batch, followed to its end.
//!
//! Invariant: the journal of a command stays until all of it is across, so that the same command
//! goes on where this one stopped, however it stopped.

mod bars;
mod gauges;
mod lines;
mod question;
mod watch;

use std::collections::HashSet;
use std::io::{self, IsTerminal};
use std::time::SystemTime;

use rand::RngExt;

use self::bars::Bars;
use self::lines::Lines;
use self::watch::{Face, Watch};
use super::args::{LinkOptions, TransferOptions};
use super::ask::Terminal;
use super::exit::Code;
use super::expand::expand;
use super::output::Output;
use super::report::Report;
use super::{Stop, route, session};
use crate::address::Account;
use crate::catalogue::cli as text;
use crate::failure::{Failure, Side, Situation};
use crate::remote::Remote;
use crate::state::{Journal, JournalKey, JournalScope, State};
use crate::transfer::{
    Batch, BatchId, Command, Engine, OnConflict, Options, Route, Settings, Source, Started,
};

/// The only batch of a command.
const BATCH: BatchId = BatchId(1);

/// Something to carry, as `put` or `get` says it.
pub(super) struct Errand {
    pub(super) verb: &'static str,
    pub(super) account: Account,
    pub(super) route: Route,
    /// What only one of both commands can say; the rest is set from the common options.
    pub(super) options: Options,
    /// Sources in the home are patterns.
    pub(super) globs: bool,
}

/// Carries it.
pub(super) async fn run(
    errand: Errand,
    how: &TransferOptions,
    link: &LinkOptions,
) -> Result<Code, Stop> {
    let Errand { verb, account, route, options, globs } = errand;
    let terminal = Terminal::open();
    let options = Options {
        on_conflict: on_conflict(how, terminal.is_some())?,
        checksum: how.checksum,
        dry_run: how.dry_run,
        ..options
    };
    let source = match route {
        Route::Upload { .. } => Side::Local,
        Route::Download { .. } => Side::Remote,
    };
    let remote = session::connect(&account, link).await?;
    let journal = journal(verb, &account, &route, how.dry_run)?;
    let face = match () {
        () if how.json => Face::Json(Lines::default()),
        () if how.quiet => Face::Quiet,
        () if io::stderr().is_terminal() && !how.dry_run => Face::Bars(Bars::new()),
        () => Face::Plain,
    };
    let report = Report::new(Some(&account), source).expanding(globs).going_on();
    let mut watch = Watch::new(face, Output::standard(), report, terminal);
    // The journal knows the command as it was written: a repeat is the same one, also if the
    // patterns stand for more or less by then.
    let route = if globs { expanded(&remote, route, &mut watch).await? } else { Some(route) };
    let Some(route) = route else {
        // Of an earlier run there may be something that a listing which failed would have found.
        if !journal.keys().are_continued() {
            journal.remove()?;
        }
        remote.close().await;
        watch.nothing_found()?;
        return Ok(watch.report.code());
    };
    let settings = Settings {
        connections: how.connections.map(usize::from),
        limit: how.limit,
        last_item: watch.refused,
    };
    let Started { engine, mut events, .. } = Engine::start(remote.clone(), journal, settings);
    engine.send(Command::Submit(BATCH, Batch { route, options })).await?;
    let followed = watch.follow(&mut events, &engine.commands(), remote.link()).await;
    let journal = engine.stop().await?;
    let summary = followed?;
    if summary.failed == 0 && watch.report.code() == Code::Done {
        journal.remove()?;
    }
    remote.close().await;
    Ok(watch.report.code())
}

/// The route with what its patterns stand for; `None` if that is nothing.
async fn expanded(remote: &Remote, route: Route, watch: &mut Watch) -> Result<Option<Route>, Stop> {
    let Route::Download { sources, target } = route else { return Ok(Some(route)) };
    let (mut found, mut seen) = (Vec::new(), HashSet::new());
    for Source { path, contents } in sources {
        let (matches, failures) = expand(remote, &path, contents).await;
        for failure in failures {
            watch.refused(&path, failure)?;
        }
        // What two patterns stand for is meant once.
        let new = matches.into_iter().filter(|found| seen.insert(found.path.clone()));
        found.extend(new.map(|found| Source { path: found.path, contents }));
    }
    Ok((!found.is_empty()).then_some(Route::Download { sources: found, target }))
}

fn on_conflict(how: &TransferOptions, is_terminal: bool) -> Result<OnConflict, Stop> {
    match (how.on_conflict.map(OnConflict::from), is_terminal) {
        (Some(OnConflict::Ask), false) => Err(Stop::Usage(text::nobody_to_ask())),
        (Some(chosen), _) => Ok(chosen),
        (None, true) => Ok(OnConflict::Ask),
        (None, false) => Ok(OnConflict::Fail),
    }
}

/// Removes old journals beside the transfer. What they name may lie on a server of files that does not
/// answer: nothing waits for that but the end of the program, and that only as for any other task.
fn sweep_beside(state: State) {
    tokio::task::spawn_blocking(move || state.sweep_journals(SystemTime::now()));
}

/// By it a repeated command finds what an interrupted one left. One that only plans leaves nothing.
fn journal(
    verb: &'static str,
    account: &Account,
    route: &Route,
    dry_run: bool,
) -> Result<Journal, Failure> {
    let seed = rand::rng().random();
    if dry_run {
        return Ok(Journal::in_memory(seed));
    }
    let scope = JournalScope::Command { verb, operands: route::operands(route) };
    let key = JournalKey::new(account, &scope);
    let state = State::from_environment()?;
    let opened = Journal::open(&state, &key, seed, std::process::id());
    let mut journal = opened.map_err(|failure| match failure.situation {
        // A number is no subject; the command is.
        Situation::AlreadyRunning { .. } => {
            Failure { subject: format!("sampan {verb}"), ..failure }
        }
        _ => failure,
    })?;
    // Behind its opening, so that its own, however old, is none that nobody comes back to.
    sweep_beside(state);
    // What an interrupted run began goes on by this run's flags, not by those of that one.
    let begun: Vec<_> = journal.unfinished().iter().map(|(batch, _)| *batch).collect();
    for batch in begun {
        journal.finish(batch)?;
    }
    Ok(journal)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use rustix::io::Errno;

    use super::*;
    use crate::disk::{Call, Disk, Faults};

    /// A disk that does not answer.
    struct Hangs {
        asked: Sender<()>,
        answers: Mutex<Receiver<()>>,
    }

    impl Faults for Hangs {
        fn before(&self, _: Call<'_>) -> Result<usize, Errno> {
            self.asked.send(()).unwrap();
            // Until the test is over.
            let _ = self.answers.lock().unwrap().recv();
            Err(Errno::IO)
        }
    }

    #[test]
    fn a_disk_that_does_not_answer_holds_up_neither_a_command_nor_its_end() {
        let home = tempfile::tempdir().unwrap();
        let (asked, was_asked) = channel();
        let (answer, answers) = channel();
        let disk = Disk::with(Arc::new(Hangs { asked, answers: Mutex::new(answers) }));
        let state = State::under(home.path()).on(disk);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { sweep_beside(state) });
        was_asked.recv().unwrap();
        runtime.shutdown_timeout(Duration::ZERO);
        drop(answer);
    }
}
