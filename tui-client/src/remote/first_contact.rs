//! Who is the right server? Decided before a password is asked for, and with no connection held open
//! for a person.
//!
//! Order: a fingerprint that was given alone decides; else a pin, even against the system's roots;
//! else the roots; else someone must be asked.
//!
//! Invariant: nothing is pinned here; the caller does it once the person said yes.

use std::time::Duration;

use sampan_protocol::transport::{Fingerprint, Roots, Target, Trust, inspect};

use super::failed::not_connected;
use crate::address::Server;
use crate::failure::{Failure, Situation};
use crate::state::State;

/// What is known of a server.
#[derive(Clone, Debug)]
pub enum Identity {
    /// Connect with this. `stored` says where an expected key was found.
    Known {
        /// Which server is the right one.
        trust: Trust,
        /// `FILE, line N`, or the option's name.
        stored: String,
    },
    /// Nobody vouches for it: show the key to a person.
    Unknown(Fingerprint),
}

impl Identity {
    /// After the person said yes to `fingerprint`, or it was to be accepted without asking.
    pub fn accepted(fingerprint: Fingerprint) -> Self {
        Self::Known { trust: Trust::Key(fingerprint), stored: "your answer".to_owned() }
    }
}

/// Finds out which server at `server` is the right one. Connects, briefly, only if nothing is known.
pub async fn identify(
    state: &State,
    server: &Server,
    given: Option<Fingerprint>,
    timeout: Duration,
) -> Result<Identity, Failure> {
    if let Some(given) = given {
        let stored = "--fingerprint".to_owned();
        return Ok(Identity::Known { trust: Trust::Key(given), stored });
    }
    if let Some(pin) = state.known_servers().pin(server)? {
        let fingerprint = pin.fingerprint.parse().map_err(|_| {
            let text = "it is no fingerprint".to_owned();
            Failure::new(Situation::Unexpected(text), &pin.stored)
        })?;
        return Ok(Identity::Known { trust: Trust::Key(fingerprint), stored: pin.stored });
    }
    let target = Target { host: server.host.clone(), port: server.port };
    let seen = inspect(&target, &Roots::System, timeout)
        .await
        .map_err(|error| Failure::new(not_connected(&error, timeout, ""), server))?;
    if seen.verified_by_roots {
        let stored = "the system's roots".to_owned();
        return Ok(Identity::Known { trust: Trust::Roots(Roots::System), stored });
    }
    Ok(Identity::Unknown(seen.fingerprint))
}
