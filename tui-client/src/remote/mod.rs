//! The server, as the rest of the client sees it.

mod link;

pub use link::LinkState;
