//! Fuzzing of everything that reads bytes from a peer. See `README.md`.

mod catalogue;
mod packs;
mod targets;

/// Runs the target of this name.
///
/// # Panics
/// If the protocol crate has a fault, or there is no such target.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = targets::TARGETS
        .iter()
        .find(|(known, _)| *known == name)
        .expect("each fuzz target names one that exists");
    target(data);
}
