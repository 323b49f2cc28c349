//! The protocol crate from outside, and the rules of the whole repository.

#[path = "../../fuzz/src/catalogue.rs"]
mod catalogue;
mod corpus;
mod layering;
#[path = "../../fuzz/src/packs.rs"]
mod packs;
mod protocol_md;
mod readme;
mod refusals;
mod samples;
#[path = "../../fuzz/src/targets.rs"]
mod targets;
