//! Every request and answer, one topic a file.
//!
//! A request type names its [`Op`] and its answer type, so that neither side can pair them wrongly.
//! Where a request is answered by several frames, `Answer` is what each of them carries; where a
//! request takes several frames, each carries the request type. Arguments travel as MessagePack maps
//! keyed by field name: unknown fields are ignored, and fields added later have defaults.
//!
//! Invariant: bulk data is only ever a frame's body, never a field.

mod browse;
mod change;
mod download;
mod hello;
mod keys;
mod link;
mod pack;
mod quota;
mod upload;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use browse::{List, ListPage, Stat, StatAnswer, StatMany, StatManyPage, StatResult};
pub use change::{Change, Changed, Durability, Mkdir, Precondition, Remove, Removed, Rename};
pub use change::{SetAttributes, SetAttributesAnswer};
pub use download::{
    Member, MemberOutcome, PackFile, Read, ReadPack, ReadPackPage, ReadPiece, ReadRow, RowPart,
    Sum, SumAnswer,
};
pub use hello::{
    Hello, HelloAnswer, HelloBody, KeyProof, Limits, ScramAnswer, ScramProof, Welcome,
};
pub use keys::{EnrolKey, KeyEnrolled, KeyLife, KeyRow, KeysAnswer, ListKeys, RevokeKey};
pub use link::{Empty, Goodbye, GoodbyeReason, Ping};
pub use pack::{Pack, PackAnswer, PackMember, PackMemberKind, PackResult};
pub use quota::{Fits, FitsAnswer, QuotaAnswer, QuotaRequest};
pub use upload::{
    AbortUpload, BlockWritten, CommitUpload, Committed, CopyBlock, ListUploads, OpenUpload,
    Unfinished, UploadOpened, UploadRow, UploadRowPart, UploadsPage, WriteBlock,
};

pub use crate::wire::Op;

/// A message that asks, and what answers it.
pub trait Request: Serialize + DeserializeOwned + Send {
    /// Its number on the wire.
    const OP: Op;
    /// What each frame of the answer carries.
    type Answer: Serialize + DeserializeOwned + Send;
}

macro_rules! requests {
    ($($(#[$doc:meta])* $constant:ident = $code:literal: $request:ty => $answer:ty,)*) => {
        impl Op {
            $($(#[$doc])* pub const $constant: Self = Self($code);)*

            /// Every operation of this version, with its name.
            pub const ALL: &'static [(Self, &'static str)] =
                &[$((Self::$constant, stringify!($constant)),)*];
        }

        $(impl Request for $request {
            const OP: Op = Op::$constant;
            type Answer = $answer;
        })*
    };
}

requests! {
    /// Begins a connection: versions, who, and the first step of a login.
    HELLO = 1: Hello => HelloAnswer,
    /// The second step of SCRAM.
    SCRAM_PROOF = 2: ScramProof => ScramAnswer,
    /// Is the other side there? Either side may ask.
    PING = 3: Ping => Empty,
    /// The sender closes; never answered.
    GOODBYE = 4: Goodbye => Empty,
    /// Lets a public key log in from now on.
    ENROL_KEY = 5: EnrolKey => KeyEnrolled,
    /// Ends a key.
    REVOKE_KEY = 6: RevokeKey => Empty,
    /// The account's keys.
    LIST_KEYS = 7: ListKeys => KeysAnswer,

    /// What lies at a path.
    STAT = 16: Stat => StatAnswer,
    /// What lies at many paths.
    STAT_MANY = 17: StatMany => StatManyPage,
    /// A folder's entries, in directory order.
    LIST = 18: List => ListPage,

    /// Makes a folder.
    MKDIR = 32: Mkdir => Changed,
    /// Moves or renames inside the home.
    RENAME = 33: Rename => Changed,
    /// Removes a file, an empty folder or a tree.
    REMOVE = 34: Remove => Removed,
    /// Sets permission bits and modification time.
    SET_ATTRIBUTES = 35: SetAttributes => SetAttributesAnswer,

    /// Opens an upload, or resumes it.
    OPEN_UPLOAD = 48: OpenUpload => UploadOpened,
    /// One block of an upload, in pieces.
    WRITE_BLOCK = 49: WriteBlock => BlockWritten,
    /// Publishes a whole upload.
    COMMIT_UPLOAD = 50: CommitUpload => Committed,
    /// Gives an upload up.
    ABORT_UPLOAD = 51: AbortUpload => Empty,
    /// The hashes of the blocks that the receiver has.
    UPLOAD_ROW = 52: UploadRow => UploadRowPart,
    /// The account's unfinished uploads.
    LIST_UPLOADS = 53: ListUploads => UploadsPage,
    /// Fills a block of an upload from a file that the server has.
    COPY_BLOCK = 54: CopyBlock => BlockWritten,
    /// Many small files and folders at once.
    PACK = 55: Pack => PackAnswer,

    /// Blocks of a file.
    READ = 64: Read => ReadPiece,
    /// The block hashes of a file.
    READ_ROW = 65: ReadRow => RowPart,
    /// Many small files at once.
    READ_PACK = 66: ReadPack => ReadPackPage,
    /// The root of a file.
    SUM = 67: Sum => SumAnswer,

    /// Limits and use of the account.
    QUOTA = 80: QuotaRequest => QuotaAnswer,
    /// Would this much fit?
    FITS = 81: Fits => FitsAnswer,
}

/// Whether an operation may come before login. Everything else is refused then (HARDENING S23,
/// S24).
pub const fn allowed_before_login(op: Op) -> bool {
    matches!(op, Op::HELLO | Op::SCRAM_PROOF | Op::GOODBYE)
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde's `skip_serializing_if` passes a reference
fn is_false(value: &bool) -> bool {
    !*value
}

#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
