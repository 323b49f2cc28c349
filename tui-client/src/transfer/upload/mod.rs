//! Carrying up: big files by blocks, small ones in packs.

mod block;
mod file;
mod pack;

pub(super) use file::{abort_upload, upload_file};
pub(super) use pack::{PackMember, upload_pack};
