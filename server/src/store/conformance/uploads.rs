use sampan_protocol::Epoch;
use sampan_protocol::limits::BLOCK_BYTES;

use super::*;

const MIB: usize = BLOCK_BYTES as usize;

pub(crate) async fn uploads_of_every_size_arrive(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    for size in [0, 1, MIB - 1, MIB, MIB + 1, 2 * MIB, 3 * MIB + 1] {
        let content = bytes(size as u64, size);
        let name = format!("some/{size}");
        let put = anna.put(&name, &content, Target::Absent).await.unwrap().attributes;
        assert_eq!(put, anna.stat(&name).await.unwrap());
        assert_eq!((put.size, put.mtime, put.mode.bits()), (size as u64, mtime(), 0o640));
        assert_eq!(anna.get(&name).await.unwrap(), content, "{size}");
    }
    assert_eq!(anna.names("some").await.len(), 7);
    let (used, entries, reserved, _) = anna.held().await;
    assert_eq!((used, entries), fixture.counted(anna.id).await);
    assert_eq!(reserved, 0);
}

pub(crate) async fn blocks_arrive_in_any_order_from_several_writers(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let content = bytes(5, 23 * MIB + 17);
    let upload = anna.upload("f", content.len() as u64, Target::Absent);
    let opened = anna.store.open_upload(anna.id, upload).await.unwrap();
    assert!(opened.staged.is_empty());
    assert_eq!(opened.stripe, 2 * BLOCK_BYTES);
    let row = row_of(&content);
    // Four writers at once, each from its end backwards.
    let writer = async |which: u64| {
        for block in (0..24_u64).rev().filter(|block| block % 4 == which) {
            let hash = anna.write_block(opened.by, &content, block).await.unwrap();
            assert_eq!(hash, Some(row[block as usize]));
        }
    };
    tokio::join!(writer(0), writer(1), writer(2), writer(3));
    let found = anna.store.upload_row(anna.id, opened.by.upload, 3, 2).await.unwrap();
    assert_eq!(found, [(3, row[3]), (4, row[4])]);
    anna.store.commit(anna.id, anna.key(), opened.by, root_of(&content)).await.unwrap();
    assert_eq!(anna.get("f").await.unwrap(), content);
}

pub(crate) async fn an_upload_is_resumed_by_its_key(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let content = bytes(6, 3 * MIB);
    let upload = anna.upload("f", content.len() as u64, Target::Absent);
    let first = anna.store.open_upload(anna.id, upload.clone()).await.unwrap();
    anna.write_block(first.by, &content, 1).await.unwrap();
    let half = Piece {
        block: 0,
        offset: 0,
        bytes: Bytes::copy_from_slice(&content[..1000]),
        expected: None,
    };
    anna.store.write(anna.id, first.by, half.clone()).await.unwrap();

    for (differs, what) in [
        (NewUpload { size: 5, ..upload.clone() }, "size"),
        (NewUpload { path: path("g"), ..upload.clone() }, "place"),
    ] {
        let refused = anna.store.open_upload(anna.id, differs).await;
        assert_eq!(situation(refused), Situation::UploadDiffers, "{what}");
    }
    let second = anna.store.open_upload(anna.id, upload.clone()).await.unwrap();
    assert_eq!(second.by.upload, first.by.upload);
    assert!(second.by.epoch > first.by.epoch);
    assert_eq!(second.staged.iter().map(|block| block.0).collect::<Vec<_>>(), [1]);
    assert_eq!(anna.held().await, (0, 0, 3 * BLOCK_BYTES, 1), "reserved once");
    let incomplete = anna.store.commit(anna.id, anna.key(), second.by, root_of(&content)).await;
    assert_eq!(situation(incomplete), Situation::Incomplete { missing: 2 });
    let rest = Piece { offset: 1000, ..half };
    let refused = anna.store.write(anna.id, second.by, rest).await;
    assert_eq!(situation(refused), Situation::BlockRefused, "half a block starts again");
    anna.write_block(second.by, &content, 0).await.unwrap();
    anna.write_block(second.by, &content, 2).await.unwrap();
    let wrong = Piece {
        block: 2,
        offset: 0,
        bytes: Bytes::copy_from_slice(&content[..MIB]),
        expected: Some(row_of(&content)[2]),
    };
    let refused = anna.store.write(anna.id, second.by, wrong).await;
    assert_eq!(situation(refused), Situation::BlockRefused, "not what the sender said");
    let refused = anna.store.commit(anna.id, anna.key(), second.by, root_of(&content)).await;
    assert_eq!(situation(refused), Situation::Incomplete { missing: 1 });
    anna.write_block(second.by, &content, 2).await.unwrap();
    anna.store.commit(anna.id, anna.key(), second.by, root_of(&content)).await.unwrap();
    assert_eq!(anna.get("f").await.unwrap(), content);
    let gone = anna.store.upload_row(anna.id, second.by.upload, 0, 1).await;
    assert_eq!(situation(gone), Situation::UploadNotFound);
}

/// HARDENING 2.3.
pub(crate) async fn an_older_writer_changes_nothing(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let content = bytes(8, 2 * MIB);
    let other = bytes(9, 2 * MIB);
    let upload = anna.upload("f", content.len() as u64, Target::Absent);
    let old = anna.store.open_upload(anna.id, upload.clone()).await.unwrap().by;
    let new = anna.store.open_upload(anna.id, upload).await.unwrap().by;
    anna.write_all(new, &content).await.unwrap();
    let refused = anna.write_block(old, &other, 0).await;
    assert_eq!(situation(refused), Situation::UploadTaken);
    let refused = anna.store.commit(anna.id, anna.key(), old, root_of(&content)).await;
    assert_eq!(situation(refused), Situation::UploadTaken);
    let made_up = OpenedBy { epoch: Epoch(new.epoch.0 + 1), ..new };
    let refused = anna.write_block(made_up, &other, 0).await;
    assert_eq!(situation(refused), Situation::UploadTaken);
    anna.store.commit(anna.id, anna.key(), new, root_of(&content)).await.unwrap();
    assert_eq!(anna.get("f").await.unwrap(), content);
}

/// HARDENING 2.4.
pub(crate) async fn a_wrong_root_keeps_the_upload_and_the_old_file(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let old = anna.put("f", b"old", Target::Absent).await.unwrap().attributes;
    let content = bytes(10, 3 * MIB);
    let mut damaged = content.clone();
    damaged[MIB + 5] ^= 1;
    let mut upload = anna.upload("f", content.len() as u64, Target::This(old.version.clone()));
    upload.key = UploadKey([3; 16]);
    let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
    anna.write_all(by, &damaged).await.unwrap();
    let refused = anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await;
    assert_eq!(situation(refused), Situation::RootMismatch);
    assert_eq!(anna.get("f").await.unwrap(), b"old");
    // The receiver's row shows where.
    let found = anna.store.upload_row(anna.id, by.upload, 0, 3).await.unwrap();
    let row = row_of(&content);
    let differing: Vec<u64> = found
        .iter()
        .filter(|(block, hash)| row[*block as usize] != *hash)
        .map(|(block, _)| *block)
        .collect();
    assert_eq!(differing, [1]);
    anna.write_block(by, &content, 1).await.unwrap();
    anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await.unwrap();
    assert_eq!(anna.get("f").await.unwrap(), content);
    assert_eq!(anna.held().await, (3 * BLOCK_BYTES, 1, 0, 0));
}

pub(crate) async fn a_changed_target_is_not_replaced(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let old = anna.put("f", b"old", Target::Absent).await.unwrap().attributes;
    let open = async |key: u8, if_target| {
        let mut upload = anna.upload("f", 3, if_target);
        upload.key = UploadKey([key; 16]);
        let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
        anna.write_all(by, b"new").await.unwrap();
        by
    };
    let this = open(1, Target::This(old.version)).await;
    let any = open(2, Target::Any).await;
    anna.remove("f").await.unwrap();
    let absent = open(3, Target::Absent).await;
    let commit = async |by| anna.store.commit(anna.id, anna.key(), by, root_of(b"new")).await;
    assert_eq!(situation(commit(this).await), Situation::VersionChanged);
    anna.put("g", b"other", Target::Absent).await.unwrap();
    anna.rename("g", "f", Target::Absent).await.unwrap();
    assert_eq!(situation(commit(this).await), Situation::VersionChanged);
    assert_eq!(situation(commit(absent).await), Situation::Exists);
    assert_eq!(anna.get("f").await.unwrap(), b"other");
    commit(any).await.unwrap();
    assert_eq!(anna.get("f").await.unwrap(), b"new");
    anna.remove("f").await.unwrap();
    anna.mkdir("f").await.unwrap();
    assert_eq!(situation(commit(absent).await), Situation::Exists);
    anna.remove("f").await.unwrap();
    commit(absent).await.unwrap();
    anna.store.abort(anna.id, anna.key(), this.upload).await.unwrap();
    assert_eq!(anna.held().await, (3, 1, 0, 0));
}

/// HARDENING 2.8.
pub(crate) async fn an_aborted_upload_returns_its_quota(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let upload = anna.upload("d/e/f", 1000, Target::Absent);
    let by = anna.store.open_upload(anna.id, upload.clone()).await.unwrap().by;
    assert_eq!(anna.held().await, (0, 0, 1000, 3), "parents that are missing count");
    for _ in 0..3 {
        anna.store.abort(anna.id, anna.key(), by.upload).await.unwrap();
        assert_eq!(anna.held().await, (0, 0, 0, 0));
    }
    assert_eq!(situation(anna.write_all(by, &[0; 1000]).await), Situation::UploadNotFound);
    let again = anna.store.open_upload(anna.id, upload).await.unwrap();
    assert_ne!(again.by.upload, by.upload, "an id is never reused");
    // Another account's upload is none.
    let bert = User::of(fixture, account(fixture, "bert", QuotaLimits::default()).await.id);
    bert.store.abort(bert.id, bert.key(), again.by.upload).await.unwrap();
    assert_eq!(situation(bert.write_all(again.by, &[0; 1000]).await), Situation::UploadNotFound);
    assert_eq!(anna.held().await, (0, 0, 1000, 3));
}

pub(crate) async fn uploads_survive_a_restart(fixture: &mut dyn Fixture) {
    let mut anna = user(fixture).await;
    let content = bytes(11, 5 * MIB + 1);
    let upload = anna.upload("f", content.len() as u64, Target::Absent);
    let by = anna.store.open_upload(anna.id, upload.clone()).await.unwrap().by;
    for block in [4, 0, 5] {
        anna.write_block(by, &content, block).await.unwrap();
    }
    // A block that is being sent again is not there.
    let half = Piece { block: 4, offset: 0, bytes: Bytes::from_static(b"x"), expected: None };
    anna.store.write(anna.id, by, half).await.unwrap();
    anna.store = fixture.store();
    fixture.restart().await;
    let anna = anna.again(fixture);
    assert_eq!(anna.held().await, (0, 0, content.len() as u64, 1));
    let listed = anna.store.uploads(anna.id).await.unwrap();
    assert_eq!(listed[0].staged, BLOCK_BYTES + 1, "without loading it");
    // The same writer may go on, or resume.
    anna.write_block(by, &content, 1).await.unwrap();
    let resumed = anna.store.open_upload(anna.id, upload).await.unwrap();
    assert_eq!(resumed.staged.runs().collect::<Vec<_>>(), [0..2, 5..6]);
    for block in resumed.staged.missing_in(0..6) {
        anna.write_block(resumed.by, &content, block.0).await.unwrap();
    }
    anna.store.commit(anna.id, anna.key(), resumed.by, root_of(&content)).await.unwrap();
    assert_eq!(anna.get("f").await.unwrap(), content);
}

pub(crate) async fn blocks_are_copied_from_a_file(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let base = bytes(12, 3 * MIB);
    let meta = anna.put("base", &base, Target::Absent).await.unwrap().attributes;
    // The base moved by 100 bytes, then one block of its own.
    let content = [&base[100..100 + 2 * MIB], &bytes(13, 500)].concat();
    let upload = anna.upload("f", content.len() as u64, Target::Absent);
    let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
    let copy = async |block, offset, version: &sampan_protocol::Version| {
        anna.store.copy_block(anna.id, by, block, &path("base"), version, offset).await
    };
    let row = row_of(&content);
    assert_eq!(copy(0, 100, &meta.version).await.unwrap(), row[0]);
    assert_eq!(copy(1, 100 + BLOCK_BYTES, &meta.version).await.unwrap(), row[1]);
    let beyond = copy(1, 2 * BLOCK_BYTES + 1, &meta.version).await;
    assert_eq!(situation(beyond), Situation::BlockRefused);
    let other = copy(1, 0, &anna.stat("").await.unwrap().version).await;
    assert_eq!(situation(other), Situation::VersionChanged);
    anna.write_block(by, &content, 2).await.unwrap();
    anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await.unwrap();
    assert_eq!(anna.get("f").await.unwrap(), content);
}

/// HARDENING 2.8.
pub(crate) async fn unfinished_uploads_are_listed_and_bounded(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let mut opened = Vec::new();
    let refused = loop {
        let upload = anna.upload(&format!("f{}", opened.len()), 10, Target::Absent);
        match anna.store.open_upload(anna.id, upload).await {
            Ok(upload) => opened.push(upload.by.upload),
            refused => break situation(refused),
        }
    };
    let limit = opened.len() as u64;
    assert_eq!(refused, Situation::TooManyUploads { limit });
    let listed = anna.store.uploads(anna.id).await.unwrap();
    assert_eq!(listed.iter().map(|upload| upload.upload).collect::<Vec<_>>(), opened);
    assert_eq!((listed[1].path.clone(), listed[1].size), (path("f1"), 10));
    assert!(listed[1].expires > listed[1].opened);
    assert_eq!(anna.store.staged().await.unwrap().uploads, limit);
    anna.store.abort(anna.id, anna.key(), opened[0]).await.unwrap();
    anna.store.open_upload(anna.id, anna.upload("one more", 1, Target::Absent)).await.unwrap();
}

/// A listing of uploads goes on behind the last one that was seen.
pub(crate) async fn uploads_are_listed_page_by_page(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    for number in 0..5 {
        let upload = anna.upload(&format!("f{number}"), 1, Target::Absent);
        anna.store.open_upload(anna.id, upload).await.unwrap();
    }
    let all: Vec<_> = anna.store.uploads(anna.id).await.unwrap();
    assert_eq!(all.len(), 5);
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = anna.store.uploads_after(anna.id, after, 2).await.unwrap();
        assert!(page.len() <= 2);
        after = page.last().map(|upload| upload.upload).or(after);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    let ids = |uploads: &[crate::store::Unfinished]| {
        uploads.iter().map(|upload| (upload.upload, upload.path.clone())).collect::<Vec<_>>()
    };
    assert_eq!(ids(&paged), ids(&all));
}
