//! Places whose host is an IPv6 address in brackets: the real program against a server there.

use std::fs;

use tempfile::TempDir;

use crate::program::{Ended, Program};
use crate::server::{PASSWORD, TestServer};

/// What a command that knows neither server nor password is given.
fn as_a_stranger(stranger: &Program, words: &[&str]) -> Ended {
    let mut command = stranger.command(words);
    Ended::of(command.env("SAMPAN_PASSWORD", PASSWORD).output().unwrap())
}

#[test]
fn an_address_in_brackets_is_a_host_in_every_form_of_a_place() {
    // Nothing to be seen on a machine without IPv6.
    let Some(server) = TestServer::start_on_ipv6() else { return };
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("a"), b"first").unwrap();
    let port = server.port.to_string();
    let home = ada.place("");
    assert_eq!(home, format!("sampan://ada@[::1]:{port}/"));

    let mut put = ada.program.command(["put", "-P", &port, "a", "ada@[::1]:docs/"]);
    Ended::of(put.current_dir(here.path()).output().unwrap()).succeeded();
    assert_eq!(fs::read(ada.home().join("docs/a")).unwrap(), b"first");
    for place in ["ada@[::1]:docs/a", "ada@[::1]:/docs/a", "ada@[0:0::1]:docs/../docs/a"] {
        assert_eq!(ada.program.run(["cat", "-P", &port, place]).succeeded(), "first", "{place}");
    }
    assert_eq!(ada.program.run(["cat", &ada.place("docs/a")]).succeeded(), "first");
    for place in [&*home, &home[..home.len() - 1]] {
        assert_eq!(ada.program.run(["ls", place]).succeeded(), "docs\n", "{place}");
    }
    assert_eq!(ada.program.run(["ls", "-P", &port, "ada@[::1]"]).succeeded(), "docs\n");
    let to = [&ada.place("docs/a"), &ada.place("b")];
    ada.program.run(["mv", to[0], to[1]]).succeeded();
    let mut get = ada.program.command(["get", "-P", &port, "ada@[::1]:b", "back"]);
    Ended::of(get.current_dir(here.path()).output().unwrap()).succeeded();
    assert_eq!(fs::read(here.path().join("back")).unwrap(), b"first");

    // One account, however the address is spelt; another address is another server.
    let places = ["ada@[::1]:b", "ada@[0::1]:none"];
    let ended = ada.program.run(["cat", "-P", &port, places[0], places[1]]);
    assert_eq!((ended.code, ended.text()), (7, "first"), "{ended:?}");
    ada.program.run(["cat", "-P", &port, "ada@[::1]:b", "ada@127.0.0.1:b"]).failed(2, &["one"]);
    for place in ["ada@::1", "ada@::1:b", "ada@[::1", "sampan://ada@[::1/b", "sampan://ada@::1/b"] {
        ada.program.run(["ls", place]).failed(2, &[place, "brackets"]);
    }
    ada.program.run(["ls", "ada:secret@[::1]:b"]).failed(2, &["password"]);
}

#[test]
fn an_address_in_brackets_is_pinned_keyed_and_forgotten_under_its_name() {
    let Some(server) = TestServer::start_on_ipv6() else { return };
    let ada = server.user("ada");
    let stranger = Program::new();
    let (home, host) = (ada.place(""), format!("[::1]:{}", server.port));
    as_a_stranger(&stranger, &["ls", &home]).failed(5, &[&host, "not known"]);
    as_a_stranger(&stranger, &["login", "--accept-new", &home]).succeeded();
    let pins = stranger.home().join("known_servers");
    let pin = format!("{host} {}\n", server.fingerprint());
    assert_eq!(fs::read_to_string(&pins).unwrap(), pin);
    // The key needs no password any more, and the pin no question, in another spelling too.
    let port = server.port.to_string();
    stranger.run(["ls", "-P", &port, "ada@[0:0:0:0:0:0:0:1]"]).succeeded();

    fs::write(&pins, format!("{host} SHA256:{}\n", "A".repeat(43))).unwrap();
    let forget = format!("sampan forget {host}");
    stranger.run(["ls", &home]).failed(5, &[&forget, "line 1"]);
    stranger.run(["forget", &host]).succeeded();
    stranger.run(["forget", "-P", &port, "[::1]"]).failed(7, &[&host]);
    stranger.run(["forget", "[::1]"]).failed(7, &["[::1]:7227"]);
    assert_eq!(fs::read_to_string(&pins).unwrap(), "");
}

/// `fe80::1%eth0` means an address on one network of this machine.
#[test]
fn an_address_with_a_zone_is_reached() {
    let interfaces = fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    let link_local = interfaces.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        let (address, name) = (words.next()?, words.next_back()?);
        let groups: Vec<_> = (0..8).map(|at| &address[at * 4..at * 4 + 4]).collect();
        address.starts_with("fe80").then(|| format!("{}%{name}", groups.join(":")))
    });
    // Nothing to be seen on a machine without such an address.
    let Some(zoned) = link_local else { return };
    let program = Program::new();
    let free = std::net::TcpListener::bind("[::]:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    // Nobody listens there: the host was found, and TLS has no objection to its name.
    program
        .run(["ls", "-P", &port.to_string(), &format!("ada@[{zoned}]:")])
        .failed(3, &["%", "nobody listens"]);
}
