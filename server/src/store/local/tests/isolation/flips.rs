//! A parent that is swapped all the time, under every verb: for a link to elsewhere, or away to
//! elsewhere and back.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustix::fs::{RenameFlags, renameat_with};

use super::super::Local;
use super::{Act, Ground, MINE, SECRET, every_act};
use crate::store::conformance::{Fixture, User, new_account, user};
use crate::store::local::{Call, Durability, Faults, LocalOptions};
use crate::store::{QuotaLimits, Situation, StoreError};

/// What the parent is swapped for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swap {
    /// A link to a folder outside the data folder.
    LinkOutside,
    /// A link to another account's home.
    LinkToNeighbour,
    /// A link into staging.
    LinkToStaging,
    /// A folder in another account's home, where the parent then lies.
    AwayToNeighbour,
    /// A folder outside the data folder, where the parent then lies.
    AwayOutside,
}

const SWAPS: [Swap; 5] = [
    Swap::LinkOutside,
    Swap::LinkToNeighbour,
    Swap::LinkToStaging,
    Swap::AwayToNeighbour,
    Swap::AwayOutside,
];

/// Flips for each act in a default run, of all kinds together; `SAMPAN_FLIPS` says how many else.
const FLIPS: u64 = 2000;
/// Calls of an act while its parent is swapped, and as many as it takes until some came through and
/// some were refused.
const CALLS: u64 = 6;
/// Calls after which that is not waited for any longer.
const MOST_CALLS: u64 = 100_000;

/// A home in which `d` is swapped, and what lies around it.
struct Scene {
    local: Local,
    anna: User,
    outside: tempfile::TempDir,
    /// The parent, wherever it lies.
    real: File,
    /// What it is swapped with.
    other: (File, &'static str),
    /// That, if it is a folder: it is anna's while it lies in her home.
    decoy: Option<File>,
    swap: Swap,
    before: BTreeMap<PathBuf, String>,
}

#[expect(clippy::print_stdout, reason = "a proof says how much it tried")]
fn say(what: &str) {
    println!("{what}");
}

fn open(path: impl AsRef<Path>) -> File {
    File::open(path).unwrap()
}

/// The path of an open folder, wherever it is by now.
fn of(folder: &File) -> PathBuf {
    format!("/proc/self/fd/{}", folder.as_raw_fd()).into()
}

impl Scene {
    async fn new(swap: Swap, faults: Option<Arc<dyn Faults>>) -> Self {
        let local = Local::in_memory(LocalOptions {
            durability: Durability::Relaxed,
            disk_floor: 0,
            faults,
            ..LocalOptions::default()
        })
        .await;
        let anna = user(&local).await;
        local.accounts().add(new_account("bert", QuotaLimits::default())).await.unwrap();
        // Beside the data folder, so on its file system: nothing but the rules keeps them apart.
        let outside = tempfile::tempdir_in(local.path().parent().unwrap()).unwrap();
        let (home, bert) = (local.path().join("homes/anna"), local.path().join("homes/bert"));
        let staging = local.path().join("staging");
        for place in [outside.path(), &bert] {
            for name in ["f", "outside", "new", "tree/x/f"] {
                fs::create_dir_all(place.join(name).parent().unwrap()).unwrap();
                fs::write(place.join(name), SECRET).unwrap();
            }
            fs::create_dir(place.join("empty")).unwrap();
        }
        fs::create_dir(home.join("d")).unwrap();
        let real = open(home.join("d"));
        let link = |to: &Path| {
            symlink(to, home.join("link")).unwrap();
            ((open(&home), "link"), None)
        };
        let away = |place: &Path| {
            fs::create_dir(place.join("decoy")).unwrap();
            ((open(place), "decoy"), Some(open(place.join("decoy"))))
        };
        let (other, decoy) = match swap {
            Swap::LinkOutside => link(outside.path()),
            Swap::LinkToNeighbour => link(Path::new("../bert")),
            Swap::LinkToStaging => link(&staging),
            Swap::AwayToNeighbour => away(&bert),
            Swap::AwayOutside => away(outside.path()),
        };
        let mut scene =
            Self { local, anna, outside, real, other, decoy, swap, before: BTreeMap::new() };
        scene.before = scene.around();
        scene
    }

    fn home(&self) -> PathBuf {
        self.local.path().join("homes/anna")
    }

    /// Everything that is not anna's: names, kinds, modes, times and bytes.
    fn around(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut folders =
            vec![self.outside.path().to_owned(), self.local.path().join("homes/bert")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                // What is swapped is anna's wherever it lies.
                if path.ends_with("decoy") {
                    continue;
                }
                let meta = fs::symlink_metadata(&path).unwrap();
                let bytes = if meta.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
                let time = |seconds: i64, nanos: i64| format!("{seconds}.{nanos:09}");
                let described = format!(
                    "{:o} {} {} {} {bytes:?}",
                    meta.mode(),
                    meta.nlink(),
                    time(meta.mtime(), meta.mtime_nsec()),
                    time(meta.ctime(), meta.ctime_nsec()),
                );
                if meta.is_dir() {
                    folders.push(path.clone());
                }
                found.insert(path, described);
            }
        }
        found
    }

    /// Puts back what acts use up.
    fn reset(&self) {
        for folder in std::iter::once(&self.real).chain(&self.decoy) {
            let folder = of(folder);
            for name in ["new", "empty", "tree", "f"] {
                let path = folder.join(name);
                match fs::symlink_metadata(&path) {
                    Ok(meta) if meta.is_dir() => fs::remove_dir_all(&path).unwrap(),
                    Ok(_) => fs::remove_file(&path).unwrap(),
                    Err(_) => {}
                }
            }
            fs::create_dir_all(folder.join("tree/x")).unwrap();
            fs::create_dir(folder.join("empty")).unwrap();
            fs::write(folder.join("f"), MINE).unwrap();
            fs::write(folder.join("tree/x/f"), MINE).unwrap();
        }
        fs::write(self.home().join("own"), MINE).unwrap();
        // Not there unless it was just moved there.
        drop(fs::remove_file(self.home().join("free")));
    }

    /// What may be answered while the parent is swapped.
    fn is_clear(&self, situation: &Situation) -> bool {
        match self.swap {
            Swap::AwayToNeighbour | Swap::AwayOutside => matches!(
                situation,
                // The kernel says so of a folder that left while it was looked up.
                Situation::OtherFileSystem
                    | Situation::NotFound
                    | Situation::VersionChanged
                    | Situation::Exists
                    | Situation::NotAFolder
            ),
            _ => matches!(
                situation,
                Situation::IsALink | Situation::NotFound | Situation::VersionChanged
            ),
        }
    }

    /// Runs an act again and again while its parent is swapped, at least `flips` times.
    fn flip_under(&self, act: Act, flips: u64) -> (u64, u64, u64) {
        let (count, enough) = (AtomicU64::new(0), AtomicBool::new(false));
        let flipping = async {
            let ground = Ground::of("d");
            let (mut through, mut refused) = (0, 0);
            while count.load(Ordering::Relaxed) < flips
                || through + refused < CALLS
                || ((through == 0 || refused == 0) && through + refused < MOST_CALLS)
            {
                self.reset();
                match act.run(&self.anna, &ground).await {
                    Ok(()) => through += 1,
                    Err(StoreError::Refused { situation, .. }) => {
                        assert!(
                            self.is_clear(&situation),
                            "{act:?}, {:?}: {situation:?}",
                            self.swap
                        );
                        refused += 1;
                    }
                    Err(error) => panic!("{act:?}, {:?}: {error:?}", self.swap),
                }
            }
            enough.store(true, Ordering::Relaxed);
            (through, refused)
        };
        let (home, (other, name)) = (open(self.home()), &self.other);
        let flip = || {
            while count.load(Ordering::Relaxed) < flips || !enough.load(Ordering::Relaxed) {
                // Twice: it ends as it began.
                for _ in 0..2 {
                    renameat_with(&home, "d", other, *name, RenameFlags::EXCHANGE).unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                }
            }
        };
        let handle = tokio::runtime::Handle::current();
        let (through, refused) = std::thread::scope(|scope| {
            let flipper = scope.spawn(flip);
            let ran = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                tokio::task::block_in_place(|| handle.block_on(flipping))
            }));
            // However it ended, the other thread must end too.
            enough.store(true, Ordering::Relaxed);
            count.fetch_add(flips, Ordering::Relaxed);
            flipper.join().unwrap();
            count.fetch_sub(flips, Ordering::Relaxed);
            ran.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        (count.load(Ordering::Relaxed), through, refused)
    }
}

/// HARDENING S8: whatever a parent is swapped for, and however often, no verb reads or writes
/// outside the home. 10⁶ flips under every verb: `SAMPAN_FLIPS=1000000`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s8_a_swapped_parent_leads_no_verb_outside() {
    let flips = std::env::var("SAMPAN_FLIPS").map_or(FLIPS, |flips| flips.parse().unwrap());
    let each = flips.div_ceil(SWAPS.len() as u64);
    let mut all = 0;
    for swap in SWAPS {
        let scene = Scene::new(swap, None).await;
        for act in every_act() {
            let (count, through, refused) = scene.flip_under(act, each);
            assert!(through > 0, "{act:?} never came through, {swap:?}");
            assert!(refused > 0 || scene.decoy.is_some(), "{act:?} never met a link, {swap:?}");
            assert_eq!(scene.around(), scene.before, "{act:?}, {swap:?}");
            all += count;
        }
        let uploads = scene.anna.store.uploads(scene.anna.id).await.unwrap();
        assert!(uploads.is_empty(), "{uploads:?}");
    }
    say(&format!("{all} flips under {} acts of all verbs", every_act().len()));
}

/// Swaps a parent before the n-th call, once.
#[derive(Default)]
struct SwapBefore {
    armed: Mutex<Option<(u32, Exchange)>>,
}

/// Swaps the parent, there or back.
type Exchange = Arc<dyn Fn() + Send + Sync>;

impl SwapBefore {
    /// Whether it came to that.
    fn disarm(&self) -> bool {
        self.armed.lock().unwrap().take().is_none()
    }
}

impl Faults for SwapBefore {
    fn before(&self, _: Call) -> std::io::Result<()> {
        let mut armed = self.armed.lock().unwrap();
        match &mut *armed {
            None => {}
            Some((0, swap)) => {
                swap();
                *armed = None;
            }
            Some((calls, _)) => *calls -= 1,
        }
        Ok(())
    }
}

/// HARDENING S8: the same without chance: the parent is swapped before each single call that a verb
/// makes of the file system, once, and stays so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s8_a_parent_swapped_before_any_call_leads_no_verb_outside() {
    let mut swaps = 0;
    for swap in SWAPS {
        let faults = Arc::new(SwapBefore::default());
        let scene = Scene::new(swap, Some(faults.clone())).await;
        let ground = Ground::of("d");
        let exchange = {
            let (home, other, name) =
                (open(scene.home()), scene.other.0.try_clone().unwrap(), scene.other.1);
            let exchange: Exchange = Arc::new(move || {
                renameat_with(&home, "d", &other, name, RenameFlags::EXCHANGE).unwrap();
            });
            exchange
        };
        for act in every_act() {
            for call in 0.. {
                scene.reset();
                *faults.armed.lock().unwrap() = Some((call, exchange.clone()));
                let result = act.run(&scene.anna, &ground).await;
                let was_swapped = faults.disarm();
                assert_eq!(scene.around(), scene.before, "{act:?}, {swap:?}, call {call}");
                match result {
                    Ok(()) => {}
                    Err(StoreError::Refused { situation, .. }) if scene.is_clear(&situation) => {}
                    Err(error) => panic!("{act:?}, {swap:?}, call {call}: {error:?}"),
                }
                if !was_swapped {
                    break;
                }
                swaps += 1;
                exchange();
                // Whatever was left over is settled by the next change.
                scene.anna.mkdir("d").await.unwrap();
            }
        }
    }
    say(&format!("{swaps} swaps before a call"));
}

/// S8: a folder that keeps its owner out is opened up before it is deleted; never what a link leads
/// to that another hand puts in its place at that moment.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s8_deleting_a_tree_never_changes_what_a_link_leads_to() {
    /// Swaps a closed folder in staging for a link before its mode is set.
    struct SwapClosed {
        staging: Mutex<Option<PathBuf>>,
        outside: PathBuf,
    }
    impl Faults for SwapClosed {
        fn before(&self, call: Call) -> std::io::Result<()> {
            let mut staging = self.staging.lock().unwrap();
            let Some(place) = staging.take_if(|_| call == Call::SetAttributes) else {
                return Ok(());
            };
            let tree = fs::read_dir(place)?.map(|entry| entry.unwrap().path().join("0"));
            let tree = tree.into_iter().find(|tree| tree.join("closed").exists()).unwrap();
            fs::rename(tree.join("closed"), tree.join("away"))?;
            symlink(&self.outside, tree.join("closed"))
        }
    }
    let outside = tempfile::tempdir_in("/dev/shm").unwrap();
    fs::set_permissions(outside.path(), fs::Permissions::from_mode(0o751)).unwrap();
    fs::write(outside.path().join("f"), SECRET).unwrap();
    let faults =
        Arc::new(SwapClosed { staging: Mutex::default(), outside: outside.path().to_owned() });
    let local = Local::in_memory(LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        faults: Some(faults.clone()),
        ..LocalOptions::default()
    })
    .await;
    let anna = user(&local).await;
    anna.put("tree/closed/f", MINE, crate::store::Target::Absent).await.unwrap();
    let closed = local.path().join("homes/anna/tree/closed");
    fs::set_permissions(closed, fs::Permissions::from_mode(0o500)).unwrap();
    *faults.staging.lock().unwrap() = Some(local.path().join("staging"));
    anna.remove("tree").await.unwrap();
    assert!(faults.staging.lock().unwrap().is_none(), "its mode was set");
    assert_eq!(fs::metadata(outside.path()).unwrap().mode() & 0o7777, 0o751);
    assert_eq!(fs::read(outside.path().join("f")).unwrap(), SECRET);
}
