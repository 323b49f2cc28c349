//! Every message by its operation, for whoever has only bytes: fuzz targets and tests.

use sampan_protocol::Refusal;
use sampan_protocol::message::{
    AbortUpload, CommitUpload, CopyBlock, EnrolKey, Fits, Goodbye, Hello, List, ListKeys,
    ListUploads, Mkdir, Op, OpenUpload, Pack, Ping, QuotaRequest, Read, ReadPack, ReadRow, Remove,
    Rename, Request, RevokeKey, ScramProof, SetAttributes, Stat, StatMany, Sum, UploadRow,
    WriteBlock,
};
use sampan_protocol::wire::{DecodeError, decode_args, encode_args};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Arguments that were read and written again.
pub(crate) type Again = Result<Vec<u8>, DecodeError>;

macro_rules! catalogue {
    ($($op:ident: $request:ty,)*) => {
        /// Reads and writes a request; `None` for an unknown operation.
        pub(crate) fn request(op: Op, args: &[u8]) -> Option<Again> {
            match op {
                $(Op::$op => Some(again::<$request>(args)),)*
                _ => None,
            }
        }

        /// Reads and writes a frame of an answer; `None` for an unknown operation.
        pub(crate) fn answer(op: Op, args: &[u8]) -> Option<Again> {
            match op {
                $(Op::$op => Some(again::<<$request as Request>::Answer>(args)),)*
                _ => None,
            }
        }
    };
}

catalogue! {
    HELLO: Hello,
    SCRAM_PROOF: ScramProof,
    PING: Ping,
    GOODBYE: Goodbye,
    ENROL_KEY: EnrolKey,
    REVOKE_KEY: RevokeKey,
    LIST_KEYS: ListKeys,
    STAT: Stat,
    STAT_MANY: StatMany,
    LIST: List,
    MKDIR: Mkdir,
    RENAME: Rename,
    REMOVE: Remove,
    SET_ATTRIBUTES: SetAttributes,
    OPEN_UPLOAD: OpenUpload,
    WRITE_BLOCK: WriteBlock,
    COMMIT_UPLOAD: CommitUpload,
    ABORT_UPLOAD: AbortUpload,
    UPLOAD_ROW: UploadRow,
    LIST_UPLOADS: ListUploads,
    COPY_BLOCK: CopyBlock,
    PACK: Pack,
    READ: Read,
    READ_ROW: ReadRow,
    READ_PACK: ReadPack,
    SUM: Sum,
    QUOTA: QuotaRequest,
    FITS: Fits,
}

/// Reads and writes a refusal.
pub(crate) fn refusal(args: &[u8]) -> Again {
    again::<Refusal>(args)
}

fn again<T: Serialize + DeserializeOwned>(args: &[u8]) -> Again {
    decode_args::<T>(args).map(|message| encode_args(&message))
}
