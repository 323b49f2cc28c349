//! Servers that shake hands as they should and lie from then on: the real program gives them
//! nothing, asks them nothing, and says what is wrong.

use std::sync::Arc;

use sampan_client::address::Place;
use sampan_client::state::State;
use sampan_protocol::message::{
    Durability, Goodbye, GoodbyeReason, Hello, HelloAnswer, Limits, List, ListPage, Request,
    ScramAnswer, ScramProof, StatMany, StatManyPage, StatResult, Welcome,
};
use sampan_protocol::scram::{HelloHash, ServerLogin, Verifier};
use sampan_protocol::testing::{Received, ScriptedPeer, identity};
use sampan_protocol::transport::Acceptor;
use sampan_protocol::wire::{Flags, Op, encode_header};
use sampan_protocol::{
    Attributes, Entry, EntryKind, ErrorCode, Mode, Name, PROTOCOL_VERSION, Refusal, RequestId,
    Timestamp, Version,
};
use serde_bytes::ByteBuf;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::program::{Ended, Program};
use crate::server::PASSWORD;

/// Connections of one program that may be open or waiting.
const CONNECTIONS: usize = 64;

/// A server that shakes hands in order and then follows a script with each connection.
///
/// Whoever uses one asks for its [`end`](Self::end): what the scripts assert counts only then.
struct Impostor {
    port: u16,
    talks: mpsc::Receiver<JoinHandle<()>>,
    runtime: Runtime,
}

impl Impostor {
    fn start<F>(talk: impl Fn(ScriptedPeer) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = Arc::new(Acceptor::new(identity()).unwrap());
        let talk = Arc::new(talk);
        let (started, talks) = mpsc::channel(CONNECTIONS);
        runtime.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, talk) = (Arc::clone(&acceptor), Arc::clone(&talk));
                let met = tokio::spawn(async move {
                    let secured = acceptor.accept(tcp).await.unwrap();
                    talk(ScriptedPeer::new(secured)).await;
                });
                if started.send(met).await.is_err() {
                    return;
                }
            }
        });
        Self { port, talks, runtime }
    }

    fn place(&self) -> String {
        format!("sampan://ada@127.0.0.1:{}/", self.port)
    }

    /// `ls` with a password, by a program that trusts this server.
    fn meet(self) -> Ended {
        let program = Program::new();
        let fingerprint = identity().fingerprint().to_string();
        let mut command = program.command(["ls", "--fingerprint", &fingerprint, &self.place()]);
        let ended = Ended::of(command.env("SAMPAN_PASSWORD", PASSWORD).output().unwrap());
        self.end(&ended);
        ended
    }

    /// Sees every script to its end, once the program is gone.
    fn end(mut self, ended: &Ended) {
        let mut met = 0;
        while let Ok(talk) = self.talks.try_recv() {
            self.runtime.block_on(talk).unwrap();
            met += 1;
        }
        assert!(met > 0, "nobody came: {ended:?}");
    }
}

/// An impostor that refuses every hello.
fn refusing(refusal: &Refusal) -> Impostor {
    let refusal = refusal.clone();
    Impostor::start(move |mut peer| {
        let refusal = refusal.clone();
        async move {
            let hello: Received<Hello> = peer.expect(Op::HELLO).await;
            peer.send(hello.id, Op::HELLO, Flags::REFUSAL, &refusal, &[]).await;
            peer.expect_end().await;
        }
    })
}

#[test]
fn frames_that_are_none_end_with_3() {
    let too_long = vec![0x81; 8192];
    for header in [too_long, b"\xc1 HTTP/1.1 400".to_vec(), Vec::new()] {
        let header = Arc::new(header);
        let impostor = Impostor::start(move |mut peer| {
            let header = Arc::clone(&header);
            async move {
                peer.receive().await;
                peer.send_raw(&header, &[]).await;
                peer.expect_end().await;
            }
        });
        impostor.meet().failed(3, &["not a Sampan server", "check the port"]);
    }
}

#[test]
fn a_server_that_hangs_up_during_the_login_ends_with_3() {
    let impostor = Impostor::start(|mut peer| async move {
        peer.receive().await;
        peer.close().await;
    });
    impostor.meet().failed(3, &["closed the connection during the login", "check the network"]);
}

#[test]
fn another_version_ends_with_3() {
    let refusal = Refusal::new(ErrorCode::VERSION_UNSUPPORTED, "this server speaks version 9");
    refusing(&refusal).meet().failed(3, &["another version", "speaks version 9", "up to date"]);
}

/// HARDENING S2: what a server says cannot drive the terminal.
#[test]
fn s2_a_busy_server_ends_with_3_and_says_when_to_come_again() {
    let mut refusal = Refusal::new(ErrorCode::BUSY, "too many \x1b[2J\nconnections");
    refusing(&refusal).meet().failed(3, &["takes no login now: too many \\x1b[2J", "later"]);
    refusal.retry_after_ms = Some(4001);
    refusing(&refusal).meet().failed(3, &["try again in 5 s"]);
}

pub(crate) fn welcome() -> Welcome {
    Welcome {
        account: "ada".to_owned(),
        agent: "impostor/1".to_owned(),
        durability: Durability::Full,
        limits: Limits {
            header_bytes: 1 << 20,
            body_bytes: 1 << 20,
            requests: 8,
            connections: 8,
            pack_members: 8,
            pack_bytes: 1 << 20,
            idle_seconds: 60,
        },
    }
}

/// What a server does wrong that does not know the password.
#[derive(Clone, Copy, Debug)]
enum Lie {
    /// It lets everybody in, with a proof that it made up.
    Proof,
    /// It asks for so much or so little work on the password: little, to guess it from the answer.
    Iterations(u32),
    /// Its challenge is of another login.
    Nonce,
}

impl Lie {
    /// Plays the server's part up to the lie, after which nothing may come.
    async fn tell(self, mut peer: ScriptedPeer) {
        let hello: Received<Hello> = peer.expect(Op::HELLO).await;
        let first = hello.args.scram.expect("it logs in by password");
        let login = ServerLogin::start(&first, HelloHash::of(&hello.args.hello)).unwrap();
        let iterations = match self {
            Self::Iterations(iterations) => iterations,
            Self::Proof | Self::Nonce => 600_000,
        };
        let verifier = Verifier::made_up(&[7; 32], "ada", iterations);
        let (_, mut challenge) = login.challenge(verifier, [9; _]);
        if matches!(self, Self::Nonce) {
            // The first letter of `r=…`, which the client has chosen.
            challenge[2] = if challenge[2] == b'A' { b'B' } else { b'A' };
        }
        let challenge = Some(ByteBuf::from(challenge));
        let answer = HelloAnswer { version: PROTOCOL_VERSION, challenge, welcome: None };
        peer.send(hello.id, Op::HELLO, Flags::LAST_ANSWER, &answer, &[]).await;
        if matches!(self, Self::Proof) {
            let proof: Received<ScramProof> = peer.expect(Op::SCRAM_PROOF).await;
            let made_up = b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_vec();
            let answer = ScramAnswer { server_final: ByteBuf::from(made_up), welcome: welcome() };
            peer.send(proof.id, Op::SCRAM_PROOF, Flags::LAST_ANSWER, &answer, &[]).await;
        }
        assert_eq!(peer.expect_end().await, 0, "it proved or asked something: {self:?}");
    }
}

#[test]
fn s19_a_server_without_the_right_proof_is_left_with_5_before_any_request() {
    let iterations = [1, 4096, u32::MAX].map(Lie::Iterations);
    for lie in [Lie::Proof, Lie::Nonce].into_iter().chain(iterations) {
        let ended = Impostor::start(move |peer| lie.tell(peer)).meet();
        ended.failed(5, &["did not prove", "another machine", "do not go on"]);
    }
}

#[test]
fn s19_a_welcome_without_any_proof_is_worth_nothing() {
    let impostor = Impostor::start(|mut peer| async move {
        let hello: Received<Hello> = peer.expect(Op::HELLO).await;
        let welcome = Some(welcome());
        let answer = HelloAnswer { version: PROTOCOL_VERSION, challenge: None, welcome };
        peer.send(hello.id, Op::HELLO, Flags::LAST_ANSWER, &answer, &[]).await;
        assert_eq!(peer.expect_end().await, 0, "it asked something");
    });
    impostor.meet().failed(3, &["not a Sampan server"]);
}

/// A program that logs in by a key has no login to find garbage in: it comes with an answer.
#[test]
fn garbage_after_the_login_ends_with_3_and_is_not_asked_for_again() {
    let garbage: [&[u8]; 3] = [b"\xc1\xc1\xc1", b"", b"\x84\xa2id"];
    for header in garbage {
        ends_after_login(move |mut peer| async move {
            peer.send_raw(header, b"").await;
            peer.expect_end().await;
        });
    }
    ends_after_login(|mut peer| async move {
        let reason = GoodbyeReason::ProtocolError;
        let goodbye = Goodbye { reason, retry_after_ms: None };
        peer.send(RequestId::UNASKED, Op::GOODBYE, Flags::REQUEST, &goodbye, &[]).await;
        peer.expect_end().await;
    });
}

fn ends_after_login<F>(rest: impl Fn(ScriptedPeer) -> F + Copy + Send + Sync + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let ended = lists(move |peer, _| rest(peer));
    ended.failed(3, &["127.0.0.1", "not keep to the protocol", "up to date"]);
}

/// `ls` by a key; what the server does with the request is the test's own.
fn lists<F>(
    rest: impl Fn(ScriptedPeer, Received<List>) -> F + Copy + Send + Sync + 'static,
) -> Ended
where
    F: Future<Output = ()> + Send + 'static,
{
    let impostor = Impostor::start(move |mut peer| async move {
        let hello: Received<Hello> = peer.expect(Op::HELLO).await;
        let welcome = Some(welcome());
        let answer = HelloAnswer { version: PROTOCOL_VERSION, challenge: None, welcome };
        peer.send(hello.id, Op::HELLO, Flags::LAST_ANSWER, &answer, &[]).await;
        let list = peer.expect::<List>(List::OP).await;
        rest(peer, list).await;
    });
    let program = Program::new();
    let account = Place::parse(impostor.place().as_ref(), None).unwrap().account;
    State::under(program.home()).store_login_key(&account, &[1; 32]).unwrap();
    let fingerprint = identity().fingerprint().to_string();
    let arguments =
        ["ls", "--retry-for", "forever", "--fingerprint", &fingerprint, &impostor.place()];
    let ended = program.run(arguments);
    impostor.end(&ended);
    ended
}

/// What a server says of itself is shown, escaped, with what to do.
#[test]
fn what_a_server_could_not_do_is_passed_on_with_its_words() {
    let refused = |code, message| {
        let ended = lists(move |mut peer, list| async move {
            let refusal = Refusal::new(code, message);
            peer.send(list.id, List::OP, Flags::REFUSAL, &refusal, &[]).await;
            let goodbye: Received<Goodbye> = peer.expect(Op::GOODBYE).await;
            assert_eq!(goodbye.args.reason, GoodbyeReason::Done);
        });
        assert!(ended.err.contains("sampan://ada@127.0.0.1"), "{}", ended.err);
        ended
    };
    let failed = "the server's disk failed: dead \\x1b sector; ask the administrator to check it";
    refused(ErrorCode::DISK_FAILED, "dead \x1b sector").failed(1, &[failed]);
    let refused_so = "the server refused (code 4711): odd; ask the administrator: the server's log";
    refused(ErrorCode(4711), "odd").failed(1, &[refused_so]);
    let silent = "the server refused with code 4711; ask the administrator: the server's log";
    refused(ErrorCode(4711), "").failed(1, &[silent]);
}

/// A server that is told need not wait for silence to know that a session is over.
#[test]
fn a_program_that_is_done_says_goodbye() {
    let ended = lists(|mut peer, list| async move {
        let page = ListPage { entries: Vec::new(), cursor: None, unreadable: 0 };
        peer.send(list.id, List::OP, Flags::LAST_ANSWER, &page, &[]).await;
        let goodbye: Received<Goodbye> = peer.expect(Op::GOODBYE).await;
        assert_eq!(goodbye.args.reason, GoodbyeReason::Done);
        assert_eq!(peer.expect_end().await, 0);
    });
    ended.succeeded();
}

/// HARDENING S1, S3, S7: names that a server must not send are not carried, and nothing is written,
/// neither by them nor beside them.
#[test]
fn s1_s3_s7_names_that_are_none_are_never_written() {
    let long = vec![b'x'; 256];
    let names: [&[u8]; 11] = [
        b"",
        b".",
        b"..",
        b"/",
        b"/etc/passwd",
        b"../evil",
        b"a/b",
        b"evil/",
        b"evil\0.txt",
        b"./evil",
        &long,
    ];
    for name in names {
        let name = Arc::new(name.to_vec());
        let shown = String::from_utf8_lossy(&name).into_owned();
        let impostor = Impostor::start(move |mut peer| {
            let name = Arc::clone(&name);
            async move {
                let hello: Received<Hello> = peer.expect(Op::HELLO).await;
                let welcome = Some(welcome());
                let answer = HelloAnswer { version: PROTOCOL_VERSION, challenge: None, welcome };
                peer.send(hello.id, Op::HELLO, Flags::LAST_ANSWER, &answer, &[]).await;
                let stat: Received<StatMany> = peer.expect(StatMany::OP).await;
                let result =
                    StatResult { index: 0, attributes: Some(folder_attributes()), refusal: None };
                let page = StatManyPage { results: vec![result] };
                peer.send(stat.id, StatMany::OP, Flags::LAST_ANSWER, &page, &[]).await;
                let list: Received<List> = peer.expect(List::OP).await;
                peer.send_raw(&listing_with(list.id, &name), &[]).await;
                peer.expect_end().await;
            }
        });
        let program = Program::new();
        let account = Place::parse(impostor.place().as_ref(), None).unwrap().account;
        State::under(program.home()).store_login_key(&account, &[1; 32]).unwrap();
        let here = tempfile::tempdir().unwrap();
        let target = here.path().join("a/target");
        let (fingerprint, place) =
            (identity().fingerprint().to_string(), format!("{}tree", impostor.place()));
        let target_text = target.to_str().unwrap();
        let ended = program.run(["get", "--fingerprint", &fingerprint, &place, target_text]);
        impostor.end(&ended);
        ended.failed(3, &["not keep to the protocol"]);
        let written: Vec<_> = walk(here.path());
        assert_eq!(
            written,
            [here.path().join("a"), target.clone(), target.join("tree")],
            "{shown}"
        );
    }
}

pub(crate) fn folder_attributes() -> Attributes {
    Attributes {
        kind: EntryKind::Folder,
        size: 0,
        mtime: Timestamp::default(),
        mode: Mode::FOLDER,
        version: Version::default(),
    }
}

/// A listing whose second name is one that this crate's types cannot hold.
fn listing_with(id: RequestId, hostile: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = b"\xc4\x0cplaceholder!";
    let file = Attributes { kind: EntryKind::File, size: 4, ..folder_attributes() };
    let entry = |name: &[u8]| Entry { name: Name::new(name).unwrap(), attributes: file.clone() };
    let entries = vec![entry(b"innocent"), entry(&MARK[2..])];
    let page = ListPage { entries, cursor: None, unreadable: 0 };
    let header = encode_header(id, List::OP, Flags::LAST_ANSWER, &page);
    let at = header.windows(MARK.len()).position(|part| part == MARK).unwrap();
    let length = u16::try_from(hostile.len()).unwrap().to_be_bytes();
    let before: &[u8] =
        if hostile.len() > 255 { &[0xc5, length[0], length[1]] } else { &[0xc4, length[1]] };
    [&header[..at], before, hostile, &header[at + MARK.len()..]].concat()
}

/// All that lies below a folder.
pub(crate) fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        found.push(path.clone());
        if path.is_dir() {
            found.extend(walk(&path));
        }
    }
    found.sort();
    found
}
