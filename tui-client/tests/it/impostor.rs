//! Servers that shake hands as they should and lie from then on: the real program gives them
//! nothing, asks them nothing, and says what is wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sampan_protocol::RequestId;
use sampan_protocol::limits::PROTOCOL_VERSION;
use sampan_protocol::message::{
    Durability, Hello, HelloAnswer, HelloBody, Limits, Op, Request, ScramAnswer, ScramProof,
    Welcome,
};
use sampan_protocol::scram::{HelloHash, ServerLogin, Verifier};
use sampan_protocol::testing::identity;
use sampan_protocol::transport::{Acceptor, Secured};
use sampan_protocol::wire::{Envelope, Flags, decode_args, encode_header};
use serde::Serialize;
use serde_bytes::ByteBuf;

use crate::program::{Ended, Program};

const ITERATIONS: u32 = 600_000;

/// What the server does wrong.
#[derive(Clone, Copy, Debug)]
enum Lie {
    /// It lets everybody in, with a proof that it made up.
    Proof,
    /// It asks for so much or so little work on the password.
    Iterations(u32),
    /// Its challenge is of another login.
    Nonce,
    /// It greets as if the login were over.
    Welcome,
}

/// A lying server, and how many frames it was sent after it had lied.
struct Impostor {
    port: u16,
    heard: Arc<AtomicUsize>,
    _runtime: tokio::runtime::Runtime,
}

impl Impostor {
    fn start(lie: Lie) -> Self {
        let acceptor = Acceptor::new(identity()).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&heard);
        runtime.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let Ok(secured) = acceptor.accept(tcp).await else { continue };
                let Some(mut secured) = lie.tell(secured).await else { continue };
                while let Ok(Some(_)) = secured.reader.next().await {
                    counter.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Self { port, heard, _runtime: runtime }
    }

    fn is_visited(&self) -> Ended {
        let program = Program::new();
        let place = format!("sampan://ada@127.0.0.1:{}/", self.port);
        let mut command = program.command(["ls", "--accept-new", &place]);
        Ended::of(command.env("SAMPAN_PASSWORD", "secret").output().unwrap())
    }
}

impl Lie {
    /// Plays the server's part up to the lie.
    async fn tell(self, mut secured: Secured) -> Option<Secured> {
        let hello: Hello = hear(&mut secured).await?;
        let body: HelloBody = decode_args(&hello.hello).unwrap();
        assert_eq!((body.user.as_str(), hello.key), ("ada", None));
        if matches!(self, Self::Welcome) {
            let answer = HelloAnswer {
                version: PROTOCOL_VERSION,
                challenge: None,
                welcome: Some(welcome()),
            };
            say::<Hello>(&mut secured, 1, &answer).await;
            return Some(secured);
        }
        let login = ServerLogin::start(&hello.scram.unwrap(), HelloHash::of(&hello.hello)).unwrap();
        let iterations = match self {
            Self::Iterations(iterations) => iterations,
            _ => ITERATIONS,
        };
        let verifier = Verifier::made_up(&[7; 32], "ada", iterations);
        let (_, mut challenge) = login.challenge(verifier, [9; _]);
        if matches!(self, Self::Nonce) {
            // The first letter of `r=…`, which the client has chosen.
            challenge[2] = if challenge[2] == b'A' { b'B' } else { b'A' };
        }
        let answer = HelloAnswer {
            version: PROTOCOL_VERSION,
            challenge: Some(ByteBuf::from(challenge)),
            welcome: None,
        };
        say::<Hello>(&mut secured, 1, &answer).await;
        if matches!(self, Self::Proof) {
            hear::<ScramProof>(&mut secured).await?;
            let made_up = b"v=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_vec();
            let answer = ScramAnswer { server_final: ByteBuf::from(made_up), welcome: welcome() };
            say::<ScramProof>(&mut secured, 2, &answer).await;
        }
        Some(secured)
    }
}

fn welcome() -> Welcome {
    let limits = Limits {
        header_bytes: 1 << 16,
        body_bytes: 1 << 20,
        requests: 64,
        connections: 8,
        pack_members: 512,
        pack_bytes: 8 << 20,
        idle_seconds: 60,
    };
    Welcome {
        account: "ada".to_owned(),
        agent: "impostor/1".to_owned(),
        durability: Durability::Full,
        limits,
    }
}

async fn hear<R: Request + serde::de::DeserializeOwned>(secured: &mut Secured) -> Option<R> {
    let frame = secured.reader.next().await.ok()??;
    let envelope = Envelope::decode(&frame.header).unwrap();
    assert_eq!(envelope.op, R::OP);
    Some(decode_args(envelope.args).unwrap())
}

async fn say<R: Request<Answer: Serialize>>(secured: &mut Secured, id: u32, answer: &R::Answer) {
    let op: Op = R::OP;
    let header = encode_header(RequestId(id), op, Flags::LAST_ANSWER, answer);
    secured.writer.send(&header, &[]).await.unwrap();
    secured.writer.flush().await.unwrap();
}

#[test]
fn s19_a_server_without_the_right_proof_is_left_with_5_before_any_request() {
    for lie in [Lie::Proof, Lie::Nonce, Lie::Iterations(1), Lie::Iterations(u32::MAX)] {
        let impostor = Impostor::start(lie);
        let ended = impostor.is_visited();
        ended.failed(5, &["did not prove", "another machine"]);
        assert_eq!(impostor.heard.load(Ordering::SeqCst), 0, "{lie:?}");
    }
}

#[test]
fn s19_a_welcome_without_any_proof_is_worth_nothing() {
    let impostor = Impostor::start(Lie::Welcome);
    impostor.is_visited().failed(3, &["not a Sampan server"]);
    assert_eq!(impostor.heard.load(Ordering::SeqCst), 0);
}
