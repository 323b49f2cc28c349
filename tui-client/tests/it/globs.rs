//! `-g`: patterns are expanded to the names that the server holds, and to nothing else.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use tempfile::TempDir;

use crate::program::Ended;
use crate::server::{TestServer, User};

fn fill(ada: &User<'_>) {
    for path in ["docs/a.txt", "docs/b.txt", "docs/c.log", "docs/.hidden.txt", "more/a.txt"] {
        let path = ada.home().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, b"x").unwrap();
    }
    fs::create_dir_all(ada.home().join("docs/deep/er")).unwrap();
    symlink("docs", ada.home().join("link")).unwrap();
}

fn run(ada: &User<'_>, words: &[&str], paths: &[&str]) -> Ended {
    let words = words.iter().map(|word| (*word).to_owned());
    ada.program.run(words.chain(paths.iter().map(|path| ada.place(path))))
}

#[test]
fn every_command_that_takes_existing_places_expands_them() {
    let server = TestServer::start();
    let ada = server.user("ada");
    fill(&ada);
    let x = blake3::hash(b"x").to_hex();
    let sums = run(&ada, &["sum", "-g"], &["*/a.txt", "docs/[!a].txt"]);
    let expected = format!("{x}  docs/a.txt\n{x}  more/a.txt\n{x}  docs/b.txt\n");
    assert_eq!(sums.succeeded(), expected);
    assert_eq!(run(&ada, &["cat", "-g"], &["docs/?.txt"]).succeeded(), "xx");
    let listed = run(&ada, &["ls", "-g"], &["docs/*.txt", "d*/deep"]);
    let deep = ada.place("docs/deep");
    assert_eq!(listed.succeeded(), format!("docs/a.txt\ndocs/b.txt\n\n{deep}:\ner\n"));
    assert_eq!(run(&ada, &["ls", "-g"], &["docs/.h*"]).succeeded(), "docs/.hidden.txt\n");
    // One folder that a pattern found is named as well.
    assert_eq!(run(&ada, &["ls", "-g"], &["d*/de*"]).succeeded(), format!("{deep}:\ner\n"));
    let du = run(&ada, &["du", "-sg"], &["*/"]);
    assert_eq!(du.succeeded(), "       4 B        7 docs\n       1 B        2 more\n");

    run(&ada, &["mv", "-g"], &["docs/*.txt", "docs/deep/"]).succeeded();
    assert!(ada.home().join("docs/deep/b.txt").exists());
    assert!(ada.home().join("docs/.hidden.txt").exists());
    run(&ada, &["rm", "-rg"], &["docs/*"]).succeeded();
    let left: Vec<_> = fs::read_dir(ada.home().join("docs")).unwrap().collect();
    assert_eq!(left.len(), 1, "a hidden name needs a dot that is written: {left:?}");
}

#[test]
fn get_expands_and_a_repeat_is_the_same_command() {
    let server = TestServer::start();
    let ada = server.user("ada");
    fill(&ada);
    let here = TempDir::new().unwrap();
    let get = |words: &[&str]| {
        let mut command = ada.program.command(["get"].iter().chain(words));
        Ended::of(command.current_dir(here.path()).output().unwrap())
    };
    for _ in 0..2 {
        get(&["-g", &ada.place("docs/*.txt"), &ada.place("m*"), "."]).succeeded();
    }
    for path in ["a.txt", "b.txt", "more/a.txt"] {
        assert_eq!(fs::read(here.path().join(path)).unwrap(), b"x", "{path}");
    }
    assert_eq!(fs::read_dir(here.path()).unwrap().count(), 3);
    // One match is one file, which may get a new name.
    get(&["-g", &ada.place("docs/c*"), "renamed"]).succeeded();
    assert!(here.path().join("renamed").is_file());
    // One pattern fails, the other is carried.
    let ended = get(&["-g", &ada.place("docs/c*"), &ada.place("no*"), "both/"]);
    assert_eq!((ended.code, ended.err.lines().count()), (7, 1), "{ended:?}");
    assert!(here.path().join("both/c.log").exists());
    get(&["-g", &ada.place("no*")]).failed(7, &["no*", "nothing on the server matches"]);
    // Refused patterns are counted, and told apart from each other and from what was carried.
    let no: [&str; 2] = [&ada.place("no*"), &ada.place("none?")];
    let json = |words: &[&str]| {
        let ended = get(words);
        assert_eq!(ended.code, 7, "{ended:?}");
        let lines = ended.text().lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect::<Vec<serde_json::Value>>()
    };
    let of = |lines: &[serde_json::Value], event: &str, key: &str| {
        let told = lines.iter().filter(|line| line["event"] == event);
        told.map(|line| line[key].as_u64().unwrap()).collect::<Vec<_>>()
    };
    let nothing = json(&["-g", "--json", no[0], no[1], "."]);
    assert_eq!(
        (of(&nothing, "fail", "id"), of(&nothing, "fail", "code")),
        (vec![1, 2], vec![7, 7])
    );
    assert_eq!(of(&nothing, "summary", "failed"), [2]);
    let some = json(&["-g", "--json", no[0], &ada.place("docs/c*"), no[1], "some/"]);
    assert_eq!((of(&some, "fail", "id"), of(&some, "done", "id")), (vec![1, 2], vec![3]));
    let sums = ["done", "failed"].map(|key| of(&some, "summary", key));
    assert_eq!(sums, [[1], [2]]);
}

#[test]
fn without_the_flag_a_pattern_is_a_name_and_the_message_says_so() {
    let server = TestServer::start();
    let ada = server.user("ada");
    fill(&ada);
    fs::write(ada.home().join("docs/*"), b"star").unwrap();
    assert_eq!(run(&ada, &["cat"], &["docs/*"]).succeeded(), "star");
    for command in [&["cat"][..], &["sum"], &["ls"], &["rm"], &["du"], &["get"]] {
        for path in ["docs/?.txt", "d*/a.txt", "docs/[ab]"] {
            run(&ada, command, &[path]).failed(7, &[path, "taken as they stand", "-g"]);
        }
    }
    let plain = run(&ada, &["cat"], &["none"]);
    assert!(!plain.err.contains("-g"), "{}", plain.err);
    assert_eq!(run(&ada, &["cat", "-g"], &["docs/[*]"]).succeeded(), "star");
}

#[test]
fn a_pattern_without_a_match_ends_with_7() {
    let server = TestServer::start();
    let ada = server.user("ada");
    fill(&ada);
    for (command, path) in [
        (&["ls", "-g"][..], "no*"),
        (&["cat", "-g"], "docs/*/x"),
        (&["sum", "-g"], "none/*"),
        (&["rm", "-g"], "docs/a.txt/*"),
        (&["du", "-g"], "docs/?.txt/"),
        // No link is followed.
        (&["ls", "-g"], "l*/a.txt"),
        (&["ls", "-g"], "link/*"),
    ] {
        let shown = path.trim_end_matches('/');
        run(&ada, command, &[path]).failed(7, &[shown, "nothing on the server matches"]);
    }
    run(&ada, &["mv", "-g"], &["no*", "docs/"]).failed(7, &["no*", "nothing"]);
    run(&ada, &["rm", "-fg"], &["no*"]).succeeded();
    assert!(ada.home().join("docs/a.txt").exists());
}

#[test]
fn s2_names_of_any_bytes_are_matched_and_shown_escaped() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let name = OsStr::from_bytes(b"\x1b[31m\n\xff.txt");
    fs::write(ada.home().join(name), b"x").unwrap();
    let sum = run(&ada, &["sum", "-g"], &["*.txt"]);
    let x = blake3::hash(b"x").to_hex();
    let expected = [b"\\", x.as_bytes(), b"  \x1b[31m\\n\xff.txt\n"].concat();
    assert_eq!((sum.code, sum.out), (0, expected));
    run(&ada, &["cat", "-g"], &["*.txt/x*"]).failed(7, &["*.txt/x*"]);
    let place = [ada.place("").as_bytes(), b"\x1b[2J*"].concat();
    ada.program
        .run([OsStr::new("ls"), OsStr::new("-g"), OsStr::from_bytes(&place)])
        .failed(7, &["\\x1b[2J*", "nothing"]);
}

#[test]
fn what_two_patterns_stand_for_is_meant_once() {
    let server = TestServer::start();
    let ada = server.user("ada");
    fill(&ada);
    let both = ["docs/a*", "docs/*.txt"];
    assert_eq!(run(&ada, &["cat", "-g"], &both).succeeded(), "xx");
    run(&ada, &["rm", "-g"], &both).succeeded();
    assert!(!ada.home().join("docs/a.txt").exists());
}
