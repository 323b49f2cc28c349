//! Operations that ran at once must come to what some order of them comes to.
//!
//! The order is searched for: operation after operation is carried out by the model as long as each
//! comes to what the store answered. Removing a tree is two events, for its name goes first and what
//! it holds is free only when it is deleted; so is giving up each idle upload an event of its own, and
//! the scan after a surprise.

use std::collections::HashMap;

use super::EXPIRY;
use super::driver::Seen;
use super::operation::{Call, Op};
use super::reference::{Account, Outcome};

/// What may come next.
#[derive(Clone, Copy, Debug)]
enum Event {
    /// One of the calls.
    Call(usize),
    /// The tree that it removed is deleted.
    Purged(usize),
    /// The upload of a slot is given up, if it is idle.
    Expired(u64, u64),
}

struct Search<'a> {
    calls: &'a [(Call, Outcome)],
    events: Vec<Event>,
    seen: &'a Seen,
    /// States that were gone on from, by the events that were left.
    tried: HashMap<u64, Vec<Account>>,
    ends: Vec<Account>,
}

/// The accounts after every order of `calls` that gives all their outcomes and ends in what is seen.
///
/// There may be several that differ in what cannot be seen: of two uploads that were opened at once
/// over an empty file, which one counts on it?
pub(super) fn serialise(
    start: &Account,
    calls: &[(Call, Outcome)],
    expiry: bool,
    seen: &Seen,
) -> Vec<Account> {
    let mut events: Vec<Event> = Vec::new();
    for (index, (_, outcome)) in calls.iter().enumerate() {
        events.push(Event::Call(index));
        if matches!(outcome, Outcome::Removed(_)) {
            events.push(Event::Purged(index));
        }
    }
    if expiry {
        let idle = start.uploads.iter().filter(|(_, upload)| upload.is_idle(start.now, EXPIRY));
        events.extend(idle.map(|(slot, upload)| Event::Expired(*slot, upload.born)));
    }
    let all = (1 << events.len()) - 1;
    let mut search = Search { calls, events, seen, tried: HashMap::new(), ends: Vec::new() };
    search.go_on(start, all);
    search.ends
}

impl Search<'_> {
    /// Whether a call is about the upload of a slot: one that somebody works on is not given up, even
    /// if no byte came.
    fn is_worked_on(&self, slot: u64) -> bool {
        self.calls.iter().any(|(call, _)| match call.op {
            Op::Open { slot: of, .. } | Op::Commit { slot: of } | Op::Abort { slot: of } => {
                of == slot
            }
            _ => false,
        })
    }

    fn go_on(&mut self, account: &Account, left: u64) {
        let tried = self.tried.entry(left).or_default();
        if tried.contains(account) {
            return;
        }
        tried.push(account.clone());
        if account.scan_due {
            // The store begins it, at any moment.
            let mut scanned = account.clone();
            scanned.scan();
            self.go_on(&scanned, left);
        }
        if left == 0 {
            if !account.scan_due && Seen::of(account) == *self.seen {
                self.ends.push(account.clone());
            }
            return;
        }
        for index in (0..self.events.len()).filter(|index| left & (1 << index) != 0) {
            let mut next = account.clone();
            let fits = match self.events[index] {
                Event::Call(call) => {
                    let (call, outcome) = &self.calls[call];
                    next.begin(call) == *outcome
                }
                Event::Purged(call) => {
                    next.finish_purge(self.calls[call].0.number);
                    left & (1 << (index - 1)) == 0
                }
                Event::Expired(slot, born) => {
                    if self.is_worked_on(slot) {
                        self.go_on(account, left & !(1 << index));
                    }
                    if next.uploads.get(&slot).is_some_and(|upload| upload.born == born) {
                        next.expire(slot, EXPIRY);
                    }
                    true
                }
            };
            if fits {
                self.go_on(&next, left & !(1 << index));
            }
        }
    }
}
