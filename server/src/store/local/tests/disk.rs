//! What only a store on a disk can meet: links, devices, other hands, a full disk, a bad stop.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rustix::io::Errno;
use sampan_protocol::{EntryKind, Mode, RemotePath, Timestamp};

use super::Local;
use crate::store::conformance::{
    Fixture, bytes, limited, member, new_account, path, root_of, situation, user,
};
use crate::store::local::{Call, Durability, Faults, LocalOptions, LocalStore, OpenError};
use crate::store::{Accounts, QuotaLimits, Rename, Situation, Store, StoreError, Target};

fn home(local: &Local) -> PathBuf {
    local.path().join("homes/anna")
}

/// Every verb that takes a path, on `at`. Gives what each was refused for.
async fn every_verb(anna: &crate::store::conformance::User, at: &str) -> Vec<Situation> {
    let (store, id) = (&anna.store, anna.id);
    let version = anna.stat("").await.unwrap().version;
    let place = path(at);
    let rename = |from: &str, to: &str| Rename {
        from: path(from),
        to: path(to),
        version: None,
        if_target: Target::Any,
    };
    let mut found = vec![
        situation(store.list(id, &place, None).await.map(|_| ())),
        situation(store.mkdir(id, anna.key(), &path(&format!("{at}/m")), true, Mode::FOLDER).await),
        situation(store.rename(id, anna.key(), rename(&format!("{at}/f"), "x")).await),
        situation(store.rename(id, anna.key(), rename("mine", &format!("{at}/x"))).await),
        situation(store.remove(id, anna.key(), &path(&format!("{at}/f")), true, None).await),
        situation(store.set_attributes(id, anna.key(), &place, Some(Mode::FILE), None).await),
        situation(store.open_upload(id, anna.upload(&format!("{at}/new"), 1, Target::Any)).await),
        situation(store.open_upload(id, anna.upload(at, 1, Target::Any)).await),
        situation(store.read(id, &place, &version, 0, 1).await.map(|_| ())),
        situation(store.read_row(id, &place, &version, 0, 1, false).await.map(|_| ())),
        situation(store.sum(id, &place).await),
        situation(store.stat(id, &path(&format!("{at}/f"))).await),
    ];
    let mut files = store.read_pack(id, vec![(place, version)]).await.unwrap();
    found.push(situation(files.recv().await.unwrap().content));
    let packed = vec![member(&format!("{at}/p"), b"p", Target::Any), member(at, b"p", Target::Any)];
    found.extend(anna.pack(anna.key(), packed).await.unwrap().into_iter().map(situation));
    found
}

/// S3, S6, S8: no verb goes through a link, to wherever it leads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_links_are_listed_and_never_followed() {
    let local = Local::new().await;
    let anna = user(&local).await;
    let bert = local.accounts().add(new_account("bert", QuotaLimits::default())).await.unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("f"), "secret").unwrap();
    fs::write(local.path().join("homes/bert/f"), "secret").unwrap();
    anna.put("mine", b"mine", Target::Absent).await.unwrap();
    anna.mkdir("folder").await.unwrap();
    fs::write(home(&local).join("folder/f"), "f").unwrap();
    let targets: [(&str, PathBuf); 7] = [
        ("absolute", outside.path().to_owned()),
        ("file", outside.path().join("f")),
        ("neighbour", "../bert".into()),
        ("up", "..".into()),
        ("inside", "folder".into()),
        ("dangling", "nothing".into()),
        ("magic", "/proc/self/cwd".into()),
    ];
    for (name, target) in &targets {
        symlink(target, home(&local).join(name)).unwrap();
    }
    for (name, _) in &targets {
        let entry = anna.stat(name).await.unwrap();
        assert_eq!((entry.kind, entry.size), (EntryKind::Link, 0), "{name}");
        for (verb, found) in every_verb(&anna, name).await.into_iter().enumerate() {
            assert_eq!(found, Situation::IsALink, "verb {verb} on {name}");
        }
    }
    assert_eq!(fs::read(outside.path().join("f")).unwrap(), b"secret");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    assert_eq!(fs::read_dir(local.path().join("homes/bert")).unwrap().count(), 1);
    let listed = anna.list("").await.unwrap();
    assert_eq!(listed["absolute"].attributes.kind, EntryKind::Link);
    // As names they may go and move.
    anna.rename("absolute", "folder/moved", Target::Absent).await.unwrap();
    anna.remove("dangling").await.unwrap();
    anna.remove("folder").await.unwrap();
    assert!(outside.path().join("f").exists());
    drop(bert);
}

/// S8: a parent that turns into a link and back while verbs run leads nowhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s8_a_parent_that_flips_to_a_link_leads_nowhere() {
    let local = Local::new().await;
    let anna = user(&local).await;
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("f"), "secret").unwrap();
    anna.mkdir("d").await.unwrap();
    anna.put("d/f", b"mine", Target::Absent).await.unwrap();
    let link = home(&local).join("link");
    symlink(outside.path(), &link).unwrap();
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let flipper = {
        let (stop, home) = (stop.clone(), home(&local));
        std::thread::spawn(move || {
            let home = fs::File::open(home).unwrap();
            let mut flips = 0_u64;
            while !stop.load(Ordering::Relaxed) {
                let flags = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(&home, "d", &home, "link", flags).unwrap();
                flips += 1;
            }
            flips
        })
    };
    let mut reached = 0;
    for round in 0..2000 {
        match anna.get("d/f").await {
            Ok(content) => {
                assert_eq!(content, b"mine");
                reached += 1;
            }
            Err(error) => {
                let found = situation::<()>(Err(error));
                assert!(matches!(found, Situation::IsALink | Situation::NotFound), "{found:?}");
            }
        }
        if round % 10 == 0 {
            let outcome = anna
                .pack(anna.key(), vec![member(&format!("d/p{round}"), b"p", Target::Absent)])
                .await;
            assert!(outcome.is_ok(), "{outcome:?}");
        }
    }
    stop.store(true, Ordering::Relaxed);
    let flips = flipper.join().unwrap();
    assert!(flips > 1000 && reached > 0, "{flips} flips, {reached} reads");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "nothing was written there");
    assert_eq!(fs::read(outside.path().join("f")).unwrap(), b"secret");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifos_and_sockets_are_named_and_never_opened() {
    let local = Local::new().await;
    let anna = user(&local).await;
    let folder = fs::File::open(home(&local)).unwrap();
    let mode = rustix::fs::Mode::from_raw_mode(0o644);
    rustix::fs::mkfifoat(&folder, "fifo", mode).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(home(&local).join("socket")).unwrap();
    for name in ["fifo", "socket"] {
        let meta = anna.stat(name).await.unwrap();
        assert_eq!((meta.kind, meta.size), (EntryKind::Other, 0));
        // Opening a FIFO would wait for a writer for ever.
        let read = anna.store.read(anna.id, &path(name), &meta.version, 0, 0).await.map(|_| ());
        assert_eq!(situation(read), Situation::NotAFile);
        assert_eq!(situation(anna.store.sum(anna.id, &path(name)).await), Situation::NotAFile);
        let over = anna.put(name, b"x", Target::Any).await;
        assert_eq!(situation(over), Situation::NotAFile);
        anna.rename(name, &format!("{name}2"), Target::Absent).await.unwrap();
        let removed = anna.remove(&format!("{name}2")).await.unwrap();
        assert_eq!((removed.entries, removed.bytes), (1, 0));
    }
}

/// What lies open to all on the disk keeps its owner in, and set-id bits never stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn modes_are_kept_without_set_id_bits() {
    let local = Local::new().await;
    let anna = user(&local).await;
    let mut upload = anna.upload("f", 1, Target::Absent);
    upload.mode = Mode::new(0o7001);
    let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
    anna.write_all(by, b"1").await.unwrap();
    anna.store.commit(anna.id, anna.key(), by, root_of(b"1")).await.unwrap();
    assert_eq!(fs::metadata(home(&local).join("f")).unwrap().mode() & 0o7777, 0o601);
    fs::set_permissions(home(&local).join("f"), fs::Permissions::from_mode(0o6755)).unwrap();
    assert_eq!(anna.stat("f").await.unwrap().mode.bits(), 0o755);
    anna.mkdir("closed").await.unwrap();
    anna.put("closed/f", b"1", Target::Absent).await.unwrap();
    fs::set_permissions(home(&local).join("closed"), fs::Permissions::from_mode(0o000)).unwrap();
    let read = anna.get("closed/f").await;
    if rustix::process::geteuid().is_root() {
        assert_eq!(read.unwrap(), b"1");
    } else {
        assert_eq!(situation(read), Situation::PermissionDenied);
    }
}

/// HARDENING 2.2: after an unclean stop recorded blocks are hashed again before they are trusted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn altered_staging_is_noticed_after_an_unclean_stop() {
    let mut local = Local::new().await;
    let anna = user(&local).await;
    let content = bytes(1, 5 << 20);
    let upload = anna.upload("f", content.len() as u64, Target::Absent);
    let by = anna.store.open_upload(anna.id, upload.clone()).await.unwrap().by;
    for block in 0..4 {
        anna.write_block(by, &content, block).await.unwrap();
    }
    local.crash().await;
    let data = local.path().join(format!("staging/u{}/data", by.upload));
    let mut staged = fs::read(&data).unwrap();
    staged[(1 << 20) + 7] ^= 1;
    staged.truncate((3 << 20) + 100);
    fs::write(&data, staged).unwrap();
    local.open().await;
    let anna = anna.again(&local);
    assert_eq!(anna.held().await, (0, 0, 5 << 20, 1));
    let resumed = anna.store.open_upload(anna.id, upload.clone()).await.unwrap();
    let staged: Vec<u64> = resumed.staged.iter().map(|block| block.0).collect();
    assert_eq!(staged, [0, 2], "what differs or is cut off is absent");
    // Proved once: the next start, after a clean stop, trusts it.
    local.close().await;
    local.open().await;
    let anna = anna.again(&local);
    let resumed = anna.store.open_upload(anna.id, upload).await.unwrap();
    assert_eq!(resumed.staged.iter().count(), 2);
    for block in resumed.staged.missing_in(0..5) {
        anna.write_block(resumed.by, &content, block.0).await.unwrap();
    }
    anna.store.commit(anna.id, anna.key(), resumed.by, root_of(&content)).await.unwrap();
    assert_eq!(anna.get("f").await.unwrap(), content);
}

/// Staging that is lost costs its bytes, not the upload.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_staging_is_sent_again() {
    let mut local = Local::new().await;
    let anna = user(&local).await;
    let upload = anna.upload("f", 3, Target::Absent);
    let by = anna.store.open_upload(anna.id, upload.clone()).await.unwrap().by;
    anna.write_all(by, b"abc").await.unwrap();
    local.close().await;
    fs::remove_dir_all(local.path().join(format!("staging/u{}", by.upload))).unwrap();
    fs::create_dir(local.path().join("staging/orphan")).unwrap();
    fs::write(local.path().join("staging/orphan/f"), "x").unwrap();
    local.open().await;
    let anna = anna.again(&local);
    let resumed = anna.store.open_upload(anna.id, upload).await.unwrap();
    assert!(resumed.staged.is_empty());
    anna.write_all(resumed.by, b"abc").await.unwrap();
    anna.store.commit(anna.id, anna.key(), resumed.by, root_of(b"abc")).await.unwrap();
    super::scenario::check_staging(&mut local, &anna).await;
}

/// HARDENING 2.8: unfinished uploads expire, by a clock that tests wind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_uploads_expire() {
    let now = Arc::new(AtomicI64::new(1_000_000));
    let clock = now.clone();
    let local = Local::with(LocalOptions {
        durability: Durability::Relaxed,
        disk_floor: 0,
        upload_expiry: Duration::from_hours(1),
        clock: Arc::new(move || Timestamp::new(clock.load(Ordering::Relaxed), 0).unwrap()),
        ..LocalOptions::default()
    })
    .await;
    let anna = user(&local).await;
    let idle = anna.store.open_upload(anna.id, anna.upload("a", 10, Target::Absent)).await.unwrap();
    let busy = anna.store.open_upload(anna.id, anna.upload("b", 10, Target::Absent)).await.unwrap();
    assert_eq!(idle.expires, Timestamp::new(1_003_600, 0).unwrap());
    now.fetch_add(3000, Ordering::Relaxed);
    anna.write_all(busy.by, &[1; 10]).await.unwrap();
    let inner = local.local().inner.clone();
    assert_eq!(inner.expire_now().await.unwrap(), 0);
    now.fetch_add(600, Ordering::Relaxed);
    assert_eq!(inner.expire_now().await.unwrap(), 1);
    let left = anna.store.uploads(anna.id).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].upload, busy.by.upload);
    assert_eq!(left[0].expires, Timestamp::new(1_006_600, 0).unwrap());
    assert_eq!(anna.held().await, (0, 0, 10, 1));
    let refused = anna.write_all(idle.by, &[1; 10]).await;
    assert_eq!(situation(refused), Situation::UploadNotFound);
    now.fetch_add(3600, Ordering::Relaxed);
    assert_eq!(inner.expire_now().await.unwrap(), 1);
    assert_eq!(anna.held().await, (0, 0, 0, 0));
}

/// HARDENING 3: a floor of free disk; and a disk that is too small says so before the first byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_said_before_the_first_byte() {
    let mut local = Local::new().await;
    let anna = user(&local).await;
    let huge = anna.store.open_upload(anna.id, anna.upload("a", 1 << 60, Target::Absent)).await;
    assert_eq!(situation(huge), Situation::DiskFull);
    assert_eq!(anna.held().await, (0, 0, 0, 0));
    local.close().await;
    local.options.disk_floor = 1 << 60;
    local.open().await;
    let anna = anna.again(&local);
    let refused = anna.store.open_upload(anna.id, anna.upload("a", 1, Target::Absent)).await;
    assert_eq!(situation(refused), Situation::DiskFull);
    let refused = anna.pack(anna.key(), vec![member("a", b"1", Target::Absent)]).await;
    assert_eq!(situation(refused), Situation::DiskFull);
    assert_eq!(anna.store.usage(anna.id).await.unwrap().disk_free, 0);
    assert_eq!(anna.held().await, (0, 0, 0, 0));
}

/// HARDENING 3: what a hand changed on the disk never takes use below 0.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_hands_never_take_use_below_zero() {
    let local = Local::new().await;
    let anna = user(&local).await;
    anna.put("f", b"1", Target::Absent).await.unwrap();
    fs::write(home(&local).join("dropped"), [0; 1000]).unwrap();
    symlink("f", home(&local).join("link")).unwrap();
    anna.remove("dropped").await.unwrap();
    anna.remove("link").await.unwrap();
    anna.remove("f").await.unwrap();
    assert_eq!(anna.held().await, (0, 0, 0, 0));
}

/// A file that another hand changes is another version at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_hands_make_other_versions() {
    let local = Local::new().await;
    let anna = user(&local).await;
    let before = anna.put("f", b"12345", Target::Absent).await.unwrap().attributes;
    fs::write(home(&local).join("f"), "54321").unwrap();
    let after = anna.stat("f").await.unwrap();
    assert_ne!(before.version, after.version);
    let refused = anna.store.read(anna.id, &path("f"), &before.version, 0, 1).await.map(|_| ());
    assert_eq!(situation(refused), Situation::VersionChanged);
    let refused = anna.put("f", b"x", Target::This(before.version)).await;
    assert_eq!(situation(refused), Situation::VersionChanged);
    assert_eq!(fs::read(home(&local).join("f")).unwrap(), b"54321");
}

/// A file that grows shorter while it is read ends the stream with an error, never with bytes of
/// two states.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_changes_while_it_is_read_is_refused() {
    let local = Local::new().await;
    let anna = user(&local).await;
    let content = bytes(1, 40 << 20);
    let meta = anna.put("f", &content, Target::Absent).await.unwrap().attributes;
    let mut stream = anna.store.read(anna.id, &path("f"), &meta.version, 0, 40).await.unwrap();
    stream.recv().await.unwrap().unwrap();
    // A write of equal bytes changes nothing but the version.
    let file = fs::OpenOptions::new().write(true).open(home(&local).join("f")).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, &content[..1], 0).unwrap();
    let mut last = None;
    while let Some(piece) = stream.recv().await {
        last = Some(piece);
    }
    assert_eq!(situation(last.unwrap()), Situation::VersionChanged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_of_100_000_entries_takes_flat_memory() {
    let local = Local::new().await;
    let anna = user(&local).await;
    let folder = home(&local).join("many");
    fs::create_dir(&folder).unwrap();
    for number in 0..100_000 {
        fs::File::create(folder.join(format!("file {number:06}"))).unwrap();
    }
    let mut pages = anna.store.list(anna.id, &path("many"), None).await.unwrap();
    let first = pages.recv().await.unwrap().unwrap();
    // The first rows come by themselves, long before the folder is read.
    assert!(first.entries.len() <= 64);
    let mut count = first.entries.len();
    let mut most = 0;
    while let Some(page) = pages.recv().await {
        let page = page.unwrap();
        count += page.entries.len();
        assert!(page.entries.len() <= sampan_protocol::limits::MAX_LIST_ENTRIES);
        // What waits for its reader is bounded, however large the folder is.
        most = most.max(pages.len());
    }
    assert_eq!(count, 100_000);
    assert!(most <= 2, "{most} pages waited");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_home_and_staging_on_two_file_systems_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir_in("/dev/shm").unwrap();
    // A link in the place of a folder is no folder either.
    symlink(elsewhere.path(), data.path().join("staging")).unwrap();
    let opened = LocalStore::open(data.path().to_owned(), LocalOptions::default()).await;
    assert!(matches!(opened.map(|_| ()), Err(OpenError::Folder { .. })));
    let absent = LocalStore::open(data.path().join("nowhere"), LocalOptions::default()).await;
    let error = absent.map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("nowhere"), "{error}");
}

/// A file system that gives each of the answers by which the kernel says that it cannot exchange.
struct NoExchange(Errno);

impl Faults for NoExchange {
    fn before(&self, call: Call) -> std::io::Result<()> {
        if call == Call::Rename { Err(self.0.into()) } else { Ok(()) }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_system_without_exchange_is_refused() {
    for errno in [Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP] {
        let data = tempfile::tempdir().unwrap();
        let faults: Arc<dyn Faults> = Arc::new(NoExchange(errno));
        let options = LocalOptions { faults: Some(faults), ..LocalOptions::default() };
        let opened = LocalStore::open(data.path().to_owned(), options).await;
        let error = opened.map(drop).unwrap_err();
        let said = format!(
            "the file system of `{}` cannot exchange two files in one step",
            data.path().display()
        );
        assert!(error.to_string().starts_with(&said), "{error}");
        assert!(error.to_string().contains("use ext4, XFS, Btrfs or ZFS 2.2"), "{error}");
        let left = fs::read_dir(data.path().join("staging")).unwrap().count();
        assert_eq!(left, 0, "no probe is left");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_format_is_refused() {
    let mut local = Local::new().await;
    local.close().await;
    let database = local.path().join("sampand.db");
    rusqlite::Connection::open(&database)
        .unwrap()
        .pragma_update(None, "user_version", 1000)
        .unwrap();
    let opened = LocalStore::open(local.path().to_owned(), local.options.clone()).await;
    let error = opened.map(|_| ()).unwrap_err();
    assert!(matches!(error, OpenError::Newer { found: 1000, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_closed_store_refuses_everything() {
    let local = Local::new().await;
    let anna = limited(&local, None, None).await;
    anna.store.close().await;
    assert!(matches!(anna.stat("").await, Err(StoreError::Closed)));
    assert!(matches!(anna.mkdir("a").await, Err(StoreError::Closed)));
    let accounts = local.accounts();
    assert!(matches!(Accounts::all(&*accounts).await, Err(StoreError::Closed)));
    // Twice is as well.
    Store::close(&*anna.store).await;
}

/// A change goes on when its caller is gone: nothing is left half done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_whose_caller_goes_is_whole() {
    let mut local = Local::new().await;
    let anna = user(&local).await;
    for number in 0..200_u32 {
        let at = path(&format!("d{number}/e"));
        let key = anna.key();
        let mkdir = anna.store.mkdir(anna.id, key, &at, true, Mode::FOLDER);
        // Polled a few times, then dropped.
        let polls = number % 5;
        let mut mkdir = Box::pin(mkdir);
        for _ in 0..polls {
            let polled = futures_util::poll!(&mut mkdir);
            if polled.is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
    }
    anna.mkdir("last").await.unwrap();
    super::scenario::check_books(&local, &anna).await;
    super::scenario::check_staging(&mut local, &anna).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_is_bytes_on_the_disk() {
    let local = Local::new().await;
    let anna = user(&local).await;
    let name = sampan_protocol::Name::new(b"\xff\x1b\n").unwrap();
    let at = RemotePath::from_names(&[name]).unwrap();
    anna.store.mkdir(anna.id, anna.key(), &at, false, Mode::FOLDER).await.unwrap();
    let on_disk: Vec<_> =
        fs::read_dir(home(&local)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(on_disk.len(), 1);
    assert_eq!(on_disk[0].as_bytes(), b"\xff\x1b\n");
}
