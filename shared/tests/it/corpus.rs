//! The fuzz targets on their corpus, and on bytes of our own.

#![allow(clippy::unwrap_used)] // a corpus that cannot be read fails the test

use std::fs;
use std::path::PathBuf;

use proptest::prelude::*;
use sampan_protocol::frame::FrameLimits;
use sampan_protocol::message::{Hello, Op};
use sampan_protocol::pack::PackError;
use sampan_protocol::wire::{Envelope, decode_args, encode_args};

use crate::catalogue;
use crate::packs::{End, came};
use crate::samples::{Sample, samples};
use crate::targets::{FAMILIES, TARGETS};

fn corpus_of(target: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// HARDENING S13: what was ever found, and where fuzzing starts from, stays harmless.
#[test]
fn s13_the_corpus_is_replayed() {
    for (name, target) in TARGETS {
        let mut count = 0;
        for entry in fs::read_dir(corpus_of(name)).unwrap() {
            target(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count > 0, "the corpus of {name} is empty");
    }
}

#[test]
fn every_target_has_its_file() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fuzz");
    let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap();
    for (name, _) in TARGETS {
        let file = fs::read_to_string(folder.join(format!("fuzz_targets/{name}.rs"))).unwrap();
        assert!(file.contains(&format!("\"{name}\"")), "{name}.rs runs another target");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not in Cargo.toml");
    }
    let files = fs::read_dir(folder.join("fuzz_targets")).unwrap().count();
    assert_eq!(files, TARGETS.len());
}

/// HARDENING S13: a message that is added is fuzzed, or this fails.
#[test]
fn s13_every_message_has_a_target() {
    for (op, name) in Op::ALL {
        let families: Vec<_> =
            FAMILIES.iter().filter(|(_, ops)| ops.contains(op)).map(|(family, _)| family).collect();
        assert_eq!(families.len(), 1, "{name} is in {families:?}");
        assert!(TARGETS.iter().any(|(target, _)| target == families[0]), "{families:?}");
        assert!(catalogue::request(*op, &[0x80]).is_some(), "{name}: its request");
        assert!(catalogue::answer(*op, &[0x80]).is_some(), "{name}: its answer");
    }
}

/// HARDENING S22: the seeds of the pack target come to every way in which a pack can end, in both
/// directions; so what is compared there is more than refusals of the first byte.
#[test]
fn s22_the_seeds_of_packs_come_to_every_end() {
    let ends: Vec<End> =
        pack_seeds().iter().map(|(_, seed)| came(seed).expect("a whole seed").end).collect();
    let errors = [
        PackError::OtherChange,
        PackError::TooManyMembers,
        PackError::TooManyBytes,
        PackError::Uneven,
        PackError::NotAskedFor,
        PackError::Twice,
        PackError::LongerThanAsked,
        PackError::TooManyFrames,
    ];
    for end in errors.map(End::Pack).into_iter().chain([End::Last, End::Cut, End::Header]) {
        assert!(ends.contains(&end), "no seed comes to {end:?}");
    }
    assert!(ends.iter().any(|end| matches!(end, End::TooLong(_))));
    for (name, seed) in pack_seeds().iter().filter(|(name, _)| name.starts_with("whole")) {
        let came = came(seed).unwrap();
        assert_eq!((came.members.len(), came.end), (4, End::Last), "{name}");
        assert_eq!(came.members.iter().map(|(_, bytes)| bytes.len()).sum::<usize>(), 7 + 9);
    }
}

/// Streams of packs by what they come to; the first byte says which way, and that the rest builds one.
fn pack_seeds() -> Vec<(&'static str, Vec<u8>)> {
    const UP: [u8; 7] = [2, 1, 2, 3, 0, 0, 0];
    const DOWN: [u8; 7] = [3, 9, 9, 9, 4, 40, 0];
    let seed = |way: [u8; 7], program: &[u8]| [&way[..], program].concat();
    let whole = [0x01, 7, 0x19, 0x04, 0x21, 9, 0x30];
    vec![
        ("whole-up", seed(UP, &whole)),
        ("whole-down", seed(DOWN, &whole)),
        ("other-change", seed(UP, &[0x01, 3, 0x04, 0x26, 0x01, 3])),
        ("too-many-members", seed(UP, &[7, 7, 4, 7, 7, 4, 7])),
        ("too-many-bytes", seed(UP, &[8; 9])),
        ("short-body", seed(UP, &[0x01, 3, 0x12, 9])),
        ("long-body", seed(DOWN, &[0x42, 1])),
        ("huge-size", seed(UP, &[0x03, 0])),
        ("not-asked-for", seed(DOWN, &[0x41, 3])),
        ("twice", seed(DOWN, &[0x11, 3, 0x04, 0x11, 3])),
        ("longer-than-asked", seed(DOWN, &[0x01, 41])),
        ("too-many-frames", seed(DOWN, &[4; 6])),
        ("cut", seed(UP, &[0x01, 3, 0x04, 0x01, 3, 0x04, 0x0a, 0, 0x0c])),
        ("bent", seed(UP, &[0x01, 3, 0x04, 0xeb, 255])),
        ("too-long", vec![0, 1, 2, 3, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
        ("no-header", vec![0, 1, 2, 3, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xc0]),
    ]
}

/// Which targets a sample is a seed of, and as which bytes.
fn seeds_of(sample: &Sample) -> Vec<(&'static str, Vec<u8>)> {
    let header = &sample.frame.header;
    let envelope = Envelope::decode(header).unwrap();
    let mut seeds = vec![
        ("frame", sample.frame.to_bytes(FrameLimits::AFTER_LOGIN).unwrap().to_vec()),
        ("envelope", header.to_vec()),
    ];
    let family = match (envelope.flags.is_error(), envelope.op.0) {
        (true, _) | (_, 32..48 | 55) => "change",
        (_, 0..16) => "login",
        (_, 16..32) => "browse",
        (_, 48..64) => "upload",
        (_, 64..80) => "download",
        _ => "quota",
    };
    seeds.push((family, envelope.args.to_vec()));
    if sample.name == "HELLO request by password" {
        let hello: Hello = decode_args(envelope.args).unwrap();
        seeds.push(("login", hello.hello.to_vec()));
        seeds.push(("scram_server", hello.scram.unwrap().to_vec()));
    }
    seeds
}

fn other_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let base64 = |byte: u8, length| vec![byte; length];
    vec![
        ("blocks", encode_args(&[(0_u64, 3_u64), (5, 1), (1 << 40, 7)])),
        ("blocks", encode_args(&[(0_u64, 1_u64), (1, 1)])),
        ("scram_client", b"r=AQEBAQEBAQEBAQEBAQEBAQEBxyz,s=AwMDAwMDAwMDAwMDAwMDAw==,i=600000".to_vec()),
        ("scram_client", [b"v=".to_vec(), base64(b'A', 43), b"=".to_vec()].concat()),
        ("scram_server", b"n,,n=anna,r=x".to_vec()),
        ("scram_server", b"p=tls-exporter,,n=a=2Cb=3D,r=x,h=LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=".to_vec()),
        ("scram_server", b"c=cD10bHMtZXhwb3J0ZXIsLAcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcH,r=AQEBAQEBAQEBAQEBAQEBAQEBAgICAgICAgICAgICAgICAgIC,p=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_vec()),
    ]
}

/// Writes the samples as seeds, each under a name of its own; leaves what others found.
#[test]
#[ignore = "writes shared/fuzz/corpus; run it by name after a change of the wire"]
fn write_the_seeds() {
    let samples = samples();
    let named = samples.iter().flat_map(|sample| {
        let name = sample.name.replace(' ', "-").to_lowercase();
        seeds_of(sample).into_iter().map(move |(target, bytes)| (target, name.clone(), bytes))
    });
    let others = other_seeds().into_iter().map(|(target, bytes)| (target, "seed".into(), bytes));
    for (name, bytes) in pack_seeds() {
        fs::create_dir_all(corpus_of("pack")).unwrap();
        fs::write(corpus_of("pack").join(name), bytes).unwrap();
    }
    for (index, (target, name, bytes)) in named.chain(others).enumerate() {
        let folder = corpus_of(target);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(format!("{index:03}-{name}")), bytes).unwrap();
    }
}

/// Names of fields, and words that stand for values, so that random maps are nearly messages.
const WORDS: &[&str] = &[
    "absent",
    "account",
    "agent",
    "any",
    "answered",
    "args",
    "attributes",
    "available",
    "base",
    "block",
    "blocks",
    "body_bytes",
    "bytes",
    "challenge",
    "change",
    "client_final",
    "code",
    "count",
    "cursor",
    "durability",
    "entries",
    "epoch",
    "expires",
    "file",
    "files",
    "fine",
    "fingerprint",
    "first",
    "flags",
    "folder",
    "from",
    "full",
    "hash",
    "hello",
    "id",
    "if_target",
    "index",
    "instance",
    "key",
    "keys",
    "kind",
    "label",
    "life",
    "limits",
    "members",
    "message",
    "missing_bytes",
    "mode",
    "mtime",
    "needed",
    "newest",
    "offset",
    "oldest",
    "op",
    "opened",
    "outcome",
    "parents",
    "path",
    "paths",
    "public_key",
    "reason",
    "recursive",
    "refusal",
    "refused",
    "relaxed",
    "reserved",
    "results",
    "root",
    "scram",
    "sequence",
    "session",
    "signature",
    "size",
    "staged",
    "stripe",
    "this",
    "to",
    "until_revoked",
    "upload",
    "uploads",
    "used",
    "user",
    "version",
    "welcome",
];

/// MessagePack values that look like messages.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![
        any::<u8>().prop_map(u64::from),
        any::<u64>(),
        (0..70_u32).prop_map(|shift| 1_u64.checked_shl(shift).unwrap_or(u64::MAX)),
    ];
    let bytes = prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..6),
        Just(vec![7; 16]),
        Just(vec![7; 32]),
        Just(b"..".to_vec()),
    ];
    let leaf = prop_oneof![
        3 => number.prop_map(|number| encode_args(&number)),
        3 => bytes.prop_map(|bytes| encode_args(&serde_bytes::Bytes::new(&bytes))),
        2 => (0..WORDS.len()).prop_map(|word| encode_args(WORDS[word])),
        1 => any::<i64>().prop_map(|number| encode_args(&number)),
        1 => any::<bool>().prop_map(|truth| encode_args(&truth)),
        1 => Just(vec![0xc0]),
    ];
    leaf.prop_recursive(5, 64, 8, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(|values| {
                let marker = vec![0x90 | u8::try_from(values.len()).unwrap()];
                [marker, values.concat()].concat()
            }),
            proptest::collection::btree_map(0..WORDS.len(), inner, 0..8).prop_map(|pairs| {
                let mut map = vec![0x80 | u8::try_from(pairs.len()).unwrap()];
                for (word, value) in pairs {
                    map.extend(encode_args(WORDS[word]));
                    map.extend(value);
                }
                map
            }),
        ]
    })
}

proptest! {
    #[test]
    fn arbitrary_bytes_harm_no_target(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }

    #[test]
    fn values_that_look_like_messages_harm_no_target(bytes in value()) {
        for (_, target) in TARGETS {
            target(&bytes);
        }
    }
}

proptest! {
    /// HARDENING S22: a pack is read as the same whatever pieces it comes in, and however it is read.
    #[test]
    fn s22_packs_are_read_the_same_in_any_pieces(
        way in 2..4_u8,
        pieces in any::<[u8; 3]>(),
        files in 0..40_u8,
        bytes in 0..2000_u16,
        program in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        let [low, high] = bytes.to_le_bytes();
        let head = [way, pieces[0], pieces[1], pieces[2], files, low, high];
        came(&[&head[..], &program].concat()).expect("a whole head");
    }
}

/// Every sample with every byte changed a little, and cut off at every place.
#[test]
fn bent_samples_harm_no_target() {
    for sample in samples() {
        for (name, bytes) in seeds_of(&sample) {
            let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).unwrap();
            for at in 0..bytes.len() {
                target(&bytes[..at]);
                for flip in [1, 0x10, 0x80, 0xff] {
                    let mut bent = bytes.clone();
                    bent[at] ^= flip;
                    target(&bent);
                }
            }
        }
    }
}
