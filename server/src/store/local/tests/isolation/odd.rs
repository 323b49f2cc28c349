//! What no client makes and every verb must bear: pipes, sockets, devices, second names, closed
//! folders and files, the longest names, the deepest paths. Each act is refused clearly or does what
//! it says; none hangs, none leaves the home.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::fs::{FileType, Mode as Bits, makedev, mkdirat, mknodat, openat};

use super::super::Local;
use super::super::scenario::check_books;
use super::unprivileged::without_rights;
use super::{Act, Ground, MINE, SECRET, every_act};
use crate::store::conformance::{Fixture, User, situation, user};
use crate::store::{Result, Situation, StoreError};

/// A home with what every act needs, made by hand.
struct Scene {
    local: Local,
    anna: User,
    home: PathBuf,
}

impl Scene {
    async fn new() -> Self {
        let local = Local::new().await;
        let anna = user(&local).await;
        let home = local.path().join("homes/anna");
        Self { local, anna, home }
    }

    /// Makes anew what acts on `ground` use, but for what is left out.
    fn reset(&self, ground: &Ground, but: &[&str]) {
        let Ground { folder, file, new, empty, tree, own, free } = ground;
        for at in [new, empty, tree, file, own, free] {
            if !but.contains(&at.as_str()) {
                remove(&self.home.join(at));
            }
        }
        let make = |at: &String, make: &dyn Fn(&Path)| {
            if !but.contains(&at.as_str()) {
                make(&self.home.join(at));
            }
        };
        make(folder, &|at| fs::create_dir_all(at).unwrap());
        make(empty, &|at| fs::create_dir(at).unwrap());
        make(tree, &|at| {
            fs::create_dir_all(at.join("x")).unwrap();
            fs::write(at.join("x/f"), MINE).unwrap();
        });
        make(file, &|at| fs::write(at, MINE).unwrap());
        make(own, &|at| fs::write(at, MINE).unwrap());
    }
}

fn remove(path: &Path) {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir_all(path).unwrap(),
        Ok(_) => fs::remove_file(path).unwrap(),
        Err(_) => {}
    }
}

/// A refusal is clear; a failure of the disk is not, nor is anything else.
fn outcome(act: Act, what: &str, result: Result<()>) -> Option<Situation> {
    match result {
        Ok(()) => None,
        Err(StoreError::Refused { situation, .. }) => Some(situation),
        Err(error) => panic!("{act:?} on {what}: {error:?}"),
    }
}

/// Makes a device, if this process may.
fn make_device(home: &Path, name: &str) {
    let folder = File::open(home).unwrap();
    let zero = makedev(1, 5);
    let made = mknodat(&folder, name, FileType::CharacterDevice, Bits::from_raw_mode(0o666), zero);
    if let Err(error) = made {
        // Only root makes devices, and not everywhere; a link to one stands in its place.
        assert_eq!(error, rustix::io::Errno::PERM);
        symlink("/dev/zero", home.join(name)).unwrap();
    }
}

type Make<'a> = Box<dyn Fn(&str) + 'a>;

/// S8: what is no regular file is never opened by any verb, whatever it would do to who opens it: a
/// pipe waits for ever, a device never ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s8_no_verb_opens_what_is_no_file() {
    let scene = Scene::new().await;
    let home = File::open(&scene.home).unwrap();
    let mode = Bits::from_raw_mode(0o666);
    let kinds: [(&str, Make<'_>); 3] = [
        ("fifo", Box::new(|name| rustix::fs::mkfifoat(&home, name, mode).unwrap())),
        ("socket", Box::new(|name| drop(UnixListener::bind(scene.home.join(name)).unwrap()))),
        ("device", Box::new(|name| make_device(&scene.home, name))),
    ];
    for (kind, make) in kinds {
        // In the place of a file.
        let at = format!("d/{kind}");
        let ground = Ground { file: at.clone(), ..Ground::of("d") };
        for act in every_act() {
            scene.reset(&ground, &[at.as_str()]);
            remove(&scene.home.join(&at));
            make(&at);
            let is_link = fs::symlink_metadata(scene.home.join(&at)).unwrap().is_symlink();
            let no_file = if is_link { Situation::IsALink } else { Situation::NotAFile };
            let expected = match act {
                Act::SetAttributes
                | Act::RenameOver
                | Act::CommitOver
                | Act::CopyBlock
                | Act::Pack
                | Act::Read
                | Act::ReadRow
                | Act::ReadPack
                | Act::Sum => Some(no_file),
                // Its size is 0, which is not what the act looks for.
                Act::Stat => {
                    assert_eq!(scene.anna.stat(&at).await.unwrap().size, 0);
                    continue;
                }
                _ => None,
            };
            let found = outcome(act, kind, act.run(&scene.anna, &ground).await);
            assert_eq!(found, expected, "{act:?} on a {kind}");
        }
        // In the place of a folder.
        let at = format!("{kind}-folder");
        make(&at);
        let ground = Ground::of(&at);
        fs::write(scene.home.join("own"), MINE).unwrap();
        for act in every_act() {
            if act == Act::SetAttributesOfFolder {
                continue;
            }
            let found = outcome(act, kind, act.run(&scene.anna, &ground).await);
            let is_link = fs::symlink_metadata(scene.home.join(&at)).unwrap().is_symlink();
            let no_folder = if is_link { Situation::IsALink } else { Situation::NotAFolder };
            assert_eq!(found, Some(no_folder), "{act:?} through a {kind}");
        }
    }
}

/// A second name of a file that lies elsewhere: it is read as the file it is; what is put in its
/// place, moved or removed is the name, and the other name keeps its bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s8_a_second_name_never_changes_the_bytes_of_the_first() {
    let scene = Scene::new().await;
    let outside = tempfile::tempdir_in(scene.local.path().parent().unwrap()).unwrap();
    let first = outside.path().join("first");
    fs::write(&first, MINE).unwrap();
    let ground = Ground::of("d");
    for act in every_act() {
        scene.reset(&ground, &[]);
        remove(&scene.home.join("d/f"));
        fs::hard_link(&first, scene.home.join("d/f")).unwrap();
        fs::hard_link(&first, scene.home.join("d/tree/x/g")).unwrap();
        let found = outcome(act, "a second name", act.run(&scene.anna, &ground).await);
        assert_eq!(found, None, "{act:?}");
        assert_eq!(fs::read(&first).unwrap(), MINE, "{act:?}");
    }
    // Of two names of one file none can replace the other.
    scene.reset(&ground, &[]);
    fs::hard_link(scene.home.join("d/f"), scene.home.join("d/new")).unwrap();
    let onto = scene.anna.rename("d/f", "d/new", crate::store::Target::Any).await;
    assert_eq!(situation(onto), Situation::InvalidTarget);
}

/// Folders and files that keep their own owner out: refused as such, or opened up where the home's
/// owner may. In a process without rights: to root no bit says anything.
#[test]
fn s8_closed_folders_and_files_are_refused_as_such() {
    if !without_rights("odd::s8_closed_folders_and_files_are_refused_as_such") {
        return;
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let scene = Scene::new().await;
        let ground = Ground::of("d");
        let close = |at: &str, mode| {
            fs::set_permissions(scene.home.join(at), fs::Permissions::from_mode(mode)).unwrap();
        };
        let denied = Some(Situation::PermissionDenied);
        for act in every_act() {
            // The folder: nothing in it can be reached.
            scene.reset(&ground, &[]);
            close("d", 0o000);
            let found = outcome(act, "a closed folder", act.run(&scene.anna, &ground).await);
            close("d", 0o700);
            assert_eq!(found, denied, "{act:?} in a closed folder");

            // A folder that may be looked at and not changed.
            scene.reset(&ground, &[]);
            close("d", 0o500);
            let found = outcome(act, "a read-only folder", act.run(&scene.anna, &ground).await);
            close("d", 0o700);
            let changes = matches!(
                act,
                Act::Mkdir
                    | Act::MkdirParents
                    | Act::RenameFrom
                    | Act::RenameTo
                    | Act::RenameOver
                    | Act::RenameInside
                    | Act::RemoveFile
                    | Act::RemoveFolder
                    | Act::RemoveTree
                    | Act::Commit
                    | Act::CommitOver
                    | Act::Pack
            );
            assert_eq!(found, denied.clone().filter(|_| changes), "{act:?} in a read-only folder");

            // The file: it can be described, moved and removed, and not read.
            scene.reset(&ground, &[]);
            close("d/f", 0o000);
            let found = outcome(act, "a closed file", act.run(&scene.anna, &ground).await);
            let opens = matches!(
                act,
                Act::SetAttributes
                    | Act::CopyBlock
                    | Act::Read
                    | Act::ReadRow
                    | Act::ReadPack
                    | Act::Sum
            );
            assert_eq!(found, denied.clone().filter(|_| opens), "{act:?} on a closed file");
        }
        // A tree with closed folders in it is opened up and removed.
        let tree = scene.home.join("tree");
        for name in ["a/b/c", "d"] {
            fs::create_dir_all(tree.join(name)).unwrap();
            fs::write(tree.join(name).join("f"), MINE).unwrap();
        }
        for name in ["tree/a/b", "tree/a", "tree/d"] {
            close(name, 0o000);
        }
        let removed = scene.anna.remove("tree").await.unwrap();
        assert_eq!((removed.entries, removed.bytes), (7, 8));
    });
}

/// The longest names and the longest path that can be said: each act does on them what it does
/// elsewhere, or says that the disk cannot hold it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_longest_names_and_paths_are_borne_by_every_verb() {
    let scene = Scene::new().await;
    let long = |byte: &str| byte.repeat(255);
    let names = Ground {
        folder: long("d"),
        file: format!("{}/{}", long("d"), long("f")),
        new: format!("{}/{}", long("d"), long("n")),
        empty: format!("{}/{}", long("d"), long("e")),
        tree: format!("{}/{}", long("d"), long("t")),
        own: long("o"),
        free: long("r"),
    };
    // 4077 bytes of folders: with the 16 that an act adds at most, no more can be said.
    let deep = vec!["x"; 2039].join("/");
    for ground in [names, Ground::of(&deep)] {
        for act in every_act() {
            scene.reset_deep(&ground);
            let found = outcome(act, "long names", act.run(&scene.anna, &ground).await);
            assert_eq!(found, None, "{act:?} in {} bytes", ground.folder.len());
        }
    }
}

impl Scene {
    /// Like [`Self::reset`] for a path that the kernel would not take at once.
    fn reset_deep(&self, ground: &Ground) {
        let mut folder = File::open(&self.home).unwrap();
        for name in ground.folder.split('/') {
            // There from the second time on.
            let made = mkdirat(&folder, name, Bits::from_raw_mode(0o700));
            assert!(matches!(made, Ok(()) | Err(rustix::io::Errno::EXIST)), "{made:?}");
            folder = openat(&folder, name, OFlags::DIRECTORY, Bits::empty()).unwrap().into();
        }
        let here =
            PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&folder)));
        let name = |at: &str| here.join(at.rsplit_once('/').map_or(at, |(_, name)| name));
        for at in [&ground.new, &ground.empty, &ground.tree, &ground.file] {
            remove(&name(at));
        }
        for at in [&ground.own, &ground.free] {
            remove(&self.home.join(at));
        }
        fs::create_dir(name(&ground.empty)).unwrap();
        fs::create_dir_all(name(&ground.tree).join("x")).unwrap();
        fs::write(name(&ground.tree).join("x/f"), MINE).unwrap();
        fs::write(name(&ground.file), MINE).unwrap();
        fs::write(self.home.join(&ground.own), MINE).unwrap();
    }
}

/// A tree deeper than any path can say: what can be said of it works, it is counted when its home is
/// taken, and it is removed whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_deeper_than_a_path_can_say_is_counted_and_removed() {
    let local = Local::new().await;
    let home = local.path().join("homes/anna");
    fs::create_dir(&home).unwrap();
    let mut folder = File::open(&home).unwrap();
    let name = "deep".repeat(50);
    for _ in 0..100 {
        mkdirat(&folder, name.as_str(), Bits::from_raw_mode(0o700)).unwrap();
        folder = openat(&folder, name.as_str(), OFlags::DIRECTORY, Bits::empty()).unwrap().into();
    }
    let file = openat(&folder, "f", OFlags::CREATE | OFlags::WRONLY, Bits::from_raw_mode(0o600));
    rustix::io::write(file.unwrap(), SECRET).unwrap();
    let mut new =
        crate::store::conformance::new_account("anna", crate::store::QuotaLimits::default());
    new.take_home = true;
    let (anna, found) = local.accounts().add(new).await.unwrap();
    assert_eq!((found.bytes, found.entries), (SECRET.len() as u64, 101));
    let anna = User::of(&local, anna.id);
    let said = vec![name.as_str(); 20].join("/");
    assert_eq!(anna.names(&said).await, [name.as_str()]);
    anna.mkdir("a").await.unwrap();
    anna.rename(&name, &format!("a/{name}"), crate::store::Target::Absent).await.unwrap();
    let removed = anna.remove("a").await.unwrap();
    assert_eq!((removed.bytes, removed.entries), (SECRET.len() as u64, 102));
    check_books(&local, &anna).await;
    assert_eq!(anna.held().await, (0, 0, 0, 0));
}
