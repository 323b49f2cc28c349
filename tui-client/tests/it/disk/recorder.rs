//! What was done to a folder, in order, and what of it a power cut leaves.
//!
//! The model promises as little as a disk may: bytes of a file last once that file or its disk was
//! flushed, its mode and time only if not merely its bytes were, and a name once the folder that
//! holds it was. Until then each may be lost, alone or with others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::fs::{AtFlags, RenameFlags, Stat};
use sampan_client::local::{Call, Faults};

use super::scenario::Tree;

type Id = usize;

/// A change, or a flush.
#[derive(Clone, Debug)]
enum Op {
    Write { file: Id, offset: usize, bytes: Vec<u8> },
    Truncate { file: Id, length: usize },
    Mode { of: Id, mode: u32 },
    Time { of: Id, seconds: i64 },
    Make { folder: Id, name: Vec<u8>, made: Id, is_folder: bool },
    Rename { folder: Id, from: Vec<u8>, to: Vec<u8>, exchange: bool },
    Unlink { folder: Id, name: Vec<u8> },
    Flush { of: Id },
    FlushBytes { of: Id },
    FlushDisk,
}

#[derive(Clone, Debug)]
struct Node {
    mode: u32,
    /// -1 for now.
    seconds: i64,
    held: Held,
}

#[derive(Clone, Debug)]
enum Held {
    Bytes(Vec<u8>),
    Names(BTreeMap<Vec<u8>, Id>),
}

/// A folder, as a disk would show it.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    nodes: HashMap<Id, Node>,
}

const ROOT: Id = 0;

/// Notes what is done below a folder.
pub(super) struct Recorder(Mutex<Log>);

struct Log {
    first: Model,
    ops: Vec<Op>,
    ids: HashMap<(u64, u64), Id>,
    next: Id,
    /// What was told as done, after so many operations.
    told: Vec<(usize, PathBuf)>,
}

/// A recording that has ended.
pub(super) struct Recording {
    first: Model,
    ops: Vec<Op>,
    told: Vec<(usize, PathBuf)>,
}

impl Recorder {
    /// Of what is done below `folder` from now on; what is there now is on the disk.
    pub(super) fn of(folder: &Path) -> Self {
        let mut log = Log {
            first: Model::default(),
            ops: Vec::new(),
            ids: HashMap::new(),
            next: ROOT,
            told: Vec::new(),
        };
        log.take_in(folder);
        Self(Mutex::new(log))
    }

    /// The client said that this is done.
    pub(super) fn told(&self, path: &Path) {
        let mut log = self.0.lock().unwrap();
        let after = log.ops.len();
        log.told.push((after, path.to_owned()));
    }

    pub(super) fn ended(&self) -> Recording {
        let log = self.0.lock().unwrap();
        Recording { first: log.first.clone(), ops: log.ops.clone(), told: log.told.clone() }
    }
}

impl Log {
    fn take_in(&mut self, path: &Path) -> Id {
        let about = fs::metadata(path).unwrap();
        let id = self.fresh((about.dev(), about.ino()));
        let held = if about.is_dir() {
            let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
            let name = |path: &Path| path.file_name().unwrap().as_bytes().to_vec();
            let names = entries.map(|path| (name(&path), self.take_in(&path)));
            Held::Names(names.collect())
        } else {
            Held::Bytes(fs::read(path).unwrap())
        };
        let node = Node { mode: about.mode() & 0o7777, seconds: about.mtime(), held };
        self.first.nodes.insert(id, node);
        id
    }

    fn fresh(&mut self, key: (u64, u64)) -> Id {
        let id = self.next;
        self.next += 1;
        // A number that was used before means another file from now on.
        self.ids.insert(key, id);
        id
    }

    fn id_of(&mut self, stat: &Stat) -> Id {
        let key = (stat.st_dev, stat.st_ino);
        self.ids.get(&key).copied().unwrap_or_else(|| self.fresh(key))
    }

    fn id(&mut self, file: BorrowedFd<'_>) -> Id {
        self.id_of(&rustix::fs::fstat(file).unwrap())
    }

    /// The folder that holds a name, and its last part.
    fn place(&mut self, folder: BorrowedFd<'_>, name: &[u8]) -> (Id, Vec<u8>) {
        let path = Path::new(std::ffi::OsStr::from_bytes(name));
        match path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            None => (self.id(folder), name.to_vec()),
            Some(parent) => {
                let stat = rustix::fs::statat(folder, parent, AtFlags::empty()).unwrap();
                (self.id_of(&stat), path.file_name().unwrap().as_bytes().to_vec())
            }
        }
    }

    fn made(&mut self, folder: BorrowedFd<'_>, name: &[u8], is_folder: bool) -> Op {
        let stat = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).unwrap();
        let made = self.fresh((stat.st_dev, stat.st_ino));
        let (folder, name) = self.place(folder, name);
        Op::Make { folder, name, made, is_folder }
    }
}

impl Faults for Recorder {
    fn after(&self, call: Call<'_>) {
        let mut log = self.0.lock().unwrap();
        let op = match call {
            Call::Write { file, bytes, offset } => {
                let (file, offset) = (log.id(file), usize::try_from(offset).unwrap());
                Op::Write { file, offset, bytes: bytes.to_vec() }
            }
            Call::Truncate { file, length } => {
                Op::Truncate { file: log.id(file), length: usize::try_from(length).unwrap() }
            }
            Call::SetMode { file, mode } => Op::Mode { of: log.id(file), mode: mode.as_raw_mode() },
            Call::SetTime { file, mtime } => {
                Op::Time { of: log.id(file), seconds: mtime.seconds() }
            }
            Call::Create { folder, name } => log.made(folder, name, false),
            Call::MakeFolder { folder, name } => log.made(folder, name, true),
            Call::Rename { from, to, flags } => {
                let ((folder, from), (other, to)) =
                    (log.place(from.0, from.1), log.place(to.0, to.1));
                assert_eq!(folder, other, "a download renames in one folder");
                Op::Rename { folder, from, to, exchange: flags.contains(RenameFlags::EXCHANGE) }
            }
            Call::Unlink { folder, name } => {
                let (folder, name) = log.place(folder, name);
                Op::Unlink { folder, name }
            }
            Call::Flush { file } => Op::Flush { of: log.id(file) },
            Call::FlushBytes { file } => Op::FlushBytes { of: log.id(file) },
            Call::FlushDisk { .. } => Op::FlushDisk,
            Call::Link { .. } | Call::RemoveFolder { .. } => panic!("not in a download: {call:?}"),
            _ => return,
        };
        log.ops.push(op);
    }
}

impl Op {
    /// Whether a flush that follows makes it last.
    fn is_covered_by(&self, flush: &Self) -> bool {
        match (self, flush) {
            (_, Self::FlushDisk) => true,
            (Self::Write { file, .. } | Self::Truncate { file, .. }, flush) => {
                matches!(flush, Self::Flush { of } | Self::FlushBytes { of } if of == file)
            }
            (Self::Mode { of: changed, .. } | Self::Time { of: changed, .. }, flush) => {
                matches!(flush, Self::Flush { of } if of == changed)
            }
            (
                Self::Make { folder, .. }
                | Self::Rename { folder, .. }
                | Self::Unlink { folder, .. },
                flush,
            ) => matches!(flush, Self::Flush { of } if of == folder),
            _ => false,
        }
    }

    fn is_flush(&self) -> bool {
        matches!(self, Self::Flush { .. } | Self::FlushBytes { .. } | Self::FlushDisk)
    }

    fn is_name(&self) -> bool {
        matches!(self, Self::Make { .. } | Self::Rename { .. } | Self::Unlink { .. })
    }
}

impl Model {
    fn bytes(&mut self, file: Id) -> Option<&mut Vec<u8>> {
        match &mut self.nodes.get_mut(&file)?.held {
            Held::Bytes(bytes) => Some(bytes),
            Held::Names(_) => None,
        }
    }

    fn names(&mut self, folder: Id) -> Option<&mut BTreeMap<Vec<u8>, Id>> {
        let node = self.nodes.get_mut(&folder)?;
        node.seconds = -1;
        match &mut node.held {
            Held::Names(names) => Some(names),
            Held::Bytes(_) => None,
        }
    }

    /// Does it, as far as what was lost before lets it.
    fn apply(&mut self, op: &Op) -> Option<()> {
        match op {
            Op::Write { file, offset, bytes } => {
                let held = self.bytes(*file)?;
                let end = offset + bytes.len();
                if held.len() < end {
                    held.resize(end, 0);
                }
                held[*offset..end].copy_from_slice(bytes);
            }
            Op::Truncate { file, length } => self.bytes(*file)?.resize(*length, 0),
            Op::Mode { of, mode } => self.nodes.get_mut(of)?.mode = *mode,
            Op::Time { of, seconds } => self.nodes.get_mut(of)?.seconds = *seconds,
            Op::Make { folder, name, made, is_folder } => {
                self.names(*folder)?.insert(name.clone(), *made);
                let (mode, held) = if *is_folder {
                    (0o700, Held::Names(BTreeMap::new()))
                } else {
                    (0o600, Held::Bytes(Vec::new()))
                };
                self.nodes.insert(*made, Node { mode, seconds: -1, held });
            }
            Op::Rename { folder, from, to, exchange } => {
                let names = self.names(*folder)?;
                let moved = names.remove(from)?;
                let displaced = names.insert(to.clone(), moved);
                if let Some(displaced) = displaced.filter(|_| *exchange) {
                    names.insert(from.clone(), displaced);
                }
            }
            Op::Unlink { folder, name } => drop(self.names(*folder)?.remove(name)),
            Op::Flush { .. } | Op::FlushBytes { .. } | Op::FlushDisk => {}
        }
        Some(())
    }

    /// All that has a name.
    pub(super) fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        let mut folders = vec![(PathBuf::new(), ROOT)];
        while let Some((above, id)) = folders.pop() {
            let Some(Node { held: Held::Names(names), .. }) = self.nodes.get(&id) else { continue };
            for (name, id) in names {
                let path = above.join(std::ffi::OsStr::from_bytes(name));
                let Some(node) = self.nodes.get(id) else { continue };
                let content = match &node.held {
                    Held::Bytes(bytes) => Some(bytes.clone()),
                    Held::Names(_) => {
                        folders.push((path.clone(), *id));
                        None
                    }
                };
                tree.insert(path, (node.mode, node.seconds, content));
            }
        }
        tree
    }
}

impl Recording {
    pub(super) fn len(&self) -> usize {
        self.ops.len()
    }

    /// What was told as done before the power went after `prefix` operations.
    pub(super) fn told_before(&self, prefix: usize) -> impl Iterator<Item = &Path> {
        let before = self.told.iter().filter(move |(after, _)| *after <= prefix);
        before.map(|(_, path)| path.as_path())
    }

    /// What a power cut after `prefix` operations may leave, each with what was lost: nothing, each
    /// unflushed operation alone, all behind one, all of one kind, all, and some by lot.
    pub(super) fn states(
        &self,
        prefix: usize,
        mut lot: impl FnMut() -> u64,
    ) -> Vec<(Vec<usize>, Model)> {
        let done = &self.ops[..prefix];
        let is_pending = |at: usize| {
            let op: &Op = &done[at];
            !op.is_flush() && !done[at..].iter().any(|flush| op.is_covered_by(flush))
        };
        let pending: Vec<usize> = (0..prefix).filter(|at| is_pending(*at)).collect();
        let of_kind = |names: bool| {
            let of_kind = pending.iter().filter(|at| done[**at].is_name() == names);
            of_kind.copied().collect::<Vec<_>>()
        };
        let mut losses = vec![Vec::new(), of_kind(true), of_kind(false)];
        losses.extend(pending.iter().map(|at| vec![*at]));
        losses.extend((0..pending.len()).map(|from| pending[from..].to_vec()));
        for _ in 0..4 {
            losses.push(pending.iter().copied().filter(|_| lot().is_multiple_of(2)).collect());
        }
        let mut seen = HashSet::new();
        losses.retain(|lost| seen.insert(lost.clone()));
        let state = |lost: Vec<usize>| {
            let mut model = self.first.clone();
            for (at, op) in done.iter().enumerate() {
                if !lost.contains(&at) {
                    model.apply(op);
                }
            }
            (lost, model)
        };
        losses.into_iter().map(state).collect()
    }

    /// For messages.
    pub(super) fn show(&self, at: usize) -> String {
        match &self.ops[at] {
            Op::Write { file, offset, bytes } => {
                format!("write {} bytes at {offset} of {file}", bytes.len())
            }
            op => format!("{op:?}"),
        }
    }
}
