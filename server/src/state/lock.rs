//! One process at a time works on a data folder.

use std::fs::File;
use std::io::{Read, Seek, Write};

use rustix::fs::{FlockOperation, flock};

use super::{DataFolder, StateError};

const LOCK_FILE: &str = "lock";

/// The claim on a data folder; given back when dropped, or by the kernel when the process ends.
#[derive(Debug)]
pub struct DataLock {
    _file: File,
}

impl DataFolder {
    /// Claims the folder for this process, or says who has it.
    pub fn lock(&self) -> Result<DataLock, StateError> {
        let mut file = self.open_file(LOCK_FILE)?;
        let path = self.path().join(LOCK_FILE);
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let pid = pid_in(&mut file).map_err(StateError::io("read", &path))?;
                return Err(StateError::Locked { path: self.path().to_owned(), pid });
            }
            Err(error) => return Err(StateError::io("lock", &path)(error.into())),
        }
        let write_pid = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write_pid(&mut file).map_err(StateError::io("write", &path))?;
        Ok(DataLock { _file: file })
    }
}

fn pid_in(file: &mut File) -> std::io::Result<Option<u32>> {
    let mut text = String::new();
    file.take(32).read_to_string(&mut text)?;
    Ok(text.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_is_told_who_is_first() {
        let parent = tempfile::tempdir().unwrap();
        let folder = DataFolder::open(&parent.path().join("data")).unwrap();
        let first = folder.lock().unwrap();
        let error = folder.lock().unwrap_err();
        let expected = format!("in use by another sampand (pid {})", std::process::id());
        assert!(error.to_string().contains(&expected), "{error}");
        drop(first);
        folder.lock().unwrap();
    }
}
