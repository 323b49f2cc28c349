//! What administrators and their scripts rely on, row by row: which test covers which row of
//! `sampand`'s table and which exit code, and the rows' tests that stand nowhere else. All run the
//! real binary.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use crate::program::{ADD, Data, Serving, program, ran, run, sampand};

/// Command, or what else a row is about, and the tests of it.
const ROWS: &[(&str, &[&str])] = &[
    (
        "serve",
        &[
            "cli::serve_says_where_and_who",
            "cli::several_addresses_are_bound_or_none",
            "cli::a_second_server_names_the_first",
            "cli::systemd_is_told",
            "contract::system_serve_listens_on_both_families_by_default",
            "live::a_stop_finishes_what_runs_and_keeps_uploads",
            "session::a_stopping_server_says_goodbye",
            "session::a_stop_does_not_wait_for_ever",
        ],
    ),
    (
        "user",
        &[
            "cli::the_first_hour_without_a_server",
            "cli::the_first_hour_through_a_server",
            "cli::on_a_terminal_the_password_is_asked_for_twice",
            "refusals::a_home_that_lies_there_is_not_taken_unasked",
            "live::commands_that_close_an_account_end_its_sessions_and_void_its_keys",
            "session::a_new_password_ends_sessions_and_voids_keys",
            "login::a_disabled_account_is_refused_with_its_own_password",
            "contract::a_default_quota_is_what_the_configuration_says",
        ],
    ),
    (
        "quota",
        &[
            "cli::the_first_hour_without_a_server",
            "cli::the_first_hour_through_a_server",
            "live::what_is_open_is_counted",
            "scan::homes_are_counted_without_a_server",
            "scan::homes_are_counted_through_a_server",
        ],
    ),
    ("status", &["cli::status_with_and_without_a_server", "live::what_is_open_is_counted"]),
    ("fingerprint", &["cli::serve_says_where_and_who"]),
    ("completions", &["manual::completions_are_the_shells_own"]),
    ("man", &["manual::man_prints_pages_without_a_data_folder"]),
    (
        "--data, --config, their variables",
        &[
            "contract::a_flag_beats_the_environment_which_beats_the_file",
            "cli::the_configuration_is_read_and_its_errors_name_the_line",
            "settings::system_the_usual_file_is_read_if_nothing_else_is_named",
        ],
    ),
    ("listen", &["settings::listen"]),
    ("default_quota", &["settings::default_quota"]),
    ("durability", &["settings::durability"]),
    ("log", &["settings::log"]),
    ("NAME, SIZE", &["cli::wrong_usage_is_2", "contract::sizes_are_read_as_the_contract_says"]),
    ("acting as the owner of DATA", &["cli::root_acts_as_the_folders_owner"]),
    ("one mount", &["contract::system_homes_and_staging_share_one_mount"]),
    ("admin.sock", &["contract::a_long_way_to_the_data_is_no_obstacle"]),
    ("0", &["cli::the_first_hour_without_a_server"]),
    ("1", &["cli::a_second_server_names_the_first"]),
    ("2", &["cli::wrong_usage_is_2", "cli::a_password_that_cannot_be_typed_everywhere_is_2"]),
    ("3", &["contract::a_server_that_does_not_answer_is_3"]),
    ("4", &["cli::a_password_that_cannot_be_asked_for_is_4"]),
    ("6", &["refusals::system_an_account_on_a_full_disk_ends_with_6_and_a_repeat_makes_it"]),
    (
        "7",
        &[
            "refusals::an_account_that_is_not_there_ends_with_7",
            "refusals::a_place_that_may_not_be_written_ends_with_7",
        ],
    ),
    (
        "130",
        &[
            "cli::an_interrupted_question_is_130_and_the_terminal_echoes_again",
            "signals::a_command_that_waits_for_the_server_is_stopped_with_130",
            "signals::a_command_whose_password_does_not_come_is_stopped_with_130",
            "signals::a_question_that_is_stopped_lets_the_terminal_echo_again",
            "cli::serve_says_where_and_who",
        ],
    ),
    ("a closed pipe", &["contract::a_closed_pipe_ends_quietly"]),
];

/// The table names tests that are there, and every command that is.
#[test]
fn every_row_has_its_test() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    for (row, names) in ROWS {
        for name in *names {
            let (module, test) = name.rsplit_once("::").unwrap();
            let source = fs::read_to_string(tests.join(module).with_extension("rs")).unwrap();
            assert!(source.contains(&format!("fn {test}(")), "{row}: there is no test {name}");
        }
    }
    let help = run(sampand(&["--help"]), "").out;
    let commands = help.split("Commands:\n").nth(1).unwrap().lines();
    let commands: Vec<_> = commands.map_while(|line| line.split_whitespace().next()).collect();
    assert!(commands.len() > 6, "{commands:?}");
    for command in commands.into_iter().filter(|command| *command != "help") {
        assert!(ROWS.iter().any(|(row, _)| *row == command), "{command} has no row");
    }
}

/// In a network of its own, where the usual port is free. It needs no interface: nobody connects.
#[test]
#[ignore = "needs `unshare` of util-linux, and the right to use it"]
fn system_serve_listens_on_both_families_by_default() {
    let data = Data::new();
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--net", "--", env!("CARGO_BIN_EXE_sampand"), "serve", "--data"]);
    command.arg(data.path()).env_remove("SAMPAND_CONFIG").env_remove("SAMPAND_DATA");
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let listens = ["[::]:7227", "0.0.0.0:7227"]
        .map(|address| line.starts_with(&format!("listening on {address} fingerprint SHA256:")));
    // The second where the system knows no IPv6.
    assert!(listens.contains(&true), "{line}");
    assert!(listens[0] || !Path::new("/proc/net/if_inet6").exists(), "{line}");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Also the home of one account: whatever lies elsewhere is named, and nothing is served.
#[test]
#[ignore = "needs `unshare` and `mount` of util-linux, and the right to use them"]
fn system_homes_and_staging_share_one_mount() {
    let data = Data::new();
    assert_eq!(data.run_with(&ADD, "secret\n").code, 0);
    drop(data.serve());
    for place in ["homes", "staging", "homes/anna"] {
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        let script = "mount -t tmpfs none \"$PLACE\" \
                      && exec \"$SAMPAND\" serve --listen 127.0.0.1:0 --data \"$DATA\"";
        command.args(["--mount", "--", "/bin/sh", "-c", script]);
        command.env("PLACE", data.path().join(place)).env("DATA", data.path());
        command.env("SAMPAND", program()).env_remove("SAMPAND_CONFIG");
        let refused = run(command, "");
        assert_eq!((refused.code, refused.out.as_str()), (1, ""), "{place}: {refused:?}");
        let names = refused.err.contains(place)
            && refused.err.contains("file system")
            && refused.err.contains("or mount");
        assert!(names && refused.err.lines().count() == 1, "{place}: {refused:?}");
    }
}

/// Something holds the socket that says nothing a server would.
#[test]
fn a_server_that_does_not_answer_is_3() {
    let data = Data::new();
    assert_eq!(data.run_with(&ADD, "secret\n").code, 0);
    let socket = UnixListener::bind(data.path().join("admin.sock")).unwrap();
    let silent = std::thread::spawn(move || drop(socket.accept().unwrap()));
    let ran = data.run(&["status"]);
    silent.join().unwrap();
    assert_eq!((ran.code, &*ran.out), (3, ""), "{ran:?}");
    assert!(ran.err.starts_with("sampand: the running server did not answer: "), "{ran:?}");
    assert_eq!(ran.err.lines().count(), 1);
}

/// A socket's path has 107 bytes; the way to DATA may be longer.
#[test]
fn a_long_way_to_the_data_is_no_obstacle() {
    let data = Data::new();
    let far = data.folder.path().join("x".repeat(200)).join("data");
    fs::create_dir(far.parent().unwrap()).unwrap();
    let command = |arguments: &[&str]| {
        let mut command = sampand(arguments);
        command.arg("--data").arg(&far);
        command
    };
    let server = Serving::begin(command(&["serve", "--listen", "127.0.0.1:0"]));
    assert_eq!(run(command(&ADD), "secret\n").code, 0);
    let status = run(command(&["status", "--json"]), "").out;
    assert!(status.starts_with("{\"running\":true,"), "{status}");
    let (status, log) = server.signal(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("account added"), "{log}");
}

#[test]
fn a_default_quota_is_what_the_configuration_says() {
    let data = Data::new();
    let file = data.folder.path().join("sampand.toml");
    fs::write(&file, "default_quota = \"2GiB\"\n").unwrap();
    let mut command = data.command(&ADD);
    command.arg("--config").arg(&file);
    assert_eq!(run(command, "secret\n"), ran(0, "anna added, quota 2.15 GB, max files none\n", ""));
    let mut command = data.command(&["user", "add", "bert", "--quota", "none", "--password-stdin"]);
    command.arg("--config").arg(&file);
    assert_eq!(run(command, "secret\n").out, "bert added, quota none, max files none\n");
}

#[test]
fn a_flag_beats_the_environment_which_beats_the_file() {
    let data = Data::new();
    let folder = |name: &str| data.folder.path().join(name);
    let file = folder("sampand.toml");
    fs::write(&file, format!("data = \"{}\"\n", folder("file").display())).unwrap();
    let add = |variable: bool, flag: bool| {
        let mut command = sampand(&ADD);
        command.env("SAMPAND_CONFIG", &file);
        if variable {
            command.env("SAMPAND_DATA", folder("variable"));
        }
        if flag {
            command.arg("--data").arg(folder("flag"));
        }
        assert_eq!(run(command, "secret\n").code, 0);
    };
    for (variable, flag, made) in
        [(false, false, "file"), (true, false, "variable"), (true, true, "flag")]
    {
        assert!(!folder(made).exists());
        add(variable, flag);
        assert!(folder(made).join("homes/anna").is_dir(), "{made}");
    }
}

#[test]
fn sizes_are_read_as_the_contract_says() {
    let data = Data::new();
    data.run_with(&ADD, "secret\n");
    for (written, bytes) in [
        ("1000", 1000_u64),
        ("2k", 2000),
        ("2kB", 2000),
        ("2Ki", 2048),
        ("2KiB", 2048),
        ("3M", 3_000_000),
        ("3MiB", 3 << 20),
        ("4G", 4_000_000_000),
        ("4GiB", 4 << 30),
        ("1T", 1_000_000_000_000),
        ("1Ti", 1 << 40),
    ] {
        assert_eq!(data.run(&["quota", "set", "anna", written]).code, 0, "{written}");
        let shown = data.run(&["quota", "show", "anna", "--json"]).out;
        assert!(shown.contains(&format!("\"quota\":{bytes},")), "{written}: {shown}");
    }
    data.run(&["quota", "set", "anna", "none"]);
    assert!(data.run(&["quota", "show", "anna", "--json"]).out.contains("\"quota\":null"));
}

#[test]
fn a_closed_pipe_ends_quietly() {
    let data = Data::new();
    for number in 0..3 {
        let name = format!("user{number}");
        assert_eq!(data.run_with(&["user", "add", &name, "--password-stdin"], "x\n").code, 0);
    }
    for words in [&["user", "list"][..], &["man"], &["completions", "bash"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = data.command(words);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!((output.status.code(), &*said), (Some(0), ""), "{words:?}");
    }
}
