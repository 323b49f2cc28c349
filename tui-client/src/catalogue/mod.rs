//! Every text that a person reads, one section a file.
//!
//! Code elsewhere names a text and hands over what it is about; it never joins sentences itself. A
//! second language is a second folder with the same functions, chosen here.
//!
//! Invariant: names from disks and servers come in already escaped.

mod english;

pub use english::*;
