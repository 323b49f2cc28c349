//! What `serve` and `user` promise in CONTRACT, seen from a connection.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use rustix::process::Signal;
use sampan_protocol::message::{GoodbyeReason, Ping};
use sampan_server::control::{AdminAnswer, AdminRequest};

use crate::harness::TestServer;
use crate::peer::Peer;
use crate::program::{ADD, Data, ran};

/// One socket on `[::]` serves both families.
#[tokio::test]
async fn a_dual_stack_socket_serves_ipv4_too() {
    if TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        // Nothing to be seen on a machine without IPv6.
        return;
    }
    let data = Data::new();
    assert_eq!(data.run_with(&ADD, "secret\n").code, 0);
    let server = data.serve_at("[::]:0");
    let (address, fingerprint) = server.announced();
    assert!(address.is_ipv6());
    for ip in [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()] {
        let mut peer = Peer::connect_at(SocketAddr::new(ip, address.port()), fingerprint).await;
        peer.log_in("anna", "secret").await.unwrap();
        peer.call(&Ping {}).await.unwrap();
    }
    assert!(server.signal(Signal::TERM).0.success());
}

/// `user remove` ends what is open; `--purge` takes the home along, and without it the home stays.
#[tokio::test]
async fn a_removed_account_ends_its_sessions() {
    let server = TestServer::start().await;
    for (name, purge) in [("anna", true), ("bert", false)] {
        let mut peer = server.peer(name).await;
        fs::write(server.home(name).join("f"), "1").unwrap();
        let request = AdminRequest::RemoveUser { name: name.to_owned(), purge };
        let answer = server.administration().perform(request).await;
        assert!(matches!(answer, AdminAnswer::Done), "{answer:?}");
        assert_eq!(peer.farewell().await, Some(GoodbyeReason::SessionEnded));
        assert_eq!(server.home(name).exists(), !purge, "{name}");
    }
    server.finish().await;
}

/// An account whose home is gone can go too, with a server and without one.
#[test]
fn an_account_without_a_home_is_removed() {
    let data = Data::new();
    for purge in [&[][..], &["--purge"]] {
        for served in [false, true] {
            assert_eq!(data.run_with(&ADD, "secret\n").code, 0);
            fs::remove_dir(data.path().join("homes/anna")).unwrap();
            let server = served.then(|| data.serve());
            let home = if purge.is_empty() { "kept" } else { "deleted" };
            let removed = format!("anna removed, home {home}\n");
            let command = [&["user", "remove", "anna"], purge].concat();
            assert_eq!(data.run(&command), ran(0, &removed, ""));
            assert_eq!(data.run(&["user", "list", "--json"]), ran(0, "", ""));
            drop(server);
        }
    }
}
