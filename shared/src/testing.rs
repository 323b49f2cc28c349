//! For tests of both sides: an identity that costs nothing, secured connections without a host, and
//! a peer that follows a script.

use std::sync::OnceLock;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;

use crate::frame::{Frame, FrameLimits};
use crate::id::RequestId;
use crate::transport::{
    Acceptor, FrameReader, FrameWriter, Secured, ServerIdentity, Target, Trust, connect,
};
use crate::wire::{Envelope, Flags, Op, decode_args, encode_header};

/// Longer than any step of a test takes, so that a test that hangs fails.
const PATIENCE: Duration = Duration::from_mins(1);

/// One throw-away identity for the process.
pub fn identity() -> &'static ServerIdentity {
    static IDENTITY: OnceLock<ServerIdentity> = OnceLock::new();
    IDENTITY.get_or_init(|| ServerIdentity::generate().expect("a key can be made in a test"))
}

/// A certificate authority, in PEM, and a server that it vouches for under these names.
pub fn vouched_for(names: &[&str]) -> (String, ServerIdentity) {
    let made = || -> Result<_, rcgen::Error> {
        let root_key = rcgen::KeyPair::generate()?;
        let mut root = rcgen::CertificateParams::new(vec![])?;
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root_pem = root.self_signed(&root_key)?.pem();
        let key = rcgen::KeyPair::generate()?;
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let own = rcgen::CertificateParams::new(names)?;
        let own = own.signed_by(&key, &rcgen::Issuer::new(root, root_key))?;
        Ok((root_pem, key.serialize_pem(), own.pem()))
    };
    let (root_pem, key, own) = made().expect("a test's names can stand in a certificate");
    (root_pem, ServerIdentity::from_pem(&key, &own).expect("a fresh identity is usable"))
}

/// Both ends, client first, of one connection over the loopback interface, secured by
/// [`identity`].
pub async fn secured_pair() -> (Secured, Secured) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port on the loopback");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    let target = Target { host: "127.0.0.1".into(), port };
    let trust = Trust::Key(identity().fingerprint());
    let acceptor = Acceptor::new(identity()).expect("a fresh identity is usable");
    let server = async {
        let (tcp, _) = listener.accept().await.expect("the client connects");
        acceptor.accept(tcp).await.expect("the client shakes hands")
    };
    let (client, server) = tokio::join!(connect(&target, &trust, PATIENCE), server);
    (client.expect("the server shakes hands").secured, server)
}

/// One end of a connection whose test says step by step what it does. Every step panics if the
/// other end does something else, or nothing for a minute.
#[derive(Debug)]
pub struct ScriptedPeer {
    reader: FrameReader,
    writer: FrameWriter,
}

impl ScriptedPeer {
    /// Takes a connection over, with the limits after login.
    pub fn new(secured: Secured) -> Self {
        let Secured { mut reader, mut writer, .. } = secured;
        reader.set_limits(FrameLimits::AFTER_LOGIN);
        writer.set_limits(FrameLimits::AFTER_LOGIN);
        Self { reader, writer }
    }

    /// Sends a frame with a message.
    pub async fn send<T: Serialize>(
        &mut self,
        id: RequestId,
        op: Op,
        flags: Flags,
        args: &T,
        body: &[u8],
    ) {
        self.send_raw(&encode_header(id, op, flags, args), body).await;
    }

    /// Sends a frame whose header is any bytes.
    pub async fn send_raw(&mut self, header: &[u8], body: &[u8]) {
        self.writer.send(header, body).await.expect("the other end takes the frame");
        self.writer.flush().await.expect("the other end takes the frame");
    }

    /// Waits for a frame.
    pub async fn receive(&mut self) -> Frame {
        let frame = tokio::time::timeout(PATIENCE, self.reader.next()).await;
        let frame = frame.expect("the other end sends a frame within a minute");
        frame.expect("the connection holds").expect("the other end sends one more frame")
    }

    /// Waits for a frame of `op`; gives its id, flags, message and body.
    pub async fn expect<T: DeserializeOwned>(&mut self, op: Op) -> Received<T> {
        let frame = self.receive().await;
        let envelope = Envelope::decode(&frame.header).expect("the other end sends a header");
        assert_eq!(envelope.op, op, "the other end sends another operation");
        let args = decode_args(envelope.args).expect("the other end sends a message");
        Received { id: envelope.id, flags: envelope.flags, args, body: frame.body }
    }

    /// Waits until the other end is gone, in order or not; gives how many frames came before.
    pub async fn expect_end(&mut self) -> usize {
        let mut frames = 0;
        loop {
            let next = tokio::time::timeout(PATIENCE, self.reader.next()).await;
            match next.expect("the other end is gone within a minute") {
                Ok(Some(_)) => frames += 1,
                Ok(None) | Err(_) => return frames,
            }
        }
    }

    /// Ends the connection in order.
    pub async fn close(self) {
        self.writer.close().await.expect("the other end takes the close");
    }
}

/// A frame that came as it should.
#[derive(Clone, Debug)]
pub struct Received<T> {
    /// Of the request.
    pub id: RequestId,
    /// Of the frame.
    pub flags: Flags,
    /// The message.
    pub args: T,
    /// Raw bytes.
    pub body: bytes::Bytes,
}
