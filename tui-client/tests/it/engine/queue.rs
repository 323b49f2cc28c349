//! Holding, trying again, going on after a restart, few connections.

use std::fs;

use sampan_client::failure::Situation;
use sampan_client::remote::LinkState;
use sampan_client::transfer::{
    Batch, BatchId, Command, Event, OnConflict, Options, Outcome, Phase, Settings, SkipReason,
};
use sampan_server::config::{Bounds, Settings as ServerSettings};
use sampan_server::store::QuotaLimits;

use super::rig::{Rig, Run, down, home, noise, up};
use crate::proxy::Proxy;

const MIB: u64 = 1 << 20;
const PACED: Settings = Settings { connections: Some(2), limit: Some(16 << 20), last_item: 0 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_goes_on_in_the_next_engine() {
    let rig = Rig::start().await;
    let file = rig.local("source").join("file");
    fs::write(&file, noise(1, 32 << 20)).unwrap();
    let route = up(&file, false, "", true);
    let remote = rig.remote().await;
    let journal = rig.queue_journal();
    let mut run = Run::with(remote, journal, PACED, route.clone(), Options::default());
    run.until_moved(8 * MIB).await;
    run.stop().await;

    let (mut run, resumed) =
        Run::resume(rig.remote().await, rig.queue_journal(), Settings::default());
    assert_eq!(resumed.len(), 1);
    assert_eq!((resumed[0].0, &resumed[0].1.route), (BatchId(1), &route));
    let told = run.finish().await;
    told.expect_done();
    assert!(told.summary.moved <= 28 * MIB, "{} moved", told.summary.moved);
    run.stop().await;
    assert_eq!(fs::read(rig.home().join("file")).unwrap(), fs::read(&file).unwrap());

    let (run, resumed) = Run::resume(rig.remote().await, rig.queue_journal(), PACED);
    assert!(resumed.is_empty());
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_held_stands_still_and_goes_on() {
    let rig = Rig::start().await;
    fs::write(rig.home().join("file"), noise(2, 32 << 20)).unwrap();
    let target = rig.local("target");
    let route = down("file", false, &target, true);
    let journal = rig.journal("hold");
    let mut run = Run::with(rig.remote().await, journal, PACED, route, Options::default());
    run.until_moved(4 * MIB).await;
    run.tell(Command::Pause);
    loop {
        if let Event::Phase { phase: Phase::Paused, .. } = run.next().await {
            break;
        }
    }
    run.tell(Command::Limit(None));
    run.tell(Command::Resume);
    run.finish().await.expect_done();
    run.stop().await;
    assert_eq!(fs::read(target.join("file")).unwrap(), fs::read(rig.home().join("file")).unwrap());
}

/// Not only once as many are underway as may be: gauges would stand far behind a slow pace.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_block_counts_as_soon_as_it_is_answered() {
    let rig = Rig::start().await;
    let proxy = Proxy::to(rig.port).await;
    let file = rig.local("source").join("file");
    // Its stripes have sixteen blocks; most of them are never read.
    fs::File::create(&file).unwrap().set_len(256 * MIB).unwrap();
    let settings = Settings { connections: Some(1), limit: Some(MIB), last_item: 0 };
    let route = up(&file, false, "", true);
    let remote = rig.remote_at(proxy.port).await;
    let mut run = Run::with(remote, rig.journal("slow"), settings, route, Options::default());
    run.until_moved(MIB).await;
    assert!(proxy.sent() < 6 * MIB, "{} sent before one MiB counted", proxy.sent());
    run.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_can_be_tried_again() {
    let limits = QuotaLimits { bytes: Some(4 << 20), entries: None };
    let rig = Rig::with_limits(limits).await;
    let remote = rig.remote().await;
    let source = rig.local("source");
    fs::write(source.join("first"), noise(3, 3 << 20)).unwrap();
    fs::write(source.join("second"), noise(4, 2 << 20)).unwrap();
    rig.carry(up(&source.join("first"), false, "", true), Options::default()).await.expect_done();

    let route = up(&source.join("second"), false, "", true);
    let mut run = Run::begin(remote.clone(), rig.journal("retry"), route, Options::default());
    let told = run.finish().await;
    let over = &told.summary.failures[0].situation;
    assert!(matches!(over, Situation::OverQuota { .. }), "{over:?}");
    let item = told.events.iter().find_map(|event| match event {
        Event::Finished { item, .. } => Some(*item),
        _ => None,
    });
    remote.remove(&home("first"), false, None).await.unwrap();
    run.tell(Command::Retry(item.unwrap()));
    let told = run.finish().await;
    assert_eq!((told.expect_done().done, told.summary.failures.len()), (1, 0));
    run.stop().await;
    assert!(rig.home().join("second").exists());
}

/// A server that takes no further connection: bulk goes over the one that there is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_connection_is_enough() {
    let bounds = Bounds { connections_per_account: 2, ..Bounds::default() };
    let settings = ServerSettings { disk_floor: 0, bounds, ..ServerSettings::default() };
    let rig = Rig::with(settings, QuotaLimits::default()).await;
    let source = rig.local("source");
    fs::write(source.join("big"), noise(5, 4 << 20)).unwrap();
    fs::write(source.join("small"), noise(6, 1000)).unwrap();
    let other = rig.remote().await;
    let route = up(&source, false, "", true);
    let settings = Settings { connections: Some(4), limit: None, last_item: 0 };
    let journal = rig.journal("few");
    let mut run = Run::with(rig.remote().await, journal, settings, route, Options::default());
    let told = run.finish().await;
    told.expect_done();
    assert!(matches!(told.outcome_of("big"), Outcome::Done { .. }));
    let down_to = rig.local("down");
    run.stop().await;
    let route = down("source", false, &down_to, true);
    let journal = rig.journal("few");
    let mut run = Run::with(rig.remote().await, journal, settings, route, Options::default());
    run.finish().await.expect_done();
    run.stop().await;
    assert_eq!(fs::read_dir(down_to.join("source")).unwrap().count(), 2);
    other.close().await;
}

/// Both would stage under one name, and open one upload: the second waits, and finds it done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_copy_ordered_twice_is_made_once() {
    let rig = Rig::start().await;
    let (source, target) = (rig.local("source"), rig.local("target"));
    fs::write(source.join("up"), noise(7, 16 << 20)).unwrap();
    fs::write(rig.home().join("down"), noise(8, 16 << 20)).unwrap();
    for route in [up(&source.join("up"), false, "", true), down("down", false, &target, true)] {
        let (remote, options) = (rig.remote().await, Options::default());
        let mut run =
            Run::with(remote, rig.journal("twice"), PACED, route.clone(), options.clone());
        run.until_moved(4 * MIB).await;
        run.tell(Command::Submit(BatchId(2), Batch { route, options }));
        let first = run.finish().await;
        assert_eq!((first.expect_done().done, first.summary.unchanged), (1, 0));
        let second = run.finish().await;
        assert_eq!((second.expect_done().done, second.summary.unchanged), (0, 1));
        assert_eq!(second.summary.moved, 0);
        run.stop().await;
    }
    assert_eq!(fs::read(rig.home().join("up")).unwrap(), fs::read(source.join("up")).unwrap());
    assert_eq!(fs::read(target.join("down")).unwrap(), fs::read(rig.home().join("down")).unwrap());
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1, "nothing staged is left");
    assert_eq!(rig.reserved().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waits_for_the_same_copy_can_be_cancelled() {
    let rig = Rig::start().await;
    let target = rig.local("target");
    fs::write(rig.home().join("file"), noise(9, 16 << 20)).unwrap();
    let (route, options) = (down("file", false, &target, true), Options::default());
    let remote = rig.remote().await;
    let mut run = Run::with(remote, rig.queue_journal(), PACED, route.clone(), options.clone());
    run.until_moved(4 * MIB).await;
    run.tell(Command::Submit(BatchId(2), Batch { route, options }));
    while !matches!(run.next().await, Event::Planned { batch: BatchId(2), complete: true, .. }) {}
    run.tell(Command::Cancel(BatchId(2)));
    let second = run.finish().await;
    assert_eq!((second.summary.skipped, second.summary.failed), (1, 0));
    let first = run.finish().await;
    assert_eq!(first.expect_done().done, 1);
    run.stop().await;
    assert_eq!(fs::read_dir(&target).unwrap().count(), 1);
    let (run, resumed) = Run::resume(rig.remote().await, rig.queue_journal(), PACED);
    assert!(resumed.is_empty(), "both ends were written down");
    run.stop().await;
}

/// What was to be kept beside another file is cleaned up under the name that was chosen for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_beside_another_file_leaves_nothing_when_it_is_stopped() {
    let rig = Rig::start().await;
    let local = rig.local("beside");
    let content = noise(8, 24 << 20);
    for place in [local.join("file"), rig.home().join("other")] {
        fs::write(place, &content).unwrap();
    }
    for place in [rig.home().join("file"), local.join("other")] {
        fs::write(place, b"in the way").unwrap();
    }
    let options = Options { on_conflict: OnConflict::Rename, ..Options::default() };
    let paced = Settings { connections: Some(1), limit: Some(8 << 20), last_item: 0 };
    for route in [up(&local.join("file"), false, "", true), down("other", false, &local, true)] {
        let remote = rig.remote().await;
        let journal = rig.journal("beside");
        let mut run = Run::with(remote, journal, paced, route, options.clone());
        run.until_moved(2 << 20).await;
        run.tell(Command::Cancel(BatchId(1)));
        let told = run.finish().await;
        assert_eq!((told.summary.done, told.summary.skipped), (0, 1), "{:?}", told.summary);
        run.stop().await;
        assert_eq!(rig.reserved().await, 0, "an upload is left");
        let names = fs::read_dir(&local).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["file", "other"]);
    }
}

/// What the person stops while the link is lost is told at once; what it holds is given back when the
/// link is there again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_stopped_while_the_link_is_lost_is_told_at_once() {
    let rig = Rig::start().await;
    let proxy = Proxy::to(rig.port).await;
    let file = rig.local("source").join("file");
    fs::write(&file, noise(10, 24 << 20)).unwrap();
    let remote = rig.remote_at(proxy.port).await;
    let mut link = remote.link();
    let route = up(&file, false, "", true);
    let (journal, options) = (rig.queue_journal(), Options::default());
    let mut run = Run::with(remote.clone(), journal, PACED, route, options);
    run.until_moved(4 * MIB).await;
    proxy.hold();
    proxy.cut();
    link.wait_for(|link| matches!(link, LinkState::Reconnecting { .. })).await.unwrap();
    run.tell(Command::Cancel(BatchId(1)));
    let told = run.finish().await;
    assert_eq!(told.outcome_of("file"), &Outcome::Skipped(SkipReason::Cancelled));
    assert!(!matches!(&*link.borrow(), LinkState::Live { .. }), "the link is lost still");
    assert_eq!(rig.reserved().await, 24 * MIB);

    proxy.release();
    let given_back = async {
        while rig.reserved().await > 0 {
            remote.retry_now();
        }
    };
    let soon = std::time::Duration::from_secs(30);
    tokio::time::timeout(soon, given_back).await.expect("what was stopped is given back");
    run.stop().await;
    assert!(!rig.home().join("file").exists());
}

/// What failed is found again by the keys of the queue's journal, also by another run: nothing that
/// it had staged is lost or carried twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_failed_in_one_run_is_taken_up_by_another() {
    let rig = Rig::start().await;
    let proxy = Proxy::to(rig.port).await;
    let file = rig.local("source").join("file");
    fs::write(&file, noise(11, 16 << 20)).unwrap();
    let route = up(&file, false, "", true);
    let endless = rig.impatient_remote_at(proxy.port).await;
    let (journal, options) = (rig.queue_journal(), Options::default());
    let mut run = Run::with(endless, journal, PACED, route.clone(), options.clone());
    run.until_moved(8 * MIB).await;
    proxy.hold();
    proxy.cut();
    let told = run.finish().await;
    assert_eq!(told.summary.failures[0].situation, Situation::LinkLost);
    run.stop().await;
    proxy.release();

    let journal = rig.queue_journal();
    assert!(journal.unfinished().is_empty(), "it failed, and is done with");
    let mut run = Run::with(rig.remote().await, journal, Settings::default(), route, options);
    let told = run.finish().await;
    told.expect_done();
    assert!(told.summary.moved <= 12 * MIB, "{} moved", told.summary.moved);
    run.stop().await;
    rig.expect_exact_quota().await;
}
