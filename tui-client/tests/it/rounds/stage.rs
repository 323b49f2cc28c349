//! What rounds start from: trees on both sides, orders that nobody disturbs, an upload that was left.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use sampan_client::step::Step as ClientStep;
use sampan_protocol::Name;

use super::admin::{self, GUEST};
use super::checks::{self, Manifest, below, manifest, of_any_time};
use super::dice::{self, Dice, Shape};
use super::drive::Errand;
use super::operation::Setting;
use super::world::World;

/// Where a round is prepared.
pub(super) struct Stage<'a> {
    pub(super) world: &'a mut World,
    pub(super) dice: &'a mut Dice,
    pub(super) folder: &'a str,
}

impl Stage<'_> {
    pub(super) fn here_path(&self, person: usize) -> PathBuf {
        self.world.people[person].local.path().join(self.folder)
    }

    pub(super) fn there_path(&self, person: usize) -> PathBuf {
        self.world.home(person).join(self.folder)
    }

    /// Something local, as it is written.
    pub(super) fn here(&self, what: &str) -> String {
        format!("{}/{what}", self.folder)
    }

    pub(super) fn there(&self, person: usize, what: &str) -> String {
        self.world.place(person, &format!("{}/{what}", self.folder))
    }

    /// Everything local, after whose sight it counts as whole.
    pub(super) fn local(&mut self, person: usize) -> Manifest {
        self.know(person);
        manifest(&self.here_path(person))
    }

    pub(super) fn know(&mut self, person: usize) {
        let roots = checks::roots(&self.here_path(person));
        self.world.people[person].whole.extend(roots);
    }

    /// A tree with some files of every kind.
    pub(super) fn tree(&mut self, person: usize) -> Manifest {
        // Many small files now and then: more than go into one pack.
        let small = if self.dice.below(12) == 0 { 1100 } else { 12 + self.dice.below(40) };
        let shape = Shape { small: usize::try_from(small).unwrap(), big: 3 };
        let tree = self.here_path(person).join("tree");
        fs::create_dir_all(tree.join("kept")).unwrap();
        dice::file(self.dice, &tree.join("kept/gone"), 5000);
        dice::file(self.dice, &tree.join("kept/and more"), 1 << 20);
        dice::tree(self.dice, &tree, shape);
        self.know(person);
        manifest(&tree)
    }

    pub(super) fn big(&mut self, person: usize) {
        let folder = self.here_path(person);
        fs::create_dir_all(&folder).unwrap();
        let length = (4 << 20) + self.dice.below(1 << 20);
        dice::file(self.dice, &folder.join("big"), length);
        self.know(person);
    }

    pub(super) fn put(&self, person: usize, what: &str, flags: &[&str]) -> Errand {
        let mut words: Vec<String> = vec!["put".into(), "--json".into()];
        words.extend(flags.iter().map(|flag| (*flag).to_owned()));
        words.extend([self.here(what), self.there(person, "")]);
        Errand { person, words }
    }

    /// Runs something that nobody disturbs.
    pub(super) fn order(&mut self, errand: &Errand) {
        if self.world.server.is_none() {
            assert!(self.world.serve(None), "{}", self.world.log());
        }
        let person = &self.world.people[errand.person];
        let mut command = person.program.command(&errand.words);
        let output = command.current_dir(person.local.path()).output().unwrap();
        assert!(output.status.success(), "{errand:?}: {output:?}\n{}", self.world.log());
    }

    pub(super) fn setting<const N: usize>(
        &self,
        errands: Vec<Errand>,
        expected: [(usize, Manifest); N],
    ) -> Setting {
        let there = |(person, manifest)| (self.there_path(person), manifest);
        Setting { phases: vec![errands], expected: expected.map(there).into() }
    }

    /// A tree that is there, changed in part; it replaces what is there, or is kept beside.
    pub(super) fn put_again(&mut self, keeps_both: bool) -> Setting {
        let old = self.tree(0);
        self.order(&self.put(0, "tree", &[]));
        dice::change_some(self.dice, &self.here_path(0).join("tree"));
        self.know(0);
        let new = manifest(&self.here_path(0).join("tree"));
        let mut expected = new.clone();
        if keeps_both {
            for (path, item) in &new {
                if old[path] != *item && matches!(item, checks::Item::File { .. }) {
                    expected.insert(path.clone(), old[path].clone());
                    expected.insert(second(path), item.clone());
                }
            }
        }
        let how = if keeps_both { "rename" } else { "overwrite" };
        let errand = self.put(0, "tree", &["--on-conflict", how]);
        self.setting(vec![errand], [(0, below("tree", &expected))])
    }

    /// What an administrator does to a home without the server: use is wrong until it is counted.
    pub(super) fn change_by_hand(&mut self) {
        let kept = self.there_path(0).join("tree/kept");
        fs::remove_file(kept.join("gone")).unwrap();
        dice::file(self.dice, &kept.join("by hand"), 70_000);
        fs::create_dir(kept.join("folder")).unwrap();
    }

    /// An account with files of its own that is there for the round only.
    pub(super) fn add_guest(&mut self) {
        if let Some(mut server) = self.world.server.take() {
            super::drive::kill(&server.child, rustix::process::Signal::KILL);
            server.child.wait().unwrap();
        }
        let home = self.world.data().join("homes").join(GUEST);
        fs::create_dir(&home).unwrap();
        dice::tree(self.dice, &home, Shape { small: 40, big: 1 });
        admin::add(self.world, GUEST);
    }

    pub(super) fn rename(&mut self, replaces: bool) -> Setting {
        let _ = self.tree(0);
        self.order(&self.put(0, "tree", &[]));
        let (from, to) =
            ("tree/kept/gone", if replaces { "tree/kept/and more" } else { "tree/new" });
        let mut expected = of_any_time(manifest(&self.there_path(0)));
        let moved = expected.remove(Path::new(from)).unwrap();
        expected.insert(to.into(), moved);
        let mut words: Vec<String> = vec!["mv".into()];
        words.extend(replaces.then(|| "--overwrite".to_owned()));
        words.extend([self.there(0, from), self.there(0, to)]);
        self.setting(vec![Errand { person: 0, words }], [(0, expected)])
    }

    /// A put that was killed when some of it was across.
    pub(super) fn leave_an_upload(&mut self) -> Errand {
        self.big(0);
        let put = self.put(0, "big", &[]);
        if self.world.server.is_none() {
            assert!(self.world.serve(None), "{}", self.world.log());
        }
        let person = &self.world.people[0];
        let mut command = person.program.command(&put.words);
        command.env("SAMPAN_DIE_AT", format!("{}:2", ClientStep::BlockAcknowledged.name()));
        let output = command.current_dir(person.local.path()).output().unwrap();
        assert!(output.status.code().is_none(), "{output:?}");
        put
    }
}

/// The name beside a taken one.
fn second(path: &Path) -> PathBuf {
    let name = Name::new(path.file_name().unwrap().as_bytes()).unwrap();
    let name = sampan_client::local::numbered(&name, 2);
    path.with_file_name(OsStr::from_bytes(name.as_bytes()))
}
