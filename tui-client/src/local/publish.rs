//! Giving a file its final name without ever losing another one.
//!
//! Invariant: whatever is replaced was looked at after it could no longer be reached under its
//! name, where the file system can exchange two names; and right before, where it cannot.

use rustix::fd::AsFd;
use rustix::fs::{AtFlags, RenameFlags};
use rustix::io::Errno;
use sampan_protocol::Name;

use super::attributes::{Identity, Look};
use super::folder::Folder;
use crate::failure::{Side, Situation};

/// Why a file did not get its name.
#[derive(Debug)]
pub(super) enum Unpublished {
    /// Something is not as it was decided about.
    Refused(Situation),
    /// The operating system would not.
    Failed(Errno),
    /// It has its name, but what it replaced could not be removed, and lies under the name of the
    /// staged file now.
    Remains(Errno),
    /// The operating system would not halfway: the user's own file, which nobody decided about, lies
    /// under this name now, and must stay.
    Stuck(Errno, String),
}

impl From<Errno> for Unpublished {
    fn from(error: Errno) -> Self {
        Self::Failed(error)
    }
}

/// Renames `old` to `new`, where nothing may be, in one step where possible. Fails with
/// [`Errno::EXIST`] if something is.
pub(super) fn rename_to_free(
    from: &Folder,
    old: &[u8],
    to: &Folder,
    new: &[u8],
) -> Result<(), Errno> {
    match from.disk().rename((from.as_fd(), old), (to.as_fd(), new), RenameFlags::NOREPLACE) {
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
        renamed => return renamed,
    }
    rename_to_free_by_link(from, old, to, new)
}

/// For file systems that cannot do it in one step, NFS among them: a second name is made, which
/// fails if it exists, then the first is taken away. Where there are no second names (FAT), or for a
/// folder, the name is looked at right before: a file that appears in that moment is lost.
fn rename_to_free_by_link(from: &Folder, old: &[u8], to: &Folder, new: &[u8]) -> Result<(), Errno> {
    let disk = from.disk();
    match disk.link((from.as_fd(), old), (to.as_fd(), new)) {
        Ok(()) => return disk.unlink(from, old),
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {}
        Err(error) => return Err(error),
    }
    match disk.look(to, new, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => {
            disk.rename((from.as_fd(), old), (to.as_fd(), new), RenameFlags::empty())
        }
        Err(error) => Err(error),
    }
}

/// Renames the staged file `old` to `new`, in the same folder, in the place of `victim`.
pub(super) fn rename_over(
    folder: &Folder,
    old: &str,
    new: &Name,
    victim: &Identity,
) -> Result<(), Unpublished> {
    let disk = folder.disk();
    let (staged, target) = ((folder.as_fd(), old.as_bytes()), (folder.as_fd(), new.as_bytes()));
    let seen = match folder.look_at(new) {
        Err(Errno::NOENT) => return to_free(folder, old, new),
        seen => seen?,
    };
    if seen.is_folder() {
        return Err(Unpublished::Refused(Situation::KindDiffers(Side::Local)));
    }
    if seen.identity != *victim {
        return Err(Unpublished::Refused(Situation::TargetChanged(Side::Local)));
    }
    match disk.rename(staged, target, RenameFlags::EXCHANGE) {
        Ok(()) => {}
        Err(Errno::NOENT) => return to_free(folder, old, new),
        // The look above is then all there is: a change in this moment is lost.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            return Ok(disk.rename(staged, target, RenameFlags::empty())?);
        }
        Err(error) => return Err(error.into()),
    }
    let displaced = disk.look(folder, old, AtFlags::SYMLINK_NOFOLLOW);
    // The exchange itself touched ctime.
    let is_victim = |look: Look| !look.is_folder() && look.identity.is_same_content(victim);
    let why = match displaced.map(|stat| is_victim(Look::of(&stat))) {
        Ok(true) => return disk.unlink(folder, old.as_bytes()).map_err(Unpublished::Remains),
        Ok(false) => Unpublished::Refused(Situation::TargetChanged(Side::Local)),
        // Nobody knows what was displaced, so nobody may remove it.
        Err(error) => Unpublished::Failed(error),
    };
    match disk.rename(staged, target, RenameFlags::EXCHANGE) {
        Ok(()) => Err(why),
        Err(error) => Err(Unpublished::Stuck(error, set_aside(folder, old))),
    }
}

/// Takes a user's file from the name of a staged one, under which a later run would remove it, to one
/// that is seen. Answers what it is called then: as before, if that fails too.
fn set_aside(folder: &Folder, staging: &str) -> String {
    let aside = format!("{}.displaced", staging.trim_start_matches('.'));
    match rename_to_free(folder, staging.as_bytes(), folder, aside.as_bytes()) {
        Ok(()) => aside,
        Err(error) => {
            tracing::warn!(%error, staging, "a file that was displaced stays under this name");
            staging.to_owned()
        }
    }
}

/// Renames the staged file `old` to `new`, in the same folder, where nothing may be.
pub(super) fn to_free(folder: &Folder, old: &str, new: &Name) -> Result<(), Unpublished> {
    match rename_to_free(folder, old.as_bytes(), folder, new.as_bytes()) {
        Err(Errno::EXIST) => {
            let is_folder = folder.look_at(new).is_ok_and(|look| look.is_folder());
            Err(Unpublished::Refused(if is_folder {
                Situation::KindDiffers(Side::Local)
            } else {
                Situation::TargetChanged(Side::Local)
            }))
        }
        renamed => Ok(renamed?),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::local::testing::{listed, name};
    use crate::local::{Folder, look};

    #[test]
    fn both_ways_to_a_free_name_refuse_a_taken_one() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let at = &folder;
        for by_link in [false, true] {
            let rename = |old: &[u8], new: &[u8]| {
                if by_link {
                    rename_to_free_by_link(at, old, at, new)
                } else {
                    rename_to_free(at, old, at, new)
                }
            };
            fs::write(dir.path().join("a"), "a").unwrap();
            fs::write(dir.path().join("b"), "b").unwrap();
            assert_eq!(rename(b"a", b"b"), Err(Errno::EXIST));
            assert_eq!(rename(b"gone", b"c"), Err(Errno::NOENT));
            rename(b"a", b"c").unwrap();
            assert_eq!(listed(dir.path()), ["b", "c"]);
            fs::remove_file(dir.path().join("c")).unwrap();
            // A folder has no second name.
            fs::create_dir(dir.path().join("f")).unwrap();
            assert_eq!(rename(b"f", b"b"), Err(Errno::EXIST));
            rename(b"f", b"g").unwrap();
            fs::remove_dir(dir.path().join("g")).unwrap();
        }
    }

    #[test]
    fn only_the_victim_that_was_decided_about_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        let target = dir.path().join("t");
        let stage = || fs::write(dir.path().join("s"), "new").unwrap();
        let over = |victim: &Identity| rename_over(&folder, "s", &name(b"t"), victim);
        let changed = |result| {
            matches!(result, Err(Unpublished::Refused(Situation::TargetChanged(Side::Local))))
        };
        stage();
        fs::write(&target, "old").unwrap();
        let victim = look(&target).unwrap().identity;
        over(&victim).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert_eq!(listed(dir.path()), ["t"]);

        stage();
        assert!(changed(over(&victim)), "another file");
        let victim = look(&target).unwrap().identity;
        fs::write(&target, "longer").unwrap();
        assert!(changed(over(&victim)), "another content");
        assert_eq!(fs::read(&target).unwrap(), b"longer");
        assert_eq!(fs::read(dir.path().join("s")).unwrap(), b"new");

        fs::remove_file(&target).unwrap();
        over(&victim).unwrap();
        assert_eq!(listed(dir.path()), ["t"], "a victim that is gone needs no replacing");

        stage();
        fs::remove_file(&target).unwrap();
        fs::create_dir(&target).unwrap();
        let folder_there = look(&target).unwrap().identity;
        let refused = over(&folder_there);
        assert!(
            matches!(refused, Err(Unpublished::Refused(Situation::KindDiffers(Side::Local)))),
            "{refused:?}"
        );
    }
}
