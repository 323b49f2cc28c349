//! A raw client: every frame is the test's own.

use std::net::SocketAddr;

use bytes::Bytes;
use sampan_protocol::frame::FrameLimits;
use sampan_protocol::login_key::LoginKey;
use sampan_protocol::message::{
    Goodbye, GoodbyeReason, Hello, HelloAnswer, HelloBody, KeyProof, Op, Request, ScramAnswer,
    ScramProof, Welcome,
};
use sampan_protocol::scram::{ClientLogin, ClientProved, HelloHash, IterationLimits, derive};
use sampan_protocol::transport::{
    Fingerprint, FrameReader, FrameWriter, Secured, Target, Trust, WriteError, connect,
};
use sampan_protocol::wire::{Envelope, Flags, decode_args, encode_args, encode_header};
use sampan_protocol::{ChangeKey, ErrorCode, InstanceId, Refusal, RequestId};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_bytes::ByteBuf;
use tokio::time::timeout;

use crate::harness::{PATIENCE, TestServer};

/// Tests keep accounts with few rounds.
const ANY_ROUNDS: IterationLimits = IterationLimits { fewest: 1, most: 2_000_000 };

/// One connection.
pub(crate) struct Peer {
    pub(crate) reader: FrameReader,
    pub(crate) writer: FrameWriter,
    pub(crate) exporter: [u8; 32],
    next_id: u32,
    next_change: u64,
    instance: InstanceId,
}

/// A frame that came.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) id: RequestId,
    pub(crate) op: Op,
    pub(crate) flags: Flags,
    pub(crate) args: Vec<u8>,
    pub(crate) body: Bytes,
}

impl Received {
    pub(crate) fn read<T: DeserializeOwned>(&self) -> T {
        decode_args(&self.args).unwrap()
    }

    /// The answer, or the refusal.
    pub(crate) fn result<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        assert!(self.flags.is_answer(), "{self:?}");
        if self.flags.is_error() { Err(self.read()) } else { Ok(self.read()) }
    }
}

impl Peer {
    /// A connection that is not logged in.
    pub(crate) async fn connect(server: &TestServer) -> Self {
        Self::connect_to(server, server.address()).await
    }

    /// The same through something in between.
    pub(crate) async fn connect_to(server: &TestServer, address: SocketAddr) -> Self {
        Self::connect_at(address, server.fingerprint()).await
    }

    /// A connection to whoever has this key at this address.
    pub(crate) async fn connect_at(address: SocketAddr, fingerprint: Fingerprint) -> Self {
        let target = Target { host: address.ip().to_string(), port: address.port() };
        let trust = Trust::Key(fingerprint);
        let connected = connect(&target, &trust, PATIENCE).await.unwrap();
        let Secured { reader, mut writer, exporter, .. } = connected.secured;
        // The server's limits are what is tested.
        writer.set_limits(FrameLimits { header: 8 << 20, body: 8 << 20 });
        let instance = InstanceId(rand::random());
        Self { reader, writer, exporter, next_id: 1, next_change: 1, instance }
    }

    /// The key of a new change.
    pub(crate) fn change(&mut self) -> ChangeKey {
        let sequence = self.next_change;
        self.next_change += 1;
        ChangeKey { instance: self.instance, sequence, answered: 0 }
    }

    pub(crate) fn id(&mut self) -> RequestId {
        let id = RequestId(self.next_id);
        self.next_id += 1;
        id
    }

    /// Queues any header and body.
    pub(crate) async fn send_raw(&mut self, header: &[u8], body: &[u8]) {
        self.writer.send(header, body).await.unwrap();
        self.writer.flush().await.unwrap();
    }

    /// Queues a frame; [`Self::flush`] sends it.
    pub(crate) async fn queue<T: Serialize>(
        &mut self,
        id: RequestId,
        op: Op,
        flags: Flags,
        args: &T,
        body: &[u8],
    ) -> Result<(), WriteError> {
        self.writer.send(&encode_header(id, op, flags, args), body).await
    }

    /// Sends a whole request; gives its id.
    pub(crate) async fn send<R: Request>(&mut self, args: &R) -> RequestId {
        let id = self.id();
        self.queue(id, R::OP, Flags::REQUEST, args, &[]).await.unwrap();
        self.flush().await;
        id
    }

    pub(crate) async fn flush(&mut self) {
        self.writer.flush().await.unwrap();
    }

    /// The next frame; `None` once the server has closed or is lost.
    pub(crate) async fn try_next(&mut self) -> Option<Received> {
        let next = timeout(PATIENCE, self.reader.next()).await.expect("the server says something");
        let frame = next.ok().flatten()?;
        let Envelope { id, op, flags, args } = Envelope::decode(&frame.header).unwrap();
        Some(Received { id, op, flags, args: args.to_vec(), body: frame.body })
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Received {
        self.try_next().await.expect("the server goes on")
    }

    /// Asks in one frame, is answered in one.
    pub(crate) async fn call<R: Request>(&mut self, args: &R) -> Result<R::Answer, Refusal> {
        let id = self.send(args).await;
        let received = self.next().await;
        assert_eq!((received.id, received.op), (id, R::OP));
        assert!(received.flags.is_last(), "{received:?}");
        received.result()
    }

    /// Asks in one frame, is answered in any number.
    pub(crate) async fn stream<R: Request>(
        &mut self,
        args: &R,
    ) -> Result<Vec<(R::Answer, Bytes)>, Refusal> {
        let id = self.send(args).await;
        self.answers::<R>(id).await
    }

    /// The frames of one answer, when no other is due.
    pub(crate) async fn answers<R: Request>(
        &mut self,
        id: RequestId,
    ) -> Result<Vec<(R::Answer, Bytes)>, Refusal> {
        let mut answers = Vec::new();
        loop {
            let received = self.next().await;
            assert_eq!((received.id, received.op), (id, R::OP));
            answers.push((received.result()?, received.body.clone()));
            if received.flags.is_last() {
                return Ok(answers);
            }
        }
    }

    /// Reads on until the connection ends; gives the goodbye's reason, if there was one.
    pub(crate) async fn farewell(&mut self) -> Option<GoodbyeReason> {
        let mut reason = None;
        while let Some(received) = self.try_next().await {
            if received.op == Op::GOODBYE {
                assert_eq!(received.id, RequestId::UNASKED);
                reason = Some(received.read::<Goodbye>().reason);
            }
        }
        reason
    }

    /// Expects a refusal of this code, and nothing after it but a goodbye.
    pub(crate) async fn expect_refused(&mut self, code: ErrorCode) -> Refusal {
        let received = self.next().await;
        assert!(received.flags.is_error(), "no refusal: {received:?}");
        let refusal: Refusal = received.read();
        assert_eq!(refusal.code, code, "{refusal:?}");
        self.farewell().await;
        refusal
    }

    fn logged_in(&mut self) {
        self.reader.set_limits(FrameLimits::AFTER_LOGIN);
    }

    /// Logs in by a key.
    pub(crate) async fn log_in_by_key(
        &mut self,
        user: &str,
        key: &LoginKey,
    ) -> Result<Welcome, Refusal> {
        let hello = self.key_hello(user, key);
        let answer: HelloAnswer = self.call(&hello).await?;
        self.logged_in();
        Ok(answer.welcome.expect("a key is welcomed at once"))
    }

    /// The hello of a login by key.
    pub(crate) fn key_hello(&self, user: &str, key: &LoginKey) -> Hello {
        let hello = encode_args(&self.hello_body(user));
        let public_key = ByteBuf::from(key.public().0);
        let signature = ByteBuf::from(key.sign(&self.exporter, &hello));
        let key = Some(KeyProof { public_key, signature });
        Hello { hello: ByteBuf::from(hello), scram: None, key }
    }

    pub(crate) fn hello_body(&self, user: &str) -> HelloBody {
        HelloBody {
            oldest: 1,
            newest: 1,
            agent: "test".to_owned(),
            user: user.to_owned(),
            instance: self.instance,
        }
    }

    /// Logs in by a password.
    pub(crate) async fn log_in(&mut self, user: &str, password: &str) -> Result<Welcome, Refusal> {
        let (proved, proof) = self.prove(user, password).await?;
        let answer: ScramAnswer = self.call(&proof).await?;
        let authenticated = proved.verify(&answer.server_final).expect("the server proves itself");
        drop(authenticated);
        self.logged_in();
        Ok(answer.welcome)
    }

    /// The first step of a login by password; gives the second one's proof.
    pub(crate) async fn prove(
        &mut self,
        user: &str,
        password: &str,
    ) -> Result<(ClientProved, ScramProof), Refusal> {
        let exporter = self.exporter;
        self.prove_on(user, password, &exporter).await
    }

    /// As [`Self::prove`], but bound to another connection.
    pub(crate) async fn prove_on(
        &mut self,
        user: &str,
        password: &str,
        exporter: &[u8; 32],
    ) -> Result<(ClientProved, ScramProof), Refusal> {
        let hello = encode_args(&self.hello_body(user));
        let hash = HelloHash::of(&hello);
        let (login, first) = ClientLogin::start(user, rand::random(), hash).unwrap();
        let scram = Some(ByteBuf::from(first));
        let answer: HelloAnswer =
            self.call(&Hello { hello: ByteBuf::from(hello), scram, key: None }).await?;
        let challenge = answer.challenge.expect("a password is challenged");
        let challenged = login.challenge(&challenge, ANY_ROUNDS).unwrap();
        let keys = derive(password, challenged.challenge()).unwrap();
        let (proved, client_final) = challenged.finish(keys, exporter).unwrap();
        Ok((proved, ScramProof { client_final: ByteBuf::from(client_final) }))
    }
}
