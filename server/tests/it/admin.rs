//! Administrators' requests at a running server, without the command line.

use sampan_server::control::{AdminAnswer, AdminRequest, AdminSocket, Limit, RefusalKind, call};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::harness::{PATIENCE, TestServer, verifier};

fn add(name: &str) -> AdminRequest {
    AdminRequest::AddUser {
        name: name.to_owned(),
        verifier: (&verifier("secret")).into(),
        bytes: Some(5),
        entries: None,
        take_home: false,
    }
}

async fn refusal(server: &TestServer, request: AdminRequest) -> (RefusalKind, String) {
    match server.administration().perform(request).await {
        AdminAnswer::Refused(refusal) => (refusal.kind, refusal.message),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn refusals_say_what_and_whom() {
    let server = TestServer::start().await;
    server.add("anna").await;
    let (kind, message) = refusal(&server, add("anna")).await;
    assert_eq!(kind, RefusalKind::Exists);
    assert_eq!(message, "there is an account `anna` already; choose another name");
    let (kind, message) = refusal(&server, add("../x")).await;
    assert_eq!(kind, RefusalKind::Wrong);
    assert!(message.starts_with("`../x` cannot be"), "{message}");

    std::fs::create_dir(server.home("bert")).unwrap();
    let (kind, message) = refusal(&server, add("bert")).await;
    assert_eq!(kind, RefusalKind::Exists);
    assert!(message.contains("--take-home"), "{message}");

    let nobody = || "no\x1bbody".to_owned();
    let requests = [
        AdminRequest::SetPassword { name: nobody(), verifier: (&verifier("x")).into() },
        AdminRequest::SetDisabled { name: nobody(), disabled: true },
        AdminRequest::RemoveUser { name: nobody(), purge: false },
        AdminRequest::SetQuota { name: nobody(), bytes: None, entries: Limit::Keep },
        AdminRequest::ShowQuota { name: Some(nobody()) },
    ];
    for request in requests {
        let (kind, message) = refusal(&server, request).await;
        assert_eq!(kind, RefusalKind::NotFound);
        let expected = "there is no account `no\\u{1b}body`; `sampand user list` lists them";
        assert_eq!(message, expected);
    }
    server.finish().await;
}

/// A home that lies there is taken, and counted.
#[tokio::test]
async fn a_home_can_be_taken() {
    let server = TestServer::start().await;
    std::fs::create_dir_all(server.home("anna").join("d")).unwrap();
    std::fs::write(server.home("anna").join("d/f"), "12345").unwrap();
    let AdminRequest::AddUser { name, verifier, bytes, entries, .. } = add("anna") else {
        unreachable!()
    };
    let take = AdminRequest::AddUser { name, verifier, bytes, entries, take_home: true };
    let answer = server.administration().perform(take).await;
    assert!(matches!(answer, AdminAnswer::Added { bytes: 5, entries: 2, .. }), "{answer:?}");
    server.finish().await;
}

/// HARDENING S24: the socket takes bounded requests, and answers garbage with nothing.
#[tokio::test]
async fn s24_garbage_at_the_admin_socket_is_dropped() {
    let server = TestServer::start().await;
    let folder = server.data().folder.clone();
    let socket = AdminSocket::bind(folder.clone()).unwrap();
    let shutdown = server.running().shutdown();
    let serving = tokio::spawn(socket.serve(server.administration(), shutdown.clone()));
    for garbage in [&b"\xff\xff\xff\xff"[..], b"\x03\0\0\0\xc1\xc1\xc1", b"\x01\0\0\0"] {
        let mut caller = folder.call_admin_socket().await.unwrap().unwrap();
        caller.write_all(garbage).await.unwrap();
        caller.shutdown().await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, caller.read_to_end(&mut answer)).await.unwrap().unwrap();
        assert!(answer.is_empty(), "{answer:?}");
    }
    let caller = folder.call_admin_socket().await.unwrap().unwrap();
    let answer = call(caller, &AdminRequest::Status, &mut |_, _| {}).await.unwrap();
    assert!(matches!(answer, AdminAnswer::Status(_)), "{answer:?}");

    drop(folder);
    shutdown.begin();
    timeout(PATIENCE, serving).await.unwrap().unwrap();
    assert!(!server.data_path().join("admin.sock").exists());
    let mut server = server;
    server.stop().await;
    server.finish().await;
}
