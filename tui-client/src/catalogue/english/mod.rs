//! English: `engine` for failures, and a section for each of the commands and the screen.

pub mod cli;
mod counted;
pub mod engine;
pub mod screen;
