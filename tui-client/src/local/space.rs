//! What a disk can hold.

use std::path::Path;

use rustix::fs::statvfs;

/// Bytes that this user may still write where `path` lies, and bytes in all; `None` where the system
/// cannot say.
pub fn space(path: &Path) -> Option<(u64, u64)> {
    let said = statvfs(path).ok()?;
    let bytes = |blocks: u64| blocks.saturating_mul(said.f_frsize);
    Some((bytes(said.f_bavail), bytes(said.f_blocks)))
}
