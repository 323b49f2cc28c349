use std::time::Duration;

use bytes::Bytes;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::frame::FrameLimits;
use crate::testing::{identity, vouched_for};

const TIMEOUT: Duration = Duration::from_secs(20);

async fn listen() -> (TcpListener, Target) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, Target { host: "127.0.0.1".into(), port })
}

/// Connects to a server that proves `identity`.
async fn meet(identity: &ServerIdentity, trust: &Trust) -> Result<Connected, ConnectError> {
    let (listener, target) = listen().await;
    let acceptor = Acceptor::new(identity).unwrap();
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        acceptor.accept(tcp).await
    };
    let (client, _server) = tokio::join!(connect(&target, trust, TIMEOUT), server);
    client
}

/// Connects to something that does `answer` with each connection.
async fn meet_other<F>(answer: impl FnOnce(TcpStream) -> F) -> ConnectError
where
    F: Future<Output = ()>,
{
    let (listener, target) = listen().await;
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        answer(tcp).await;
    };
    let trust = Trust::Key(identity().fingerprint());
    let (client, ()) = tokio::join!(connect(&target, &trust, TIMEOUT), server);
    client.unwrap_err()
}

/// A TLS server with a configuration of the test's own.
async fn meet_tls(config: rustls::ServerConfig) -> ConnectError {
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    meet_other(async |tcp| drop(acceptor.accept(tcp).await)).await
}

#[tokio::test]
async fn both_sides_export_the_same_keying_material() {
    let (listener, target) = listen().await;
    let acceptor = Acceptor::new(identity()).unwrap();
    let mut seen = Vec::new();
    for _ in 0..2 {
        let trust = Trust::Key(identity().fingerprint());
        let server = async {
            let (tcp, _) = listener.accept().await.unwrap();
            acceptor.accept(tcp).await.unwrap()
        };
        let (client, server) = tokio::join!(connect(&target, &trust, TIMEOUT), server);
        let client = client.unwrap();
        assert_eq!(client.secured.exporter, server.exporter);
        assert_eq!(client.server.fingerprint, identity().fingerprint());
        seen.push(server.exporter);
    }
    assert_ne!(seen[0], seen[1], "each connection is bound to itself");
}

#[tokio::test]
async fn a_pinned_key_decides_alone() {
    let pinned = Trust::by_order(None, Some(identity().fingerprint()));
    meet(identity(), &pinned).await.unwrap();
    let given = Trust::by_order(Some(identity().fingerprint()), Some(Fingerprint([0; 32])));
    meet(identity(), &given).await.unwrap();

    let other = ServerIdentity::generate().unwrap();
    match meet(&other, &pinned).await {
        Err(ConnectError::IdentityChanged { expected, seen, .. }) => {
            assert_eq!(expected, identity().fingerprint());
            assert_eq!(seen, other.fingerprint());
        }
        other => panic!("{other:?}"),
    }
}

/// A root that verifies 127.0.0.1, and a server with a certificate of it.
fn verified_identity() -> (Roots, ServerIdentity) {
    let (root, identity) = vouched_for(&["127.0.0.1"]);
    let mut store = rustls::RootCertStore::empty();
    store.add(CertificateDer::from_pem_slice(root.as_bytes()).unwrap()).unwrap();
    (Roots::Only(Arc::new(store)), identity)
}

#[tokio::test]
async fn roots_verify_without_a_question_and_never_beat_a_pin() {
    let (roots, verified) = verified_identity();
    let trust = Trust::Roots(roots);
    let connected = meet(&verified, &trust).await.unwrap();
    assert!(connected.server.verified_by_roots);

    match meet(identity(), &trust).await {
        Err(ConnectError::UnknownServer { seen, .. }) => {
            assert_eq!(seen, identity().fingerprint());
        }
        other => panic!("{other:?}"),
    }
    let pinned = Trust::Key(identity().fingerprint());
    let refused = meet(&verified, &pinned).await;
    assert!(matches!(refused, Err(ConnectError::IdentityChanged { .. })), "{refused:?}");
    let no_roots = Trust::Roots(Roots::Only(Arc::new(rustls::RootCertStore::empty())));
    let refused = meet(&verified, &no_roots).await;
    assert!(matches!(refused, Err(ConnectError::UnknownServer { .. })), "{refused:?}");
}

#[tokio::test]
async fn inspecting_takes_the_key_and_closes() {
    let (listener, target) = listen().await;
    let acceptor = Acceptor::new(identity()).unwrap();
    let (roots, _) = verified_identity();
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        acceptor.accept(tcp).await.unwrap().reader.next().await
    };
    let (seen, closed) = tokio::join!(inspect(&target, &roots, TIMEOUT), server);
    let fingerprint = identity().fingerprint();
    assert_eq!(seen.unwrap(), SeenServer { fingerprint, verified_by_roots: false });
    assert!(matches!(closed, Err(ReadError::Cut)), "{closed:?}");
}

#[derive(Debug)]
struct Thief(Arc<CertifiedKey>);
impl rustls::server::ResolvesServerCert for Thief {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// The certificate is public: who shows a copy without its key gets no connection.
#[tokio::test]
async fn a_copied_certificate_with_another_key_is_refused() {
    let other = ServerIdentity::generate().unwrap();
    let key = PrivateKeyDer::from_pem_slice(other.key_pem().as_bytes()).unwrap();
    let key = provider().key_provider.load_private_key(key).unwrap();

    let stolen = CertifiedKey::new(identity().chain.clone(), key);
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Thief(Arc::new(stolen))));
    config.alpn_protocols = vec![ALPN.to_vec()];
    match meet_tls(config).await {
        ConnectError::Tls { source: rustls::Error::InvalidCertificate(error), .. } => {
            assert_eq!(error, rustls::CertificateError::BadSignature);
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_is_no_sampan_server_is_named_so() {
    let banner = meet_other(async |mut tcp| {
        tcp.write_all(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n").await.unwrap();
        let mut sink = Vec::new();
        drop(tcp.read_to_end(&mut sink).await);
    });
    assert!(matches!(banner.await, ConnectError::NotSampan { .. }));

    for protocols in [vec![], vec![b"h2".to_vec()]] {
        let mut config = identity().configuration().unwrap();
        config.alpn_protocols = protocols;
        let error = meet_tls(config).await;
        assert!(matches!(error, ConnectError::NotSampan { .. }), "{error:?}");
    }

    let silent = meet_other(async |tcp| drop(tcp));
    let error = silent.await;
    assert!(matches!(error, ConnectError::Cut { .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_there_and_no_such_name_are_told_apart() {
    let (listener, target) = listen().await;
    drop(listener);
    let trust = Trust::Key(identity().fingerprint());
    let error = connect(&target, &trust, TIMEOUT).await.unwrap_err();
    assert!(matches!(error, ConnectError::Refused { .. }), "{error:?}");

    for host in ["no such name", "nowhere.invalid"] {
        let target = Target { host: host.into(), port: 1 };
        let error = connect(&target, &trust, TIMEOUT).await.unwrap_err();
        assert!(matches!(error, ConnectError::NameNotFound { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_runs_into_the_timeout() {
    let (listener, target) = listen().await;
    let trust = Trust::Key(identity().fingerprint());
    let soon = Duration::from_millis(50);
    let error = connect(&target, &trust, soon).await.unwrap_err();
    assert!(matches!(error, ConnectError::TimedOut { .. }), "{error:?}");
    drop(listener);
}

#[tokio::test]
async fn a_client_that_speaks_something_else_is_refused() {
    let (listener, target) = listen().await;
    let acceptor = Acceptor::new(identity()).unwrap();
    let client = async {
        let mut tcp = TcpStream::connect(("127.0.0.1", target.port)).await.unwrap();
        tcp.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        drop(tcp.read_to_end(&mut answer).await);
    };
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        acceptor.accept(tcp).await.map(|_| ())
    };
    let (refused, ()) = tokio::join!(server, client);
    assert!(matches!(refused, Err(AcceptError::Handshake(_))), "{refused:?}");
}

/// A client of rustls with a configuration of the test's own; what it came to on both sides.
async fn met_by(
    config: &Arc<rustls::ClientConfig>,
) -> (std::io::Result<tokio_rustls::client::TlsStream<TcpStream>>, Result<(), AcceptError>) {
    let (listener, target) = listen().await;
    let acceptor = Acceptor::new(identity()).unwrap();
    let client = async {
        let tcp = TcpStream::connect(("127.0.0.1", target.port)).await.unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::clone(config));
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut tls = connector.connect(name, tcp).await?;
        // What the server sends behind the handshake, such as tickets, is taken in.
        let (Ok(_) | Err(_)) = tls.read_to_end(&mut Vec::new()).await;
        Ok(tls)
    };
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        acceptor.accept(tcp).await.map(drop)
    };
    tokio::join!(client, server)
}

#[tokio::test]
async fn a_client_of_another_application_protocol_is_refused() {
    let mut config = super::connect::configuration().unwrap();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let (client, server) = met_by(&Arc::new(config.clone())).await;
    assert!(client.is_err(), "the handshake fails");
    assert!(matches!(server, Err(AcceptError::Handshake(_))), "{server:?}");
    config.alpn_protocols = Vec::new();
    let (_, server) = met_by(&Arc::new(config)).await;
    assert!(matches!(server, Err(AcceptError::NotSampan)), "{server:?}");
}

/// A client that would resume and send early data is given nothing to do it with.
#[tokio::test]
async fn there_are_no_tickets_and_no_early_data() {
    let mut config = super::connect::configuration().unwrap();
    config.resumption = rustls::client::Resumption::in_memory_sessions(8);
    config.enable_early_data = true;
    let config = Arc::new(config);
    for _ in 0..2 {
        let (client, server) = met_by(&config).await;
        server.unwrap();
        let mut client = client.unwrap();
        let (_, tls) = client.get_mut();
        assert!(tls.early_data().is_none());
        assert_eq!(tls.tls13_tickets_received(), 0);
        assert_eq!(tls.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn an_identity_survives_being_stored() {
    let first = ServerIdentity::generate().unwrap();
    let again = ServerIdentity::from_pem(first.key_pem(), first.certificate_pem()).unwrap();
    assert_eq!(again.fingerprint(), first.fingerprint());
    let other = ServerIdentity::generate().unwrap();
    assert_ne!(other.fingerprint(), first.fingerprint());

    let mixed = ServerIdentity::from_pem(other.key_pem(), first.certificate_pem());
    assert!(matches!(mixed, Err(IdentityError::Unusable(_))), "{mixed:?}");
    let empty = ServerIdentity::from_pem(first.key_pem(), "");
    assert!(matches!(empty, Err(IdentityError::NoCertificate)), "{empty:?}");
    let no_key = ServerIdentity::from_pem("", first.certificate_pem());
    assert!(matches!(no_key, Err(IdentityError::Key(_))), "{no_key:?}");
    assert!(!format!("{first:?}").contains("PRIVATE"));
}

#[test]
fn a_fingerprint_is_text() {
    let fingerprint = identity().fingerprint();
    let text = fingerprint.to_string();
    assert_eq!(text.len(), "SHA256:".len() + 43);
    assert_eq!(text.parse(), Ok(fingerprint));
    assert_eq!(format!("{text}=").parse(), Ok(fingerprint));
    for wrong in ["", "SHA256:", &text[7..], &text[..49], "SHA256:!"] {
        assert_eq!(wrong.parse::<Fingerprint>(), Err(NotAFingerprint), "{wrong}");
    }
}

#[tokio::test]
async fn frames_of_every_size_cross_both_ways() {
    let (mut client, mut server) = crate::testing::secured_pair().await;
    let limits = FrameLimits::AFTER_LOGIN;
    for side in [&mut client, &mut server] {
        side.reader.set_limits(limits);
        side.writer.set_limits(limits);
    }
    let sizes = [0, 1, 100, 16_000, 16_384, 17_000, 65_536, 262_144, 1 << 20];
    let sent: Vec<(Vec<u8>, Vec<u8>)> = sizes
        .iter()
        .flat_map(|body| sizes.iter().map(move |header| (vec![1; header / 3], vec![2; *body])))
        .collect();
    for (from, to) in
        [(&mut client.writer, &mut server.reader), (&mut server.writer, &mut client.reader)]
    {
        let write = async {
            for (header, body) in &sent {
                from.send(header, body).await.unwrap();
            }
            from.flush().await.unwrap();
        };
        let read = async {
            for (header, body) in &sent {
                let frame = to.next().await.unwrap().unwrap();
                assert!(
                    frame.header == header && frame.body == body,
                    "{} {}",
                    header.len(),
                    body.len()
                );
            }
        };
        tokio::join!(write, read);
    }
    client.writer.close().await.unwrap();
    assert_eq!(server.reader.next().await.unwrap(), None);
}

#[tokio::test]
async fn small_frames_wait_for_the_flush() {
    let (mut client, mut server) = crate::testing::secured_pair().await;
    client.writer.send(b"one", b"").await.unwrap();
    let soon = Duration::from_millis(30);
    assert!(tokio::time::timeout(soon, server.reader.next()).await.is_err());
    client.writer.send(b"two", b"body").await.unwrap();
    client.writer.flush().await.unwrap();
    assert_eq!(server.reader.next().await.unwrap().unwrap().header, &b"one"[..]);
    assert_eq!(server.reader.next().await.unwrap().unwrap().body, Bytes::from_static(b"body"));
}

/// HARDENING S12: a stranger's frame is at most 4 KiB of header and of body.
#[tokio::test]
async fn s12_limits_before_login_hold_on_the_wire() {
    let (mut client, mut server) = crate::testing::secured_pair().await;
    let refused = client.writer.send(&[0; 4097], b"").await;
    assert!(matches!(refused, Err(WriteError::TooLong(_))), "{refused:?}");
    client.writer.set_limits(FrameLimits::AFTER_LOGIN);
    client.writer.send(b"", &[0; 4097]).await.unwrap();
    client.writer.flush().await.unwrap();
    let refused = server.reader.next().await;
    assert!(matches!(refused, Err(ReadError::TooLong(_))), "{refused:?}");
}

#[tokio::test]
async fn a_connection_that_just_ends_is_cut() {
    let (client, mut server) = crate::testing::secured_pair().await;
    let Secured { reader, mut writer, .. } = client;
    writer.send(b"whole", b"").await.unwrap();
    writer.flush().await.unwrap();
    drop((reader, writer));
    assert!(server.reader.next().await.unwrap().is_some());
    let end = server.reader.next().await;
    assert!(matches!(end, Err(ReadError::Cut)), "{end:?}");
}

/// A reader or writer whose future was dropped goes on where it was.
#[tokio::test]
async fn dropped_futures_lose_nothing() {
    let (mut client, mut server) = crate::testing::secured_pair().await;
    client.writer.set_limits(FrameLimits::AFTER_LOGIN);
    server.reader.set_limits(FrameLimits::AFTER_LOGIN);
    let body = vec![7; 1 << 20];
    let frames = 20;
    let write = async {
        for _ in 0..frames {
            // Waits for a reader that comes late; the frame is queued all the same.
            let soon = Duration::from_millis(1);
            let sent = tokio::time::timeout(soon, client.writer.send(b"h", &body)).await;
            if let Ok(sent) = sent {
                sent.unwrap();
            }
        }
        client.writer.flush().await.unwrap();
    };
    let read = async {
        let mut seen = 0;
        while seen < frames {
            let soon = Duration::from_micros(200);
            if let Ok(frame) = tokio::time::timeout(soon, server.reader.next()).await {
                assert!(frame.unwrap().unwrap().body == body);
                seen += 1;
            }
        }
    };
    tokio::join!(write, read);
}
