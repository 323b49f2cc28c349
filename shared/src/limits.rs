//! Every bound of the protocol, with its unit and its reason.
//!
//! A length that comes from the wire is compared with one of these before memory is taken for it.
//! A server may announce lower bounds in [`crate::message::Limits`]; nobody may exceed these.

/// Bytes in a block, the unit of resume and verification. A constant of protocol version 1: it is
/// the size of the BLAKE3 subtree whose chaining value stands in a block row.
pub const BLOCK_BYTES: u64 = 1 << 20;

/// Most bytes of block data in one frame's body. Small enough that a request overtakes bulk within
/// a millisecond on a fast link, large enough that headers cost nothing.
pub const PIECE_BYTES: usize = 256 << 10;

/// Most bytes of a frame's header or body before login (HARDENING S12).
pub const MAX_FRAME_BYTES_BEFORE_LOGIN: usize = 4 << 10;

/// Most bytes of a frame's header, and of its body, after login.
pub const MAX_FRAME_BYTES: usize = 1 << 20;

/// Deepest nesting of a MessagePack value in a header (S13).
pub const MAX_NESTING: usize = 16;

/// Bytes of a file name, Linux' `NAME_MAX`.
pub const MAX_NAME_BYTES: usize = 255;

/// Bytes of a path: its names and one separator between each two, Linux' `PATH_MAX` less the NUL.
pub const MAX_PATH_BYTES: usize = 4095;

/// Names in a path: so many fit into [`MAX_PATH_BYTES`] with no room for names of two bytes.
pub const MAX_PATH_NAMES: usize = 2048;

/// Bytes of an opaque file version.
pub const MAX_VERSION_BYTES: usize = 64;

/// Bytes of an opaque listing cursor.
pub const MAX_CURSOR_BYTES: usize = 64;

/// Bytes of an account name on the wire, before SASLprep.
pub const MAX_USER_BYTES: usize = 255;

/// Bytes of a file that may travel in a pack; larger ones are uploads or block reads of their own.
pub const MAX_PACK_MEMBER_BYTES: u64 = 256 << 10;

/// Members of a pack over all its frames.
pub const MAX_PACK_MEMBERS: usize = 1024;

/// Bytes of a pack over all its frames: what a lost connection can cost at most.
pub const MAX_PACK_BYTES: u64 = 8 << 20;

/// Entries in one frame of a listing.
pub const MAX_LIST_ENTRIES: usize = 1024;

/// Blocks that one read or row request may ask for: 1 GiB.
pub const MAX_BLOCKS_PER_REQUEST: u64 = 1024;

/// Largest file: what a signed 64-bit offset can address.
pub const MAX_FILE_BYTES: u64 = i64::MAX as u64;

/// Seconds from accept to logged in (S9). For machines: no connection is held open for a person.
pub const LOGIN_DEADLINE_SECONDS: u64 = 10;

/// Fewest and most PBKDF2 rounds that a client accepts (S19): fewer would sell the password cheap,
/// more would let a server burn the client's processor.
pub const MIN_SCRAM_ITERATIONS: u32 = 600_000;
/// See [`MIN_SCRAM_ITERATIONS`].
pub const MAX_SCRAM_ITERATIONS: u32 = 2_000_000;

/// The port that a server listens on when none is named.
pub const DEFAULT_PORT: u16 = 7227;

/// The application protocol that TLS negotiates (ALPN, RFC 7301).
pub const ALPN: &[u8] = b"sampan/1";

/// The protocol version that this crate speaks.
pub const PROTOCOL_VERSION: u16 = 1;
