//! Changes that are cut short in every way: what they start from, how a client tries them, and what
//! must be there in the end.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sampan_protocol::{ChangeKey, InstanceId, Mode, Timestamp, UploadKey};

use super::Local;
use crate::store::conformance::{Fixture, User, bytes, folder_member, member, path, root_of, user};
use crate::store::{NewUpload, OpenedBy, PackItem, Rename, Result, StoreError, Target};

/// Which change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scenario {
    Mkdir,
    Publish,
    Replace,
    Move,
    MoveOver,
    RemoveFile,
    RemoveFolder,
    RemoveTree,
    Pack,
    SetAttributes,
    Abort,
}

impl Scenario {
    pub(super) const ALL: &[Self] = &[
        Self::Mkdir,
        Self::Publish,
        Self::Replace,
        Self::Move,
        Self::MoveOver,
        Self::RemoveFile,
        Self::RemoveFolder,
        Self::RemoveTree,
        Self::Pack,
        Self::SetAttributes,
        Self::Abort,
    ];
}

/// One change under test: its client, who repeats it until it is answered.
pub(super) struct Attempt {
    scenario: Scenario,
    sequence: AtomicU64,
    /// A commit that was sent and not answered yet.
    sent: Mutex<Option<OpenedBy>>,
    /// What is left of a pack.
    items: Mutex<Vec<PackItem>>,
}

const OLD: &[u8] = b"old";
const NEW_BYTES: usize = (1 << 20) + 5;

impl Attempt {
    /// Makes what the change starts from.
    pub(super) async fn prepare(local: &Local, scenario: Scenario) -> (User, Self) {
        let anna = user(local).await;
        anna.mkdir("d").await.unwrap();
        anna.put("d/f", OLD, Target::Absent).await.unwrap();
        anna.put("other", b"other", Target::Absent).await.unwrap();
        match scenario {
            Scenario::RemoveFolder => drop(anna.mkdir("empty").await.unwrap()),
            Scenario::RemoveTree => {
                for number in 0..3 {
                    let name = |index| format!("tree/{number}/x/{index}");
                    let members = (0..30).map(|i| member(&name(i), b"1", Target::Absent));
                    anna.pack(anna.key(), members.collect()).await.unwrap();
                }
                anna.mkdir("tree/empty/deep/deeper").await.unwrap();
            }
            _ => {}
        }
        let items = Mutex::new(pack());
        (anna, Self { scenario, sequence: AtomicU64::new(1), sent: Mutex::default(), items })
    }

    /// The key of this try: the same until it was refused.
    fn key(&self) -> ChangeKey {
        let sequence = self.sequence.load(Ordering::Relaxed);
        ChangeKey { instance: InstanceId([77; 16]), sequence, answered: 0 }
    }

    /// The same client, as it is now.
    pub(super) fn as_it_is(&self) -> Self {
        Self {
            scenario: self.scenario,
            sequence: AtomicU64::new(self.sequence.load(Ordering::Relaxed)),
            sent: Mutex::new(*self.sent.lock().unwrap()),
            items: Mutex::new(self.items.lock().unwrap().clone()),
        }
    }

    fn upload(&self, anna: &User) -> NewUpload {
        let (at, if_target) = match self.scenario {
            Scenario::Replace => ("d/f", Target::Any),
            _ => ("x/y/new", Target::Absent),
        };
        let mut upload = anna.upload(at, NEW_BYTES as u64, if_target);
        upload.key = UploadKey([4; 16]);
        upload
    }

    /// One try, as a client makes it.
    pub(super) async fn run(&self, anna: &User) -> Result<()> {
        let result = self.try_once(anna).await;
        if let Err(StoreError::Refused { .. }) = &result {
            self.sequence.fetch_add(1, Ordering::Relaxed);
            *self.sent.lock().unwrap() = None;
        }
        result
    }

    async fn try_once(&self, anna: &User) -> Result<()> {
        let (store, id, key) = (&anna.store, anna.id, self.key());
        match self.scenario {
            Scenario::Mkdir => {
                store.mkdir(id, key, &path("d/m/n/o"), true, Mode::new(0o711)).await?;
            }
            Scenario::Publish | Scenario::Replace => {
                let content = bytes(42, NEW_BYTES);
                let sent = *self.sent.lock().unwrap();
                if let Some(by) = sent {
                    // Sent again as it was.
                    return store.commit(id, key, by, root_of(&content)).await.map(|_| ());
                }
                let opened = store.open_upload(id, self.upload(anna)).await?;
                for block in opened.staged.missing_in(0..2) {
                    anna.write_block(opened.by, &content, block.0).await?;
                }
                *self.sent.lock().unwrap() = Some(opened.by);
                store.commit(id, key, opened.by, root_of(&content)).await?;
            }
            Scenario::Move | Scenario::MoveOver => {
                let (to, if_target) = match self.scenario {
                    Scenario::Move => ("d/moved", Target::Absent),
                    _ => ("d/f", Target::Any),
                };
                let (from, to) = (path("other"), path(to));
                store.rename(id, key, Rename { from, to, version: None, if_target }).await?;
            }
            Scenario::RemoveFile => {
                store.remove(id, key, &path("d/f"), false, None).await?;
            }
            Scenario::RemoveFolder => {
                store.remove(id, key, &path("empty"), false, None).await?;
            }
            Scenario::RemoveTree => {
                let removed = store.remove(id, key, &path("tree"), true, None).await?;
                assert_eq!((removed.entries, removed.bytes), (90 + 10, 90));
            }
            Scenario::Pack => {
                let items = self.items.lock().unwrap().clone();
                let outcomes = anna.pack(key, items.clone()).await?;
                // What was refused is sent again, under another key.
                let (mut refused, mut rest) = (None, Vec::new());
                for (outcome, item) in outcomes.into_iter().zip(items) {
                    if let Err(error) = outcome {
                        rest.push(item);
                        refused = Some(error);
                    }
                }
                if let Some(error) = refused {
                    *self.items.lock().unwrap() = rest;
                    return Err(error);
                }
            }
            Scenario::SetAttributes => {
                let mode = Some(Mode::new(0o600));
                let at = path("d/f");
                store.set_attributes(id, key, &at, mode, Some(Timestamp::default())).await?;
            }
            Scenario::Abort => {
                let upload = store.open_upload(id, self.upload(anna)).await?.by.upload;
                store.abort(id, key, upload).await?;
            }
        }
        Ok(())
    }

    /// What must be there once a try was answered with success.
    pub(super) async fn check_done(&self, anna: &User) {
        let held = anna.held().await;
        let base = (OLD.len() + 5) as u64;
        let new = NEW_BYTES as u64;
        let (expected, names): (_, &[&str]) = match self.scenario {
            Scenario::Mkdir => ((base, 6, 0, 0), &["d", "other"]),
            Scenario::Publish => ((base + new, 6, 0, 0), &["d", "other", "x"]),
            Scenario::Replace => ((new + 5, 3, 0, 0), &["d", "other"]),
            Scenario::Move => ((base, 3, 0, 0), &["d"]),
            Scenario::MoveOver => ((5, 2, 0, 0), &["d"]),
            Scenario::RemoveFile => ((5, 2, 0, 0), &["d", "other"]),
            Scenario::Pack => ((5 + 8 + 3 + 4, 8, 0, 0), &["d", "other", "p"]),
            Scenario::RemoveFolder
            | Scenario::RemoveTree
            | Scenario::SetAttributes
            | Scenario::Abort => ((base, 3, 0, 0), &["d", "other"]),
        };
        assert_eq!(held, expected, "{:?}", self.scenario);
        assert_eq!(anna.names("").await, names, "{:?}", self.scenario);
        match self.scenario {
            Scenario::Mkdir => {
                assert_eq!(anna.stat("d/m/n/o").await.unwrap().mode.bits(), 0o711);
                assert_eq!(anna.stat("d/m/n").await.unwrap().mode.bits(), 0o755);
            }
            Scenario::Publish => {
                assert_eq!(anna.get("x/y/new").await.unwrap(), bytes(42, NEW_BYTES));
            }
            Scenario::Replace => {
                assert_eq!(anna.get("d/f").await.unwrap(), bytes(42, NEW_BYTES));
            }
            Scenario::Move => assert_eq!(anna.get("d/moved").await.unwrap(), b"other"),
            Scenario::MoveOver => assert_eq!(anna.get("d/f").await.unwrap(), b"other"),
            Scenario::Pack => {
                assert_eq!(anna.get("d/f").await.unwrap(), b"replaced");
                assert_eq!(anna.get("p/q/b").await.unwrap(), b"four");
                assert_eq!(anna.names("p").await, ["a", "empty", "q"]);
            }
            Scenario::SetAttributes => {
                assert_eq!(anna.stat("d/f").await.unwrap().mode.bits(), 0o600);
            }
            _ => {}
        }
    }

    /// What must hold at every moment: a name has the old file or the new one, whole.
    pub(super) async fn check_always(&self, anna: &User) {
        let f = anna.get("d/f").await;
        let whole = match (self.scenario, f) {
            (_, Ok(content)) if content == OLD => true,
            (Scenario::Replace, Ok(content)) => content == bytes(42, NEW_BYTES),
            (Scenario::MoveOver, Ok(content)) => content == b"other",
            (Scenario::Pack, Ok(content)) => content == b"replaced",
            (Scenario::RemoveFile, Err(_)) => true,
            (_, other) => panic!("{:?}: d/f is {other:?}", self.scenario),
        };
        assert!(whole, "{:?}: d/f is neither the old file nor the new one", self.scenario);
        match anna.get("x/y/new").await {
            Ok(content) => assert_eq!(content, bytes(42, NEW_BYTES)),
            Err(error) => assert!(matches!(error, StoreError::Refused { .. }), "{error:?}"),
        }
    }
}

fn pack() -> Vec<PackItem> {
    vec![
        folder_member("p"),
        member("p/a", b"abc", Target::Absent),
        member("p/q/b", b"four", Target::Absent),
        folder_member("p/empty"),
        member("d/f", b"replaced", Target::Any),
    ]
}

/// Nothing but uploads in staging, no intent, and a ledger that a count confirms.
pub(super) async fn check_books(local: &Local, anna: &User) {
    let (used, entries, reserved, reserved_entries) = anna.held().await;
    assert_eq!((used, entries), local.counted(anna.id).await, "used");
    let inner = local.local().inner.clone();
    let books = tokio::task::spawn_blocking(move || {
        let rows = inner.db.read(|c| super::super::db::uploads::all(c, None)).unwrap();
        let intents = inner.db.read(|c| super::super::db::intents::all(c, None)).unwrap();
        let bytes: u64 = rows.iter().map(|row| row.hold.reserve.bytes).sum();
        let entries: u64 = rows.iter().map(|row| row.hold.reserve.entries).sum();
        (bytes, entries, intents.len())
    });
    let (bytes, held_entries, intents) = books.await.unwrap();
    assert_eq!(intents, 0, "intents");
    assert_eq!((reserved, reserved_entries), (bytes, held_entries), "reserved");
}

/// Staging holds what uploads need and no more.
pub(super) async fn check_staging(local: &mut Local, anna: &User) {
    let uploads = anna.store.uploads(anna.id).await.unwrap();
    local.close().await;
    // What could not be deleted, or not in time, is at the next start.
    local.open().await;
    local.close().await;
    let mut found: Vec<String> = std::fs::read_dir(local.path().join("staging"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    let mut expected: Vec<String> =
        uploads.iter().map(|upload| format!("u{}", upload.upload)).collect();
    expected.sort();
    assert_eq!(found, expected, "staging");
    local.open().await;
}

/// The user in a store that was opened again.
pub(super) fn again(local: &Local, anna: User) -> User {
    anna.again(local)
}
