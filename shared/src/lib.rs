//! The language both sides of Sampan speak.
//!
//! A connection carries frames ([`frame`]); a frame's header is a small map ([`wire`]) whose
//! arguments are one of the [`message`]s, and its body is raw bytes. A person or a machine is let in
//! by [`scram`] or by a [`login_key`]. A file is a row of blocks ([`block`]): the unit of resume,
//! verification and update alike; small
//! files travel many at once, and [`pack`] says whose a body's bytes are. `PROTOCOL.md` beside this crate says all of it for those who
//! write another client.
//!
//! The rest is vocabulary, one word a file: [`path`], [`entry`], [`id`], [`size`], [`time`],
//! [`error`], [`limits`].
//!
//! Invariant: only [`transport`] does any I/O. Everything else is bytes to values and back, and
//! pure state machines; time, randomness and ids enter as arguments.

mod bin;
pub mod block;
pub mod entry;
pub mod error;
pub mod escape;
pub mod frame;
pub mod id;
pub mod limits;
pub mod login_key;
pub mod message;
pub mod pack;
pub mod path;
pub mod scram;
pub mod size;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod time;
#[cfg(feature = "transport")]
pub mod transport;
pub mod wire;

pub use block::{BlockHash, BlockSet, Root};
pub use entry::{Attributes, Entry, EntryKind, Mode, Version};
pub use error::{ErrorCode, Refusal};
pub use escape::Escaped;
pub use id::{ChangeKey, Epoch, InstanceId, RequestId, UploadId, UploadKey};
pub use limits::{DEFAULT_PORT, PROTOCOL_VERSION};
pub use path::{Name, PathError, RemotePath};
pub use size::ByteSize;
pub use time::Timestamp;
