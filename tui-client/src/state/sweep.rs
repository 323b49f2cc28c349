//! Journals that nobody comes back to.
//!
//! A command that fails leaves its journal for the same command again. What a server has of an upload
//! it keeps for 7 days; after [`KEPT`] a journal serves nobody, and goes.
//!
//! Invariant: a journal goes only under its own lock, so never one that a process works with; and
//! never one in which batches wait, as those of the screen's queue do.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::fs::{OFlags, Stat};
use rustix::io::Errno;

use super::State;
use super::journal::{JOURNAL, Kept, discard, kept};
use super::private::{PrivateFolder, own_file, read_all, try_lock};
use crate::disk::Disk;
use crate::failure::Failure;

/// How long a journal is kept after it was last opened. Longer than any upload: a download that was
/// begun has no such end.
const KEPT: Duration = Duration::from_hours(30 * 24);

impl State {
    /// Removes the journals that nobody opened for long, and what was staged under them. What cannot
    /// be removed stays until the next time: nothing depends on it.
    pub fn sweep_journals(&self, now: SystemTime) {
        let path = self.journals();
        match PrivateFolder::open(&self.disk, &path) {
            Err(Errno::NOENT) => {}
            Err(error) => tracing::debug!(%error, "old journals stay"),
            Ok(folder) => Sweep { disk: &self.disk, folder, path: &path, now }.run(),
        }
    }
}

struct Sweep<'a> {
    disk: &'a Disk,
    folder: PrivateFolder<'a>,
    path: &'a Path,
    now: SystemTime,
}

impl Sweep<'_> {
    fn run(&self) {
        let names = match self.folder.names() {
            Ok(names) => names,
            Err(error) => return tracing::debug!(%error, "old journals stay"),
        };
        for name in names {
            let name = OsStr::from_bytes(&name);
            let is_journal = Path::new(name).extension().is_some_and(|ending| ending == JOURNAL);
            if is_journal && let Err(failure) = self.sweep(name) {
                tracing::debug!(?failure, "an old journal stays");
            }
        }
    }

    fn sweep(&self, name: &OsStr) -> Result<(), Failure> {
        let failed = |error| own_file(&self.path.join(name), error);
        if !self.is_old(&self.folder.look(name).map_err(failed)?) {
            return Ok(());
        }
        // For writing: over NFS a lock is one on bytes, which nobody gets who may only read.
        let file = self.folder.open_existing(name, OFlags::RDWR).map_err(failed)?;
        // Whoever works with it holds it.
        if !try_lock(self.disk, &file).map_err(failed)?
            || !self.folder.holds(&file, name).map_err(failed)?
            || !self.is_old(&self.disk.look_open(&file).map_err(failed)?)
        {
            return Ok(());
        }
        let content = read_all(self.disk, &file).map_err(failed)?;
        let Some(Kept { batches, staged }) = kept(&content) else { return Ok(()) };
        if !batches.is_empty() {
            return Ok(());
        }
        // The journal goes last: what could not be removed is still named by it.
        discard(self.disk, staged.values())?;
        self.folder.unlink(name).map_err(failed)
    }

    /// Each opening writes the process into it.
    fn is_old(&self, journal: &Stat) -> bool {
        let seconds = u64::try_from(journal.st_mtime).unwrap_or_default();
        let opened = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        self.now.duration_since(opened).is_ok_and(|age| age > KEPT)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

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
