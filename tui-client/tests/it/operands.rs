//! Operands as people write them: sources that share a name, places where a local name belongs, and
//! one path in many spellings.

use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use sampan_server::store::QuotaLimits;
use serde_json::Value;
use tempfile::TempDir;

use crate::program::Ended;
use crate::server::{TestServer, User};

fn run(ada: &User<'_>, here: &Path, words: &[&str]) -> Ended {
    Ended::of(ada.program.command(words).current_dir(here).output().unwrap())
}

fn last_event(ended: &Ended) -> Value {
    let line = ended.text().lines().last().expect("there are events");
    serde_json::from_str(line).unwrap()
}

fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn a_source_that_is_named_twice_is_meant_once() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("a.txt"), b"a").unwrap();
    let (to, from) = (ada.place("to/"), ada.place("to/a.txt"));
    let same = ["put", "--json", "a.txt", "./a.txt", &to];
    let ended = run(&ada, here.path(), &same);
    ended.succeeded();
    assert_eq!(last_event(&ended)["done"], 1);
    assert_eq!(names(&ada.home().join("to")), ["a.txt"]);
    // What is one source is one file, and may get a new name.
    run(&ada, here.path(), &["put", "a.txt", "./a.txt", &ada.place("new")]).succeeded();
    assert!(ada.home().join("new").is_file());

    let back = TempDir::new().unwrap();
    run(&ada, back.path(), &["get", &from, &ada.place("to//./a.txt"), "here/"]).succeeded();
    assert_eq!(names(&back.path().join("here")), ["a.txt"]);
}

#[test]
fn two_sources_of_one_name_are_told_apart_before_anything_moves() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    for (path, content) in [("one/a.txt", "1"), ("two/a.txt", "22"), ("six/a.txt", "666666")] {
        for side in [here.path(), &ada.home()] {
            fs::create_dir_all(side.join(path).parent().unwrap()).unwrap();
            fs::write(side.join(path), content).unwrap();
            fs::create_dir_all(side.join(path).with_file_name("photos")).unwrap();
        }
    }
    for verb in ["put", "get"] {
        let is_put = verb == "put";
        let there = if is_put { ada.home() } else { here.path().to_owned() };
        let source = |path: &str| if is_put { path.to_owned() } else { ada.place(path) };
        let target = |path: &str| if is_put { ada.place(path) } else { path.to_owned() };
        let files = ["one/a.txt", "two/a.txt", "six/a.txt"].map(source);
        for policy in ["overwrite", "skip", "newer", "fail"] {
            let to = target(&format!("{policy}/"));
            let words = [verb, "--on-conflict", policy, &files[0], &files[1], &to];
            let said = ["two of the sources", "one/a.txt", "two/a.txt", "--on-conflict rename"];
            run(&ada, here.path(), &words).failed(1, &said);
            assert_eq!(fs::read(there.join(policy).join("a.txt")).unwrap(), b"1", "{verb}");
        }
        let to = target("both/");
        let words = [verb, "--on-conflict", "rename", &files[0], &files[1], &files[2], &to];
        // A repeat finds all of them there.
        for _ in 0..2 {
            run(&ada, here.path(), &words).succeeded();
            let both = there.join("both");
            assert_eq!(names(&both), ["a (2).txt", "a (3).txt", "a.txt"], "{verb}");
            let content = |name: &str| fs::read_to_string(both.join(name)).unwrap();
            assert_eq!(content("a.txt"), "1");
            assert_eq!(content("a (2).txt"), "22");
            assert_eq!(content("a (3).txt"), "666666");
        }
        // A run that was cut behind the first left something that only its bytes tell from the second.
        let both = there.join("both");
        let alike = |path: &Path, content: &str| {
            fs::write(path, content).unwrap();
            let file = fs::File::options().write(true).open(path).unwrap();
            file.set_modified(UNIX_EPOCH + Duration::from_secs(1_700_000_000)).unwrap();
        };
        let from = if is_put { here.path().to_owned() } else { ada.home() };
        for (path, content) in [("one/a.txt", "one"), ("two/a.txt", "two")] {
            alike(&from.join(path), content);
        }
        fs::remove_dir_all(&both).unwrap();
        fs::create_dir(&both).unwrap();
        alike(&both.join("a.txt"), "one");
        let words = [verb, "--on-conflict", "rename", &files[0], &files[1], &to];
        run(&ada, here.path(), &words).succeeded();
        assert_eq!(names(&both), ["a (2).txt", "a.txt"], "{verb}");
        assert_eq!(fs::read_to_string(both.join("a (2).txt")).unwrap(), "two");
        // The same where contents are poured together: never said to be there because of its time.
        let contents = ["one/.", "two/."].map(source);
        for round in 0..2 {
            let words = [verb, &contents[0], &contents[1], &target("poured-files/")];
            let ended = run(&ada, here.path(), &words);
            assert_eq!(ended.code, 1, "{verb} {round}: {ended:?}");
            // Folders of one name are merged there.
            assert!(ended.err.contains("a.txt") && !ended.err.contains("photos"), "{ended:?}");
            let poured = there.join("poured-files/a.txt");
            assert_eq!(fs::read_to_string(poured).unwrap(), "one", "{verb}");
        }
        for (path, content) in [("one/a.txt", "1"), ("two/a.txt", "22")] {
            fs::write(from.join(path), content).unwrap();
        }
        // Two folders of one name are never poured together.
        let folders = ["one/photos", "two/photos"].map(source);
        let words = [verb, "--on-conflict", "rename", &folders[0], &folders[1], &target("poured/")];
        run(&ada, here.path(), &words).failed(1, &["two of the sources", "photos"]);
    }
}

#[test]
fn a_dry_run_names_what_a_rename_would_and_adds_it_up() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::create_dir_all(here.path().join("tree")).unwrap();
    fs::write(here.path().join("tree/a.txt"), b"another").unwrap();
    fs::create_dir_all(ada.home().join("tree")).unwrap();
    fs::write(ada.home().join("tree/a.txt"), b"there").unwrap();
    let to = ada.place("");
    let dry = ["put", "--dry-run", "--on-conflict", "rename", "tree", &to];
    let ended = run(&ada, here.path(), &dry);
    let expected = format!(
        "{} -> {}\n",
        here.path().join("tree/a.txt").display(),
        ada.place("tree/a (2).txt")
    );
    assert_eq!(ended.succeeded(), expected);
    let ended = run(&ada, here.path(), &[&dry[..], &["--json"]].concat());
    let summary = last_event(&ended);
    let counted = ["planned_files", "planned_folders", "planned_bytes"].map(|key| &summary[key]);
    assert_eq!(counted, [&Value::from(1), &Value::from(0), &Value::from(7)], "{summary}");
    assert_eq!(names(&ada.home().join("tree")), ["a.txt"]);

    // The same on this side.
    let dry = ["get", "--dry-run", "--on-conflict", "rename", &ada.place("tree"), "."];
    let ended = run(&ada, here.path(), &dry);
    assert!(ended.succeeded().ends_with("/tree/a (2).txt\n"), "{ended:?}");
}

#[test]
fn a_dry_run_that_would_not_fit_says_by_how_much() {
    let server = TestServer::start();
    let limits = QuotaLimits { bytes: Some(1_000_000), entries: Some(3) };
    let ada = server.limited_user("ada", limits);
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("big"), vec![7; 1_500_000]).unwrap();
    let to = ada.place("");
    let ended = run(&ada, here.path(), &["put", "--dry-run", "big", &to]);
    assert_eq!(ended.code, 6, "{ended:?}");
    for word in ["1.50 MB are needed", "1.00 MB are available", "sampan df"] {
        assert!(ended.err.contains(word), "{ended:?}");
    }
    fs::create_dir(here.path().join("many")).unwrap();
    for name in ["a", "b", "c"] {
        fs::write(here.path().join("many").join(name), b"x").unwrap();
    }
    let ended = run(&ada, here.path(), &["put", "--dry-run", "many", &to]);
    assert_eq!(ended.code, 6, "{ended:?}");
    assert!(ended.err.contains("4 are needed, 3 are available"), "{ended:?}");
    let ended = run(&ada, here.path(), &["put", "--dry-run", "many/.", &to]);
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(names(&ada.home()).is_empty());
}

#[test]
fn a_place_where_a_local_name_belongs_is_wrong_usage_that_says_what_to_write() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::write(ada.home().join("a"), b"a").unwrap();
    let (a, b) = (ada.place("a"), ada.place("b"));
    let odd = format!("`./{b}`");
    run(&ada, here.path(), &["get", &a, &b]).failed(2, &["last operand of `get`", "`.`", &odd]);
    assert!(names(here.path()).is_empty());
    let odd = format!("`./{a}`");
    run(&ada, here.path(), &["put", &a, &b])
        .failed(2, &["what `put` carries lies on this machine", &odd, "`mv`"]);
    for nowhere in ["b", "host:b", "./b"] {
        fs::write(here.path().join("a"), b"a").unwrap();
        run(&ada, here.path(), &["put", "a", nowhere]).code_is(2);
    }
    run(&ada, here.path(), &["put", "a", "b"]).failed(2, &["`b`", "last operand of `put`"]);
    // Whoever does mean a local folder of such a name gets it.
    run(&ada, here.path(), &["get", &a, "./sampan:/x/"]).succeeded();
    assert!(here.path().join("sampan:/x/a").is_file());
}

#[test]
fn one_path_is_shown_in_one_way_however_it_is_written() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    let port = ada.account().server.port.to_string();
    let shown = ada.place("docs/none");
    let spellings = [
        vec![shown.clone()],
        vec![ada.place("/docs//./none/")],
        vec![ada.place("docs/more/../none")],
        vec!["-P".to_owned(), port.clone(), "ada@127.0.0.1:docs/none".to_owned()],
        vec!["-P".to_owned(), port, "ada@127.0.0.1:/docs/./none".to_owned()],
    ];
    for words in &spellings {
        for command in ["ls", "cat", "sum", "rm", "du", "get"] {
            let words: Vec<_> = [command].into_iter().chain(words.iter().map(|w| &**w)).collect();
            let ended = run(&ada, here.path(), &words);
            ended.failed(7, &["no such file"]);
            assert!(ended.err.starts_with(&format!("sampan: {shown}: ")), "{words:?}: {ended:?}");
        }
    }
}

#[test]
fn forget_takes_the_server_of_a_place() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let host = ada.account().server.to_string();
    let forgets = |words: &[&str]| {
        let known = ada.program.run(["ls", "--password-file", "/dev/null", &ada.place("")]);
        assert_ne!(known.code, 5, "{known:?}");
        assert!(ada.program.run(words).succeeded().contains(&format!("{host} is forgotten")));
        ada.program.run(words).failed(7, &[&host, "nothing is stored"]);
        sampan_client::state::State::under(ada.program.home())
            .known_servers()
            .set(&ada.account().server, &server.fingerprint())
            .unwrap();
    };
    let port = ada.account().server.port.to_string();
    forgets(&["forget", &host]);
    forgets(&["forget", &ada.place("some/where")]);
    forgets(&["forget", "-P", &port, "ada@127.0.0.1"]);
    forgets(&["forget", "-P", &port, "ada@127.0.0.1:docs"]);
    ada.program.run(["forget", "sampan://ada:word@127.0.0.1/"]).failed(2, &["password"]);
}

#[test]
fn what_is_said_to_no_purpose_is_said_so() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let unclosed = ada.program.run(["ls", "-g", &ada.place("[unclosed")]);
    unclosed.failed(7, &["[unclosed: no such file", "stands for itself"]);
    assert!(!unclosed.err.contains("unless -g"), "{unclosed:?}");
    ada.program
        .run(["cat", "-g", &ada.place("none")])
        .failed(7, &["none: no such file", "check its spelling"]);
    let limit = ada.program.run(["put", "--limit", "abc", "x", &ada.place("")]);
    assert_eq!(limit.code, 2);
    assert!(limit.err.contains("k M G T") && limit.err.contains("2MiB"), "{limit:?}");
    let df = ada.program.run(["df", &ada.place("docs")]);
    assert_eq!(df.code, 0);
    assert!(df.err.contains("whole account's") && df.text().starts_with("quota"), "{df:?}");
    ada.program.run(["df", &ada.place("")]).succeeded();
    ada.program
        .run(["uploads", "--abort", "99999", &ada.place("")])
        .failed(7, &["upload 99999: there is no such unfinished upload", "`sampan uploads sampan"]);
}
