//! What the disk says of a file, and the version that clients compare.
//!
//! Invariant: a version changes whenever a file's bytes, size or attributes may have; it says
//! nothing else, and no name or number of the disk can be read out of it.

use rustix::fs::{FileType, Statx, StatxAttributes, StatxFlags};
use sampan_protocol::{Attributes, EntryKind, Mode, Timestamp, Version};
use serde::{Deserialize, Serialize};

use super::db::ledger::Inode;
use crate::quota::Charge;

/// Bytes of a version: enough that two states never meet by chance.
const VERSION_BYTES: usize = 16;

/// A file as the disk describes it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Meta {
    pub(super) kind: EntryKind,
    pub(super) inode: u64,
    /// Bytes; of a folder or link 0.
    pub(super) size: u64,
    pub(super) mode: Mode,
    pub(super) mtime: Timestamp,
    pub(super) ctime: Timestamp,
    /// When its inode was made, if the file system says so: tells two files of one inode apart.
    pub(super) born: Option<Timestamp>,
    /// Something is mounted there: what is described is what is mounted.
    pub(super) is_mount: bool,
    device: (u32, u32),
}

/// Names a file across renames and restarts: what a rename changes (ctime) and what a restart may
/// change (the device's number) are left out.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct FileId {
    inode: u64,
    pub(super) size: u64,
    mtime: Timestamp,
    is_folder: bool,
    /// Not in what an older version wrote.
    #[serde(default)]
    born: Option<Timestamp>,
}

impl FileId {
    /// As credits name it.
    pub(super) fn inode(&self) -> Inode {
        Inode { number: self.inode, born: self.born }
    }
}

impl PartialEq for FileId {
    fn eq(&self, other: &Self) -> bool {
        let known = |id: &Self| (id.size, id.mtime, id.is_folder);
        known(self) == known(other) && self.inode().is(other.inode())
    }
}

impl Meta {
    pub(super) fn of(stat: &Statx) -> Self {
        let kind = match FileType::from_raw_mode(stat.stx_mode.into()) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Folder,
            FileType::Symlink => EntryKind::Link,
            _ => EntryKind::Other,
        };
        // The kernel never gives a fraction of a second or more.
        let time = |seconds, nanos| Timestamp::new(seconds, nanos).unwrap_or_default();
        Self {
            kind,
            inode: stat.stx_ino,
            size: if kind == EntryKind::File { stat.stx_size } else { 0 },
            mode: Mode::new(stat.stx_mode.into()),
            mtime: time(stat.stx_mtime.tv_sec, stat.stx_mtime.tv_nsec),
            ctime: time(stat.stx_ctime.tv_sec, stat.stx_ctime.tv_nsec),
            born: StatxFlags::from_bits_retain(stat.stx_mask)
                .contains(StatxFlags::BTIME)
                .then(|| time(stat.stx_btime.tv_sec, stat.stx_btime.tv_nsec)),
            is_mount: stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
            device: (stat.stx_dev_major, stat.stx_dev_minor),
        }
    }

    pub(super) fn version(&self) -> Version {
        let mut state = [0; 56];
        let parts: [&[u8]; 8] = [
            &self.device.0.to_le_bytes(),
            &self.device.1.to_le_bytes(),
            &self.inode.to_le_bytes(),
            &self.size.to_le_bytes(),
            &self.mtime.seconds().to_le_bytes(),
            &self.mtime.nanos().to_le_bytes(),
            &self.ctime.seconds().to_le_bytes(),
            &self.ctime.nanos().to_le_bytes(),
        ];
        let mut at = 0;
        for part in parts {
            state[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        let hash = blake3::hash(&state[..at]);
        Version::new(&hash.as_bytes()[..VERSION_BYTES]).expect("16 bytes are few enough")
    }

    pub(super) fn attributes(&self) -> Attributes {
        Attributes {
            kind: self.kind,
            size: self.size,
            mtime: self.mtime,
            mode: self.mode,
            version: self.version(),
        }
    }

    pub(super) fn is_folder(&self) -> bool {
        self.kind == EntryKind::Folder
    }

    pub(super) fn id(&self) -> FileId {
        let is_folder = self.is_folder();
        // A folder's time changes with what is in it.
        let mtime = if is_folder { Timestamp::default() } else { self.mtime };
        FileId { inode: self.inode, size: self.size, mtime, is_folder, born: self.born }
    }

    /// As credits name it.
    pub(super) fn inode(&self) -> Inode {
        Inode { number: self.inode, born: self.born }
    }

    /// What it is charged with. Links and devices, which only an admin can put there, count as
    /// entries without bytes.
    pub(super) fn charge(&self) -> Charge {
        Charge::entry(self.size)
    }
}

/// Permission bits that the store keeps: its own process must be able to work on the file.
pub(super) fn kept_mode(mode: Mode, is_folder: bool) -> Mode {
    Mode::new(mode.bits() | if is_folder { 0o700 } else { 0o600 })
}
