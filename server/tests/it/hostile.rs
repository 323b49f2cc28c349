//! Strangers, scanners, and clients that break the rules. After each of them the server serves on.

use std::time::{Duration, Instant};

use bytes::BufMut;
use sampan_protocol::frame::FrameLimits;
use sampan_protocol::message::{
    Empty, Goodbye, GoodbyeReason, Op, Ping, Read, ReadRow, Request, Stat, StatMany, WriteBlock,
};
use sampan_protocol::wire::{Flags, encode_args, encode_header};
use sampan_protocol::{Epoch, ErrorCode, Refusal, RemotePath, RequestId, UploadId, Version};
use sampan_server::config::Bounds;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{PATIENCE, TestServer, key};
use crate::peer::Peer;

fn home() -> Stat {
    Stat { path: RemotePath::home() }
}

/// The server still serves those who behave.
async fn still_serves(server: &TestServer) {
    let mut peer = server.peer("witness").await;
    peer.call(&home()).await.unwrap();
}

/// Reads until the server closes.
async fn until_closed(tcp: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let closed = timeout(PATIENCE, tcp.read_to_end(&mut bytes)).await.expect("the server closes");
    // A reset closes too.
    if let Err(error) = closed {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }
    bytes
}

fn short_login(bounds: &mut Bounds) {
    bounds.login_deadline = Duration::from_millis(300);
}

#[tokio::test]
async fn plaintext_is_no_way_in() {
    let server = TestServer::start().await;
    for greeting in [&b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"[..], b"SSH-2.0-x\r\n", &[0; 64]] {
        let mut tcp = TcpStream::connect(server.address()).await.unwrap();
        tcp.write_all(greeting).await.unwrap();
        let answer = until_closed(&mut tcp).await;
        assert!(answer.len() < 16, "at most a TLS alert: {answer:?}");
    }
    still_serves(&server).await;
    server.finish().await;
}

/// A client of TLS 1.2, whose hello is all in order, is sent away with the alert that says why.
#[tokio::test]
async fn a_client_of_an_older_tls_is_sent_away() {
    // Version 1.2, random, no session, ECDHE-RSA-AES128-GCM-SHA256, no compression; X25519 and
    // RSA-PSS-SHA256.
    let mut body = vec![0x03, 0x03];
    body.put_bytes(7, 32);
    body.put_slice(b"\x00\x00\x02\xc0\x2f\x01\x00\x00\x10");
    body.put_slice(b"\x00\x0a\x00\x04\x00\x02\x00\x1d\x00\x0d\x00\x04\x00\x02\x08\x04");
    let length = u8::try_from(body.len()).unwrap();
    let hello = [&[0x16, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat();
    let server = TestServer::start().await;
    let mut tcp = TcpStream::connect(server.address()).await.unwrap();
    tcp.write_all(&hello).await.unwrap();
    let answer = until_closed(&mut tcp).await;
    let protocol_version = [2, 70];
    assert_eq!((answer[0], &answer[5..]), (0x15, &protocol_version[..]), "{answer:?}");
    still_serves(&server).await;
    server.finish().await;
}

/// HARDENING S9: greeting and then stalling, at any step, ends at the deadline.
#[tokio::test]
async fn s9_a_silent_stranger_is_gone_at_the_deadline() {
    let server = TestServer::start_with(short_login).await;
    let started = Instant::now();
    let mut silent = TcpStream::connect(server.address()).await.unwrap();
    let mut greeted = Peer::connect(&server).await;
    let mut challenged = Peer::connect(&server).await;
    challenged.prove("anna", "guess").await.unwrap();
    until_closed(&mut silent).await;
    assert!(greeted.try_next().await.is_none());
    assert!(challenged.try_next().await.is_none());
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(300) && waited < PATIENCE / 2, "{waited:?}");
    server.finish().await;
}

/// HARDENING S9, S15: the deadline is for the whole login, so a byte now and then does not put it
/// off.
#[tokio::test]
async fn s9_s15_a_trickle_does_not_put_the_deadline_off() {
    let server = TestServer::start_with(short_login).await;
    let mut tcp = TcpStream::connect(server.address()).await.unwrap();
    let (mut reading, mut writing) = tcp.split();
    // The beginning of a TLS record that claims 512 bytes, one byte every 20 ms.
    let record = [&[0x16, 0x03, 0x01, 0x02, 0x00][..], &[0; 512]].concat();
    let trickle = async {
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        for byte in record {
            ticks.tick().await;
            if writing.write_all(&[byte]).await.is_err() {
                break;
            }
        }
        std::future::pending::<()>().await;
    };
    let mut sink = Vec::new();
    let closed = timeout(Duration::from_secs(5), async {
        tokio::select! {
            ended = reading.read_to_end(&mut sink) => ended,
            () = trickle => unreachable!(),
        }
    });
    let (Ok(_) | Err(_)) = closed.await.expect("closed long before the record is whole");
    server.finish().await;
}

/// HARDENING S9: one origin cannot take all the places of those who want to log in.
#[tokio::test]
async fn s9_an_origin_has_few_places_before_login() {
    let bounds = |bounds: &mut Bounds| bounds.logins_per_address = 2;
    let server = TestServer::start_with(bounds).await;
    let first = Peer::connect(&server).await;
    let _second = Peer::connect(&server).await;
    let mut third = TcpStream::connect(server.address()).await.unwrap();
    assert!(until_closed(&mut third).await.is_empty());
    drop(first);
    crate::harness::until("the place is given back", async || {
        let mut tcp = TcpStream::connect(server.address()).await.unwrap();
        // An accepted stranger is waited for; one over the bound is closed.
        timeout(Duration::from_millis(50), tcp.read_u8()).await.is_err()
    })
    .await;
    server.finish().await;
}

/// HARDENING S23, S24: without a login nothing is done, whatever is asked.
#[tokio::test]
async fn s23_every_operation_needs_a_login() {
    let server = TestServer::start().await;
    let unknown = [(Op(9999), "UNKNOWN")];
    for (op, name) in Op::ALL.iter().chain(&unknown) {
        if [Op::HELLO, Op::SCRAM_PROOF, Op::GOODBYE].contains(op) {
            continue;
        }
        let mut peer = Peer::connect(&server).await;
        peer.queue(RequestId(77), *op, Flags::REQUEST, &Ping {}, &[]).await.unwrap();
        peer.flush().await;
        let answer = peer.next().await;
        assert_eq!((answer.id, answer.op), (RequestId(77), *op));
        let refusal: Refusal = answer.read();
        assert_eq!(refusal.code, ErrorCode::LOGIN_REQUIRED, "{name}");
        assert_eq!(peer.farewell().await, None);
    }
    // A proof without a challenge, and a request between challenge and proof, end it too.
    let mut peer = Peer::connect(&server).await;
    peer.queue(RequestId(1), Op::SCRAM_PROOF, Flags::REQUEST, &Empty {}, &[]).await.unwrap();
    peer.flush().await;
    peer.expect_refused(ErrorCode::MALFORMED).await;
    let mut peer = Peer::connect(&server).await;
    peer.prove("anna", "guess").await.unwrap();
    peer.send(&home()).await;
    peer.expect_refused(ErrorCode::LOGIN_REQUIRED).await;
    server.finish().await;
}

/// HARDENING S12: a stranger's frame is refused by what it claims, before it is there.
#[tokio::test]
async fn s12_a_stranger_cannot_claim_memory() {
    let server = TestServer::start().await;
    for (header, body) in [(4097, 0), (0, 4097)] {
        let mut peer = Peer::connect(&server).await;
        // The end of such a frame may meet a closed connection.
        let (header, body) = (vec![0x80; header], vec![0; body]);
        if peer.writer.send(&header, &body).await.is_ok() && peer.writer.flush().await.is_ok() {
            let reason = peer.farewell().await;
            assert!(matches!(reason, Some(GoodbyeReason::ProtocolError) | None), "{reason:?}");
        }
    }
    still_serves(&server).await;
    server.finish().await;
}

/// A session, and what it is told after one bad frame.
async fn after_login(server: &TestServer, frame: &[u8]) -> (Option<ErrorCode>, GoodbyeReason) {
    let mut peer = server.peer_again("anna").await;
    peer.send_raw(frame, &[]).await;
    let mut code = None;
    loop {
        let received = peer.next().await;
        if received.op == Op::GOODBYE {
            return (code, received.read::<Goodbye>().reason);
        }
        assert!(received.flags.is_error(), "{received:?}");
        assert_eq!(received.id, RequestId(5));
        code = Some(received.read::<Refusal>().code);
    }
}

#[tokio::test]
async fn garbage_after_login_ends_the_session_with_a_word() {
    let server = TestServer::start().await;
    drop(server.peer("anna").await);
    let broken = (None, GoodbyeReason::ProtocolError);
    assert_eq!(after_login(&server, b"").await, broken);
    assert_eq!(after_login(&server, b"\xc1garbage").await, broken);
    assert_eq!(after_login(&server, &[0x91; 100]).await, broken);
    // A field that stands twice, an extension type, and a byte behind the map.
    assert_eq!(after_login(&server, b"\x83\xa2id\x05\xa2id\x05\xa2op\x10").await, broken);
    assert_eq!(after_login(&server, b"\x83\xa2id\x05\xa2op\x10\xa4args\xd4\x01\0").await, broken);
    assert_eq!(after_login(&server, b"\x82\xa2id\x05\xa2op\x03\xc0").await, broken);
    // A field that must be there, and a number that is none of its range.
    assert_eq!(after_login(&server, b"\x81\xa2id\x05").await, broken);
    assert_eq!(after_login(&server, b"\x82\xa2id\x05\xa2op\xce\0\x01\0\0").await, broken);

    let told = (Some(ErrorCode::MALFORMED), GoodbyeReason::ProtocolError);
    let header = |op, flags| encode_header(RequestId(5), op, flags, &Empty {});
    assert_eq!(after_login(&server, &header(Op::STAT, Flags::REQUEST)).await, told, "no path");
    assert_eq!(after_login(&server, &header(Op::WRITE_BLOCK, Flags::NONE)).await, told);
    assert_eq!(after_login(&server, &header(Op::PING, Flags::NONE)).await, told, "one frame only");
    assert_eq!(after_login(&server, &header(Op::HELLO, Flags::REQUEST)).await, told);
    assert_eq!(after_login(&server, &header(Op::SCRAM_PROOF, Flags::REQUEST)).await, told);
    still_serves(&server).await;
    server.finish().await;
}

/// HARDENING S12, S13: too long and too deep end the session, and cost nothing before.
#[tokio::test]
async fn s12_s13_a_long_or_deep_frame_ends_the_session() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let long = vec![0x80; (1 << 20) + 1];
    if peer.writer.send(&long, &[]).await.is_ok() && peer.writer.flush().await.is_ok() {
        let reason = peer.farewell().await;
        assert!(matches!(reason, Some(GoodbyeReason::ProtocolError) | None), "{reason:?}");
    }
    // {id: 5, op: 16, flags: 1, args: [[[[…]]]]}
    let mut deep = Vec::new();
    deep.put_slice(b"\x84\xa2id\x05\xa2op\x10\xa5flags\x01\xa4args");
    deep.put_slice(&[0x91; 20]);
    deep.put_u8(0xc0);
    assert_eq!(after_login(&server, &deep).await, (None, GoodbyeReason::ProtocolError));
    server.finish().await;
}

#[tokio::test]
async fn an_unknown_operation_is_refused_by_its_id_and_the_session_goes_on() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    // In several frames: what follows the refusal is not taken for something new.
    for flags in [Flags::NONE, Flags::NONE, Flags::REQUEST] {
        peer.queue(RequestId(40), Op(4711), flags, &Ping {}, b"body").await.unwrap();
    }
    peer.queue(RequestId(41), Op::STAT, Flags::REQUEST, &home(), &[]).await.unwrap();
    peer.flush().await;
    let refused = peer.next().await;
    assert_eq!((refused.id, refused.op), (RequestId(40), Op(4711)));
    assert_eq!(refused.read::<Refusal>().code, ErrorCode::UNSUPPORTED);
    let answer = peer.next().await;
    assert_eq!((answer.id, answer.flags), (RequestId(41), Flags::LAST_ANSWER));
    server.finish().await;
}

/// HARDENING S10: numbers of a request do not set what it costs.
#[tokio::test]
async fn s10_numbers_beyond_the_limits_are_refused() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let (path, version) = (RemotePath::parse(b"f").unwrap(), Version::default());
    let read = Read { path: path.clone(), version: version.clone(), first: 0, count: 1025 };
    assert_eq!(peer.stream(&read).await.unwrap_err().code, ErrorCode::LIMIT_EXCEEDED);
    let row = ReadRow { path, version, first: 0, count: u64::MAX, fine: true };
    assert_eq!(peer.stream(&row).await.unwrap_err().code, ErrorCode::LIMIT_EXCEEDED);

    let paths = vec![RemotePath::home(); 1024];
    let pages = peer.stream(&StatMany { paths }).await.unwrap();
    assert_eq!(pages.iter().map(|(page, _)| page.results.len()).sum::<usize>(), 1024);
    server.finish().await;
}

/// HARDENING S10, S16: more unfinished requests than the limit end the session; their memory is
/// bounded by it.
#[tokio::test]
async fn s16_unfinished_requests_are_bounded() {
    let server = TestServer::start_with(|bounds| bounds.requests = 4).await;
    let mut peer = server.peer("anna").await;
    let write =
        |block| WriteBlock { upload: UploadId(1), epoch: Epoch(1), block, offset: 0, hash: None };
    for block in 0..5_u32 {
        let header =
            encode_header(RequestId(block), Op::WRITE_BLOCK, Flags::NONE, &write(block.into()));
        peer.send_raw(&header, b"x").await;
    }
    assert_eq!(peer.farewell().await, Some(GoodbyeReason::ProtocolError));
    still_serves(&server).await;
    server.finish().await;
}

/// HARDENING S16: who asks and does not read is not read any more; nothing is lost once it does.
#[tokio::test]
async fn s16_a_peer_that_does_not_read_is_not_read() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let names = (0..500_u32).map(|number| format!("{number:0>200}"));
    for name in names {
        std::fs::write(server.home("anna").join(name), "").unwrap();
    }
    let list = sampan_protocol::message::List { path: RemotePath::home(), cursor: None };
    // Each answer is some 120 KiB, far more than sockets hold after a few hundred of them.
    let mut sent = 0_u32;
    loop {
        let id = RequestId(1000 + sent);
        // A body makes what is sent large too, so that the way there fills up.
        let body = vec![0; 64 << 10];
        let sending = async {
            peer.queue(id, Op::LIST, Flags::REQUEST, &list, &body).await.unwrap();
            peer.flush().await;
        };
        // A frame whose sending was given up is queued all the same.
        let stuck = timeout(Duration::from_millis(500), sending).await.is_err();
        sent += 1;
        if stuck {
            break;
        }
        assert!(sent < 5000, "the server reads without end");
    }
    let Peer { reader, writer, .. } = &mut peer;
    let reading = async {
        let mut answered = 0;
        while answered < sent {
            let frame = reader.next().await.unwrap().unwrap();
            let envelope = sampan_protocol::wire::Envelope::decode(&frame.header).unwrap();
            assert!(!envelope.flags.is_error());
            answered += u32::from(envelope.flags.is_last() && envelope.op == Op::LIST);
        }
    };
    let both = async { tokio::join!(writer.flush(), reading) };
    let (flushed, ()) = timeout(PATIENCE, both).await.expect("everything is answered in the end");
    flushed.unwrap();
    server.finish().await;
}

/// A header that carries an unknown field and a body that nobody asked for changes nothing.
#[tokio::test]
async fn what_is_not_known_is_ignored() {
    #[derive(serde::Serialize)]
    struct Later {
        path: RemotePath,
        hint: &'static str,
    }
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let later = Later { path: RemotePath::home(), hint: "later" };
    let id = RequestId(3);
    peer.queue(id, Stat::OP, Flags(Flags::LAST.0 | 0x80), &later, b"body").await.unwrap();
    peer.flush().await;
    assert_eq!(peer.next().await.flags, Flags::LAST_ANSWER);
    server.finish().await;
}

/// The limits before login hold on this side of the wire too: the welcome fits.
#[tokio::test]
async fn a_login_needs_no_large_frame() {
    let server = TestServer::start().await;
    let anna = server.add("anna").await;
    server.enrol(anna, &key(1)).await;
    let mut peer = Peer::connect(&server).await;
    peer.writer.set_limits(FrameLimits::BEFORE_LOGIN);
    let welcome = peer.log_in_by_key("anna", &key(1)).await.unwrap();
    assert!(encode_args(&welcome).len() < 1024);
    server.finish().await;
}
