//! What `sampand` says when it cannot: each by the real program, with its exit code, the name of the
//! thing, and what to do.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::program::{ADD, Data, VARIABLES, run, sampand};

const NOBODY: u32 = 65534;

/// `serve` and an admin command both end with `code` and say all of `words`.
#[track_caller]
fn refused(data: &Data, code: i32, words: &[&str]) {
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["user", "list"]] {
        let ran = data.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (code, ""), "{arguments:?}: {ran:?}");
        assert_eq!(ran.err.lines().count(), 1, "{ran:?}");
        assert!(ran.err.starts_with("sampand: "), "{ran:?}");
        for word in words {
            assert!(ran.err.contains(word), "`{word}` is missing: {ran:?}");
        }
    }
}

/// A data folder with an account.
fn used() -> Data {
    let data = Data::new();
    assert_eq!(data.run_with(&ADD, "secret\n").code, 0);
    data
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[test]
fn somebody_elses_folder_is_left_alone() {
    let data = Data::new();
    fs::create_dir(data.path()).unwrap();
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(data.path().join("thesis.txt"), b"years of work").unwrap();
    refused(&data, 1, &[&shown(&data.path()), "thesis.txt", "no data folder", "--data"]);
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "nothing was made in it");
}

#[test]
fn a_data_folder_that_is_a_file_is_named() {
    let data = Data::new();
    fs::write(data.path(), b"").unwrap();
    refused(&data, 1, &[&shown(&data.path()), "is no folder", "--data"]);
}

#[test]
fn a_folder_that_others_may_enter_is_refused_with_the_remedy() {
    let data = used();
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o755)).unwrap();
    refused(&data, 7, &[&shown(&data.path()), "mode 755", "chmod 700"]);
}

#[test]
fn a_folder_of_a_newer_program_is_refused_untouched() {
    let data = used();
    fs::write(data.path().join("format"), "99\n").unwrap();
    refused(&data, 1, &[&shown(&data.path()), "format `99`", "reads format 1", "newer one"]);
    assert_eq!(fs::read_to_string(data.path().join("format")).unwrap(), "99\n");
}

#[test]
fn a_damaged_database_is_named_and_kept() {
    let data = used();
    let database = data.path().join("sampand.db");
    fs::write(&database, vec![b'x'; 8192]).unwrap();
    refused(&data, 1, &[&shown(&database), "cannot open the database", "backup"]);
    assert_eq!(fs::read(&database).unwrap(), vec![b'x'; 8192]);
}

/// A key that cannot be read is not replaced: clients have pinned it.
#[test]
fn a_damaged_key_is_named_and_kept() {
    let data = used();
    drop(data.serve());
    let tls = data.path().join("tls");
    let key = fs::read_dir(&tls).unwrap().map(|entry| entry.unwrap().path());
    let key = key.into_iter().find(|path| fs::read(path).unwrap().starts_with(b"-----BEGIN PRIV"));
    let key = key.expect("a key lies there");
    fs::write(&key, b"no key\n").unwrap();
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["fingerprint"]] {
        let ran = data.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
        assert!(ran.err.contains(&shown(&tls)) && ran.err.contains("backup"), "{ran:?}");
    }
    assert_eq!(fs::read(&key).unwrap(), b"no key\n");
}

/// A mistyped folder has no accounts, and the fingerprint of a key made there is no server's.
#[test]
fn who_only_asks_makes_no_folder() {
    let data = Data::new();
    for arguments in [&["fingerprint"][..], &["user", "list"], &["quota", "show"], &["status"]] {
        let ran = data.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (7, ""), "{ran:?}");
        assert!(ran.err.contains(&shown(&data.path())) && ran.err.contains("--data"), "{ran:?}");
        assert!(!data.path().exists(), "{arguments:?}");
    }
}

/// Whoever may not write there is told so, and where.
#[test]
fn a_place_that_may_not_be_written_ends_with_7() {
    let data = Data::new();
    let mut command: Command = data.command(&["user", "add", "anna", "--password-stdin"]);
    if rustix::process::geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    fs::set_permissions(data.folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
    let ran = run(command, "secret\n");
    assert_eq!((ran.code, ran.out.as_str()), (7, ""), "{ran:?}");
    assert!(ran.err.contains(&shown(&data.path())), "{ran:?}");
    assert!(ran.err.contains("sampand: cannot make the folder "), "{ran:?}");
    assert!(ran.err.contains("ermission denied"), "{ran:?}");
}

/// A home that lies there already is somebody's: it is taken only if that was asked for.
#[test]
fn a_home_that_lies_there_is_not_taken_unasked() {
    let data = used();
    let home = data.path().join("homes/bert");
    fs::create_dir(&home).unwrap();
    fs::write(home.join("old"), b"old").unwrap();
    let bert = ["user", "add", "bert", "--password-stdin"];
    let ran = data.run_with(&bert, "secret\n");
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(ran.err.contains("bert") && ran.err.contains("--take-home"), "{ran:?}");
    let ran = data.run_with(&[&bert[..], &["--take-home"]].concat(), "secret\n");
    assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{ran:?}");
    assert!(ran.out.contains("bert added"), "{ran:?}");
    assert_eq!(fs::read(home.join("old")).unwrap(), b"old");
}

/// A data folder on a disk that is full to the last byte: in a mount namespace of its own, as root
/// or as anybody who may make one; where nobody may, this fails and the output says why.
#[test]
#[ignore = "mounts a tmpfs: needs root or user namespaces, and util-linux"]
fn system_an_account_on_a_full_disk_ends_with_6_and_a_repeat_makes_it() {
    const SCRIPT: &str = r#"
        set -e
        mount -t tmpfs -o size=4m,mode=0700 sampan-test "$1"
        add() { echo secret | "$2" user add "$3" --password-stdin --data "$1/data"; }
        add "$1" "$2" anna
        dd if=/dev/zero of="$1/filler" bs=4096 2>&1 | tail -n 1
        add "$1" "$2" bert && code=0 || code=$?
        echo "code $code"
        "$2" user list --data "$1/data" || echo "list $?"
        rm "$1/filler"
        add "$1" "$2" bert
        "$2" user list --data "$1/data"
    "#;
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "--propagation", "private", "--", "sh", "-c", SCRIPT, "sh"]);
    command.arg(folder.path()).arg(env!("CARGO_BIN_EXE_sampand"));
    for variable in VARIABLES {
        command.env_remove(variable);
    }
    let ran = run(command, "");
    assert_eq!(ran.code, 0, "is it allowed to mount here, and is util-linux installed? {ran:?}");
    assert!(ran.out.contains("\ncode 6\nlist 6\n"), "{ran:?}");
    assert!(ran.err.contains("sampand.db` is full; make room"), "{ran:?}");
    let (_, after) = ran.out.split_once("bert added").expect("the repeat makes it");
    assert!(after.contains("\nanna ") && after.contains("\nbert "), "{ran:?}");
}

/// With and without a server: an account that is not there.
#[test]
fn an_account_that_is_not_there_ends_with_7() {
    let data = used();
    let commands: [&[&str]; 6] = [
        &["user", "passwd", "bert", "--password-stdin"],
        &["user", "disable", "bert"],
        &["user", "enable", "bert"],
        &["user", "remove", "bert"],
        &["quota", "set", "bert", "1G"],
        &["quota", "show", "bert"],
    ];
    let mut server = None;
    for _ in 0..2 {
        for arguments in commands {
            let ran = data.run_with(arguments, "secret\n");
            let expected = "sampand: there is no account `bert`; `sampand user list` lists them\n";
            assert_eq!((ran.code, ran.err.as_str()), (7, expected), "{arguments:?}");
        }
        server = Some(data.serve());
    }
    drop(server);
}

/// Wrong usage is told before any folder is looked at.
#[test]
fn what_is_wrong_in_a_command_is_said_with_2() {
    let data = Data::new();
    let listen = "`localhost` is no ADDR:PORT, such as [::]:7227 or 127.0.0.1:0";
    let no_size = "`lots` is no size; write digits and a unit, such as 500M, 2GiB or none";
    let too_much = "`999999999T` is more bytes than a file system can hold";
    let cases: [(&[&str], &str); 6] = [
        (&["frobnicate"], "unrecognized subcommand 'frobnicate'"),
        (&["serve", "--listen", "localhost"], listen),
        (&["user", "add", "anna", "--quota", "lots"], no_size),
        (&["quota", "set", "anna", "lots"], no_size),
        (&["quota", "set", "anna", "999999999T"], too_much),
        (&["quota", "set", "anna", "1G", "--max-files", "lots"], no_size),
    ];
    for (arguments, said) in cases {
        let ran = data.run(arguments);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{arguments:?}: {ran:?}");
        assert!(ran.err.contains(said), "{arguments:?}: {ran:?}");
    }
    assert!(!data.path().exists(), "nothing was begun");
}

#[test]
fn each_mistake_in_the_configuration_names_line_and_key() {
    let data = Data::new();
    let file = data.folder.path().join("sampand.toml");
    let no_size = "`10 apples` is no size; write digits and a unit, such as 500M, 2GiB or none";
    let cases = [
        ("\nlisten_on = 'x'", "TOML parse error at line 2", "unknown field `listen_on`"),
        ("log = 'text'\ndurability = 'maybe'", "TOML parse error at line 2", "maybe"),
        ("max_requests = 0", "TOML parse error at line 1", "max_requests"),
        ("not toml", "TOML parse error at line 1", "not toml"),
        ("\n\ndata = 'here'", "line 3: data:", "write an absolute path"),
        ("listen = 'localhost'", "line 1: listen: `localhost`", "is no ADDR:PORT, such as"),
        ("listen = []", "line 1: listen:", "name at least one ADDR:PORT, or leave the key out"),
        ("\ndefault_quota = '10 apples'", "line 2: default_quota:", no_size),
        ("default_max_files = '10 apples'", "line 1: default_max_files:", no_size),
        ("disk_floor = '10 apples'", "line 1: disk_floor:", no_size),
        ("idle_seconds = 1", "line 1: idle_seconds:", "at least 10 seconds"),
    ];
    for (text, place, why) in cases {
        fs::write(&file, text).unwrap();
        for arguments in [&["serve"][..], &["user", "list"]] {
            let mut command = data.command(arguments);
            command.arg("--config").arg(&file);
            let ran = run(command, "");
            assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{text}: {ran:?}");
            assert!(ran.err.starts_with(&format!("sampand: {}: ", file.display())), "{ran:?}");
            assert!(ran.err.contains(place) && ran.err.contains(why), "{text}: {ran:?}");
        }
    }
    assert!(!data.path().exists(), "nothing was begun");
}

#[test]
fn a_password_that_cannot_be_read_changes_nothing() {
    let data = used();
    let mut command = data.command(&["user", "passwd", "anna", "--password-stdin"]);
    let input = data.folder.path().join("password");
    fs::write(&input, b"\xff\xfe\n").unwrap();
    let output = command.stdin(fs::File::open(&input).unwrap()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), &*output.stdout), (Some(1), &b""[..]), "{said}");
    assert!(said.starts_with("sampand: cannot read the password: "), "{said}");

    // What is longer than is read would be another password than the one that was given.
    let long = "x".repeat(4097);
    let ran = data.run_with(&["user", "passwd", "anna", "--password-stdin"], &long);
    assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
    assert!(ran.err.contains("a password has at most 4096 bytes"), "{ran:?}");
}

/// With and without a server: the account that is there stays as it is.
#[test]
fn an_account_that_is_there_already_ends_with_1() {
    let data = used();
    let mut server = None;
    for _ in 0..2 {
        let ran = data.run_with(&[&ADD[..], &["--quota", "1G"]].concat(), "other\n");
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
        assert!(ran.err.contains("there is an account `anna` already"), "{ran:?}");
        assert!(data.run(&["quota", "show", "anna", "--json"]).out.contains("\"quota\":null"));
        server = Some(data.serve());
    }
    drop(server);
}

#[test]
fn a_count_of_nobody_ends_with_7() {
    let data = used();
    let ran = data.run(&["quota", "scan", "bert"]);
    assert_eq!((ran.code, ran.out.as_str()), (7, ""), "{ran:?}");
    assert!(ran.err.contains("there is no account `bert`"), "{ran:?}");
}

#[test]
fn another_users_folder_ends_with_7() {
    if !rustix::process::geteuid().is_root() {
        // Nobody else owns a folder that this user could make, but the root folder is root's.
        let ran = run(sampand(&["user", "list", "--data", "/"]), "");
        assert_eq!(ran.code, 7, "{ran:?}");
        assert!(ran.err.contains("/ belongs to user 0, not to user "), "{ran:?}");
        return;
    }
    let data = used();
    fs::set_permissions(data.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["user", "list"]] {
        let mut command = data.command(arguments);
        command.uid(NOBODY).gid(NOBODY);
        let ran = run(command, "");
        assert_eq!((ran.code, ran.out.as_str()), (7, ""), "{ran:?}");
        let said = format!("{} belongs to user 0, not to user {NOBODY}: ", shown(&data.path()));
        assert!(ran.err.contains(&said), "{ran:?}");
        assert!(ran.err.contains("as root, or name another folder with --data"), "{ran:?}");
    }
}

#[test]
fn a_database_of_a_newer_program_is_refused_untouched() {
    let data = used();
    let database = data.path().join("sampand.db");
    // SQLite's `user_version`: four bytes at 60 of the first page.
    let mut bytes = fs::read(&database).unwrap();
    bytes[60..64].copy_from_slice(&1000_u32.to_be_bytes());
    fs::write(&database, &bytes).unwrap();
    refused(&data, 1, &[&shown(&database), "has format 1000, this program knows", "newer sampand"]);
    assert_eq!(fs::read(&database).unwrap(), bytes);
}

#[test]
fn a_damaged_certificate_is_named_and_kept() {
    let data = used();
    drop(data.serve());
    let tls = data.path().join("tls");
    let other = Data::new();
    drop(other.serve());
    let certificate = |data: &Data| {
        let entries = fs::read_dir(data.path().join("tls")).unwrap().map(|e| e.unwrap().path());
        let is_one = |path: &std::path::PathBuf| {
            fs::read(path).unwrap().starts_with(b"-----BEGIN CERTIFICATE")
        };
        entries.into_iter().find(is_one).expect("a certificate lies there")
    };
    let of_another_key = fs::read(certificate(&other)).unwrap();
    let certificate = certificate(&data);
    let damaged = b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    for (content, said) in [
        (&b""[..], "there is no certificate in the server's certificate file"),
        (damaged, "the server's certificate is no certificate in PEM"),
        (&of_another_key, "the server's key and certificate cannot be used together"),
    ] {
        fs::write(&certificate, content).unwrap();
        for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["fingerprint"]] {
            let ran = data.run(arguments);
            assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{ran:?}");
            assert!(ran.err.contains(&shown(&tls)) && ran.err.contains(said), "{ran:?}");
            assert!(ran.err.contains("put a backup of the folder in its place"), "{ran:?}");
        }
        assert_eq!(fs::read(&certificate).unwrap(), content, "it is kept");
    }
}

#[test]
fn a_file_in_the_place_of_homes_is_named() {
    let data = used();
    let homes = data.path().join("homes");
    fs::rename(&homes, data.path().join("staging/kept")).unwrap();
    fs::write(&homes, b"").unwrap();
    refused(&data, 1, &["cannot open `", &shown(&homes), "check that it exists and belongs to"]);
}

/// In a mount namespace of its own, as root or as anybody who may make one.
#[test]
#[ignore = "mounts a tmpfs: needs root or user namespaces, and util-linux"]
fn system_homes_on_another_file_system_are_refused() {
    const SCRIPT: &str = r#"
        set -e
        mkdir -m 700 "$1/data" "$1/data/$3"
        mount -t tmpfs sampan-test "$1/data/$3"
        "$2" user list --data "$1/data" && code=0 || code=$?
        "$2" serve --listen 127.0.0.1:0 --data "$1/data" && code=$code.0 || code=$code.$?
        echo "code $code"
    "#;
    for part in ["homes", "staging"] {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--mount", "--propagation", "private", "--", "sh", "-c", SCRIPT, "sh"]);
        command.arg(folder.path()).arg(env!("CARGO_BIN_EXE_sampand")).arg(part);
        for variable in VARIABLES {
            command.env_remove(variable);
        }
        let ran = run(command, "");
        let (code, twice) = (1, "code 1.1\n");
        assert_eq!((ran.code, ran.out.as_str()), (code - 1, twice), "may it mount here? {ran:?}");
        let said = "lie on different file systems or mounts; a file is published by a rename";
        assert_eq!(ran.err.matches(said).count(), 2, "{ran:?}");
        assert!(ran.err.contains("move both onto one"), "{ran:?}");
    }
}

#[test]
fn an_address_that_may_not_be_used_ends_with_7() {
    let data = Data::new();
    let arguments = ["serve", "--listen", "127.0.0.1:1"];
    let mut command = data.command(&arguments);
    let unprivileged = fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start").unwrap();
    if unprivileged.trim().parse::<u32>().unwrap() <= 1 {
        return;
    }
    if rustix::process::geteuid().is_root() {
        fs::set_permissions(data.folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        command.uid(NOBODY).gid(NOBODY);
    }
    let ran = run(command, "");
    assert_eq!((ran.code, ran.out.as_str()), (7, ""), "{ran:?}");
    assert!(ran.err.contains("cannot listen on 127.0.0.1:1: "), "{ran:?}");
    assert!(ran.err.contains("name another ADDR:PORT with --listen"), "{ran:?}");
}

/// What answers is a program of ours, but its answer is none that this one knows.
#[test]
fn a_server_of_another_version_is_3() {
    let data = used();
    let socket = UnixListener::bind(data.path().join("admin.sock")).unwrap();
    let stranger = std::thread::spawn(move || {
        let (mut caller, _) = socket.accept().unwrap();
        caller.write_all(b"\x08\0\0\0\xa7Unheard").unwrap();
        // Until it is gone: what it asked is not what this is about.
        let (Ok(_) | Err(_)) = std::io::copy(&mut caller, &mut std::io::sink());
    });
    let ran = data.run(&["status"]);
    stranger.join().unwrap();
    assert_eq!((ran.code, ran.out.as_str()), (3, ""), "{ran:?}");
    assert!(
        ran.err.contains("answered something else: restart it, it may be of another version"),
        "{ran:?}"
    );
}
