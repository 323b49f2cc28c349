//! What must be so: while somebody lies dead, and once all is done.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::world::{World, is_staging};

/// What lies at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Item {
    /// Its mode and time, where these are told.
    Folder(Option<(u32, i64, i64)>),
    File {
        size: u64,
        root: [u8; 32],
        mode: u32,
        mtime: (i64, i64),
    },
}

/// All that lies below a folder, by paths from there.
pub(super) type Manifest = BTreeMap<PathBuf, Item>;

/// Everything below `root`; nothing if it is not there. What goes while others are still at work,
/// such as a download that gets its name, is left out.
pub(super) fn manifest(root: &Path) -> Manifest {
    let mut found = Manifest::new();
    let mut open = vec![root.to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let Some(meta) = unless_gone(fs::symlink_metadata(&path)) else { continue };
            let (mode, mtime) =
                (meta.permissions().mode() & 0o777, (meta.mtime(), meta.mtime_nsec()));
            let item = if meta.is_dir() {
                open.push(path.clone());
                Item::Folder(Some((mode, mtime.0, mtime.1)))
            } else {
                let Some(bytes) = unless_gone(fs::read(&path)) else { continue };
                let root = *blake3::hash(&bytes).as_bytes();
                Item::File { size: meta.len(), root, mode, mtime }
            };
            found.insert(path.strip_prefix(root).unwrap().to_owned(), item);
        }
    }
    found
}

fn unless_gone<T>(looked: io::Result<T>) -> Option<T> {
    match looked {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        looked => Some(looked.unwrap()),
    }
}

/// The same with every path below `folder`, which is made on the way.
pub(super) fn below(folder: &str, items: &Manifest) -> Manifest {
    let mut all: Manifest =
        items.iter().map(|(path, item)| (Path::new(folder).join(path), item.clone())).collect();
    for above in Path::new(folder).ancestors().filter(|above| *above != Path::new("")) {
        all.insert(above.to_owned(), Item::Folder(None));
    }
    all
}

/// Folders may have any mode and time.
pub(super) fn of_any_time(mut items: Manifest) -> Manifest {
    for item in items.values_mut() {
        if let Item::Folder(told) = item {
            *told = None;
        }
    }
    items
}

/// Nothing is missing, nothing is doubled, nothing is another.
#[track_caller]
pub(super) fn is_there(root: &Path, expected: &Manifest) {
    let mut found = manifest(root);
    for (path, item) in &mut found {
        if let (Item::Folder(told), Some(Item::Folder(None))) = (item, expected.get(path)) {
            *told = None;
        }
    }
    let mut wrong = Vec::new();
    for path in found.keys().chain(expected.keys()).collect::<std::collections::BTreeSet<_>>() {
        if found.get(path) != expected.get(path) {
            let (found, expected) = (found.get(path), expected.get(path));
            wrong.push(format!("{}: {found:?}, not {expected:?}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "in {}:\n{}", root.display(), wrong.join("\n"));
}

/// Every file below `root` is one that was whole somewhere: no half name.
#[track_caller]
pub(super) fn is_whole(root: &Path, whole: &HashSet<[u8; 32]>) {
    for (path, item) in manifest(root) {
        if let Item::File { root: found, size, .. } = item
            && !is_staging(&path)
        {
            let at = root.join(&path);
            assert!(whole.contains(&found), "{} ({size} bytes) is half", at.display());
        }
    }
}

/// The roots of all files below `root`.
pub(super) fn roots(root: &Path) -> Vec<[u8; 32]> {
    let files = manifest(root).into_values();
    files
        .filter_map(|item| if let Item::File { root, .. } = item { Some(root) } else { None })
        .collect()
}

/// What one account's uploads hold.
pub(super) struct Unfinished {
    pub(super) ids: Vec<u64>,
    pub(super) reserved: u64,
}

impl World {
    /// The unfinished uploads of a person, as the person sees them.
    pub(super) fn uploads(&self, person: usize) -> Unfinished {
        let ended = self.people[person].program.run(["uploads", "--json", &self.place(person, "")]);
        assert_eq!((ended.code, &*ended.err), (0, ""), "{}", self.log());
        let uploads: Vec<Value> =
            ended.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        Unfinished {
            ids: uploads.iter().map(|upload| upload["id"].as_u64().unwrap()).collect(),
            reserved: uploads.iter().map(|upload| upload["reserved"].as_u64().unwrap()).sum(),
        }
    }

    /// Bytes in use, bytes in flight and files of each person, as the administrator sees them.
    pub(super) fn ledger(&self) -> Vec<(u64, u64, u64)> {
        let shown = self.administers(&["quota", "show", "--json"]);
        let rows: Vec<Value> =
            shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let row = |name: &str| rows.iter().find(|row| row["name"] == name).unwrap();
        let number = |row: &Value, key: &str| row[key].as_u64().unwrap();
        let of = |name| {
            (number(row(name), "used"), number(row(name), "in_flight"), number(row(name), "files"))
        };
        self.people.iter().map(|person| of(person.name)).collect()
    }

    /// Bytes that a person's uploads hold, if there is a server that says so.
    pub(super) fn in_flight(&self, person: usize) -> Option<u64> {
        let ended = self.people[person].program.run([
            "df",
            "--json",
            "--timeout",
            "1",
            "--retry-for",
            "0",
            &self.place(person, ""),
        ]);
        let df: Value = serde_json::from_slice(&ended.out).ok()?;
        df["in_flight"].as_u64()
    }

    /// Use is what lies on the disk, what is in flight is what uploads hold, and there are none but
    /// those that are `left`.
    #[track_caller]
    pub(super) fn books_are_right(&self, left: &[u64]) {
        let mut ids = Vec::new();
        for (person, (used, in_flight, files)) in self.ledger().into_iter().enumerate() {
            let (mut bytes, mut entries) = (0, 0);
            for item in manifest_of_sizes(&self.home(person)) {
                bytes += item;
                entries += 1;
            }
            let uploads = if in_flight > 0 || person == 0 {
                self.uploads(person)
            } else {
                Unfinished { ids: Vec::new(), reserved: 0 }
            };
            let name = self.people[person].name;
            assert_eq!((used, files), (bytes, entries), "use of {name}\n{}", self.log());
            assert_eq!(in_flight, uploads.reserved, "in flight of {name}\n{}", self.log());
            ids.extend(uploads.ids);
        }
        assert_eq!(ids, left, "unfinished uploads\n{}", self.log());
    }

    /// Nothing lies in staging but what uploads need.
    #[track_caller]
    pub(super) fn staging_is_swept(&self, left: &[u64]) {
        let staging = self.data().join("staging");
        let found: Vec<_> = fs::read_dir(staging)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !left.iter().any(|id| is_of_upload(name, *id)))
            .collect();
        assert!(found.is_empty(), "orphans: {found:?}\n{}", self.log());
    }

    /// No download is left on its way, and no journal.
    #[track_caller]
    pub(super) fn nothing_is_left_here(&self) {
        for person in &self.people {
            let parts: Vec<_> =
                manifest(person.local.path()).into_keys().filter(|path| is_staging(path)).collect();
            assert!(parts.is_empty(), "{parts:?}");
            let journals = manifest(&person.program.home().join("state/journals"));
            assert!(journals.is_empty(), "{:?}", journals.keys());
        }
    }
}

/// `u7`, and whatever an upload's staging may add to tell one of its lives from another.
fn is_of_upload(name: &str, id: u64) -> bool {
    let rest = name.strip_prefix(&format!("u{id}"));
    rest.is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

fn manifest_of_sizes(home: &Path) -> Vec<u64> {
    let mut sizes = Vec::new();
    let mut open = vec![home.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let meta = entry.metadata().unwrap();
            if meta.is_dir() {
                open.push(entry.path());
                sizes.push(0);
            } else {
                sizes.push(meta.len());
            }
        }
    }
    sizes
}
