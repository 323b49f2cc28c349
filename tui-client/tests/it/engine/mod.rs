//! The transfer engine against a real server in this process, over links that break.

mod conflicts;
mod proxy;
mod queue;
mod resume;
mod rig;
mod trees;
