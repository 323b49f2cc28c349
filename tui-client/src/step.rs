//! The named steps of a transfer: the points between which a crash leaves one thing done and the
//! next one not. The server's are in its store.
//!
//! Tests end the program at each of them, as SIGKILL would: `SAMPAN_DIE_AT=target renamed:3` at the
//! third time. A release has only the names. The crash rounds fail if they never came to one of the
//! list.
//!
//! Invariant: nothing runs on after such an end, no destructor and no other thread's next line.

macro_rules! steps {
    ($($(#[$doc:meta])* $step:ident = $name:literal,)*) => {
        /// A point in a transfer at which a crash must do no harm.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Step {
            $($(#[$doc])* $step,)*
        }

        impl Step {
            /// Every one.
            pub const ALL: &[Self] = &[$(Self::$step,)*];

            /// What it is called.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)*
                }
            }
        }
    };
}

steps! {
    /// A journal's file is there, and nothing is in it.
    JournalMade = "journal made",
    /// It has its secret number, durably.
    JournalOpened = "journal opened",
    /// The queue has a batch.
    BatchWritten = "batch written",
    /// The queue has it no more.
    BatchFinished = "batch finished",
    /// A command that is done has none any more.
    JournalRemoved = "journal removed",
    /// The server knows an upload.
    UploadOpened = "upload opened",
    /// The server has a block.
    BlockAcknowledged = "block acknowledged",
    /// All blocks are across, nothing is published.
    UploadSent = "upload sent",
    /// It is published, and nobody was told.
    UploadCommitted = "upload committed",
    /// A pack is on its way, not answered.
    PackSent = "pack sent",
    /// Its members are published, and nobody was told.
    PackAnswered = "pack answered",
    /// A folder on the server has its mode and time.
    FolderFinished = "folder finished",
    /// A folder is made on this machine.
    FolderMade = "folder made",
    /// A download has a file beside its target.
    DownloadStaged = "download staged",
    /// A block is in it.
    BlockWritten = "block written",
    /// A member of a pack is in a file of its own.
    MemberStaged = "member staged",
    /// What came is durable.
    FilesFlushed = "files flushed",
    /// A download has its name.
    TargetRenamed = "target renamed",
    /// Its folder is durable, and nobody was told.
    TargetFolderFlushed = "target folder flushed",
    /// A folder on this machine has its mode and time.
    LocalFolderFinished = "local folder finished",
}

/// A transfer has come to `step`.
pub(crate) fn at(step: Step) {
    #[cfg(debug_assertions)]
    dying::at(step);
    #[cfg(not(debug_assertions))]
    let _ = step;
}

#[cfg(debug_assertions)]
mod dying {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    use rustix::process::{Signal, getpid, kill_process};

    use super::Step;

    /// Where to die, and how often that is still passed alive.
    struct DieAt {
        step: Step,
        left: AtomicU64,
    }

    static DIE_AT: LazyLock<Option<DieAt>> = LazyLock::new(|| {
        let place = std::env::var("SAMPAN_DIE_AT").ok()?;
        let (name, times) = place.rsplit_once(':').unwrap_or((&place, "1"));
        let step = Step::ALL.iter().find(|step| step.name() == name);
        let step = *step.expect("SAMPAN_DIE_AT names a step");
        let times = times.parse().expect("SAMPAN_DIE_AT ends with a number");
        Some(DieAt { step, left: AtomicU64::new(times) })
    });

    pub(super) fn at(step: Step) {
        let Some(die_at) = DIE_AT.as_ref().filter(|die_at| die_at.step == step) else { return };
        if die_at.left.fetch_sub(1, Ordering::Relaxed) == 1 {
            let (Ok(()) | Err(_)) = kill_process(getpid(), Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}
