//! English: `engine` for failures and commands, and a section for the screen.

pub mod engine;
