//! Changes to this machine's files that people order directly.
//!
//! Invariant: removing a tree follows no link, and never leaves the folder it began in.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode as OsMode, OFlags, openat, statat, unlinkat};
use rustix::io::Errno;
use sampan_protocol::Name;

use super::{Folder, failed, look_if_there};
use crate::failure::{Failure, Side, Situation};
use crate::place::shown;

/// Makes a folder; one that is there is an error.
pub fn make_folder(path: &Path) -> Result<(), Failure> {
    std::fs::create_dir(path).map_err(|error| failed(path, error))
}

/// Moves or renames; an existing target is an error.
pub fn rename(from: &Path, to: &Path) -> Result<(), Failure> {
    if look_if_there(to)?.is_some() {
        return Err(Failure::new(Situation::Exists(Side::Local), shown(to)));
    }
    std::fs::rename(from, to).map_err(|error| failed(from, error))
}

/// Removes a file, a link or a whole tree. `go_on` is asked before each name, so that it can be
/// stopped; says whether everything is gone.
pub fn remove(path: &Path, go_on: &mut dyn FnMut() -> bool) -> Result<bool, Failure> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Failure::new(Situation::InvalidTarget, shown(path)));
    };
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    let name = Name::new(name.as_bytes())
        .map_err(|_| Failure::new(Situation::InvalidTarget, shown(path)))?;
    remove_below(&Folder::open(parent)?, &name, go_on)
}

fn remove_below(
    folder: &Folder,
    name: &Name,
    go_on: &mut dyn FnMut() -> bool,
) -> Result<bool, Failure> {
    if !go_on() {
        return Ok(false);
    }
    let path = folder.path_of(name);
    let wrong = |error: Errno| failed(&path, error);
    let stat =
        statat(folder.handle(), name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW).map_err(wrong)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        unlinkat(folder.handle(), name.as_bytes(), AtFlags::empty()).map_err(wrong)?;
        return Ok(true);
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = openat(folder.handle(), name.as_bytes(), flags, OsMode::empty()).map_err(wrong)?;
    let inner = folder.below(std::slice::from_ref(name))?;
    let mut children = Vec::new();
    for entry in Dir::read_from(&handle).map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        if let Ok(child) = Name::new(entry.file_name().to_bytes()) {
            children.push(child);
        }
    }
    for child in &children {
        if !remove_below(&inner, child, go_on)? {
            return Ok(false);
        }
    }
    unlinkat(folder.handle(), name.as_bytes(), AtFlags::REMOVEDIR).map_err(wrong)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_tree_goes_and_what_its_links_point_to_stays() {
        let base = tempfile::tempdir().unwrap();
        let outside = base.path().join("outside");
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("kept"), b"x").unwrap();
        let tree = base.path().join("tree");
        fs::create_dir_all(tree.join("a/b")).unwrap();
        fs::write(tree.join("a/b/file"), b"x").unwrap();
        symlink(&outside, tree.join("a/link")).unwrap();

        let mut left = 2;
        let mut stop = || {
            left -= 1;
            left > 0
        };
        assert!(!remove(&tree, &mut stop).unwrap());
        assert!(remove(&tree, &mut || true).unwrap());
        assert!(!tree.exists());
        assert!(outside.join("kept").exists());
    }

    #[test]
    fn nothing_is_replaced_by_a_rename() {
        let base = tempfile::tempdir().unwrap();
        let at = |name: &str| base.path().join(name);
        fs::write(at("a"), b"a").unwrap();
        fs::write(at("b"), b"b").unwrap();
        let failure = rename(&at("a"), &at("b")).unwrap_err();
        assert_eq!(failure.situation, Situation::Exists(Side::Local));
        rename(&at("a"), &at("c")).unwrap();
        assert_eq!(fs::read(at("c")).unwrap(), b"a");
        make_folder(&at("b")).unwrap_err();
    }
}
