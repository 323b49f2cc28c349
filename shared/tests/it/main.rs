//! The protocol crate from outside, and the rules of the whole repository.

mod layering;
mod readme;
