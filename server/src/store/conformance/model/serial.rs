//! Operations that ran at once must come to what some order of them comes to.
//!
//! The order is searched for: operation after operation is carried out by the model as long as each
//! comes to what the store answered. Removing a tree is two events, for its name goes first and what
//! it holds is free only when it is deleted; so is giving up each idle upload an event of its own.

use super::EXPIRY;
use super::driver::Seen;
use super::operation::Call;
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
    /// States that led nowhere, by the events that were left.
    tried: std::collections::HashMap<u64, Vec<Account>>,
}

/// The account after some order of `calls` that gives all their outcomes and ends in what is seen.
pub(super) fn serialise(
    start: &Account,
    calls: &[(Call, Outcome)],
    expiry: bool,
    seen: &Seen,
) -> Option<Account> {
    let mut events: Vec<Event> = Vec::new();
    for (index, (_, outcome)) in calls.iter().enumerate() {
        events.push(Event::Call(index));
        if matches!(outcome, Outcome::Removed(_)) {
            events.push(Event::Purged(index));
        }
    }
    if expiry {
        events.extend(start.uploads.iter().map(|(slot, it)| Event::Expired(*slot, it.born)));
    }
    let mut search = Search { calls, events, seen, tried: std::collections::HashMap::new() };
    let all = (1 << search.events.len()) - 1;
    search.go_on(start, all)
}

impl Search<'_> {
    fn go_on(&mut self, account: &Account, left: u64) -> Option<Account> {
        if left == 0 {
            return (Seen::of(account) == *self.seen).then(|| account.clone());
        }
        if self.tried.get(&left).is_some_and(|tried| tried.contains(account)) {
            return None;
        }
        for index in (0..self.events.len()).filter(|index| left & (1 << index) != 0) {
            let mut next = account.clone();
            let fits = match self.events[index] {
                Event::Call(call) => {
                    let (call, outcome) = &self.calls[call];
                    next.begin(call) == *outcome
                }
                Event::Purged(call) => {
                    let number = self.calls[call].0.number;
                    let is_gone = left & (1 << (index - 1)) == 0;
                    next.finish_purge(number);
                    is_gone
                }
                Event::Expired(slot, born) => {
                    if next.uploads.get(&slot).is_some_and(|upload| upload.born == born) {
                        next.expire(slot, EXPIRY);
                    }
                    true
                }
            };
            if fits && let Some(end) = self.go_on(&next, left & !(1 << index)) {
                return Some(end);
            }
        }
        self.tried.entry(left).or_default().push(account.clone());
        None
    }
}
