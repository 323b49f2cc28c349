use proptest::prelude::*;

use super::*;

/// Few rounds, so that many logins run in a test; the bounds themselves are tested on their own.
const FEW: IterationLimits = IterationLimits { fewest: 1, most: 10_000 };
const EXPORTER: [u8; EXPORTER_BYTES] = [7; EXPORTER_BYTES];
const CHALLENGE: Challenge = Challenge { salt: *b"sixteen bytes ok", iterations: 50 };

fn hello() -> HelloHash {
    HelloHash::of(b"hello")
}

/// A login of `user` with `password` up to the client's proof.
struct Login {
    client: ClientProved,
    server: ServerChallenged,
    client_final: Vec<u8>,
}

fn login(password: &str, verifier: Verifier) -> Login {
    let (client, first) = ClientLogin::start("anna", [1; 18], hello()).unwrap();
    let server = ServerLogin::start(&first, hello()).unwrap();
    assert_eq!(server.user(), "anna");
    let (server, server_first) = server.challenge(verifier, [2; 18]);
    let client = client.challenge(&server_first, FEW).unwrap();
    let keys = derive(password, client.challenge()).unwrap();
    let (client, client_final) = client.finish(keys, &EXPORTER).unwrap();
    Login { client, server, client_final }
}

fn verifier() -> Verifier {
    Verifier::derive("oar", &CHALLENGE).unwrap()
}

/// RFC 7677, section 3.
#[test]
fn the_vector_of_rfc_7677() {
    let dialect = Dialect::Unbound;
    let (client, first) = ClientLogin::start_in(dialect, "user", "rOprNGfwEbeRWgbNEkqO").unwrap();
    assert_eq!(first, b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO");

    let salt = syntax::from_base64('s', "W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let verifier = Verifier::derive("pencil", &Challenge { salt, iterations: 4096 }).unwrap();
    let server = ServerLogin::start_in(dialect, &first).unwrap();
    let (server, server_first) = server.challenge_in(verifier, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0");
    assert_eq!(
        server_first,
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"
    );

    let client = client.challenge(&server_first, FEW).unwrap();
    let keys = derive("pencil", client.challenge()).unwrap();
    let (client, client_final) = client.finish(keys, &EXPORTER).unwrap();
    assert_eq!(
        std::str::from_utf8(&client_final).unwrap(),
        "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
         p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
    );

    let server_final = server.finish(&client_final, &EXPORTER).unwrap().into_server_final();
    assert_eq!(server_final, b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
    let _authenticated = client.verify(&server_final).unwrap();
}

/// The example that PROTOCOL.md repeats, at the protocol's own cost.
#[test]
fn a_login_is_these_bytes() {
    let hello = HelloHash::of(b"hello");
    let (client, first) = ClientLogin::start("anna", [1; 18], hello).unwrap();
    let hash = syntax::to_base64(&hello.0);
    assert_eq!(
        std::str::from_utf8(&first).unwrap(),
        format!("p=tls-exporter,,n=anna,r=AQEBAQEBAQEBAQEBAQEBAQEB,h={hash}")
    );
    assert_eq!(hash, "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ=");
    let challenge = Challenge { salt: *b"sixteen bytes ok", iterations: 600_000 };
    let server = ServerLogin::start(&first, hello).unwrap();
    let (server, server_first) =
        server.challenge(Verifier::derive("oar", &challenge).unwrap(), [2; 18]);
    assert_eq!(
        std::str::from_utf8(&server_first).unwrap(),
        "r=AQEBAQEBAQEBAQEBAQEBAQEBAgICAgICAgICAgICAgICAgIC,s=c2l4dGVlbiBieXRlcyBvaw==,i=600000"
    );
    let client = client.challenge(&server_first, IterationLimits::PROTOCOL).unwrap();
    let keys = derive("oar", client.challenge()).unwrap();
    let (client, client_final) = client.finish(keys, &EXPORTER).unwrap();
    let binding = syntax::to_base64(&[b"p=tls-exporter,,", &EXPORTER[..]].concat());
    let text = String::from_utf8(client_final.clone()).unwrap();
    let nonce = "AQEBAQEBAQEBAQEBAQEBAQEBAgICAgICAgICAgICAgICAgIC";
    assert!(text.starts_with(&format!("c={binding},r={nonce},p=")), "{text}");
    let server_final = server.finish(&client_final, &EXPORTER).unwrap().into_server_final();
    let _authenticated = client.verify(&server_final).unwrap();
}

#[test]
fn a_wrong_password_is_refused() {
    let Login { server, client_final, .. } = login("paddle", verifier());
    assert_eq!(server.finish(&client_final, &EXPORTER), Err(LoginRefused::NotProved));
}

/// HARDENING S19: an unknown user meets the same challenge each time and the same refusal.
#[test]
fn s19_an_unknown_user_is_not_told_apart() {
    let made_up = || Verifier::made_up(&[9; 32], "anna", 50);
    assert_eq!(made_up().challenge(), made_up().challenge());
    assert_ne!(
        made_up().challenge().salt,
        Verifier::made_up(&[9; 32], "bert", 50).challenge().salt
    );
    assert_ne!(
        made_up().challenge().salt,
        Verifier::made_up(&[8; 32], "anna", 50).challenge().salt
    );
    let Login { server, client_final, .. } = login("oar", made_up());
    assert_eq!(server.finish(&client_final, &EXPORTER), Err(LoginRefused::NotProved));
}

/// HARDENING S19: even who knows the keys of a made-up account cannot enter it.
#[test]
fn s19_a_made_up_verifier_accepts_nothing() {
    let mut closed = verifier();
    closed.close();
    let Login { server, client_final, .. } = login("oar", closed);
    assert_eq!(server.finish(&client_final, &EXPORTER), Err(LoginRefused::NotProved));
}

/// HARDENING S19: the client uses nothing of a server that did not prove itself.
#[test]
fn s19_a_server_without_the_account_is_noticed() {
    let server_final = {
        let Login { server, client_final, .. } = login("oar", verifier());
        server.finish(&client_final, &EXPORTER).unwrap().into_server_final()
    };
    let verify = |answer: &[u8]| login("oar", verifier()).client.verify(answer).map(|_| ());
    assert_eq!(verify(&server_final), Ok(()));
    let wrong = format!("v={}", syntax::to_base64(&[0; 32]));
    assert_eq!(verify(wrong.as_bytes()), Err(ClientError::ServerNotProved));
    assert_eq!(verify(b""), Err(Malformed::Value { name: '?' }.into()));
    assert_eq!(verify(b"v="), Err(Malformed::Value { name: 'v' }.into()));
    assert_eq!(verify(b"e=other-error"), Err(Malformed::Missing { name: 'v' }.into()));
}

/// HARDENING S14: a login is bound to its TLS connection and to the hello that was sent.
#[test]
fn s14_a_relayed_or_bent_login_is_refused() {
    let Login { server, client_final, .. } = login("oar", verifier());
    let elsewhere = server.finish(&client_final, &[8; EXPORTER_BYTES]);
    assert_eq!(elsewhere, Err(LoginRefused::OtherConnection));

    let (_, first) = ClientLogin::start("anna", [1; 18], hello()).unwrap();
    let bent = ServerLogin::start(&first, HelloHash::of(b"hello, downgraded"));
    assert_eq!(bent.map(|_| ()), Err(LoginRefused::OtherHello));

    // Who bends the hash in the message too is betrayed by the proof, which covers the message.
    let (client, first) = ClientLogin::start("anna", [1; 18], hello()).unwrap();
    let other = HelloHash::of(b"other");
    let first = String::from_utf8(first).unwrap();
    let first = first.replace(&syntax::to_base64(&hello().0), &syntax::to_base64(&other.0));
    let server = ServerLogin::start(first.as_bytes(), other).unwrap();
    let (server, server_first) = server.challenge(verifier(), [2; 18]);
    let client = client.challenge(&server_first, FEW).unwrap();
    let (_, client_final) = client.finish(derive("oar", &CHALLENGE).unwrap(), &EXPORTER).unwrap();
    assert_eq!(server.finish(&client_final, &EXPORTER), Err(LoginRefused::NotProved));
}

#[test]
fn a_login_without_binding_is_refused() {
    for first in ["n,,n=anna,r=abc", "y,,n=anna,r=abc", "p=tls-unique,,n=anna,r=abc"] {
        let refused = ServerLogin::start(first.as_bytes(), hello()).map(|_| ());
        assert_eq!(refused, Err(Malformed::NotBound.into()), "{first}");
    }
}

/// HARDENING S19: the cost is bounded both ways.
#[test]
fn s19_iterations_are_bounded_both_ways() {
    let challenge = |iterations: &str| {
        let (client, _) = ClientLogin::start("anna", [1; 18], hello()).unwrap();
        let nonce = syntax::to_base64(&[1; 18]);
        let salt = syntax::to_base64(&CHALLENGE.salt);
        let server_first = format!("r={nonce}x,s={salt},i={iterations}");
        client.challenge(server_first.as_bytes(), IterationLimits::PROTOCOL).map(|_| ())
    };
    let (fewest, most) = (600_000, 2_000_000);
    assert_eq!(challenge("600000"), Ok(()));
    assert_eq!(challenge("2000000"), Ok(()));
    for asked in [1, 4096, 599_999, 2_000_001, u32::MAX] {
        let refused = Err(ClientError::Iterations { asked, fewest, most });
        assert_eq!(challenge(&asked.to_string()), refused);
    }
    for text in ["", "0600000", "+600000", "-1", "600000 ", "4294967296", "６０００００"] {
        assert_eq!(challenge(text), Err(Malformed::Value { name: 'i' }.into()), "{text}");
    }
}

#[test]
fn a_server_first_of_another_login_is_refused() {
    let challenge = |server_first: String| {
        let (client, _) = ClientLogin::start("anna", [1; 18], hello()).unwrap();
        client.challenge(server_first.as_bytes(), FEW).map(|_| ())
    };
    let (own, salt) = (syntax::to_base64(&[1; 18]), syntax::to_base64(&CHALLENGE.salt));
    let mismatch = Err(ClientError::NonceMismatch);
    assert_eq!(challenge(format!("r=other,s={salt},i=50")), mismatch);
    assert_eq!(challenge(format!("r={own},s={salt},i=50")), mismatch, "no nonce of the server");
    assert_eq!(challenge(format!("r={own}x,s={salt},i=50,x=later")), Ok(()));
    for mandatory in
        [format!("m=new,r={own}x,s={salt},i=50"), format!("r={own}x,s={salt},i=50,m=1")]
    {
        assert_eq!(challenge(mandatory), Err(Malformed::MandatoryExtension.into()));
    }
    let short_salt = challenge(format!("r={own}x,s=AAAA,i=50"));
    assert_eq!(short_salt, Err(Malformed::Value { name: 's' }.into()));
    let long = challenge(format!("r={own}{},s={salt},i=50", "x".repeat(300)));
    assert_eq!(long, Err(Malformed::TooLong.into()));
    let huge = challenge("x".repeat(MAX_MESSAGE_BYTES + 1));
    assert_eq!(huge, Err(Malformed::TooLong.into()));
}

#[test]
fn a_proof_of_another_login_is_refused() {
    let Login { server, client_final, .. } = login("oar", verifier());
    let text = String::from_utf8(client_final).unwrap();
    let other = text.replace(",r=AQ", ",r=BQ");
    assert_ne!(other, text);
    let refused = server.finish(other.as_bytes(), &EXPORTER);
    assert_eq!(refused, Err(LoginRefused::OtherLogin));
}

#[test]
fn kept_keys_serve_until_the_salt_changes() {
    let Login { client, server, client_final } = login("oar", verifier());
    let server_final = server.finish(&client_final, &EXPORTER).unwrap().into_server_final();
    let keys = client.verify(&server_final).unwrap().into_keys();

    let again = |challenge: Challenge| {
        let (client, first) = ClientLogin::start("anna", [3; 18], hello()).unwrap();
        let server = ServerLogin::start(&first, hello()).unwrap();
        let verifier = Verifier::derive("oar", &challenge).unwrap();
        let (server, server_first) = server.challenge(verifier, [4; 18]);
        let client = client.challenge(&server_first, FEW).unwrap();
        let (client, client_final) = client.finish(keys.clone(), &EXPORTER)?;
        let accepted = server.finish(&client_final, &EXPORTER).unwrap();
        client.verify(&accepted.into_server_final()).map(|_| ())
    };
    assert_eq!(again(CHALLENGE), Ok(()));
    let salted = Challenge { salt: [0; 16], ..CHALLENGE };
    assert_eq!(again(salted), Err(ClientError::KeysDoNotFit));
    assert_eq!(again(Challenge { iterations: 51, ..CHALLENGE }), Err(ClientError::KeysDoNotFit));
}

#[test]
fn names_are_prepared_and_escaped() {
    let (_, first) = ClientLogin::start("a,b=\u{aa}", [1; 18], hello()).unwrap();
    let text = String::from_utf8(first.clone()).unwrap();
    assert!(text.starts_with("p=tls-exporter,,n=a=2Cb=3Da,r="), "{text}");
    assert_eq!(ServerLogin::start(&first, hello()).unwrap().user(), "a,b=a");

    for name in ["", "\u{7}", &"x".repeat(256)] {
        let refused = ClientLogin::start(name, [1; 18], hello()).map(|_| ());
        assert_eq!(refused, Err(ClientError::User), "{name:?}");
    }
    let hash = syntax::to_base64(&hello().0);
    for name in ["a=", "a=2D", "=", "=3d"] {
        let first = format!("p=tls-exporter,,n={name},r=x,h={hash}");
        let refused = ServerLogin::start(first.as_bytes(), hello()).map(|_| ());
        assert_eq!(refused, Err(Malformed::Value { name: 'n' }.into()), "{name}");
    }
    let long = format!("p=tls-exporter,,n={},r=x,h={hash}", "=2C".repeat(256));
    assert_eq!(
        ServerLogin::start(long.as_bytes(), hello()).map(|_| ()),
        Err(Malformed::TooLong.into())
    );
    // The longest name fits with every byte escaped.
    let (_, first) = ClientLogin::start(&",".repeat(255), [1; 18], hello()).unwrap();
    assert_eq!(ServerLogin::start(&first, hello()).unwrap().user(), ",".repeat(255));
}

/// RFC 4013, section 3: the same password typed in two ways is the same password.
#[test]
fn passwords_are_prepared() {
    let server = |password| Verifier::derive(password, &CHALLENGE).unwrap();
    assert_eq!(server("\u{2168}").stored_key(), server("IX").stored_key());
    assert_eq!(server("I\u{ad}X").stored_key(), server("IX").stored_key());
    assert!(Verifier::derive("\u{7}", &CHALLENGE).is_err());
    assert!(derive("\u{627}\u{31}", &CHALLENGE).is_err());
}

#[test]
fn secrets_do_not_show_themselves() {
    let keys = derive("oar", &CHALLENGE).unwrap();
    assert_eq!(format!("{keys:?}"), "ClientKeys { iterations: 50, .. }");
    assert_eq!(format!("{:?}", verifier()), "Verifier { iterations: 50, .. }");
    let Login { client, .. } = login("oar", verifier());
    assert_eq!(format!("{client:?}"), "ClientProved { .. }");
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        steps_on(&bytes);
    }

    /// Text that looks like SCRAM more often than random bytes do.
    #[test]
    fn arbitrary_attributes_never_panic(text in "(p=tls-exporter,,)?([nrshicpvm]=[a-zA-Z0-9+/=]{0,50},?){0,6}") {
        steps_on(text.as_bytes());
    }

    #[test]
    fn any_name_and_password_that_can_be_prepared_log_in(user in "\\PC{1,40}", password in "\\PC{0,40}") {
        let Ok((client, first)) = ClientLogin::start(&user, [1; 18], hello()) else { return Ok(()) };
        let Ok(verifier) = Verifier::derive(&password, &CHALLENGE) else { return Ok(()) };
        let server = ServerLogin::start(&first, hello()).unwrap();
        let (server, server_first) = server.challenge(verifier, [2; 18]);
        let client = client.challenge(&server_first, FEW).unwrap();
        let keys = derive(&password, client.challenge()).unwrap();
        let (client, client_final) = client.finish(keys, &EXPORTER).unwrap();
        let accepted = server.finish(&client_final, &EXPORTER).unwrap();
        prop_assert!(client.verify(&accepted.into_server_final()).is_ok());
    }
}

/// Feeds `bytes` to every step.
fn steps_on(bytes: &[u8]) {
    let (client, _) = ClientLogin::start("anna", [1; 18], hello()).unwrap();
    drop(client.challenge(bytes, FEW));
    drop(ServerLogin::start(bytes, hello()));
    let Login { client, server, .. } = login("oar", verifier());
    assert!(client.verify(bytes).is_err());
    assert!(server.finish(bytes, &EXPORTER).is_err());
}
