//! Repeating finishes: a tree of 5,000 files, its client killed halfway, the same command again.

use std::collections::HashSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::Value;

use super::checks::{below, is_there, manifest};
use super::dice::Dice;
use super::drive;
use super::world::World;

const FILES: usize = 5000;
const FOLDERS: usize = 50;
/// Packs that are on their way at once, and what one holds at most. The engine's and the wire's.
const PACKS: u64 = 4;
const PACK_BYTES: u64 = 8 << 20;

/// One file's name as the events tell it.
type Names = HashSet<String>;

/// What a run said: the files that it carried, those that were there, and its summary.
#[derive(Debug, Default)]
struct Said {
    done: Names,
    unchanged: Names,
    summary: Option<Value>,
}

impl Said {
    fn take(&mut self, line: &str) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return };
        let from = event["from"].to_string();
        match event["event"].as_str() {
            Some("done") if event["blake3"].is_string() => {
                assert!(self.done.insert(from), "carried twice: {line}");
            }
            Some("unchanged") => {
                assert!(self.unchanged.insert(from), "told twice: {line}");
            }
            Some("fail") => panic!("{line}"),
            Some("summary") => self.summary = Some(event),
            _ => {}
        }
    }
}

/// Runs it; killed once it said that so many files are across.
fn run(world: &World, words: &[&str], kill_after: Option<usize>) -> Said {
    let person = &world.people[0];
    let mut command = person.program.command(words);
    command.current_dir(person.local.path()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().unwrap();
    let mut said = Said::default();
    let mut is_killed = false;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let Ok(line) = line else { break };
        said.take(&line);
        if !is_killed && kill_after.is_some_and(|after| said.done.len() >= after) {
            drive::kill(&child, Signal::KILL);
            is_killed = true;
        }
    }
    let status = child.wait().unwrap();
    assert_eq!(status.code(), if kill_after.is_some() { None } else { Some(0) }, "{status}");
    said
}

/// Kills a command halfway, gives it again, and holds it to the whole contract.
fn finishes_when_repeated(world: &World, words: &[&str], tree: &Path, target: &Path) {
    let first = run(world, words, Some(FILES / 2));
    assert!(first.done.len() < FILES, "it was done before it was killed");
    let there = manifest(target).into_values();
    let there = there.filter(|item| matches!(item, super::checks::Item::File { .. })).count();
    let again = run(world, words, None);

    let both: Vec<_> = first.done.intersection(&again.done).collect();
    assert!(both.is_empty(), "carried twice: {both:?}");
    assert!(first.done.is_subset(&again.unchanged));
    let summary = again.summary.unwrap();
    let number = |key: &str| summary[key].as_u64().unwrap();
    let whole = (FILES + FOLDERS + 1) as u64;
    assert_eq!((number("failed"), number("skipped")), (0, 0), "{summary}");
    assert_eq!(number("done") + number("unchanged"), whole, "{summary}");
    // It carried each file that is new once, and no byte beside.
    assert_eq!(number("moved"), number("bytes"), "{summary}");
    let expected = manifest(tree);
    let size = |item: &super::checks::Item| match item {
        super::checks::Item::File { size, .. } => *size,
        super::checks::Item::Folder(_) => 0,
    };
    let total: u64 = expected.values().map(size).sum();
    let is_told: HashSet<_> = first.done.iter().map(|from| last_two(from)).collect();
    let told = expected.iter().filter(|(path, _)| is_told.contains(path.to_str().unwrap()));
    let told: u64 = told.map(|(_, item)| size(item)).sum();
    // Twice went what was on its way, at most: packs whose answers were not told.
    assert!(told + number("moved") <= total, "{told} and {summary} of {total}");
    let unsure = total - told - number("moved");
    super::tell(&format!(
        "{} files told, {there} there at the kill; then {} carried, {} there already; {unsure} bytes \
         had come without being told, of at most {} on their way",
        first.done.len(),
        again.done.len(),
        again.unchanged.len(),
        PACKS * PACK_BYTES,
    ));
    assert!(unsure <= PACKS * PACK_BYTES);
    is_there(target, &below("tree", &expected));
}

/// `f07/042` of a path that ends so.
fn last_two(path: &str) -> &str {
    let path = path.trim_end_matches('"');
    &path[path.len() - "f07/042".len()..]
}

/// The "repeating finishes", both ways. HARDENING 2.10.
#[test]
fn a_tree_of_5000_files_is_finished_by_the_same_command_and_nothing_goes_twice() {
    let mut dice = Dice::new(5000);
    let mut world = World::new(&mut dice);
    let here = world.people[0].local.path().to_owned();
    let tree = here.join("tree");
    for folder in 0..FOLDERS {
        fs::create_dir_all(tree.join(format!("f{folder:02}"))).unwrap();
        for file in 0..FILES / FOLDERS {
            let path = tree.join(format!("f{folder:02}/{file:03}"));
            let length = 4000 + dice.below(16_000);
            super::dice::file(&mut dice, &path, length);
        }
    }
    assert!(world.serve(None));
    let (to, from) = (world.place(0, "up"), world.place(0, "up/tree"));
    let (home, back) = (world.home(0).join("up"), here.join("back"));
    finishes_when_repeated(&world, &["put", "--json", "tree", &to], &tree, &home);
    world.books_are_right(&[]);
    finishes_when_repeated(&world, &["get", "--json", &from, "back/"], &tree, &back);
    world.nothing_is_left_here();
    drive::stop(&mut world, &mut drive::Deaths::default());
    world.staging_is_swept(&[]);
}
