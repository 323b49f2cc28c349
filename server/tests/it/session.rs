//! What a session does while it lasts, and how it ends.

use std::collections::BTreeSet;
use std::time::Duration;

use sampan_protocol::message::{
    Empty, EnrolKey, GoodbyeReason, KeyLife, Mkdir, Op, Pack, PackMember, PackMemberKind, Ping,
    Remove, Stat,
};
use sampan_protocol::wire::Flags;
use sampan_protocol::{ErrorCode, Mode, RemotePath, RequestId};
use sampan_server::control::{AdminAnswer, AdminRequest};
use serde_bytes::ByteBuf;

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
