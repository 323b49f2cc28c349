//! How many files this process may have open: as many as the system lets it.
//!
//! The usual soft limit of 1024 is for programs with `select`, which this one has not. Only a program
//! changes it; the library never does.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Bounds;
use crate::store::local::LOADED_UPLOADS;

/// The database, its log, sockets, folders and what the runtime needs.
const OWN: u64 = 128;

/// What the bounds come to when they are used up: each connection and the two files that it moves,
/// each login, and the two files of each upload that is kept open.
fn needed(bounds: &Bounds) -> u64 {
    let loaded = LOADED_UPLOADS as u64;
    3 * u64::from(bounds.connections) + u64::from(bounds.logins) + 2 * loaded + OWN
}

/// Raises the limit as far as it goes, and says in the log if that is less than the bounds need.
pub(super) fn raise_limit(bounds: &Bounds) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(error) => {
            tracing::warn!("the limit of open files cannot be raised: {error}");
            limit.current
        }
    };
    let needed = needed(bounds);
    if allowed.is_some_and(|allowed| allowed < needed) {
        let allowed = allowed.unwrap_or_default();
        tracing::warn!(
            "{allowed} open files are allowed, and {needed} may be needed: raise the hard limit \
             (`LimitNOFILE=` in the service unit, `ulimit -Hn` in a shell) or lower max_connections"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shipped_bounds_fit_what_the_service_unit_allows() {
        let unit = include_str!("../../../assets/sampand.service");
        let limit = unit.lines().find_map(|line| line.strip_prefix("LimitNOFILE=")).unwrap();
        assert!(needed(&Bounds::default()) <= limit.parse().unwrap());
    }
}
