//! Root, on a data folder that belongs to another user, becomes that user.
//!
//! Otherwise a command as root would leave files behind that the server cannot read. The whole
//! process changes, before it has a second thread, and for good: nothing is done with more rights
//! than the folder's owner has.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use super::StateError;

/// Gives root's rights away in favour of the folder's owner, if there is such a folder and its
/// owner is not root. Does nothing for other users. Call it before any thread is started.
pub fn act_as_owner(data: &Path) -> Result<(), StateError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let metadata = match std::fs::metadata(data) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StateError::io("look at", data)(error)),
    };
    if metadata.uid() == 0 {
        return Ok(());
    }
    become_user(Uid::from_raw(metadata.uid()), Gid::from_raw(metadata.gid()))
        .map_err(StateError::io("act as the owner of", data))
}

fn become_user(user: Uid, group: Gid) -> io::Result<()> {
    // These calls change one thread; with a second one it would keep root's rights.
    let threads = std::fs::read_dir("/proc/self/task")?.count();
    if threads != 1 {
        return Err(io::Error::other("the process has other threads already"));
    }
    set_thread_groups(&[group])?;
    set_thread_res_gid(group, group, group)?;
    set_thread_res_uid(user, user, user)?;
    Ok(())
}
