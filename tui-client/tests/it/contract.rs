//! What people and their scripts rely on, row by row: which test covers which row of the client's
//! table and which exit code, and the rows' tests that stand nowhere else. All run the real program.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};
use std::time::{Duration, Instant, UNIX_EPOCH};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;
use tempfile::TempDir;

use crate::program::{Ended, Program};
use crate::screen::sluice::Sluice;
use crate::server::{TestServer, User};

/// Command, or what else a row is about, and the tests of it.
const ROWS: &[(&str, &[&str])] = &[
    ("sampan", &["screen::connecting", "screen::restoring"]),
    ("demo", &["demo::it_opens_on_both_sides_and_leaves_nothing_when_the_person_does"]),
    ("login", &["commands::login_enrols_a_key_and_logout_revokes_it"]),
    ("logout", &["commands::login_enrols_a_key_and_logout_revokes_it"]),
    (
        "ls",
        &[
            "commands::listings_have_their_columns_and_their_json",
            "contract::ls_sorts_on_a_terminal_and_streams_into_a_pipe",
            "terminal::s2_names_are_escaped_on_a_terminal_also_where_they_end_with_nul",
        ],
    ),
    (
        "put",
        &[
            "carry::files_and_folders_land_where_the_contract_says",
            "sources::a_slash_at_the_end",
            "sources::staged_downloads_are_never_carried",
        ],
    ),
    (
        "get",
        &[
            "carry::files_and_folders_land_where_the_contract_says",
            "sources::a_slash_at_the_end",
            "sources::staged_downloads_are_never_carried",
        ],
    ),
    ("mkdir", &["commands::folders_are_made_listed_moved_and_removed"]),
    ("rm", &["commands::folders_are_made_listed_moved_and_removed"]),
    (
        "mv",
        &[
            "commands::folders_are_made_listed_moved_and_removed",
            "commands::a_folder_never_replaces_and_is_never_replaced",
        ],
    ),
    (
        "cat",
        &[
            "looking::cat_prints_files_one_after_the_other_and_the_rest_beside_a_failure",
            "looking::cat_goes_on_after_a_lost_link_by_itself",
            "looking::cat_ends_quietly_when_its_reader_goes",
        ],
    ),
    ("du", &["looking::du_adds_up_to_what_the_quota_charges"]),
    ("df", &["commands::quota_and_use_are_shown_and_files_beyond_it_refused"]),
    ("sum", &["commands::sums_are_those_of_b3sum"]),
    ("uploads", &["contract::unfinished_uploads_are_listed_and_given_up"]),
    ("forget", &["contact::a_changed_server_ends_with_5_and_the_way_out_is_named"]),
    ("completions", &["looking::completions_are_the_shells_own"]),
    ("man", &["looking::man_prints_pages"]),
    ("reserved: sync and queue", &["contract::reserved_words_are_no_commands"]),
    (
        "places",
        &[
            "contact::wrong_usage_ends_with_2",
            "contact::a_place_with_a_password_ends_with_2_and_does_not_show_it",
            "contact::above_the_home_ends_with_7_and_nothing_is_sent",
            "contract::a_path_is_taken_byte_for_byte",
            "ipv6::an_address_in_brackets_is_a_host_in_every_form_of_a_place",
            "ipv6::an_address_in_brackets_is_pinned_keyed_and_forgotten_under_its_name",
            "ipv6::an_address_with_a_zone_is_reached",
        ],
    ),
    ("-g", &["globs::every_command_that_takes_existing_places_expands_them"]),
    ("unchanged, --checksum", &["contract::a_target_of_equal_size_and_time_is_there_already"]),
    ("merging", &["contract::folders_are_merged_and_a_file_against_a_folder_fails"]),
    (
        "--on-conflict",
        &[
            "contract::each_answer_to_a_conflict_does_what_it_says",
            "carry::on_a_terminal_there_are_bars_and_a_question_about_a_conflict",
        ],
    ),
    (
        "repeating",
        &[
            "carry::a_killed_command_is_finished_by_repeating_it",
            "contract::repeating_an_interrupted_rename_makes_no_further_copies",
            "again::a_command_is_known_by_its_absolute_operands_without_its_flags",
            "again::a_server_that_was_killed_is_met_again_by_password",
        ],
    ),
    (
        "--links",
        &[
            "carry::links_are_named_and_left_out_and_never_followed_on_the_server",
            "sources::loops_of_links_are_found",
        ],
    ),
    ("sockets, FIFOs, devices", &["contract::what_is_no_file_is_named_and_never_opened"]),
    ("modes and times", &["contract::modes_and_times_are_kept"]),
    ("--limit", &["contract::a_limit_is_kept_to"]),
    ("--connections, --no-flush", &["contract::a_transfer_takes_its_options"]),
    ("--dry-run", &["carry::a_dry_run_says_what_would_be_carried_and_carries_nothing"]),
    ("--quiet", &["contract::a_transfer_takes_its_options"]),
    (
        "JSON",
        &[
            "commands::listings_have_their_columns_and_their_json",
            "contract::the_events_are_those_of_the_contract",
            "carry::ids_pair_the_lines_of_each_transfer",
        ],
    ),
    (
        "asking",
        &[
            "terminal::the_identity_is_asked_on_the_terminal_and_never_on_standard_input",
            "terminal::without_a_terminal_on_standard_error_nothing_is_asked",
            "sources::without_a_terminal_on_standard_error_there_are_neither_bars_nor_questions",
            "commands::a_given_password_is_proved_whatever_key_is_enrolled",
        ],
    ),
    (
        "identity",
        &[
            "contact::accept_new_pins_without_asking",
            "contact::a_given_fingerprint_alone_decides",
            "contact::a_changed_server_ends_with_5_and_the_way_out_is_named",
            "roots::a_fingerprint_decides_then_a_pin_then_the_roots",
            "roots::the_roots_vouch_for_the_host_that_was_called",
        ],
    ),
    ("--timeout", &["contact::a_server_that_says_nothing_ends_with_3_in_time"]),
    ("--retry-for", &["contract::a_lost_link_is_tried_again_for_as_long_as_was_said"]),
    ("0", &["carry::files_and_folders_land_where_the_contract_says"]),
    (
        "1",
        &[
            "commands::one_failure_does_not_keep_the_rest_and_kinds_that_differ_end_with_1",
            "carry::a_target_that_differs_is_a_conflict_and_an_equal_one_is_not",
            "carry::each_failure_is_one_line_while_the_rest_goes_on",
        ],
    ),
    ("2", &["contact::wrong_usage_ends_with_2"]),
    ("3", &["contact::no_server_ends_with_3"]),
    (
        "4",
        &[
            "refusals::a_closed_account_ends_with_4_like_a_wrong_password",
            "refusals::too_many_wrong_passwords_have_to_wait",
            "contact::a_password_that_nobody_can_be_asked_for_ends_with_4_before_connecting",
        ],
    ),
    (
        "5",
        &[
            "contact::an_unknown_server_with_nobody_to_ask_ends_with_5",
            "contact::a_changed_server_ends_with_5_and_the_way_out_is_named",
        ],
    ),
    (
        "6",
        &[
            "carry::over_quota_ends_with_6_before_the_first_byte",
            "system::system_get_onto_a_full_disk_ends_with_6_and_a_repeat_finishes_it",
        ],
    ),
    (
        "7",
        &[
            "commands::what_the_server_may_not_touch_ends_with_7",
            "refusals::what_may_not_be_read_written_or_removed_on_the_server_ends_with_7",
        ],
    ),
    (
        "130",
        &[
            "carry::an_interrupted_command_is_finished_by_repeating_it",
            "signals::a_signal_is_heard_while_nobody_reads_the_output",
            "signals::a_second_signal_ends_at_once",
            "signals::every_command_that_waits_for_the_server_is_stopped_with_130",
        ],
    ),
    (
        "a closed pipe",
        &[
            "commands::a_closed_pipe_ends_quietly",
            "pipes::a_closed_pipe_ends_every_command_quietly",
        ],
    ),
    ("standard output", &["pipes::an_output_that_takes_nothing_ends_every_command_with_6"]),
    ("SAMPAN_HOME", &["own_files::they_lie_in_the_platforms_folders_or_all_under_one"]),
];

/// The table names tests that are there, and every command that is.
#[test]
fn every_row_has_its_test() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    for (row, names) in ROWS {
        for name in *names {
            let (module, test) = name.rsplit_once("::").unwrap();
            let file = tests.join(module.replace("::", "/"));
            if let Ok(source) = fs::read_to_string(file.with_extension("rs")) {
                assert!(source.contains(&format!("fn {test}(")), "{row}: there is no test {name}");
            } else {
                // A module of tests.
                let file = tests.join(name.replace("::", "/")).with_extension("rs");
                assert!(file.exists(), "{row}: there are no tests {name}");
            }
        }
    }
    let help = Program::new().run(["--help"]);
    let commands = help.succeeded().split("Commands:\n").nth(1).unwrap().lines();
    let commands = commands.map_while(|line| line.split_whitespace().next());
    for command in commands.filter(|command| *command != "help") {
        assert!(ROWS.iter().any(|(row, _)| *row == command), "{command} has no row");
    }
}

fn put(ada: &User<'_>, here: &Path, words: &[&str]) -> Ended {
    let mut command = ada.program.command(["put"].iter().chain(words));
    Ended::of(command.current_dir(here).output().unwrap())
}

fn get(ada: &User<'_>, here: &Path, words: &[&str]) -> Ended {
    let mut command = ada.program.command(["get"].iter().chain(words));
    Ended::of(command.current_dir(here).output().unwrap())
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Writes a file that was changed so many seconds after the epoch.
fn write(path: &Path, content: &[u8], seconds: u64) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

/// Starts a put, and waits until at least `bytes` of it are across. Its events are read by nobody
/// any more, and it goes on.
pub(crate) fn started(ada: &User<'_>, here: &Path, words: &[&str], bytes: u64) -> Child {
    watched(ada, here, words, bytes).0
}

/// The same, with its further events.
pub(crate) fn watched(
    ada: &User<'_>,
    here: &Path,
    words: &[&str],
    bytes: u64,
) -> (Child, BufReader<ChildStdout>) {
    let mut command = ada.program.command(["put", "--json"].iter().chain(words));
    command.current_dir(here).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    loop {
        let mut line = String::new();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended before");
        let event: Value = serde_json::from_str(&line).unwrap();
        if event["event"] == "progress" && event["done"].as_u64().unwrap() >= bytes {
            break;
        }
    }
    (child, out)
}

#[test]
fn ls_sorts_on_a_terminal_and_streams_into_a_pipe() {
    let server = TestServer::start();
    let ada = server.user("ada");
    for number in 0..40 {
        fs::write(ada.home().join(format!("{:02}", number * 7 % 40)), b"").unwrap();
    }
    let line = format!("$SAMPAN ls {}", ada.place(""));
    let (seen, _) = crate::terminal::OnTerminal::run(&ada.program, &line).ends();
    let names: Vec<_> = seen.lines().map(str::trim).collect();
    assert!(names.len() == 40 && names.is_sorted(), "{names:?}");
    let piped = ada.program.run(["ls", &ada.place("")]);
    let line = format!("$SAMPAN ls -U {}", ada.place(""));
    let (seen, _) = crate::terminal::OnTerminal::run(&ada.program, &line).ends();
    let unsorted: Vec<_> = seen.lines().map(str::trim).collect();
    assert_eq!(unsorted, piped.succeeded().lines().collect::<Vec<_>>(), "the folder's own order");
}

#[test]
fn unfinished_uploads_are_listed_and_given_up() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("big"), vec![3; 24 << 20]).unwrap();
    let to = ada.place("in/");
    let mut child = started(&ada, here.path(), &["--limit", "4MiB", "big", &to], 3 << 20);
    child.kill().unwrap();
    child.wait().unwrap();

    let home = ada.place("");
    let listed = ada.program.run(["uploads", "--json", &home]);
    let [upload] = &lines(&listed)[..] else { panic!("{listed:?}") };
    assert_eq!((&upload["path"], &upload["size"]), (&"in/big".into(), &(24 << 20).into()));
    assert!(upload["staged"].as_u64().unwrap() >= 3 << 20, "{upload}");
    assert!(upload["expires"].as_str().unwrap() > upload["opened"].as_str().unwrap(), "{upload}");
    let id = upload["id"].to_string();
    let listed = ada.program.run(["uploads", &home]);
    assert!(listed.succeeded().contains("of 25.2 MB across, 25.2 MB held  /in/big"), "{listed:?}");
    for (below, is_in) in [("in", true), ("in/big", true), ("i", false), ("in/big/x", false)] {
        let listed = ada.program.run(["uploads", &ada.place(below)]);
        assert_eq!(!listed.succeeded().is_empty(), is_in, "{below}: {listed:?}");
    }

    ada.program.run(["uploads", &id, &home]).failed(2, &["--abort"]);
    ada.program.run(["uploads", "--abort", &home]).failed(2, &["--abort"]);
    ada.program.run(["uploads", "--abort", "seven", &home]).failed(2, &["`seven`", "numbers"]);
    let other = (upload["id"].as_u64().unwrap() + 1).to_string();
    let ended = ada.program.run(["uploads", "--abort", &other, &id, &home]);
    ended.failed(7, &[&format!("upload {other}"), "no such"]);
    assert_eq!(ada.program.run(["uploads", &home]).succeeded(), "");
    let df = ada.program.run(["df", "--json", &home]);
    assert_eq!(lines(&df)[0]["in_flight"], 0);
}

#[test]
fn reserved_words_are_no_commands() {
    let program = Program::new();
    for words in [&["sync", "here", "ada@localhost:"][..], &["queue", "list"], &["queue"]] {
        program.run(words).failed(2, &[&format!("`{}` is no command", words[0])]);
    }
}

#[test]
fn a_path_is_taken_byte_for_byte() {
    let server = TestServer::start();
    let ada = server.user("ada");
    for name in ["a%20b", "what?", "c#d", "e:f@g", "[x]"] {
        fs::write(ada.home().join(name), name).unwrap();
        assert_eq!(ada.program.run(["cat", &ada.place(name)]).succeeded(), name);
    }
    // The short form, with the port beside it; empty parts and `.` count as nothing.
    fs::create_dir(ada.home().join("docs")).unwrap();
    fs::write(ada.home().join("docs/x"), b"x").unwrap();
    let port = ada.account().server.port.to_string();
    for place in ["ada@127.0.0.1:docs//./x", "ada@127.0.0.1:/docs/x", "ada@127.0.0.1:a/../docs/x"] {
        assert_eq!(ada.program.run(["cat", "-P", &port, place]).succeeded(), "x", "{place}");
    }
    let home = ada.program.run(["ls", "-P", &port, "ada@127.0.0.1"]);
    assert_eq!(home.succeeded().lines().count(), 6);
}

#[test]
fn a_target_of_equal_size_and_time_is_there_already() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    write(&here.path().join("a"), b"first", 1000);
    write(&ada.home().join("a"), b"other", 1000);
    write(&here.path().join("b"), b"equal", 1000);
    write(&ada.home().join("b"), b"equal", 2000);
    let home = ada.place("");
    let unchanged = |ended: &Ended| {
        let events = lines(ended);
        events.iter().filter(|event| event["event"] == "unchanged").count()
    };
    let of = put(&ada, here.path(), &["--json", "a", &home]);
    assert_eq!((of.code, unchanged(&of)), (0, 1), "{of:?}");
    put(&ada, here.path(), &["--checksum", "a", &home]).failed(1, &["exists already"]);
    put(&ada, here.path(), &["b", &home]).failed(1, &["exists already"]);
    let of = put(&ada, here.path(), &["--checksum", "--json", "b", &home]);
    assert_eq!((of.code, unchanged(&of)), (0, 1), "{of:?}");
    get(&ada, here.path(), &["--checksum", &ada.place("a"), "."]).failed(1, &["exists already"]);
    get(&ada, here.path(), &[&ada.place("a"), "."]).succeeded();
    assert_eq!(fs::read(here.path().join("a")).unwrap(), b"first");
}

#[test]
fn folders_are_merged_and_a_file_against_a_folder_fails() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    for path in ["tree/new", "tree/clash"] {
        write(&here.path().join(path), b"new", 1);
    }
    for path in ["tree/old", "tree/clash/inner"] {
        write(&ada.home().join(path), b"old", 1);
    }
    let clash = ada.place("tree/clash");
    put(&ada, here.path(), &["--on-conflict", "overwrite", "tree", &ada.place("")])
        .failed(1, &[&clash, "a file and a folder"]);
    for path in ["tree/old", "tree/new", "tree/clash/inner"] {
        assert!(ada.home().join(path).is_file(), "{path}");
    }
    let ended = get(&ada, here.path(), &["--on-conflict", "overwrite", &ada.place("tree"), "."]);
    ended.failed(1, &["tree/clash", "a file and a folder"]);
    assert_eq!(fs::read(here.path().join("tree/clash")).unwrap(), b"new");
    assert!(here.path().join("tree/old").is_file());
}

#[test]
fn each_answer_to_a_conflict_does_what_it_says() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    let home = ada.place("");
    for up in [true, false] {
        for (choice, code, older, newer, copies) in [
            ("fail", 1, "there", "there", 0),
            ("skip", 0, "there", "there", 0),
            ("newer", 0, "new!!!", "there", 0),
            ("rename", 0, "there", "there", 2),
            ("overwrite", 0, "new!!!", "new!!!", 0),
        ] {
            let there = ada.home();
            let (from, to) = if up { (here.path(), &*there) } else { (&*there, here.path()) };
            for folder in [from, to] {
                for entry in fs::read_dir(folder).unwrap() {
                    fs::remove_file(entry.unwrap().path()).unwrap();
                }
            }
            for (name, seconds) in [("older.txt", 1000), ("newer.txt", 3000)] {
                write(&from.join(name), b"new!!!", 2000);
                write(&to.join(name), b"there", seconds);
            }
            let ended = if up {
                let names = ["older.txt", "newer.txt"];
                put(&ada, here.path(), &["--on-conflict", choice, names[0], names[1], &home])
            } else {
                get(&ada, here.path(), &["--on-conflict", choice, &format!("{home}."), "."])
            };
            assert_eq!(ended.code, code, "{choice} {up}: {ended:?}");
            let read = |name: &str| fs::read_to_string(to.join(name)).unwrap();
            assert_eq!((read("older.txt"), read("newer.txt")), (older.into(), newer.into()));
            let found = fs::read_dir(to).unwrap().count();
            assert_eq!(found, 2 + copies, "{choice} {up}");
            if copies > 0 {
                assert_eq!(read("older (2).txt"), "new!!!");
            }
        }
    }
}

#[test]
fn repeating_an_interrupted_rename_makes_no_further_copies() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    for (name, length) in [("a", 10), ("big", 12 << 20)] {
        fs::write(here.path().join(name), vec![1; length]).unwrap();
        fs::write(ada.home().join(name), b"there").unwrap();
    }
    let home = ada.place("");
    let words = ["--on-conflict", "rename", "a", "big", &home];
    let slow = [&["--limit", "3MiB"][..], &words].concat();
    let mut child = started(&ada, here.path(), &slow, 3 << 20);
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!ada.home().join("big (2)").exists());
    put(&ada, here.path(), &words).succeeded();
    let mut names: Vec<_> =
        fs::read_dir(ada.home()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort_unstable();
    assert_eq!(names, ["a", "a (2)", "big", "big (2)"]);
}

#[test]
fn what_is_no_file_is_named_and_never_opened() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    let (tree, there) = (here.path().join("tree"), ada.home().join("tree"));
    for folder in [&tree, &there] {
        fs::create_dir(folder).unwrap();
        let fifo = folder.join("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
        drop(UnixListener::bind(folder.join("socket")).unwrap());
        fs::write(folder.join("file"), b"x").unwrap();
    }
    fs::remove_file(there.join("file")).unwrap();
    // A FIFO that were opened would hold it up for ever.
    let ended = put(&ada, here.path(), &["tree", &ada.place("")]);
    assert_eq!((ended.code, ended.err.lines().count()), (0, 2), "{ended:?}");
    for name in ["tree/fifo", "tree/socket"] {
        assert!(ended.err.contains(&format!("{name}: left out: a socket, FIFO or device")));
    }
    assert!(there.join("file").exists());
    let ended = get(&ada, here.path(), &[&ada.place("tree"), "back/"]);
    assert_eq!((ended.code, ended.err.lines().count()), (0, 2), "{ended:?}");
    ada.program.run(["cat", &ada.place("tree/fifo")]).failed(7, &["never opened"]);
}

#[test]
fn modes_and_times_are_kept() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    let tree = here.path().join("tree");
    fs::create_dir_all(tree.join("inner")).unwrap();
    fs::write(tree.join("inner/file"), b"x").unwrap();
    let when = UNIX_EPOCH + Duration::new(1_234_567_890, 123_456_789);
    for (path, mode) in [("inner/file", 0o4751), ("inner", 0o1750), ("", 0o700)] {
        let path = tree.join(path);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        fs::File::open(&path).unwrap().set_modified(when).unwrap();
    }
    put(&ada, here.path(), &["tree", &ada.place("")]).succeeded();
    get(&ada, here.path(), &[&ada.place("tree"), "back/"]).succeeded();
    for root in [ada.home().join("tree"), here.path().join("back/tree")] {
        for (path, mode) in [("inner/file", 0o751), ("inner", 0o750), ("", 0o700)] {
            let about = fs::metadata(root.join(path)).unwrap();
            assert_eq!(about.mode() & 0o7777, mode, "{}", root.join(path).display());
            assert_eq!(about.modified().unwrap(), when, "{}", root.join(path).display());
        }
    }
}

/// Only that it is not faster: a machine may be slower than any limit.
#[test]
fn a_limit_is_kept_to() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("big"), vec![1; 6 << 20]).unwrap();
    let up = Instant::now();
    put(&ada, here.path(), &["--limit", "3MiB", "big", &ada.place("")]).succeeded();
    let up = up.elapsed();
    let down = Instant::now();
    get(&ada, here.path(), &["--limit", "3MiB", &ada.place("big"), "back"]).succeeded();
    let down = down.elapsed();
    for took in [up, down] {
        assert!(took >= Duration::from_secs(1), "{took:?} for 6 MiB at 3 MiB a second");
    }
}

#[test]
fn a_transfer_takes_its_options() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    fs::write(here.path().join("big"), vec![1; 5 << 20]).unwrap();
    std::os::unix::fs::symlink("big", here.path().join("link")).unwrap();
    put(&ada, here.path(), &["--connections", "1", "--quiet", "big", "link", &ada.place("")])
        .succeeded();
    get(&ada, here.path(), &["--connections", "9", "--no-flush", &ada.place("big"), "back"])
        .succeeded();
    assert_eq!(fs::read(here.path().join("back")).unwrap(), vec![1; 5 << 20]);
    put(&ada, here.path(), &["--quiet", "none", &ada.place("")]).failed(7, &["none"]);
    get(&ada, here.path(), &["--links", "follow", &ada.place("big")]).code_is(2);
    put(&ada, here.path(), &["--no-flush", "big", &ada.place("")]).code_is(2);
}

#[test]
fn the_events_are_those_of_the_contract() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let here = TempDir::new().unwrap();
    write(&here.path().join("same"), b"same", 1000);
    write(&ada.home().join("same"), b"same", 1000);
    fs::write(here.path().join("big"), vec![1; 4 << 20]).unwrap();
    std::os::unix::fs::symlink("big", here.path().join("link")).unwrap();
    let words = ["--json", "--limit", "4MiB", "same", "big", "link", "none", &ada.place("")];
    let ended = put(&ada, here.path(), &words);
    assert_eq!((ended.code, &*ended.err), (7, ""));
    let events = lines(&ended);
    let kinds: std::collections::BTreeSet<_> =
        events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    let all = ["plan", "start", "progress", "done", "skip", "unchanged", "fail", "summary"];
    assert_eq!(kinds, all.into_iter().collect());
    let last = events.last().unwrap();
    let counts = ["done", "unchanged", "skipped", "failed"].map(|count| last[count].as_u64());
    assert_eq!((&last["event"], counts), (&"summary".into(), [Some(1); 4]));
}

#[test]
fn a_lost_link_is_tried_again_for_as_long_as_was_said() {
    let server = TestServer::start();
    let sluice = Sluice::to(server.port);
    let ada = server.user("ada").through(sluice.port);
    let here = TempDir::new().unwrap();
    let content: Vec<u8> = (0..16_u32 << 20).map(|n| n.to_le_bytes()[1]).collect();
    fs::write(here.path().join("big"), &content).unwrap();
    let to = ada.place("");
    let words = ["--limit", "4MiB", "big", &to];
    let run = |retry: &str| {
        let words = [&["--retry-for", retry][..], &words].concat();
        let child = started(&ada, here.path(), &words, 2 << 20);
        sluice.cut();
        let mut output = child.wait_with_output().unwrap();
        output.stdout.clear();
        Ended::of(output)
    };
    let ended = run("0");
    assert_eq!((ended.code, &*ended.err), (3, ""), "its failure is an event");
    assert!(!ada.home().join("big").exists());
    let ended = run("forever");
    let lines: Vec<_> = ended.err.lines().collect();
    let [lost, back] = lines[..] else {
        panic!("a line when it is lost, one when back: {ended:?}")
    };
    assert!(lost.contains("the link is lost") && back.contains("the link is back"), "{ended:?}");
    assert_eq!(ended.code, 0);
    assert!(fs::read(ada.home().join("big")).unwrap() == content);
}
