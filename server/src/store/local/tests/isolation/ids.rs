//! HARDENING S17: what the store keeps hangs on ids, never on what somebody chose as a name.

use std::fs;

use sampan_protocol::{ChangeKey, InstanceId, Mode, Name, RemotePath};

use super::super::Local;
use crate::store::conformance::{
    Fixture, User, limited, member, new_account, path, root_of, situation, user,
};
use crate::store::{QuotaLimits, Situation, Target};

/// S17: staging is named by ids and chance alone, whatever names the files and accounts have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_no_name_that_somebody_chose_forms_a_name_in_staging() {
    let mut local = Local::new().await;
    let chosen: [&[u8]; 6] = [b"u1", b"chosen", b"%username%", b"..\\chosen", b"data", b"journal"];
    let mut users = Vec::new();
    for name in ["u1", "g1", "p1", "data", "chosen", "_chosen.."] {
        let made = local.accounts().add(new_account(name, QuotaLimits::default())).await.unwrap();
        users.push(User::of(&local, made.0.id));
    }
    for anna in &users {
        for (number, name) in chosen.iter().enumerate() {
            let mut upload = anna.upload("x", 1, Target::Absent);
            upload.path = RemotePath::from_names(vec![Name::new(name).unwrap()]).unwrap();
            upload.key.0 = [u8::try_from(number).unwrap(); 16];
            anna.store.open_upload(anna.id, upload).await.unwrap();
        }
    }
    let place = local.path().join("staging");
    let staged = || -> Vec<String> {
        fs::read_dir(&place)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    };
    let names = staged();
    assert_eq!(names.len(), users.len() * chosen.len());
    for name in &names {
        // A kind, then numbers.
        let (kind, number) = name.split_at(1);
        let is_number = |byte: u8| byte.is_ascii_hexdigit() || b".-_g".contains(&byte);
        assert!("upg".contains(kind) && number.bytes().all(is_number), "{name}");
    }
    for anna in &users {
        for upload in anna.store.uploads(anna.id).await.unwrap() {
            let key = anna.key();
            anna.store.abort(anna.id, key, upload.upload).await.unwrap();
        }
    }
    drop(users);
    local.close().await;
    assert!(staged().is_empty(), "{:?}", staged());
}

/// S17: an account of the same name as one that was removed inherits nothing of it: no answer, no
/// upload, no use.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s17_a_namesake_inherits_nothing() {
    let local = Local::new().await;
    let key = |sequence| ChangeKey { instance: InstanceId([3; 16]), sequence, answered: 0 };
    let first = limited(&local, Some(100), Some(10)).await;
    first.store.mkdir(first.id, key(1), &path("d"), false, Mode::FOLDER).await.unwrap();
    first.put("f", b"12345", Target::Absent).await.unwrap();
    let by = first.store.open_upload(first.id, first.upload("up", 3, Target::Absent)).await;
    let by = by.unwrap().by;
    first.write_all(by, b"abc").await.unwrap();
    local.accounts().remove(first.id, true).await.unwrap();

    let second = user(&local).await;
    assert_ne!(first.id, second.id);
    assert_eq!(second.held().await, (0, 0, 0, 0));
    assert!(second.names("").await.is_empty());
    // The same keys are other changes.
    second.store.mkdir(second.id, key(1), &path("d"), false, Mode::FOLDER).await.unwrap();
    assert_eq!(second.names("").await, ["d"]);
    let opened = second.store.open_upload(second.id, second.upload("up", 3, Target::Absent)).await;
    let opened = opened.unwrap();
    assert_ne!(opened.by.upload, by.upload);
    assert!(opened.staged.is_empty());
    // Nor does what the first one held open lead into it.
    let late = second.store.commit(second.id, second.key(), by, root_of(b"abc")).await;
    assert_eq!(situation(late), Situation::UploadNotFound);
    assert_eq!(situation(first.mkdir("late").await), Situation::AccountNotFound);
    let late = first.pack(first.key(), vec![member("late", b"x", Target::Any)]).await;
    assert_eq!(situation(late), Situation::AccountNotFound);
    assert_eq!(situation(first.stat("").await), Situation::AccountNotFound);
    assert_eq!(second.names("").await, ["d"]);
}
