//! The power goes at every step on the program's own files: what was told as written is there, and
//! nothing half is believed (HARDENING 2.2, 2.10, 2.11).

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use sampan_client::state::{Journal, State};

use super::own_files::{SEED, account, batches, begin, key, open, pin, queue, server};
use super::power::{digest, lay_out, lots};
use super::recorder::Recorder;
use super::scenario::Bench;

#[test]
fn a_power_cut_while_the_program_writes_its_own_files() {
    let dir = tempfile::tempdir().unwrap();
    let recorder = Arc::new(Recorder::of(dir.path()));
    let state = State::under(&dir.path().join("home")).on(Bench::disk(&recorder));
    let told = |what: &str| recorder.told(Path::new(what));

    let mut journal = open(&state, &queue()).unwrap();
    told("opened");
    begin(&mut journal, 1).unwrap();
    told("begun 1");
    begin(&mut journal, 2).unwrap();
    told("begun 2");
    told("finishing 1");
    journal.finish(1).unwrap();
    told("finished 1");
    drop(journal);
    let mut journal = open(&state, &queue()).unwrap();
    begin(&mut journal, 3).unwrap();
    told("begun 3");
    drop(journal);
    state.known_servers().set(&server("h"), "SHA256:old").unwrap();
    told("pinned");
    state.known_servers().set(&server("h"), "SHA256:new").unwrap();
    told("pinned again");
    state.store_login_key(&account(), &[1; 32]).unwrap();
    told("key");

    let recording = recorder.ended();
    let (mut drawn, mut seen, mut states) = (lots(), HashSet::new(), 0);
    let after = tempfile::tempdir().unwrap();
    for prefix in 0..=recording.len() {
        let told: HashSet<&str> = recording.told_before(prefix).filter_map(Path::to_str).collect();
        for (lost, model) in recording.states(prefix, &mut drawn) {
            states += 1;
            let tree = model.tree();
            // The same files may be right before something was told, and wrong after.
            let mut telling: Vec<_> = told.iter().copied().collect();
            telling.sort_unstable();
            if !seen.insert((digest(&tree), telling.join(","))) {
                continue;
            }
            lay_out(after.path(), &tree);
            let lost: Vec<_> = lost.iter().map(|at| recording.show(*at)).collect();
            let why = format!("after {prefix} operations, without {lost:#?}, told {telling:?}");
            check(&State::under(&after.path().join("home")), &told, &why);
        }
    }
    let all = recording.len();
    println!("own files: {all} operations, {states} states, {} distinct", seen.len());
    assert!(seen.len() > 20, "only {} states", seen.len());
}

fn check(state: &State, told: &HashSet<&str>, why: &str) {
    let is_told = |what: &str| told.contains(what);
    if is_told("opened") {
        let journal = Journal::open(state, &queue(), [9; 32], 1).unwrap();
        let seed = Journal::in_memory(SEED).keys().upload_key(b"a", b"b");
        assert_eq!(journal.keys().upload_key(b"a", b"b"), seed, "its seed is lost: {why}");
    }
    let there = batches(state, why);
    for batch in [1, 2, 3] {
        let is_open = is_told(&format!("begun {batch}")) && !is_told(&format!("finishing {batch}"));
        assert!(!is_open || there.contains(&batch), "{batch} is lost, {there:?}: {why}");
    }
    assert!(!is_told("finished 1") || !there.contains(&1), "{there:?}: {why}");

    let pinned = pin(state, "h", why);
    let allowed: &[_] = match () {
        () if is_told("pinned again") => &[Some("SHA256:new")],
        () if is_told("pinned") => &[Some("SHA256:old"), Some("SHA256:new")],
        () => &[None, Some("SHA256:old")],
    };
    assert!(allowed.contains(&pinned.as_deref()), "{pinned:?}: {why}");
    let key = key(state, why);
    assert!(key == Some(1) || (key.is_none() && !is_told("key")), "{key:?}: {why}");
}
