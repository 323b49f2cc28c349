//! What failures and commands say.

/// Ends every usage error.
pub const SEE_HELP: &str = "for more, try `sampan --help`";
