//! The client's disk: calls that fail, power that goes, sources that change. The engine works on a
//! disk that a test disturbs, against a real server in this process.

#![expect(clippy::print_stdout, reason = "how much was looked at is part of the outcome")]

mod each_call;
mod faults;
mod own_files;
mod power;
mod power_own;
mod recorder;
mod scenario;
mod sources;
