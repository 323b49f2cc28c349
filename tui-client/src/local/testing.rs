//! What the tests of this module share.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sampan_protocol::{Name, RemotePath};

/// A name of these bytes.
pub(super) fn name(bytes: &[u8]) -> Name {
    Name::new(bytes).unwrap()
}

/// Names of these texts.
pub(super) fn names(texts: &[&str]) -> Vec<Name> {
    texts.iter().map(|text| name(text.as_bytes())).collect()
}

/// A place below a folder.
pub(super) fn at(path: &str) -> RemotePath {
    RemotePath::parse(path.as_bytes()).unwrap()
}

/// Names that disks and terminals have trouble with.
pub(super) fn odd_names() -> Vec<Name> {
    let odd: [&[u8]; 10] = [
        b"\x1b[31mred\x07",
        b"new\nline\r\t",
        b"\xff\xfe\x80",
        "\u{202e}txt.exe".as_bytes(),
        "模板 😀 e\u{301}".as_bytes(),
        &[b'n'; 255],
        b" leading and trailing ",
        b"-rf",
        b"...",
        b"*?[a]\\\"'$(x)`",
    ];
    odd.into_iter().map(name).collect()
}

/// Every name in a folder.
pub(super) fn listed(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// The files of a tree with content and mode, by path.
pub(super) fn files(folder: &Path) -> BTreeMap<String, (Vec<u8>, u32)> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            if meta.is_dir() {
                folders.push(path);
            } else {
                let below = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                let mode = meta.permissions().mode() & 0o7777;
                found.insert(below, (fs::read(&path).unwrap(), mode));
            }
        }
    }
    found
}

/// A FIFO.
pub(super) fn fifo(path: &Path) {
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    rustix::fs::mknodat(rustix::fs::CWD, path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
}

/// Somebody who exchanges two names of a folder again and again, on a thread of their own.
///
/// Invariant: the thread ends with this value, however the test does; a test that waited for a
/// condition that only it can bring about would hang instead of failing.
pub(super) struct Flipper {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flipper {
    /// Flips while both names are there.
    pub(super) fn start(folder: &Path, one: &str, other: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (one, other) = (folder.join(one), folder.join(other));
        let told = Arc::clone(&stop);
        let flip = move || renameat_with(CWD, &one, CWD, &other, RenameFlags::EXCHANGE);
        let thread =
            std::thread::spawn(move || while !told.load(Ordering::Relaxed) && flip().is_ok() {});
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Flipper {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the flipper panicked");
        }
    }
}
