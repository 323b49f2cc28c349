//! HARDENING S3 and S17: a path is parsed once, in one type, and what is no path goes nowhere,
//! whichever operation it comes with.

use std::path::Path;

use sampan_protocol::message::{
    CopyBlock, List, Mkdir, Op, OpenUpload, Pack, PackFile, PackMember, PackMemberKind,
    Precondition, Read, ReadPack, ReadRow, Remove, Rename, Request, SetAttributes, Stat, StatMany,
    Sum,
};
use sampan_protocol::wire::{Flags, encode_header};
use sampan_protocol::{
    ChangeKey, Epoch, ErrorCode, InstanceId, Mode, RemotePath, RequestId, Timestamp, UploadId,
    UploadKey, Version,
};

use crate::harness::TestServer;

/// Stands where a hostile path will.
const MARK: &[u8] = b"the path that is replaced";

fn mark() -> RemotePath {
    RemotePath::parse(MARK).unwrap()
}

fn good() -> RemotePath {
    RemotePath::parse(b"f").unwrap()
}

fn header<R: Request>(request: &R) -> Vec<u8> {
    encode_header(RequestId(5), R::OP, Flags::REQUEST, request)
}

/// Headers of an operation with a path to be replaced, one for each path that it takes. A new
/// operation needs a row.
fn rows(op: Op, name: &str) -> Vec<Vec<u8>> {
    let change = ChangeKey { instance: InstanceId([1; 16]), sequence: 1, answered: 0 };
    let version = Version::new(b"version").unwrap();
    let member = |path| PackMember { path, mode: Mode::FILE, kind: PackMemberKind::Folder {} };
    match op {
        Op::STAT => vec![header(&Stat { path: mark() })],
        Op::STAT_MANY => vec![header(&StatMany { paths: vec![good(), mark()] })],
        Op::LIST => vec![header(&List { path: mark(), cursor: None })],
        Op::MKDIR => {
            vec![header(&Mkdir { change, path: mark(), parents: true, mode: None })]
        }
        Op::RENAME => {
            let rename = |from, to| {
                let if_target = Precondition::Any;
                header(&Rename { change, from, to, version: None, if_target })
            };
            vec![rename(mark(), good()), rename(good(), mark())]
        }
        Op::REMOVE => {
            vec![header(&Remove { change, path: mark(), recursive: true, version: None })]
        }
        Op::SET_ATTRIBUTES => {
            let mode = Some(Mode::FILE);
            vec![header(&SetAttributes { change, path: mark(), mode, mtime: None })]
        }
        Op::OPEN_UPLOAD => vec![header(&OpenUpload {
            key: UploadKey([1; 16]),
            path: mark(),
            size: 1,
            mode: Mode::FILE,
            mtime: Timestamp::default(),
            if_target: Precondition::Any,
            parents: true,
        })],
        Op::COPY_BLOCK => vec![header(&CopyBlock {
            upload: UploadId(1),
            epoch: Epoch(1),
            block: 0,
            base: mark(),
            version,
            offset: 0,
        })],
        Op::PACK => {
            vec![header(&Pack { change, members: vec![member(good()), member(mark())] })]
        }
        Op::READ => vec![header(&Read { path: mark(), version, first: 0, count: 1 })],
        Op::READ_ROW => {
            vec![header(&ReadRow { path: mark(), version, first: 0, count: 1, fine: false })]
        }
        Op::READ_PACK => {
            vec![header(&ReadPack { files: vec![PackFile { path: mark(), version }] })]
        }
        Op::SUM => vec![header(&Sum { path: mark() })],
        // They take no path.
        Op::HELLO
        | Op::SCRAM_PROOF
        | Op::PING
        | Op::GOODBYE
        | Op::ENROL_KEY
        | Op::REVOKE_KEY
        | Op::LIST_KEYS
        | Op::WRITE_BLOCK
        | Op::COMMIT_UPLOAD
        | Op::ABORT_UPLOAD
        | Op::UPLOAD_ROW
        | Op::LIST_UPLOADS
        | Op::QUOTA
        | Op::FITS => Vec::new(),
        _ => panic!("does {name} take a path? It needs a row here (S3)"),
    }
}

/// A row of names in MessagePack, whatever they are.
fn row(names: &[&[u8]]) -> Vec<u8> {
    let mut bytes = vec![0xdc];
    bytes.extend(u16::try_from(names.len()).unwrap().to_be_bytes());
    for name in names {
        bytes.push(0xc5);
        bytes.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
        bytes.extend(*name);
    }
    bytes
}

/// What is no path, as it may come over the wire.
fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let text = |written: &str| {
        let mut bytes = vec![0xd9, u8::try_from(written.len()).unwrap()];
        bytes.extend(written.as_bytes());
        bytes
    };
    vec![
        ("the parent", row(&[b".."])),
        ("a parent inside", row(&[b"d", b"..", b"..", b"outside"])),
        ("itself", row(&[b"."])),
        ("an empty name", row(&[b"d", b""])),
        ("two names in one", row(&[b"../outside"])),
        ("an absolute name", row(&[b"/etc/passwd"])),
        ("a name that ends early", row(&[b"f\0.txt"])),
        ("a name that is too long", row(&[&[b'x'; 256]])),
        ("too many names", row(&[&b"d"[..]; 5000])),
        ("too many bytes", row(&[&[b'x'; 255][..]; 17])),
        ("text", text("../outside")),
        ("no row", vec![0xc0]),
    ]
}

/// Puts a hostile path in the place of the marked one.
fn replaced(header: &[u8], hostile: &[u8]) -> Vec<u8> {
    let length = u8::try_from(MARK.len()).unwrap();
    let marked = [&[0x91, 0xc4, length][..], MARK].concat();
    let at = header.windows(marked.len()).position(|part| part == marked);
    let at = at.expect("the marked path is in it");
    [&header[..at], hostile, &header[at + marked.len()..]].concat()
}

/// HARDENING S3: the traversal corpus on every path of every operation. Each ends its session with a
/// word, before anything is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_no_operation_takes_what_is_no_path() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let mkdir = Mkdir { change: peer.change(), path: good(), parents: false, mode: None };
    peer.call(&mkdir).await.unwrap();
    drop(peer);
    std::fs::write(server.scratch().join("outside"), "secret").unwrap();
    let before = everything_below(server.scratch());
    let (corpus, mut tried) = (corpus(), 0);
    for (op, name) in Op::ALL {
        for (which, header) in rows(*op, name).iter().enumerate() {
            for (what, hostile) in &corpus {
                let mut peer = server.peer_again("anna").await;
                peer.send_raw(&replaced(header, hostile), &[]).await;
                let refusal = peer.expect_refused(ErrorCode::MALFORMED).await;
                assert_eq!(refusal.path, None, "{name}, path {which}, {what}");
                tried += 1;
            }
        }
    }
    assert!(tried >= 15 * corpus.len(), "{tried}");
    assert_eq!(everything_below(server.scratch()), before);
    // The marked path itself is one: what was refused was what replaced it.
    let mut peer = server.peer_again("anna").await;
    peer.send_raw(&rows(Op::STAT, "STAT")[0], &[]).await;
    assert_eq!(
        peer.next().await.result::<sampan_protocol::message::StatAnswer>().unwrap_err().code,
        ErrorCode::NOT_FOUND
    );
    server.finish().await;
}

/// All names but those of the database, which notes what keys log in.
fn everything_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
            found.push(entry.path().display().to_string());
        }
    }
    found.sort();
    found
}

/// HARDENING S17: the server takes paths as the protocol's one type decodes them; it never parses,
/// joins or normalises one as text, so that no second reading of a path exists.
#[test]
fn s17_the_server_parses_no_path_of_its_own() {
    let forbidden = [
        "RemotePath::parse",
        ".resolve(",
        ".components()",
        "canonicalize",
        "split('/')",
        "split(b'/')",
        "== b'/'",
    ];
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut read = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.ends_with("tests") || path.ends_with("conformance") {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let (source, _) = source.split_once("#[cfg(test)]\nmod tests").unwrap_or((&source, ""));
            for parse in forbidden {
                assert!(!source.contains(parse), "{} parses a path: {parse}", path.display());
            }
            read += 1;
        }
    }
    assert!(read > 50, "the sources were not found");
}
