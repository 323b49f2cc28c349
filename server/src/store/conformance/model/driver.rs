//! The store's side: carries operations out as a client does, and looks at what there is.

use std::collections::BTreeMap;
use std::sync::Arc;

use sampan_protocol::{ChangeKey, EntryKind, Epoch, UploadId, UploadKey, Version};

use super::hand::Hands;
use super::operation::{At, Call, If, Meant, Member, Op};
use super::reference::{Account, Node, Outcome, Sum};
use crate::store::conformance::{User, bytes, folder_member, path, root_of};
use crate::store::{
    Accounts, NewUpload, OpenedBy, PackItem, QuotaLimits, Rename, Result, StoreError, Target,
};

/// What can be seen of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) limits: QuotaLimits,
    pub(super) used: Sum,
    pub(super) reserved: Sum,
    /// Place, size and reserved bytes by slot.
    pub(super) uploads: BTreeMap<u64, (At, u64, u64)>,
    /// Sizes of files, `None` for folders.
    pub(super) tree: BTreeMap<At, Option<u64>>,
}

impl Seen {
    /// What should be seen.
    pub(super) fn of(account: &Account) -> Self {
        let size = |node: &Node| match node {
            Node::Folder => None,
            Node::File { size, .. } => Some(*size),
        };
        let uploads = account
            .uploads
            .iter()
            .map(|(slot, upload)| (*slot, (upload.at.clone(), upload.size, upload.reserved.bytes)));
        Self {
            limits: account.limits,
            used: account.used,
            reserved: account.reserved(),
            uploads: uploads.collect(),
            tree: account.tree.iter().map(|(at, node)| (at.clone(), size(node))).collect(),
        }
    }
}

fn key_of(slot: u64) -> UploadKey {
    UploadKey([slot as u8 + 1; 16])
}

/// An operation as it is sent, and sent again.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// As each of the accounts' models means it; to the store they are the same.
    pub(super) calls: Vec<Call>,
    key: ChangeKey,
    versions: Vec<Option<Version>>,
    upload: Option<UploadId>,
}

/// A version that no file has.
fn stale() -> Version {
    Version::new(&[0xee; 16]).expect("16 bytes are few enough")
}

impl Sent {
    fn target(&self, index: usize, target: If) -> Target {
        match target {
            If::Absent => Target::Absent,
            If::Any => Target::Any,
            If::Stale => Target::This(stale()),
            If::Fresh => Target::This(self.versions[index].clone().unwrap_or_else(stale)),
        }
    }

    fn call(&self) -> &Call {
        &self.calls[0]
    }

    pub(super) fn op(&self) -> &Op {
        &self.call().op
    }

    /// Whether it is a change with a key, whose answer is kept.
    pub(super) fn is_keyed(&self) -> bool {
        !matches!(
            self.op(),
            Op::Open { .. } | Op::Abort { .. } | Op::Limits(_) | Op::Hand(_) | Op::Scan
        )
    }

    /// Looks up what the operation is about, before anything happens.
    pub(super) async fn prepare(
        user: &User,
        calls: Vec<Call>,
        ids: &BTreeMap<u64, UploadId>,
    ) -> Result<Self> {
        let ats: Vec<(&At, If)> = match &calls[0].op {
            Op::Open { at, target, .. } | Op::Rename { to: at, target, .. } => vec![(at, *target)],
            Op::Pack(members) => {
                let at = |member: &'_ Member| match member {
                    Member::Folder(_) => If::Absent,
                    Member::File(_, _, target) => *target,
                };
                members.iter().map(|member| (member.at(), at(member))).collect()
            }
            _ => Vec::new(),
        };
        let mut versions = Vec::new();
        for (at, target) in ats {
            versions.push(match target {
                If::Fresh => user.stat(at).await.ok().map(|meta| meta.version),
                _ => None,
            });
        }
        let upload = match &calls[0].op {
            Op::Commit { slot } | Op::Abort { slot } => ids.get(slot).copied(),
            _ => None,
        };
        let key = user.key();
        Ok(Self { calls, key, versions, upload })
    }

    /// Carries it out. `again`: its bytes were sent before.
    pub(super) async fn carry(
        &self,
        user: &User,
        accounts: &dyn Accounts,
        hands: &dyn Hands,
        again: bool,
    ) -> std::result::Result<Outcome, String> {
        match self.try_carry(user, accounts, hands, again).await {
            Ok(outcome) => Ok(outcome),
            Err(StoreError::Refused { situation, .. }) => Ok(Outcome::Refused(situation)),
            Err(error) => Err(format!("{:?} failed: {error:?}", self.op())),
        }
    }

    async fn try_carry(
        &self,
        user: &User,
        accounts: &dyn Accounts,
        hands: &dyn Hands,
        again: bool,
    ) -> Result<Outcome> {
        let (store, id, key) = (&user.store, user.id, self.key);
        match self.op() {
            Op::Open { slot, at, size, target, parents } => {
                let upload = NewUpload {
                    key: key_of(*slot),
                    if_target: self.target(0, *target),
                    parents: *parents,
                    ..user.upload(at, *size, Target::Absent)
                };
                let opened = store.open_upload(id, upload).await?;
                return Ok(Outcome::Opened(opened.by.epoch.0));
            }
            Op::Commit { .. } => {
                let Meant { epoch, size, .. } =
                    self.call().upload.expect("a commit is about an upload");
                let upload = self.upload.expect("what the model has the store has");
                let by = OpenedBy { upload, epoch: Epoch(epoch) };
                let content = bytes(size, size as usize);
                if !again {
                    user.write_all(by, &content).await?;
                }
                store.commit(id, key, by, root_of(&content)).await?;
            }
            Op::Abort { .. } => {
                let upload = self.upload.expect("what the model has the store has");
                store.abort(id, key, upload).await?;
            }
            Op::Mkdir { at, parents } => {
                store.mkdir(id, key, &path(at), *parents, sampan_protocol::Mode::FOLDER).await?;
            }
            Op::Rename { from, to, target } => {
                let if_target = self.target(0, *target);
                let rename = Rename { from: path(from), to: path(to), version: None, if_target };
                store.rename(id, key, rename).await?;
            }
            Op::Remove { at, recursive } => {
                let removed = store.remove(id, key, &path(at), *recursive, None).await?;
                return Ok(Outcome::Removed(Sum::new(removed.bytes, removed.entries)));
            }
            Op::Pack(members) => {
                let items =
                    members.iter().enumerate().map(|(index, member)| self.item(index, member));
                let outcomes = user.pack(key, items.collect()).await?;
                let refusal = |outcome| match outcome {
                    Ok(_) => Ok(None),
                    Err(StoreError::Refused { situation, .. }) => Ok(Some(situation)),
                    Err(error) => Err(error),
                };
                let refusals: Result<Vec<_>> = outcomes.into_iter().map(refusal).collect();
                return Ok(Outcome::Pack(refusals?));
            }
            Op::Limits(limits) => {
                accounts.set_limits(id, *limits).await?;
            }
            Op::Hand(hand) => {
                if self.call().is_possible {
                    hands.change(hand);
                }
            }
            Op::Scan => {
                let scanned = store.scan(id, Arc::default()).await?;
                let before = Sum::new(scanned.used_before, scanned.entries_before);
                return Ok(Outcome::Scanned(before, Sum::new(scanned.used, scanned.entries)));
            }
        }
        Ok(Outcome::Done)
    }

    fn item(&self, index: usize, member: &Member) -> PackItem {
        match member {
            Member::Folder(at) => folder_member(at),
            Member::File(at, size, target) => {
                let content = bytes(self.call().number, *size as usize);
                crate::store::conformance::member(at, &content, self.target(index, *target))
            }
        }
    }
}

/// What is seen of an account, and the ids of its uploads.
pub(super) async fn look(user: &User) -> Result<(Seen, BTreeMap<u64, UploadId>)> {
    let usage = user.store.usage(user.id).await?;
    let (mut uploads, mut ids) = (BTreeMap::new(), BTreeMap::new());
    for upload in user.store.uploads(user.id).await? {
        let slot = u64::from(upload.key.0[0]) - 1;
        let at = String::from_utf8_lossy(&upload.path.to_bytes()).into_owned();
        uploads.insert(slot, (at, upload.size, upload.reserved));
        ids.insert(slot, upload.upload);
    }
    let mut tree = BTreeMap::new();
    let mut folders = vec![String::new()];
    while let Some(folder) = folders.pop() {
        for (name, entry) in user.list(&folder).await? {
            let at = if folder.is_empty() { name } else { format!("{folder}/{name}") };
            if entry.attributes.kind == EntryKind::Folder {
                folders.push(at.clone());
                tree.insert(at, None);
            } else {
                tree.insert(at, Some(entry.attributes.size));
            }
        }
    }
    let seen = Seen {
        limits: usage.limits,
        used: Sum::new(usage.used, usage.entries),
        reserved: Sum::new(usage.reserved, usage.reserved_entries),
        uploads,
        tree,
    };
    Ok((seen, ids))
}
