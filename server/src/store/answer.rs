//! What a change answers, and what is kept to answer it again.

use sampan_protocol::Attributes;
use serde::{Deserialize, Serialize};

/// What lies at the changed path now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// All but the name.
    pub attributes: Attributes,
}

/// What went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removed {
    /// Files and folders.
    pub entries: u64,
    /// Bytes that are free again.
    pub bytes: u64,
}
