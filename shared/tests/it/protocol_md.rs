//! PROTOCOL.md says what the code does: its examples are real frames, its numbers the constants,
//! and nothing that exists is left out.
//!
//! After a change of the wire, write the examples anew and read the difference:
//! `cargo test -p sampan-protocol --test it -- --ignored write_the_examples`

#![allow(clippy::unwrap_used)] // a document that cannot be read fails the test

mod notation;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use bytes::BytesMut;
use notation::{lines_of, unwrapped};
use sampan_protocol::block::{BlockHash, Blocks, RowHasher};
use sampan_protocol::frame::{Decoded, Frame, FrameLimits, decode};
use sampan_protocol::login_key::{LoginKey, PublicKey};
use sampan_protocol::message::{
    Hello, HelloAnswer, HelloBody, Op, ScramAnswer, ScramProof, allowed_before_login,
};
use sampan_protocol::scram::{
    ClientLogin, HelloHash, IterationLimits, ServerLogin, Verifier, derive,
};
use sampan_protocol::wire::{Envelope, Flags, decode_args, encode_header};
use sampan_protocol::{ErrorCode, Refusal, limits};
use serde::de::DeserializeOwned;

use crate::catalogue;
use crate::samples::{CHALLENGE, CLIENT_NONCE, EXPORTER, PASSWORD, SEED, SERVER_NONCE, samples};

/// What a fence opens that holds an example.
const FENCE: &str = "```frame ";

/// An example as the document has it.
struct Example {
    name: String,
    line: usize,
    notes: Vec<String>,
    bytes: Vec<u8>,
}

fn document_path() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("PROTOCOL.md")
}

fn document() -> String {
    let path = document_path();
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn examples() -> Vec<Example> {
    let mut examples = Vec::new();
    let mut open: Option<Example> = None;
    for (index, line) in document().lines().enumerate() {
        match &mut open {
            None => {
                if let Some(name) = line.strip_prefix(FENCE) {
                    let (name, line) = (name.to_owned(), index + 1);
                    open = Some(Example { name, line, notes: Vec::new(), bytes: Vec::new() });
                }
            }
            Some(example) => match line.strip_prefix("# ") {
                _ if line == "```" => examples.extend(open.take()),
                Some(note) => example.notes.push(note.to_owned()),
                None => example.bytes.extend(unhex(line, index + 1)),
            },
        }
    }
    assert!(open.is_none(), "an example is never closed");
    examples
}

fn unhex(line: &str, number: usize) -> Vec<u8> {
    line.split_whitespace()
        .map(|pair| {
            assert_eq!(pair.len(), 2, "PROTOCOL.md:{number}: `{pair}` is no byte");
            u8::from_str_radix(pair, 16).unwrap_or_else(|_| panic!("PROTOCOL.md:{number}: {pair}"))
        })
        .collect()
}

impl Example {
    fn place(&self) -> String {
        format!("PROTOCOL.md:{}: {}", self.line, self.name)
    }

    fn words(&self) -> (&str, &str) {
        let mut words = self.name.split(' ');
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    }

    /// The one frame that the bytes are, to their end.
    fn frame(&self) -> Frame {
        let mut buffer = BytesMut::from(&self.bytes[..]);
        let decoded = decode(&mut buffer, FrameLimits::AFTER_LOGIN);
        let Ok(Decoded::Frame(frame)) = decoded else {
            panic!("{}: no whole frame: {decoded:?}", self.place())
        };
        assert!(buffer.is_empty(), "{}: bytes after the frame", self.place());
        frame
    }

    /// Reads the frame with the crate's types, and gives it as the crate would write it.
    fn again(&self) -> Vec<u8> {
        let frame = self.frame();
        let envelope = Envelope::decode(&frame.header)
            .unwrap_or_else(|error| panic!("{}: {error}", self.place()));
        let Envelope { id, op, flags, args } = envelope;
        let (name, kind) = self.words();
        let (read, expected) = match kind {
            "request" => (catalogue::request(op, args), Flags::REQUEST),
            "answer" => (catalogue::answer(op, args), Flags::LAST_ANSWER),
            "error" => (Some(catalogue::refusal(args)), Flags::REFUSAL),
            _ => panic!("{}: neither request, answer nor error", self.place()),
        };
        // Of a request or answer of several frames the example may be any.
        let flags_without_last = Flags(expected.0 & !Flags::LAST.0);
        assert!(
            flags == expected || (kind != "error" && flags == flags_without_last),
            "{}: flags {flags:?}",
            self.place()
        );
        let read = read.unwrap_or_else(|| panic!("{}: {op:?} is unknown", self.place()));
        let written = read.unwrap_or_else(|error| panic!("{}: {error}", self.place()));
        match kind {
            "error" => {
                let refusal: Refusal = decode_args(args).unwrap();
                assert_eq!(format!("{:?}", refusal.code), name, "{}", self.place());
            }
            _ => assert_eq!(op_named(name), Some(op), "{}", self.place()),
        }
        // `args` is a value of its own; the rest of the header is written around it.
        let mut header = encode_header(id, op, flags, &());
        assert_eq!(header.pop(), Some(0xc0));
        header.extend_from_slice(&written);
        let again = Frame { header: header.into(), body: frame.body };
        again.to_bytes(FrameLimits::AFTER_LOGIN).unwrap().to_vec()
    }
}

fn op_named(name: &str) -> Option<Op> {
    Op::ALL.iter().find(|(_, known)| *known == name).map(|(op, _)| *op)
}

#[test]
fn every_example_is_what_the_code_reads_and_writes() {
    for example in examples() {
        assert_eq!(example.again(), example.bytes, "{}: written differently", example.place());
    }
}

#[test]
fn every_example_is_explained_as_it_is() {
    for example in examples() {
        let frame = example.frame();
        let expected = lines_of(&frame.header, frame.body.len());
        assert_eq!(unwrapped(&example.notes), unwrapped(&expected), "{}", example.place());
    }
}

#[test]
fn every_message_and_every_error_code_has_an_example() {
    let examples = examples();
    let shown: BTreeSet<_> = examples.iter().map(Example::words).collect();
    for (op, name) in Op::ALL {
        assert!(shown.contains(&(*name, "request")), "no example of the request {name}");
        // Nothing answers a goodbye.
        let answered = *op != Op::GOODBYE;
        assert_eq!(shown.contains(&(*name, "answer")), answered, "examples of the answer {name}");
    }
    for (_, name) in ErrorCode::ALL {
        assert!(shown.contains(&(*name, "error")), "no example of the error {name}");
    }
    let mut names: Vec<_> = examples.iter().map(|example| &example.name).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), examples.len(), "an example stands twice");
}

#[test]
fn every_operation_stands_in_the_table_with_its_number() {
    let document = document();
    for (op, name) in Op::ALL {
        let row = format!("| {} | `{name}` |", op.0);
        assert!(document.contains(&row), "no row `{row}`");
    }
    let before_login: Vec<_> =
        Op::ALL.iter().filter(|(op, _)| allowed_before_login(*op)).map(|(_, name)| *name).collect();
    assert_eq!(before_login, ["HELLO", "SCRAM_PROOF", "GOODBYE"], "section 4 names these");
}

#[test]
fn every_error_code_stands_in_the_table_with_its_number() {
    let document = document();
    for (code, name) in ErrorCode::ALL {
        let row = format!("| {} | `{name}` |", code.0);
        assert!(document.contains(&row), "no row `{row}`");
    }
}

#[test]
fn every_limit_stands_in_the_table_with_its_value() {
    macro_rules! limits {
        ($($name:ident),* $(,)?) => {
            [$((stringify!($name), u64::try_from(limits::$name).unwrap())),*]
        };
    }
    let limits = limits![
        BLOCK_BYTES,
        PIECE_BYTES,
        MAX_FRAME_BYTES_BEFORE_LOGIN,
        MAX_FRAME_BYTES,
        MAX_NESTING,
        MAX_NAME_BYTES,
        MAX_PATH_BYTES,
        MAX_PATH_NAMES,
        MAX_VERSION_BYTES,
        MAX_CURSOR_BYTES,
        MAX_USER_BYTES,
        MAX_PACK_MEMBER_BYTES,
        MAX_PACK_MEMBERS,
        MAX_PACK_BYTES,
        MAX_LIST_ENTRIES,
        MAX_BLOCKS_PER_REQUEST,
        MAX_FILE_BYTES,
        LOGIN_DEADLINE_SECONDS,
        MIN_SCRAM_ITERATIONS,
        MAX_SCRAM_ITERATIONS,
        DEFAULT_PORT,
        PROTOCOL_VERSION,
    ];
    let document = document();
    for (name, value) in limits {
        let row = format!("| `{name}` | {value} |");
        assert!(document.contains(&row), "no row `{row}`");
    }
    let declared = include_str!("../../src/limits.rs").matches("\npub const ").count();
    assert_eq!(declared, limits.len() + 1, "a limit is missing here (ALPN stands in the text)");
    assert!(document.contains("`sampan/1`"));
}

/// The document's table of a pattern's rows and roots.
#[test]
fn every_block_vector_holds() {
    let document = document();
    let mut rows: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for line in document.lines() {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        if let [size, what, hash] = cells[..]
            && let Ok(size) = size.parse()
            && hash.len() == 66
        {
            rows.entry(size).or_default().push(format!("{what} {}", hash.trim_matches('`')));
        }
    }
    let sizes: Vec<_> = rows.keys().copied().collect();
    assert_eq!(sizes, [0, 1, 1_048_576, 1_048_577, 2_097_152, 3_145_729]);
    for (size, written) in rows {
        let bytes: Vec<u8> = (0..=250_u8).cycle().take(size).collect();
        let mut hasher = RowHasher::new(Blocks::of(size as u64).unwrap());
        hasher.update(&bytes).unwrap();
        let (row, root) = hasher.finish().unwrap();
        let block = |(index, hash): (usize, &BlockHash)| format!("block {index} {hash}");
        let mut expected: Vec<_> = row.iter().enumerate().map(block).collect();
        if size <= 1 << 20 {
            expected.clear();
        }
        expected.push(format!("root {root}"));
        assert_eq!(written, expected, "{size} bytes");
    }
}

fn args<T: DeserializeOwned>(frame: &Frame) -> T {
    decode_args(Envelope::decode(&frame.header).unwrap().args).unwrap()
}

/// Whoever follows the document's login with its numbers gets its frames.
#[test]
fn the_login_of_the_document_is_one() {
    let frames: BTreeMap<_, _> =
        examples().into_iter().map(|example| (example.name.clone(), example.frame())).collect();
    let hello: Hello = args(&frames["HELLO request by password"]);
    let challenge: HelloAnswer = args(&frames["HELLO answer by password"]);
    let proof: ScramProof = args(&frames["SCRAM_PROOF request"]);
    let proved: ScramAnswer = args(&frames["SCRAM_PROOF answer"]);
    let body: HelloBody = decode_args(&hello.hello).unwrap();
    let covered = HelloHash::of(&hello.hello);

    let (client, first) = ClientLogin::start(&body.user, CLIENT_NONCE, covered).unwrap();
    assert_eq!(hello.scram.unwrap(), first);
    let server = ServerLogin::start(&first, covered).unwrap();
    let verifier = Verifier::derive(PASSWORD, &CHALLENGE).unwrap();
    let (server, server_first) = server.challenge(verifier, SERVER_NONCE);
    assert_eq!(challenge.challenge.unwrap(), server_first);
    let client = client.challenge(&server_first, IterationLimits::PROTOCOL).unwrap();
    let keys = derive(PASSWORD, client.challenge()).unwrap();
    let (client, client_final) = client.finish(keys, &EXPORTER).unwrap();
    assert_eq!(proof.client_final, client_final);
    let server_final = server.finish(&client_final, &EXPORTER).unwrap().into_server_final();
    assert_eq!(proved.server_final, server_final);
    let _authenticated = client.verify(&server_final).unwrap();

    let by_key: Hello = args(&frames["HELLO request by key"]);
    let key = by_key.key.unwrap();
    let public = PublicKey::from_bytes(&key.public_key).unwrap();
    assert_eq!(public, LoginKey::from_seed(&SEED).public());
    public.verify(&EXPORTER, &by_key.hello, &key.signature).unwrap();
}

/// Writes the examples into the document, each at its fence.
#[test]
#[ignore = "writes shared/PROTOCOL.md; run it by name after a change of the wire"]
fn write_the_examples() {
    let samples: BTreeMap<_, _> =
        samples().into_iter().map(|sample| (sample.name, sample.frame)).collect();
    let mut written = String::new();
    let mut inside = false;
    for line in document().lines() {
        if inside && line != "```" {
            continue;
        }
        inside = false;
        written.push_str(line);
        written.push('\n');
        if let Some(name) = line.strip_prefix(FENCE) {
            let frame = samples.get(name).unwrap_or_else(|| panic!("no sample `{name}`"));
            for note in lines_of(&frame.header, frame.body.len()) {
                writeln!(written, "# {note}").unwrap();
            }
            for row in frame.to_bytes(FrameLimits::AFTER_LOGIN).unwrap().chunks(32) {
                let row: Vec<_> = row.iter().map(|byte| format!("{byte:02x}")).collect();
                written.push_str(&row.join(" "));
                written.push('\n');
            }
            inside = true;
        }
    }
    fs::write(document_path(), written).unwrap();
}
