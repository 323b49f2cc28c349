//! The program `sampan`.

fn main() {}
