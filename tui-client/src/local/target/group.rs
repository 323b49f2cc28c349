//! Files that are made durable and published together.
//!
//! All data is flushed, then every file gets its name, then the folders are flushed. Small files are
//! many, and a disk needs milliseconds for a flush whatever it holds, so a group shares two: on Linux
//! one call flushes a whole file system, and tells of every write there that failed since the
//! descriptor it is called on was opened, which therefore is that of the group's first file.
//!
//! Invariant: only what was taken in gets a name, not what lies under its staging name by then. A
//! flush that fails fails every member, whose staging is then removed: what such a flush left on the
//! disk is nobody's proof of anything (DESIGN 5, HARDENING 2.5). A member that fails by itself leaves
//! the others alone.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::AtFlags;
use rustix::io::Errno;
use sampan_protocol::{Mode, Name, RemotePath, Timestamp};

use super::super::attributes::{Identity, Look};
use super::super::failed::{about, failed, failed_naming};
use super::super::folder::Folder;
use super::super::publish::{Unpublished, rename_over, to_free};
use super::super::staging_name::StagingName;
use super::staged::{Staged, create_staging};
use super::{Condition, TargetRoot, in_the_way, set_attributes, unlink_staging};
use crate::failure::{Failure, Situation};
use crate::place::shown;
use crate::step::{self, Step};

/// So many files are flushed one by one; more by flushing their disk.
const FLUSHED_SINGLY: usize = 4;
/// So many folders are; with them come those on the way, the first time.
const NAMES_FLUSHED_SINGLY: usize = 8;
/// Whether files of a group have to be flushed one by one, as they are written.
const ONE_BY_ONE: bool = !cfg!(target_os = "linux");

/// A file that is there as a whole, and small enough to be.
#[derive(Clone, Copy, Debug)]
pub struct Whole<'a> {
    /// Its final place.
    pub at: &'a RemotePath,
    /// Its name until then.
    pub staging: &'a StagingName,
    /// Its bytes.
    pub content: &'a [u8],
    /// Its mode.
    pub mode: Mode,
    /// Its time.
    pub mtime: Timestamp,
    /// What must be true of its final name.
    pub condition: Condition,
}

/// Files to be published together. Dropped or aborted, it removes the staging of its whole members;
/// what came as [`Staged`] stays and can be taken up again.
#[derive(Debug)]
pub struct Group {
    root: TargetRoot,
    flush: bool,
    members: Vec<Member>,
    last: Option<(Vec<Name>, Folder, u64)>,
}

/// Why a member did not get its name, or why that is not all.
#[derive(Clone, Debug)]
pub struct NotPublished {
    /// What happened.
    pub failure: Failure,
    /// Something that may be removed lies under the staging name yet: what was staged, or what it
    /// replaced. Else nothing does, or a file that is somebody else's.
    pub is_staged: bool,
}

#[derive(Debug)]
struct Member {
    held: Held,
    staging: StagingName,
    /// The file as it was taken in.
    identity: Identity,
    /// The number of its disk.
    device: u64,
    condition: Condition,
}

#[derive(Debug)]
enum Held {
    Whole {
        at: RemotePath,
        /// Open if it may be flushed by itself, or stands for its disk.
        file: Option<OwnedFd>,
    },
    Staged(Box<Staged>),
}

impl Group {
    /// An empty one. Without `flush` its members are published, but a power cut may take them.
    pub fn new(root: &TargetRoot, flush: bool) -> Self {
        Self { root: root.clone(), flush, members: Vec::new(), last: None }
    }

    /// Files so far.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    #[cfg(test)]
    pub(super) fn open_files(&self) -> usize {
        self.members.iter().filter_map(Member::file).count()
    }

    /// Writes a small file and takes it in. If that fails, nothing of it stays.
    pub fn put(&mut self, whole: &Whole<'_>) -> Result<(), Failure> {
        let (folder, device, name) = self.folder_for(whole.at)?;
        let file = create_staging(&folder, whole.staging)?;
        let identity = match self.write(&file, whole) {
            Ok(identity) => identity,
            Err(error) => {
                unlink_staging(&folder, whole.staging)?;
                return Err(failed(&folder.path_to(&name), error));
            }
        };
        let stands_for_disk = !self.members.iter().any(|member| member.device == device);
        let is_kept = self.flush && (stands_for_disk || self.len() < FLUSHED_SINGLY);
        step::at(Step::MemberStaged);
        let held = Held::Whole { at: whole.at.clone(), file: is_kept.then_some(file) };
        let (staging, condition) = (whole.staging.clone(), whole.condition);
        self.members.push(Member { held, staging, identity, device, condition });
        Ok(())
    }

    fn write(&self, file: &OwnedFd, whole: &Whole<'_>) -> rustix::io::Result<Identity> {
        let disk = self.root.disk();
        disk.write_at(file, whole.content, 0)?;
        set_attributes(disk, file, whole.mode, whole.mtime)?;
        if self.flush && ONE_BY_ONE {
            disk.flush(file)?;
        }
        Ok(Look::of(&disk.look_open(file)?).identity)
    }

    /// Takes in a staged file, every byte of which was written and verified. If that fails, it
    /// stays staged.
    pub fn add(
        &mut self,
        staged: Staged,
        mode: Mode,
        mtime: Timestamp,
        condition: Condition,
    ) -> Result<(), Failure> {
        staged.is_worth_something()?;
        let disk = self.root.disk();
        let there = disk.look_open(&staged.file).map_err(|error| staged.failed(error))?;
        let there = Look::of(&there).identity;
        if there.size != staged.size {
            let text = format!("{} bytes are staged instead of {}", there.size, staged.size);
            return Err(about(Situation::Unexpected(text), &staged.path()));
        }
        set_attributes(disk, &staged.file, mode, mtime).map_err(|error| staged.failed(error))?;
        let staging = staged.staging.clone();
        let held = Held::Staged(Box::new(staged));
        let (identity, device) = (there, there.device);
        self.members.push(Member { held, staging, identity, device, condition });
        Ok(())
    }

    /// Flushes, names, flushes. Answers for each member, in the order in which they were taken in.
    pub fn publish(self) -> Vec<Result<(), Failure>> {
        let answers = self.publish_each().into_iter();
        answers.map(|answer| answer.map_err(|why| why.failure)).collect()
    }

    /// The same, with what lies under the staging names then.
    pub fn publish_each(mut self) -> Vec<Result<(), NotPublished>> {
        let members = std::mem::take(&mut self.members);
        if let Err(error) = self.flush_members(&members) {
            return members.iter().map(|member| Err(self.fail(member, error))).collect();
        }
        step::at(Step::FilesFlushed);
        let mut folders = Vec::new();
        let mut answers: Vec<_> =
            members.iter().map(|member| self.give_name(member, &mut folders)).collect();
        if let Err(failure) = self.flush_folders(&folders, &members) {
            for (answer, member) in answers.iter_mut().zip(&members) {
                if answer.is_ok() {
                    let subject = shown(&self.path_of(member)).to_string();
                    let failure = Failure { subject, ..failure.clone() };
                    *answer = Err(NotPublished { failure, is_staged: false });
                }
            }
        }
        step::at(Step::TargetFolderFlushed);
        answers
    }

    /// Gives the files up. Answers what could not be removed.
    pub fn abort(mut self) -> Vec<Failure> {
        self.remove_whole()
    }

    fn remove_whole(&mut self) -> Vec<Failure> {
        let mut stays = Vec::new();
        for member in std::mem::take(&mut self.members) {
            if let Held::Whole { at, .. } = &member.held {
                stays.extend(self.root.discard(at, &member.staging).err());
            }
        }
        stays
    }

    /// The folder that holds `at`, its disk, and the name there. Neighbours come one after another.
    fn folder_for(&mut self, at: &RemotePath) -> Result<(Folder, u64, Name), Failure> {
        let names = at.names();
        let Some((name, parents)) = names.split_last() else {
            return Err(super::kind_differs(self.root.path()));
        };
        if let Some((known, folder, device)) = &self.last
            && known == parents
        {
            return Ok((folder.clone(), *device, name.clone()));
        }
        let folder = self.root.folder().descend(parents).map_err(in_the_way)?;
        let device = folder.look()?.identity.device;
        self.last = Some((parents.to_vec(), folder.clone(), device));
        Ok((folder, device, name.clone()))
    }

    fn flush_members(&self, members: &[Member]) -> rustix::io::Result<()> {
        if !self.flush {
            return Ok(());
        }
        if ONE_BY_ONE || members.len() <= FLUSHED_SINGLY {
            // With mode and time, which are as much a part of what arrived as the bytes.
            let mut files = members.iter().filter_map(Member::file);
            return files.try_for_each(|file| self.root.disk().flush(file));
        }
        self.flush_disks(members)
    }

    fn flush_folders(&self, folders: &[RemotePath], members: &[Member]) -> Result<(), Failure> {
        if !self.flush {
            return Ok(());
        }
        let durable = self.root.durable();
        let needed = durable.needed(folders);
        let flush_disks =
            || self.flush_disks(members).map_err(|error| failed(self.root.path(), error));
        if ONE_BY_ONE || needed.len() <= NAMES_FLUSHED_SINGLY {
            for names in &needed {
                match self.root.flush_names(names) {
                    // A folder that may be written but not read is flushed with its disk.
                    Err(failure) if matches!(failure.situation, Situation::PermissionDenied(_)) => {
                        flush_disks()?;
                    }
                    flushed => flushed?,
                }
            }
        } else {
            flush_disks()?;
        }
        durable.note(folders);
        Ok(())
    }

    fn flush_disks(&self, members: &[Member]) -> rustix::io::Result<()> {
        disks(members).try_for_each(|(_, disk)| self.root.disk().flush_disk(disk))
    }

    /// Gives a member its name, and notes its folder.
    fn give_name(
        &mut self,
        member: &Member,
        folders: &mut Vec<RemotePath>,
    ) -> Result<(), NotPublished> {
        let not_published = |is_staged| move |failure| NotPublished { failure, is_staged };
        let (folder, name) = match &member.held {
            Held::Staged(staged) => (staged.folder.clone(), staged.name.clone()),
            Held::Whole { at, .. } => {
                let (folder, _, name) = self.folder_for(at).map_err(not_published(true))?;
                (folder, name)
            }
        };
        let staging = member.staging.as_str();
        match folder.disk().look(&folder, staging, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) if !Look::of(&stat).identity.is_same_file(&member.identity) => {
                // Somebody else's by now: it is neither published nor removed.
                let failure = about(Situation::NotVerified, &folder.path_to(&name));
                return Err(not_published(false)(failure));
            }
            // If it is gone or cannot be seen, the renaming says so.
            Ok(_) | Err(_) => {}
        }
        let published = match &member.condition {
            Condition::Absent => to_free(&folder, staging, &name),
            Condition::Replaces(victim) => rename_over(&folder, staging, &name, victim),
        };
        let Err(why) = published else {
            step::at(Step::TargetRenamed);
            let parent = member.parent();
            if folders.last() != Some(&parent) {
                folders.push(parent);
            }
            return Ok(());
        };
        let path = folder.path_to(&name);
        let failure = match why {
            Unpublished::Stuck(error, at) => {
                let failure = failed(&folder.path().join(at), error);
                return Err(not_published(false)(failure));
            }
            Unpublished::Remains(error) => {
                let failure = failed(&folder.path().join(staging), error);
                return Err(not_published(true)(failure));
            }
            Unpublished::Refused(situation) => about(situation, &path),
            Unpublished::Failed(Errno::NOTDIR | Errno::ISDIR) => super::kind_differs(&path),
            Unpublished::Failed(error) => failed_naming(&path, error),
        };
        if member.is_whole() {
            unlink_staging(&folder, &member.staging).map_err(not_published(true))?;
        }
        Err(not_published(!member.is_whole())(failure))
    }

    /// A member of a group whose flush failed: what was staged is worth nothing now.
    fn fail(&self, member: &Member, error: Errno) -> NotPublished {
        let (failure, is_staged) = match &member.held {
            Held::Whole { at, .. } => match self.root.discard(at, &member.staging) {
                Ok(()) => (failed(&self.path_of(member), error), false),
                Err(stays) => (stays, true),
            },
            // If it could not be removed, it is empty, and there.
            Held::Staged(staged) => (staged.lose(error), true),
        };
        NotPublished { failure, is_staged }
    }

    fn path_of(&self, member: &Member) -> PathBuf {
        match &member.held {
            Held::Whole { at, .. } => self.root.folder().path_of(&at.names()),
            Held::Staged(staged) => staged.path(),
        }
    }
}

impl Member {
    fn is_whole(&self) -> bool {
        matches!(self.held, Held::Whole { .. })
    }

    /// The way to its folder below the chosen one.
    fn parent(&self) -> RemotePath {
        match &self.held {
            Held::Whole { at, .. } => at.parent().unwrap_or_default(),
            Held::Staged(staged) => staged.parent.clone(),
        }
    }

    fn file(&self) -> Option<&OwnedFd> {
        match &self.held {
            Held::Whole { file, .. } => file.as_ref(),
            Held::Staged(staged) => Some(&staged.file),
        }
    }
}

/// One open file of each disk, opened before anything of the group was written there.
fn disks(members: &[Member]) -> impl Iterator<Item = (u64, BorrowedFd<'_>)> {
    let mut known = Vec::new();
    members.iter().filter_map(move |member| {
        let file = member.file()?;
        if known.contains(&member.device) {
            return None;
        }
        known.push(member.device);
        Some((member.device, file.as_fd()))
    })
}

impl Drop for Group {
    fn drop(&mut self) {
        for failure in self.remove_whole() {
            tracing::warn!(path = failure.subject, situation = ?failure.situation, "a staged file stays");
        }
    }
}
