//! Operands as values: places of one account, and local paths with what their ends say.
//!
//! Invariant: nothing is sent before every operand was understood, and all places of one command are
//! one account's.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use sampan_protocol::{Escaped, PathError, RemotePath};

use super::Stop;
use crate::address::{Account, Place};
use crate::catalogue::cli as text;
use crate::failure::{Failure, Side, Situation};

/// Places of one account.
#[derive(Debug)]
pub(super) struct Places {
    /// Whose.
    pub(super) account: Account,
    /// At least one, in order, each with its path.
    pub(super) places: Vec<(Place, RemotePath)>,
}

impl Places {
    /// Reads `written`; `port` is what `-P` said.
    pub(super) fn read(written: &[OsString], port: Option<u16>) -> Result<Self, Stop> {
        let mut places = Vec::with_capacity(written.len());
        for operand in written {
            let place = Place::parse(operand, port)?;
            places.push(place);
        }
        let Some(first) = places.first() else {
            return Err(Stop::Usage(text::no_place()));
        };
        let account = first.account.clone();
        if let Some(other) = places.iter().find(|place| place.account != account) {
            return Err(Stop::Usage(text::two_accounts(&account, &other.account)));
        }
        let places = places
            .into_iter()
            .zip(written)
            .map(|(place, written)| {
                let path = path_of(&place, written)?;
                Ok((place, path))
            })
            .collect::<Result<_, Stop>>()?;
        Ok(Self { account, places })
    }
}

fn path_of(place: &Place, written: &OsStr) -> Result<RemotePath, Stop> {
    place.path().map_err(|error| {
        let situation = match error {
            PathError::AboveHome => Situation::AboveHome,
            PathError::Name(_) | PathError::TooLong => Situation::NameNotStorable(Side::Remote),
        };
        Stop::failed(Failure::new(situation, Escaped(written.as_bytes())), &place.account)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(written: &[&str]) -> Result<Places, Stop> {
        Places::read(&written.iter().map(OsString::from).collect::<Vec<_>>(), None)
    }

    #[test]
    fn places_of_one_account_are_read() {
        let places = read(&["u@h:a/../b", "sampan://u@H:7227/c/"]).unwrap();
        assert_eq!(places.account.to_string(), "u@h");
        let paths: Vec<_> = places.places.iter().map(|(_, path)| path.to_string()).collect();
        assert_eq!(paths, ["/b", "/c"]);
    }

    #[test]
    fn two_accounts_or_no_place_are_wrong_usage() {
        for written in [
            &["u@h:a", "v@h:a"][..],
            &["u@h:a", "u@i:a"],
            &["u@h:a", "sampan://u@h:1/a"],
            &["u@h:a", "local"],
            &["u:secret@h:a"],
            &["sampan://u:secret@h/a"],
            &["saved:a"],
        ] {
            assert!(matches!(read(written), Err(Stop::Usage(_))), "{written:?}");
        }
    }

    #[test]
    fn above_the_home_is_a_failure_before_anything_is_sent() {
        for written in ["u@h:..", "u@h:a/../../b", "sampan://u@h/.."] {
            let Err(Stop::Failed(failure, Some(_))) = read(&[written]) else { panic!("{written}") };
            assert_eq!(failure.situation, Situation::AboveHome);
        }
    }
}
