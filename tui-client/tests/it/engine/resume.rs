//! Whatever breaks in between, the transfer goes on where it was, and what arrives is what was sent.

use std::fs;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use rustix::io::Errno;
use sampan_client::local::{Call, Disk, Faults};
use sampan_client::transfer::{Event, Options, Outcome, Phase, Settings};

use super::rig::{Rig, Run, down, noise, up};
use crate::proxy::Proxy;

const MIB: u64 = 1 << 20;
/// Fast enough for a test, slow enough to be interrupted halfway.
const PACED: Settings = Settings { connections: Some(2), limit: Some(24 << 20), last_item: 0 };
/// What may be in flight when a link breaks, of a file that moves over two lanes.
const IN_FLIGHT: u64 = 40 * MIB;

fn root_of(path: &std::path::Path) -> blake3::Hash {
    blake3::hash(&fs::read(path).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_upload_goes_on_after_the_link_was_cut() {
    let rig = Rig::start().await;
    let proxy = Proxy::to(rig.port).await;
    let file = rig.local("source").join("file");
    fs::write(&file, noise(1, 48 << 20)).unwrap();

    let remote = rig.remote_at(proxy.port).await;
    let route = up(&file, false, "", true);
    let mut run = Run::with(remote, rig.journal("cut"), PACED, route, Options::default());
    for part in [8, 20, 32] {
        run.until_moved(part * MIB).await;
        proxy.cut();
    }
    let told = run.finish().await;
    told.expect_done();
    run.stop().await;
    assert_eq!(root_of(&rig.home().join("file")), root_of(&file));
    let Outcome::Done { root: Some(root), .. } = told.outcome_of("file") else { panic!() };
    assert_eq!(root.as_bytes(), root_of(&file).as_bytes());
    assert!(told.summary.moved <= 48 * MIB + 3 * IN_FLIGHT, "{}", told.summary.moved);
    assert_eq!(rig.reserved().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_download_goes_on_after_the_link_was_cut() {
    let rig = Rig::start().await;
    let proxy = Proxy::to(rig.port).await;
    let there = rig.home().join("file");
    fs::write(&there, noise(2, 48 << 20)).unwrap();
    let target = rig.local("target");

    let remote = rig.remote_at(proxy.port).await;
    let route = down("file", false, &target, true);
    let mut run = Run::with(remote, rig.journal("cut"), PACED, route, Options::default());
    for part in [8, 20, 32] {
        run.until_moved(part * MIB).await;
        proxy.cut();
    }
    let told = run.finish().await;
    told.expect_done();
    run.stop().await;
    assert_eq!(root_of(&target.join("file")), root_of(&there));
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1, "nothing staged is left");
    assert!(told.summary.moved <= 48 * MIB + 3 * IN_FLIGHT, "{}", told.summary.moved);
}

/// A link that is dead without a word, for longer than it takes to notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_dead_for_a_while_is_survived() {
    let rig = Rig::start().await;
    let proxy = Proxy::to(rig.port).await;
    let file = rig.local("source").join("file");
    fs::write(&file, noise(3, 40 << 20)).unwrap();

    let remote = rig.remote_at(proxy.port).await;
    let mut link = remote.link();
    let route = up(&file, false, "", true);
    let mut run = Run::with(remote, rig.journal("dead"), PACED, route, Options::default());
    run.until_moved(8 * MIB).await;
    proxy.hold();
    let silent = |state: &sampan_client::remote::LinkState| {
        matches!(state, sampan_client::remote::LinkState::Silent { .. })
    };
    let soon = std::time::Duration::from_secs(5);
    tokio::time::timeout(soon, link.wait_for(silent)).await.expect("silence shows").unwrap();
    let lost = |state: &sampan_client::remote::LinkState| {
        matches!(state, sampan_client::remote::LinkState::Reconnecting { .. })
    };
    let later = std::time::Duration::from_secs(15);
    tokio::time::timeout(later, link.wait_for(lost)).await.expect("it is given up").unwrap();
    proxy.release();
    run.finish().await.expect_done();
    run.stop().await;
    assert_eq!(root_of(&rig.home().join("file")), root_of(&file));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_restarts_is_met_again() {
    let mut rig = Rig::start().await;
    let source = rig.local("source");
    fs::write(source.join("file"), noise(4, 40 << 20)).unwrap();
    for name in 0..50 {
        fs::write(source.join(format!("small{name}")), noise(name, 5000)).unwrap();
    }
    let remote = rig.remote().await;
    let route = up(&source, false, "", true);
    let mut run = Run::with(remote, rig.journal("server"), PACED, route, Options::default());
    run.until_moved(12 * MIB).await;
    rig.stop_server().await;
    rig.resume_server().await;
    let told = run.finish().await;
    told.expect_done();
    run.stop().await;
    assert_eq!(root_of(&rig.home().join("source/file")), root_of(&source.join("file")));
    assert_eq!(fs::read_dir(rig.home().join("source")).unwrap().count(), 51);
    assert_eq!(rig.reserved().await, 0);
}

/// The same command again: what was across is not carried twice, and what changed meanwhile is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_upload_finishes_and_notices_an_altered_prefix() {
    for altered in [false, true] {
        let rig = Rig::start().await;
        let file = rig.local("source").join("file");
        fs::write(&file, noise(5, 64 << 20)).unwrap();
        let route = || up(&file, false, "", true);
        let remote = rig.remote().await;
        let mut run = Run::with(remote, rig.journal("again"), PACED, route(), Options::default());
        run.until_moved(32 * MIB).await;
        run.stop().await;
        assert!(!rig.home().join("file").exists());
        assert_eq!(rig.reserved().await, 64 * MIB);

        if altered {
            let mut bytes = fs::read(&file).unwrap();
            bytes[1_500_000] ^= 1;
            fs::write(&file, bytes).unwrap();
        }
        let remote = rig.remote().await;
        let mut run = Run::begin(remote, rig.journal("again"), route(), Options::default());
        let told = run.finish().await;
        told.expect_done();
        run.stop().await;
        assert_eq!(root_of(&rig.home().join("file")), root_of(&file));
        let resumed = told.events.iter().find_map(|event| match event {
            Event::Started { transfer, .. } => Some(transfer.resumed),
            _ => None,
        });
        assert!(resumed.unwrap() >= 24 * MIB, "{resumed:?}");
        assert!(told.summary.moved <= 40 * MIB, "{} moved", told.summary.moved);
        if altered {
            assert!(told.summary.moved >= 65 * MIB - resumed.unwrap(), "{}", told.summary.moved);
        }
        assert_eq!(rig.reserved().await, 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_download_finishes_and_notices_what_was_altered() {
    for altered in [false, true] {
        let rig = Rig::start().await;
        let there = rig.home().join("file");
        fs::write(&there, noise(6, 64 << 20)).unwrap();
        let target = rig.local("target");
        let route = || down("file", false, &target, true);
        let remote = rig.remote().await;
        let mut run = Run::with(remote, rig.journal("again"), PACED, route(), Options::default());
        run.until_moved(32 * MIB).await;
        run.stop().await;
        assert!(!target.join("file").exists());
        let staged = fs::read_dir(&target).unwrap().next().unwrap().unwrap().path();
        if altered {
            // One bit of what was staged, and the source as a whole is touched.
            let mut bytes = fs::read(&staged).unwrap();
            bytes[10] ^= 1;
            fs::write(&staged, bytes).unwrap();
            let mut bytes = fs::read(&there).unwrap();
            bytes[3_000_000] ^= 1;
            fs::write(&there, bytes).unwrap();
        }
        let remote = rig.remote().await;
        let mut run = Run::begin(remote, rig.journal("again"), route(), Options::default());
        let told = run.finish().await;
        told.expect_done();
        run.stop().await;
        assert_eq!(root_of(&target.join("file")), root_of(&there));
        assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
        assert!(told.summary.moved <= 40 * MIB, "{} moved", told.summary.moved);
    }
}

/// A run that died after a download took its place, before what was there was removed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_clears_away_what_a_run_left_beside_a_finished_download() {
    let rig = Rig::start().await;
    let there = rig.home().join("file");
    fs::write(&there, noise(6, 64 << 20)).unwrap();
    let target = rig.local("target");
    let route = || down("file", false, &target, true);
    let remote = rig.remote().await;
    let mut run = Run::with(remote, rig.journal("again"), PACED, route(), Options::default());
    run.until_moved(32 * MIB).await;
    run.stop().await;
    let staged = fs::read_dir(&target).unwrap().next().unwrap().unwrap().path();
    fs::copy(&there, target.join("file")).unwrap();
    let times =
        fs::FileTimes::new().set_modified(fs::metadata(&there).unwrap().modified().unwrap());
    fs::File::options().write(true).open(target.join("file")).unwrap().set_times(times).unwrap();

    let remote = rig.remote().await;
    let mut run = Run::begin(remote, rig.journal("again"), route(), Options::default());
    let told = run.finish().await;
    run.stop().await;
    assert_eq!((told.summary.moved, told.summary.unchanged), (0, 1));
    assert!(!staged.exists());
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
}

/// What an interrupted run reserved is its own: the repeat needs no room twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_is_not_refused_for_what_it_reserved_itself() {
    let limits = sampan_server::store::QuotaLimits { bytes: Some(40 << 20), entries: None };
    let rig = Rig::with_limits(limits).await;
    let source = rig.local("source");
    fs::write(source.join("file"), noise(7, 32 << 20)).unwrap();
    fs::write(source.join("small"), noise(8, 1000)).unwrap();
    let route = || up(&source, false, "", true);
    let remote = rig.remote().await;
    let mut run = Run::with(remote, rig.journal("room"), PACED, route(), Options::default());
    run.until_moved(8 * MIB).await;
    run.stop().await;
    assert_eq!(rig.reserved().await, 32 * MIB);
    let remote = rig.remote().await;
    let mut run = Run::begin(remote, rig.journal("room"), route(), Options::default());
    run.finish().await.expect_done();
    run.stop().await;
    assert_eq!(root_of(&rig.home().join("source/file")), root_of(&source.join("file")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_cancelled_holds_neither_quota_nor_disk() {
    use sampan_client::transfer::{BatchId, Command, SkipReason};
    let rig = Rig::start().await;
    let file = rig.local("source").join("file");
    fs::write(&file, noise(9, 32 << 20)).unwrap();
    fs::write(rig.home().join("there"), noise(10, 32 << 20)).unwrap();
    let target = rig.local("target");
    for (route, name) in
        [(up(&file, false, "", true), "file"), (down("there", false, &target, true), "there")]
    {
        let remote = rig.remote().await;
        let mut run = Run::with(remote, rig.journal("cancel"), PACED, route, Options::default());
        run.until_moved(4 * MIB).await;
        run.tell(Command::Cancel(BatchId(1)));
        let told = run.finish().await;
        assert_eq!(told.outcome_of(name), &Outcome::Skipped(SkipReason::Cancelled));
        run.stop().await;
    }
    assert_eq!(rig.reserved().await, 0);
    assert_eq!(fs::read_dir(&target).unwrap().count(), 0);
    assert!(!rig.home().join("file").exists());
}

/// Holds reading up until it is told to go on; in the end by itself, so that a test that waits in vain
/// fails.
#[derive(Default)]
struct HeldReads {
    goes_on: Mutex<bool>,
    told: Condvar,
}

impl HeldReads {
    fn go_on(&self) {
        *self.goes_on.lock().unwrap() = true;
        self.told.notify_all();
    }
}

impl Faults for HeldReads {
    fn before(&self, call: Call<'_>) -> Result<usize, Errno> {
        if matches!(call, Call::Read) {
            let held = self.goes_on.lock().unwrap();
            let most = Duration::from_secs(20);
            drop(self.told.wait_timeout_while(held, most, |goes_on| !*goes_on).unwrap());
        }
        Ok(usize::MAX)
    }
}

/// While what an earlier run sent is read and compared, nothing moves: that is told, so that nobody
/// takes it for a link that stalls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_upload_says_that_it_verifies() {
    let rig = Rig::start().await;
    let file = rig.local("source").join("file");
    fs::write(&file, noise(5, 24 << 20)).unwrap();
    let route = || up(&file, false, "", true);
    let remote = rig.remote().await;
    let mut run = Run::with(remote, rig.journal("again"), PACED, route(), Options::default());
    run.until_moved(8 * MIB).await;
    run.stop().await;

    let held = Arc::new(HeldReads::default());
    let disk = Disk::with(Arc::<HeldReads>::clone(&held));
    let mut run = Run::on(disk, rig.remote().await, rig.journal("again"), route());
    let mut resumed = 0;
    let told = loop {
        match run.next().await {
            Event::Started { transfer, .. } => resumed = transfer.resumed,
            Event::Phase { phase, .. } => break Some(phase),
            Event::Progress { bytes, .. } if bytes > resumed => break None,
            Event::Summary { .. } => break None,
            _ => {}
        }
    };
    held.go_on();
    assert_eq!(told, Some(Phase::Verifying));
    run.finish().await.expect_done();
    run.stop().await;
}
