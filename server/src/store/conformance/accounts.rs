use sampan_protocol::Timestamp;

use super::*;
use crate::store::{EnrolledKey, HomeFound};

fn key(number: u8) -> EnrolledKey {
    let enrolled = Timestamp::new(100 + i64::from(number), 0).unwrap();
    EnrolledKey { public_key: [number; 32], label: format!("key {number}"), enrolled, used: None }
}

pub(crate) async fn accounts_are_made_found_and_voided(fixture: &mut dyn Fixture) {
    let accounts = fixture.accounts();
    assert!(accounts.find("anna").await.unwrap().is_none());
    let limits = QuotaLimits { bytes: Some(1000), entries: None };
    let (anna, HomeFound { bytes, entries, .. }) =
        accounts.add(new_account("anna", limits)).await.unwrap();
    assert_eq!((bytes, entries, anna.limits), (0, 0, limits));
    for bad in ["", "..", "Anna", "a/b", "-a"] {
        let refused = accounts.add(new_account(bad, limits)).await;
        assert_eq!(situation(refused), Situation::BadAccountName, "{bad:?}");
    }
    let twice = accounts.add(new_account("anna", limits)).await;
    assert_eq!(situation(twice), Situation::AccountExists);

    accounts.enrol_key(anna.id, key(1)).await.unwrap();
    accounts.enrol_key(anna.id, key(2)).await.unwrap();
    let used = Timestamp::new(500, 5).unwrap();
    accounts.key_used(anna.id, [1; 32], used).await.unwrap();
    let keys = accounts.keys(anna.id).await.unwrap();
    assert_eq!(keys, [EnrolledKey { used: Some(used), ..key(1) }, key(2)]);
    assert!(accounts.revoke_key(anna.id, [2; 32]).await.unwrap());
    assert!(!accounts.revoke_key(anna.id, [2; 32]).await.unwrap());

    let changed = accounts.set_verifier(anna.id, verifier()).await.unwrap();
    assert!(changed.generation > anna.generation);
    assert!(accounts.keys(anna.id).await.unwrap().is_empty(), "a new password voids keys");
    accounts.enrol_key(anna.id, key(3)).await.unwrap();
    assert!(!accounts.enrol_key_of(anna.id, u64::MAX, key(4)).await.unwrap(), "another generation");
    assert_eq!(accounts.keys(anna.id).await.unwrap().len(), 1);
    let now = accounts.find("anna").await.unwrap().unwrap().generation;
    assert!(accounts.enrol_key_of(anna.id, now, key(3)).await.unwrap());
    let disabled = accounts.set_disabled(anna.id, true).await.unwrap();
    assert!(disabled.disabled && disabled.generation > changed.generation);
    assert!(accounts.keys(anna.id).await.unwrap().is_empty(), "disabling voids keys");
    let enabled = accounts.set_disabled(anna.id, false).await.unwrap();
    assert!(!enabled.disabled);

    let secret = accounts.login_secret().await.unwrap();
    drop(accounts);
    fixture.restart().await;
    let accounts = fixture.accounts();
    assert_eq!(accounts.login_secret().await.unwrap(), secret, "made once");
    let found = accounts.find("anna").await.unwrap().unwrap();
    assert_eq!((found.id, found.generation), (anna.id, enabled.generation));
    assert_eq!(found.verifier.stored_key(), verifier().stored_key());
    assert_eq!(accounts.all().await.unwrap().len(), 1);
}

pub(crate) async fn an_existing_home_is_taken_only_if_asked(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    anna.mkdir("docs/deep").await.unwrap();
    anna.put("docs/a", &bytes(1, 1000), Target::Absent).await.unwrap();
    anna.put("docs/deep/b", &bytes(2, 50), Target::Absent).await.unwrap();
    let accounts = fixture.accounts();
    let old = anna.id;
    accounts.remove(old, false).await.unwrap();
    let mut new = new_account("anna", QuotaLimits::default());
    assert_eq!(situation(accounts.add(new.clone()).await), Situation::HomeExists);
    new.take_home = true;
    let (taken, HomeFound { bytes, entries, .. }) = accounts.add(new).await.unwrap();
    assert_eq!((bytes, entries), (1050, 4));
    assert_ne!(taken.id, old, "an id is never reused");
    let anna = User::of(fixture, taken.id);
    assert_eq!(anna.held().await, (1050, 4, 0, 0));
    assert_eq!(anna.get("docs/deep/b").await.unwrap(), super::bytes(2, 50));
}

pub(crate) async fn a_removed_account_is_gone_with_its_uploads(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    anna.put("a", b"a", Target::Absent).await.unwrap();
    let upload = anna.upload("b", 10, Target::Absent);
    let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
    fixture.accounts().remove(anna.id, true).await.unwrap();
    assert_eq!(fixture.store().staged().await.unwrap().uploads, 0);
    let piece = Piece { block: 0, offset: 0, bytes: Bytes::from_static(b"0"), expected: None };
    let refused = anna.store.write(anna.id, by, piece).await;
    assert_eq!(situation(refused), Situation::UploadNotFound);
    assert_eq!(situation(anna.stat("a").await), Situation::AccountNotFound);
    let gone = fixture.accounts().remove(anna.id, true).await;
    assert_eq!(situation(gone), Situation::AccountNotFound);
    let (_, HomeFound { bytes, entries, .. }) =
        fixture.accounts().add(new_account("anna", QuotaLimits::default())).await.unwrap();
    assert_eq!((bytes, entries), (0, 0), "a purged home is no home that exists");
}
