//! What a person does to their own files: new folders, new names, removal.
//!
//! Paths are the user's own here, so links on the way to a folder are theirs and are followed; the
//! last name never is.
//!
//! Invariant: nothing is replaced, and nothing is renamed or removed that is not what was seen.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::Mode;
use rustix::io::Errno;
use sampan_protocol::{Name, Version};

use super::attributes::Look;
use super::failed::{about, failed, failed_naming};
use super::folder::Folder;
use super::publish::rename_to_free;
use super::remove::Removal;
use crate::disk::Disk;
use crate::failure::{Failure, Side, Situation};

/// How a removal went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// Files, links and others that are gone.
    pub files: u64,
    /// Folders that are gone.
    pub folders: u64,
    /// Names that could not be removed.
    pub failed: u64,
    /// Why, for the first thousand of them.
    pub failures: Vec<Failure>,
}

/// Makes a folder; the one that holds it must be there.
pub fn make_folder(path: &Path) -> Result<(), Failure> {
    make_folder_on(&Disk::default(), path)
}

fn make_folder_on(disk: &Disk, path: &Path) -> Result<(), Failure> {
    let (folder, name) = parent_of(disk, path)?;
    let all = Mode::RWXU | Mode::RWXG | Mode::RWXO;
    disk.make_folder(&folder, name.as_bytes(), all).map_err(|error| failed_naming(path, error))
}

/// Gives `from` another name or place, where nothing may be. `expected` is the version that it was
/// seen with.
pub fn rename(from: &Path, to: &Path, expected: Option<&Version>) -> Result<(), Failure> {
    rename_on(&Disk::default(), from, to, expected)
}

fn rename_on(
    disk: &Disk,
    from: &Path,
    to: &Path,
    expected: Option<&Version>,
) -> Result<(), Failure> {
    let (old_folder, old) = parent_of(disk, from)?;
    let (new_folder, new) = parent_of(disk, to)?;
    look_at(&old_folder, &old, from, expected)?;
    let renamed = rename_to_free(&old_folder, old.as_bytes(), &new_folder, new.as_bytes());
    renamed.map_err(|error| match error {
        Errno::EXIST | Errno::NOTEMPTY => about(Situation::Exists(Side::Local), to),
        // What remains of this error once names are excluded: a folder into itself.
        Errno::INVAL => about(Situation::InvalidTarget, to),
        error => failed_naming(to, error),
    })
}

/// Removes a file, or a folder with all that is in it. `expected` is the version that it was seen
/// with. `go_on` hears of the names removed so far and may stop it. What cannot be removed is named
/// in the answer, while the rest goes on.
pub fn remove(
    path: &Path,
    expected: Option<&Version>,
    go_on: impl FnMut(u64) -> bool,
) -> Result<Removed, Failure> {
    remove_on(&Disk::default(), path, expected, go_on)
}

fn remove_on(
    disk: &Disk,
    path: &Path,
    expected: Option<&Version>,
    mut go_on: impl FnMut(u64) -> bool,
) -> Result<Removed, Failure> {
    let (folder, name) = parent_of(disk, path)?;
    let look = look_at(&folder, &name, path, expected)?;
    if look.is_folder() {
        return Removal::new(folder, name, &look, &mut go_on).map(Removal::run);
    }
    disk.unlink(&folder, name.as_bytes()).map_err(|error| failed(path, error))?;
    Ok(Removed { files: 1, ..Removed::default() })
}

/// Removes a folder if nothing is in it.
pub fn remove_empty_folder(path: &Path) -> Result<(), Failure> {
    remove_empty_folder_on(&Disk::default(), path)
}

fn remove_empty_folder_on(disk: &Disk, path: &Path) -> Result<(), Failure> {
    let (folder, name) = parent_of(disk, path)?;
    let removed = disk.remove_folder(&folder, name.as_bytes());
    removed.map_err(|error| match error {
        // Some systems say so.
        Errno::EXIST => about(Situation::NotEmpty(Side::Local), path),
        error => failed(path, error),
    })
}

fn look_at(
    folder: &Folder,
    name: &Name,
    path: &Path,
    expected: Option<&Version>,
) -> Result<Look, Failure> {
    let look = folder.look_at(name).map_err(|error| failed(path, error))?;
    if expected.is_some_and(|expected| *expected != look.identity.version()) {
        return Err(about(Situation::TargetChanged(Side::Local), path));
    }
    Ok(look)
}

/// The folder that holds the user's own path, and the last name of it.
fn parent_of(disk: &Disk, path: &Path) -> Result<(Folder, Name), Failure> {
    let name = path.file_name().map(OsStr::as_bytes);
    let Some(name) = name.and_then(|name| Name::new(name).ok()) else {
        let situation = match path.file_name() {
            Some(_) => Situation::NameNotStorable(Side::Local),
            // The root of the disk, or a path that ends in `..`.
            None => Situation::InvalidTarget,
        };
        return Err(about(situation, path));
    };
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    Ok((Folder::open_on(disk, parent.unwrap_or(Path::new(".")))?, name))
}

#[cfg(test)]
mod tests;
