//! One frame of every kind, out of one story: anna logs in, looks around, carries a file up and
//! down, and meets every refusal there is. PROTOCOL.md shows these frames, and fuzzing starts from
//! them.

#![allow(clippy::unwrap_used)] // the story is ours

use sampan_protocol::block::{BlockHash, BlockIndex, BlockSet, Blocks, Root, RowHasher};
use sampan_protocol::frame::{Frame, FrameLimits};
use sampan_protocol::login_key::LoginKey;
use sampan_protocol::message::*;
use sampan_protocol::scram::{
    Challenge, ClientLogin, HelloHash, IterationLimits, ServerLogin, Verifier, derive,
};
use sampan_protocol::wire::{Flags, encode_args, encode_header};
use sampan_protocol::{
    Attributes, ChangeKey, Entry, EntryKind, Epoch, ErrorCode, InstanceId, Mode, Name, Refusal,
    RemotePath, RequestId, Timestamp, UploadId, UploadKey, Version,
};
use serde::Serialize;
use serde_bytes::ByteBuf;

/// What the TLS connection of the story exports.
pub(crate) const EXPORTER: [u8; 32] = [7; 32];
/// Of the login key of the story.
pub(crate) const SEED: [u8; 32] = [5; 32];
pub(crate) const PASSWORD: &str = "oar";
pub(crate) const CHALLENGE: Challenge =
    Challenge { salt: *b"sixteen bytes ok", iterations: 600_000 };
pub(crate) const CLIENT_NONCE: [u8; 18] = [1; 18];
pub(crate) const SERVER_NONCE: [u8; 18] = [2; 18];
const CONTENT: &[u8] = b"ahoy\n";

/// A frame and what the document calls it: operation (or error code), kind, and a word more where
/// there are several.
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) frame: Frame,
}

/// All of them.
pub(crate) fn samples() -> Vec<Sample> {
    let mut story = Story { samples: Vec::new(), id: 0 };
    story.login();
    story.keys_and_link();
    story.browse();
    story.change();
    story.upload();
    story.pack();
    story.download();
    story.quota();
    story.refusals();
    story.samples
}

struct Story {
    samples: Vec<Sample>,
    id: u32,
}

impl Story {
    fn tell<R: Request>(
        &mut self,
        request: &R,
        request_body: &[u8],
        answer: &R::Answer,
        answer_body: &[u8],
    ) {
        self.ask(request, request_body, "");
        self.answer::<R>(answer, answer_body, "");
    }

    fn ask<R: Request>(&mut self, request: &R, body: &[u8], more: &str) {
        self.id += 1;
        self.add(R::OP, &format!("request {more}"), Flags::REQUEST, request, body);
    }

    fn answer<R: Request>(&mut self, answer: &R::Answer, body: &[u8], more: &str) {
        self.add(R::OP, &format!("answer {more}"), Flags::LAST_ANSWER, answer, body);
    }

    fn add<T: Serialize>(&mut self, op: Op, kind: &str, flags: Flags, args: &T, body: &[u8]) {
        let (_, name) = Op::ALL.iter().find(|(known, _)| *known == op).unwrap();
        self.add_named(&format!("{name} {kind}"), op, flags, args, body);
    }

    fn add_named<T: Serialize>(&mut self, name: &str, op: Op, flags: Flags, args: &T, body: &[u8]) {
        let id = if op == Op::GOODBYE { RequestId::UNASKED } else { RequestId(self.id) };
        let header = encode_header(id, op, flags, args);
        let frame = Frame { header: header.into(), body: body.to_vec().into() };
        frame.to_bytes(FrameLimits::AFTER_LOGIN).unwrap();
        self.samples.push(Sample { name: name.trim().to_owned(), frame });
    }

    fn login(&mut self) {
        let hello = encode_args(&HelloBody {
            oldest: 1,
            newest: 1,
            agent: "sampan/0.1.0".into(),
            user: "anna".into(),
            instance: instance(),
        });
        let covered = HelloHash::of(&hello);
        let (client, first) = ClientLogin::start("anna", CLIENT_NONCE, covered).unwrap();
        let server = ServerLogin::start(&first, covered).unwrap();
        let verifier = Verifier::derive(PASSWORD, &CHALLENGE).unwrap();
        let (server, server_first) = server.challenge(verifier, SERVER_NONCE);
        let client = client.challenge(&server_first, IterationLimits::PROTOCOL).unwrap();
        let keys = derive(PASSWORD, client.challenge()).unwrap();
        let (_, client_final) = client.finish(keys, &EXPORTER).unwrap();
        let accepted = server.finish(&client_final, &EXPORTER).unwrap();
        let buf = |bytes: &[u8]| Some(ByteBuf::from(bytes));

        self.ask(
            &Hello { hello: ByteBuf::from(&*hello), scram: buf(&first), key: None },
            b"",
            "by password",
        );
        let challenged = HelloAnswer { version: 1, challenge: buf(&server_first), welcome: None };
        self.answer::<Hello>(&challenged, b"", "by password");
        self.tell(
            &ScramProof { client_final: client_final.into() },
            b"",
            &ScramAnswer { server_final: accepted.into_server_final().into(), welcome: welcome() },
            b"",
        );

        let key = LoginKey::from_seed(&SEED);
        let proof = KeyProof {
            public_key: ByteBuf::from(key.public().0),
            signature: ByteBuf::from(key.sign(&EXPORTER, &hello)),
        };
        self.ask(&Hello { hello: hello.into(), scram: None, key: Some(proof) }, b"", "by key");
        let welcomed = HelloAnswer { version: 1, challenge: None, welcome: Some(welcome()) };
        self.answer::<Hello>(&welcomed, b"", "by key");
    }

    fn keys_and_link(&mut self) {
        let public = LoginKey::from_seed(&SEED).public();
        let fingerprint = ByteBuf::from(public.fingerprint().0);
        let enrol = EnrolKey {
            public_key: ByteBuf::from(public.0),
            life: KeyLife::UntilRevoked,
            label: "laptop".into(),
        };
        self.tell(&enrol, b"", &KeyEnrolled { fingerprint: fingerprint.clone() }, b"");
        let row = KeyRow {
            fingerprint: fingerprint.clone(),
            label: "laptop".into(),
            enrolled: then(0),
            used: Some(then(60)),
        };
        self.tell(&ListKeys {}, b"", &KeysAnswer { keys: vec![row] }, b"");
        self.tell(&RevokeKey { fingerprint }, b"", &Empty {}, b"");
        self.tell(&Ping {}, b"", &Empty {}, b"");
        let goodbye = Goodbye { reason: GoodbyeReason::ServerClosing, retry_after_ms: Some(2000) };
        self.ask(&goodbye, b"", "");
    }

    fn browse(&mut self) {
        let stat = Stat { path: path("docs/a.txt") };
        self.tell(&stat, b"", &StatAnswer { attributes: file() }, b"");
        let many = StatMany { paths: vec![path("docs/a.txt"), path("docs/b.txt")] };
        let missing = Refusal::new(ErrorCode::NOT_FOUND, "no such name");
        let results = vec![
            StatResult { index: 0, attributes: Some(file()), refusal: None },
            StatResult { index: 1, attributes: None, refusal: Some(missing) },
        ];
        self.tell(&many, b"", &StatManyPage { results }, b"");
        let entries = vec![
            Entry { name: Name::new(b"a.txt").unwrap(), attributes: file() },
            Entry { name: Name::new(b"\xff\x1b[1m").unwrap(), attributes: folder() },
        ];
        let page = ListPage { entries, cursor: Some(ByteBuf::from(*b"\x02\x9a")), unreadable: 0 };
        self.tell(&List { path: path("docs"), cursor: None }, b"", &page, b"");
    }

    fn change(&mut self) {
        let changed = |attributes| Changed { attributes, durability: Durability::Full };
        let mkdir = Mkdir { change: change(1), path: path("docs"), parents: true, mode: None };
        self.tell(&mkdir, b"", &changed(folder()), b"");
        let rename = Rename {
            change: change(2),
            from: path("docs/a.txt"),
            to: path("a.txt"),
            version: Some(version()),
            if_target: Precondition::Absent,
        };
        self.tell(&rename, b"", &changed(file()), b"");
        let remove =
            Remove { change: change(3), path: path("old"), recursive: true, version: None };
        let removed = Removed { entries: 12, bytes: 70_000, durability: Durability::Full };
        self.tell(&remove, b"", &removed, b"");
        let set = SetAttributes {
            change: change(4),
            path: path("docs"),
            mode: Some(Mode::new(0o700)),
            mtime: Some(then(0)),
        };
        self.tell(&set, b"", &changed(folder()), b"");
    }

    fn upload(&mut self) {
        let (upload, epoch) = (UploadId(9), Epoch(1));
        let open = OpenUpload {
            key: UploadKey(*b"upload-key-of-16"),
            path: path("docs/a.txt"),
            size: CONTENT.len() as u64,
            mode: Mode::FILE,
            mtime: then(0),
            if_target: Precondition::This(version()),
            parents: true,
        };
        let expires = then(604_800);
        let stripe = 1 << 20;
        let opened = UploadOpened { upload, epoch, stripe, staged: BlockSet::new(), expires };
        self.tell(&open, b"", &opened, b"");

        let (root, hash) = (root(), BlockHash(root().0));
        let write = WriteBlock { upload, epoch, block: 0, offset: 0, hash: None };
        self.tell(&write, CONTENT, &BlockWritten { hash }, b"");
        let copy = CopyBlock {
            upload,
            epoch,
            block: 0,
            base: path("docs/old.txt"),
            version: version(),
            offset: 0,
        };
        self.tell(&copy, b"", &BlockWritten { hash }, b"");
        let row = UploadRow { upload, first: 0, count: 1024 };
        let blocks: BlockSet = [BlockIndex(0)].into_iter().collect();
        self.tell(&row, b"", &UploadRowPart { blocks }, &hash.0);
        let unfinished = Unfinished {
            upload,
            key: UploadKey(*b"upload-key-of-16"),
            path: path("docs/a.txt"),
            size: 5,
            staged: 5,
            reserved: 5,
            opened: then(0),
            expires,
        };
        self.tell(&ListUploads {}, b"", &UploadsPage { uploads: vec![unfinished] }, b"");
        let commit = CommitUpload { change: change(5), upload, epoch, root };
        let committed = Committed { attributes: file(), durability: Durability::Full };
        self.tell(&commit, b"", &committed, b"");
        self.tell(&AbortUpload { change: change(6), upload }, b"", &Empty {}, b"");
    }

    fn pack(&mut self) {
        let members = vec![
            PackMember { path: path("new"), mode: Mode::FOLDER, kind: PackMemberKind::Folder {} },
            PackMember {
                path: path("new/a.txt"),
                mode: Mode::FILE,
                kind: PackMemberKind::File {
                    size: CONTENT.len() as u64,
                    mtime: then(0),
                    root: root(),
                    if_target: Precondition::Absent,
                },
            },
        ];
        let refusal = Refusal::new(ErrorCode::EXISTS, "the name exists");
        let results = vec![
            PackResult { index: 0, attributes: Some(folder()), refusal: None },
            PackResult { index: 1, attributes: None, refusal: Some(refusal) },
        ];
        let answer = PackAnswer { results, durability: Durability::Full };
        self.tell(&Pack { change: change(7), members }, CONTENT, &answer, b"");
    }

    fn download(&mut self) {
        let (path, version) = (path("docs/a.txt"), version());
        let read = Read { path: path.clone(), version: version.clone(), first: 0, count: 1 };
        self.ask(&read, b"", "");
        let hash = Some(BlockHash(root().0));
        let piece = ReadPiece { block: 0, offset: 0, hash };
        self.add(Op::READ, "answer piece", Flags::ANSWER, &piece, CONTENT);
        let end = ReadPiece { block: 1, offset: 0, hash: None };
        self.answer::<Read>(&end, b"", "end");

        let row = ReadRow {
            path: path.clone(),
            version: version.clone(),
            first: 0,
            count: 2,
            fine: false,
        };
        self.tell(&row, b"", &RowPart { first: 0 }, &row_of_two());
        let file_of_pack = PackFile { path: path.clone(), version };
        let members = vec![
            Member { index: 0, outcome: MemberOutcome::File { size: 5, root: root() } },
            Member {
                index: 1,
                outcome: MemberOutcome::Refused(Refusal::new(
                    ErrorCode::VERSION_CHANGED,
                    "another file by now",
                )),
            },
        ];
        let files = vec![file_of_pack.clone(), file_of_pack];
        self.tell(&ReadPack { files }, b"", &ReadPackPage { members }, CONTENT);
        self.tell(&Sum { path }, b"", &SumAnswer { root: root(), attributes: file() }, b"");
    }

    fn quota(&mut self) {
        let quota = QuotaAnswer {
            limit: Some(10_000_000_000),
            used: 4_000_000_000,
            reserved: 5,
            available: 5_999_999_995,
            max_entries: None,
            entries: 1234,
            reserved_entries: 1,
            as_of: Timestamp::new(1_790_000_000, 5),
        };
        self.tell(&QuotaRequest {}, b"", &quota, b"");
        let missing =
            FitsAnswer { missing_bytes: 1_000_000_005, missing_entries: 0, disk_full: false };
        self.tell(&Fits { bytes: 7_000_000_000, entries: 3 }, b"", &missing, b"");
    }

    fn refusals(&mut self) {
        for (code, op, refusal) in refusals() {
            let (_, name) = ErrorCode::ALL.iter().find(|(known, _)| *known == code).unwrap();
            self.id += 1;
            self.add_named(&format!("{name} error"), op, Flags::REFUSAL, &refusal, b"");
        }
    }
}

/// Every refusal, with an operation that may meet it.
fn refusals() -> Vec<(ErrorCode, Op, Refusal)> {
    use ErrorCode as E;
    let plain = |code, op, message: &str| (code, op, Refusal::new(code, message));
    let about =
        |code, op, message: &str| (code, op, Refusal::new(code, message).about(path("docs/a.txt")));
    let needs = |code, message: &str, needed, available| {
        let refusal = Refusal::new(code, message).about(path("docs/a.txt"));
        let refusal = Refusal { needed: Some(needed), available: Some(available), ..refusal };
        (code, Op::OPEN_UPLOAD, refusal)
    };
    let later = |code, op, message: &str| {
        let refusal = Refusal::new(code, message);
        (code, op, Refusal { retry_after_ms: Some(5000), ..refusal })
    };
    vec![
        plain(E::MALFORMED, Op::STAT, "the field `path` is missing"),
        plain(E::UNSUPPORTED, Op(999), "this server knows no operation 999"),
        plain(E::LIMIT_EXCEEDED, Op::READ, "more than 1024 blocks"),
        plain(E::LOGIN_REQUIRED, Op::STAT, "log in first"),
        plain(E::LOGIN_REFUSED, Op::SCRAM_PROOF, "the login was refused"),
        plain(E::VERSION_UNSUPPORTED, Op::HELLO, "this server speaks version 1"),
        later(E::BUSY, Op::HELLO, "too many connections"),
        later(E::CLOSING, Op::STAT, "the server is closing"),
        plain(E::INTERNAL, Op::STAT, "the server failed; its log says why"),
        about(E::NOT_FOUND, Op::STAT, "no such name"),
        about(E::EXISTS, Op::RENAME, "the name exists"),
        about(E::NOT_A_FOLDER, Op::LIST, "not a folder"),
        about(E::IS_A_FOLDER, Op::READ, "a folder"),
        about(E::NOT_EMPTY, Op::REMOVE, "the folder is not empty"),
        about(E::IS_A_LINK, Op::READ, "a link, which is not followed"),
        about(E::NOT_A_FILE, Op::READ, "neither a file nor a folder"),
        about(E::PERMISSION_DENIED, Op::READ, "the server may not read it"),
        about(E::NAME_NOT_STORABLE, Op::MKDIR, "the server's disk cannot hold this name"),
        about(E::INVALID_TARGET, Op::RENAME, "a folder cannot be moved into itself"),
        about(E::VERSION_CHANGED, Op::READ, "another file by now"),
        plain(E::RESTART, Op::LIST, "start the listing again"),
        about(E::OTHER_FILE_SYSTEM, Op::STAT, "on another file system"),
        needs(E::OVER_QUOTA, "the quota does not suffice", 7_000_000_000, 5_999_999_995),
        needs(E::TOO_MANY_FILES, "the quota of files does not suffice", 1, 0),
        plain(E::DISK_FULL, Op::OPEN_UPLOAD, "the server's disk is full"),
        plain(E::DISK_FAILED, Op::READ, "the server's disk failed"),
        plain(E::TOO_MANY_UPLOADS, Op::OPEN_UPLOAD, "too many unfinished uploads"),
        plain(E::UPLOAD_NOT_FOUND, Op::WRITE_BLOCK, "no such upload"),
        plain(E::UPLOAD_TAKEN, Op::WRITE_BLOCK, "another writer took the upload over"),
        about(E::UPLOAD_DIFFERS, Op::OPEN_UPLOAD, "the key opened another upload"),
        plain(E::BLOCK_REFUSED, Op::WRITE_BLOCK, "the piece is out of order"),
        plain(E::INCOMPLETE, Op::COMMIT_UPLOAD, "not every block is there"),
        plain(E::ROOT_MISMATCH, Op::COMMIT_UPLOAD, "the root of what arrived is another one"),
        plain(E::CHANGE_KEY_REUSED, Op::MKDIR, "the change key was used for another change"),
        about(E::TOO_LARGE_FOR_PACK, Op::PACK, "too large for a pack"),
        plain(E::KEY_NOT_FOUND, Op::REVOKE_KEY, "the key is not enrolled"),
    ]
}

fn welcome() -> Welcome {
    Welcome {
        account: "anna".into(),
        agent: "sampand/0.1.0".into(),
        durability: Durability::Full,
        limits: Limits {
            header_bytes: 1 << 20,
            body_bytes: 1 << 20,
            requests: 64,
            connections: 16,
            pack_members: 1024,
            pack_bytes: 8 << 20,
            idle_seconds: 120,
        },
    }
}

fn instance() -> InstanceId {
    InstanceId(*b"instance-of-anna")
}

fn change(sequence: u64) -> ChangeKey {
    ChangeKey { instance: instance(), sequence, answered: sequence - 1 }
}

fn path(written: &str) -> RemotePath {
    RemotePath::parse(written.as_bytes()).unwrap()
}

fn version() -> Version {
    Version::new(b"\x01\x02\x03").unwrap()
}

/// Seconds after 2026-11-22T10:00:00Z.
fn then(seconds: i64) -> Timestamp {
    Timestamp::new(1_795_341_600 + seconds, 0).unwrap()
}

fn file() -> Attributes {
    let size = CONTENT.len() as u64;
    let (mtime, mode) = (then(0), Mode::FILE);
    Attributes { kind: EntryKind::File, size, mtime, mode, version: version() }
}

fn folder() -> Attributes {
    let version = Version::new(b"\x04").unwrap();
    let (kind, mode) = (EntryKind::Folder, Mode::FOLDER);
    Attributes { kind, size: 0, mtime: then(30), mode, version }
}

fn root() -> Root {
    let mut hasher = RowHasher::new(Blocks::of(CONTENT.len() as u64).unwrap());
    hasher.update(CONTENT).unwrap();
    hasher.finish().unwrap().1
}

/// The row of the reference file of 1 MiB and a byte.
fn row_of_two() -> Vec<u8> {
    let bytes: Vec<u8> = (0..=250_u8).cycle().take((1 << 20) + 1).collect();
    let mut hasher = RowHasher::new(Blocks::of(bytes.len() as u64).unwrap());
    hasher.update(&bytes).unwrap();
    hasher.finish().unwrap().0.iter().flat_map(|hash| hash.0).collect()
}
