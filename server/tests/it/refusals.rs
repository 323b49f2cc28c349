//! What `sampand` says when it cannot: each by the real program, with its exit code, the name of the
//! thing, and what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::program::{ADD, Data, run};

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
    for variable in ["SAMPAND_DATA", "SAMPAND_CONFIG", "SAMPAND_LOG"] {
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
            let expected = "sampand: there is no account `bert`\n";
            assert_eq!((ran.code, ran.err.as_str()), (7, expected), "{arguments:?}");
        }
        server = Some(data.serve());
    }
    drop(server);
}
