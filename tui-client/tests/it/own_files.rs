//! Where the program's own files lie: in the platform's folders, or all under `SAMPAN_HOME`.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::program::{Ended, Program};
use crate::server::{PASSWORD, TestServer};

/// All files below a folder, by their way from it.
fn files(folder: &Path) -> Vec<PathBuf> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path.strip_prefix(folder).unwrap().to_owned());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn they_lie_in_the_platforms_folders_or_all_under_one() {
    let server = TestServer::start();
    let ada = server.user("ada");
    let program = Program::new();
    let home = TempDir::new().unwrap();
    let other = TempDir::new().unwrap();
    let log_in = |variables: &[(&str, &Path)]| {
        let mut command = program.command(["login", "--accept-new", &ada.place("")]);
        for variable in ["SAMPAN_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"] {
            command.env_remove(variable);
        }
        command.env("HOME", home.path()).env("SAMPAN_PASSWORD", PASSWORD);
        for (variable, value) in variables {
            command.env(variable, value);
        }
        Ended::of(command.output().unwrap()).succeeded();
    };
    let lie = |folder: &Path, pins: &str, state: &str| {
        let found = files(folder);
        let is_key = |path: &Path| path.starts_with(Path::new(state).join("keys"));
        assert!(found.contains(&Path::new(pins).join("known_servers")), "{found:?}");
        assert_eq!(found.iter().filter(|path| is_key(path)).count(), 1, "{found:?}");
        assert!(found.iter().all(|path| path.starts_with(pins) || path.starts_with(state)));
    };
    log_in(&[]);
    lie(home.path(), ".config/sampan", ".local/state/sampan");
    let before = files(home.path());

    let (config, state) = (other.path().join("config"), other.path().join("state"));
    log_in(&[("XDG_CONFIG_HOME", &config), ("XDG_STATE_HOME", &state)]);
    lie(other.path(), "config/sampan", "state/sampan");

    let all = TempDir::new().unwrap();
    log_in(&[
        ("SAMPAN_HOME", all.path()),
        ("XDG_CONFIG_HOME", &config),
        ("XDG_STATE_HOME", &state),
    ]);
    lie(all.path(), "", "state");
    assert_eq!(files(home.path()), before, "nothing of the others was written elsewhere");
}
