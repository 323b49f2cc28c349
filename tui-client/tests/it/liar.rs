//! A server that answers as it should, but for one lie (HARDENING S1, S6, S7, S12): the real program
//! says what is wrong, and neither writes nor publishes anything that was not asked for and verified.

use std::path::Path;
use std::sync::Arc;

use sampan_client::address::Place;
use sampan_client::state::State;
use sampan_protocol::frame::FrameLimits;
use sampan_protocol::message::{
    Goodbye, GoodbyeReason, HelloAnswer, List, ListPage, Member, MemberOutcome, Read, ReadPack,
    ReadPackPage, ReadPiece, Request, StatMany, StatManyPage, StatResult,
};
use sampan_protocol::testing::identity;
use sampan_protocol::transport::{Acceptor, FrameWriter, Secured};
use sampan_protocol::wire::{Envelope, Flags, Op, decode_args, encode_header};
use sampan_protocol::{
    Attributes, BlockHash, Entry, EntryKind, ErrorCode, Name, PROTOCOL_VERSION, Refusal, RequestId,
    Root, Version,
};
use serde::Serialize;
use tokio::net::TcpListener;

use crate::impostor::{folder_attributes, walk, welcome};
use crate::program::{Ended, Program};

const CONTENT: &[u8] = b"true";
/// Of a file that does not fit into a pack.
const BIG: u64 = 3 << 20;

/// What is not as it should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lie {
    /// Nothing.
    None,
    /// A pack has a member that was not asked for.
    OtherMember,
    /// A pack has a member twice.
    MemberTwice,
    /// A pack is longer than its files.
    LongPack,
    /// A pack lacks a member.
    NoMember,
    /// A member is not what its hash says.
    WrongRoot,
    /// A listing goes on after its end, for ever.
    EndlessListing,
    /// One name is a file and a folder, and another differs by case only.
    NameTwice,
    /// Goodbye, with an immense time to come again.
    Goodbye,
    /// No pack is ever given now.
    Busy,
    /// A big file's blocks are never what their hashes say.
    WrongBlocks,
    /// A block that was not asked for.
    OtherBlock,
    /// A piece that goes beyond its block.
    LongPiece,
}

struct Liar {
    lie: Lie,
}

/// How the program met a liar.
struct Met {
    ended: Ended,
    here: tempfile::TempDir,
}

impl Met {
    /// What lies in the folder, and below.
    fn left(&self) -> Vec<String> {
        let found = walk(self.here.path()).into_iter();
        let below = |path: std::path::PathBuf| {
            path.strip_prefix(self.here.path()).unwrap().to_str().unwrap().to_owned()
        };
        found.map(below).collect()
    }
}

/// Runs `sampan get` between a liar and an empty folder.
fn meet(lie: Lie) -> Met {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let port = listener.local_addr().unwrap().port();
    let liar = Arc::new(Liar { lie });
    runtime.spawn(async move {
        let acceptor = Arc::new(Acceptor::new(identity()).unwrap());
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, liar) = (Arc::clone(&acceptor), Arc::clone(&liar));
            tokio::spawn(async move { liar.talk(acceptor.accept(tcp).await.unwrap()).await });
        }
    });
    let program = Program::new();
    let place = format!("sampan://ada@127.0.0.1:{port}/");
    let account = Place::parse(place.as_ref(), None).unwrap().account;
    State::under(program.home()).store_login_key(&account, &[1; 32]).unwrap();
    let here = tempfile::tempdir().unwrap();
    let fingerprint = identity().fingerprint().to_string();
    let tree = format!("{place}tree");
    let words = ["get", "--fingerprint", &fingerprint, "--retry-for", "0", "--connections", "2"];
    let operands = [&*tree, here.path().to_str().unwrap()];
    let ended = program.run(words.into_iter().chain(operands));
    Met { ended, here }
}

struct Answering<'a> {
    writer: &'a mut FrameWriter,
    id: RequestId,
}

impl Answering<'_> {
    /// A program that has found the lie out may be gone.
    async fn frame<R: Request>(&mut self, flags: Flags, args: &R::Answer, body: &[u8]) -> bool
    where
        R::Answer: Serialize,
    {
        let header = encode_header(self.id, R::OP, flags, args);
        self.writer.send(&header, body).await.is_ok() && self.writer.flush().await.is_ok()
    }

    async fn last<R: Request>(&mut self, args: &R::Answer, body: &[u8])
    where
        R::Answer: Serialize,
    {
        self.frame::<R>(Flags::LAST_ANSWER, args, body).await;
    }

    async fn refuse(&mut self, op: Op, code: ErrorCode) {
        let header = encode_header(self.id, op, Flags::REFUSAL, &Refusal::new(code, "no"));
        let _gone = self.writer.send(&header, &[]).await;
        let _gone = self.writer.flush().await;
    }
}

fn file(size: u64) -> Attributes {
    let version = Version::new(b"v").unwrap();
    Attributes { kind: EntryKind::File, size, version, ..folder_attributes() }
}

fn entry(name: &str, attributes: Attributes) -> Entry {
    Entry { name: Name::new(name.as_bytes()).unwrap(), attributes }
}

impl Liar {
    async fn talk(&self, secured: Secured) {
        let Secured { mut reader, mut writer, .. } = secured;
        reader.set_limits(FrameLimits::AFTER_LOGIN);
        writer.set_limits(FrameLimits::AFTER_LOGIN);
        while let Ok(Some(frame)) = reader.next().await {
            let envelope = Envelope::decode(&frame.header).unwrap();
            let answering = Answering { writer: &mut writer, id: envelope.id };
            let args = envelope.args;
            let goes_on = match envelope.op {
                Op::HELLO => {
                    let welcome = Some(welcome());
                    let answer =
                        HelloAnswer { version: PROTOCOL_VERSION, challenge: None, welcome };
                    let flags = Flags::LAST_ANSWER;
                    let header = encode_header(answering.id, Op::HELLO, flags, &answer);
                    answering.writer.send(&header, &[]).await.unwrap();
                    answering.writer.flush().await.unwrap();
                    true
                }
                Op::GOODBYE => false,
                op => self.answer(op, args, answering).await,
            };
            if !goes_on {
                return;
            }
        }
    }

    /// Answers one request; whether the connection goes on.
    async fn answer(&self, op: Op, args: &[u8], mut to: Answering<'_>) -> bool {
        match op {
            StatMany::OP => {
                let asked: StatMany = decode_args(args).unwrap();
                let result = |(index, path): (u32, &sampan_protocol::RemotePath)| {
                    let is_tree = path.is_home() || path.to_bytes() == b"tree";
                    let refusal = (!is_tree).then(|| Refusal::new(ErrorCode::NOT_FOUND, "no"));
                    let attributes = is_tree.then(folder_attributes);
                    StatResult { index, attributes, refusal }
                };
                let results = (0..).zip(&asked.paths).map(result).collect();
                to.last::<StatMany>(&StatManyPage { results }, &[]).await;
            }
            List::OP => self.list(&decode_args(args).unwrap(), to).await,
            ReadPack::OP if self.lie == Lie::Goodbye => {
                let reason = GoodbyeReason::ServerClosing;
                let goodbye = Goodbye { reason, retry_after_ms: Some(u64::MAX) };
                let header =
                    encode_header(RequestId::UNASKED, Op::GOODBYE, Flags::REQUEST, &goodbye);
                to.writer.send(&header, &[]).await.unwrap();
                to.writer.flush().await.unwrap();
                return false;
            }
            ReadPack::OP if self.lie == Lie::Busy => to.refuse(op, ErrorCode::BUSY).await,
            ReadPack::OP => self.pack(&decode_args(args).unwrap(), to).await,
            Read::OP => self.read(&decode_args(args).unwrap(), to).await,
            op => to.refuse(op, ErrorCode::UNSUPPORTED).await,
        }
        true
    }

    async fn list(&self, list: &List, mut to: Answering<'_>) {
        let entries = match (list.path.to_bytes().as_slice(), self.lie) {
            (b"tree", Lie::WrongBlocks | Lie::OtherBlock | Lie::LongPiece) => {
                vec![entry("big", file(BIG))]
            }
            (b"tree", Lie::NameTwice) => {
                let small = || file(CONTENT.len() as u64);
                let folder = entry("f", folder_attributes());
                vec![entry("f", small()), entry("F", small()), entry("f", small()), folder]
            }
            (b"tree", _) => vec![entry("f", file(CONTENT.len() as u64))],
            _ => Vec::new(),
        };
        let page = |entries| ListPage { entries, cursor: None, unreadable: 0 };
        if !entries.is_empty() {
            to.frame::<List>(Flags::ANSWER, &page(entries), &[]).await;
        }
        while self.lie == Lie::EndlessListing
            && to.frame::<List>(Flags::ANSWER, &page(Vec::new()), &[]).await
        {}
        to.last::<List>(&page(Vec::new()), &[]).await;
    }

    async fn pack(&self, pack: &ReadPack, mut to: Answering<'_>) {
        let root = Root(*blake3::hash(CONTENT).as_bytes());
        let member = |index, root| {
            let size = CONTENT.len() as u64;
            Member { index, outcome: MemberOutcome::File { size, root } }
        };
        let count = u32::try_from(pack.files.len()).unwrap();
        let mut members: Vec<_> = (0..count).map(|index| member(index, root)).collect();
        match self.lie {
            Lie::OtherMember => members[0] = member(7, root),
            Lie::MemberTwice => members.push(member(0, root)),
            Lie::NoMember => members.clear(),
            Lie::WrongRoot => members[0] = member(0, Root([1; 32])),
            _ => {}
        }
        let mut body = CONTENT.repeat(members.len());
        if self.lie == Lie::LongPack {
            body.push(b'!');
        }
        to.last::<ReadPack>(&ReadPackPage { members }, &body).await;
    }

    async fn read(&self, read: &Read, mut to: Answering<'_>) {
        let body = vec![9; 256 << 10];
        for block in read.first..read.first + read.count {
            let block = if self.lie == Lie::OtherBlock { block + 100 } else { block };
            for piece in 0..4_u32 {
                let beyond = u32::from(self.lie == Lie::LongPiece && piece == 3);
                let offset = (piece + beyond) * (256 << 10);
                let hash = (piece == 3).then_some(BlockHash([1; 32]));
                let piece = ReadPiece { block, offset, hash };
                if !to.frame::<Read>(Flags::ANSWER, &piece, &body).await {
                    return;
                }
            }
        }
        let end = ReadPiece { block: read.first + read.count, offset: 0, hash: None };
        to.last::<Read>(&end, &[]).await;
    }
}

#[test]
fn an_honest_server_is_believed() {
    let met = meet(Lie::None);
    met.ended.succeeded();
    assert_eq!(met.left(), ["tree", "tree/f"]);
}

/// HARDENING S1, S7, S12.
#[test]
fn s1_s7_what_was_not_asked_for_or_is_not_verified_is_never_written() {
    let table: [(Lie, i32, &[&str]); 9] = [
        (Lie::OtherMember, 3, &["not keep to the protocol"]),
        (Lie::MemberTwice, 3, &["not keep to the protocol"]),
        (Lie::LongPack, 3, &["not keep to the protocol"]),
        (Lie::NoMember, 1, &["did not send it"]),
        (Lie::WrongRoot, 1, &["differs from what was sent"]),
        (Lie::EndlessListing, 3, &["not keep to the protocol"]),
        (Lie::WrongBlocks, 1, &["differs from what was sent"]),
        (Lie::OtherBlock, 3, &["not keep to the protocol"]),
        (Lie::LongPiece, 3, &["not keep to the protocol"]),
    ];
    for (lie, code, parts) in table {
        let met = meet(lie);
        assert_eq!(met.ended.code, code, "{lie:?}: {:?}", met.ended);
        for part in parts {
            assert!(met.ended.err.contains(part), "{lie:?}: {:?}", met.ended);
        }
        // What is staged of a big file may stay for a repeat; nothing has a name.
        let is_staged = |name: &str| Path::new(name).extension() == Some("part".as_ref());
        let left: Vec<_> = met.left().into_iter().filter(|name| !is_staged(name)).collect();
        assert_eq!(left, ["tree"], "{lie:?}");
    }
}

/// HARDENING S7.
#[test]
fn s7_a_name_that_comes_twice_is_written_once() {
    let met = meet(Lie::NameTwice);
    for name in ["tree/f", "tree/F"] {
        let path = met.here.path().join(name);
        assert!(path.is_dir() || std::fs::read(&path).unwrap() == CONTENT, "{:?}", met.ended);
    }
    assert_eq!(met.left(), ["tree", "tree/F", "tree/f"]);
}

/// HARDENING S10: a time that the server names does not become the program's.
#[test]
fn a_goodbye_and_a_busy_server_end_with_3() {
    for lie in [Lie::Goodbye, Lie::Busy] {
        let met = meet(lie);
        assert_eq!(met.ended.code, 3, "{lie:?}: {:?}", met.ended);
        assert_eq!(met.left(), ["tree"]);
    }
}
