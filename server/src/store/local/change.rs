//! How every change runs: once, whole, and with an answer that is kept.
//!
//! ```text
//! turn → stored answer? → plan → intent (and its reservation) → steps → one transaction: charge,
//! release, answer, no more intent → answer
//! ```
//!
//! One change of an account runs at a time (its *turn*); bytes are staged and flushed outside it.
//! The steps of an intent are written so that running them again finishes what a crash cut short,
//! and they say what they did in an [`Effect`], which alone moves the ledger.
//!
//! Invariant: a visible step without an intent does not exist, nor does a change of the ledger
//! without the transaction that ends its intent.

use std::sync::atomic::Ordering;

use sampan_protocol::{Attributes, ChangeKey, RemotePath, Timestamp, UploadId};
use serde::{Deserialize, Serialize};

use super::Inner;
use super::db::answers::{self, Digest, Request};
use super::db::ledger::Inode;
use super::db::{intents, ledger, scans, uploads};
use super::encoding::{decode, encode, encode_short};
use super::home::Home;
use super::intent::Intent;
use super::step::Step;
use crate::quota::Charge;
use crate::store::{AccountId, Changed, Removed, Result, Situation, StoreError};

/// An answer as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Changed(Attributes),
    Removed(Removed),
    Pack(Vec<Member>),
    Refused(Refused),
}

/// A refusal as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    pub(super) situation: Situation,
    pub(super) path: Option<RemotePath>,
}

/// What became of a pack's member.
pub(super) type Member = std::result::Result<Attributes, Refused>;

impl From<Refused> for StoreError {
    fn from(refused: Refused) -> Self {
        Self::Refused { situation: refused.situation, path: refused.path }
    }
}

impl Answer {
    fn unexpected<T>() -> Result<T> {
        Err(StoreError::Corrupt("a stored answer is of another kind than its change".to_owned()))
    }

    pub(super) fn changed(self) -> Result<Changed> {
        match self {
            Self::Changed(attributes) => Ok(Changed { attributes }),
            Self::Refused(refused) => Err(refused.into()),
            _ => Self::unexpected(),
        }
    }

    pub(super) fn removed(self) -> Result<Removed> {
        match self {
            Self::Removed(removed) => Ok(removed),
            Self::Refused(refused) => Err(refused.into()),
            _ => Self::unexpected(),
        }
    }

    pub(super) fn pack(self) -> Result<Vec<Member>> {
        match self {
            Self::Pack(members) => Ok(members),
            Self::Refused(refused) => Err(refused.into()),
            _ => Self::unexpected(),
        }
    }
}

/// Something that went from the home.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Gone {
    /// Of a file, for the credit that an upload may hold on it.
    inode: Option<u64>,
    pub(super) bytes: u64,
    pub(super) entries: u64,
    /// When that file was made; not in what an older version wrote.
    #[serde(default)]
    born: Option<Timestamp>,
}

impl Gone {
    /// What no upload counts on: a folder, or much at once.
    pub(super) const fn uncredited(charge: Charge) -> Self {
        Self { inode: None, bytes: charge.bytes, entries: charge.entries, born: None }
    }

    pub(super) fn file(inode: Inode, bytes: u64) -> Self {
        Self { inode: Some(inode.number), bytes, entries: 1, born: inode.born }
    }

    pub(super) fn inode(&self) -> Option<Inode> {
        self.inode.map(|number| Inode { number, born: self.born })
    }

    pub(super) fn charge(&self) -> Charge {
        Charge { bytes: self.bytes, entries: self.entries }
    }
}

/// What the steps of an intent did to the home.
#[derive(Clone, Debug, Default)]
pub(super) struct Effect {
    pub(super) came: Charge,
    pub(super) went: Vec<Gone>,
    /// An upload that it ended.
    pub(super) upload: Option<UploadId>,
    /// Another hand was at work: the home is to be counted anew.
    pub(super) surprise: bool,
}

/// Why the steps of an intent ended early.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: StoreError,
    /// Some of it is visible, and the effect does not say so: the intent must stay, and is rolled
    /// forward before the next change. Otherwise everything is taken back but what the effect says.
    pub(super) left: bool,
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self { error, left: false }
    }
}

impl From<Situation> for Failure {
    fn from(situation: Situation) -> Self {
        StoreError::from(situation).into()
    }
}

impl StoreError {
    /// As a failure: what will be finished later was not refused.
    pub(super) fn not_refused(self) -> Self {
        match self {
            refused @ Self::Refused { .. } => Self::Disk {
                doing: "finishing a change",
                source: std::io::Error::other(refused.to_string()),
            },
            other => other,
        }
    }
}

impl Failure {
    /// The failure `error`, after taking back what was visible came to `undone`.
    pub(super) fn after(undone: Result<()>, error: StoreError) -> Self {
        match undone {
            Ok(()) => Self { error, left: false },
            Err(why) => {
                tracing::error!(%why, "cannot take a failed change back; it will be finished");
                Self { error, left: true }
            }
        }
    }
}

/// How the steps of an intent ended.
pub(super) type Carried<T = Answer> = std::result::Result<T, Failure>;

/// A request's digest: of its verb and all it says but the key.
pub(super) fn request<T: Serialize>(
    account: AccountId,
    key: ChangeKey,
    verb: &str,
    args: &T,
) -> Request {
    let hash = blake3::hash(&encode(&(verb, args)));
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash.as_bytes()[..16]);
    Request { account, key, digest: Digest(digest) }
}

/// Whether a refusal is a fact about its request, to be answered the same again.
fn is_fact(situation: &Situation) -> bool {
    !matches!(situation, Situation::DiskFull | Situation::ChangeKeyReused)
}

impl Inner {
    /// Runs a change in its turn: the stored answer, or `carry`'s, or its refusal, which is kept.
    pub(super) fn change(
        &self,
        home: &Home,
        request: &Request,
        carry: impl FnOnce() -> Result<Answer>,
    ) -> Result<Answer> {
        if let Some(answer) = self.answer_of(request)? {
            return Ok(answer);
        }
        if self.settle_left_over(home)?
            && let Some(answer) = self.answer_of(request)?
        {
            return Ok(answer);
        }
        match carry() {
            Err(StoreError::Refused { situation, path }) if is_fact(&situation) => {
                let refused = Answer::Refused(Refused { situation, path });
                self.keep_answer(request, &refused)?;
                Ok(refused)
            }
            other => other,
        }
    }

    /// The answer that is kept for `request`.
    pub(super) fn answer_of(&self, request: &Request) -> Result<Option<Answer>> {
        let stored = self.db.read(|connection| answers::find(connection, request))?;
        stored.map(|answer| decode(&answer)).transpose()
    }

    pub(super) fn keep_answer(&self, request: &Request, answer: &Answer) -> Result<()> {
        let (request, answer, now) = (*request, encode(answer), self.now_seconds());
        self.db.write("keeping an answer", move |connection| {
            answers::keep(connection, &request, &answer, now)
        })
    }

    /// Writes `intent`, runs its steps and settles it. What it `reserve`s is held meanwhile.
    pub(super) fn perform(
        &self,
        home: &Home,
        request: &Request,
        intent: &Intent,
        reserve: Charge,
    ) -> Result<Answer> {
        home.note_change();
        let (written, body) = (*request, encode_short(intent));
        let id = self.db.write("writing an intent", move |connection| {
            intents::insert(connection, &written, &body, reserve)
        })?;
        self.run_intent(home, request, id, intent)
    }

    /// Runs the steps of a written intent and settles it.
    pub(super) fn run_intent(
        &self,
        home: &Home,
        request: &Request,
        id: i64,
        intent: &Intent,
    ) -> Result<Answer> {
        self.step(Step::IntentWritten)?;
        let (mut effect, carried) = self.carry_out(home, intent);
        if let Err(Failure { error, left: true }) = carried {
            home.unsettled.store(true, Ordering::Relaxed);
            return Err(error.not_refused());
        }
        if let Err(Failure { error: StoreError::Refused { situation, .. }, .. }) = &carried {
            // It was looked at just now, in the same turn.
            effect.surprise |= matches!(situation, Situation::VersionChanged | Situation::NotFound);
        }
        let result = carried.map_err(|failure| failure.error);
        let settled = self
            .step(Step::StepsDone)
            .and_then(|()| self.settle(request, id, effect, result.as_ref().ok()));
        if let Err(error) = settled {
            // The home has the change, the ledger not yet: before anything else happens there. It
            // will have happened, so this is no refusal, whatever stood in the way.
            home.unsettled.store(true, Ordering::Relaxed);
            return Err(error.not_refused());
        }
        self.step(Step::Settled)?;
        result
    }

    /// One transaction: use, reservation, answer; the intent is no more.
    pub(super) fn settle(
        &self,
        request: &Request,
        id: i64,
        effect: Effect,
        answer: Option<&Answer>,
    ) -> Result<()> {
        let (request, answer, now) = (*request, answer.map(encode), self.now_seconds());
        let due = self.db.write("settling a change", move |connection| {
            let account = request.account;
            // First, so that it does not claim what it replaced itself.
            if let Some(upload) = effect.upload {
                for gone in &effect.went {
                    let Some(inode) = gone.inode() else { continue };
                    ledger::check_victim(connection, account, upload, inode, gone.bytes)?;
                }
                uploads::remove(connection, account, upload)?;
            }
            intents::remove(connection, account, id)?;
            ledger::charge(connection, account, effect.came)?;
            if effect.surprise {
                ledger::note_surprise(connection, account)?;
            }
            let may_surprise = effect.surprise || !effect.went.is_empty();
            for gone in effect.went {
                ledger::credit(connection, account, gone.inode(), gone.charge())?;
            }
            if let Some(answer) = answer {
                answers::keep(connection, &request, &answer, now)?;
            }
            Ok(may_surprise && scans::is_due(connection, account)?)
        })?;
        self.scans.wake_if(due);
        Ok(())
    }

    /// Ends an intent whose steps came to nothing. `false`: it is still there, and names what is
    /// staged for it.
    pub(super) fn give_up(&self, home: &Home, request: &Request, id: i64) -> bool {
        let ended = self.settle(request, id, Effect::default(), None);
        if let Err(error) = &ended {
            tracing::warn!(%error, "cannot end an intent; it will be settled before the next change");
            home.unsettled.store(true, Ordering::Relaxed);
        }
        ended.is_ok()
    }

    /// A named step, at which a test may end the store.
    pub(super) fn step(&self, step: Step) -> Result<()> {
        self.disk.step(step).map_err(|source| StoreError::Disk { doing: step.name(), source })
    }
}
