//! The named steps of changes: the points between which a crash leaves one thing done and the next
//! one not.
//!
//! Tests end the store, or the whole program, at each of them. So that none is forgotten, they are
//! one closed list, and the crash rounds fail if they never came to one of it.
//!
//! Invariant: every name stands for one place in an order that the change's module tells.

macro_rules! steps {
    ($($(#[$doc:meta])* $step:ident = $name:literal,)*) => {
        /// A point in a change at which a crash must do no harm.
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
    /// An upload holds its quota; nothing of it is staged.
    UploadWritten = "upload written",
    /// Its staging is there, empty.
    StagingMade = "staging made",
    /// It belongs to a new epoch.
    UploadResumed = "upload resumed",
    /// A piece is in its file, and the journal knows nothing of it.
    PieceWritten = "piece written",
    /// The journal says that a block is there.
    BlockJournalled = "block journalled",
    /// An upload is whole and has its attributes; nothing is flushed.
    FileFinished = "file finished",
    /// Its bytes are durable.
    DataFlushed = "data flushed",
    /// What is staged of an upload may not be on the disk, and its row says that it counts.
    FlushFailed = "flush failed",
    /// Its row says that another staging folder counts.
    StagingGivenUp = "staging given up",
    /// An upload's row is gone, what it staged is not.
    UploadGivenUp = "upload given up",
    /// An upload was found to be idle for too long.
    UploadExpired = "upload expired",
    /// A scan says that it counts.
    ScanBegun = "scan begun",
    /// It has counted some of a home.
    ScanCounts = "scan counts",
    /// It has counted all of it, and the ledger does not know.
    ScanCounted = "scan counted",
    /// The ledger says what was counted.
    ScanSettled = "scan settled",
    /// An account is to be removed, which says so; it is there.
    RemovalWritten = "removal written",
    /// The home of a removed account is in staging.
    HomeTaken = "home taken",
    /// Its row is gone, what it staged is not.
    AccountRemoved = "account removed",
    /// A member of a pack is in staging.
    PackMemberStaged = "pack member staged",
    /// All members are durable.
    PackFlushed = "pack flushed",
    /// What a change is about to do is written down.
    IntentWritten = "intent written",
    /// A folder on the way, or one that was asked for, is made.
    FolderMade = "folder made",
    /// A file has its name.
    Renamed = "renamed",
    /// What a rename replaced is in staging.
    Displaced = "displaced",
    /// The folder that holds a changed name is durable.
    FolderFlushed = "folder flushed",
    /// A member of a pack has its name.
    PackMemberPublished = "pack member published",
    /// All of them have.
    PackPublished = "pack published",
    /// The folders that a pack touched are durable.
    FoldersFlushed = "folders flushed",
    /// An empty folder is gone.
    Removed = "removed",
    /// A tree lies in staging, and its intent says so.
    TreeTaken = "tree taken",
    /// The next names to be deleted are written down, the last ones credited.
    BatchWrittenDown = "batch written down",
    /// They are unlinked, and still charged.
    BatchUnlinked = "batch unlinked",
    /// A file's or folder's attributes are set, and the answer is not kept.
    AttributesSet = "attributes set",
    /// The steps are done, the ledger knows nothing of them.
    StepsDone = "steps done",
    /// All is done but the answer.
    Settled = "settled",
    /// An intent of an earlier run was found.
    IntentFound = "intent found",
    /// Something in staging that nothing needs was deleted in part or whole.
    Swept = "swept",
}
