//! The server from outside: real TLS on a free port, a raw client, the real binary.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod admin;
mod cli;
mod contract;
mod files;
mod harness;
mod hostile;
mod live;
mod login;
mod manual;
mod paths;
mod peer;
mod program;
mod refusals;
mod scale;
mod scan;
mod served;
mod session;
mod settings;
mod signals;
mod wire;
