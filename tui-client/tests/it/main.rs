//! The client from outside: the real program, and real servers in this process.

#![expect(clippy::unwrap_used, reason = "what helps tests fails as they do")]

mod again;
mod carry;
mod commands;
mod contact;
mod contract;
mod demo;
mod disk;
mod engine;
mod globs;
mod impostor;
mod ipv6;
mod liar;
mod looking;
mod operands;
mod own_files;
mod pipes;
mod program;
mod proxy;
mod refusals;
mod roots;
#[cfg(debug_assertions)]
mod rounds;
mod screen;
mod server;
mod signals;
mod sources;
mod system;
mod terminal;
