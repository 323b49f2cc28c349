//! What a session does while it lasts, and how it ends.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sampan_protocol::message::{
    Empty, EnrolKey, GoodbyeReason, KeyLife, Mkdir, Op, Pack, PackMember, PackMemberKind, Ping,
    QuotaRequest, Remove, Stat, Sum,
};
use sampan_protocol::wire::Flags;
use sampan_protocol::{ErrorCode, Mode, RemotePath, RequestId};
use sampan_server::control::{AdminAnswer, AdminRequest};
use serde_bytes::ByteBuf;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{PASSWORD, TestServer, key, until, verifier};
use crate::peer::Peer;

fn path(written: &str) -> RemotePath {
    RemotePath::parse(written.as_bytes()).unwrap()
}

#[tokio::test]
async fn many_requests_at_once_are_all_answered() {
    let server = TestServer::start_with(|bounds| bounds.requests = 8).await;
    let mut peer = server.peer("anna").await;
    let mut asked = BTreeSet::new();
    for number in 0..300_u32 {
        let id = RequestId(1000 + number);
        let stat = Stat { path: RemotePath::home() };
        peer.queue(id, Op::STAT, Flags::REQUEST, &stat, &[]).await.unwrap();
        asked.insert(id);
    }
    peer.flush().await;
    while !asked.is_empty() {
        let answer = peer.next().await;
        assert_eq!(answer.flags, Flags::LAST_ANSWER);
        assert!(asked.remove(&answer.id), "{:?} is answered once", answer.id);
    }
    server.finish().await;
}

#[tokio::test]
async fn pings_are_answered() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    assert_eq!(peer.call(&Ping {}).await, Ok(Empty {}));
    server.finish().await;
}

/// Half the idle time without a frame: the server asks. All of it: it closes, and says why.
#[tokio::test]
async fn silence_is_asked_after_and_then_ends_the_session() {
    let idle = Duration::from_millis(600);
    let server = TestServer::start_with(|bounds| bounds.idle = idle).await;
    let mut peer = server.peer("anna").await;
    // An answered question keeps it alive.
    for _ in 0..3 {
        let ping = peer.next().await;
        assert_eq!((ping.op, ping.flags), (Op::PING, Flags::REQUEST));
        peer.queue(ping.id, Op::PING, Flags::LAST_ANSWER, &Empty {}, &[]).await.unwrap();
        peer.flush().await;
    }
    assert_eq!(peer.next().await.op, Op::PING);
    assert_eq!(peer.farewell().await, Some(GoodbyeReason::Idle));
    server.finish().await;
}

/// A line that takes 4 KiB each 20 ms towards the server, and anything the other way.
async fn slow_line(server: SocketAddr) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (near, _) = listener.accept().await.unwrap();
        let (mut near_read, mut near_write) = near.into_split();
        let (mut far_read, mut far_write) = TcpStream::connect(server).await.unwrap().into_split();
        let there = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = near_read.read(&mut buffer).await {
                ticks.tick().await;
                far_write.write_all(&buffer[..length]).await.unwrap();
            }
        };
        tokio::join!(there, tokio::io::copy(&mut far_read, &mut near_write)).1.unwrap();
    });
    address
}

/// A long frame over a slow line takes longer than the idle time, and is no silence.
#[tokio::test]
async fn a_frame_that_keeps_coming_is_a_sign_of_life() {
    let idle = Duration::from_millis(400);
    let server = TestServer::start_with(|bounds| bounds.idle = idle).await;
    drop(server.peer("anna").await);
    let line = slow_line(server.address()).await;
    let mut peer = Peer::connect_to(&server, line).await;
    peer.log_in_by_key("anna", &key(7)).await.unwrap();
    let started = Instant::now();
    let body = vec![0; 256 << 10];
    peer.queue(RequestId(9), Op::PING, Flags::REQUEST, &Ping {}, &body).await.unwrap();
    peer.flush().await;
    let answer = loop {
        let received = peer.next().await;
        if received.flags.is_answer() {
            break received;
        }
        assert_eq!(received.op, Op::PING, "not a goodbye");
    };
    assert_eq!(answer.id, RequestId(9));
    assert!(started.elapsed() > 2 * idle, "the line was slow");
    drop(peer);
    server.finish().await;
}

/// A stop lets what runs finish, refuses what is new, and says goodbye.
#[tokio::test]
async fn a_stopping_server_says_goodbye() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let change = peer.change();
    // A pack that is still arriving is a running request.
    let pack = |members| Pack { change, members };
    let folder =
        PackMember { path: path("d"), mode: Mode::FOLDER, kind: PackMemberKind::Folder {} };
    peer.queue(RequestId(50), Op::PACK, Flags::NONE, &pack(vec![folder]), &[]).await.unwrap();
    peer.flush().await;
    peer.call(&Ping {}).await.unwrap();

    server.running().shutdown().begin();
    // Refused from the moment on in which the session knows.
    until("new requests are refused", async || {
        matches!(peer.call(&Ping {}).await, Err(refusal) if refusal.code == ErrorCode::CLOSING)
    })
    .await;
    peer.queue(RequestId(50), Op::PACK, Flags::REQUEST, &pack(Vec::new()), &[]).await.unwrap();
    peer.flush().await;
    let answer = peer.next().await;
    assert_eq!((answer.id, answer.flags), (RequestId(50), Flags::LAST_ANSWER));
    assert_eq!(peer.farewell().await, Some(GoodbyeReason::ServerClosing));
    assert!(server.home("anna").join("d").is_dir());
    let mut server = server;
    server.stop().await;
    server.finish().await;
}

/// What does not finish within the grace is given up, and the goodbye comes all the same.
#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let grace = Duration::from_millis(300);
    let mut server = TestServer::start_with(|bounds| bounds.grace = grace).await;
    let mut peer = server.peer("anna").await;
    let pack = Pack { change: peer.change(), members: Vec::new() };
    peer.queue(RequestId(50), Op::PACK, Flags::NONE, &pack, &[]).await.unwrap();
    peer.flush().await;
    peer.call(&Ping {}).await.unwrap();
    let (reason, ()) = tokio::join!(peer.farewell(), server.stop());
    assert_eq!(reason, Some(GoodbyeReason::ServerClosing));
    server.finish().await;
}

/// CONTRACT: `passwd` and `disable` end open sessions and void keys at once.
#[tokio::test]
async fn a_new_password_ends_sessions_and_voids_keys() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let mut other = server.peer("bert").await;
    let public_key = ByteBuf::from(key(1).public().0);
    let enrol = EnrolKey { public_key, life: KeyLife::Session, label: String::new() };
    peer.call(&enrol).await.unwrap();

    let request = AdminRequest::SetPassword {
        name: "anna".to_owned(),
        verifier: (&verifier("new password")).into(),
    };
    let answer = server.administration().perform(request).await;
    assert!(matches!(answer, AdminAnswer::Done), "{answer:?}");
    assert_eq!(peer.farewell().await, Some(GoodbyeReason::SessionEnded));
    other.call(&Ping {}).await.unwrap();

    for key in [key(1), key(7)] {
        let mut peer = Peer::connect(&server).await;
        let refusal = peer.log_in_by_key("anna", &key).await.unwrap_err();
        assert_eq!(refusal.code, ErrorCode::LOGIN_REFUSED);
    }
    let mut peer = Peer::connect(&server).await;
    let refusal = peer.log_in("anna", PASSWORD).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LOGIN_REFUSED);
    let mut peer = Peer::connect(&server).await;
    peer.log_in("anna", "new password").await.unwrap();

    let request = AdminRequest::SetDisabled { name: "anna".to_owned(), disabled: true };
    server.administration().perform(request).await;
    assert_eq!(peer.farewell().await, Some(GoodbyeReason::SessionEnded));
    server.finish().await;
}

/// A peer that is lost in the middle of a pack has published nothing.
#[tokio::test]
async fn an_abandoned_pack_publishes_nothing() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let folder =
        PackMember { path: path("d"), mode: Mode::FOLDER, kind: PackMemberKind::Folder {} };
    let pack = Pack { change: peer.change(), members: vec![folder] };
    peer.queue(RequestId(50), Op::PACK, Flags::NONE, &pack, &[]).await.unwrap();
    peer.flush().await;
    peer.call(&Ping {}).await.unwrap();
    drop(peer);
    let administration = server.administration();
    until("the session has ended", async || {
        matches!(administration.perform(AdminRequest::Status).await, AdminAnswer::Status(status) if status.sessions == Some(0))
    })
    .await;
    assert!(!server.home("anna").join("d").exists());
    server.finish().await;
}

async fn no_session_is_left(server: &TestServer) {
    let administration = server.administration();
    until("the session has ended", async || {
        matches!(administration.perform(AdminRequest::Status).await, AdminAnswer::Status(status) if status.sessions == Some(0))
    })
    .await;
}

/// What a peer asked for that is gone takes neither a place nor time.
#[tokio::test]
async fn what_is_read_for_a_lost_peer_ends_with_it() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let file = std::fs::File::create(server.home("anna").join("long")).unwrap();
    // Hours of it.
    file.set_len(1 << 42).unwrap();
    peer.send(&Sum { path: path("long") }).await;
    peer.call(&Ping {}).await.unwrap();
    drop(peer);
    no_session_is_left(&server).await;
    server.finish().await;
}

/// What has begun comes to its end, whoever asked for it.
#[tokio::test]
async fn a_removal_goes_on_without_its_peer() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    for number in 0..400_u32 {
        let path = path(&format!("tree/{}/{number}", number % 7));
        let mkdir = Mkdir { change: peer.change(), path, parents: true, mode: None };
        peer.call(&mkdir).await.unwrap();
    }
    let change = peer.change();
    let remove = Remove { change, path: path("tree"), recursive: true, version: None };
    peer.send(&remove).await;
    until("the tree is out of sight", async || !server.home("anna").join("tree").exists()).await;
    drop(peer);
    no_session_is_left(&server).await;
    let mut again = server.peer_again("anna").await;
    let removed = again.call(&remove).await.unwrap();
    assert_eq!(removed.entries, 408);
    let quota = again.call(&QuotaRequest {}).await.unwrap();
    assert_eq!((quota.used, quota.entries), (0, 0));
    drop(again);
    server.finish().await;
}

/// DESIGN 1.5: a change that is sent again gives the first answer and no second change.
#[tokio::test]
async fn a_repeated_change_has_one_effect() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let mkdir = Mkdir { change: peer.change(), path: path("d"), parents: false, mode: None };
    let first = peer.call(&mkdir).await.unwrap();
    let remove = Remove { change: peer.change(), path: path("d"), recursive: false, version: None };
    peer.call(&remove).await.unwrap();
    assert_eq!(peer.call(&mkdir).await.unwrap(), first);
    let mut again = server.peer_again("anna").await;
    assert_eq!(again.call(&mkdir).await.unwrap(), first, "over any connection");
    assert!(!server.home("anna").join("d").exists());

    let other = Mkdir { path: path("e"), ..mkdir };
    assert_eq!(peer.call(&other).await.unwrap_err().code, ErrorCode::CHANGE_KEY_REUSED);
    server.finish().await;
}
