use super::*;

fn place(written: &str) -> Result<Place, AddressError> {
    Place::parse(OsStr::new(written), None)
}

#[test]
fn every_form_of_a_place() {
    let cases: [(&str, &str, &str, u16, &str); 17] = [
        ("anna@host:docs/a", "anna", "host", 7227, "docs/a"),
        ("anna@host", "anna", "host", 7227, ""),
        ("anna@host:", "anna", "host", 7227, ""),
        ("anna@HOST.Example.org:x", "anna", "host.example.org", 7227, "x"),
        ("anna@[::1]:docs", "anna", "::1", 7227, "docs"),
        ("anna@[0:0::1]", "anna", "::1", 7227, ""),
        ("anna@[fe80::1%eth0]:d", "anna", "fe80::1%eth0", 7227, "d"),
        ("anna@127.0.0.1:7/8", "anna", "127.0.0.1", 7227, "7/8"),
        ("anna@host:a:b@c", "anna", "host", 7227, "a:b@c"),
        ("anna@host:%20?x#y", "anna", "host", 7227, "%20?x#y"),
        ("anna@host:/abs", "anna", "host", 7227, "/abs"),
        ("sampan://anna@host", "anna", "host", 7227, ""),
        ("sampan://anna@host/", "anna", "host", 7227, "/"),
        ("sampan://anna@host:99/d%20/e?f#g", "anna", "host", 99, "/d%20/e?f#g"),
        ("SAMPAN://anna@host/a:b@c", "anna", "host", 7227, "/a:b@c"),
        ("sampan://anna@[::1]:99/x", "anna", "::1", 99, "/x"),
        ("sampan://anna@[::1]/x", "anna", "::1", 7227, "/x"),
    ];
    for (written, user, host, port, path) in cases {
        let place = place(written).unwrap_or_else(|error| panic!("{written}: {error}"));
        assert_eq!(place.account.user, user, "{written}");
        assert_eq!(place.account.server.host, host, "{written}");
        assert_eq!(place.account.server.port, port, "{written}");
        assert_eq!(place.written, path.as_bytes(), "{written}");
    }
}

#[test]
fn an_account_as_an_operand_is_read_back_as_the_same_home() {
    for written in ["anna@host", "sampan://anna@host:99", "anna@[::1]", "sampan://anna@[::1]:99"] {
        let account = place(written).unwrap().account;
        assert_eq!(account.operand(), written);
        let again = place(&account.operand()).unwrap();
        assert_eq!((again.account, again.written), (account, vec![]));
    }
}

#[test]
fn what_is_no_place_says_why() {
    use AddressError as E;
    let shown = |text: &str| text.to_owned();
    let cases = [
        ("docs", E::NotAPlace(shown("docs"))),
        ("", E::NotAPlace(shown(""))),
        ("/tmp/a@b:c", E::NotAPlace(shown("/tmp/a@b:c"))),
        ("anna@host/docs", E::NotAPlace(shown("anna@host/docs"))),
        ("home:docs", E::SavedServer(shown("home:docs"))),
        ("anna:secret@host:docs", E::Password),
        ("sampan://anna:secret@host/docs", E::Password),
        ("sampan://anna:@host/docs", E::Password),
        ("@host:docs", E::User(shown("@host:docs"))),
        ("sampan://host/docs", E::NotAPlace(shown("sampan://host/docs"))),
        ("anna@:docs", E::Host(shown("anna@:docs"))),
        ("anna@ho st:docs", E::Host(shown("anna@ho st:docs"))),
        ("anna@[::1:docs", E::Host(shown("anna@[::1:docs"))),
        ("anna@[host]:docs", E::Host(shown("anna@[host]:docs"))),
        ("sampan://anna@host:/docs", E::Port(String::new())),
        ("sampan://anna@host:0/docs", E::Port(shown("0"))),
        ("sampan://anna@host:65536/docs", E::Port(shown("65536"))),
        ("sampan://anna@host:+1/docs", E::Port(shown("+1"))),
    ];
    for (written, error) in cases {
        assert_eq!(place(written), Err(error), "{written}");
    }
}

#[test]
fn a_port_comes_from_the_place_or_from_the_option() {
    let parse = |written: &str, port| Place::parse(OsStr::new(written), port);
    let port = |place: Result<Place, AddressError>| place.map(|place| place.account.server.port);
    assert_eq!(port(parse("a@h:p", Some(5))), Ok(5));
    assert_eq!(port(parse("sampan://a@h:5/p", Some(5))), Ok(5));
    assert_eq!(
        port(parse("sampan://a@h:5/p", Some(6))),
        Err(AddressError::PortsDiffer { place: 5, option: 6 })
    );
}

#[test]
fn paths_are_resolved_here_and_never_above_the_home() {
    let path = |written: &str| place(written).unwrap().path();
    let home = |written: &str| RemotePath::parse(written.as_bytes()).unwrap();
    assert_eq!(path("a@h:x/./y//z/.."), Ok(home("x/y")));
    assert_eq!(path("a@h:/x"), Ok(home("x")));
    assert_eq!(path("a@h"), Ok(RemotePath::home()));
    assert_eq!(path("a@h:x/../.."), Err(PathError::AboveHome));
    assert_eq!(path("sampan://a@h/.."), Err(PathError::AboveHome));
}

#[test]
fn bytes_that_are_no_text_stay_in_the_path() {
    let written = OsStr::from_bytes(b"a@h:\xff\x1b[31m");
    let path = Place::parse(written, None).unwrap().path().unwrap();
    assert_eq!(path.to_bytes(), b"\xff\x1b[31m");
    assert!(Place::parse(OsStr::from_bytes(b"\xff@h:x"), None).is_err());
}

#[test]
fn how_a_path_was_written_says_what_is_meant() {
    let cases = [
        ("a@h", true, false),
        ("a@h:docs", false, false),
        ("a@h:docs/", true, false),
        ("a@h:docs/.", true, true),
        ("a@h:docs/./", true, true),
        ("a@h:.", true, true),
        ("a@h:docs/..", true, false),
        ("a@h:x.", false, false),
    ];
    for (written, folder, contents) in cases {
        let place = place(written).unwrap();
        assert_eq!((place.is_folder(), place.is_contents()), (folder, contents), "{written}");
    }
}

#[test]
fn a_place_is_told_from_a_folder() {
    for (written, is_place) in [
        ("a@h", true),
        ("sampan://x", true),
        ("a@h:x/y", true),
        ("./a@h", false),
        ("docs", false),
        ("/x/a@h", false),
        ("home:docs", false),
    ] {
        assert_eq!(Place::is_meant_by(OsStr::new(written)), is_place, "{written}");
    }
}

#[test]
fn accounts_and_servers_show_as_they_are_written() {
    let account = |written: &str| place(written).unwrap().account;
    assert_eq!(account("a@h:x").to_string(), "a@h");
    assert_eq!(account("sampan://a@h:99/").to_string(), "a@h:99");
    assert_eq!(account("a@[::1]:").to_string(), "a@[::1]");
    assert_eq!(account("sampan://a@[::1]:99/").to_string(), "a@[::1]:99");
    assert_eq!(account("a@h").server.to_string(), "h:7227");
    let path = RemotePath::parse(b"d/\x1b").unwrap();
    assert_eq!(account("a@h").show(&path), "sampan://a@h/d/\\x1b");
    assert_eq!(Server::parse("[::1]:99", None).unwrap().to_string(), "[::1]:99");
    assert_eq!(Server::parse("h", Some(3)).unwrap().to_string(), "h:3");
    assert!(Server::parse("h/x", None).is_err());
}
