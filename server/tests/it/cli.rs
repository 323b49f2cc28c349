//! The real binary: exact output and exit codes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use portable_pty::{CommandBuilder, PtySize};
use rustix::process::{Pid, Signal, kill_process};

use crate::program::{ADD, Data, Serving, ran, run, sampand};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// What `user list --json` says of when accounts were made is cut out.
fn without_moments(text: &str) -> String {
    let mut kept = Vec::new();
    for line in text.lines() {
        let (before, rest) = line.split_once(r#""created":""#).unwrap();
        let (moment, after) = rest.split_once('"').unwrap();
        assert!(moment.len() == 20 && moment.ends_with('Z'), "{moment}");
        kept.push(format!("{before}\"created\":\"\"{after}\n"));
    }
    kept.concat()
}

/// Moments are cut out, each known by its form.
pub(crate) fn without_moment(text: &str) -> String {
    let is_like = |text: &[u8]| {
        text.iter().zip(b"2026-01-01T00:00:00Z").all(|(byte, like)| {
            if like.is_ascii_digit() { byte.is_ascii_digit() } else { byte == like }
        })
    };
    let (mut kept, mut rest) = (String::new(), text);
    while let Some(at) = rest.as_bytes().windows(20).position(is_like) {
        kept += &rest[..at];
        kept += "(moment)";
        rest = &rest[at + 20..];
    }
    kept + rest
}

/// Everything that a first hour needs, with a server or without one: the same words.
fn first_hour(data: &Data) {
    let added = "anna added, quota none, max files none\n";
    assert_eq!(data.run_with(&ADD, "secret\n"), ran(0, added, ""));
    let exists = "sampand: there is an account `anna` already; choose another name\n";
    assert_eq!(data.run_with(&ADD, "secret\n"), ran(1, "", exists));
    assert_eq!(mode(&data.path()), 0o700);
    assert!(data.path().join("homes/anna").is_dir());

    let bert = ["user", "add", "bert", "--quota", "10GB", "--max-files", "5k", "--password-stdin"];
    let added = "bert added, quota 10.0 GB, max files 5000\n";
    assert_eq!(data.run_with(&bert, "secret\n"), ran(0, added, ""));

    let show = data.run(&["quota", "show"]);
    assert_eq!(
        without_moment(&show.out),
        "NAME  QUOTA    USED  IN FLIGHT  AVAILABLE  FILES  MAX FILES  AS OF\n\
         anna  none     0 B   0 B        -          0      none       (moment)\n\
         bert  10.0 GB  0 B   0 B        10.0 GB    0      5000       (moment)\n"
    );
    let set = data.run(&["quota", "set", "anna", "1.5GiB"]);
    assert_eq!(
        without_moment(&set.out),
        "NAME  QUOTA    USED  IN FLIGHT  AVAILABLE  FILES  MAX FILES  AS OF\n\
         anna  1.61 GB  0 B   0 B        1.61 GB    0      none       (moment)\n"
    );
    data.run(&["quota", "set", "bert", "none"]);
    let json = data.run(&["quota", "show", "bert", "--json"]);
    assert_eq!(
        (json.code, without_moment(&json.out).as_str(), json.err.as_str()),
        (
            0,
            "{\"name\":\"bert\",\"quota\":null,\"used\":0,\"in_flight\":0,\"available\":null,\
             \"max_files\":5000,\"files\":0,\"as_of\":\"(moment)\"}\n",
            ""
        )
    );

    let changed = ["user", "passwd", "anna", "--password-stdin"];
    let expected = ran(0, "password of anna changed\n", "");
    assert_eq!(data.run_with(&changed, "other\n"), expected);
    assert_eq!(data.run(&["user", "disable", "bert"]), ran(0, "bert disabled\n", ""));
    let list = data.run(&["user", "list", "--json"]);
    assert_eq!((list.code, list.err.as_str()), (0, ""));
    assert_eq!(
        without_moments(&list.out),
        "{\"name\":\"anna\",\"disabled\":false,\"created\":\"\",\"quota\":1610612736,\"used\":0,\
         \"in_flight\":0,\"max_files\":null,\"files\":0}\n\
         {\"name\":\"bert\",\"disabled\":true,\"created\":\"\",\"quota\":null,\"used\":0,\
         \"in_flight\":0,\"max_files\":5000,\"files\":0}\n"
    );
    let table = data.run(&["user", "list"]).out;
    assert!(table.starts_with("NAME  STATE     USED  QUOTA    FILES  CREATED\n"), "{table}");
    assert_eq!(data.run(&["user", "enable", "bert"]), ran(0, "bert enabled\n", ""));
    let removed = ran(0, "bert removed, home kept\n", "");
    assert_eq!(data.run(&["user", "remove", "bert"]), removed);
    assert!(data.path().join("homes/bert").is_dir());
    let removed = ran(0, "anna removed, home deleted\n", "");
    assert_eq!(data.run(&["user", "remove", "anna", "--purge"]), removed);
    assert!(!data.path().join("homes/anna").exists());
    for command in [["user", "disable", "bert"], ["quota", "show", "bert"]] {
        let missing = "sampand: there is no account `bert`; `sampand user list` lists them\n";
        assert_eq!(data.run(&command), ran(7, "", missing));
    }
}

#[test]
fn the_first_hour_without_a_server() {
    first_hour(&Data::new());
}

#[test]
fn the_first_hour_through_a_server() {
    let data = Data::new();
    let server = data.serve();
    assert_eq!(mode(&data.path().join("admin.sock")), 0o600);
    first_hour(&data);
    let (status, log) = server.signal(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    // It went through the server: its log says so.
    for line in ["account added", "password changed", "quota set", "account removed"] {
        assert!(log.contains(line), "{line}: {log}");
    }
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn serve_says_where_and_who() {
    let data = Data::new();
    std::fs::create_dir(data.path()).unwrap();
    let first = data.run(&["fingerprint"]);
    assert_eq!((first.code, first.out.len(), first.err.as_str()), (0, 51, ""));
    let fingerprint = first.out.trim_end();
    assert!(fingerprint.starts_with("SHA256:"), "{fingerprint}");

    let server = data.serve();
    let start = server.line.strip_prefix("listening on 127.0.0.1:").unwrap();
    let (port, rest) = start.split_once(' ').unwrap();
    assert_ne!(port.parse::<u16>().unwrap(), 0);
    assert_eq!(rest, format!("fingerprint {fingerprint}\n"));
    assert_eq!(data.run(&["fingerprint"]).out, first.out, "beside a running server");
    let (status, log) = server.signal(Signal::INT);
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("stopping") && log.contains("stopped"), "{log}");
    assert!(!data.path().join("admin.sock").exists());
}

#[test]
fn several_addresses_are_bound_or_none() {
    let data = Data::new();
    let mut child = data
        .command(&["serve", "--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut lines = [String::new(), String::new()];
    for line in &mut lines {
        out.read_line(line).unwrap();
        assert!(line.starts_with("listening on 127.0.0.1:"), "{line}");
    }
    assert_ne!(lines[0], lines[1]);

    let taken = lines[0].split(' ').nth(2).unwrap();
    let other = Data::new();
    let refused = other.run(&["serve", "--listen", "127.0.0.1:0", "--listen", taken]);
    assert_eq!((refused.code, refused.out.as_str()), (1, ""));
    assert!(refused.err.contains(&format!("sampand: cannot listen on {taken}: ")), "{refused:?}");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// A second server, and a command while the folder is claimed by something that does not answer.
#[test]
fn a_second_server_names_the_first() {
    let data = Data::new();
    let server = data.serve();
    let second = data.run(&["serve", "--listen", "127.0.0.1:0"]);
    let data_path = data.path();
    let expected = format!(
        "sampand: {} is in use by another sampand (pid {}): stop that one, or name another folder \
         with --data\n",
        data_path.display(),
        server.pid()
    );
    assert_eq!(second, ran(1, "", &expected));
}

/// A server that was killed leaves its socket and its claim behind: neither is in the way.
#[test]
fn a_killed_server_is_no_obstacle() {
    let data = Data::new();
    let server = data.serve();
    let (status, _) = server.signal(Signal::KILL);
    assert_eq!(status.code(), None);
    assert!(data.path().join("admin.sock").exists());
    assert_eq!(data.run_with(&ADD, "secret\n").code, 0);
    let server = data.serve();
    assert_eq!(data.run(&["user", "list", "--json"]).out.lines().count(), 1);
    drop(server);
}

/// As many files may be open as the system lets it; if that is too few, the log says so.
#[test]
fn the_limit_of_open_files_is_raised() {
    for (limits, is_enough) in [("ulimit -Sn 256", true), ("ulimit -n 512", false)] {
        let data = Data::new();
        let line = format!("{limits}; ulimit -Hn; exec \"$@\"");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", &line, "sh", env!("CARGO_BIN_EXE_sampand"), "serve"]);
        command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path());
        command.env_remove("SAMPAND_LOG").stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let hard = lines.next().unwrap().unwrap();
        let line = lines.next().unwrap().unwrap();
        let serving = Serving { child, line };
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", serving.pid())).unwrap();
        let row = limits.lines().find(|row| row.starts_with("Max open files")).unwrap();
        let values: Vec<&str> = row.split_whitespace().skip(3).take(2).collect();
        assert_eq!(values, [&hard, &hard]);
        let is_enough = is_enough && hard.parse().unwrap_or(u64::MAX) >= 4000;
        let (status, log) = serving.signal(Signal::TERM);
        assert!(status.success());
        assert_eq!(log.contains("open files are allowed"), !is_enough, "{log}");
        assert_eq!(log.contains("LimitNOFILE="), !is_enough, "{log}");
    }
}

#[test]
fn status_with_and_without_a_server() {
    let data = Data::new();
    data.run_with(&ADD, "secret\n");
    let version = env!("CARGO_PKG_VERSION");
    let idle = format!(
        "version        {version}\nno server runs on this folder\naccounts       1\n\
         uploads        0 unfinished, 0 B staged\n"
    );
    assert_eq!(data.run(&["status"]), ran(0, &idle, ""));
    let server = data.serve();
    let status = data.run(&["status", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(json["running"], true);
    assert_eq!(
        (&json["accounts"], &json["sessions"], &json["uploads"]),
        (&1.into(), &0.into(), &0.into())
    );
    assert!(json["uptime_seconds"].is_u64() && json["version"] == version);
    drop(server);
}

#[test]
fn wrong_usage_is_2() {
    let data = Data::new();
    let cases: [&[&str]; 12] = [
        &[],
        &["bogus"],
        &["serve", "--listen", "localhost"],
        &["serve", "--listen", "127.0.0.1"],
        &["user", "add"],
        &["user", "add", "Anna", "--password-stdin"],
        &["user", "add", "../anna", "--password-stdin"],
        &["user", "add", "-anna", "--password-stdin"],
        &["user", "add", "anna", "--quota", "lots", "--password-stdin"],
        &["user", "passwd", "a b"],
        &["quota", "set", "anna"],
        &["quota", "set", "anna", "-5"],
    ];
    for arguments in cases {
        let ran = run(sampand(arguments), "");
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}");
        assert!(!ran.err.is_empty(), "{arguments:?}");
    }
    let name = run(sampand(&["user", "add", "Anna"]), "").err;
    assert!(name.contains("`Anna` cannot be an account's name"), "{name}");
    let empty = data.run_with(&ADD, "\n");
    assert_eq!(empty, ran(2, "", "sampand: the password is empty; choose another one\n"));
    assert!(!data.path().exists(), "nothing was begun");
}

/// SASLprep knows the characters of Unicode 3.2: an emoji is none of them.
#[test]
fn a_password_that_cannot_be_typed_everywhere_is_2() {
    let data = Data::new();
    let refused = ran(
        2,
        "",
        "sampand: the password cannot be used: it holds a character that cannot be typed the same \
         way everywhere, such as an emoji; choose another one\n",
    );
    assert_eq!(data.run_with(&ADD, "correct \u{1f40e}\n"), refused);
    assert!(!data.path().exists(), "nothing was begun");
    assert_eq!(data.run_with(&ADD, "correct horse\n").code, 0);
    let passwd = ["user", "passwd", "anna", "--password-stdin"];
    assert_eq!(data.run_with(&passwd, "bell\u{7}\n"), refused);
}

#[test]
fn a_password_that_cannot_be_asked_for_is_4() {
    let data = Data::new();
    let expected =
        "sampand: a password is needed and there is no terminal to ask on: use --password-stdin\n";
    assert_eq!(data.run(&["user", "add", "anna"]), ran(4, "", expected));
}

/// On a terminal the password is asked for twice, and not shown.
#[test]
fn on_a_terminal_the_password_is_asked_for_twice() {
    let data = Data::new();
    let cases = [
        ("secret\r", "secret\r", 0, "anna added, quota none, max files none"),
        ("secret\r", "secrte\r", 2, "sampand: the passwords differ"),
    ];
    for (first, second, code, said) in cases {
        let pty = portable_pty::native_pty_system().openpty(PtySize::default()).unwrap();
        let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_sampand"));
        command.args(["user", "add", "anna", "--data"]);
        command.arg(data.path());
        command.env_remove("SAMPAND_CONFIG");
        let mut child = pty.slave.spawn_command(command).unwrap();
        drop(pty.slave);
        let mut screen = BufReader::new(pty.master.try_clone_reader().unwrap());
        let mut keys = pty.master.take_writer().unwrap();
        let mut seen = Vec::new();
        for (question, answer) in [("New password for anna: ", first), ("The same again: ", second)]
        {
            while !seen.ends_with(question.as_bytes()) {
                let mut byte = [0];
                screen.read_exact(&mut byte).unwrap();
                seen.push(byte[0]);
            }
            keys.write_all(answer.as_bytes()).unwrap();
        }
        // A terminal whose program has ended reads as an error.
        let (Ok(_) | Err(_)) = screen.read_to_end(&mut seen);
        let seen = String::from_utf8(seen).unwrap();
        assert!(seen.contains(said) && !seen.contains("secr"), "{seen}");
        assert_eq!(child.wait().unwrap().exit_code(), code);
    }
}

/// Ctrl-C at the question leaves the terminal as it was.
#[test]
fn an_interrupted_question_is_130_and_the_terminal_echoes_again() {
    let data = Data::new();
    let pty = portable_pty::native_pty_system().openpty(PtySize::default()).unwrap();
    let mut command = CommandBuilder::new(env!("CARGO_BIN_EXE_sampand"));
    command.args(["user", "add", "anna", "--data"]);
    command.arg(data.path());
    let mut child = pty.slave.spawn_command(command).unwrap();
    let mut screen = BufReader::new(pty.master.try_clone_reader().unwrap());
    let mut seen = Vec::new();
    while !seen.ends_with(b"anna: ") {
        let mut byte = [0];
        screen.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    let mut keys = pty.master.take_writer().unwrap();
    keys.write_all(b"sec\x03").unwrap();
    assert_eq!(child.wait().unwrap().exit_code(), 130);
    let modes = format!("{:?}", pty.master.get_termios().unwrap());
    let mut flags = modes.split(|c: char| !c.is_ascii_alphanumeric());
    assert!(flags.any(|flag| flag == "ECHO"), "{modes}");
}

#[test]
fn the_configuration_is_read_and_its_errors_name_the_line() {
    let data = Data::new();
    let file = data.folder.path().join("sampand.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    let with_file = |arguments: &[&str], input: &str| {
        let mut command = sampand(arguments);
        command.arg("--config").arg(&file);
        run(command, input)
    };
    write(&format!("data = '{}'\ndefault_quota = '2GB'\n", data.path().display()));
    let added = with_file(&ADD, "secret\n");
    assert_eq!(added, ran(0, "anna added, quota 2.00 GB, max files none\n", ""));
    assert!(data.path().join("homes/anna").is_dir());

    write("default_quota = '2GB'\nlisten_on = 'x'\n");
    let refused = with_file(&["user", "list"], "");
    assert_eq!(refused.code, 2);
    let shown = file.display().to_string();
    assert!(refused.err.contains(&shown) && refused.err.contains("line 2"), "{refused:?}");
    assert!(refused.err.contains("listen_on"), "{refused:?}");
    std::fs::remove_file(&file).unwrap();
    let missing = with_file(&["user", "list"], "");
    assert_eq!(missing.code, 7);
    let said = format!("cannot read the configuration {shown}: ");
    assert!(missing.err.contains(&said), "{missing:?}");
}

#[test]
fn help_and_version_are_data() {
    for arguments in [
        &["--help"][..],
        &["serve", "--help"],
        &["user", "add", "--help"],
        &["user", "list", "--help"],
        &["user", "passwd", "--help"],
        &["quota", "set", "--help"],
        &["quota", "show", "--help"],
        &["quota", "scan", "--help"],
        &["status", "--help"],
        &["fingerprint", "--help"],
    ] {
        let ran = run(sampand(arguments), "");
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
        assert!(ran.out.contains("  sampand "), "an example: {}", ran.out);
    }
    let version = format!("sampand {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(sampand(&["--version"]), ""), ran(0, &version, ""));
}

/// systemd is told when everything is bound, and when the end begins.
#[test]
fn systemd_is_told() {
    let data = Data::new();
    let path = data.folder.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let mut command = data.command(&["serve", "--listen", "127.0.0.1:0"]);
    let command = command.env("NOTIFY_SOCKET", &path).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let receive = || {
        let mut bytes = [0; 64];
        let length = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    assert_eq!(receive(), "READY=1");
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    assert_eq!(receive(), "STOPPING=1");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// As root on another user's folder, a command acts as that user; another user is refused. Needs
/// root to be tried; elsewhere the second half is what is left of it.
#[test]
fn root_acts_as_the_folders_owner() {
    const NOBODY: u32 = 65534;
    let data = Data::new();
    data.run_with(&ADD, "secret\n");
    if !rustix::process::geteuid().is_root() {
        assert_eq!(
            std::fs::metadata(data.path()).unwrap().uid(),
            rustix::process::geteuid().as_raw()
        );
        return;
    }
    let mut folders = vec![data.path()];
    while let Some(folder) = folders.pop() {
        chown(&folder, Some(NOBODY), Some(NOBODY)).unwrap();
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
    }
    std::fs::set_permissions(data.folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let bert = ["user", "add", "bert", "--password-stdin"];
    assert_eq!(data.run_with(&bert, "secret\n").code, 0);
    for name in ["homes/bert", "lock", "sampand.db", "format"] {
        assert_eq!(std::fs::metadata(data.path().join(name)).unwrap().uid(), NOBODY, "{name}");
    }
    // The same through a server that runs as that user.
    let server = data.serve();
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    for ids in ["Uid:", "Gid:"] {
        let row = status.lines().find_map(|row| row.strip_prefix(ids)).unwrap();
        assert!(row.split_whitespace().all(|id| id == NOBODY.to_string()), "{ids} {row}");
    }
    let carl = ["user", "add", "carl", "--password-stdin"];
    assert_eq!(data.run_with(&carl, "secret\n").code, 0);
    assert_eq!(std::fs::metadata(data.path().join("homes/carl")).unwrap().uid(), NOBODY);
    drop(server);

    let mut command = data.command(&["user", "list"]);
    command.uid(1);
    let refused = run(command, "");
    assert_eq!(refused.code, 7, "{refused:?}");
}
