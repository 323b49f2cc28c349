//! The transfer engine against a real server in this process, over links that break.

mod conflicts;
mod faults;
mod queue;
mod resume;
pub(crate) mod rig;
mod trees;
