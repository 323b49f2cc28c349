//! HARDENING 3, sentence by sentence.
//!
//! | it says | test |
//! | --- | --- |
//! | logical size and entries; holes count; a listing explains it | `holes_count_and_a_listing_explains_it` |
//! | reserve in one conditional step | `two_uploads_race_for_the_last_byte`, [`super::model`] at once |
//! | or refuse with needed and available | `opening_refuses_before_any_byte`, [`super::model`] |
//! | overwrite reserves its growth; one credit a file | `an_overwrite_reserves_only_its_growth` |
//! | a credit moves when its file goes; it follows the file | `a_credit_moves_when_its_file_goes`, `a_commit_pays_for_what_another_counts_on` |
//! | one function settles whatever ended an upload | [`super::model`]: commit, abort, expiry |
//! | rename is free; replacing credits | `renames_replace_only_what_is_meant`, [`super::model`] |
//! | a lowered limit blocks growth and deletes nothing | `lowering_a_limit_blocks_growth_only` |
//! | every write verb (S20) | `every_writing_verb_is_bound_by_the_quota` |
//!
//! The floor of free disk, changes by hand and crashes are tested beside each store; `Fits` beside
//! its handler.

use super::*;

/// HARDENING 2.1: opening refuses before any byte.
pub(crate) async fn opening_refuses_before_any_byte(fixture: &mut dyn Fixture) {
    let anna = limited(fixture, Some(100), Some(5)).await;
    anna.put("f", &[0; 40], Target::Absent).await.unwrap();
    anna.mkdir("d").await.unwrap();
    let version = anna.stat("d").await.unwrap().version;
    let mut orphan = anna.upload("x/y", 1, Target::Absent);
    orphan.parents = false;
    let too_large = (i64::MAX as u64) + 1;
    let cases = [
        (anna.upload("a", 61, Target::Absent), Situation::OverQuota { needed: 61, available: 60 }),
        (
            anna.upload("1/2/3/4", 1, Target::Absent),
            Situation::TooManyFiles { needed: 4, available: 3 },
        ),
        (anna.upload("f", 1, Target::Absent), Situation::Exists),
        (anna.upload("d", 1, Target::Any), Situation::IsAFolder),
        (anna.upload("f/x", 1, Target::Absent), Situation::NotAFolder),
        (anna.upload("f", 1, Target::This(version.clone())), Situation::VersionChanged),
        (anna.upload("x", 1, Target::This(version)), Situation::VersionChanged),
        (orphan, Situation::NotFound),
    ];
    for (upload, expected) in cases {
        let refused = anna.store.open_upload(anna.id, upload.clone()).await;
        assert_eq!(situation(refused), expected, "{upload:?}");
    }
    let refused = anna.store.open_upload(anna.id, anna.upload("a", too_large, Target::Absent));
    assert!(matches!(situation(refused.await), Situation::LimitExceeded { .. }));
    assert_eq!(anna.held().await, (40, 2, 0, 0));
    assert_eq!(anna.store.staged().await.unwrap().uploads, 0);
}

pub(crate) async fn two_uploads_race_for_the_last_byte(fixture: &mut dyn Fixture) {
    let anna = limited(fixture, Some(100), None).await;
    for round in 0..8 {
        let open = |name: String| {
            let upload = anna.upload(&name, 60, Target::Absent);
            anna.store.open_upload(anna.id, upload)
        };
        let (one, other) = tokio::join!(open(format!("a{round}")), open(format!("b{round}")));
        let (won, lost) = match (one, other) {
            (Ok(won), lost) | (lost, Ok(won)) => (won, lost),
            both => panic!("both were refused: {both:?}"),
        };
        assert_eq!(situation(lost), Situation::OverQuota { needed: 60, available: 40 });
        assert_eq!(anna.held().await, (0, 0, 60, 1));
        anna.store.abort(anna.id, anna.key(), won.by.upload).await.unwrap();
        assert_eq!(anna.held().await, (0, 0, 0, 0), "the sum is exact after an abort");
    }
}

/// HARDENING 3.
pub(crate) async fn an_overwrite_reserves_only_its_growth(fixture: &mut dyn Fixture) {
    let anna = limited(fixture, Some(100), Some(1)).await;
    anna.put("f", &bytes(1, 80), Target::Absent).await.unwrap();
    let opened = anna.store.open_upload(anna.id, anna.upload("f", 95, Target::Any)).await.unwrap();
    assert_eq!(anna.held().await, (80, 1, 15, 0));
    // Only one can count on the old file.
    let mut second = anna.upload("f", 50, Target::Any);
    second.key = UploadKey([5; 16]);
    let refused = anna.store.open_upload(anna.id, second.clone()).await;
    assert_eq!(situation(refused), Situation::OverQuota { needed: 50, available: 5 });
    let content = bytes(2, 95);
    anna.write_all(opened.by, &content).await.unwrap();
    anna.store.commit(anna.id, anna.key(), opened.by, root_of(&content)).await.unwrap();
    assert_eq!(anna.held().await, (95, 1, 0, 0));
    assert_eq!(anna.get("f").await.unwrap(), content);

    let shrinks = anna.store.open_upload(anna.id, second).await.unwrap();
    assert_eq!(anna.held().await, (95, 1, 0, 0), "a smaller one reserves nothing");
    anna.write_all(shrinks.by, &content[..50]).await.unwrap();
    let committed = anna.store.commit(anna.id, anna.key(), shrinks.by, root_of(&content[..50]));
    committed.await.unwrap();
    assert_eq!(anna.held().await, (50, 1, 0, 0));
}

/// HARDENING 3: while a credit is held, deleting or replacing its file moves its bytes into the
/// holder's reservation; credits follow the file, not the path.
pub(crate) async fn a_credit_moves_when_its_file_goes(fixture: &mut dyn Fixture) {
    let anna = limited(fixture, Some(100), None).await;
    let content = bytes(3, 90);
    let open = async |key: u8| {
        let mut upload = anna.upload("f", 90, Target::Any);
        upload.key = UploadKey([key; 16]);
        let opened = anna.store.open_upload(anna.id, upload).await.unwrap();
        anna.write_all(opened.by, &content).await.unwrap();
        opened.by
    };
    let finish = async |by: OpenedBy| {
        anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await.unwrap();
        assert_eq!(anna.held().await, (90, 1, 0, 0));
        assert_eq!(fixture.counted(anna.id).await, (90, 1));
        anna.remove("f").await.unwrap();
    };

    // Deleted.
    anna.put("f", &bytes(1, 80), Target::Absent).await.unwrap();
    let by = open(1).await;
    assert_eq!(anna.held().await, (80, 1, 10, 0));
    anna.remove("f").await.unwrap();
    assert_eq!(anna.held().await, (0, 0, 90, 1));
    let stolen = anna.put("g", &[0; 11], Target::Absent).await;
    assert_eq!(situation(stolen), Situation::OverQuota { needed: 11, available: 10 });
    finish(by).await;

    // Deleted with the folder that it was moved to.
    anna.put("f", &bytes(1, 80), Target::Absent).await.unwrap();
    let by = open(2).await;
    anna.mkdir("d").await.unwrap();
    anna.rename("f", "d/f", Target::Absent).await.unwrap();
    assert_eq!(anna.held().await, (80, 2, 10, 0), "moving away frees nothing");
    let early = anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await;
    assert_eq!(situation(early), Situation::OverQuota { needed: 80, available: 10 });
    anna.remove("d").await.unwrap();
    assert_eq!(anna.held().await, (0, 0, 90, 1));
    finish(by).await;

    // Replaced by a rename.
    anna.put("f", &bytes(1, 80), Target::Absent).await.unwrap();
    let by = open(3).await;
    anna.put("g", &bytes(1, 5), Target::Absent).await.unwrap();
    anna.rename("g", "f", Target::Any).await.unwrap();
    assert_eq!(anna.held().await, (5, 1, 90, 1));
    finish(by).await;

    // Replaced by a pack.
    anna.put("f", &bytes(1, 80), Target::Absent).await.unwrap();
    let by = open(4).await;
    let outcomes = anna.pack(anna.key(), vec![member("f", b"12345", Target::Any)]).await.unwrap();
    assert!(outcomes[0].is_ok());
    assert_eq!(anna.held().await, (5, 1, 90, 1));
    finish(by).await;

    // Given up: the credit is no one's again.
    anna.put("f", &bytes(1, 80), Target::Absent).await.unwrap();
    let by = open(5).await;
    anna.store.abort(anna.id, anna.key(), by.upload).await.unwrap();
    assert_eq!(anna.held().await, (80, 1, 0, 0));
    let by = open(6).await;
    finish(by).await;
}

/// HARDENING 3: a commit pays for what another upload counts on, wherever that file was moved.
pub(crate) async fn a_commit_pays_for_what_another_counts_on(fixture: &mut dyn Fixture) {
    let anna = limited(fixture, Some(100), None).await;
    let mut open = Vec::new();
    for name in ["f", "g"] {
        anna.put(name, &[1; 40], Target::Absent).await.unwrap();
        let upload = NewUpload {
            key: UploadKey([name.as_bytes()[0]; 16]),
            ..anna.upload(name, 40, Target::Any)
        };
        let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
        anna.write_all(by, &[2; 40]).await.unwrap();
        open.push(by);
    }
    assert_eq!(anna.held().await, (80, 2, 0, 0));
    // Where the second upload will replace a file now lies the one that the first counts on.
    anna.rename("g", "away", Target::Absent).await.unwrap();
    anna.rename("f", "g", Target::Absent).await.unwrap();
    let root = root_of(&[2; 40]);
    let refused = anna.store.commit(anna.id, anna.key(), open[1], root).await;
    assert_eq!(situation(refused), Situation::OverQuota { needed: 40, available: 20 });
    anna.remove("away").await.unwrap();
    assert_eq!(anna.held().await, (40, 1, 40, 1), "what it counted on is reserved");
    anna.store.commit(anna.id, anna.key(), open[1], root).await.unwrap();
    assert_eq!(anna.held().await, (40, 1, 40, 1), "and so is what the first one counted on");
    anna.store.commit(anna.id, anna.key(), open[0], root).await.unwrap();
    assert_eq!(anna.held().await, (80, 2, 0, 0));
}

pub(crate) async fn lowering_a_limit_blocks_growth_only(fixture: &mut dyn Fixture) {
    let anna = limited(fixture, Some(100), None).await;
    anna.put("f", &[1; 50], Target::Absent).await.unwrap();
    let lowered = QuotaLimits { bytes: Some(20), entries: Some(1) };
    fixture.accounts().set_limits(anna.id, lowered).await.unwrap();
    let usage = anna.store.usage(anna.id).await.unwrap();
    assert_eq!((usage.limits, usage.used), (lowered, 50));
    let grown = anna.put("g", &[1; 1], Target::Absent).await;
    assert_eq!(situation(grown), Situation::OverQuota { needed: 1, available: 0 });
    assert_eq!(
        situation(anna.mkdir("d").await),
        Situation::TooManyFiles { needed: 1, available: 0 }
    );
    anna.rename("f", "g", Target::Absent).await.unwrap();
    let mut smaller = anna.upload("g", 10, Target::Any);
    smaller.key = UploadKey([1; 16]);
    let by = anna.store.open_upload(anna.id, smaller).await.unwrap().by;
    anna.write_all(by, &[2; 10]).await.unwrap();
    anna.store.commit(anna.id, anna.key(), by, root_of(&[2; 10])).await.unwrap();
    assert_eq!(anna.held().await, (10, 1, 0, 0));
}

/// S20: each verb of the store has a row that says what the quota makes of it. A verb without one
/// fails here.
pub(crate) async fn every_writing_verb_is_bound_by_the_quota(fixture: &mut dyn Fixture) {
    let anna = limited(fixture, Some(100), Some(3)).await;
    anna.put("f", &[1; 60], Target::Absent).await.unwrap();
    anna.mkdir("d").await.unwrap();
    let by =
        anna.store.open_upload(anna.id, anna.upload("u", 40, Target::Absent)).await.unwrap().by;
    let full = (60, 2, 40, 1);
    let more = Situation::TooManyFiles { needed: 1, available: 0 };
    let larger = |needed| Situation::OverQuota { needed, available: 0 };
    for verb in store_verbs() {
        match verb {
            "mkdir" => {
                let at = path("e");
                let made = anna.store.mkdir(anna.id, anna.key(), &at, false, Mode::FOLDER);
                assert_eq!(situation(made.await), more);
                let twice = Situation::TooManyFiles { needed: 2, available: 0 };
                assert_eq!(situation(anna.mkdir("d/e/g").await), twice);
                anna.mkdir("d").await.unwrap();
            }
            "open_upload" => {
                let open = |at, size, target| {
                    anna.store.open_upload(anna.id, anna.upload(at, size, target))
                };
                assert_eq!(situation(open("e", 0, Target::Absent).await), more);
                assert_eq!(situation(open("e", 1, Target::Absent).await), larger(1));
                assert_eq!(situation(open("f", 61, Target::Any).await), larger(1));
                // The same upload again reserves nothing again.
                open("u", 40, Target::Absent).await.unwrap();
            }
            "write" => {
                let by = OpenedBy { epoch: sampan_protocol::Epoch(by.epoch.0 + 1), ..by };
                for (block, length) in [(0, 41), (1, 1)] {
                    let bytes = Bytes::from(vec![0; length]);
                    let piece = Piece { block, offset: 0, bytes, expected: None };
                    let beyond = anna.store.write(anna.id, by, piece).await;
                    assert_eq!(situation(beyond), Situation::BlockRefused, "block {block}");
                }
            }
            "copy_block" => {
                let by = OpenedBy { epoch: sampan_protocol::Epoch(by.epoch.0 + 1), ..by };
                let version = anna.stat("f").await.unwrap().version;
                let beyond = anna.store.copy_block(anna.id, by, 1, &path("f"), &version, 0).await;
                assert_eq!(situation(beyond), Situation::BlockRefused);
            }
            "commit" => {
                // The file that an overwrite counts on moved away: both would be charged.
                let mut over = anna.upload("f", 60, Target::Any);
                over.key = UploadKey([8; 16]);
                let over = anna.store.open_upload(anna.id, over).await.unwrap().by;
                anna.write_all(over, &[2; 60]).await.unwrap();
                anna.rename("f", "away", Target::Absent).await.unwrap();
                let both = anna.store.commit(anna.id, anna.key(), over, root_of(&[2; 60])).await;
                assert_eq!(situation(both), larger(60));
                anna.rename("away", "f", Target::Absent).await.unwrap();
                anna.store.commit(anna.id, anna.key(), over, root_of(&[2; 60])).await.unwrap();
            }
            "pack" => {
                let members = vec![
                    member("e", b"", Target::Absent),
                    folder_member("e"),
                    member("f", &[1; 61], Target::Any),
                    folder_member("d"),
                ];
                let mut outcomes = anna.pack(anna.key(), members).await.unwrap();
                outcomes.pop().unwrap().unwrap();
                let refused: Vec<Situation> = outcomes.into_iter().map(situation).collect();
                assert_eq!(refused, [more.clone(), more.clone(), larger(1)]);
            }
            "rename" => {
                anna.rename("f", "d/f", Target::Absent).await.unwrap();
                anna.rename("d/f", "f", Target::Absent).await.unwrap();
            }
            "set_attributes" => {
                let (at, bits) = (path("f"), Some(Mode::new(0o600)));
                let set = anna.store.set_attributes(anna.id, anna.key(), &at, bits, None);
                set.await.unwrap();
            }
            "abort" => {
                let free = anna.store.abort(anna.id, anna.key(), by.upload).await;
                free.unwrap();
                assert_eq!(anna.held().await, (60, 2, 0, 0));
                let upload = anna.upload("u", 40, Target::Absent);
                anna.store.open_upload(anna.id, upload).await.unwrap();
            }
            "remove" => {
                let removed = anna.remove("f").await.unwrap();
                assert_eq!((removed.bytes, removed.entries), (60, 1));
                assert_eq!(anna.held().await, (0, 1, 40, 1));
                anna.put("f", &[1; 60], Target::Absent).await.unwrap();
            }
            // They read, or end everything.
            "scan" | "failed" | "stat" | "list" | "upload_row" | "uploads_after" | "uploads"
            | "read" | "read_row" | "read_pack" | "sum" | "usage" | "is_durable" | "staged"
            | "close" => {}
            other => panic!("what does the quota say of `{other}`? It needs a row here (S20)"),
        }
        assert_eq!(anna.held().await, full, "after `{verb}`");
        assert_eq!(fixture.counted(anna.id).await, (60, 2), "after `{verb}`");
    }
}

/// HARDENING 3: logical size is charged: holes count, and everything can be explained by adding up
/// a listing.
pub(crate) async fn holes_count_and_a_listing_explains_it(fixture: &mut dyn Fixture) {
    let zeros = vec![0; 3 << 20];
    let anna = limited(fixture, Some(zeros.len() as u64 + 10), None).await;
    anna.put("d/zeros", &zeros, Target::Absent).await.unwrap();
    anna.put("d/few", b"123", Target::Absent).await.unwrap();
    let mut listed = 0;
    for entry in anna.list("d").await.unwrap().into_values() {
        listed += entry.attributes.size;
    }
    assert_eq!(anna.held().await, (listed, 3, 0, 0));
    let refused = anna.put("more", &zeros[..8], Target::Absent).await;
    assert_eq!(situation(refused), Situation::OverQuota { needed: 8, available: 7 });
}

/// HARDENING 2.6, 3: the ledger is the sum over files and uploads, without a recount.
pub(crate) async fn the_ledger_equals_a_count_after_many_changes(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let names = ["a", "b", "d", "d/a", "d/e", "d/e/f"];
    let mut held = Vec::new();
    for step in 0..240_u64 {
        let draw = |what: u64, below: u64| {
            let hash = blake3::hash(&[step.to_le_bytes(), what.to_le_bytes()].concat());
            u64::from_le_bytes(hash.as_bytes()[..8].try_into().unwrap()) % below
        };
        let name = names[draw(0, 6) as usize];
        let other = names[draw(1, 6) as usize];
        let size = draw(2, 2000);
        let content = bytes(step, size as usize);
        // Refusals are part of it.
        let done = match draw(3, 10) {
            0 => anna.mkdir(name).await.is_ok(),
            1 => anna.remove(name).await.is_ok(),
            2 | 3 => anna.rename(name, other, Target::Any).await.is_ok(),
            4 | 5 => {
                let members =
                    vec![member(name, &content, Target::Any), member(other, b"x", Target::Any)];
                anna.pack(anna.key(), members).await.is_ok()
            }
            6 => {
                let mut upload = anna.upload(name, size, Target::Any);
                upload.key = UploadKey([step as u8; 16]);
                let opened = anna.store.open_upload(anna.id, upload).await;
                opened.map(|opened| held.push((opened.by, content.clone()))).is_ok()
            }
            7 if !held.is_empty() => {
                let (by, content) = held.swap_remove(draw(4, held.len() as u64) as usize);
                anna.write_all(by, &content).await.unwrap();
                anna.store.commit(anna.id, anna.key(), by, root_of(&content)).await.is_ok()
            }
            8 if !held.is_empty() => {
                let (by, _) = held.swap_remove(draw(4, held.len() as u64) as usize);
                anna.store.abort(anna.id, anna.key(), by.upload).await.is_ok()
            }
            _ => {
                let mut upload = anna.upload(name, size, Target::Any);
                upload.key = UploadKey([step as u8; 16]);
                match anna.store.open_upload(anna.id, upload).await {
                    Ok(opened) => {
                        anna.write_all(opened.by, &content).await.unwrap();
                        let root = root_of(&content);
                        anna.store.commit(anna.id, anna.key(), opened.by, root).await.is_ok()
                    }
                    Err(_) => false,
                }
            }
        };
        let (used, entries, reserved, _) = anna.held().await;
        assert_eq!((used, entries), fixture.counted(anna.id).await, "step {step}, done {done}");
        let uploads = anna.store.uploads(anna.id).await.unwrap();
        assert_eq!(
            reserved,
            uploads.iter().map(|upload| upload.reserved).sum::<u64>(),
            "step {step}"
        );
    }
    for upload in anna.store.uploads(anna.id).await.unwrap() {
        anna.store.abort(anna.id, anna.key(), upload.upload).await.unwrap();
    }
    for name in anna.names("").await {
        anna.remove(&name).await.unwrap();
    }
    assert_eq!(anna.held().await, (0, 0, 0, 0));
}
