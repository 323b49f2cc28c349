//! What the disk says of a file.
//!
//! Invariant: two looks with equal [`Identity`] saw the same bytes, as far as a file system tells.

use std::time::Duration;

use rustix::fs::{FileType, Stat};
use sampan_protocol::{Attributes, EntryKind, Mode, Timestamp, Version};
use serde::{Deserialize, Serialize};

/// A file whose last change is younger may change again within the same tick of the clock of its
/// file system, without a trace. Two seconds is the coarsest tick in use (FAT).
const TICK: Duration = Duration::from_secs(2);
/// The same where times have fractions: the slowest clock that a kernel gives its files ticks every
/// hundredth of a second, and a write that has begun shows its time before its bytes.
const FINE_TICK: Duration = Duration::from_millis(20);

/// Which file, in which state. Two are equal if nothing about the file changed in between.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// The file system's number.
    pub device: u64,
    /// The file's number there.
    pub inode: u64,
    /// Bytes.
    pub size: u64,
    /// Last change of the content, as it may be set by anyone.
    pub mtime: Timestamp,
    /// Last change of anything, as the kernel saw it.
    pub ctime: Timestamp,
}

impl Identity {
    /// Opaque bytes for others to compare.
    pub fn version(&self) -> Version {
        let mut hasher = blake3::Hasher::new();
        for number in [self.device, self.inode, self.size] {
            hasher.update(&number.to_le_bytes());
        }
        for time in [self.mtime, self.ctime] {
            hasher.update(&time.seconds().to_le_bytes()).update(&time.nanos().to_le_bytes());
        }
        Version::new(&hasher.finalize().as_bytes()[..16]).expect("16 bytes are few enough")
    }

    /// Whether `other` is this file with this content. A rename alone, which touches ctime, leaves
    /// this true.
    pub(super) fn is_same_content(&self, other: &Self) -> bool {
        let content = |it: &Self| (it.device, it.inode, it.size, it.mtime);
        content(self) == content(other)
    }

    /// Whether `other` is this file or folder, whatever became of its content.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// From when on every change shows: until then one may hide behind the time of the last.
    pub(super) fn shows_changes_from(&self) -> Timestamp {
        let is_coarse = self.ctime.nanos() == 0 && self.mtime.nanos() == 0;
        self.ctime.plus(if is_coarse { TICK } else { FINE_TICK })
    }

    /// Whether a hash of the content, begun at `hashed_at`, may be kept for a file that later still
    /// has this identity. False if the last change was so recent then that another one could hide
    /// behind the same time.
    pub fn may_keep_hash(&self, hashed_at: Timestamp) -> bool {
        self.ctime.plus(TICK) < hashed_at
    }
}

/// A file, folder or anything else, as it was seen at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// What it is.
    pub kind: EntryKind,
    /// Permission bits.
    pub mode: Mode,
    /// Which one, in which state.
    pub identity: Identity,
}

impl Look {
    // The fields' types differ from platform to platform; every value here is in range on all.
    #[allow(clippy::unnecessary_cast, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    #[allow(clippy::useless_conversion, clippy::cast_lossless)]
    pub(super) fn of(stat: &Stat) -> Self {
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => EntryKind::File,
            FileType::Directory => EntryKind::Folder,
            FileType::Symlink => EntryKind::Link,
            _ => EntryKind::Other,
        };
        // No kernel gives a fraction of a second or more.
        let time = |seconds: i64, nanos: u32| Timestamp::new(seconds, nanos).unwrap_or_default();
        Self {
            kind,
            mode: Mode::new(stat.st_mode as u32),
            identity: Identity {
                device: stat.st_dev as u64,
                inode: stat.st_ino as u64,
                size: stat.st_size as u64,
                mtime: time(stat.st_mtime as i64, stat.st_mtime_nsec as u32),
                ctime: time(stat.st_ctime as i64, stat.st_ctime_nsec as u32),
            },
        }
    }

    /// The same in the words of both sides.
    pub fn attributes(&self) -> Attributes {
        Attributes {
            kind: self.kind,
            size: if self.kind == EntryKind::File { self.identity.size } else { 0 },
            mtime: self.identity.mtime,
            mode: self.mode,
            version: self.identity.version(),
        }
    }

    pub(super) fn is_folder(&self) -> bool {
        self.kind == EntryKind::Folder
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        let time = |seconds| Timestamp::new(seconds, 7).unwrap();
        Identity { device: 1, inode: 2, size: 3, mtime: time(4), ctime: time(5) }
    }

    #[test]
    fn a_version_changes_with_every_part() {
        let later = Timestamp::new(4, 8).unwrap();
        let others = [
            Identity { device: 9, ..identity() },
            Identity { inode: 9, ..identity() },
            Identity { size: 9, ..identity() },
            Identity { mtime: later, ..identity() },
            Identity { ctime: later, ..identity() },
        ];
        assert_eq!(identity().version(), identity().version());
        for other in others {
            assert_ne!(other.version(), identity().version());
        }
        assert!(identity().is_same_content(&others[4]));
        assert!(!identity().is_same_content(&others[3]));
        assert!(identity().is_same_file(&others[3]));
    }

    #[test]
    fn a_change_may_hide_for_as_long_as_a_clock_ticks() {
        let time = |seconds, nanos| Timestamp::new(seconds, nanos).unwrap();
        assert_eq!(identity().shows_changes_from(), time(5, 20_000_007));
        let coarse = Identity { mtime: time(4, 0), ctime: time(5, 0), ..identity() };
        assert_eq!(coarse.shows_changes_from(), time(7, 0));
    }

    #[test]
    fn a_hash_is_kept_only_of_a_file_at_rest() {
        let at = |seconds, nanos| Timestamp::new(seconds, nanos).unwrap();
        assert!(!identity().may_keep_hash(at(5, 7)));
        assert!(!identity().may_keep_hash(at(7, 7)));
        assert!(identity().may_keep_hash(at(7, 8)));
        assert!(!identity().may_keep_hash(at(1, 0)), "a clock that went back proves nothing");
    }
}
