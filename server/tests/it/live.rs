//! What an administrator's commands and signals do to people who are connected: the real binary,
//! and a raw client.

use std::net::TcpStream;

use rustix::process::{Pid, Signal, kill_process};
use sampan_protocol::message::{
    EnrolKey, GoodbyeReason, KeyLife, ListUploads, Mkdir, Op, OpenUpload, Pack, PackMember,
    PackMemberKind, Ping, Precondition, WriteBlock,
};
use sampan_protocol::wire::Flags;
use sampan_protocol::{ErrorCode, Mode, Refusal, RemotePath, RequestId, Timestamp, UploadKey};
use serde_bytes::ByteBuf;
use serde_json::Value;

use crate::harness::{key, until};
use crate::peer::Peer;
use crate::program::{ADD, Data, Serving};

const BLOCK: u64 = 1 << 20;

fn path(written: &str) -> RemotePath {
    RemotePath::parse(written.as_bytes()).unwrap()
}

async fn met(server: &Serving) -> Peer {
    let (address, fingerprint) = server.announced();
    Peer::connect_at(address, fingerprint).await
}

async fn logged_in(server: &Serving, password: &str) -> Peer {
    let mut peer = met(server).await;
    peer.log_in("anna", password).await.unwrap();
    peer
}

async fn is_refused(server: &Serving, login: impl AsyncFnOnce(&mut Peer) -> Result<(), Refusal>) {
    let refusal = login(&mut met(server).await).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LOGIN_REFUSED);
}

/// Begins an upload of three blocks, of which one comes.
async fn one_block_of_three(peer: &mut Peer, target: &str) {
    let open = OpenUpload {
        key: UploadKey([7; 16]),
        path: path(target),
        size: 3 * BLOCK,
        mode: Mode::FILE,
        mtime: Timestamp::default(),
        if_target: Precondition::Any,
        parents: false,
    };
    let opened = peer.call(&open).await.unwrap();
    let id = peer.id();
    let piece = vec![3; 256 << 10];
    for (number, flags) in
        [Flags::NONE, Flags::NONE, Flags::NONE, Flags::LAST].into_iter().enumerate()
    {
        let write = WriteBlock {
            upload: opened.upload,
            epoch: opened.epoch,
            block: 0,
            offset: u32::try_from(number * piece.len()).unwrap(),
            hash: None,
        };
        peer.queue(id, Op::WRITE_BLOCK, flags, &write, &piece).await.unwrap();
    }
    peer.flush().await;
    assert!(!peer.next().await.flags.is_error());
}

/// `passwd` and `disable` end open sessions and void keys at once; so does `remove`.
#[tokio::test]
async fn commands_that_close_an_account_end_its_sessions_and_void_its_keys() {
    let data = Data::new();
    assert_eq!(data.run_with(&ADD, "first\n").code, 0);
    let server = data.serve();
    let commands: [(&[&str], &str); 3] = [
        (&["user", "passwd", "anna", "--password-stdin"], "second"),
        (&["user", "disable", "anna"], "second"),
        (&["user", "remove", "anna"], "second"),
    ];
    let mut password = "first";
    for (command, after) in commands {
        let mut peer = logged_in(&server, password).await;
        for (number, life) in [(1, KeyLife::Session), (2, KeyLife::UntilRevoked)] {
            let public_key = ByteBuf::from(key(number).public().0);
            peer.call(&EnrolKey { public_key, life, label: String::new() }).await.unwrap();
        }
        let ran = data.run_with(command, "second\n");
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
        assert_eq!(peer.farewell().await, Some(GoodbyeReason::SessionEnded), "{command:?}");
        for number in [1, 2] {
            is_refused(&server, async |peer: &mut Peer| {
                peer.log_in_by_key("anna", &key(number)).await.map(drop)
            })
            .await;
        }
        let before = password;
        is_refused(&server, async |peer: &mut Peer| peer.log_in("anna", before).await.map(drop))
            .await;
        password = after;
        if command[1] == "disable" {
            assert_eq!(data.run(&["user", "enable", "anna"]).code, 0);
            // Void is void, whoever opens the account again.
            is_refused(&server, async |peer: &mut Peer| {
                peer.log_in_by_key("anna", &key(2)).await.map(drop)
            })
            .await;
        }
    }
}

/// Accounts, open sessions, uploads in flight, bytes staged; what is in flight holds quota.
#[tokio::test]
async fn what_is_open_is_counted() {
    let data = Data::new();
    let limits = ["--quota", "10MiB", "--max-files", "3"];
    assert_eq!(data.run_with(&[&ADD[..], &limits].concat(), "secret\n").code, 0);
    let server = data.serve();
    let json = |words: &[&str]| -> Value { serde_json::from_str(&data.run(words).out).unwrap() };
    let mut peer = logged_in(&server, "secret").await;
    one_block_of_three(&mut peer, "big").await;
    let status = json(&["status", "--json"]);
    let counts = ["accounts", "sessions", "uploads", "staged"].map(|key| status[key].as_u64());
    assert_eq!(counts, [1, 1, 1, BLOCK].map(Some), "{status}");
    let shown = data.run(&["status"]).out;
    assert!(shown.contains("open sessions  1\n"), "{shown}");
    assert!(shown.contains("uploads        1 unfinished, 1.05 MB staged\n"), "{shown}");
    let quota = json(&["quota", "show", "anna", "--json"]);
    let counts = ["quota", "used", "in_flight", "available"].map(|key| quota[key].as_u64());
    assert_eq!(counts, [10 * BLOCK, 0, 3 * BLOCK, 7 * BLOCK].map(Some), "{quota}");
    assert_eq!(json(&["user", "list", "--json"])["in_flight"], 3 * BLOCK);

    // Folders count like files, and the file that is in flight counts too.
    let mut mkdir = async |target: &str| {
        let mkdir = Mkdir { change: peer.change(), path: path(target), parents: false, mode: None };
        peer.call(&mkdir).await.map(drop)
    };
    mkdir("a").await.unwrap();
    mkdir("a/b").await.unwrap();
    assert_eq!(mkdir("c").await.unwrap_err().code, ErrorCode::TOO_MANY_FILES);
    assert_eq!(json(&["quota", "show", "anna", "--json"])["files"], 2);
}

/// SIGTERM: nobody new is let in, what runs comes to its end, uploads stay, and the code is 0.
#[tokio::test]
async fn a_stop_finishes_what_runs_and_keeps_uploads() {
    let data = Data::new();
    assert_eq!(data.run_with(&ADD, "secret\n").code, 0);
    for signal in [Signal::TERM, Signal::INT] {
        let mut server = data.serve();
        let (address, _) = server.announced();
        let mut peer = logged_in(&server, "secret").await;
        one_block_of_three(&mut peer, "big").await;
        // A pack that is still arriving is a running request: it holds the stop up until it is whole.
        let name = format!("{signal:?}");
        let folder =
            PackMember { path: path(&name), mode: Mode::FOLDER, kind: PackMemberKind::Folder {} };
        let change = peer.change();
        let id = RequestId(50);
        let pack = |members| Pack { change, members };
        peer.queue(id, Op::PACK, Flags::NONE, &pack(vec![folder]), &[]).await.unwrap();
        peer.flush().await;
        peer.call(&Ping {}).await.unwrap();

        kill_process(Pid::from_child(&server.child), signal).unwrap();
        until("new requests are refused", async || {
            matches!(peer.call(&Ping {}).await, Err(refusal) if refusal.code == ErrorCode::CLOSING)
        })
        .await;
        until("nobody is let in", async || TcpStream::connect(address).is_err()).await;
        assert!(server.child.try_wait().unwrap().is_none(), "it waits for what runs");
        peer.queue(id, Op::PACK, Flags::REQUEST, &pack(Vec::new()), &[]).await.unwrap();
        peer.flush().await;
        let answer = peer.next().await;
        assert_eq!((answer.id, answer.flags), (id, Flags::LAST_ANSWER));
        assert_eq!(peer.farewell().await, Some(GoodbyeReason::ServerClosing));
        assert_eq!(server.child.wait().unwrap().code(), Some(0));
        assert!(data.path().join("homes/anna").join(&name).is_dir());
    }
    let server = data.serve();
    let mut peer = logged_in(&server, "secret").await;
    let pages = peer.stream(&ListUploads {}).await.unwrap();
    let uploads: Vec<_> = pages.into_iter().flat_map(|(page, _)| page.uploads).collect();
    assert_eq!(uploads.len(), 1, "{uploads:?}");
    assert_eq!((uploads[0].size, uploads[0].staged), (3 * BLOCK, BLOCK));
}
