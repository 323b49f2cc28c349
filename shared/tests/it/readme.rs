//! The front page and its translation hold the same commands, and CI runs the ones it promises.

use std::fs;
use std::path::{Path, PathBuf};

fn repository() -> PathBuf {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR"));
    shared.parent().expect("the crate lies in the repository").to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The fenced blocks of a page, fences included, in order; comments are words, and translated.
fn commands(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut open: Option<String> = None;
    for line in page.lines() {
        match (&mut open, line.starts_with("```")) {
            (None, true) => open = Some(format!("{line}\n")),
            (Some(_), false) if line.starts_with('#') => {}
            (Some(block), false) => {
                block.push_str(line);
                block.push('\n');
            }
            (Some(_), true) => blocks.extend(open.take()),
            (None, false) => {}
        }
    }
    assert!(open.is_none(), "a fence is never closed");
    blocks
}

#[test]
fn both_pages_hold_the_same_commands() {
    let english = commands(&read("README.md"));
    let chinese = commands(&read("assets/README.zh-CN.md"));
    assert!(english.len() >= 6, "the front page lost its commands");
    assert_eq!(english, chinese);
}

#[test]
fn each_page_links_to_the_other_in_its_first_line() {
    let first = |page: &str| read(page).lines().next().unwrap_or_default().to_owned();
    assert!(first("README.md").contains("(assets/README.zh-CN.md)"));
    assert!(first("assets/README.zh-CN.md").contains("(../README.md)"));
}

#[test]
fn ci_runs_the_test_commands_of_the_front_page() {
    let ci = read(".ci/run").replace(" --locked", "");
    let promised: Vec<_> = read("README.md")
        .lines()
        .filter(|line| line.starts_with("cargo test"))
        .map(str::to_owned)
        .collect();
    assert_eq!(promised.len(), 2, "the front page names two test commands: {promised:?}");
    for command in promised {
        assert!(ci.contains(&command), "CI does not run `{command}`");
    }
}
