//! Downloads on their way, as a journal names them, so that what nobody comes back to can be removed.
//!
//! Invariant: what cannot be read back is no file; a name is only ever that of a staged download, in
//! a place below a folder that the user chose.

use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use sampan_protocol::RemotePath;

use crate::local::StagingName;
use crate::place::local_path;

/// A file that a download writes before it has its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StagedFile {
    /// The folder that the user chose, absolute.
    pub root: PathBuf,
    /// Where below it the file will be; it is staged beside that.
    pub at: RemotePath,
    /// What it is called until then.
    pub staging: StagingName,
}

impl StagedFile {
    /// `staging name | length of the root u32 LE | root | place`.
    pub(super) fn write(&self) -> Vec<u8> {
        let root = self.root.as_os_str().as_bytes();
        let mut bytes = self.staging.as_str().as_bytes().to_vec();
        bytes.extend_from_slice(&u32::try_from(root.len()).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(root);
        bytes.extend_from_slice(&self.at.to_bytes());
        bytes
    }

    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (name, rest) = bytes.split_at_checked(StagingName::of(0).as_str().len())?;
        let staging = StagingName::read(name)?;
        let (length, rest) = rest.split_first_chunk()?;
        let (root, at) = rest.split_at_checked(u32::from_le_bytes(*length).try_into().ok()?)?;
        let root = local_path(root.to_vec());
        let at = RemotePath::parse(at).ok().filter(|at| !at.is_home())?;
        root.is_absolute().then_some(Self { root, at, staging })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_staged_file_comes_back_as_it_was_and_nothing_else_is_one() {
        let at = |path: &[u8]| RemotePath::parse(path).unwrap();
        let file = StagedFile {
            root: local_path(b"/t\xff".to_vec()),
            at: at(b"a/\xfe"),
            staging: StagingName::of(7),
        };
        let bytes = file.write();
        assert_eq!(StagedFile::read(&bytes), Some(file.clone()));
        let of = |change: &dyn Fn(&mut StagedFile)| {
            let mut other = file.clone();
            change(&mut other);
            StagedFile::read(&other.write())
        };
        assert_eq!(of(&|file| file.root = "t".into()), None, "it is relative");
        assert_eq!(of(&|file| file.at = RemotePath::home()), None, "it is no file");
        for cut in [0, 10, 28, 30, 34] {
            assert_eq!(StagedFile::read(&bytes[..cut]), None, "{cut}");
        }
        let mut foreign = bytes;
        foreign[..8].copy_from_slice(b"../etc/x");
        assert_eq!(StagedFile::read(&foreign), None, "it is no staged download");
    }
}
