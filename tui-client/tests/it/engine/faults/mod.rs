//! Every kind of fault of a network, under everything that a client does (HARDENING 2.11).
//!
//! Whatever happens to connections, it all ends across and verified, the ledger is the sum of what
//! lies there, nothing is in flight, no session is left, and what went over the wire stays within
//!
//! ```text
//! content + 1/32 for frames and TLS + 64 KiB for each connection
//!         + for each fault, on each lane, what may be unanswered there
//! ```
//!
//! Plans are drawn by `SAMPAN_SEED`, which each test prints.

mod cuts;
mod replay;

use std::fs;
use std::path::Path;
use std::time::Duration;

use sampan_client::remote::{Patience, Remote};
use sampan_client::transfer::{Options, Route, Settings};
use sampan_protocol::message::Precondition;
use sampan_server::config::{Bounds, Settings as ServerSettings};
use sampan_server::store::QuotaLimits;

use super::rig::{Rig, Run, down, home, noise, up};
use super::trees::describe;
use crate::proxy::Proxy;
use crate::proxy::plan::{Fault, Plan, Step, Way, drawn};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
/// Silence is noticed soon; not so soon that a busy machine counts as a dead one.
const HASTY: Patience = Patience {
    ping: Duration::from_millis(250),
    idle: Duration::from_millis(250),
    silent: Duration::from_millis(500),
    dead: Duration::from_millis(1200),
};
/// After so much silence the server gives a session up.
const SERVER_IDLE: Duration = Duration::from_secs(2);
const LANES: u64 = 2;
/// What may be unanswered on one lane: eight blocks and the one that is being sent, or a pack; down,
/// what two requests asked for.
const UNANSWERED: u64 = 16 * MIB;
/// Of each kind.
const CHANGES: usize = 10;
/// Of every client so many connections meet a fault that ends them.
const FAULTY: u64 = 4;

/// A number that can be given again.
fn seed() -> u64 {
    let given = std::env::var("SAMPAN_SEED").ok().map(|seed| seed.parse().expect("a number"));
    let seed = given.unwrap_or_else(rand::random);
    tell(&format!("SAMPAN_SEED={seed}"));
    seed
}

#[expect(clippy::print_stdout, reason = "tests tell their figures so")]
fn tell(text: &str) {
    println!("{text}");
}

/// What goes wrong, as a plan says it of the direction in which the bulk goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// From the first byte on.
    Lasting(Fault),
    /// Somewhere in the middle, on the first few connections.
    Ending(Fault),
}

/// Something that a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errand {
    PutFile,
    GetFile,
    PutTree,
    GetTree,
    Change,
}

impl Errand {
    const ALL: [Self; 5] =
        [Self::PutFile, Self::GetFile, Self::PutTree, Self::GetTree, Self::Change];

    fn bulk(self) -> Way {
        match self {
            Self::PutFile | Self::PutTree | Self::Change => Way::Up,
            Self::GetFile | Self::GetTree => Way::Down,
        }
    }

    /// Where in a connection something happens to it.
    fn middle(self) -> std::ops::Range<u64> {
        match self {
            Self::PutFile | Self::GetFile => 2 * MIB..4 * MIB,
            Self::PutTree | Self::GetTree => 200 * KIB..900 * KIB,
            Self::Change => 3 * KIB..6 * KIB,
        }
    }
}

fn planned(kind: Kind, errand: Errand, seed: u64) -> impl Fn(u64) -> Plan + Send + 'static {
    move |number| {
        let after = drawn(seed, number, errand.middle());
        match kind {
            Kind::Lasting(fault) => {
                let steps = vec![Step { after: 0, fault }, Step { after, fault }];
                Plan { up: steps.clone(), down: steps }
            }
            Kind::Ending(fault) if number < FAULTY => Plan::one(errand.bulk(), after, fault),
            Kind::Ending(_) => Plan::default(),
        }
    }
}

/// What moves: a large file, or a tree of packs and of blocks.
fn make_source(folder: &Path, errand: Errand) -> u64 {
    fs::create_dir_all(folder).unwrap();
    if matches!(errand, Errand::PutFile | Errand::GetFile) {
        fs::write(folder.join("file"), noise(1, 10 << 20)).unwrap();
        return 10 * MIB;
    }
    let mut bytes = 0;
    let mut write = |name: String, length: u64| {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, noise(length, usize::try_from(length).unwrap())).unwrap();
        bytes += length;
    };
    for number in 0..200 {
        write(format!("small/{}/{number}", number % 5), 15_000 + number);
    }
    for number in 0..3 {
        write(format!("large/{number}"), 900_000 + number);
    }
    bytes
}

/// Runs one errand over a network of its own, and says what went wrong how often.
async fn run(rig: &Rig, kind: Kind, errand: Errand, seed: u64) {
    let name = format!("{errand:?}");
    let (here, there) = (rig.local(&name).join("here"), rig.home().join(&name));
    let proxy = Proxy::planned(rig.port, planned(kind, errand, seed)).await;
    let remote = rig.patient_remote_at(proxy.port, HASTY).await;
    let content = match errand {
        Errand::Change => {
            fs::create_dir(&here).unwrap();
            for number in 0..CHANGES {
                fs::write(here.join(format!("old {number}")), b"old").unwrap();
                fs::write(here.join(format!("new {number}")), b"newer").unwrap();
            }
            cleanly(rig, &name, &here).await;
            change(&remote, &name).await;
            0
        }
        Errand::PutFile | Errand::PutTree => {
            let content = make_source(&here, errand);
            carry(rig, &remote, &name, up(&here, true, &name, true)).await;
            content
        }
        Errand::GetFile | Errand::GetTree => {
            let content = make_source(&here, errand);
            cleanly(rig, &name, &here).await;
            let target = rig.local(&name).join("again");
            carry(rig, &remote, &name, down(&name, true, &target, true)).await;
            assert_eq!(describe(&target), describe(&here), "{kind:?} {errand:?}");
            content
        }
    };
    remote.close().await;
    if errand == Errand::Change {
        for number in 0..CHANGES {
            assert_eq!(fs::read(there.join(format!("old {number}"))).unwrap(), b"newer");
        }
        assert_eq!(fs::read_dir(&there).unwrap().count(), CHANGES);
    } else {
        assert_eq!(describe(&there), describe(&here), "{kind:?} {errand:?}");
    }
    assert!(proxy.faults() > 0, "nothing went wrong: {kind:?} {errand:?}");
    let moved = match errand.bulk() {
        Way::Up => proxy.sent(),
        Way::Down => proxy.received(),
    };
    let ends = if matches!(kind, Kind::Ending(_)) { proxy.faults() } else { 0 };
    let most = content
        + content / 32
        + 64 * KIB * proxy.connections()
        + ends * LANES * content.min(UNANSWERED);
    tell(&format!(
        "{kind:?} {errand:?}: {} faults, {} connections, {moved} bytes for {content}",
        proxy.faults(),
        proxy.connections(),
    ));
    assert!(moved <= most, "{kind:?} {errand:?}: {moved} bytes on the wire, at most {most}");
}

/// What a transfer begins with, over a network without faults.
async fn cleanly(rig: &Rig, name: &str, here: &Path) {
    let remote = rig.remote().await;
    carry(rig, &remote, &format!("{name} before"), up(here, true, name, true)).await;
    remote.close().await;
}

async fn carry(rig: &Rig, remote: &Remote, name: &str, route: Route) {
    let settings =
        Settings { connections: Some(usize::try_from(LANES).unwrap()), limit: None, last_item: 0 };
    let journal = rig.journal(name);
    let mut run = Run::with(remote.clone(), journal, settings, route, Options::default());
    run.finish().await.expect_done();
    run.stop().await;
}

/// Makes, renames, removes and replaces; the new files are left under the names of the old ones.
async fn change(remote: &Remote, name: &str) {
    let at = |inner: &str, number| home(&format!("{name}/{inner} {number}"));
    for number in 0..CHANGES {
        let (made, renamed) = (at("made", number), at("named", number));
        remote.mkdir(&made, false, None).await.unwrap();
        remote.rename(&made, &renamed, None, Precondition::Absent).await.unwrap();
        let removed = remote.remove(&renamed, false, None).await.unwrap();
        assert_eq!(removed.entries, 1);
        let (old, new) = (at("old", number), at("new", number));
        let replaced = remote.rename(&new, &old, None, Precondition::Any).await.unwrap();
        assert_eq!(replaced.attributes.size, 5);
    }
}

/// Everything that a client does, at the same time, each over a network of its own.
async fn survives(kind: Kind) {
    let seed = seed();
    let bounds = Bounds { idle: SERVER_IDLE, ..Bounds::default() };
    let settings = ServerSettings { disk_floor: 0, bounds, ..ServerSettings::default() };
    let rig = Rig::with(settings, QuotaLimits::default()).await;
    let errands = Errand::ALL.map(|errand| run(&rig, kind, errand, seed));
    futures_util::future::join_all(errands).await;
    rig.expect_exact_quota().await;
    rig.until_no_session_is_left().await;
}

macro_rules! survived {
    ($($name:ident: $kind:expr;)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            survives($kind).await;
        })*
    };
}

survived! {
    delayed_links_are_survived: Kind::Lasting(Fault::Delay(Duration::from_millis(4)));
    slow_links_are_survived: Kind::Lasting(Fault::Limit(12 * MIB));
    links_that_deliver_byte_by_byte_are_survived: Kind::Lasting(Fault::Trickle(4 * KIB));
    cut_links_are_survived: Kind::Ending(Fault::Cut);
    reset_links_are_survived: Kind::Ending(Fault::Reset);
    half_open_links_are_survived: Kind::Ending(Fault::HalfOpen);
    links_that_take_nothing_more_are_survived: Kind::Ending(Fault::Stall);
    links_that_give_nothing_more_are_survived: Kind::Ending(Fault::StallBack);
}
