//! What every store must do, whatever it keeps files in.
//!
//! Each property is an async function over a [`Fixture`]; a store's own tests call them all by
//! [`every_property`]. What belongs to one kind of store only (its folders, its crashes) is tested
//! beside it.

#![allow(clippy::cast_possible_truncation)]

mod accounts;
mod changes;
pub(crate) mod model;
mod names;
mod packs;
mod quota;
mod reads;
mod uploads;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use sampan_protocol::block::{BlockIndex, Blocks, RowHasher};
use sampan_protocol::limits::PIECE_BYTES;
use sampan_protocol::scram::{Challenge, Verifier};
use sampan_protocol::{
    Attributes, ChangeKey, Entry, InstanceId, Mode, RemotePath, Root, Timestamp, UploadKey,
};
use tokio::sync::mpsc;

use super::{
    Account, AccountId, Accounts, Changed, NewAccount, NewUpload, OpenedBy, PackContent, PackItem,
    PackOutcome, Piece, QuotaLimits, Result, Situation, Store, StoreError, Target,
};

/// A store under test, and what a test needs beside it.
#[async_trait]
pub(crate) trait Fixture: Send + Sync {
    /// The store.
    fn store(&self) -> Arc<dyn Store>;
    /// The same, as accounts.
    fn accounts(&self) -> Arc<dyn Accounts>;
    /// Ends the store in order and opens it again.
    async fn restart(&mut self);
    /// Bytes and entries in a home, counted anew.
    async fn counted(&self, account: AccountId) -> (u64, u64);
}

pub(crate) use {accounts::*, changes::*, names::*, packs::*, quota::*, reads::*, uploads::*};

/// Calls `$run` for each property.
macro_rules! every_property {
    ($run:ident) => {
        $run!(
            accounts_are_made_found_and_voided,
            an_existing_home_is_taken_only_if_asked,
            a_removed_account_is_gone_with_its_uploads,
            folders_are_made_listed_renamed_and_removed,
            renames_replace_only_what_is_meant,
            a_folder_is_removed_only_if_empty_or_asked,
            changes_replayed_three_times_have_one_effect_and_one_answer,
            a_late_copy_makes_no_folder_again,
            a_key_of_another_change_is_refused,
            what_was_answered_is_forgotten_and_not_repeated,
            attributes_are_set_and_kept,
            the_home_itself_is_never_changed,
            a_listing_goes_on_at_its_cursor,
            names_of_all_bytes_travel,
            deep_paths_work,
            packs_publish_all_that_passes,
            packs_are_replayed,
            an_abandoned_pack_publishes_nothing,
            packs_stop_at_the_limit,
            opening_refuses_before_any_byte,
            two_uploads_race_for_the_last_byte,
            an_overwrite_reserves_only_its_growth,
            a_credit_moves_when_its_file_goes,
            a_commit_pays_for_what_another_counts_on,
            lowering_a_limit_blocks_growth_only,
            every_writing_verb_is_bound_by_the_quota,
            holes_count_and_a_listing_explains_it,
            the_ledger_equals_a_count_after_many_changes,
            files_are_read_by_version,
            rows_and_sums_equal_plain_blake3,
            packs_of_files_are_read,
            uploads_of_every_size_arrive,
            blocks_arrive_in_any_order_from_several_writers,
            an_upload_is_resumed_by_its_key,
            an_older_writer_changes_nothing,
            a_wrong_root_keeps_the_upload_and_the_old_file,
            a_changed_target_is_not_replaced,
            an_aborted_upload_returns_its_quota,
            uploads_survive_a_restart,
            uploads_are_listed_page_by_page,
            blocks_are_copied_from_a_file,
            unfinished_uploads_are_listed_and_bounded,
        );
    };
}
pub(crate) use every_property;

/// The verbs of [`Store`], as its source says them: tables over verbs must know each.
pub(crate) fn store_verbs() -> Vec<&'static str> {
    let source = include_str!("../mod.rs");
    let start = source.find("pub trait Store:").expect("the seam is declared there");
    let declared = &source[start..start + source[start..].find("\n}").expect("it ends")];
    let verbs: Vec<_> = declared
        .lines()
        .filter_map(|line| line.trim_start().trim_start_matches("async ").strip_prefix("fn "))
        .filter_map(|line| line.split('(').next())
        .collect();
    assert!(verbs.len() >= 20, "the verbs were not found: {verbs:?}");
    verbs
}

/// An account of a test, with short ways to do things.
pub(crate) struct User {
    pub(crate) id: AccountId,
    pub(crate) store: Arc<dyn Store>,
    instance: InstanceId,
    sequence: std::sync::atomic::AtomicU64,
}

pub(crate) fn verifier() -> Verifier {
    let challenge = Challenge { salt: [7; 16], iterations: 600_000 };
    Verifier::from_parts(challenge, [1; 32], [2; 32])
}

pub(crate) fn new_account(name: &str, limits: QuotaLimits) -> NewAccount {
    NewAccount { name: name.to_owned(), verifier: verifier(), limits, take_home: false }
}

pub(crate) async fn account(fixture: &dyn Fixture, name: &str, limits: QuotaLimits) -> Account {
    fixture.accounts().add(new_account(name, limits)).await.unwrap().0
}

/// An account without limits.
pub(crate) async fn user(fixture: &dyn Fixture) -> User {
    limited(fixture, None, None).await
}

pub(crate) async fn limited(
    fixture: &dyn Fixture,
    bytes: Option<u64>,
    entries: Option<u64>,
) -> User {
    let limits = QuotaLimits { bytes, entries };
    User::of(fixture, account(fixture, "anna", limits).await.id)
}

pub(crate) fn path(written: &str) -> RemotePath {
    RemotePath::parse(written.as_bytes()).unwrap()
}

pub(crate) fn mtime() -> Timestamp {
    Timestamp::new(1_700_000_000, 123_456_789).unwrap()
}

/// Bytes that no two offsets share by chance.
pub(crate) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let key = blake3::hash(&seed.to_le_bytes());
    blake3::Hasher::new_keyed(key.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes
}

pub(crate) fn root_of(bytes: &[u8]) -> Root {
    Root(*blake3::hash(bytes).as_bytes())
}

/// What a refusal says.
pub(crate) fn situation<T: std::fmt::Debug>(result: Result<T>) -> Situation {
    match result {
        Err(StoreError::Refused { situation, .. }) => situation,
        other => panic!("refused was expected, not {other:?}"),
    }
}

impl User {
    pub(crate) fn of(fixture: &dyn Fixture, id: AccountId) -> Self {
        Self {
            id,
            store: fixture.store(),
            instance: InstanceId([9; 16]),
            sequence: std::sync::atomic::AtomicU64::new(0),
        }
    }

    /// The same after a restart.
    pub(crate) fn again(self, fixture: &dyn Fixture) -> Self {
        Self { store: fixture.store(), ..self }
    }

    /// A key that no change had.
    pub(crate) fn key(&self) -> ChangeKey {
        let sequence = self.sequence.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1;
        ChangeKey { instance: self.instance, sequence, answered: 0 }
    }

    pub(crate) async fn stat(&self, at: &str) -> Result<Attributes> {
        self.store.stat(self.id, &path(at)).await
    }

    pub(crate) async fn mkdir(&self, at: &str) -> Result<Changed> {
        self.store.mkdir(self.id, self.key(), &path(at), true, Mode::FOLDER).await
    }

    pub(crate) async fn remove(&self, at: &str) -> Result<super::Removed> {
        self.store.remove(self.id, self.key(), &path(at), true, None).await
    }

    pub(crate) async fn rename(&self, from: &str, to: &str, if_target: Target) -> Result<Changed> {
        let rename = super::Rename { from: path(from), to: path(to), version: None, if_target };
        self.store.rename(self.id, self.key(), rename).await
    }

    /// An upload that is not opened yet; its key is made of its path.
    #[allow(clippy::unused_self, reason = "reads as what the user does")]
    pub(crate) fn upload(&self, at: &str, size: u64, if_target: Target) -> NewUpload {
        let mut key = [0; 16];
        key.copy_from_slice(&blake3::hash(at.as_bytes()).as_bytes()[..16]);
        NewUpload {
            key: UploadKey(key),
            path: path(at),
            size,
            mode: Mode::new(0o640),
            mtime: mtime(),
            if_target,
            parents: true,
        }
    }

    /// Writes one block in pieces.
    pub(crate) async fn write_block(
        &self,
        by: OpenedBy,
        content: &[u8],
        block: u64,
    ) -> Result<Option<sampan_protocol::BlockHash>> {
        let blocks = Blocks::of(content.len() as u64).unwrap();
        let start = blocks.offset_of(BlockIndex(block)).unwrap() as usize;
        let length = blocks.length_of(BlockIndex(block)).unwrap() as usize;
        let mut hash = None;
        for (index, piece) in content[start..start + length].chunks(PIECE_BYTES).enumerate() {
            let offset = (index * PIECE_BYTES) as u32;
            let bytes = Bytes::copy_from_slice(piece);
            let piece = Piece { block, offset, bytes, expected: None };
            hash = self.store.write(self.id, by, piece).await?;
        }
        Ok(hash)
    }

    pub(crate) async fn write_all(&self, by: OpenedBy, content: &[u8]) -> Result<()> {
        for block in 0..Blocks::of(content.len() as u64).unwrap().count() {
            self.write_block(by, content, block).await?;
        }
        Ok(())
    }

    /// Uploads a whole file.
    pub(crate) async fn put(&self, at: &str, content: &[u8], if_target: Target) -> Result<Changed> {
        let opened =
            self.store.open_upload(self.id, self.upload(at, content.len() as u64, if_target));
        let by = opened.await?.by;
        self.write_all(by, content).await?;
        self.store.commit(self.id, self.key(), by, root_of(content)).await
    }

    /// Reads a whole file.
    pub(crate) async fn get(&self, at: &str) -> Result<Vec<u8>> {
        let meta = self.stat(at).await?;
        let count = Blocks::of(meta.size).unwrap().count();
        let mut stream = self.store.read(self.id, &path(at), &meta.version, 0, count).await?;
        let mut content = Vec::new();
        while let Some(piece) = stream.recv().await {
            content.extend_from_slice(&piece?.bytes);
        }
        Ok(content)
    }

    /// All entries of a folder by name.
    pub(crate) async fn list(&self, at: &str) -> Result<BTreeMap<String, Entry>> {
        let mut pages = self.store.list(self.id, &path(at), None).await?;
        let mut entries = BTreeMap::new();
        while let Some(page) = pages.recv().await {
            for entry in page?.entries {
                let again = entries.insert(entry.name.to_string(), entry);
                assert!(again.is_none(), "a name came twice");
            }
        }
        Ok(entries)
    }

    /// Names of a folder.
    pub(crate) async fn names(&self, at: &str) -> Vec<String> {
        self.list(at).await.unwrap().into_keys().collect()
    }

    pub(crate) async fn pack(
        &self,
        key: ChangeKey,
        items: Vec<PackItem>,
    ) -> Result<Vec<PackOutcome>> {
        let (sender, items_in) = mpsc::channel(4);
        let send = async move {
            for item in items {
                if sender.send(item).await.is_err() {
                    return;
                }
            }
        };
        let (answer, ()) = tokio::join!(self.store.pack(self.id, key, items_in), send);
        answer
    }

    /// Used bytes, entries, reserved bytes and entries.
    pub(crate) async fn held(&self) -> (u64, u64, u64, u64) {
        let usage = self.store.usage(self.id).await.unwrap();
        (usage.used, usage.entries, usage.reserved, usage.reserved_entries)
    }
}

pub(crate) fn member(at: &str, content: &[u8], if_target: Target) -> PackItem {
    PackItem::Member {
        path: path(at),
        mode: Mode::new(0o600),
        content: PackContent::File {
            bytes: Bytes::copy_from_slice(content),
            mtime: mtime(),
            root: root_of(content),
            if_target,
        },
    }
}

pub(crate) fn folder_member(at: &str) -> PackItem {
    PackItem::Member { path: path(at), mode: Mode::new(0o750), content: PackContent::Folder }
}

/// The row of a file's blocks.
pub(crate) fn row_of(content: &[u8]) -> Vec<sampan_protocol::BlockHash> {
    let mut hasher = RowHasher::new(Blocks::of(content.len() as u64).unwrap());
    hasher.update(content).unwrap();
    hasher.finish().unwrap().0
}
