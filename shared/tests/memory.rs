//! What a peer's bytes can make us allocate, counted by the allocator itself (HARDENING S12, S13).
//!
//! A binary of its own, for a program has one allocator.

#![allow(clippy::unwrap_used)] // a message of ours that cannot be made fails the test

#[path = "../fuzz/src/catalogue.rs"]
mod catalogue;
mod counting;

use bytes::BytesMut;
use counting::peak_of;
use sampan_protocol::block::BlockSet;
use sampan_protocol::frame::{FrameLimits, TooLong, decode};
use sampan_protocol::limits::MAX_FRAME_BYTES;
use sampan_protocol::message::Op;
use sampan_protocol::scram::{HelloHash, ServerLogin};
use sampan_protocol::wire::{Envelope, decode_args, encode_args};

/// Bytes of memory for each byte of a header while it is read and written again: a value, the value
/// while it grows, and its bytes.
const PER_BYTE: usize = 6;
/// And for whatever is there at all: the first room of a row whose length was announced.
const FIXED: usize = 256 << 10;

#[test]
fn s12_a_frame_that_claims_too_much_costs_nothing() {
    let mut buffer = BytesMut::from(&[0xff; 8][..]);
    for limits in [FrameLimits::BEFORE_LOGIN, FrameLimits::AFTER_LOGIN] {
        let (peak, refused) = peak_of(|| decode(&mut buffer, limits));
        assert!(matches!(refused, Err(TooLong { .. })));
        assert_eq!(peak, 0);
    }
}

#[test]
fn s12_a_header_is_looked_at_without_memory() {
    let claims: [&[u8]; 6] = [
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa4args\xdd\xff\xff\xff\xff",
        b"\x81\xa4args\xdb\xff\xff\xff\xff",
        b"\x81\xa4args\xc6\xff\xff\xff\xff",
        b"\x83\xa2id\x01\xa2op\x01\xa4args\x80",
        &vec![0x91; 1 << 20],
    ];
    for claim in claims {
        let (peak, _) = peak_of(|| Envelope::decode(claim).is_ok());
        assert_eq!(peak, 0, "{:02x?}", &claim[..claim.len().min(16)]);
    }
}

/// An array of `element` as often as it fits a header beside `rest`.
fn many(element: &[u8], room: usize) -> Vec<u8> {
    let count = room / element.len();
    let mut array = vec![0xdd];
    array.extend(u32::try_from(count).unwrap().to_be_bytes());
    array.extend(element.repeat(count));
    array
}

fn map(fields: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut map = vec![0x80 | u8::try_from(fields.len()).unwrap()];
    for (name, value) in fields {
        map.extend(encode_args(name));
        map.extend(value);
    }
    map
}

/// Arguments that mean as much memory as their sender can think of, in a quarter of the longest
/// header: the bound is one for each byte.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let room = MAX_FRAME_BYTES / 4;
    let name = b"\xc4\x01a";
    let path = many(name, 2048 * name.len());
    let paths = many(&path, room);
    let change = map(&[
        ("instance", encode_args(&serde_bytes::Bytes::new(&[7; 16]))),
        ("sequence", vec![1]),
    ]);
    let file = map(&[("path", path.clone()), ("version", b"\xc4\x00".to_vec())]);
    let folder =
        map(&[("path", path.clone()), ("mode", vec![0]), ("kind", map(&[("folder", vec![0x80])]))]);
    let entry = b"\x96\xc4\x01a\x00\x00\x92\x00\x00\x00\xc4\x00".to_vec();
    let run = |first: u32| [&b"\x92\xce"[..], &first.to_be_bytes(), b"\x01"].concat();
    let mut runs = vec![0xdd];
    runs.extend(32_768_u32.to_be_bytes());
    runs.extend((0..32_768).flat_map(|index| run(100_000 + 2 * index)));
    vec![
        ("paths", map(&[("paths", paths)])),
        ("empty paths", map(&[("paths", many(&[0x90], room))])),
        ("one path of too many names", map(&[("path", many(name, room))])),
        ("names of nothing", map(&[("path", many(b"\xc4\x00", room))])),
        ("files", map(&[("files", many(&file, room))])),
        ("members", map(&[("change", change.clone()), ("members", many(&folder, room))])),
        ("empty members", map(&[("change", change), ("members", many(&[0x80], room))])),
        ("entries", map(&[("entries", many(&entry, room))])),
        ("entries of nothing", map(&[("entries", many(&[0x90], room))])),
        (
            "results",
            map(&[
                ("results", many(&map(&[("index", vec![0])]), room)),
                ("durability", encode_args("full")),
            ]),
        ),
        ("blocks", map(&[("blocks", runs)])),
        ("runs of nothing", map(&[("blocks", many(&[0x90], room))])),
        ("bytes", map(&[("hello", encode_args(&serde_bytes::Bytes::new(&vec![7; room])))])),
        ("unknown things", map(&[("later", many(&[0x91, 0x80], room))])),
        ("an array for a map", many(&[0x00], room)),
        ("a long text", map(&[("code", vec![1]), ("message", encode_args(&"x".repeat(room)))])),
    ]
}

#[test]
fn s12_memory_is_bounded_by_the_bytes_that_came() {
    let mut worst = 0;
    for (what, args) in hostile() {
        assert!(args.len() <= MAX_FRAME_BYTES, "{what}: {}", args.len());
        for (op, _) in Op::ALL {
            let (request, _) =
                peak_of(|| catalogue::request(*op, &args).map(|again| again.is_ok()));
            let (answer, _) = peak_of(|| catalogue::answer(*op, &args).map(|again| again.is_ok()));
            let (refusal, _) = peak_of(|| catalogue::refusal(&args).is_ok());
            let peak = request.max(answer).max(refusal);
            let bound = PER_BYTE * args.len() + FIXED;
            assert!(peak <= bound, "{op:?} with {what}: {peak} bytes for {}", args.len());
            worst = worst.max(peak / args.len());
        }
    }
    assert!(worst > 1, "the counting allocator counts nothing: {worst} for each byte");
}

#[test]
fn s12_a_set_of_blocks_is_small_however_many_it_claims() {
    let all = encode_args(&[(0_u64, u64::MAX)]);
    let (peak, set) = peak_of(|| decode_args::<BlockSet>(&all).unwrap());
    assert_eq!(set.len(), u64::MAX);
    assert!(peak < 1024, "{peak}");
}

#[test]
fn s12_a_login_message_is_bounded_before_it_is_read() {
    let hello = HelloHash::of(b"");
    for length in [1536, 4096, MAX_FRAME_BYTES] {
        let message = [b"p=tls-exporter,,n=".to_vec(), vec![b'a'; length - 18]].concat();
        let (peak, _) = peak_of(|| ServerLogin::start(&message, hello).is_ok());
        assert!(peak < 16 << 10, "{peak} bytes for {length}");
    }
}
