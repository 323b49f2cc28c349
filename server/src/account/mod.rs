//! Who may log in, apart from where it is stored: names, passwords, failed tries, keys in memory.
//!
//! Invariant: nothing here knows a message, a socket or a disk; time enters as an argument.

mod key;
mod name;
mod password;
mod throttle;

pub(crate) use self::key::{KnownKey, SessionKeys};
pub use self::name::{AccountName, NotAnAccountName};
pub use self::password::{PASSWORD_ITERATIONS, PasswordRefused, verifier_of};
pub(crate) use self::throttle::{Origin, Throttle};
