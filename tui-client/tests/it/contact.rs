//! First contact, before any account is involved: who is there, and what if it is nobody, somebody
//! else or something else.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sampan_protocol::testing::identity;
use sampan_protocol::transport::{Acceptor, ServerIdentity};

use crate::program::{Ended, Program};

/// Shakes hands with whoever comes, says nothing more, and counts.
pub(crate) struct Handshakes {
    pub(crate) port: u16,
    accepted: Arc<AtomicUsize>,
    _runtime: tokio::runtime::Runtime,
}

impl Handshakes {
    pub(crate) fn start(identity: &ServerIdentity) -> Self {
        let acceptor = Acceptor::new(identity).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let port = listener.local_addr().unwrap().port();
        let accepted = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&accepted);
        runtime.spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                // Whoever does not like the identity goes away in the midst of it.
                drop(acceptor.accept(tcp).await);
            }
        });
        Self { port, accepted, _runtime: runtime }
    }

    pub(crate) fn place(&self) -> String {
        format!("sampan://ada@127.0.0.1:{}/", self.port)
    }

    fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

/// Answers each connection with `greeting`, and keeps it open until the client closes.
fn greeter(greeting: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let talk = |mut tcp: TcpStream| {
            tcp.write_all(greeting)?;
            std::io::copy(&mut tcp, &mut std::io::sink())
        };
        for tcp in listener.incoming() {
            // A client that has seen enough resets the connection.
            let _ended = tcp.and_then(talk);
        }
    });
    port
}

#[test]
fn wrong_usage_ends_with_2() {
    let program = Program::new();
    for arguments in [
        &["frobnicate", "x"][..],
        &["ls"],
        &["ls", "--frobnicate", "ada@localhost"],
        &["ls", "not a place"],
        &["put", "ada@localhost:a"],
        &["-P", "7300"],
        &["--accept-new", "."],
        &["mv", "ada@localhost:a"],
        &["ls", "saved:docs"],
        &["ls", "ada@localhost:a", "bob@localhost:a"],
        &["ls", "-P", "1", "sampan://ada@localhost:2/"],
        &["ls", "sampan://ada@localhost:70000/"],
    ] {
        let ended = program.run(arguments);
        assert_eq!((ended.code, &*ended.out), (2, &b""[..]), "{arguments:?}: {ended:?}");
        assert!(!ended.err.is_empty());
    }
    for arguments in [&["--help"][..], &["ls", "--help"], &["--version"]] {
        let ended = program.run(arguments);
        assert!(!ended.succeeded().is_empty());
    }
}

#[test]
fn what_stands_before_a_command_ends_with_2_and_a_message_of_its_own() {
    let program = Program::new();
    for arguments in [
        &["-P", "7300", "ls", "ada@localhost"][..],
        &["--accept-new", "put", "a", "ada@localhost:"],
        &["ada@localhost", "ls"],
        &["ada@localhost", "bob@localhost"],
    ] {
        program.run(arguments).failed(2, &["a command's name comes first", "`sampan ls -P 7300"]);
    }
}

/// In 80 columns no line of help is longer.
#[test]
fn help_fits_80_columns() {
    let program = Program::new();
    let commands = program.run(["--help"]);
    let commands = commands.succeeded().split("Commands:\n").nth(1).unwrap().lines();
    let commands = commands.map_while(|line| line.split_whitespace().next());
    let mut seen = 0;
    for command in commands.filter(|command| *command != "help").chain([""]) {
        let words = [command, "--help"];
        let mut help = program.command(words.iter().filter(|word| !word.is_empty()));
        let help = Ended::of(help.env("COLUMNS", "80").output().unwrap());
        for line in help.succeeded().lines() {
            assert!(line.chars().count() <= 80, "{command}: {line}");
        }
        seen += 1;
    }
    assert!(seen > 15, "the commands were not found");
}

#[test]
fn a_place_with_a_password_ends_with_2_and_does_not_show_it() {
    let program = Program::new();
    for place in ["ada:secret@localhost:docs", "sampan://ada:secret@localhost/docs"] {
        let ended = program.run(["ls", place]);
        ended.failed(2, &["password", "--password-file"]);
        assert!(!ended.err.contains("secret"), "{}", ended.err);
    }
}

#[test]
fn above_the_home_ends_with_7_and_nothing_is_sent() {
    let program = Program::new();
    let server = Handshakes::start(identity());
    let place = format!("{}docs/../..", server.place());
    for arguments in [
        &["ls", &place][..],
        &["rm", "-r", &place],
        &["mkdir", &place],
        &["sum", &place],
        &["mv", &place, &server.place()],
        &["mv", &server.place(), &place],
    ] {
        program.run(arguments).failed(7, &["docs/../..", "this leads above the home"]);
    }
    let itself = "this is the home itself, which is neither moved nor removed; name what is in it";
    program.run(["rm", "-rf", &server.place()]).failed(7, &[itself]);
    program.run(["mv", &server.place(), &format!("{}x", server.place())]).failed(7, &[itself]);
    assert_eq!(server.accepted(), 0);
}

#[test]
fn no_server_ends_with_3() {
    let program = Program::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    program
        .run(["ls", &format!("sampan://ada@127.0.0.1:{port}/")])
        .failed(3, &[&format!("127.0.0.1:{port}"), "nobody listens", "sampand serve"]);
    program
        .run(["ls", "ada@no-such-host.invalid:"])
        .failed(3, &["no-such-host.invalid", "no such host; check the spelling of the host"]);
}

#[test]
fn what_is_no_sampan_server_ends_with_3() {
    let program = Program::new();
    for greeting in [&b"SSH-2.0-OpenSSH_9.9\r\n"[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        let port = greeter(greeting);
        program
            .run(["ls", "-P", &port.to_string(), "ada@127.0.0.1:"])
            .failed(3, &["not a Sampan server", "port"]);
    }
}

/// A server that answers a hello with TLS 1.2, as one does that knows no newer one; and one that
/// says by TLS's own alert that it knows no `sampan/1`.
#[test]
fn a_server_of_an_older_tls_or_another_protocol_ends_with_3() {
    // ServerHello: version 1.2, random, no session, ECDHE-RSA-AES128-GCM-SHA256, no compression.
    const TLS_1_2: &[u8] = b"\x16\x03\x03\x00\x2a\x02\x00\x00\x26\x03\x03\
        01234567890123456789012345678901\x00\xc0\x2f\x00";
    const NO_APPLICATION_PROTOCOL: &[u8] = b"\x15\x03\x03\x00\x02\x02\x78";
    let program = Program::new();
    for answer in [TLS_1_2, NO_APPLICATION_PROTOCOL] {
        let port = greeter(answer);
        program
            .run(["ls", "-P", &port.to_string(), "ada@127.0.0.1:"])
            .failed(3, &["it is not a Sampan server", "check the port"]);
    }
    // Another alert: the server is one, and cannot go on.
    let port = greeter(b"\x15\x03\x03\x00\x02\x02\x50");
    program
        .run(["ls", "-P", &port.to_string(), "ada@127.0.0.1:"])
        .failed(3, &["no secure channel could be made: ", "check host and port"]);
}

#[test]
fn a_server_that_says_nothing_ends_with_3_in_time() {
    let program = Program::new();
    let port = greeter(b"");
    program
        .run(["ls", "--timeout", "300ms", "-P", &port.to_string(), "ada@127.0.0.1:"])
        .failed(3, &["no answer within 0.3 s", "--timeout"]);
}

#[test]
fn an_unknown_server_with_nobody_to_ask_ends_with_5() {
    let program = Program::new();
    let server = Handshakes::start(identity());
    let fingerprint = identity().fingerprint().to_string();
    program
        .run(["ls", &server.place()])
        .failed(5, &["not known", &fingerprint, "--fingerprint", "--accept-new"]);
    assert!(!program.home().join("known_servers").exists(), "nothing may be pinned");
}

#[test]
fn a_changed_server_ends_with_5_and_the_way_out_is_named() {
    let program = Program::new();
    let server = Handshakes::start(identity());
    let host = format!("127.0.0.1:{}", server.port);
    let other = ServerIdentity::generate().unwrap().fingerprint();
    let pins = program.home().join("known_servers");
    std::fs::write(&pins, format!("# mine\n{host} {other}\n")).unwrap();

    let stored = format!("{}, line 2", pins.display());
    let forget = format!("sampan forget {host}");
    for more in [&[][..], &["--accept-new"]] {
        // The pin is looked at before the password: none is given here.
        let arguments = ["ls", &server.place()];
        let mut command = program.command(arguments.iter().chain(more));
        command.env("SAMPAN_PASSWORD", "secret");
        let ended = Ended::of(command.output().unwrap());
        let seen = identity().fingerprint().to_string();
        ended.failed(5, &[&stored, &forget, &seen, &other.to_string()]);
    }

    let ended = program.run(["forget", &host]);
    assert!(ended.succeeded().contains(&host));
    assert_eq!(std::fs::read_to_string(&pins).unwrap(), "# mine\n");
    program.run(["forget", &host]).failed(7, &[&host, "nothing is stored for it in "]);
    program.run(["ls", &server.place()]).failed(5, &["not known"]);
}

#[test]
fn a_given_fingerprint_alone_decides() {
    let program = Program::new();
    let server = Handshakes::start(identity());
    let host = format!("127.0.0.1:{}", server.port);
    let right = identity().fingerprint().to_string();
    let wrong = ServerIdentity::generate().unwrap().fingerprint().to_string();
    let pins = program.home().join("known_servers");
    std::fs::write(&pins, format!("{host} {right}\n")).unwrap();

    let run = |fingerprint: &str| {
        let mut command = program.command(["ls", "--fingerprint", fingerprint, &server.place()]);
        Ended::of(command.env("SAMPAN_PASSWORD", "secret").output().unwrap())
    };
    run(&wrong).failed(5, &[&wrong, &right, "--fingerprint"]);
    assert!(!run(&wrong).err.contains("sampan forget"), "there is nothing to forget");

    // The right one passes against a wrong pin: then the server hangs up, which is another matter.
    std::fs::write(&pins, format!("{host} {wrong}\n")).unwrap();
    run(&right).failed(3, &[&host]);
}

#[test]
fn accept_new_pins_without_asking() {
    let program = Program::new();
    let server = Handshakes::start(identity());
    let mut command = program.command(["ls", "--accept-new", &server.place()]);
    let ended = command.env("SAMPAN_PASSWORD", "secret").output().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    let pins = std::fs::read_to_string(program.home().join("known_servers")).unwrap();
    let expected = format!("127.0.0.1:{} {}\n", server.port, identity().fingerprint());
    assert_eq!(pins, expected);
}

#[test]
fn a_password_that_nobody_can_be_asked_for_ends_with_4_before_connecting() {
    let program = Program::new();
    let server = Handshakes::start(identity());
    let fingerprint = identity().fingerprint().to_string();
    program
        .run(["ls", "--fingerprint", &fingerprint, &server.place()])
        .failed(4, &["ada@127.0.0.1", "--password-file", "SAMPAN_PASSWORD"]);
    assert_eq!(server.accepted(), 0);
    program
        .run(["ls", "--password-file", "/nowhere/password", &server.place()])
        .failed(7, &["/nowhere/password: no such file or folder; check its spelling"]);
    assert_eq!(server.accepted(), 0);
}
