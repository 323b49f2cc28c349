//! A million files, a hundred thousand in one folder, a thousand unfinished uploads: what a start,
//! a count and a listing take, in time and memory.
//!
//! ```sh
//! cargo build --release -p sampan-server
//! SAMPAN_TEST_SAMPAND=$PWD/target/release/sampand \
//!   cargo test -p sampan-server --test it -- --ignored --nocapture scale_
//! ```
//!
//! (`SAMPAN_SCALE_FILES=N` for another number of files.)

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, PtySize};
use rustix::process::Signal;
use sampan_protocol::message::{List, OpenUpload, Precondition, WriteBlock};
use sampan_protocol::{Mode, RemotePath, Timestamp, UploadKey};

use crate::peer::Peer;
use crate::program::{ADD, Data, Serving, program};

/// The start that the project promises, also after a server was killed.
const MOST_TO_READY: Duration = Duration::from_secs(2);
/// What the memory of a server may grow by while it counts a home, in KiB.
const MOST_GROWTH_KIB: u64 = 16 << 10;
const IN_ONE_FOLDER: u64 = 100_000;
const UPLOADS: u16 = 1000;

#[allow(clippy::print_stderr, reason = "its figures are what it is run for")]
fn say(what: &str, value: impl std::fmt::Display) {
    eprintln!("scale: {what}: {value}");
}

fn seconds(since: Instant) -> String {
    format!("{:.2} s", since.elapsed().as_secs_f64())
}

/// Files of one byte each, which take no block.
fn make_files(folder: &Path, count: u64) {
    fs::create_dir(folder).unwrap();
    for number in 0..count {
        File::create(folder.join(format!("file-{number:06}"))).unwrap().set_len(1).unwrap();
    }
}

/// The most memory that the server had, in KiB.
fn memory(server: &Serving) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let row = status.lines().find_map(|row| row.strip_prefix("VmHWM:")).unwrap();
    row.trim().trim_end_matches(" kB").parse().unwrap()
}

fn start(data: &Data, after: &str) -> Serving {
    let began = Instant::now();
    let server = data.serve();
    let took = began.elapsed();
    assert!(server.line.starts_with("listening on "), "{}", server.line);
    say(&format!("ready {after}"), format!("{:.0} ms", took.as_secs_f64() * 1e3));
    assert!(took <= MOST_TO_READY, "the start took {took:?} {after}");
    server
}

/// Begins uploads of which the last byte of two blocks has come.
async fn begin_uploads(peer: &mut Peer) {
    for number in 0..UPLOADS {
        let mut key = [0; 16];
        key[..2].copy_from_slice(&number.to_le_bytes());
        let open = OpenUpload {
            key: UploadKey(key),
            path: RemotePath::parse(format!("uploads/{number}").as_bytes()).unwrap(),
            size: (1 << 20) + 1,
            mode: Mode::FILE,
            mtime: Timestamp::default(),
            if_target: Precondition::Absent,
            parents: true,
        };
        let opened = peer.call(&open).await.unwrap();
        let (upload, epoch) = (opened.upload, opened.epoch);
        let block = WriteBlock { upload, epoch, block: 1, offset: 0, hash: None };
        let id = peer.id();
        let (op, flags) = (sampan_protocol::message::Op::WRITE_BLOCK, block_flags());
        peer.queue(id, op, flags, &block, b"1").await.unwrap();
        peer.flush().await;
        let answer = peer.next().await;
        assert!(!answer.flags.is_error(), "{answer:?}");
    }
}

fn block_flags() -> sampan_protocol::wire::Flags {
    sampan_protocol::wire::Flags::REQUEST
}

/// Lists the large folder; says after how long its first rows came.
async fn list(peer: &mut Peer, expected: u64) {
    let began = Instant::now();
    let list = List { path: RemotePath::parse(b"large").unwrap(), cursor: None };
    let id = peer.send(&list).await;
    let (mut first, mut listed) = (None, 0);
    loop {
        let received = peer.next().await;
        assert_eq!(received.id, id);
        let page: sampan_protocol::message::ListPage = received.result().unwrap();
        first.get_or_insert_with(|| seconds(began));
        listed += page.entries.len() as u64;
        if received.flags.is_last() {
            break;
        }
    }
    assert_eq!(listed, expected);
    say(&format!("first rows of {listed}"), first.unwrap());
    say(&format!("all {listed} rows"), seconds(began));
}

/// Counts on a terminal until it says how far it is, then stops it.
fn interrupt_a_count(data: &Data) {
    let pty = portable_pty::native_pty_system().openpty(PtySize::default()).unwrap();
    let mut command = CommandBuilder::new(program());
    command.args(["quota", "scan", "anna", "--data"]);
    command.arg(data.path());
    let mut child = pty.slave.spawn_command(command).unwrap();
    drop(pty.slave);
    let mut screen = BufReader::new(pty.master.try_clone_reader().unwrap());
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains("files and folders counted") {
        assert!(screen.read_until(b'd', &mut seen).unwrap_or(0) > 0, "the count was too short");
    }
    let mut keys = pty.master.take_writer().unwrap();
    keys.write_all(b"\x03").unwrap();
    let (Ok(_) | Err(_)) = screen.read_to_end(&mut seen);
    assert_eq!(child.wait().unwrap().exit_code(), 130, "{}", String::from_utf8_lossy(&seen));
}

fn count(data: &Data, how: &str, files: u64) {
    let began = Instant::now();
    let scanned = data.run(&["quota", "scan", "anna", "--json"]);
    say(&format!("counting {files} files and folders {how}"), seconds(began));
    assert_eq!((scanned.code, scanned.err.as_str()), (0, ""));
    let row: serde_json::Value = serde_json::from_str(&scanned.out).unwrap();
    assert_eq!(row["files"], files, "{row}");
}

#[test]
#[ignore = "makes a million files; run it by name, in release"]
fn scale_of_metadata() {
    let files: u64 = std::env::var("SAMPAN_SCALE_FILES")
        .map_or(1_000_000, |files| files.parse().expect("SAMPAN_SCALE_FILES is a number"));
    let large = IN_ONE_FOLDER.min(files / 2);
    let data = Data::new();
    assert_eq!(data.run_with(&ADD, "secret\n").code, 0);
    let home = data.path().join("homes/anna");
    let began = Instant::now();
    make_files(&home.join("large"), large);
    let mut folders = 1;
    let mut left = files - large;
    while left > 0 {
        let some = left.min(1000);
        make_files(&home.join(format!("folder-{folders:06}")), some);
        (left, folders) = (left - some, folders + 1);
    }
    let all = files + folders;
    say(&format!("making {all} files and folders by hand"), seconds(began));

    count(&data, "without a server", all);
    let server = start(&data, "on a home of so many");
    let fresh = memory(&server);
    say("memory of a fresh server (VmHWM)", format!("{fresh} KiB"));
    count(&data, "through the server", all);
    let counted = memory(&server);
    say("memory after counting (VmHWM)", format!("{counted} KiB"));
    assert!(counted - fresh <= MOST_GROWTH_KIB, "counting took {} KiB", counted - fresh);
    if files >= 1_000_000 {
        interrupt_a_count(&data);
    }

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let log_in = |server: &Serving| {
        let (address, fingerprint) = server.announced();
        runtime.block_on(async {
            let mut peer = Peer::connect_at(address, fingerprint).await;
            peer.log_in("anna", "secret").await.unwrap();
            peer
        })
    };
    let mut peer = log_in(&server);
    let began = Instant::now();
    runtime.block_on(begin_uploads(&mut peer));
    say(&format!("opening {UPLOADS} uploads with a block each"), seconds(began));
    say("memory with them (VmHWM)", format!("{} KiB", memory(&server)));
    runtime.block_on(list(&mut peer, large));
    say("memory after listing (VmHWM)", format!("{} KiB", memory(&server)));
    drop(peer);

    // Killed with all of it open, and started again.
    let (status, _) = server.signal(Signal::KILL);
    assert_eq!(status.code(), None);
    let server = start(&data, "after kill -9 with 1000 unfinished uploads");
    let began = Instant::now();
    let status = data.run(&["status", "--json"]);
    say("status", seconds(began));
    let status: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!((&status["uploads"], &status["staged"]), (&UPLOADS.into(), &UPLOADS.into()));
    count(&data, "through the server again", all);
    let mut peer = log_in(&server);
    runtime.block_on(list(&mut peer, large));
    say("memory of the second server (VmHWM)", format!("{} KiB", memory(&server)));
    drop(peer);
    assert!(server.signal(Signal::TERM).0.success());
    let server = start(&data, "after an orderly stop");
    drop(server);
    let began = Instant::now();
    let removed = data.run(&["user", "remove", "anna", "--purge"]);
    say("removing the account (its home is swept for 5 s, then at the next start)", seconds(began));
    assert_eq!(removed.code, 0, "{removed:?}");
    start(&data, "with the rest of a removed home to sweep");
}
