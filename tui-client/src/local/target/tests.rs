use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sampan_protocol::block::{BlockIndex, Blocks, RowHasher};
use sampan_protocol::limits::BLOCK_BYTES;
use sampan_protocol::{Mode, Name};

use super::*;
use crate::local::folder::AsOsStr;
use crate::local::testing::{at, fifo, files, listed, odd_names};
use crate::local::{Call, Faults, Source, look};
use crate::transfer::Links;

const LOCAL: Side = Side::Local;

struct Shore {
    _dir: tempfile::TempDir,
    path: PathBuf,
    outside: PathBuf,
    root: TargetRoot,
}

/// A folder to receive in, and one beside it that must stay as it is.
fn shore() -> Shore {
    shore_on(&Disk::default())
}

fn shore_on(disk: &Disk) -> Shore {
    let dir = tempfile::tempdir().unwrap();
    let (path, outside) = (dir.path().join("root"), dir.path().join("outside"));
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("precious"), "precious").unwrap();
    let root = TargetRoot::create_on(disk, &path).unwrap();
    Shore { _dir: dir, path, outside, root }
}

impl Shore {
    fn is_outside_untouched(&self) -> bool {
        listed(&self.outside) == ["precious"]
            && fs::read(self.outside.join("precious")).unwrap() == b"precious"
    }
}

fn mtime() -> Timestamp {
    Timestamp::new(1_234_567_890, 987_654_321).unwrap()
}

fn whole<'a>(at: &'a RemotePath, staging: &'a StagingName, content: &'a [u8]) -> Whole<'a> {
    let (mode, condition) = (Mode::new(0o640), Condition::Absent);
    Whole { at, staging, content, mode, mtime: mtime(), condition }
}

/// Receives one file in a group of its own.
fn receive(root: &TargetRoot, whole: &Whole<'_>) -> Result<(), Failure> {
    let mut group = Group::new(root, true);
    group.put(whole)?;
    group.publish().pop().unwrap()
}

fn situation<T>(result: Result<T, Failure>) -> Situation {
    result.map(|_| ()).unwrap_err().situation
}

#[test]
fn a_file_arrives_with_its_bytes_mode_and_time() {
    let shore = shore();
    let size = 2 * BLOCK_BYTES + 5;
    let content: Vec<u8> = (0..size).map(|at| (at % 253) as u8).collect();
    let staging = StagingName::of(1);
    for (name, mode, time) in [
        ("a", 0o600, mtime()),
        ("b", 0o444, Timestamp::new(-5, 1).unwrap()),
        ("c", 0o777, Timestamp::new(0, 0).unwrap()),
    ] {
        let at = at(name);
        let staged = shore.root.stage(NewFile { at: &at, staging: &staging, size }).unwrap();
        let path = shore.path.join(staging.as_str());
        assert_eq!(look(&path).unwrap().mode, Mode::new(0o600));
        assert!(look(&shore.path.join(name)).is_err(), "nothing is visible until it is whole");
        let half = usize::try_from(BLOCK_BYTES).unwrap();
        staged.write_at(&content[half..], BLOCK_BYTES).unwrap();
        staged.write_at(&content[..half], 0).unwrap();
        staged.flush().unwrap();
        let mut group = Group::new(&shore.root, true);
        group.add(staged, Mode::new(mode), time, Condition::Absent).unwrap();
        assert_eq!(group.publish(), [Ok(())]);
        let there = look(&shore.path.join(name)).unwrap();
        assert_eq!(there.attributes().mode, Mode::new(mode));
        assert_eq!(there.attributes().mtime, time);
        assert_eq!(fs::read(shore.path.join(name)).unwrap(), content);
    }
    assert_eq!(listed(&shore.path), ["a", "b", "c"]);
}

#[test]
fn a_staged_file_is_taken_up_again_with_what_was_written() {
    let shore = shore();
    let size = 5 * BLOCK_BYTES + 1;
    let content: Vec<u8> = (0..size).map(|at| (at % 241) as u8).collect();
    let (at, staging) = (at("f"), StagingName::of(7));
    let new = NewFile { at: &at, staging: &staging, size };
    assert!(shore.root.resume(new).unwrap().is_none());
    let staged = shore.root.stage(new).unwrap();
    let block = |index: u64| {
        let start = usize::try_from(index * BLOCK_BYTES).unwrap();
        &content[start..content.len().min(start + usize::try_from(BLOCK_BYTES).unwrap())]
    };
    for index in [0, 3] {
        staged.write_at(block(index), index * BLOCK_BYTES).unwrap();
    }
    staged.write_at(&block(4)[..100], 4 * BLOCK_BYTES).unwrap();
    drop(staged);

    let staged = shore.root.resume(new).unwrap().unwrap();
    let mut hasher = RowHasher::new(Blocks::of(size).unwrap());
    hasher.update(&content).unwrap();
    let (row, _) = hasher.finish().unwrap();
    let mut buffer = Vec::new();
    let mut hash = |index| staged.hash_block(BlockIndex(index), &mut buffer).unwrap();
    assert_eq!(hash(0), Some(row[0]));
    assert_ne!(hash(1), Some(row[1]), "a hole");
    assert_eq!(hash(3), Some(row[3]));
    assert_ne!(hash(4), Some(row[4]), "a part");
    assert_eq!(hash(5), None);
    assert_eq!(hash(6), None, "outside the file");
    // Finished in the second run.
    for index in [1, 2, 4, 5] {
        staged.write_at(block(index), index * BLOCK_BYTES).unwrap();
    }
    let mut group = Group::new(&shore.root, false);
    group.add(staged, Mode::FILE, mtime(), Condition::Absent).unwrap();
    assert_eq!(group.publish(), [Ok(())]);
    assert_eq!(fs::read(shore.path.join("f")).unwrap(), content);
}

#[test]
fn a_staged_file_of_no_use_is_begun_anew() {
    let shore = shore();
    let (at, staging) = (at("f"), StagingName::of(9));
    let new = NewFile { at: &at, staging: &staging, size: 10 };
    let path = shore.path.join(staging.as_str());
    // Longer than the file is now: cut.
    fs::write(&path, "0123456789abcdef").unwrap();
    let staged = shore.root.resume(new).unwrap().unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"0123456789");
    assert_eq!(look(&path).unwrap().mode, Mode::new(0o600));
    drop(staged);
    // Something that we did not make: removed, never opened.
    fs::remove_file(&path).unwrap();
    let plants: [&dyn Fn(); 3] =
        [&|| symlink(shore.outside.join("precious"), &path).unwrap(), &|| fifo(&path), &|| {
            fs::hard_link(shore.outside.join("precious"), &path).unwrap();
        }];
    for plant in plants {
        plant();
        assert!(shore.root.resume(new).unwrap().is_none());
        assert!(look(&path).is_err());
        plant();
        let staged = shore.root.stage(new).unwrap();
        staged.write_at(b"0123456789", 0).unwrap();
        staged.discard().unwrap();
        assert!(shore.is_outside_untouched());
    }
    assert!(listed(&shore.path).is_empty());
}

#[test]
fn what_does_not_fit_is_refused_before_a_byte_moves() {
    let shore = shore();
    let staging = StagingName::of(1);
    let stage = |name: &str, size| {
        let at = at(name);
        situation(shore.root.stage(NewFile { at: &at, staging: &staging, size }))
    };
    assert_eq!(stage("f", 1 << 60), Situation::DiskFull(LOCAL));
    fs::create_dir(shore.path.join("folder")).unwrap();
    fs::write(shore.path.join("file"), "").unwrap();
    symlink("/", shore.path.join("link")).unwrap();
    assert_eq!(stage("folder", 1), Situation::KindDiffers(LOCAL));
    assert_eq!(stage("file/x", 1), Situation::KindDiffers(LOCAL));
    assert_eq!(stage("link/x", 1), Situation::IsALink(LOCAL));
    assert_eq!(stage("none/x", 1), Situation::NotFound(LOCAL));
    assert_eq!(stage("", 1), Situation::InvalidTarget);
    assert_eq!(listed(&shore.path), ["file", "folder", "link"]);

    let f = at("f");
    let staged = shore.root.stage(NewFile { at: &f, staging: &staging, size: 4 }).unwrap();
    assert_eq!(situation(staged.write_at(b"12345", 0)), Situation::NotVerified);
    assert_eq!(situation(staged.write_at(b"1", u64::MAX)), Situation::NotVerified);
    staged.write_at(b"123", 0).unwrap();
    let mut group = Group::new(&shore.root, true);
    let added = group.add(staged, Mode::FILE, mtime(), Condition::Absent);
    assert!(matches!(situation(added), Situation::Unexpected(_)), "a byte is missing");
}

#[test]
fn names_of_the_other_side_cannot_leave_the_folder_s1_s3_s7() {
    let shore = shore();
    symlink("../outside", shore.path.join("up")).unwrap();
    symlink(&shore.outside, shore.path.join("straight")).unwrap();
    symlink("../outside/precious", shore.path.join("file")).unwrap();
    fs::create_dir(shore.path.join("in")).unwrap();
    symlink("../../outside", shore.path.join("in/up")).unwrap();
    let staging = StagingName::of(3);
    for path in ["up/x", "up/precious", "straight/x", "in/up/precious", "up/a/b"] {
        let at = at(path);
        let link = Situation::IsALink(LOCAL);
        let new = NewFile { at: &at, staging: &staging, size: 1 };
        assert_eq!(situation(receive(&shore.root, &whole(&at, &staging, b"x"))), link, "{path}");
        assert_eq!(situation(shore.root.stage(new)), link);
        assert_eq!(situation(shore.root.resume(new)), link);
        assert_eq!(situation(shore.root.look(&at)), link);
        assert_eq!(situation(shore.root.make_folder(&at)), link);
        assert_eq!(situation(shore.root.discard(&at, &staging)), link);
        let finished = shore.root.finish_folder(&at, Mode::FOLDER, mtime());
        assert_eq!(situation(finished), link);
    }
    let up = at("up");
    assert_eq!(situation(shore.root.make_folder(&up)), Situation::IsALink(LOCAL));
    let finished = shore.root.finish_folder(&up, Mode::new(0), mtime());
    assert_eq!(situation(finished), Situation::IsALink(LOCAL));
    // A link that is itself the target is replaced, if that was decided, and never written through.
    let file = at("file");
    let seen = shore.root.look(&file).unwrap().unwrap();
    let mut over = whole(&file, &staging, b"new");
    assert_eq!(situation(receive(&shore.root, &over)), Situation::TargetChanged(LOCAL));
    over.condition = Condition::Replaces(seen.identity);
    receive(&shore.root, &over).unwrap();
    assert_eq!(fs::read(shore.path.join("file")).unwrap(), b"new");
    assert!(!shore.path.join("file").is_symlink());
    // What looks like a way out is a name like any other.
    for odd in ["..\\x", "...", "%2e%2e%2fx", "~", "C:\\x", "-rf", "\u{2025}"] {
        receive(&shore.root, &whole(&at(odd), &staging, b"x")).unwrap();
        assert!(shore.path.join(odd).is_file(), "{odd}");
    }
    for refused in ["..", ".", "", "a/b", "/x", "a\0"] {
        assert!(Name::new(refused.as_bytes()).is_err());
    }
    assert!(shore.is_outside_untouched());
}

#[test]
fn a_folder_that_flips_into_a_link_is_never_written_through_s8() {
    let shore = shore();
    fs::create_dir(shore.path.join("a")).unwrap();
    symlink("../outside", shore.path.join("link")).unwrap();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let folder = Folder::open(&shore.path).unwrap();
            while !stop.load(Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&folder, c"a", &folder, c"link", flags).unwrap();
            }
        });
        let (mut received, mut refused) = (0_u64, 0_u64);
        while (received < 200 || refused < 200) && received + refused < 500_000 {
            let round = received + refused;
            let at = at(&format!("a/f{round}"));
            let staging = StagingName::of(round);
            let mut group = Group::new(&shore.root, false);
            let made = shore.root.make_folder(&at.parent().unwrap());
            let put = group.put(&whole(&at, &staging, b"x"));
            let answer = put.and_then(|()| group.publish().pop().unwrap());
            match made.and(answer) {
                Ok(()) => received += 1,
                Err(_) => refused += 1,
            }
        }
        stop.store(true, Ordering::Relaxed);
        assert!(received >= 200 && refused >= 200, "{received} received, {refused} refused");
    });
    assert!(shore.is_outside_untouched());
}

#[test]
fn folders_are_made_merged_and_finished() {
    let shore = shore();
    let folder = at("d");
    assert_eq!(shore.root.make_folder(&folder), Ok(Made::New));
    assert_eq!(look(&shore.path.join("d")).unwrap().mode, Mode::new(0o700));
    assert_eq!(shore.root.make_folder(&folder), Ok(Made::Existing));
    assert_eq!(shore.root.make_folder(&RemotePath::home()), Ok(Made::Existing));
    receive(&shore.root, &whole(&at("d/f"), &StagingName::of(1), b"x")).unwrap();
    let file_in_the_way = situation(shore.root.make_folder(&at("d/f")));
    assert_eq!(file_in_the_way, Situation::KindDiffers(LOCAL));
    assert_eq!(situation(shore.root.make_folder(&at("none/x"))), Situation::NotFound(LOCAL));
    assert_eq!(situation(shore.root.make_folder(&at("d/f/x"))), Situation::KindDiffers(LOCAL));
    shore.root.finish_folder(&folder, Mode::new(0o551), mtime()).unwrap();
    shore.root.flush().unwrap();
    let there = look(&shore.path.join("d")).unwrap();
    assert_eq!((there.mode, there.identity.mtime), (Mode::new(0o551), mtime()));
    let folder_there = shore.root.look(&folder).unwrap().unwrap();
    assert_eq!(folder_there.attributes(), there.attributes());
    assert_eq!(shore.root.look(&at("d/none")).unwrap(), None);
    assert_eq!(shore.root.look(&at("none/none")).unwrap(), None);
    assert_eq!(situation(shore.root.look(&at("d/f/x"))), Situation::KindDiffers(LOCAL));
    shore.root.finish_folder(&folder, Mode::new(0o755), mtime()).unwrap();
}

#[test]
fn the_chosen_folder_is_made_and_may_be_behind_the_users_own_link() {
    let dir = tempfile::tempdir().unwrap();
    let deep = dir.path().join("x/y/z");
    assert_eq!(situation(TargetRoot::open(&deep)), Situation::NotFound(LOCAL));
    let root = TargetRoot::create(&deep).unwrap();
    assert_eq!(root.path(), deep);
    symlink("x/y", dir.path().join("way")).unwrap();
    let root = TargetRoot::create(&dir.path().join("way/z/new")).unwrap();
    receive(&root, &whole(&at("f"), &StagingName::of(1), b"x")).unwrap();
    assert!(deep.join("new/f").is_file());
    fs::write(dir.path().join("file"), "").unwrap();
    for blocked in ["file", "file/x", "file/x/y"] {
        let path = dir.path().join(blocked);
        assert_eq!(situation(TargetRoot::create(&path)), Situation::KindDiffers(LOCAL));
    }
    symlink("gone", dir.path().join("dangling")).unwrap();
    assert!(TargetRoot::create(&dir.path().join("dangling")).is_err());
}

#[test]
fn odd_names_arrive_unchanged_s2() {
    let shore = shore();
    let mut group = Group::new(&shore.root, true);
    for (index, name) in odd_names().iter().enumerate() {
        let at = RemotePath::home().join(name).unwrap();
        group.put(&whole(&at, &StagingName::of(index as u64), name.as_bytes())).unwrap();
    }
    assert!(group.publish().iter().all(Result::is_ok));
    for name in odd_names() {
        assert_eq!(fs::read(shore.path.join(name.as_os_str())).unwrap(), name.as_bytes());
    }
    assert_eq!(listed(&shore.path).len(), odd_names().len());
}

#[test]
fn a_group_answers_for_each_and_one_refusal_leaves_the_others_alone() {
    let shore = shore();
    fs::create_dir(shore.path.join("d")).unwrap();
    fs::write(shore.path.join("taken"), "old").unwrap();
    fs::write(shore.path.join("replaced"), "old").unwrap();
    fs::write(shore.path.join("changed"), "old").unwrap();
    let seen = |name: &str| {
        let look = shore.root.look(&at(name)).unwrap().unwrap();
        Condition::Replaces(look.identity)
    };
    let (replaced, changed) = (seen("replaced"), seen("changed"));
    fs::write(shore.path.join("changed"), "newer").unwrap();
    let plan = [
        ("new", Condition::Absent, None),
        ("d/new", Condition::Absent, None),
        ("taken", Condition::Absent, Some(Situation::TargetChanged(LOCAL))),
        ("replaced", replaced, None),
        ("changed", changed, Some(Situation::TargetChanged(LOCAL))),
        ("d", Condition::Absent, Some(Situation::KindDiffers(LOCAL))),
    ];
    let mut group = Group::new(&shore.root, true);
    assert!(group.is_empty());
    for (index, (name, condition, _)) in plan.iter().enumerate() {
        let (at, staging) = (at(name), StagingName::of(index as u64));
        let condition = *condition;
        group.put(&Whole { condition, ..whole(&at, &staging, b"received") }).unwrap();
    }
    assert_eq!(group.len(), plan.len());
    let answers = group.publish();
    for ((name, _, expected), answer) in plan.iter().zip(&answers) {
        assert_eq!(answer.as_ref().err().map(|failure| &failure.situation), expected.as_ref());
        if let Err(failure) = answer {
            assert_eq!(failure.subject, shore.path.join(name).display().to_string());
        }
    }
    let received = (b"received".to_vec(), 0o640);
    let there = files(&shore.path);
    assert_eq!(there.len(), 5, "no staging is left: {there:?}");
    for name in ["new", "d/new", "replaced"] {
        assert_eq!(there[name], received);
    }
    assert_eq!((&there["taken"].0[..], &there["changed"].0[..]), (&b"old"[..], &b"newer"[..]));
}

#[test]
fn a_large_file_that_is_refused_its_name_stays_staged() {
    let shore = shore();
    let (at, staging) = (at("f"), StagingName::of(5));
    let new = NewFile { at: &at, staging: &staging, size: 3 };
    let staged = shore.root.stage(new).unwrap();
    staged.write_at(b"new", 0).unwrap();
    fs::write(shore.path.join("f"), "appeared").unwrap();
    let mut group = Group::new(&shore.root, true);
    group.add(staged, Mode::FILE, mtime(), Condition::Absent).unwrap();
    let answer = group.publish().pop().unwrap();
    assert_eq!(situation(answer), Situation::TargetChanged(LOCAL));
    // The person decides; nothing has to be sent again.
    let seen = shore.root.look(&at).unwrap().unwrap().identity;
    let staged = shore.root.resume(new).unwrap().unwrap();
    let mut group = Group::new(&shore.root, true);
    group.add(staged, Mode::FILE, mtime(), Condition::Replaces(seen)).unwrap();
    assert_eq!(group.publish(), [Ok(())]);
    assert_eq!(fs::read(shore.path.join("f")).unwrap(), b"new");
    assert_eq!(listed(&shore.path), ["f"]);
}

#[test]
fn what_took_a_staging_name_is_not_published_as_what_was_verified() {
    let shore = shore();
    let (at, staging) = (at("f"), StagingName::of(5));
    let new = NewFile { at: &at, staging: &staging, size: 3 };
    for is_whole in [false, true] {
        let mut group = Group::new(&shore.root, true);
        if is_whole {
            group.put(&whole(&at, &staging, b"new")).unwrap();
        } else {
            let staged = shore.root.stage(new).unwrap();
            staged.write_at(b"new", 0).unwrap();
            group.add(staged, Mode::FILE, mtime(), Condition::Absent).unwrap();
        }
        let other = shore.root.stage(new).unwrap();
        other.write_at(b"n", 0).unwrap();
        assert_eq!(situation(group.publish().pop().unwrap()), Situation::NotVerified);
        assert_eq!(listed(&shore.path), [staging.as_str()], "the other one goes on");
        other.discard().unwrap();
    }
}

/// Fails every flush from the n-th on, the first being 1.
struct NoFlush {
    left: AtomicUsize,
}

impl NoFlush {
    fn from(number: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(number - 1) })
    }
}

impl Faults for NoFlush {
    fn before(&self, call: Call<'_>) -> Result<usize, Errno> {
        let is_flush =
            matches!(call, Call::Flush { .. } | Call::FlushBytes { .. } | Call::FlushDisk { .. });
        let one_less = |left: usize| left.checked_sub(1);
        let order = Ordering::Relaxed;
        if is_flush && self.left.fetch_update(order, order, one_less).is_err() {
            return Err(Errno::IO);
        }
        Ok(usize::MAX)
    }
}

/// Fails one flush of bytes.
struct Once(AtomicBool);
impl Faults for Once {
    fn before(&self, call: Call<'_>) -> Result<usize, Errno> {
        let fails =
            matches!(call, Call::FlushBytes { .. }) && !self.0.swap(true, Ordering::Relaxed);
        if fails { Err(Errno::IO) } else { Ok(usize::MAX) }
    }
}

/// Nobody but root may write what its mode forbids; this stands for everybody else.
struct NotRoot(PathBuf);
impl Faults for NotRoot {
    fn before(&self, call: Call<'_>) -> Result<usize, Errno> {
        match call {
            Call::Open { flags }
                if flags.contains(rustix::fs::OFlags::RDWR)
                    && fs::metadata(&self.0).unwrap().mode() & 0o200 == 0 =>
            {
                Err(Errno::ACCESS)
            }
            _ => Ok(usize::MAX),
        }
    }
}

/// The system tells of a flush that failed once; the next one succeeds and proves nothing
/// (HARDENING 2.5, 2.10).
#[test]
fn what_a_flush_in_the_background_failed_with_is_never_published() {
    let shore = shore_on(&Disk::with(Arc::new(Once(AtomicBool::new(false)))));
    let (at, staging) = (at("f"), StagingName::of(5));
    let new = NewFile { at: &at, staging: &staging, size: 4 };
    let staged = shore.root.stage(new).unwrap();
    staged.write_at(b"ab", 0).unwrap();
    let failed = staged.flush().unwrap_err();
    assert!(matches!(failed.situation, Situation::DiskFailed(LOCAL, _)), "{failed:?}");
    assert!(listed(&shore.path).is_empty(), "a later run must not find it");
    assert_eq!(staged.write_at(b"cd", 2), Err(failed.clone()), "no more bytes for nothing");
    assert_eq!(staged.flush(), Err(failed.clone()));
    let mut group = Group::new(&shore.root, true);
    let added = group.add(staged, Mode::FILE, mtime(), Condition::Absent);
    assert_eq!(added, Err(failed));
    assert!(shore.root.resume(new).unwrap().is_none());
}

/// A run that died between giving a download its mode and giving it its name left a file that lets
/// nobody write, its owner included unless that is root.
#[test]
fn a_staged_file_that_got_its_mode_already_is_taken_up_again() {
    let shore = shore();
    let (at, staging) = (at("f"), StagingName::of(5));
    let new = NewFile { at: &at, staging: &staging, size: 3 };
    let staged = shore.root.stage(new).unwrap();
    staged.write_at(b"new", 0).unwrap();
    rustix::fs::fchmod(&staged.file, rustix::fs::Mode::from_raw_mode(0o444)).unwrap();
    drop(staged);
    let disk = Disk::with(Arc::new(NotRoot(shore.path.join(staging.as_str()))));
    let root = TargetRoot::open_on(&disk, &shore.path).unwrap();
    let staged = root.resume(new).unwrap().expect("what is there is of use");
    let there = staged.hash_block(BlockIndex(0), &mut Vec::new()).unwrap();
    assert_eq!(there.unwrap().0, *blake3::hash(b"new").as_bytes());
}

#[test]
fn a_failed_flush_fails_the_whole_group_and_leaves_nothing() {
    let broken = || io::Error::from(Errno::IO);
    for count in [2, 20] {
        let shore = shore_on(&Disk::with(NoFlush::from(1)));
        let mut group = Group::new(&shore.root, true);
        let (large, staging) = (at("large"), StagingName::of(1 << 40));
        let new = NewFile { at: &large, staging: &staging, size: 1 };
        let staged = shore.root.stage(new).unwrap();
        staged.write_at(b"x", 0).unwrap();
        group.add(staged, Mode::FILE, mtime(), Condition::Absent).unwrap();
        for index in 0..count {
            let (at, staging) = (at(&index.to_string()), StagingName::of(index));
            group.put(&whole(&at, &staging, b"x")).unwrap();
        }
        let answers = group.publish();
        assert_eq!(answers.len() as u64, count + 1);
        for answer in answers {
            let expected = Situation::DiskFailed(LOCAL, broken().to_string());
            assert_eq!(situation(answer), expected);
        }
        assert!(listed(&shore.path).is_empty());
    }
}

#[test]
fn a_failed_flush_of_folders_fails_what_got_its_name() {
    let shore = shore_on(&Disk::with(NoFlush::from(3)));
    fs::write(shore.path.join("taken"), "old").unwrap();
    let mut group = Group::new(&shore.root, true);
    group.put(&whole(&at("f"), &StagingName::of(1), b"x")).unwrap();
    group.put(&whole(&at("taken"), &StagingName::of(2), b"x")).unwrap();
    let answers = group.publish();
    assert!(matches!(answers[0], Err(Failure { situation: Situation::DiskFailed(..), .. })));
    let changed = answers[1].as_ref().unwrap_err();
    assert_eq!(changed.situation, Situation::TargetChanged(LOCAL));
}

#[test]
fn a_group_given_up_leaves_only_what_can_be_taken_up_again() {
    let shore = shore();
    for aborted in [false, true] {
        let mut group = Group::new(&shore.root, true);
        for index in 0..10 {
            let (at, staging) = (at(&index.to_string()), StagingName::of(index));
            group.put(&whole(&at, &staging, b"x")).unwrap();
        }
        let (large, staging) = (at("large"), StagingName::of(99));
        let new = NewFile { at: &large, staging: &staging, size: 0 };
        let staged = shore.root.stage(new).unwrap();
        group.add(staged, Mode::FILE, mtime(), Condition::Absent).unwrap();
        assert_eq!(listed(&shore.path).len(), 11);
        if aborted {
            assert_eq!(group.abort(), []);
        } else {
            drop(group);
        }
        assert_eq!(listed(&shore.path), [staging.as_str()]);
        shore.root.discard(&large, &staging).unwrap();
        shore.root.discard(&large, &staging).unwrap();
        shore.root.discard(&at("none/x"), &staging).unwrap();
    }
    assert!(listed(&shore.path).is_empty());
}

#[test]
fn leftovers_of_a_broken_run_are_no_obstacle() {
    let shore = shore();
    let staging = StagingName::of(1);
    let path = shore.path.join(staging.as_str());
    fs::write(&path, "left").unwrap();
    receive(&shore.root, &whole(&at("a"), &staging, b"x")).unwrap();
    let _socket = UnixListener::bind(&path).unwrap();
    receive(&shore.root, &whole(&at("b"), &staging, b"x")).unwrap();
    assert_eq!(listed(&shore.path), ["a", "b"]);
}

#[test]
fn many_small_files_in_many_folders_are_one_group() {
    let shore = shore();
    let mut group = Group::new(&shore.root, true);
    for folder in 0..20 {
        shore.root.make_folder(&at(&folder.to_string())).unwrap();
        for file in 0..50 {
            let place = at(&format!("{folder}/{file}"));
            let content = format!("{folder} {file}");
            let staging = StagingName::of(folder * 100 + file);
            group.put(&whole(&place, &staging, content.as_bytes())).unwrap();
        }
    }
    let open = group.open_files();
    assert!(open <= 8, "{open} descriptors for 1000 files");
    assert!(group.publish().iter().all(Result::is_ok));
    let there = files(&shore.path);
    assert_eq!(there.len(), 1000);
    assert!(there.iter().all(|(path, (content, mode))| {
        *mode == 0o640 && *content == path.replace('/', " ").into_bytes()
    }));
    let read = Source::open(&shore.path.join("7/7"), Links::Skip).unwrap();
    assert_eq!(read.attributes().mtime, mtime());
}

#[test]
fn a_folder_that_may_be_written_but_not_read_will_do() {
    use std::os::unix::fs::PermissionsExt;
    let shore = shore();
    fs::set_permissions(&shore.path, fs::Permissions::from_mode(0o300)).unwrap();
    // Root may read it all the same; then this shows nothing new, but holds.
    let received = receive(&shore.root, &whole(&at("f"), &StagingName::of(1), b"x"));
    fs::set_permissions(&shore.path, fs::Permissions::from_mode(0o700)).unwrap();
    received.unwrap();
    assert_eq!(fs::metadata(shore.path.join("f")).unwrap().nlink(), 1);
}

/// Another program writes to the target in the last moment, and what was exchanged cannot be
/// exchanged back.
struct Displaces {
    target: PathBuf,
    renames: AtomicUsize,
    /// The renames that fail.
    fail: std::ops::Range<usize>,
}

impl Faults for Displaces {
    fn before(&self, call: Call<'_>) -> rustix::io::Result<usize> {
        if matches!(call, Call::Rename { .. }) {
            let number = self.renames.fetch_add(1, Ordering::Relaxed);
            if number == 0 {
                fs::write(&self.target, "the user's own").unwrap();
            }
            if self.fail.contains(&number) {
                return Err(Errno::IO);
            }
        }
        Ok(usize::MAX)
    }
}

#[test]
fn a_displaced_file_is_never_taken_for_a_staged_one() {
    let (staging, f) = (StagingName::of(1), at("f"));
    let displaced = "sampan-0000000000000001.part.displaced";
    for (fail, is_staged, lies_at) in
        [(1..1, true, "f"), (1..2, false, displaced), (1..9, false, staging.as_str())]
    {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("f");
        let faults = Displaces { target: target.clone(), renames: AtomicUsize::new(0), fail };
        let root = TargetRoot::open_on(&Disk::with(Arc::new(faults)), dir.path()).unwrap();
        fs::write(&target, "old").unwrap();
        let victim = look(&target).unwrap().identity;
        let staged = root.stage(NewFile { at: &f, staging: &staging, size: 0 }).unwrap();
        let mut group = Group::new(&root, true);
        group.add(staged, Mode::FILE, mtime(), Condition::Replaces(victim)).unwrap();
        let why = group.publish_each().pop().unwrap().unwrap_err();
        assert_eq!(why.is_staged, is_staged, "{why:?}");
        assert_eq!(fs::read(dir.path().join(lies_at)).unwrap(), b"the user's own", "{lies_at}");
        assert!(why.failure.subject.ends_with(lies_at), "{why:?}");
    }
}
