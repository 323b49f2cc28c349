//! Looking at the whole data folder at each moment of a change.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use crate::store::local::tests::scenario::Attempt;
use crate::store::local::{Call, Faults};

/// What an inode is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    File { content: Arc<Vec<u8>>, mode: u32, mtime: SystemTime },
    Folder { names: BTreeMap<Vec<u8>, u64>, mode: u32 },
}

/// A flush that worked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Flushed {
    Inode(u64),
    All,
}

/// The data folder at one moment.
pub(super) struct Moment {
    pub(super) number: usize,
    pub(super) nodes: BTreeMap<u64, Node>,
    pub(super) homes: u64,
    pub(super) staging: u64,
    /// The database's files.
    pub(super) database: Vec<(&'static str, Vec<u8>)>,
    /// Just now.
    pub(super) flushed: Option<Flushed>,
    /// What its client knows.
    pub(super) attempt: Attempt,
    /// Its client has the answer.
    pub(super) answered: bool,
}

/// Looks at a store's data folder before each of its calls and after each of its flushes.
#[derive(Default)]
pub(super) struct Recorder(Mutex<Option<Recording>>);

struct Recording {
    data: PathBuf,
    attempt: Arc<Attempt>,
    moments: Vec<Moment>,
}

impl Recorder {
    /// From here on. What is there now is on the disk.
    pub(super) fn begin(&self, data: &Path, attempt: Arc<Attempt>) {
        let mut recording = Recording { data: data.to_owned(), attempt, moments: Vec::new() };
        recording.look(Some(Flushed::All), false);
        *self.0.lock().unwrap() = Some(recording);
    }

    /// The client has its answer.
    pub(super) fn end(&self) -> Vec<Moment> {
        let mut recording = self.0.lock().unwrap().take().unwrap();
        recording.look(None, true);
        recording.moments
    }

    fn look(&self, flushed: Option<Flushed>) {
        if let Some(recording) = &mut *self.0.lock().unwrap() {
            recording.look(flushed, false);
        }
    }
}

impl Faults for Recorder {
    fn before(&self, _: Call) -> io::Result<()> {
        self.look(None);
        Ok(())
    }

    fn flushed(&self, inode: Option<u64>) {
        self.look(Some(inode.map_or(Flushed::All, Flushed::Inode)));
    }
}

impl Recording {
    fn look(&mut self, flushed: Option<Flushed>, answered: bool) {
        let mut nodes = BTreeMap::new();
        let homes = look_into(&self.data.join("homes"), &mut nodes);
        let staging = look_into(&self.data.join("staging"), &mut nodes);
        let files = ["sampand.db", "sampand.db-wal"];
        let database = files.into_iter().filter_map(|name| {
            let content = fs::read(self.data.join(name)).ok()?;
            Some((name, content))
        });
        let moment = Moment {
            number: self.moments.len(),
            nodes,
            homes,
            staging,
            database: database.collect(),
            flushed,
            attempt: self.attempt.as_it_is(),
            answered,
        };
        self.moments.push(moment);
    }
}

/// The inode at `path`; it, and what is in it, is noted. What goes meanwhile is left out.
fn look_into(path: &Path, nodes: &mut BTreeMap<u64, Node>) -> u64 {
    try_look_into(path, nodes).unwrap_or_default()
}

fn try_look_into(path: &Path, nodes: &mut BTreeMap<u64, Node>) -> io::Result<u64> {
    let found = fs::symlink_metadata(path)?;
    let mode = found.permissions().mode() & 0o777;
    let node = if found.is_dir() {
        let mut names = BTreeMap::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            if let Ok(inode) = try_look_into(&entry.path(), nodes) {
                names.insert(entry.file_name().into_vec(), inode);
            }
        }
        Node::Folder { names, mode }
    } else {
        Node::File { content: Arc::new(fs::read(path)?), mode, mtime: found.modified()? }
    };
    nodes.insert(found.ino(), node);
    Ok(found.ino())
}
