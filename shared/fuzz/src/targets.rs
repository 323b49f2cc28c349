//! What each fuzz target does with its bytes. A plain test replays the corpus through the same
//! functions, and property tests throw their own bytes at them.
//!
//! All of them check: nothing panics, and what can be read is written in a way that is read as the
//! same again.

use bytes::BytesMut;
use sampan_protocol::block::{BlockSet, Blocks};
use sampan_protocol::frame::{Decoded, FrameLimits, decode};
use sampan_protocol::limits::{MAX_NESTING, MAX_SCRAM_ITERATIONS};
use sampan_protocol::message::{HelloBody, Op};
use sampan_protocol::scram::{
    Challenge, ClientLogin, HelloHash, IterationLimits, ServerLogin, Verifier, derive,
};
use sampan_protocol::wire::{Envelope, decode_args, encode_args, value_length};

use crate::catalogue::{self, Again};
use crate::packs::pack;

/// A target's name and what it does.
type Target = (&'static str, fn(&[u8]));

/// All of them.
pub(crate) const TARGETS: &[Target] = &[
    ("frame", frame),
    ("envelope", envelope),
    ("login", login),
    ("browse", browse),
    ("change", change),
    ("upload", upload),
    ("download", download),
    ("quota", quota),
    ("blocks", blocks),
    ("pack", pack),
    ("scram_client", scram_client),
    ("scram_server", scram_server),
];

/// Bytes as they come from a socket.
pub(crate) fn frame(data: &[u8]) {
    for limits in [FrameLimits::BEFORE_LOGIN, FrameLimits::AFTER_LOGIN] {
        let mut buffer = BytesMut::from(data);
        loop {
            match decode(&mut buffer, limits) {
                Ok(Decoded::Frame(frame)) => {
                    let bytes = frame.to_bytes(limits).expect("it was within the limits");
                    let taken = data.len() - buffer.len();
                    assert!(data[..taken].ends_with(&bytes));
                }
                Ok(Decoded::Incomplete { needed }) => {
                    assert!(needed > 0 && buffer.len() + needed <= limits.frame_bytes());
                    break;
                }
                Err(_) => break,
            }
        }
    }
}

/// A header, whatever it is about; its arguments then as what they claim to be.
pub(crate) fn envelope(data: &[u8]) {
    let Ok(envelope) = Envelope::decode(data) else { return };
    let length = value_length(envelope.args, MAX_NESTING).expect("arguments are one value");
    assert_eq!(length, envelope.args.len());
    let Envelope { op, flags, args, .. } = envelope;
    if flags.is_error() {
        stable(args, catalogue::refusal);
    } else if catalogue::request(op, args).is_some() {
        messages(&[op], args);
    }
}

/// Which operations each family of messages has; a test finds one that is in none.
pub(crate) const FAMILIES: &[(&str, &[Op])] = &[
    ("login", LOGIN),
    ("browse", BROWSE),
    ("change", CHANGE),
    ("upload", UPLOAD),
    ("download", DOWNLOAD),
    ("quota", QUOTA),
];

const LOGIN: &[Op] = &[
    Op::HELLO,
    Op::SCRAM_PROOF,
    Op::PING,
    Op::GOODBYE,
    Op::ENROL_KEY,
    Op::REVOKE_KEY,
    Op::LIST_KEYS,
];
const BROWSE: &[Op] = &[Op::STAT, Op::STAT_MANY, Op::LIST];
const CHANGE: &[Op] = &[Op::MKDIR, Op::RENAME, Op::REMOVE, Op::SET_ATTRIBUTES, Op::PACK];
const UPLOAD: &[Op] = &[
    Op::OPEN_UPLOAD,
    Op::WRITE_BLOCK,
    Op::COMMIT_UPLOAD,
    Op::ABORT_UPLOAD,
    Op::UPLOAD_ROW,
    Op::LIST_UPLOADS,
    Op::COPY_BLOCK,
];
const DOWNLOAD: &[Op] = &[Op::READ, Op::READ_ROW, Op::READ_PACK, Op::SUM];
const QUOTA: &[Op] = &[Op::QUOTA, Op::FITS];

/// Hello, login, keys and the link itself.
pub(crate) fn login(data: &[u8]) {
    family("login", data);
    stable(data, |args| decode_args::<HelloBody>(args).map(|body| encode_args(&body)));
}

/// Looking at a home.
pub(crate) fn browse(data: &[u8]) {
    family("browse", data);
}

/// Changes, packs among them; and refusals, which all share.
pub(crate) fn change(data: &[u8]) {
    family("change", data);
    stable(data, catalogue::refusal);
}

/// Uploads.
pub(crate) fn upload(data: &[u8]) {
    family("upload", data);
}

/// Downloads.
pub(crate) fn download(data: &[u8]) {
    family("download", data);
}

/// Limits and use.
pub(crate) fn quota(data: &[u8]) {
    family("quota", data);
}

/// A set of blocks, and what is done with one that a peer sent.
pub(crate) fn blocks(data: &[u8]) {
    stable(data, |args| decode_args::<BlockSet>(args).map(|set| encode_args(&set)));
    let Ok(set) = decode_args::<BlockSet>(data) else { return };
    let file = Blocks::of(1 << 40).expect("a file of 1 TiB is none too large");
    if set.check(file).is_ok() {
        assert!(set.len() <= file.count());
        assert!(set.missing_in(0..64).all(|block| !set.contains(block)));
        assert!(set.difference(&set).is_empty());
        assert_eq!(set.difference(&BlockSet::new()), set);
    }
}

const EXPORTER: [u8; 32] = [7; 32];
const CHALLENGE: Challenge = Challenge { salt: [3; 16], iterations: 1 };
const ANY_COST: IterationLimits = IterationLimits { fewest: 1, most: MAX_SCRAM_ITERATIONS };

/// The bytes as each message that a server may send.
pub(crate) fn scram_client(data: &[u8]) {
    let hello = HelloHash::of(b"hello");
    let start = || ClientLogin::start("anna", [1; 18], hello).expect("a plain name");
    if let Ok(challenged) = start().0.challenge(data, ANY_COST) {
        let challenge = *challenged.challenge();
        assert!((1..=MAX_SCRAM_ITERATIONS).contains(&challenge.iterations));
    }
    let (client, first) = start();
    let server = ServerLogin::start(&first, hello).expect("a client's own message");
    let verifier = Verifier::derive("oar", &CHALLENGE).expect("a plain password");
    let (_, server_first) = server.challenge(verifier, [2; 18]);
    let challenged = client.challenge(&server_first, ANY_COST).expect("a server's own message");
    let keys = derive("oar", &CHALLENGE).expect("a plain password");
    let (client, _) = challenged.finish(keys, &EXPORTER).expect("keys of this challenge");
    assert!(client.verify(data).is_err(), "a proof was guessed");
}

/// The bytes as each message that a client may send.
pub(crate) fn scram_server(data: &[u8]) {
    let hello = HelloHash::of(b"hello");
    let verifier = || Verifier::derive("oar", &CHALLENGE).expect("a plain password");
    if let Ok(server) = ServerLogin::start(data, hello) {
        assert!(!server.user().is_empty());
        let (_, server_first) = server.challenge(verifier(), [2; 18]);
        assert!(server_first.is_ascii());
    }
    let (_, first) = ClientLogin::start("anna", [1; 18], hello).expect("a plain name");
    let server = ServerLogin::start(&first, hello).expect("a client's own message");
    let (server, _) = server.challenge(verifier(), [2; 18]);
    assert!(server.finish(data, &EXPORTER).is_err(), "a proof was guessed");
}

/// The bytes as the arguments of each request and answer of a family.
fn family(name: &str, data: &[u8]) {
    let (_, ops) = FAMILIES.iter().find(|(known, _)| *known == name).expect("a family");
    messages(ops, data);
}

/// The bytes as the arguments of these operations' requests and answers.
fn messages(ops: &[Op], data: &[u8]) {
    for op in ops {
        stable(data, |args| catalogue::request(*op, args).expect("a known operation"));
        stable(data, |args| catalogue::answer(*op, args).expect("a known operation"));
    }
}

/// What was read and written is read and written as the same.
fn stable(data: &[u8], again: impl Fn(&[u8]) -> Again) {
    if let Ok(once) = again(data) {
        let twice = again(&once).expect("what was written can be read");
        assert_eq!(once, twice);
    }
}
