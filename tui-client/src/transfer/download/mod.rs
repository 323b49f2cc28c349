//! Carrying down: big files by blocks, small ones many at a time.

mod content;
mod file;
mod pack;
mod reading;

pub use content::Content;
pub(super) use file::{discard, download_file};
pub(super) use pack::download_pack;
