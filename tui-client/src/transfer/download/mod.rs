//! Carrying down: big files by blocks, small ones many at a time.

mod file;
mod pack;
mod reading;

pub(super) use file::{discard, download_file};
pub(super) use pack::download_pack;
