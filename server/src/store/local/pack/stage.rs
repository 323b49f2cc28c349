//! A pack as it arrives.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sampan_protocol::limits::{MAX_PACK_BYTES, MAX_PACK_MEMBER_BYTES, MAX_PACK_MEMBERS};
use sampan_protocol::{ChangeKey, Mode, RemotePath, Root};
use serde::Serialize;

use super::super::Inner;
use super::super::attributes::{FileId, kept_mode};
use super::super::change::Refused;
use super::super::db::answers::{Digest, Request};
use super::super::disk::Open;
use super::super::encoding::encode;
use super::super::failure::while_doing;
use super::super::staging;
use super::super::step::Step;
use crate::store::{AccountId, PackContent, PackItem, Result, Situation, Target};

/// The digest of a pack, which is known only at its end.
#[derive(Default)]
pub(in super::super) struct PackDigest {
    hasher: blake3::Hasher,
}

impl PackDigest {
    /// Takes a member; its root stands for its bytes.
    pub(in super::super) fn take(&mut self, path: &RemotePath, mode: Mode, content: &PackContent) {
        #[derive(Serialize)]
        enum Content<'a> {
            Folder,
            File(u64, &'a sampan_protocol::Timestamp, &'a Root, &'a Target),
        }
        let content = match content {
            PackContent::Folder => Content::Folder,
            PackContent::File { bytes, mtime, root, if_target } => {
                Content::File(bytes.len() as u64, mtime, root, if_target)
            }
        };
        self.hasher.update(&encode(&(path, mode, content)));
    }

    pub(in super::super) fn finish(&self, account: AccountId, key: ChangeKey) -> Request {
        let mut digest = [0; 16];
        digest.copy_from_slice(&self.hasher.finalize().as_bytes()[..16]);
        Request { account, key, digest: Digest(digest) }
    }
}

/// A member that is staged.
pub(in super::super) struct StagedMember {
    pub(super) path: RemotePath,
    pub(super) content: StagedContent,
}

pub(super) enum StagedContent {
    Folder(Mode),
    /// Lies in staging under its index.
    File(FileId, Target),
    Refused(Refused),
}

/// What is staged of a pack. Dropped, it goes from staging.
pub(in super::super) struct StagedPack {
    inner: Arc<Inner>,
    pub(in super::super) name: String,
    pub(super) folder: OwnedFd,
    pub(super) members: Vec<StagedMember>,
    pub(in super::super) digest: PackDigest,
    bytes: u64,
    kept: AtomicBool,
    place: Place,
}

/// Packs of one account that may arrive at once: as many as it may have connections.
const MAX_OPEN_PACKS: usize = 64;

/// Bytes of the paths in all of them: a pack's files go to the disk as they come, its paths wait in
/// memory. Ten times what paths of a hundred bytes need.
pub(in super::super) const MAX_PATH_BYTES_OF_PACKS: usize =
    if cfg!(test) { 2 << 20 } else { 64 << 20 };

/// What an account's packs hold while they arrive.
#[derive(Default)]
struct Held {
    packs: usize,
    path_bytes: usize,
}

/// What the arriving packs of each account hold now.
#[derive(Default)]
pub(in super::super) struct OpenPacks(Mutex<HashMap<AccountId, Held>>);

impl OpenPacks {
    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One pack's place among those of its account.
struct Place {
    inner: Arc<Inner>,
    account: AccountId,
    path_bytes: usize,
}

impl Place {
    fn take(inner: &Arc<Inner>, account: AccountId) -> Result<Self> {
        let mut packs = inner.packs.lock();
        let held = packs.entry(account).or_default();
        if held.packs >= MAX_OPEN_PACKS {
            let what = format!("more than {MAX_OPEN_PACKS} packs at once");
            return Err(Situation::LimitExceeded { what }.into());
        }
        held.packs += 1;
        drop(packs);
        Ok(Self { inner: inner.clone(), account, path_bytes: 0 })
    }

    /// Takes room for a member's path.
    fn take_path(&mut self, path: &RemotePath) -> Result<()> {
        let mut packs = self.inner.packs.lock();
        let held = packs.entry(self.account).or_default();
        let bytes = path.as_bytes().len();
        if held.path_bytes + bytes > MAX_PATH_BYTES_OF_PACKS {
            let what =
                format!("more than {MAX_PATH_BYTES_OF_PACKS} bytes of paths in packs at once");
            return Err(Situation::LimitExceeded { what }.into());
        }
        held.path_bytes += bytes;
        self.path_bytes += bytes;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut packs = self.inner.packs.lock();
        if let Some(held) = packs.get_mut(&self.account) {
            held.packs -= 1;
            held.path_bytes -= self.path_bytes;
            if held.packs == 0 {
                packs.remove(&self.account);
            }
        }
    }
}

impl Drop for StagedPack {
    fn drop(&mut self) {
        if !self.kept.load(Ordering::Relaxed) {
            // Not here: whoever is dropped may be on an async thread.
            self.inner.sweep_later(std::mem::take(&mut self.name));
        }
    }
}

impl StagedPack {
    pub(in super::super) fn new(inner: Arc<Inner>, account: AccountId) -> Result<Self> {
        let place = Place::take(&inner, account)?;
        let name = staging::fresh(staging::PACK);
        let failed = while_doing("making a pack's staging");
        let staging = &inner.layout.staging;
        let mode = Mode::new(0o700);
        inner.disk.make_folder(staging, name.as_bytes(), mode).map_err(&failed)?;
        let folder = inner.disk.open_beneath(staging, name.as_bytes(), Open::Folder);
        let folder = folder.map_err(&failed)?;
        let digest = PackDigest::default();
        Ok(Self {
            inner,
            name,
            folder,
            members: Vec::new(),
            digest,
            bytes: 0,
            place,
            kept: AtomicBool::new(false),
        })
    }

    /// Leaves staging to the pack's intent.
    pub(super) fn keep(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }

    /// Stages some members. A member that is not what it says is refused alone.
    pub(in super::super) fn stage(&mut self, items: Vec<PackItem>) -> Result<()> {
        self.inner.check_disk_floor()?;
        for item in items {
            let PackItem::Member { path, mode, content } = item else { continue };
            if self.members.len() == MAX_PACK_MEMBERS {
                let what = format!("more than {MAX_PACK_MEMBERS} members in a pack");
                return Err(Situation::LimitExceeded { what }.into());
            }
            self.place.take_path(&path)?;
            self.digest.take(&path, mode, &content);
            let content = match content {
                PackContent::Folder => StagedContent::Folder(kept_mode(mode, true)),
                PackContent::File { bytes, mtime, root, if_target } => {
                    self.bytes += bytes.len() as u64;
                    if self.bytes > MAX_PACK_BYTES {
                        let what = format!("more than {MAX_PACK_BYTES} bytes in a pack");
                        return Err(Situation::LimitExceeded { what }.into());
                    }
                    if let Err(situation) = check(&path, &bytes, root) {
                        StagedContent::Refused(Refused { situation, path: Some(path.clone()) })
                    } else {
                        let file = self.stage_file(&bytes, kept_mode(mode, false), mtime);
                        let file = file.map_err(while_doing("staging a pack"))?;
                        StagedContent::File(file, if_target)
                    }
                }
            };
            self.members.push(StagedMember { path, content });
            self.inner.step(Step::PackMemberStaged)?;
        }
        Ok(())
    }

    fn stage_file(
        &self,
        bytes: &[u8],
        mode: Mode,
        mtime: sampan_protocol::Timestamp,
    ) -> std::io::Result<FileId> {
        let disk = &self.inner.disk;
        let name = self.members.len().to_string();
        let file = disk.create(&self.folder, name.as_bytes(), mode)?;
        disk.write_at(&file, bytes, 0)?;
        disk.set_mtime(&file, mtime)?;
        let meta = disk.stat_open(&file)?;
        // The process' mask may have taken bits away.
        if meta.mode != mode {
            disk.set_mode(&file, mode)?;
        }
        Ok(meta.id())
    }

    /// Makes all that is staged durable.
    ///
    /// One flush of the whole file system costs a pack of a thousand files about what two of their
    /// own flushes would, and pays for every pack that waits. What others write beside is in it
    /// too; that much is bounded by the background flushes of uploads. A few files are cheaper to
    /// flush each.
    pub(in super::super) fn flush(&self) -> Result<()> {
        let disk = &self.inner.disk;
        let files = self.members.iter().enumerate();
        let files = files.filter(|(_, member)| matches!(member.content, StagedContent::File(..)));
        let failed = while_doing("flushing a pack");
        if files.clone().count() > FLUSHED_ALONE {
            return disk.flush_all(&self.folder).map_err(failed);
        }
        for (index, _) in files {
            let name = index.to_string();
            disk.open_beneath(&self.folder, name.as_bytes(), Open::OurFile)
                .and_then(|file| disk.flush_file(file))
                .map_err(&failed)?;
        }
        // The intent must never name what a power cut took.
        disk.flush_folder(&self.folder)
            .and_then(|()| disk.flush_folder(&self.inner.layout.staging))
            .map_err(failed)
    }
}

/// Up to so many files are flushed each for itself.
const FLUSHED_ALONE: usize = 4;

fn check(path: &RemotePath, bytes: &[u8], root: Root) -> std::result::Result<(), Situation> {
    if path.is_home() {
        Err(Situation::InvalidTarget)
    } else if bytes.len() as u64 > MAX_PACK_MEMBER_BYTES {
        Err(Situation::TooLargeForPack)
    } else if blake3::hash(bytes).as_bytes() != root.as_bytes() {
        Err(Situation::RootMismatch)
    } else {
        Ok(())
    }
}
