use sampan_protocol::EntryKind;
use sampan_protocol::limits::{MAX_PACK_MEMBER_BYTES, MAX_PACK_MEMBERS};

use super::*;

pub(crate) async fn packs_publish_all_that_passes(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    anna.put("old", b"old", Target::Absent).await.unwrap();
    let there = anna.put("this", b"this", Target::Absent).await.unwrap().attributes;
    anna.mkdir("folder").await.unwrap();
    let mut wrong = member("wrong", b"right", Target::Absent);
    if let PackItem::Member { content: PackContent::File { bytes, .. }, .. } = &mut wrong {
        *bytes = Bytes::from_static(b"wrong");
    }
    let large = vec![0; MAX_PACK_MEMBER_BYTES as usize + 1];
    let outcomes = anna
        .pack(
            anna.key(),
            vec![
                folder_member("new"),
                member("new/a", b"aaaa", Target::Absent),
                member("x/y/b", b"bb", Target::Absent),
                member("old", b"newer", Target::Absent),
                member("old", b"newer", Target::Any),
                member("this", b"that", Target::This(there.version.clone())),
                wrong,
                member("large", &large, Target::Absent),
                member("folder", b"", Target::Any),
                folder_member("folder"),
                folder_member("old"),
                member("old/c", b"", Target::Absent),
                folder_member("x/y"),
                member("new/a", b"twice", Target::Absent),
                folder_member("new"),
                member("", b"", Target::Any),
                folder_member(""),
            ],
        )
        .await
        .unwrap();
    let refusals: Vec<(usize, Situation)> = outcomes
        .iter()
        .enumerate()
        .filter_map(|(index, outcome)| match outcome {
            Err(StoreError::Refused { situation, .. }) => Some((index, situation.clone())),
            Err(other) => panic!("{other:?}"),
            Ok(_) => None,
        })
        .collect();
    assert_eq!(
        refusals,
        [
            (3, Situation::Exists),
            (6, Situation::RootMismatch),
            (7, Situation::TooLargeForPack),
            (8, Situation::IsAFolder),
            (10, Situation::Exists),
            (11, Situation::NotAFolder),
            (13, Situation::Exists),
            (14, Situation::Exists),
            (15, Situation::InvalidTarget),
        ]
    );
    assert_eq!(anna.get("new/a").await.unwrap(), b"aaaa");
    assert_eq!(anna.get("x/y/b").await.unwrap(), b"bb");
    assert_eq!(anna.get("old").await.unwrap(), b"newer");
    assert_eq!(anna.get("this").await.unwrap(), b"that");
    assert_eq!(*outcomes[1].as_ref().unwrap(), anna.stat("new/a").await.unwrap());
    assert_eq!(*outcomes[12].as_ref().unwrap(), anna.stat("x/y").await.unwrap());
    let a = outcomes[1].as_ref().unwrap();
    assert_eq!((a.mode.bits(), a.mtime, a.kind), (0o600, mtime(), EntryKind::File));
    assert_eq!(outcomes[0].as_ref().unwrap().mode.bits(), 0o750);
    let (used, entries, ..) = anna.held().await;
    assert_eq!((used, entries), (15, 8));
    assert_eq!(fixture.counted(anna.id).await, (15, 8));

    let stale = vec![member("this", b"x", Target::This(there.version))];
    let outcomes = anna.pack(anna.key(), stale).await.unwrap();
    assert!(matches!(
        outcomes[..],
        [Err(StoreError::Refused { situation: Situation::VersionChanged, .. })]
    ));
}

/// HARDENING 2.7: one key a pack.
pub(crate) async fn packs_are_replayed(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let key = anna.key();
    let items = || {
        vec![
            member("a", b"1", Target::Absent),
            member("a", b"2", Target::Absent),
            folder_member("d"),
        ]
    };
    let show = |outcomes: Vec<PackOutcome>| {
        outcomes.into_iter().map(|outcome| format!("{outcome:?}")).collect::<Vec<_>>()
    };
    let first = show(anna.pack(key, items()).await.unwrap());
    for _ in 0..2 {
        assert_eq!(show(anna.pack(key, items()).await.unwrap()), first);
    }
    let other = anna.pack(key, vec![member("b", b"1", Target::Absent)]).await;
    assert_eq!(situation(other), Situation::ChangeKeyReused);
    assert_eq!(anna.names("").await, ["a", "d"]);
    assert_eq!(anna.held().await, (1, 2, 0, 0));

    // Two copies at once.
    let key = anna.key();
    let copy = || vec![member("once", b"once", Target::Absent)];
    let (one, other) = tokio::join!(anna.pack(key, copy()), anna.pack(key, copy()));
    assert_eq!(show(one.unwrap()), show(other.unwrap()));
    assert_eq!(anna.held().await, (5, 3, 0, 0));
}

pub(crate) async fn an_abandoned_pack_publishes_nothing(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let key = anna.key();
    let abandoned =
        anna.pack(key, vec![member("a", b"1", Target::Absent), PackItem::Abandoned]).await;
    assert!(abandoned.is_err());
    assert!(anna.names("").await.is_empty());
    // The whole one may come with the same key.
    anna.pack(key, vec![member("a", b"1", Target::Absent)]).await.unwrap();
    assert_eq!(anna.names("").await, ["a"]);
    let many = (0..=MAX_PACK_MEMBERS).map(|i| member(&i.to_string(), b"", Target::Absent));
    let refused = anna.pack(anna.key(), many.collect()).await;
    assert!(matches!(situation(refused), Situation::LimitExceeded { .. }));
    assert_eq!(anna.names("").await, ["a"]);
    assert_eq!(anna.held().await, (1, 1, 0, 0));
}

pub(crate) async fn packs_stop_at_the_limit(fixture: &mut dyn Fixture) {
    let anna = limited(fixture, Some(10), Some(3)).await;
    let outcomes = anna
        .pack(
            anna.key(),
            vec![
                member("a", b"1234", Target::Absent),
                member("b", b"12345678", Target::Absent),
                member("c", b"123456", Target::Absent),
                member("d/e", b"", Target::Absent),
                member("f", b"", Target::Absent),
            ],
        )
        .await
        .unwrap();
    let refused = |index: usize| match &outcomes[index] {
        Err(StoreError::Refused { situation, .. }) => situation.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(1), Situation::OverQuota { needed: 8, available: 6 });
    assert_eq!(refused(3), Situation::TooManyFiles { needed: 2, available: 1 });
    assert_eq!(anna.names("").await, ["a", "c", "f"]);
    assert_eq!(anna.held().await, (10, 3, 0, 0));
}
