//! Every change of the protocol is sent again and again, its answer lost each time, over new
//! connections and to a server that was started anew: one effect, one answer (HARDENING 2.7).
//!
//! After the first time somebody undoes the effect, so that a second effect would be seen.

use std::fmt::Debug;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use bytes::Bytes;
use sampan_client::remote::{CallError, Patience, Remote, Session};
use sampan_client::transfer::Options;
use sampan_protocol::message::{
    AbortUpload, CommitUpload, CopyBlock, EnrolKey, KeyLife, ListKeys, ListUploads, Mkdir, Op,
    OpenUpload, Pack, PackMember, PackMemberKind, Precondition, Remove, Rename, Request, RevokeKey,
    SetAttributes, UploadOpened, WriteBlock,
};
use sampan_protocol::{ErrorCode, Mode, Root, Timestamp, UploadKey};
use serde_bytes::ByteBuf;

use crate::engine::rig::{Rig, home, noise, up};
use crate::proxy::Proxy;

/// Answers that get lost before and after the effect is undone.
const LOST: usize = 3;

/// A client that gets no answer when it is told so, and another one.
struct Bench {
    rig: Rig,
    proxy: Proxy,
    remote: Remote,
    other: Remote,
}

impl Bench {
    async fn new() -> Self {
        let rig = Rig::start().await;
        let proxy = Proxy::to(rig.port).await;
        // No ping's answer is lost in the place of one that is meant.
        let never = Duration::from_hours(1);
        let patience = Patience { ping: never, idle: never, silent: never, dead: never };
        let remote = rig.patient_remote_at(proxy.port, patience).await;
        let other = rig.remote().await;
        Self { rig, proxy, remote, other }
    }

    /// A session, as soon as the server lets one in.
    async fn session(&self) -> Session {
        let control = self.remote.control();
        loop {
            self.remote.retry_now();
            let soon = tokio::time::timeout(Duration::from_millis(20), control.session());
            if let Ok(session) = soon.await {
                return session.unwrap();
            }
        }
    }

    /// Asks; the server's answer does not arrive.
    async fn unheard<A: Debug>(&self, ask: &impl AsyncFn(Session) -> Result<A, CallError>) {
        let session = self.session().await;
        self.proxy.lose_an_answer();
        assert_eq!(ask(session).await.unwrap_err(), CallError::Lost);
        assert_eq!(self.proxy.answers_to_lose(), 0, "it was cut before the server answered");
    }

    /// Asks again and again, over a new connection each time and then of a new server. What comes at
    /// last came the first time, though it was not heard.
    async fn again_and_again<A: Debug + PartialEq>(
        &mut self,
        ask: impl AsyncFn(Session) -> Result<A, CallError>,
        undo: impl AsyncFn(&Self),
    ) -> A {
        self.unheard(&ask).await;
        undo(self).await;
        for _ in 1..LOST {
            self.unheard(&ask).await;
        }
        let answer = ask(self.session().await).await.unwrap();
        self.rig.stop_server().await;
        self.rig.resume_server().await;
        self.unheard(&ask).await;
        assert_eq!(ask(self.session().await).await.unwrap(), answer, "another answer");
        answer
    }

    /// The same of a change in one frame.
    async fn change<R: Request + Sync>(
        &mut self,
        request: R,
        undo: impl AsyncFn(&Self),
    ) -> R::Answer
    where
        R::Answer: Debug + PartialEq,
    {
        self.again_and_again(async |session: Session| session.call(&request).await, undo).await
    }

    fn lies_there(&self, path: &str) -> bool {
        self.rig.home().join(path).exists()
    }

    async fn put(&self, name: &str, bytes: &[u8]) {
        let file = self.rig.local("files").join(name);
        fs::write(&file, bytes).unwrap();
        self.rig.carry(up(&file, false, "", true), Options::default()).await.expect_done();
    }

    /// An upload with its one block.
    async fn uploaded(&self, number: u8, bytes: &[u8]) -> UploadOpened {
        let opened = self.other.call(&opening(number, bytes)).await.unwrap();
        write(&self.other.control().session().await.unwrap(), &opened, bytes).await.unwrap();
        opened
    }

    async fn uploads(&self) -> usize {
        let session = self.other.control().session().await.unwrap();
        let mut answers = session.stream(&ListUploads {}, 8).await.unwrap();
        let mut count = 0;
        while let Some((page, _)) = answers.next().await.unwrap() {
            count += page.uploads.len();
        }
        count
    }
}

fn opening(number: u8, bytes: &[u8]) -> OpenUpload {
    OpenUpload {
        key: UploadKey([number; 16]),
        path: home(&format!("upload {number}")),
        size: bytes.len() as u64,
        mode: Mode::FILE,
        mtime: Timestamp::default(),
        if_target: Precondition::Absent,
        parents: false,
    }
}

fn root_of(bytes: &[u8]) -> Root {
    Root(*blake3::hash(bytes).as_bytes())
}

async fn write(
    session: &Session,
    opened: &UploadOpened,
    bytes: &[u8],
) -> Result<[u8; 32], CallError> {
    let (upload, epoch) = (opened.upload, opened.epoch);
    let piece = WriteBlock { upload, epoch, block: 0, offset: 0, hash: None };
    let mut call = session.begin::<WriteBlock>(1)?;
    call.send(&piece, Bytes::copy_from_slice(bytes), true).await?;
    call.answers().only().await.map(|(written, _)| written.hash.0)
}

/// Whether an operation changes anything, tried out if it does. Panics at one that is not known
/// here: a new change is tried as all others are.
async fn try_out(bench: &mut Bench, op: Op, name: &str) -> bool {
    let held = bench.remote.begin_change();
    let change = held.key();
    match op {
        Op::MKDIR => {
            let mkdir = Mkdir { change, path: home("made"), parents: false, mode: None };
            let undo = async |bench: &Bench| {
                bench.other.remove(&home("made"), false, None).await.unwrap();
            };
            bench.change(mkdir, undo).await;
            assert!(!bench.lies_there("made"), "made twice");
        }
        Op::RENAME => {
            bench.put("one", b"one").await;
            bench.put("other", b"other").await;
            let (from, to, if_target) = (home("one"), home("other"), Precondition::Any);
            let rename = Rename { change, from, to, version: None, if_target };
            let undo = async |bench: &Bench| {
                let (from, to) = (home("other"), home("one"));
                bench.other.rename(&from, &to, None, Precondition::Absent).await.unwrap();
            };
            bench.change(rename, undo).await;
            assert!(bench.lies_there("one") && !bench.lies_there("other"), "renamed twice");
        }
        Op::REMOVE => {
            bench.put("removed", b"12345").await;
            let (path, version) = (home("removed"), None);
            let remove = Remove { change, path, recursive: true, version };
            let undo = async |bench: &Bench| {
                bench.other.mkdir(&home("removed"), false, None).await.unwrap();
            };
            let removed = bench.change(remove, undo).await;
            assert_eq!((removed.entries, removed.bytes), (1, 5));
            assert!(bench.lies_there("removed"), "removed twice");
        }
        Op::SET_ATTRIBUTES => {
            bench.put("kept", b"kept").await;
            let (path, mode) = (home("kept"), Some(Mode::new(0o751)));
            let set = SetAttributes { change, path, mode, mtime: None };
            let undo = async |bench: &Bench| {
                let mode = Some(Mode::new(0o640));
                bench.other.set_attributes(&home("kept"), mode, None).await.unwrap();
            };
            let set = bench.change(set, undo).await;
            assert_eq!(set.attributes.mode, Mode::new(0o751));
            let mode = fs::metadata(bench.rig.home().join("kept")).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o640, "set twice");
        }
        Op::OPEN_UPLOAD => {
            let request = opening(1, b"opened");
            let ask = async |session: Session| {
                session.call(&request).await.map(|UploadOpened { upload, .. }| upload)
            };
            let upload = bench.again_and_again(ask, async |_| ()).await;
            assert_eq!((bench.uploads().await, bench.rig.reserved().await), (1, 6));
            bench.other.change(|change| AbortUpload { change, upload }).await.unwrap();
        }
        Op::WRITE_BLOCK => {
            let bytes = noise(2, 100_000);
            let opened = bench.other.call(&opening(2, &bytes)).await.unwrap();
            let ask = async |session: Session| write(&session, &opened, &bytes).await;
            let hash = bench.again_and_again(ask, async |_| ()).await;
            assert_eq!(hash, root_of(&bytes).0);
            assert_eq!(bench.rig.reserved().await, 100_000);
            let upload = opened.upload;
            bench.other.change(|change| AbortUpload { change, upload }).await.unwrap();
        }
        Op::COPY_BLOCK => {
            let bytes = noise(3, 100_000);
            bench.put("base", &bytes).await;
            let version = bench.other.stat(&home("base")).await.unwrap().version;
            let opened = bench.other.call(&opening(3, &bytes)).await.unwrap();
            let (upload, epoch, base) = (opened.upload, opened.epoch, home("base"));
            let copy = CopyBlock { upload, epoch, block: 0, base, version, offset: 0 };
            let written = bench.change(copy, async |_| ()).await;
            assert_eq!(written.hash.0, root_of(&bytes).0);
            bench.other.change(|change| AbortUpload { change, upload }).await.unwrap();
        }
        Op::COMMIT_UPLOAD => {
            let UploadOpened { upload, epoch, .. } = bench.uploaded(4, b"committed").await;
            let commit = CommitUpload { change, upload, epoch, root: root_of(b"committed") };
            let undo = async |bench: &Bench| {
                bench.other.remove(&home("upload 4"), false, None).await.unwrap();
            };
            let committed = bench.change(commit, undo).await;
            assert_eq!(committed.attributes.size, 9);
            assert!(!bench.lies_there("upload 4"), "published twice");
        }
        Op::ABORT_UPLOAD => {
            let UploadOpened { upload, .. } = bench.uploaded(5, b"given up").await;
            // Under the same key another one is opened, which stays.
            let undo = async |bench: &Bench| {
                bench.other.call(&opening(5, b"given up")).await.unwrap();
            };
            bench.change(AbortUpload { change, upload }, undo).await;
            assert_eq!(bench.uploads().await, 1, "given up twice");
            let reopened = bench.other.call(&opening(5, b"given up")).await.unwrap().upload;
            bench.other.change(|change| AbortUpload { change, upload: reopened }).await.unwrap();
        }
        Op::PACK => {
            let kind = PackMemberKind::File {
                size: 4,
                mtime: Timestamp::default(),
                root: root_of(b"pack"),
                if_target: Precondition::Absent,
            };
            let members = [("packed", PackMemberKind::Folder {}), ("packed/file", kind)];
            let members = members.map(|(path, kind)| PackMember {
                path: home(path),
                mode: Mode::FOLDER,
                kind,
            });
            let pack = Pack { change, members: members.to_vec() };
            let ask = async |session: Session| {
                let mut call = session.begin::<Pack>(8)?;
                call.send(&pack, Bytes::from_static(b"pack"), true).await?;
                call.answers().only().await.map(|(answer, _)| answer)
            };
            let undo = async |bench: &Bench| {
                bench.other.remove(&home("packed"), true, None).await.unwrap();
            };
            let answer = bench.again_and_again(ask, undo).await;
            assert!(answer.results.iter().all(|result| result.attributes.is_some()), "{answer:?}");
            assert!(!bench.lies_there("packed"), "published twice");
        }
        // These name what they do, so that twice is once.
        Op::ENROL_KEY => {
            let (public_key, label) = (ByteBuf::from(public_key()), "replayed".to_owned());
            let enrol = EnrolKey { public_key, life: KeyLife::UntilRevoked, label };
            bench.change(enrol, async |_| ()).await;
            assert_eq!(replayed_keys(bench).await, 1);
        }
        Op::REVOKE_KEY => {
            let (public_key, label) = (ByteBuf::from(public_key()), "replayed".to_owned());
            let enrol = EnrolKey { public_key, life: KeyLife::UntilRevoked, label };
            let fingerprint = bench.other.call(&enrol).await.unwrap().fingerprint;
            let revoke = RevokeKey { fingerprint };
            // Who did not hear that it was revoked is told that it is gone.
            let ask = async |session: Session| match session.call(&revoke).await {
                Err(error) if error.is(ErrorCode::KEY_NOT_FOUND) => Ok(()),
                other => other.map(drop),
            };
            bench.again_and_again(ask, async |_| ()).await;
            assert_eq!(replayed_keys(bench).await, 0);
        }
        Op::HELLO
        | Op::SCRAM_PROOF
        | Op::PING
        | Op::GOODBYE
        | Op::LIST_KEYS
        | Op::STAT
        | Op::STAT_MANY
        | Op::LIST
        | Op::UPLOAD_ROW
        | Op::LIST_UPLOADS
        | Op::READ
        | Op::READ_ROW
        | Op::READ_PACK
        | Op::SUM
        | Op::QUOTA
        | Op::FITS => return false,
        Op(_) => panic!("{name} is new: say here whether it changes anything, and try it out"),
    }
    drop(held);
    true
}

fn public_key() -> [u8; 32] {
    sampan_protocol::login_key::LoginKey::from_seed(&[77; 32]).public().0
}

async fn replayed_keys(bench: &Bench) -> usize {
    let keys = bench.other.call(&ListKeys {}).await.unwrap().keys;
    keys.iter().filter(|key| key.label == "replayed").count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_sent_again_and_again_has_one_effect_and_one_answer() {
    let mut bench = Bench::new().await;
    let mut tried = Vec::new();
    for (op, name) in Op::ALL {
        if try_out(&mut bench, *op, name).await {
            tried.push(*name);
        }
    }
    super::tell(&format!("tried: {tried:?}"));
    bench.rig.expect_exact_quota().await;
}
