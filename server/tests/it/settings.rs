//! Where a setting comes from: a flag beats the environment, which beats the file. Each fixed key,
//! by what the real binary then does.

use std::fs;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;
use sampan_protocol::RemotePath;
use sampan_protocol::message::{Durability, Mkdir};

use crate::peer::Peer;
use crate::program::{ADD, Data, Serving, VARIABLES, run, sampand};

/// What the three say, the weakest first.
type Said<'a> = [Option<&'a str>; 3];

/// Each stage is said with those below it still there.
fn stages([file, variable, flag]: [&str; 3]) -> [(Said<'_>, &str); 3] {
    [
        ([Some(file), None, None], file),
        ([Some(file), Some(variable), None], variable),
        ([Some(file), Some(variable), Some(flag)], flag),
    ]
}

/// `serve` with one key said in these places, and the others so that it can run.
fn serving(data: &Data, key: &str, said: Said<'_>, variable: &str, flag: &str) -> Serving {
    let file = data.folder.path().join("sampand.toml");
    let mut text = said[0].map(|value| format!("{key} = '{value}'\n")).unwrap_or_default();
    if key != "listen" {
        text += "listen = '127.0.0.1:0'\n";
    }
    fs::write(&file, text).unwrap();
    let mut command = data.command(&["serve"]);
    command.arg("--config").arg(&file);
    if let Some(value) = said[1] {
        command.env(variable, value);
    }
    if let Some(value) = said[2] {
        command.args([flag, value]);
    }
    Serving::begin(command)
}

#[test]
fn listen() {
    let data = Data::new();
    for (said, expected) in stages(["127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0"]) {
        let server = serving(&data, "listen", said, "SAMPAND_LISTEN", "--listen");
        let (address, _) = server.announced();
        assert_eq!(format!("{}:0", address.ip()), expected);
    }
}

#[test]
fn log() {
    let data = Data::new();
    for (said, expected) in stages(["json", "text", "json"]) {
        let server = serving(&data, "log", said, "SAMPAND_LOG_FORMAT", "--log");
        let (status, log) = server.signal(Signal::TERM);
        assert_eq!(status.code(), Some(0));
        assert!(!log.is_empty());
        for line in log.lines() {
            let is_json = serde_json::from_str::<serde_json::Value>(line).is_ok();
            assert_eq!(is_json, expected == "json", "{line}");
        }
    }
}

/// The answer to a change says what its acknowledgement means.
#[tokio::test]
async fn durability() {
    let data = Data::new();
    assert_eq!(data.run_with(&ADD, "secret\n").code, 0);
    for (number, (said, expected)) in (0..).zip(stages(["relaxed", "full", "relaxed"])) {
        let server = serving(&data, "durability", said, "SAMPAND_DURABILITY", "--durability");
        let (address, fingerprint) = server.announced();
        let mut peer = Peer::connect_at(address, fingerprint).await;
        peer.log_in("anna", "secret").await.unwrap();
        let path = RemotePath::parse(format!("{number}").as_bytes()).unwrap();
        let mkdir = Mkdir { change: peer.change(), path, parents: false, mode: None };
        let said = peer.call(&mkdir).await.unwrap().durability;
        let expected = match expected {
            "full" => Durability::Full,
            _ => Durability::Relaxed,
        };
        assert_eq!(said, expected);
    }
}

/// Where no server runs a command opens the store itself: by the same rule, with the variable's value
/// checked.
#[test]
fn durability_of_a_command_without_a_server() {
    let data = Data::new();
    let file = data.folder.path().join("sampand.toml");
    let add = |name: &str, said: [&str; 2]| {
        fs::write(&file, format!("durability = '{}'\n", said[0])).unwrap();
        let mut command = data.command(&["user", "add", name, "--password-stdin"]);
        command.arg("--config").arg(&file).env("SAMPAND_DURABILITY", said[1]);
        run(command, "secret\n")
    };
    let ran = add("a", ["full", "maybe"]);
    assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{ran:?}");
    assert!(ran.err.contains("SAMPAND_DURABILITY says `maybe`"), "{ran:?}");
    assert!(!data.path().exists());
    for (name, said) in
        [("a", ["relaxed", "full"]), ("b", ["full", "relaxed"]), ("c", ["full", ""])]
    {
        assert_eq!(add(name, said).code, 0, "{said:?}");
    }
}

/// A variable that is set to nothing says nothing.
#[test]
fn an_empty_variable_is_none() {
    let data = Data::new();
    let empty = |command: &mut Command| {
        for variable in VARIABLES {
            command.env(variable, "");
        }
    };
    let mut command = data.command(&ADD);
    empty(&mut command);
    let ran = run(command, "secret\n");
    assert_eq!(ran.out, "anna added, quota none, max files none\n", "{ran:?}");
    let file = data.folder.path().join("sampand.toml");
    fs::write(&file, "listen = '127.0.0.2:0'\nlog = 'json'\n").unwrap();
    let mut command = data.command(&["serve"]);
    command.arg("--config").arg(&file);
    empty(&mut command);
    let server = Serving::begin(command);
    assert_eq!(server.announced().0.ip().to_string(), "127.0.0.2");
    let (status, log) = server.signal(Signal::TERM);
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("\"level\":\"INFO\""), "{log}");
}

#[test]
fn default_quota() {
    let data = Data::new();
    let file = data.folder.path().join("sampand.toml");
    fs::write(&file, "default_quota = '1GB'\n").unwrap();
    let cases = [("a", None, None, "1.00 GB"), ("b", Some("2GB"), None, "2.00 GB")];
    for (name, variable, flag, quota) in cases.into_iter().chain([
        ("c", Some("2GB"), Some("3GB"), "3.00 GB"),
        ("d", Some("2GB"), Some("none"), "none"),
    ]) {
        let mut command = data.command(&["user", "add", name, "--password-stdin"]);
        command.arg("--config").arg(&file);
        if let Some(value) = variable {
            command.env("SAMPAND_DEFAULT_QUOTA", value);
        }
        if let Some(value) = flag {
            command.args(["--quota", value]);
        }
        let ran = run(command, "secret\n");
        assert_eq!(ran.out, format!("{name} added, quota {quota}, max files none\n"), "{ran:?}");
    }
}

/// With neither a folder nor a file named, the usual file is read; with either, it is not. In a mount
/// namespace of its own, where /etc is another.
#[test]
#[ignore = "needs `unshare` of util-linux, and the right to use it"]
fn system_the_usual_file_is_read_if_nothing_else_is_named() {
    let data = Data::new();
    assert_eq!(data.run_with(&ADD, "secret\n").code, 0);
    let script = "mount -t tmpfs none /etc && mkdir /etc/sampan \
                  && printf \"data = '%s'\\n\" \"$DATA\" > /etc/sampan/sampand.toml \
                  && \"$SAMPAND\" user list --json && exec \"$SAMPAND\" user list --data \"$OTHER\"";
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--mount", "--", "/bin/sh", "-c", script]);
    command.env("DATA", data.path()).env("SAMPAND", sampand(&[]).get_program());
    command.env("OTHER", Path::new("/nowhere"));
    for variable in ["SAMPAND_DATA", "SAMPAND_CONFIG"] {
        command.env_remove(variable);
    }
    let ran = run(command, "");
    assert!(ran.out.starts_with("{\"name\":\"anna\","), "{ran:?}");
    assert_eq!((ran.code, ran.out.lines().count()), (7, 1), "{ran:?}");
    assert!(ran.err.contains("/nowhere"), "{ran:?}");
}
