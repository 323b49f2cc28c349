//! The client's disk: calls that fail, power that goes, sources that change. The engine works on a
//! disk that a test disturbs, against a real server in this process.

mod each_call;
mod faults;
mod power;
mod recorder;
mod scenario;
mod sources;
