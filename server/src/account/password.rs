//! From a password to what is stored of it.

use sampan_protocol::limits::MIN_SCRAM_ITERATIONS;
use sampan_protocol::scram::{Challenge, NotPreparable, SALT_BYTES, Verifier};

/// PBKDF2 rounds of new passwords, and of what unknown users are told.
pub const PASSWORD_ITERATIONS: u32 = MIN_SCRAM_ITERATIONS;

/// Why a text cannot be a password.
#[derive(Debug, thiserror::Error)]
pub enum PasswordRefused {
    /// Nothing was written.
    #[error("the password is empty; choose another one")]
    Empty,
    /// Characters that SASLprep forbids.
    #[error("the password cannot be used: {0}; choose another one")]
    NotPreparable(#[from] NotPreparable),
}

/// The verifier of a password. Slow on purpose (0.1 to 0.3 s of one core): call it off the async
/// threads.
pub fn verifier_of(password: &str, salt: [u8; SALT_BYTES]) -> Result<Verifier, PasswordRefused> {
    if password.is_empty() {
        return Err(PasswordRefused::Empty);
    }
    Ok(Verifier::derive(password, &Challenge { salt, iterations: PASSWORD_ITERATIONS })?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords() {
        let verifier = verifier_of("correct horse", [7; SALT_BYTES]).unwrap();
        assert_eq!(verifier.challenge().iterations, 600_000);
        assert_eq!(verifier.challenge().salt, [7; SALT_BYTES]);
        assert!(matches!(verifier_of("", [7; SALT_BYTES]), Err(PasswordRefused::Empty)));
        let bell = verifier_of("a\u{7}", [7; SALT_BYTES]);
        assert!(matches!(bell, Err(PasswordRefused::NotPreparable(_))));
    }
}
