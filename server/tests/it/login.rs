//! Who is let in, and what everyone else is told.

use std::time::{Duration, Instant};

use sampan_protocol::login_key::LoginKey;
use sampan_protocol::message::{
    EnrolKey, Hello, HelloAnswer, KeyLife, ListKeys, Mkdir, Op, RevokeKey, Stat, StatAnswer,
};
use sampan_protocol::scram::{ClientLogin, HelloHash, IterationLimits};
use sampan_protocol::wire::{Flags, encode_args};
use sampan_protocol::{ErrorCode, Refusal, RemotePath, RequestId};
use serde_bytes::ByteBuf;

use crate::harness::{PASSWORD, TestServer, key};
use crate::peer::Peer;

fn home() -> Stat {
    Stat { path: RemotePath::home() }
}

#[tokio::test]
async fn a_password_logs_in_and_both_sides_prove_themselves() {
    let server = TestServer::start().await;
    server.add("anna").await;
    let mut peer = Peer::connect(&server).await;
    let welcome = peer.log_in("anna", PASSWORD).await.unwrap();
    assert_eq!(welcome.account, "anna");
    assert_eq!(welcome.limits.requests, 64);
    assert_eq!(welcome.limits.idle_seconds, 60);
    peer.call(&home()).await.unwrap();
    server.finish().await;
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let server = TestServer::start().await;
    server.add("anna").await;
    let mut peer = Peer::connect(&server).await;
    let refusal = peer.log_in("anna", "wrong").await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LOGIN_REFUSED);
    assert_eq!(peer.farewell().await, None);
    server.finish().await;
}

/// What a stranger sees who asks for `user` twice: both salts and rounds, and the refusal.
async fn seen_for(server: &TestServer, user: &str) -> ([([u8; 16], u32); 2], Refusal) {
    let mut challenges = Vec::new();
    let mut refusals = Vec::new();
    for _ in 0..2 {
        let mut peer = Peer::connect(server).await;
        let hello = encode_args(&peer.hello_body(user));
        let (login, first) =
            ClientLogin::start(user, rand::random(), HelloHash::of(&hello)).unwrap();
        let scram = Some(ByteBuf::from(first));
        let hello = Hello { hello: ByteBuf::from(hello), scram, key: None };
        let answer: HelloAnswer = peer.call(&hello).await.unwrap();
        let any = IterationLimits { fewest: 1, most: u32::MAX };
        let next = login.challenge(&answer.challenge.unwrap(), any).unwrap();
        challenges.push((next.challenge().salt, next.challenge().iterations));
        drop(peer);

        let mut peer = Peer::connect(server).await;
        refusals.push(peer.log_in(user, "guess").await.unwrap_err());
        assert_eq!(peer.farewell().await, None);
    }
    assert_eq!(refusals[0], refusals[1]);
    (challenges.try_into().unwrap(), refusals.remove(0))
}

/// HARDENING S19: an unknown user, a closed one and an impossible one look like a known one whose
/// password is wrong: stable salt, the rounds of new passwords, the same steps and words.
#[tokio::test]
async fn s19_unknown_users_are_answered_as_known_ones() {
    let server = TestServer::start().await;
    server.add("anna").await;
    let closed = server.add("closed").await;
    server.data().accounts.set_disabled(closed, true).await.unwrap();

    let (known, refusal) = seen_for(&server, "anna").await;
    assert_eq!(known[0], known[1]);
    for user in ["nobody", "closed", "No Such Name!"] {
        let (challenges, other_refusal) = seen_for(&server, user).await;
        assert_eq!(challenges[0], challenges[1], "{user}: the same salt each time");
        assert_ne!(challenges[0].0, known[0].0);
        assert_eq!(challenges[0].1, sampan_server::PASSWORD_ITERATIONS);
        assert_eq!(other_refusal, refusal, "{user}");
    }
    server.finish().await;
}

/// A closed account's right password opens nothing either.
#[tokio::test]
async fn a_disabled_account_is_refused_with_its_own_password() {
    let server = TestServer::start().await;
    let anna = server.add("anna").await;
    server.enrol(anna, &key(1)).await;
    server.data().accounts.set_disabled(anna, true).await.unwrap();
    let mut peer = Peer::connect(&server).await;
    let refusal = peer.log_in("anna", PASSWORD).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LOGIN_REFUSED);
    let mut peer = Peer::connect(&server).await;
    let refusal = peer.log_in_by_key("anna", &key(1)).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LOGIN_REFUSED);
    server.finish().await;
}

#[tokio::test]
async fn failures_cost_time_whoever_is_tried() {
    let server = TestServer::start().await;
    server.add("anna").await;
    for user in ["nobody", "anna"] {
        let mut tries = 0;
        // On a slow machine the first waits are over before they are seen; they double.
        let wait = loop {
            let mut peer = Peer::connect(&server).await;
            let refusal = peer.log_in(user, "guess").await.unwrap_err();
            assert_eq!(refusal.code, ErrorCode::LOGIN_REFUSED);
            if let Some(wait) = refusal.retry_after_ms {
                break Duration::from_millis(wait);
            }
            tries += 1;
            assert!(tries < 12);
        };
        assert!(tries >= 4, "mistyping is free");
        assert!(!wait.is_zero() && wait <= Duration::from_mins(1), "{wait:?}");
        // Not even the right password helps before its time.
        let told = Instant::now();
        let mut peer = Peer::connect(&server).await;
        match peer.log_in(user, PASSWORD).await {
            Err(Refusal { code: ErrorCode::LOGIN_REFUSED, retry_after_ms: Some(_), .. }) => {}
            other => assert!(told.elapsed() >= wait, "{other:?}"),
        }
    }
    // Others are not held up.
    let bert = server.add("bert").await;
    server.enrol(bert, &key(1)).await;
    let mut peer = Peer::connect(&server).await;
    peer.log_in("bert", PASSWORD).await.unwrap();
    server.finish().await;
}

/// Whoever guesses at many connections at once gets no more tries than in turn.
#[tokio::test]
async fn guesses_at_once_cost_as_much_as_guesses_in_turn() {
    let server = TestServer::start().await;
    server.add("anna").await;
    for user in ["nobody", "anna"] {
        let guess = async || {
            let mut peer = Peer::connect(&server).await;
            let refusal = peer.log_in(user, "guess").await.unwrap_err();
            assert_eq!(refusal.code, ErrorCode::LOGIN_REFUSED);
            refusal.retry_after_ms.is_some()
        };
        let guesses = futures_util::future::join_all((0..32).map(|_| guess())).await;
        let tried = guesses.iter().filter(|waits| !**waits).count();
        // Four are free; on a slow machine the first waits are over before all have asked.
        assert!((4..=8).contains(&tried), "{tried} tries");
    }
    server.finish().await;
}

#[tokio::test]
async fn many_good_logins_at_once_all_succeed() {
    let server = TestServer::start().await;
    server.add("anna").await;
    let login = async || {
        let mut peer = Peer::connect(&server).await;
        peer.log_in("anna", PASSWORD).await.map(|_| ())
    };
    let logins = futures_util::future::join_all((0..32).map(|_| login())).await;
    assert!(logins.iter().all(Result::is_ok), "{logins:?}");
    server.finish().await;
}

/// HARDENING S14: a proof made for one connection is worth nothing on another.
#[tokio::test]
async fn s14_a_relayed_proof_is_refused() {
    let server = TestServer::start().await;
    let anna = server.add("anna").await;
    server.enrol(anna, &key(1)).await;
    let victims_connection = [42; 32];

    let mut relay = Peer::connect(&server).await;
    let (_, proof) = relay.prove_on("anna", PASSWORD, &victims_connection).await.unwrap();
    let refusal = relay.call(&proof).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LOGIN_REFUSED);

    let mut relay = Peer::connect(&server).await;
    let mut hello = relay.key_hello("anna", &key(1));
    let signature = key(1).sign(&victims_connection, &hello.hello);
    hello.key.as_mut().unwrap().signature = ByteBuf::from(signature);
    let refusal = relay.call(&hello).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LOGIN_REFUSED);
    server.finish().await;
}

/// HARDENING S14: the login covers the whole hello; another one beside the same proof is refused.
#[tokio::test]
async fn s14_an_altered_hello_is_refused() {
    let server = TestServer::start().await;
    let anna = server.add("anna").await;
    server.enrol(anna, &key(1)).await;

    let mut peer = Peer::connect(&server).await;
    let sent = encode_args(&peer.hello_body("anna"));
    let (_, first) = ClientLogin::start("anna", rand::random(), HelloHash::of(&sent)).unwrap();
    let mut altered = peer.hello_body("anna");
    altered.newest = 7;
    let altered = ByteBuf::from(encode_args(&altered));
    let scram = Some(ByteBuf::from(first));
    let refusal = peer.call(&Hello { hello: altered.clone(), scram, key: None }).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LOGIN_REFUSED);

    let mut peer = Peer::connect(&server).await;
    let hello = Hello { hello: altered, ..peer.key_hello("anna", &key(1)) };
    let refusal = peer.call(&hello).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LOGIN_REFUSED);
    server.finish().await;
}

#[tokio::test]
async fn a_key_logs_in_with_its_first_request_in_one_flight() {
    let server = TestServer::start().await;
    let anna = server.add("anna").await;
    server.enrol(anna, &key(1)).await;
    let mut peer = Peer::connect(&server).await;
    let hello = peer.key_hello("anna", &key(1));
    peer.queue(RequestId(1), Op::HELLO, Flags::REQUEST, &hello, &[]).await.unwrap();
    peer.queue(RequestId(2), Op::STAT, Flags::REQUEST, &home(), &[]).await.unwrap();
    peer.flush().await;
    let welcome: HelloAnswer = peer.next().await.result().unwrap();
    assert_eq!(welcome.welcome.unwrap().account, "anna");
    assert_eq!(welcome.version, 1);
    let answer = peer.next().await;
    assert_eq!(answer.id, RequestId(2));
    answer.result::<StatAnswer>().unwrap();
    server.finish().await;
}

/// DESIGN 4: a request that rides with the proof runs only after the proof was verified.
#[tokio::test]
async fn a_request_that_rides_with_a_proof_waits_for_it() {
    let server = TestServer::start().await;
    server.add("anna").await;
    for (password, is_made) in [("wrong", false), (PASSWORD, true)] {
        let mut peer = Peer::connect(&server).await;
        let (_, proof) = peer.prove("anna", password).await.unwrap();
        let change = peer.change();
        let path = RemotePath::parse(b"made").unwrap();
        let mkdir = Mkdir { change, path, parents: false, mode: None };
        peer.queue(RequestId(8), Op::SCRAM_PROOF, Flags::REQUEST, &proof, &[]).await.unwrap();
        peer.queue(RequestId(9), Op::MKDIR, Flags::REQUEST, &mkdir, &[]).await.unwrap();
        peer.flush().await;
        let answer = peer.next().await;
        assert_eq!((answer.id, answer.flags.is_error()), (RequestId(8), !is_made));
        if is_made {
            let answer = peer.next().await;
            assert_eq!((answer.id, answer.flags.is_error()), (RequestId(9), false));
        } else {
            assert_eq!(peer.farewell().await, None);
        }
        assert_eq!(server.home("anna").join("made").exists(), is_made);
    }
    server.finish().await;
}

async fn key_login(server: &TestServer, user: &str, key: &LoginKey) -> Result<(), ErrorCode> {
    let mut peer = Peer::connect(server).await;
    let login = peer.log_in_by_key(user, key).await;
    login.map(drop).map_err(|refusal| refusal.code)
}

#[tokio::test]
async fn only_an_enrolled_key_of_this_account_logs_in() {
    let server = TestServer::start().await;
    let anna = server.add("anna").await;
    server.add("bert").await;
    server.enrol(anna, &key(1)).await;
    assert_eq!(key_login(&server, "anna", &key(1)).await, Ok(()));
    assert_eq!(key_login(&server, "anna", &key(2)).await, Err(ErrorCode::LOGIN_REFUSED));
    assert_eq!(key_login(&server, "bert", &key(1)).await, Err(ErrorCode::LOGIN_REFUSED));
    assert_eq!(key_login(&server, "nobody", &key(1)).await, Err(ErrorCode::LOGIN_REFUSED));
    let used = server.data().accounts.keys(anna).await.unwrap()[0].used;
    assert!(used.is_some_and(|used| used.seconds() > 0));

    // Somebody else's public key beside a signature of one's own.
    let mut peer = Peer::connect(&server).await;
    let mut hello = peer.key_hello("anna", &key(2));
    hello.key.as_mut().unwrap().public_key = ByteBuf::from(key(1).public().0);
    assert_eq!(peer.call(&hello).await.unwrap_err().code, ErrorCode::LOGIN_REFUSED);
    server.finish().await;
}

#[tokio::test]
async fn keys_are_enrolled_listed_and_revoked() {
    let mut server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let enrol = |number: u8, life| EnrolKey {
        public_key: ByteBuf::from(key(number).public().0),
        life,
        label: "laptop \u{1b}[2J".to_owned(),
    };
    let lasting = peer.call(&enrol(1, KeyLife::UntilRevoked)).await.unwrap();
    peer.call(&enrol(2, KeyLife::Session)).await.unwrap();
    assert_eq!(lasting.fingerprint.as_slice(), key(1).public().fingerprint().0);
    let keys = peer.call(&ListKeys {}).await.unwrap().keys;
    assert_eq!(keys.len(), 2, "the harness's and the lasting one");
    assert_eq!(keys[1].fingerprint, lasting.fingerprint);
    assert_eq!(key_login(&server, "anna", &key(1)).await, Ok(()));
    assert_eq!(key_login(&server, "anna", &key(2)).await, Ok(()));

    // A session's key ends with the process, a lasting one does not.
    server.restart().await;
    assert_eq!(key_login(&server, "anna", &key(1)).await, Ok(()));
    assert_eq!(key_login(&server, "anna", &key(2)).await, Err(ErrorCode::LOGIN_REFUSED));

    let mut peer = server.peer_again("anna").await;
    let revoke = RevokeKey { fingerprint: lasting.fingerprint };
    peer.call(&revoke).await.unwrap();
    assert_eq!(key_login(&server, "anna", &key(1)).await, Err(ErrorCode::LOGIN_REFUSED));
    assert_eq!(peer.call(&revoke).await.unwrap_err().code, ErrorCode::KEY_NOT_FOUND);

    let long = EnrolKey { label: "x".repeat(129), ..enrol(3, KeyLife::UntilRevoked) };
    assert_eq!(peer.call(&long).await.unwrap_err().code, ErrorCode::LIMIT_EXCEEDED);
    server.finish().await;
}

#[tokio::test]
async fn only_a_common_version_and_one_proof_are_taken() {
    let server = TestServer::start().await;
    server.add("anna").await;
    let mut peer = Peer::connect(&server).await;
    let mut body = peer.hello_body("anna");
    (body.oldest, body.newest) = (2, 9);
    let hello = ByteBuf::from(encode_args(&body));
    let refusal = peer.call(&Hello { hello, scram: None, key: None }).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::VERSION_UNSUPPORTED);

    let mut peer = Peer::connect(&server).await;
    let both = Hello { scram: Some(ByteBuf::new()), ..peer.key_hello("anna", &key(1)) };
    assert_eq!(peer.call(&both).await.unwrap_err().code, ErrorCode::MALFORMED);
    let mut peer = Peer::connect(&server).await;
    let neither = Hello { key: None, ..peer.key_hello("anna", &key(1)) };
    assert_eq!(peer.call(&neither).await.unwrap_err().code, ErrorCode::MALFORMED);
    server.finish().await;
}

#[tokio::test]
async fn more_connections_than_the_bounds_are_told_to_come_again() {
    let bounds = |bounds: &mut sampan_server::config::Bounds| {
        (bounds.connections, bounds.connections_per_account) = (3, 2);
    };
    let server = TestServer::start_with(bounds).await;
    let _first = server.peer("anna").await;
    let _second = server.peer_again("anna").await;
    let mut third = Peer::connect(&server).await;
    let refusal = third.log_in_by_key("anna", &key(7)).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::BUSY);
    assert!(refusal.retry_after_ms.is_some());

    let bert = server.peer("bert").await;
    assert_eq!(key_login(&server, "bert", &key(7)).await, Err(ErrorCode::BUSY));
    drop(bert);
    crate::harness::until("the place is given back", async || {
        key_login(&server, "bert", &key(7)).await.is_ok()
    })
    .await;
    server.finish().await;
}
