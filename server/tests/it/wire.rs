//! Refusals on the wire that no other journey meets: each code from a real server, with the path or
//! the numbers that belong to it, and nothing done.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use sampan_protocol::message::{
    CopyBlock, EnrolKey, KeyLife, List, Mkdir, Op, OpenUpload, Pack, PackMember, PackMemberKind,
    Precondition, Read, Remove, Rename, RevokeKey, Stat, Sum, UploadOpened, WriteBlock,
};
use sampan_protocol::wire::Flags;
use sampan_protocol::{
    BlockHash, ErrorCode, Mode, Refusal, RemotePath, Root, Timestamp, UploadKey, Version,
};
use sampan_server::store::QuotaLimits;
use serde_bytes::ByteBuf;

use crate::harness::{TestServer, key};
use crate::peer::Peer;

fn path(written: &str) -> RemotePath {
    RemotePath::parse(written.as_bytes()).unwrap()
}

fn open(target: &str, size: u64, key: u8) -> OpenUpload {
    OpenUpload {
        key: UploadKey([key; 16]),
        path: path(target),
        size,
        mode: Mode::new(0o640),
        mtime: Timestamp::default(),
        if_target: Precondition::Absent,
        parents: false,
    }
}

/// The request is refused with `code`, about `target` if that is a path.
#[track_caller]
fn refused<A: std::fmt::Debug>(result: Result<A, Refusal>, code: ErrorCode, target: &str) {
    let refusal = result.expect_err("it is refused");
    assert_eq!(refusal.code, code, "{refusal}");
    assert_eq!(refusal.path, Some(path(target)), "{refusal}");
    assert!(!refusal.message.is_empty(), "{refusal:?}");
}

async fn version_of(peer: &mut Peer, at: &str) -> Version {
    peer.call(&Stat { path: path(at) }).await.unwrap().attributes.version
}

async fn mkdir(peer: &mut Peer, at: &str) -> Result<(), Refusal> {
    let change = peer.change();
    let mkdir = Mkdir { change, path: path(at), parents: false, mode: None };
    peer.call(&mkdir).await.map(drop)
}

fn list(at: &str, cursor: Option<ByteBuf>) -> List {
    List { path: path(at), cursor }
}

#[tokio::test]
async fn each_refusal_of_names_has_its_code() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let home = server.home("anna");
    fs::create_dir_all(home.join("d/e")).unwrap();
    fs::write(home.join("f"), b"file").unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        home.join("fifo"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();

    refused(peer.call(&Stat { path: path("f/x") }).await, ErrorCode::NOT_A_FOLDER, "f/x");
    refused(peer.stream(&list("f", None)).await, ErrorCode::NOT_A_FOLDER, "f");
    refused(mkdir(&mut peer, "f/x").await, ErrorCode::NOT_A_FOLDER, "f/x");

    refused(peer.call(&Sum { path: path("d") }).await, ErrorCode::IS_A_FOLDER, "d");
    let version = version_of(&mut peer, "d").await;
    let read = Read { path: path("d"), version, first: 0, count: 1 };
    refused(peer.stream(&read).await, ErrorCode::IS_A_FOLDER, "d");
    let over = OpenUpload { if_target: Precondition::Any, ..open("d", 1, 1) };
    refused(peer.call(&over).await, ErrorCode::IS_A_FOLDER, "d");

    // Opened, it would hold the server up for ever.
    refused(peer.call(&Sum { path: path("fifo") }).await, ErrorCode::NOT_A_FILE, "fifo");
    let version = version_of(&mut peer, "fifo").await;
    let read = Read { path: path("fifo"), version, first: 0, count: 1 };
    refused(peer.stream(&read).await, ErrorCode::NOT_A_FILE, "fifo");

    let remove =
        |change, at: &str, version| Remove { change, path: path(at), recursive: true, version };
    let rename = |change, from: &str, to: &str, version, if_target| Rename {
        change,
        from: path(from),
        to: path(to),
        version,
        if_target,
    };
    let request = remove(peer.change(), "", None);
    refused(peer.call(&request).await, ErrorCode::INVALID_TARGET, "");
    let request = rename(peer.change(), "", "d/home", None, Precondition::Absent);
    refused(peer.call(&request).await, ErrorCode::INVALID_TARGET, "d/home");
    let request = rename(peer.change(), "d", "", None, Precondition::Any);
    refused(peer.call(&request).await, ErrorCode::INVALID_TARGET, "");
    let request = rename(peer.change(), "d", "d/e/d", None, Precondition::Absent);
    refused(peer.call(&request).await, ErrorCode::INVALID_TARGET, "d/e/d");

    let old = version_of(&mut peer, "f").await;
    fs::write(home.join("f"), b"another file").unwrap();
    let read = Read { path: path("f"), version: old.clone(), first: 0, count: 1 };
    refused(peer.stream(&read).await, ErrorCode::VERSION_CHANGED, "f");
    let request = remove(peer.change(), "f", Some(old.clone()));
    refused(peer.call(&request).await, ErrorCode::VERSION_CHANGED, "f");
    let request = rename(peer.change(), "f", "g", Some(old.clone()), Precondition::Absent);
    refused(peer.call(&request).await, ErrorCode::VERSION_CHANGED, "f");
    let over = OpenUpload { if_target: Precondition::This(old), ..open("f", 1, 2) };
    refused(peer.call(&over).await, ErrorCode::VERSION_CHANGED, "f");
    assert_eq!(fs::read(home.join("f")).unwrap(), b"another file");

    let nonsense = ByteBuf::from(b"not one of ours".to_vec());
    refused(peer.stream(&list("d", Some(nonsense))).await, ErrorCode::RESTART, "d");
    server.finish().await;
}

#[tokio::test]
async fn an_unknown_user_is_refused_like_a_known_one() {
    let server = TestServer::start().await;
    server.add("anna").await;
    let mut refusals = Vec::new();
    for user in ["anna", "nobody"] {
        let mut peer = Peer::connect(&server).await;
        let refusal = peer.log_in(user, "guess").await.unwrap_err();
        assert_eq!(refusal.code, ErrorCode::LOGIN_REFUSED);
        refusals.push(refusal);
    }
    assert_eq!(refusals[0], refusals[1]);
    server.finish().await;
}

#[tokio::test]
async fn each_bound_of_a_home_has_its_code() {
    let server = TestServer::start_set(|settings| settings.max_uploads = 1).await;
    let limits = QuotaLimits { bytes: None, entries: Some(2) };
    let anna = server.add_limited("anna", limits).await;
    server.enrol(anna, &key(7)).await;
    let mut peer = server.peer_again("anna").await;
    mkdir(&mut peer, "d").await.unwrap();
    let opened = peer.call(&open("f", 1, 1)).await.unwrap();

    let refusal = peer.call(&open("g", 1, 2)).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::TOO_MANY_UPLOADS);
    assert!(refusal.message.contains("too many unfinished uploads: 1 are allowed"), "{refusal}");

    let refusal = mkdir(&mut peer, "e").await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::TOO_MANY_FILES);
    assert_eq!((refusal.needed, refusal.available), (Some(1), Some(0)), "an upload holds one");
    abort(&mut peer, &opened).await;
    mkdir(&mut peer, "e").await.unwrap();
    server.finish().await;

    let full = TestServer::start_set(|settings| settings.disk_floor = u64::MAX).await;
    let mut peer = full.peer("anna").await;
    let refusal = peer.call(&open("f", 1, 1)).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::DISK_FULL);
    full.finish().await;
}

async fn abort(peer: &mut Peer, opened: &UploadOpened) {
    let change = peer.change();
    let upload = opened.upload;
    peer.call(&sampan_protocol::message::AbortUpload { change, upload }).await.unwrap();
}

#[tokio::test]
async fn each_refusal_of_an_upload_has_its_code() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let opened = peer.call(&open("f", 8, 1)).await.unwrap();
    refused(peer.call(&open("f", 9, 1)).await, ErrorCode::UPLOAD_DIFFERS, "f");
    refused(peer.call(&open("g", 8, 1)).await, ErrorCode::UPLOAD_DIFFERS, "g");

    let UploadOpened { upload, epoch, .. } = opened;
    let good = WriteBlock { upload, epoch, block: 0, offset: 0, hash: None };
    for (what, block, body) in [
        ("a piece that begins behind a gap", WriteBlock { offset: 4, ..good }, &b"half"[..]),
        ("more than the file has", good, b"more than eight bytes"),
        ("a block behind the end", WriteBlock { block: 1, ..good }, b"x"),
        ("another hash", WriteBlock { hash: Some(BlockHash([7; 32])), ..good }, b"12345678"),
        ("less than the block", good, b"1234"),
    ] {
        let id = peer.id();
        peer.queue(id, Op::WRITE_BLOCK, Flags::LAST, &block, body).await.unwrap();
        peer.flush().await;
        let answer = peer.next().await;
        assert_eq!(answer.id, id);
        let refusal: Refusal = answer.read();
        assert_eq!(refusal.code, ErrorCode::BLOCK_REFUSED, "{what}: {refusal}");
    }

    // The same by a copy: from behind the end of the base.
    fs::write(server.home("anna").join("base"), b"tiny").unwrap();
    let version = version_of(&mut peer, "base").await;
    let base = path("base");
    let copy = CopyBlock { upload, epoch, block: 0, base, version, offset: 100 };
    refused(peer.call(&copy).await, ErrorCode::BLOCK_REFUSED, "base");

    // Nothing of it counts as staged.
    let again = peer.call(&open("f", 8, 1)).await.unwrap();
    assert!(again.staged.is_empty(), "{again:?}");
    abort(&mut peer, &again).await;
    server.finish().await;
}

/// Requests that can be read and contradict themselves are told so, and end the session.
#[tokio::test]
async fn what_contradicts_itself_is_malformed() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let short = || ByteBuf::from(vec![1; 31]);
    let enrol = EnrolKey { public_key: short(), life: KeyLife::Session, label: String::new() };
    peer.send(&enrol).await;
    peer.expect_refused(ErrorCode::MALFORMED).await;
    let mut peer = server.peer_again("anna").await;
    peer.send(&RevokeKey { fingerprint: short() }).await;
    peer.expect_refused(ErrorCode::MALFORMED).await;

    // More bytes than the members of a pack have, and fewer.
    for body in [&b"123456789"[..], b"1234"] {
        let mut peer = server.peer_again("anna").await;
        let (id, pack) = (peer.id(), pack(&mut peer, 8, 1));
        peer.queue(id, Op::PACK, Flags::LAST, &pack, body).await.unwrap();
        peer.flush().await;
        peer.expect_refused(ErrorCode::MALFORMED).await;
    }
    // More members in one frame than a whole pack may have.
    let mut peer = server.peer_again("anna").await;
    let (id, many) = (peer.id(), pack(&mut peer, 0, 1025));
    peer.queue(id, Op::PACK, Flags::LAST, &many, b"").await.unwrap();
    peer.flush().await;
    peer.expect_refused(ErrorCode::MALFORMED).await;
    // A pack that changes its key, and a block that changes its number, on the way.
    let mut peer = server.peer_again("anna").await;
    let (id, first, second) = (peer.id(), pack(&mut peer, 8, 1), pack(&mut peer, 8, 1));
    peer.queue(id, Op::PACK, Flags::NONE, &first, b"12345678").await.unwrap();
    peer.queue(id, Op::PACK, Flags::LAST, &second, b"12345678").await.unwrap();
    peer.flush().await;
    peer.expect_refused(ErrorCode::MALFORMED).await;

    let mut peer = server.peer_again("anna").await;
    let opened = peer.call(&open("two", 2 << 20, 3)).await.unwrap();
    let UploadOpened { upload, epoch, .. } = opened;
    let id = peer.id();
    let block = WriteBlock { upload, epoch, block: 0, offset: 0, hash: None };
    peer.queue(id, Op::WRITE_BLOCK, Flags::NONE, &block, b"1234").await.unwrap();
    let other = WriteBlock { block: 1, offset: 4, ..block };
    peer.queue(id, Op::WRITE_BLOCK, Flags::LAST, &other, b"5678").await.unwrap();
    peer.flush().await;
    peer.expect_refused(ErrorCode::MALFORMED).await;

    let mut peer = server.peer_again("anna").await;
    abort(&mut peer, &opened).await;
    assert_eq!(fs::read_dir(server.home("anna")).unwrap().count(), 0, "nothing was done");
    server.finish().await;
}

/// A pack of so many files of so many bytes each.
fn pack(peer: &mut Peer, size: u64, members: usize) -> Pack {
    let kind = PackMemberKind::File {
        size,
        mtime: Timestamp::default(),
        root: Root([0; 32]),
        if_target: Precondition::Absent,
    };
    let member = PackMember { path: path("f"), mode: Mode::new(0o600), kind };
    Pack { change: peer.change(), members: vec![member; members] }
}

#[tokio::test]
async fn numbers_of_uploads_and_packs_are_bounded() {
    let server = TestServer::start().await;
    let mut peer = server.peer("anna").await;
    let refusal = peer.call(&open("f", u64::MAX, 1)).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LIMIT_EXCEEDED);

    let opened = peer.call(&open("f", 1 << 20, 1)).await.unwrap();
    let UploadOpened { upload, epoch, .. } = opened;
    let id = peer.id();
    let block = WriteBlock { upload, epoch, block: 0, offset: 0, hash: None };
    let long = vec![0; (256 << 10) + 1];
    peer.queue(id, Op::WRITE_BLOCK, Flags::LAST, &block, &long).await.unwrap();
    peer.flush().await;
    let refusal: Refusal = peer.next().await.read();
    assert_eq!(refusal.code, ErrorCode::LIMIT_EXCEEDED, "a piece");
    abort(&mut peer, &opened).await;

    let (id, many) = (peer.id(), pack(&mut peer, 0, 600));
    peer.queue(id, Op::PACK, Flags::NONE, &many, b"").await.unwrap();
    peer.queue(id, Op::PACK, Flags::LAST, &many, b"").await.unwrap();
    peer.flush().await;
    let refusal = peer.answers::<Pack>(id).await.unwrap_err();
    assert_eq!(refusal.code, ErrorCode::LIMIT_EXCEEDED, "members of a pack");

    // One member too long is refused by itself.
    let (id, large) = (peer.id(), pack(&mut peer, (256 << 10) + 1, 1));
    peer.queue(id, Op::PACK, Flags::LAST, &large, &long).await.unwrap();
    peer.flush().await;
    let results = peer.answers::<Pack>(id).await.unwrap().remove(0).0.results;
    let refusal = results[0].refusal.as_ref().unwrap();
    assert_eq!(refusal.code, ErrorCode::TOO_LARGE_FOR_PACK);
    server.finish().await;
}

/// Root may do everything: then the test runs again as somebody else.
#[test]
fn what_the_servers_user_may_not_do_is_refused() {
    const NOBODY: u32 = 65534;
    if rustix::process::geteuid().is_root() {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["wire::what_the_servers_user_may_not_do_is_refused", "--exact"]);
        let output = command.uid(NOBODY).gid(NOBODY).output().unwrap();
        let ran = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && ran.contains("1 passed"), "{ran}");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = TestServer::start().await;
        let mut peer = server.peer("anna").await;
        let closed = server.home("anna").join("closed");
        fs::create_dir(&closed).unwrap();
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
        let denied = ErrorCode::PERMISSION_DENIED;
        refused(peer.stream(&list("closed", None)).await, denied, "closed");
        refused(peer.call(&Stat { path: path("closed/x") }).await, denied, "closed/x");
        refused(mkdir(&mut peer, "closed/x").await, ErrorCode::PERMISSION_DENIED, "closed/x");
        fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
        server.finish().await;
    });
}

/// In a mount namespace of its own, as root or as anybody who may make one.
#[test]
#[ignore = "mounts a tmpfs: needs root or user namespaces, and util-linux"]
fn system_a_mount_point_is_the_end_of_a_home() {
    const INSIDE: &str = "SAMPAN_TEST_IN_MOUNTS";
    if std::env::var_os(INSIDE).is_none() {
        let mut command = Command::new("unshare");
        if !rustix::process::geteuid().is_root() {
            command.arg("--map-root-user");
        }
        command.args(["--mount", "--propagation", "private", "--"]);
        command.arg(std::env::current_exe().unwrap()).env(INSIDE, "yes");
        command.args(["wire::system_a_mount_point_is_the_end_of_a_home", "--exact", "--ignored"]);
        let output = command.output().expect("`unshare` of util-linux is installed");
        let out = String::from_utf8_lossy(&output.stdout);
        let err = String::from_utf8_lossy(&output.stderr);
        let passed = output.status.success() && out.contains("1 passed");
        assert!(passed, "is it allowed to mount here? {out}\n{err}");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let server = TestServer::start().await;
        let mut peer = server.peer("anna").await;
        let mount = server.home("anna").join("mount");
        fs::create_dir(&mount).unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "sampan-test"]).arg(&mount);
        assert!(command.status().unwrap().success(), "a tmpfs can be mounted");
        fs::write(mount.join("x"), b"elsewhere").unwrap();
        let other = ErrorCode::OTHER_FILE_SYSTEM;
        refused(peer.stream(&list("mount", None)).await, other, "mount");
        refused(peer.call(&Stat { path: path("mount/x") }).await, other, "mount/x");
        refused(mkdir(&mut peer, "mount/y").await, ErrorCode::OTHER_FILE_SYSTEM, "mount/y");
        assert_eq!(fs::read(mount.join("x")).unwrap(), b"elsewhere");
        assert!(Command::new("umount").arg(&mount).status().unwrap().success());
        server.finish().await;
    });
}
