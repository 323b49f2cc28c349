//! Nobody reaches outside a home: every verb against whatever may stand in its way.
//!
//! The table is here: each verb of the store with the acts that try its paths. `flips` swaps a
//! parent while they run, `odd` puts in their way what no client makes.

mod flips;
mod ids;
mod mounts;
mod odd;
mod unprivileged;

use std::time::Duration;

use sampan_protocol::{Mode, Timestamp};

use crate::store::conformance::{User, folder_member, member, path, root_of, row_of};
use crate::store::{PackItem, Rename, Result, StoreError, Target};

/// What a user's own files hold here.
const MINE: &[u8] = b"mine";
/// What files of others hold: of another length too.
const SECRET: &[u8] = b"secret";

/// One way of a verb to use a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Stat,
    StatFolder,
    List,
    Mkdir,
    MkdirParents,
    RenameFrom,
    RenameTo,
    RenameOver,
    RenameInside,
    RemoveFile,
    RemoveFolder,
    RemoveTree,
    SetAttributes,
    SetAttributesOfFolder,
    OpenUpload,
    Commit,
    CommitOver,
    CopyBlock,
    Pack,
    Read,
    ReadRow,
    ReadPack,
    Sum,
}

/// The acts that try a verb. A new verb needs a row.
fn acts(verb: &str) -> &'static [Act] {
    use Act::*;
    match verb {
        "stat" => &[Stat, StatFolder],
        "list" => &[List],
        "mkdir" => &[Mkdir, MkdirParents],
        "rename" => &[RenameFrom, RenameTo, RenameOver, RenameInside],
        "remove" => &[RemoveFile, RemoveFolder, RemoveTree],
        "set_attributes" => &[SetAttributes, SetAttributesOfFolder],
        "open_upload" => &[OpenUpload],
        "commit" => &[Commit, CommitOver],
        "copy_block" => &[CopyBlock],
        "pack" => &[Pack],
        "read" => &[Read],
        "read_row" => &[ReadRow],
        "read_pack" => &[ReadPack],
        "sum" => &[Sum],
        // They take no path.
        "scan" | "failed" | "write" | "abort" | "upload_row" | "uploads_after" | "uploads"
        | "usage" | "is_durable" | "staged" | "close" => &[],
        other => panic!("which paths does `{other}` take? It needs a row here (S8)"),
    }
}

/// All acts of all verbs.
fn every_act() -> Vec<Act> {
    let verbs = crate::store::conformance::store_verbs();
    verbs.into_iter().flat_map(acts).copied().collect()
}

/// What an act is tried on: a folder, a file in it, a new name in it, a folder with nothing and one
/// with something in it.
#[derive(Clone, Debug)]
struct Ground {
    folder: String,
    file: String,
    new: String,
    empty: String,
    tree: String,
    /// A file of the home's own, to be moved.
    own: String,
    /// A free name in the home.
    free: String,
}

impl Ground {
    fn of(folder: &str) -> Self {
        let below = |name: &str| format!("{folder}/{name}");
        Self {
            folder: folder.to_owned(),
            file: below("f"),
            new: below("new"),
            empty: below("empty"),
            tree: below("tree"),
            own: "own".to_owned(),
            free: "free".to_owned(),
        }
    }
}

/// How long an act may take before it counts as one that hangs.
const HANGS: Duration = Duration::from_mins(1);

impl Act {
    /// Tries it. Whatever it reads must be the user's own.
    async fn run(self, anna: &User, ground: &Ground) -> Result<()> {
        let tried = tokio::time::timeout(HANGS, self.try_it(anna, ground)).await;
        tried.unwrap_or_else(|_| panic!("{self:?} hangs on {ground:?}"))
    }

    async fn try_it(self, anna: &User, ground: &Ground) -> Result<()> {
        let (store, id) = (&anna.store, anna.id);
        let Ground { folder, file, new, empty, tree, own, free } = ground;
        let rename = async |from: &str, to: &str, if_target| {
            let rename = Rename { from: path(from), to: path(to), version: None, if_target };
            store.rename(id, anna.key(), rename).await.map(drop)
        };
        let remove = async |at: &str, recursive| {
            store.remove(id, anna.key(), &path(at), recursive, None).await.map(drop)
        };
        let set = async |at: &str, mode| {
            let time = Timestamp::new(7, 7).unwrap();
            store.set_attributes(id, anna.key(), &path(at), mode, Some(time)).await.map(drop)
        };
        match self {
            Self::Stat => {
                let size = anna.stat(file).await?.size;
                assert_eq!(size, MINE.len() as u64, "{self:?} saw what is not anna's");
            }
            Self::StatFolder => drop(anna.stat(tree).await?),
            Self::List => {
                let names: Vec<_> = anna.list(folder).await?.into_keys().collect();
                assert!(!names.iter().any(|name| name == "outside"), "{self:?} saw {names:?}");
            }
            Self::Mkdir => {
                store.mkdir(id, anna.key(), &path(new), false, Mode::FOLDER).await?;
            }
            Self::MkdirParents => {
                let deep = path(&format!("{new}/deep/deeper"));
                store.mkdir(id, anna.key(), &deep, true, Mode::FOLDER).await?;
            }
            Self::RenameFrom => rename(file, free, Target::Absent).await?,
            Self::RenameTo => rename(own, new, Target::Absent).await?,
            Self::RenameOver => rename(own, file, Target::Any).await?,
            Self::RenameInside => rename(tree, new, Target::Absent).await?,
            Self::RemoveFile => remove(file, false).await?,
            Self::RemoveFolder => remove(empty, false).await?,
            Self::RemoveTree => remove(tree, true).await?,
            Self::SetAttributes => set(file, Some(Mode::new(0o600))).await?,
            Self::SetAttributesOfFolder => set(folder, Some(Mode::new(0o700))).await?,
            Self::OpenUpload => {
                let upload = anna.upload(new, 1, Target::Any);
                let by = store.open_upload(id, upload).await?.by;
                store.abort(id, anna.key(), by.upload).await?;
            }
            Self::Commit => upload(anna, new).await?,
            Self::CommitOver => upload(anna, file).await?,
            Self::CopyBlock => {
                let version = anna.stat(file).await?.version;
                let new = anna.upload(free, MINE.len() as u64, Target::Any);
                let by = store.open_upload(id, new).await?.by;
                let copied = store.copy_block(id, by, 0, &path(file), &version, 0).await;
                store.abort(id, anna.key(), by.upload).await?;
                assert_eq!(copied?, row_of(MINE)[0]);
            }
            Self::Pack => pack(anna, ground).await?,
            Self::Read => {
                let content = anna.get(file).await?;
                assert_eq!(content, MINE, "{self:?} read what is not anna's");
            }
            Self::ReadRow => {
                let version = anna.stat(file).await?.version;
                let mut parts = store.read_row(id, &path(file), &version, 0, 1, false).await?;
                let part = parts.recv().await.expect("a part or a refusal")?;
                assert_eq!(part.hashes, row_of(MINE), "{self:?} read what is not anna's");
            }
            Self::ReadPack => {
                let version = anna.stat(file).await?.version;
                let mut files = store.read_pack(id, vec![(path(file), version)]).await?;
                let (bytes, _) = files.recv().await.expect("one for each").content?;
                assert_eq!(bytes, MINE, "{self:?} read what is not anna's");
            }
            Self::Sum => {
                let (root, _) = store.sum(id, &path(file)).await?;
                assert_eq!(root, root_of(MINE), "{self:?} read what is not anna's");
            }
        }
        Ok(())
    }
}

async fn upload(anna: &User, at: &str) -> Result<()> {
    let upload = anna.upload(at, MINE.len() as u64, Target::Any);
    let by = anna.store.open_upload(anna.id, upload).await?.by;
    anna.write_all(by, MINE).await?;
    let committed = anna.store.commit(anna.id, anna.key(), by, root_of(MINE)).await;
    if committed.is_err() {
        anna.store.abort(anna.id, anna.key(), by.upload).await?;
    }
    committed.map(drop)
}

async fn pack(anna: &User, ground: &Ground) -> Result<()> {
    let Ground { file, new, .. } = ground;
    let members: Vec<PackItem> = vec![
        folder_member(new),
        member(&format!("{new}/p"), MINE, Target::Absent),
        member(&format!("{new}/q/p"), MINE, Target::Any),
        member(file, MINE, Target::Any),
    ];
    let outcomes = anna.pack(anna.key(), members).await?;
    let refused: Vec<StoreError> = outcomes.into_iter().filter_map(Result::err).collect();
    refused.into_iter().next().map_or(Ok(()), Err)
}
