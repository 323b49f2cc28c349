//! What a command tells a person about its failures, and the exit code that follows from them.
//!
//! Invariant: each failure is one line on standard error, `sampan: …`, and counts.

use std::io::{self, Write};

use super::exit::{Code, Tally};
use crate::address::Account;
use crate::catalogue::cli as text;
use crate::failure::{Failure, Side, Situation};
use crate::message::Message;
use crate::place::Location;

/// Counts and tells failures.
#[derive(Debug)]
pub(super) struct Report {
    account: Option<Account>,
    source: Side,
    tally: Tally,
    /// Patterns are expanded.
    expands: bool,
    /// The command, repeated, goes on where it stopped.
    goes_on: bool,
}

impl Report {
    /// For a command about `account` that reads from `source`.
    pub(super) fn new(account: Option<&Account>, source: Side) -> Self {
        let (tally, expands, goes_on) = (Tally::default(), false, false);
        Self { account: account.cloned(), source, tally, expands, goes_on }
    }

    /// For one that expands patterns, if `-g` was given.
    pub(super) fn expanding(self, expands: bool) -> Self {
        Self { expands, ..self }
    }

    /// For one that goes on where it stopped when it is repeated.
    pub(super) fn going_on(self) -> Self {
        Self { goes_on: true, ..self }
    }

    /// Counts a failure, and tells it.
    pub(super) fn failure(&mut self, failure: &Failure) {
        tell(&self.count(failure));
    }

    /// Counts failures, and tells each.
    pub(super) fn failures(&mut self, failures: &[Failure]) {
        for failure in failures {
            self.failure(failure);
        }
    }

    /// Counts a failure, and tells it with another remedy than the usual one.
    pub(super) fn failure_but(&mut self, failure: &Failure, next: Option<String>) {
        self.count(failure);
        let message = Message { next, ..Message::of(failure, self.account.as_ref()) };
        tell(&message.to_string());
    }

    /// Counts a failure, and gives its line to be told otherwise.
    pub(super) fn count(&mut self, failure: &Failure) -> String {
        self.tally.add(self.code_of(failure));
        let mut message = Message::of(failure, self.account.as_ref());
        match failure.situation {
            Situation::LinkLost if self.goes_on => message.next = Some(text::goes_on()),
            Situation::NotFound(Side::Remote) if self.expands => {
                message.next = text::no_pattern(&failure.subject).or_else(text::check_spelling);
            }
            _ => {}
        }
        message.to_string()
    }

    /// A place as messages name it: ready to be typed.
    pub(super) fn show(&self, place: &Location) -> String {
        match (place, &self.account) {
            (Location::Remote(path), Some(account)) => account.show(path),
            _ => place.to_string(),
        }
    }

    /// What a failure alone would end with.
    pub(super) fn code_of(&self, failure: &Failure) -> Code {
        Code::of(&failure.situation, self.source)
    }

    /// The code of all of it.
    pub(super) fn code(&self) -> Code {
        self.tally.code()
    }
}

/// Tells one line on standard error.
pub(super) fn tell(message: &str) {
    // There is nowhere left to say that this cannot be said.
    let _told = writeln!(io::stderr(), "{}", text::told(message));
}
