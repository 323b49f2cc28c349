//! What a disk may hold when the power goes.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use super::record::{Flushed, Moment, Node};

/// What is done to bytes that were not flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bytes {
    /// They came to the disk all the same.
    There,
    /// The file is as it was at its last flush; one that was never flushed is empty.
    Lost,
    /// The same, but its length came to the disk.
    Zeros,
}

/// Which of the names that were changed, but not flushed, are on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Names {
    /// Those of the moments before this one: a journal that was cut.
    Until(usize),
    /// All but those of this moment.
    Without(usize),
}

/// One disk.
pub(super) struct Disk {
    names: Names,
    bytes: Bytes,
    nodes: BTreeMap<u64, Node>,
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "names {:?}, bytes {:?}", self.names, self.bytes)
    }
}

/// A name that one moment has otherwise than the moment before.
struct Renamed {
    folder: u64,
    name: Vec<u8>,
    inode: Option<u64>,
}

impl Renamed {
    fn name(&self) -> (u64, &[u8]) {
        (self.folder, &self.name)
    }
}

/// A change of at most so many moments is replayed at each of them; of a longer one at each flush and
/// transaction, and at some of the others.
const FEW: usize = 120;
const SOME: usize = 13;
/// So many of the first and of the last names that may be lost are.
const FEW_NAMES: usize = 4;

/// All disks that moments may leave.
pub(super) struct Disks<'a> {
    moments: &'a [Moment],
    /// What each moment changed.
    changes: Vec<Vec<Renamed>>,
}

impl<'a> Disks<'a> {
    pub(super) fn of(moments: &'a [Moment]) -> Self {
        let mut changes = vec![Vec::new()];
        changes.extend(moments.windows(2).map(|pair| renamed(&pair[0].nodes, &pair[1].nodes)));
        Self { moments, changes }
    }

    /// Each disk once, with the first moment that may leave it; or, of the ways to lose something,
    /// only `most`, evenly chosen, and the last.
    pub(super) fn all(&self, most: Option<usize>) -> impl Iterator<Item = (&'a Moment, Disk)> {
        let worth_it = self.moments.iter().filter(|moment| self.is_worth_it(moment));
        let ways = worth_it.flat_map(|moment| {
            self.names(moment).into_iter().flat_map(move |names| {
                let bytes = [Bytes::There, Bytes::Lost, Bytes::Zeros];
                bytes.into_iter().map(move |bytes| (moment, names, bytes))
            })
        });
        let ways: Vec<_> = ways.collect();
        let every = most.map_or(1, |most| ways.len().div_ceil(most));
        let last = ways.len() - 1;
        let chosen = ways.into_iter().enumerate();
        let chosen = chosen.filter(move |(at, _)| (last - at).is_multiple_of(every));
        let mut seen = HashSet::new();
        chosen.filter_map(move |(_, (moment, names, bytes))| {
            let disk = self.disk(moment, names, bytes);
            let mut hasher = DefaultHasher::new();
            (&disk.nodes, &moment.database, moment.answered).hash(&mut hasher);
            seen.insert(hasher.finish()).then_some((moment, disk))
        })
    }

    /// Of the many alike moments of a long change, some.
    fn is_worth_it(&self, moment: &Moment) -> bool {
        let before = moment.number.checked_sub(1).map(|before| &self.moments[before]);
        self.moments.len() <= FEW
            || moment.answered
            || moment.flushed.is_some()
            || before.is_some_and(|before| before.database != moment.database)
            || moment.number.is_multiple_of(SOME)
    }

    /// Which of the changed names may be lost at a moment.
    fn names(&self, moment: &Moment) -> Vec<Names> {
        let uncertain = (1..=moment.number).filter(|number| !self.changes[*number].is_empty());
        let uncertain: Vec<usize> =
            uncertain.filter(|number| !self.is_certain(*number, moment)).collect();
        let near_an_end = |at: usize| at < FEW_NAMES || at + FEW_NAMES >= uncertain.len();
        let worth_it = |at: usize| near_an_end(at) || at.is_multiple_of(SOME);
        let some = uncertain.iter().enumerate().filter(|(at, _)| worth_it(*at));
        let some: Vec<usize> = some.map(|(_, number)| *number).collect();
        let mut names = vec![Names::Until(moment.number + 1)];
        names.extend(some.iter().map(|number| Names::Until(*number)));
        names.extend(some.iter().map(|number| Names::Without(*number)));
        names
    }

    fn disk(&self, moment: &Moment, which: Names, bytes: Bytes) -> Disk {
        let mut nodes: BTreeMap<u64, Node> = BTreeMap::new();
        for (inode, node) in self.known_until(moment) {
            let node = match node {
                Node::File { .. } => self.file(inode, node, moment, bytes),
                Node::Folder { mode, .. } => {
                    let names = match self.moments[0].nodes.get(&inode) {
                        Some(Node::Folder { names, .. }) => names.clone(),
                        _ => BTreeMap::new(),
                    };
                    Node::Folder { names, mode: *mode }
                }
            };
            nodes.insert(inode, node);
        }
        let mut lost: HashSet<(u64, &[u8])> = HashSet::new();
        for number in 1..=moment.number {
            let is_there = match which {
                Names::Until(end) => number < end,
                Names::Without(hole) => number != hole,
            };
            let changes = &self.changes[number];
            // One name's changes are never seen out of their order.
            let follows = changes.iter().any(|change| lost.contains(&change.name()));
            if (!is_there || follows) && !self.is_certain(number, moment) {
                lost.extend(changes.iter().map(Renamed::name));
                continue;
            }
            for Renamed { folder, name, inode } in changes {
                let Some(Node::Folder { names, .. }) = nodes.get_mut(folder) else { continue };
                match inode {
                    Some(inode) => names.insert(name.clone(), *inode),
                    None => names.remove(name),
                };
            }
        }
        // What has no name is not on the disk.
        let mut kept = BTreeMap::new();
        for root in [moment.homes, moment.staging] {
            keep_named(root, &nodes, &mut kept);
        }
        Disk { names: which, bytes, nodes: kept }
    }

    /// Every inode that was there until `moment`, as it was seen last.
    fn known_until(&self, moment: &Moment) -> BTreeMap<u64, &Node> {
        let until = self.moments[..=moment.number].iter();
        until.flat_map(|seen| seen.nodes.iter().map(|(inode, node)| (*inode, node))).collect()
    }

    /// Whether what a moment changed is on the disk: a folder that it changed was flushed since, or
    /// a later change of one of its names is there.
    fn is_certain(&self, number: usize, moment: &Moment) -> bool {
        let changes = &self.changes[number];
        let is_flushed = |later: &Moment| match later.flushed {
            Some(Flushed::All) => true,
            Some(Flushed::Inode(inode)) => changes.iter().any(|change| change.folder == inode),
            None => false,
        };
        let follows = |later: usize| {
            let names = self.changes[later].iter().map(Renamed::name);
            let mut ours = changes.iter().map(Renamed::name);
            ours.any(|name| names.clone().any(|later| later == name))
        };
        self.moments[number..=moment.number].iter().any(is_flushed)
            || (number + 1..=moment.number)
                .any(|later| follows(later) && self.is_certain(later, moment))
    }

    fn file(&self, inode: u64, now: &Node, moment: &Moment, bytes: Bytes) -> Node {
        let flushed = self.moments[..=moment.number].iter().rev().find_map(|then| {
            let flushed = match then.flushed? {
                Flushed::All => true,
                Flushed::Inode(flushed) => flushed == inode,
            };
            then.nodes.get(&inode).filter(|_| flushed)
        });
        let Node::File { content, mode, mtime } = now else { return now.clone() };
        match (bytes, flushed) {
            (Bytes::There, _) => now.clone(),
            (_, Some(flushed)) if flushed == now => now.clone(),
            (Bytes::Lost, Some(flushed)) => flushed.clone(),
            (Bytes::Lost, None) => {
                Node::File { content: Arc::default(), mode: *mode, mtime: *mtime }
            }
            (Bytes::Zeros, flushed) => {
                let mut zeros = match flushed {
                    Some(Node::File { content, .. }) => content.to_vec(),
                    _ => Vec::new(),
                };
                zeros.resize(content.len(), 0);
                Node::File { content: Arc::new(zeros), mode: *mode, mtime: *mtime }
            }
        }
    }
}

fn renamed(before: &BTreeMap<u64, Node>, after: &BTreeMap<u64, Node>) -> Vec<Renamed> {
    let none = BTreeMap::new();
    let names_of = |nodes: &BTreeMap<u64, Node>, inode| match nodes.get(&inode) {
        Some(Node::Folder { names, .. }) => names.clone(),
        _ => none.clone(),
    };
    let folders: HashSet<u64> = before.keys().chain(after.keys()).copied().collect();
    let mut changes = Vec::new();
    for folder in folders {
        let (old, new) = (names_of(before, folder), names_of(after, folder));
        let gone = old.keys().filter(|name| !new.contains_key(*name));
        // A folder that is gone as a whole lost its names before, or they went with it.
        let gone = gone.filter(|_| after.contains_key(&folder));
        changes.extend(gone.map(|name| Renamed { folder, name: name.clone(), inode: None }));
        let came = new.into_iter().filter(|(name, inode)| old.get(name) != Some(inode));
        changes.extend(came.map(|(name, inode)| Renamed { folder, name, inode: Some(inode) }));
    }
    changes
}

fn keep_named(inode: u64, from: &BTreeMap<u64, Node>, into: &mut BTreeMap<u64, Node>) {
    let Some(node) = from.get(&inode) else { return };
    if into.insert(inode, node.clone()).is_none()
        && let Node::Folder { names, .. } = node
    {
        for inode in names.values() {
            keep_named(*inode, from, into);
        }
    }
}

impl Disk {
    /// Makes a data folder of it. Says which inode there stands for which one here.
    pub(super) fn put_into(&self, data: &Path, moment: &Moment) -> HashMap<u64, u64> {
        let mut numbers = HashMap::new();
        self.put(moment.homes, &data.join("homes"), &mut numbers);
        self.put(moment.staging, &data.join("staging"), &mut numbers);
        for (name, content) in &moment.database {
            fs::write(data.join(name), content).unwrap();
        }
        numbers
    }

    fn put(&self, inode: u64, at: &Path, numbers: &mut HashMap<u64, u64>) {
        let Some(node) = self.nodes.get(&inode) else { return };
        let mode = match node {
            Node::Folder { names, mode } => {
                fs::create_dir(at).unwrap();
                for (name, inode) in names {
                    self.put(*inode, &at.join(std::ffi::OsStr::from_bytes(name)), numbers);
                }
                mode
            }
            Node::File { content, mode, mtime } => {
                fs::write(at, &**content).unwrap();
                fs::File::options().write(true).open(at).unwrap().set_modified(*mtime).unwrap();
                mode
            }
        };
        fs::set_permissions(at, fs::Permissions::from_mode(*mode)).unwrap();
        numbers.insert(fs::metadata(at).unwrap().ino(), inode);
    }
}
