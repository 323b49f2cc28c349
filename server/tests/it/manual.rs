//! `completions` and `man` by the real binary.

use std::io::Write;
use std::process::{Command, Stdio};

use crate::program::{ran, run, sampand};

#[test]
fn completions_are_the_shells_own() {
    for (shell, word) in [
        ("bash", "complete -F _sampand"),
        ("zsh", "#compdef sampand"),
        ("fish", "complete -c sampand"),
    ] {
        let script = run(sampand(&["completions", shell]), "");
        assert_eq!((script.code, &*script.err), (0, ""), "{shell}");
        for word in [word, "take-home", "fingerprint"] {
            assert!(script.out.contains(word), "{shell} does not know {word}");
        }
    }
    let script = run(sampand(&["completions", "bash"]), "");
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().unwrap();
    bash.stdin.take().unwrap().write_all(script.out.as_bytes()).unwrap();
    assert!(bash.wait().unwrap().success(), "bash does not understand it");
    assert_eq!(run(sampand(&["completions", "sh"]), "").code, 2);
}

#[test]
fn man_prints_pages_without_a_data_folder() {
    // Neither a configuration that is none nor a folder that is not there matters.
    let page = run(sampand(&["man", "--config", "/nowhere", "--data", "/nowhere"]), "");
    assert_eq!((page.code, &*page.err), (0, ""));
    for word in [".TH sampand 1", "sampand\\-quota(1)", "Exit codes"] {
        assert!(page.out.contains(word), "`{word}` is missing:\n{}", page.out);
    }
    let page = run(sampand(&["man", "user", "add"]), "");
    for word in [".TH sampand-user-add 1", "\\-\\-take\\-home", "10GiB"] {
        assert!(page.out.contains(word), "`{word}` is missing:\n{}", page.out);
    }
    let nope = "sampand: there is no command `user nope`; `sampand --help` lists them\n";
    assert_eq!(run(sampand(&["man", "user", "nope"]), ""), ran(2, "", nope));
}
