//! Tests that mean something only without the right to everything.
//!
//! Permission bits prove nothing to root. As root, a test here runs its own program once more as an
//! unprivileged user, with itself as the only test; as anybody else it just runs.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Who owns nothing: `nobody`, on every system that is claimed.
const NOBODY: u32 = 65_534;

/// Whether the test of this name may go on, as somebody without rights. `false`: it ran as such in a
/// process of its own, and passed.
pub(super) fn without_rights(test: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        return true;
    }
    let ran = run_as_nobody(&["--exact", &name_of(test)]);
    assert!(ran.contains("1 passed"), "`{test}` did not run:\n{ran}");
    false
}

/// As the test harness calls it.
fn name_of(test: &str) -> String {
    let module = module_path!();
    let (_, below) = module.split_once("::").expect("a crate has modules");
    let (parent, _) = below.rsplit_once("::").expect("this module has a parent");
    format!("{parent}::{test}")
}

/// Runs this test program as nobody; gives what it said, of a run that passed.
fn run_as_nobody(arguments: &[&str]) -> String {
    // The program may lie where nobody may look; so may the place for temporary files.
    let place = tempfile::tempdir_in("/tmp").unwrap();
    let program = place.path().join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let temporary = place.path().join("tmp");
    fs::create_dir(&temporary).unwrap();
    open_up(place.path(), 0o755);
    open_up(&program, 0o755);
    open_up(&temporary, 0o1777);
    let mut command = Command::new(&program);
    command.args(arguments).args(["--include-ignored", "--test-threads", "2"]);
    command.env("TMPDIR", &temporary).current_dir(&temporary).stdin(Stdio::null());
    // As root `uid` drops the other groups too.
    let ran = command.uid(NOBODY).gid(NOBODY).output().unwrap();
    let said = [ran.stdout, ran.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(ran.status.success(), "as nobody:\n{said}");
    said
}

fn open_up(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;

    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// HARDENING: all tests of the store hold for a user without rights, too.
#[test]
#[ignore = "runs the store's tests once more, as another user: needs root"]
fn system_the_stores_tests_pass_without_rights() {
    assert!(rustix::process::geteuid().is_root(), "only root can become somebody else");
    let ran = run_as_nobody(&["store::", "--skip", "system_"]);
    assert!(ran.contains("test result: ok"), "{ran}");
    assert!(ran.contains("conformance"), "the store's tests did not run:\n{ran}");
}
