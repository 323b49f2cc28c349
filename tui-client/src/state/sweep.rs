//! Journals that nobody comes back to.
//!
//! A command that fails leaves its journal for the same command again. What a server has of an upload
//! it keeps for 7 days; after [`KEPT`] a journal serves nobody, and goes.
//!
//! Invariant: a journal goes only under its own lock, so never one that a process works with; and
//! never one in which batches wait, as those of the screen's queue do.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::State;
use super::journal::{JOURNAL, is_at, keeps_nothing};

/// How long a journal is kept after it was last opened. Longer than any upload: a download that was
/// begun has no such end.
const KEPT: Duration = Duration::from_hours(30 * 24);

impl State {
    /// Removes the journals that nobody opened for long. What cannot be removed stays until the next
    /// time: nothing depends on it.
    pub fn sweep_journals(&self, now: SystemTime) {
        let folder = self.journals();
        if let Err(error) = sweep(&folder, now)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::debug!(%error, "old journals stay");
        }
    }
}

fn sweep(folder: &Path, now: SystemTime) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_journal = path.extension().is_some_and(|extension| extension == JOURNAL);
        if is_journal && let Err(error) = sweep_one(&path, now) {
            tracing::debug!(%error, "an old journal stays");
        }
    }
    Ok(())
}

fn sweep_one(path: &Path, now: SystemTime) -> io::Result<()> {
    if !is_old(&fs::metadata(path)?, now)? {
        return Ok(());
    }
    let mut file = File::open(path)?;
    // Whoever works with it holds it.
    if file.try_lock().is_err() || !is_at(&file, path)? || !is_old(&file.metadata()?, now)? {
        return Ok(());
    }
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    if !keeps_nothing(&content) {
        return Ok(());
    }
    fs::remove_file(path)
}

/// Each opening writes the process into it.
fn is_old(journal: &fs::Metadata, now: SystemTime) -> io::Result<bool> {
    Ok(now.duration_since(journal.modified()?).is_ok_and(|age| age > KEPT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::address::Place;
    use crate::state::{Journal, JournalKey, JournalScope};

    #[test]
    fn only_old_journals_of_commands_that_do_not_run_go() {
        let home = tempfile::tempdir().unwrap();
        let state = State::under(home.path());
        let account = Place::parse("a@h".as_ref(), None).unwrap().account;
        let open = |scope: &JournalScope| {
            Journal::open(&state, &JournalKey::new(&account, scope), [1; 32], 1).unwrap()
        };
        let command = |operand: &str| JournalScope::Command {
            verb: "put",
            operands: vec![operand.as_bytes().to_vec()],
        };
        drop(open(&command("left")));
        let running = open(&command("running"));
        let mut queue = open(&JournalScope::Queue);
        queue.begin(1, b"one").unwrap();
        drop(queue);
        let files = || fs::read_dir(state.journals()).unwrap().count();
        assert_eq!(files(), 3);

        let now = SystemTime::now();
        state.sweep_journals(now + KEPT - Duration::from_mins(1));
        assert_eq!(files(), 3, "they may be meant yet");
        state.sweep_journals(now + KEPT + Duration::from_mins(1));
        assert_eq!(files(), 2);
        assert_eq!(open(&JournalScope::Queue).unfinished().len(), 1);
        assert!(!open(&command("left")).keys().are_continued());
        let key = JournalKey::new(&account, &command("running"));
        assert!(Journal::open(&state, &key, [1; 32], 1).is_err(), "it is held as before");
        drop(running);
    }

    #[test]
    fn without_a_folder_there_is_nothing_to_sweep() {
        let home = tempfile::tempdir().unwrap();
        State::under(home.path()).sweep_journals(SystemTime::now());
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
