//! Files through the whole server: wire, handlers, store and disk.

use std::os::unix::ffi::OsStrExt;

use bytes::Bytes;
use sampan_protocol::block::{BlockIndex, Blocks, root_of_row};
use sampan_protocol::limits::{BLOCK_BYTES, PIECE_BYTES};
use sampan_protocol::message::{
    AbortUpload, BlockWritten, CommitUpload, Committed, Durability, Fits, List, ListUploads,
    Member, MemberOutcome, Mkdir, Op, OpenUpload, Pack, PackFile, PackMember, PackMemberKind,
    Precondition, QuotaRequest, Read, ReadPack, ReadRow, Remove, Rename, SetAttributes, Stat,
    StatMany, Sum, UploadOpened, UploadRow, WriteBlock,
};
use sampan_protocol::wire::Flags;
use sampan_protocol::{
    BlockHash, EntryKind, ErrorCode, Mode, Name, Refusal, RemotePath, Root, Timestamp, UploadKey,
    Version,
};
use sampan_server::store::QuotaLimits;

use crate::harness::{TestServer, key};
use crate::peer::Peer;

fn path(written: impl AsRef<[u8]>) -> RemotePath {
    RemotePath::parse(written.as_ref()).unwrap()
}

/// Bytes that no two blocks have in common.
fn content(length: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

fn root(bytes: &[u8]) -> Root {
    Root(*blake3::hash(bytes).as_bytes())
}

fn open(target: &str, bytes: &[u8], key: u8) -> OpenUpload {
    OpenUpload {
        key: UploadKey([key; 16]),
        path: path(target),
        size: bytes.len() as u64,
        mode: Mode::new(0o640),
        mtime: Timestamp::new(1_000_000_000, 123_456_789).unwrap(),
        if_target: Precondition::Absent,
        parents: false,
    }
}

/// Sends blocks of an upload, all at once and with their pieces interleaved; gives their hashes.
async fn write(
    peer: &mut Peer,
    opened: &UploadOpened,
    bytes: &[u8],
    blocks: impl Iterator<Item = u64>,
) -> Vec<(u64, Result<BlockHash, Refusal>)> {
    let length = usize::try_from(BLOCK_BYTES).unwrap();
    let cut = |block: u64| {
        let start = usize::try_from(block * BLOCK_BYTES).unwrap();
        let bytes = &bytes[start..bytes.len().min(start + length)];
        bytes.chunks(PIECE_BYTES).collect::<Vec<_>>()
    };
    let mut ids = Vec::new();
    let mut rows: Vec<_> = blocks.map(|block| (block, cut(block))).collect();
    for (block, _) in &rows {
        ids.push((peer.id(), *block));
    }
    let most = rows.iter().map(|(_, pieces)| pieces.len()).max().unwrap_or_default();
    for index in 0..most {
        for ((block, pieces), (id, _)) in rows.iter_mut().zip(&ids) {
            let Some(piece) = pieces.get(index) else { continue };
            let flags = if index + 1 == pieces.len() { Flags::LAST } else { Flags::NONE };
            let args = WriteBlock {
                upload: opened.upload,
                epoch: opened.epoch,
                block: *block,
                offset: u32::try_from(index * PIECE_BYTES).unwrap(),
                hash: None,
            };
            peer.queue(*id, Op::WRITE_BLOCK, flags, &args, piece).await.unwrap();
        }
    }
    peer.flush().await;
    let mut written = Vec::new();
    while written.len() < ids.len() {
        let answer = peer.next().await;
        let (_, block) = ids.iter().find(|(id, _)| *id == answer.id).expect("an id that was asked");
        written.push((*block, answer.result::<BlockWritten>().map(|written| written.hash)));
    }
    written.sort_by_key(|(block, _)| *block);
    written
}

async fn commit(
    peer: &mut Peer,
    opened: &UploadOpened,
    bytes: &[u8],
) -> Result<Committed, Refusal> {
    let UploadOpened { upload, epoch, .. } = *opened;
    let change = peer.change();
    peer.call(&CommitUpload { change, upload, epoch, root: root(bytes) }).await
}

/// Puts a file.
async fn put(peer: &mut Peer, target: &str, bytes: &[u8], key: u8) -> Committed {
    let opened = peer.call(&open(target, bytes, key)).await.unwrap();
    let count = Blocks::of(bytes.len() as u64).unwrap().count();
    write(peer, &opened, bytes, 0..count).await;
    commit(peer, &opened, bytes).await.unwrap()
}

/// Gets a file.
async fn get(
    peer: &mut Peer,
    path: &RemotePath,
    version: Version,
    count: u64,
) -> Result<Vec<u8>, Refusal> {
    let read = Read { path: path.clone(), version, first: 0, count };
    let mut bytes = Vec::new();
    for (piece, body) in peer.stream(&read).await? {
        if !body.is_empty() {
            assert_eq!(piece.block * BLOCK_BYTES + u64::from(piece.offset), bytes.len() as u64);
        }
        bytes.extend_from_slice(&body);
    }
    Ok(bytes)
}

#[tokio::test]
async fn a_file_goes_up_and_comes_down_byte_for_byte() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let sizes = [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES + 1];
    for (number, size) in (0..).zip(sizes) {
        let bytes = content(size);
        let target = format!("file{number}");
        let opened = peer.call(&open(&target, &bytes, number)).await.unwrap();
        let blocks = Blocks::of(size).unwrap();
        let written = write(&mut peer, &opened, &bytes, 0..blocks.count()).await;
        let row: Vec<_> = written.into_iter().map(|(_, hash)| hash.unwrap()).collect();
        assert!(!server.home("anna").join(&target).exists(), "invisible until it is whole");
        let committed = commit(&mut peer, &opened, &bytes).await.unwrap();
        assert_eq!(committed.durability, Durability::Full);
        assert_eq!(committed.attributes.size, size);
        assert_eq!(std::fs::read(server.home("anna").join(&target)).unwrap(), bytes);

        let there = path(&target);
        let attributes = peer.call(&Stat { path: there.clone() }).await.unwrap().attributes;
        assert_eq!(attributes, committed.attributes);
        assert_eq!(attributes.mode.bits(), 0o640);
        assert_eq!(Some(attributes.mtime), Timestamp::new(1_000_000_000, 123_456_789));
        let version = attributes.version.clone();
        assert_eq!(get(&mut peer, &there, version.clone(), blocks.count()).await.unwrap(), bytes);

        let sum = peer.call(&Sum { path: there.clone() }).await.unwrap();
        assert_eq!((sum.root, sum.attributes), (root(&bytes), attributes));
        let read = ReadRow { path: there, version, first: 0, count: blocks.count(), fine: false };
        let parts = peer.stream(&read).await.unwrap();
        let hashes: Vec<u8> = parts.into_iter().flat_map(|(_, body)| body).collect();
        let expected: Vec<u8> = row.iter().flat_map(|hash| hash.0).collect();
        assert_eq!(hashes, expected);
        if size > 0 {
            assert_eq!(root_of_row(&row, blocks).unwrap(), root(&bytes));
        }
    }
    server.finish().await;
}

/// A connection that is lost in the middle costs what was on its way; another one goes on.
#[tokio::test]
async fn an_upload_goes_on_over_another_connection() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let bytes = content(4 * BLOCK_BYTES + 17);
    let first = peer.call(&open("big", &bytes, 1)).await.unwrap();
    write(&mut peer, &first, &bytes, 0..2).await;
    drop(peer);

    let mut peer = server.peer_again("anna").await;
    let unfinished = peer.stream(&ListUploads {}).await.unwrap().remove(0).0.uploads;
    assert_eq!(unfinished.len(), 1);
    assert_eq!((unfinished[0].upload, unfinished[0].size), (first.upload, bytes.len() as u64));
    assert_eq!(unfinished[0].path, path("big"));
    let resumed = peer.call(&open("big", &bytes, 1)).await.unwrap();
    assert_eq!(resumed.upload, first.upload);
    assert!(resumed.epoch > first.epoch);
    let staged: Vec<u64> = resumed.staged.iter().map(|block| block.0).collect();
    assert_eq!(staged, [0, 1]);
    let row = UploadRow { upload: resumed.upload, first: 0, count: 5 };
    let (part, body) = peer.stream(&row).await.unwrap().remove(0);
    assert!(part.blocks.contains(BlockIndex(1)) && body.len() == 64);

    // The old writer's epoch is over.
    let refused = write(&mut peer, &first, &bytes, 2..3).await.remove(0).1.unwrap_err();
    assert_eq!(refused.code, ErrorCode::UPLOAD_TAKEN);
    let refused = commit(&mut peer, &resumed, &bytes).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::INCOMPLETE);
    write(&mut peer, &resumed, &bytes, 2..5).await;
    let refused = commit(&mut peer, &resumed, &bytes[1..]).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::ROOT_MISMATCH);
    commit(&mut peer, &resumed, &bytes).await.unwrap();
    assert_eq!(std::fs::read(server.home("anna").join("big")).unwrap(), bytes);
    server.finish().await;
}

#[tokio::test]
async fn over_quota_is_refused_before_the_first_byte() {
    let server = TestServer::start().await;
    let limits = QuotaLimits { bytes: Some(3 * BLOCK_BYTES), entries: Some(10) };
    let anna = server.add_limited("anna", limits).await;
    server.enrol(anna, &key(7)).await;
    let mut peer = server.peer_again("anna").await;
    let bytes = content(2 * BLOCK_BYTES);
    let opened = peer.call(&open("first", &bytes, 1)).await.unwrap();
    let refused = peer.call(&open("second", &bytes, 2)).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::OVER_QUOTA);
    assert_eq!((refused.needed, refused.available), (Some(2 * BLOCK_BYTES), Some(BLOCK_BYTES)));

    let quota = peer.call(&QuotaRequest {}).await.unwrap();
    assert_eq!((quota.limit, quota.max_entries), (Some(3 * BLOCK_BYTES), Some(10)));
    assert_eq!((quota.used, quota.reserved), (0, 2 * BLOCK_BYTES));
    assert_eq!(quota.available, BLOCK_BYTES);
    assert_eq!((quota.entries, quota.reserved_entries), (0, 1));
    let fits = peer.call(&Fits { bytes: BLOCK_BYTES + 5, entries: 12 }).await.unwrap();
    assert_eq!((fits.missing_bytes, fits.missing_entries), (5, 3));

    let change = peer.change();
    peer.call(&AbortUpload { change, upload: opened.upload }).await.unwrap();
    let quota = peer.call(&QuotaRequest {}).await.unwrap();
    assert_eq!((quota.used, quota.reserved, quota.available), (0, 0, 3 * BLOCK_BYTES));
    server.finish().await;
}

fn member(name: &str, bytes: &[u8]) -> PackMember {
    let kind = PackMemberKind::File {
        size: bytes.len() as u64,
        mtime: Timestamp::new(5, 6).unwrap(),
        root: root(bytes),
        if_target: Precondition::Absent,
    };
    PackMember { path: path(name), mode: Mode::FILE, kind }
}

#[tokio::test]
async fn small_files_go_up_and_down_in_packs() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let change = peer.change();
    let folder =
        PackMember { path: path("d"), mode: Mode::FOLDER, kind: PackMemberKind::Folder {} };
    let files: Vec<(String, Vec<u8>)> = (0..600)
        .map(|number| (format!("d/{number}"), format!("content {number}").into()))
        .collect();
    let id = peer.id();
    let members = vec![folder];
    peer.queue(id, Op::PACK, Flags::NONE, &Pack { change, members }, &[]).await.unwrap();
    for (number, chunk) in files.chunks(200).enumerate() {
        let members = chunk.iter().map(|(name, bytes)| member(name, bytes)).collect();
        let body: Vec<u8> = chunk.iter().flat_map(|(_, bytes)| bytes.clone()).collect();
        let flags = if number == 2 { Flags::LAST } else { Flags::NONE };
        peer.queue(id, Op::PACK, flags, &Pack { change, members }, &body).await.unwrap();
    }
    peer.flush().await;
    let pages = peer.answers::<Pack>(id).await.unwrap();
    assert!(pages.len() > 1, "results come in several frames");
    let results: Vec<_> = pages.into_iter().flat_map(|(page, _)| page.results).collect();
    assert_eq!(results.len(), 601);
    for (index, result) in (0..).zip(&results) {
        assert_eq!(result.index, index);
        assert!(result.attributes.is_some() && result.refusal.is_none(), "{result:?}");
    }

    // A member whose bytes are others is refused, by its index; the rest is published.
    let (bad, good) = (member("bad", b"other"), member("good", b"bytes"));
    let id = peer.id();
    let pack = Pack { change: peer.change(), members: vec![bad, good] };
    peer.queue(id, Op::PACK, Flags::LAST, &pack, b"wrongbytes").await.unwrap();
    peer.flush().await;
    let results = peer.answers::<Pack>(id).await.unwrap().remove(0).0.results;
    assert_eq!(results[0].refusal.as_ref().unwrap().code, ErrorCode::ROOT_MISMATCH);
    assert!(results[1].attributes.is_some());

    let paths: Vec<_> = files.iter().map(|(name, _)| path(name)).chain([path("bad")]).collect();
    let pages = peer.stream(&StatMany { paths: paths.clone() }).await.unwrap();
    let stats: Vec<_> = pages.into_iter().flat_map(|(page, _)| page.results).collect();
    assert_eq!(stats.len(), 601);
    assert_eq!(stats[600].refusal.as_ref().unwrap().code, ErrorCode::NOT_FOUND);
    let version = |index: usize| {
        stats[index].attributes.as_ref().map(|a| a.version.clone()).unwrap_or_default()
    };
    let wanted = (0..).zip(paths).map(|(index, path)| PackFile { path, version: version(index) });
    let pages = peer.stream(&ReadPack { files: wanted.collect() }).await.unwrap();
    let mut seen = 0;
    for (page, mut body) in pages {
        for member in page.members {
            seen += 1;
            match member.outcome {
                MemberOutcome::File { size, root: stated } => {
                    let bytes: Bytes = body.split_to(usize::try_from(size).unwrap());
                    assert_eq!(bytes, files[member.index as usize].1);
                    assert_eq!(stated, root(&bytes));
                }
                MemberOutcome::Refused(refusal) => {
                    assert_eq!((member.index, refusal.code), (600, ErrorCode::NOT_FOUND));
                }
            }
        }
        assert!(body.is_empty());
    }
    assert_eq!(seen, 601);
    server.finish().await;
}

/// HARDENING S10: however often a peer names a file, no more is read than fits into a pack.
#[tokio::test]
async fn s10_files_beyond_a_pack_are_refused_unread() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    std::fs::write(server.home("anna").join("full"), vec![7; 256 << 10]).unwrap();
    std::fs::write(server.home("anna").join("over"), vec![7; (256 << 10) + 1]).unwrap();
    let mut files = Vec::new();
    for name in ["over", "full"] {
        let version = peer.call(&Stat { path: path(name) }).await.unwrap().attributes.version;
        let times = if name == "over" { 1 } else { 40 };
        files.extend(vec![PackFile { path: path(name), version }; times]);
    }
    let pages = peer.stream(&ReadPack { files }).await.unwrap();
    let bytes: usize = pages.iter().map(|(_, body)| body.len()).sum();
    assert_eq!(bytes, 8 << 20);
    let members: Vec<_> = pages.into_iter().flat_map(|(page, _)| page.members).collect();
    assert_eq!(members.len(), 41);
    for Member { index, outcome } in members {
        let code = match outcome {
            MemberOutcome::File { .. } => None,
            MemberOutcome::Refused(refusal) => Some(refusal.code),
        };
        let fits = (1..=32).contains(&index);
        assert_eq!(code, (!fits).then_some(ErrorCode::TOO_LARGE_FOR_PACK), "file {index}");
    }
    server.finish().await;
}

#[tokio::test]
async fn a_large_folder_is_listed_in_pages_and_goes_on_at_a_cursor() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    for number in 0..3000 {
        std::fs::write(server.home("anna").join(format!("{number}")), "").unwrap();
    }
    let pages = peer.stream(&List { path: RemotePath::home(), cursor: None }).await.unwrap();
    assert!(pages.iter().all(|(page, _)| page.entries.len() <= 1024 && page.unreadable == 0));
    let all: Vec<_> = pages.iter().flat_map(|(page, _)| &page.entries).collect();
    let mut names: Vec<_> = all.iter().map(|entry| entry.name.clone()).collect();
    names.sort();
    names.dedup();
    assert_eq!((all.len(), names.len()), (3000, 3000));

    let cursor = pages[0].0.cursor.clone();
    let rest = peer.stream(&List { path: RemotePath::home(), cursor }).await.unwrap();
    let rest: Vec<_> = rest.iter().flat_map(|(page, _)| &page.entries).collect();
    assert_eq!(rest, all[pages[0].0.entries.len()..]);
    server.finish().await;
}

/// HARDENING S2: every byte that a name may hold travels unchanged.
#[tokio::test]
async fn s2_strange_names_travel_unchanged() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    for name in [&b"\x1b[2J"[..], b"\xff\xfe", b"a\nb", "\u{202e}txt".as_bytes(), &[b'x'; 255]] {
        let there = RemotePath::from_names(vec![Name::new(name).unwrap()]).unwrap();
        let change = peer.change();
        let mkdir = Mkdir { change, path: there.clone(), parents: false, mode: None };
        peer.call(&mkdir).await.unwrap();
        assert!(server.home("anna").join(std::ffi::OsStr::from_bytes(name)).is_dir());
        let pages = peer.stream(&List { path: RemotePath::home(), cursor: None }).await.unwrap();
        let entries: Vec<_> = pages.into_iter().flat_map(|(page, _)| page.entries).collect();
        assert_eq!(entries.len(), 1);
        assert_eq!(entries[0].name.as_bytes(), name);
        let remove = Remove { change: peer.change(), path: there, recursive: false, version: None };
        peer.call(&remove).await.unwrap();
    }
    server.finish().await;
}

/// HARDENING S6, S8: a link is shown as one and never followed.
#[tokio::test]
async fn s8_a_link_leads_nowhere() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let outside = server.scratch().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("secret"), "secret").unwrap();
    std::os::unix::fs::symlink(&outside, server.home("anna").join("way")).unwrap();
    std::os::unix::fs::symlink(outside.join("secret"), server.home("anna").join("file")).unwrap();

    let attributes = peer.call(&Stat { path: path("way") }).await.unwrap().attributes;
    assert_eq!(attributes.kind, EntryKind::Link);
    let is_link = |refusal: Refusal| assert_eq!(refusal.code, ErrorCode::IS_A_LINK);
    is_link(peer.call(&Stat { path: path("way/secret") }).await.unwrap_err());
    is_link(peer.stream(&List { path: path("way"), cursor: None }).await.unwrap_err());
    is_link(peer.call(&Sum { path: path("file") }).await.unwrap_err());
    is_link(get(&mut peer, &path("file"), Version::default(), 1).await.unwrap_err());
    is_link(peer.call(&open("way/new", b"x", 1)).await.unwrap_err());
    let change = peer.change();
    let mkdir = Mkdir { change, path: path("way/new"), parents: true, mode: None };
    is_link(peer.call(&mkdir).await.unwrap_err());
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    server.finish().await;
}

#[tokio::test]
async fn changes_are_made_and_refused_by_name() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let committed = put(&mut peer, "a", b"bytes of a", 1).await;
    let refused = |result: Result<_, Refusal>| result.unwrap_err().code;

    let change = peer.change();
    let mkdir = Mkdir { change, path: path("d/e"), parents: false, mode: None };
    assert_eq!(peer.call(&mkdir).await.unwrap_err().code, ErrorCode::NOT_FOUND);
    let change = peer.change();
    peer.call(&Mkdir { change, parents: true, ..mkdir }).await.unwrap();

    let rename = |peer: &mut Peer, from: &str, to: &str| Rename {
        change: peer.change(),
        from: path(from),
        to: path(to),
        version: None,
        if_target: Precondition::Absent,
    };
    let request = rename(&mut peer, "a", "d/b");
    let moved = peer.call(&request).await.unwrap();
    assert_eq!(moved.attributes.size, 10);
    let request = rename(&mut peer, "d", "d/e/f");
    assert_eq!(refused(peer.call(&request).await), ErrorCode::INVALID_TARGET);
    let request = rename(&mut peer, "d/b", "d/e");
    assert_eq!(refused(peer.call(&request).await), ErrorCode::EXISTS);

    let old = committed.attributes.version;
    let mtime = Timestamp::new(7, 8);
    let set = SetAttributes {
        change: peer.change(),
        path: path("d/b"),
        mode: Some(Mode::new(0o600)),
        mtime,
    };
    let set = peer.call(&set).await.unwrap().attributes;
    assert_eq!((set.mode.bits(), Some(set.mtime)), (0o600, mtime));
    let changed = get(&mut peer, &path("d/b"), old, 1).await.unwrap_err();
    assert_eq!(changed.code, ErrorCode::VERSION_CHANGED);

    let remove = |peer: &mut Peer, recursive| Remove {
        change: peer.change(),
        path: path("d"),
        recursive,
        version: None,
    };
    let request = remove(&mut peer, false);
    assert_eq!(peer.call(&request).await.unwrap_err().code, ErrorCode::NOT_EMPTY);
    let request = remove(&mut peer, true);
    let removed = peer.call(&request).await.unwrap();
    assert_eq!((removed.entries, removed.bytes), (3, 10));
    let quota = peer.call(&QuotaRequest {}).await.unwrap();
    assert_eq!((quota.used, quota.entries), (0, 0));
    server.finish().await;
}

/// Two accounts do not see each other.
#[tokio::test]
async fn homes_are_apart() {
    let server = TestServer::start().await;
    let mut anna = server.peer("anna").await;
    let mut bert = server.peer("bert").await;
    put(&mut anna, "hers", b"hers", 1).await;
    let refused = bert.call(&Stat { path: path("hers") }).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::NOT_FOUND);
    let opened = anna.call(&open("other", b"x", 2)).await.unwrap();
    let refused = commit(&mut bert, &opened, b"x").await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::UPLOAD_NOT_FOUND);
    let refused = write(&mut bert, &opened, b"x", 0..1).await.remove(0).1.unwrap_err();
    assert_eq!(refused.code, ErrorCode::UPLOAD_NOT_FOUND);
    let change = anna.change();
    anna.call(&AbortUpload { change, upload: opened.upload }).await.unwrap();
    server.finish().await;
}
