use sampan_protocol::Name;

use super::*;

pub(crate) async fn a_listing_goes_on_at_its_cursor(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let names: Vec<String> = (0..1500).map(|number| format!("d/{number:04}")).collect();
    for some in names.chunks(750) {
        let members = some.iter().map(|name| member(name, b"", Target::Absent)).collect();
        let outcomes = anna.pack(anna.key(), members).await.unwrap();
        assert!(outcomes.iter().all(Result::is_ok));
    }
    let mut all = anna.list("d").await.unwrap();
    assert_eq!(all.len(), 1500);

    // Two pages, then the rest by the cursor of the second.
    let mut pages = anna.store.list(anna.id, &path("d"), None).await.unwrap();
    let first = pages.recv().await.unwrap().unwrap();
    assert!(first.entries.len() <= 100, "the first rows come at once");
    let second = pages.recv().await.unwrap().unwrap();
    drop(pages);
    let mut rest = anna.store.list(anna.id, &path("d"), Some(&second.cursor)).await.unwrap();
    let mut entries = [first.entries, second.entries].concat();
    while let Some(page) = rest.recv().await {
        let page = page.unwrap();
        assert!(page.entries.len() <= sampan_protocol::limits::MAX_LIST_ENTRIES);
        entries.extend(page.entries);
    }
    for entry in entries {
        assert!(all.remove(&entry.name.to_string()).is_some(), "{:?} twice", entry.name);
    }
    assert!(all.is_empty(), "{} were left out", all.len());

    for bad in [&b""[..], b"x", &[0; 64], &second.cursor[1..]] {
        let refused = anna.store.list(anna.id, &path("d"), Some(bad)).await.map(|_| ());
        assert_eq!(situation(refused), Situation::Restart);
    }
    anna.remove("d/0000").await.unwrap();
    let stale = anna.store.list(anna.id, &path("d"), Some(&second.cursor)).await.map(|_| ());
    assert_eq!(situation(stale), Situation::Restart);
    let file = anna.store.list(anna.id, &path("d/0001"), None).await.map(|_| ());
    assert_eq!(situation(file), Situation::NotAFolder);
}

/// S2, S3: every byte but those of no name travels; and nothing that a path can say leaves a home.
pub(crate) async fn names_of_all_bytes_travel(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let mut names: Vec<Vec<u8>> = vec![
        b"\x1b[31m".to_vec(),
        b"a\nb\r".to_vec(),
        b"\xff\xfe\x80".to_vec(),
        b" ".to_vec(),
        b"...".to_vec(),
        b"-rf".to_vec(),
        b"..\\..\\x".to_vec(),
        b"%2e%2e%2f".to_vec(),
        "\u{202e}gpj.exe".as_bytes().to_vec(),
        vec![0xfe; 255],
    ];
    names.extend((1..=255_u8).filter(|byte| *byte != b'/').map(|byte| vec![b'x', byte]));
    for name in &names {
        let at = RemotePath::from_names(&[Name::new(name).unwrap()]).unwrap();
        let mut upload = anna.upload("x", 3, Target::Absent);
        upload.path = at.clone();
        upload.key.0.copy_from_slice(&blake3::hash(name).as_bytes()[..16]);
        let by = anna.store.open_upload(anna.id, upload).await.unwrap().by;
        anna.write_all(by, b"123").await.unwrap();
        anna.store.commit(anna.id, anna.key(), by, root_of(b"123")).await.unwrap();
        assert_eq!(anna.store.stat(anna.id, &at).await.unwrap().size, 3);
    }
    let mut found = Vec::new();
    let mut pages = anna.store.list(anna.id, &RemotePath::home(), None).await.unwrap();
    while let Some(page) = pages.recv().await {
        found.extend(page.unwrap().entries.into_iter().map(|entry| entry.name.as_bytes().to_vec()));
    }
    found.sort();
    names.sort();
    names.dedup();
    assert_eq!(found, names);
}

pub(crate) async fn deep_paths_work(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    // As deep as a path can be said.
    let deepest = vec!["d"; 2047].join("/");
    anna.mkdir(&deepest).await.unwrap();
    let file = format!("{deepest}/f");
    anna.put(&file, b"deep", Target::Absent).await.unwrap();
    assert_eq!(anna.get(&file).await.unwrap(), b"deep");
    assert_eq!(anna.names(&deepest).await, ["f"]);
    assert_eq!(anna.held().await, (4, 2048, 0, 0));
    assert_eq!(fixture.counted(anna.id).await, (4, 2048));
    let removed = anna.remove("d").await.unwrap();
    assert_eq!((removed.entries, removed.bytes), (2048, 4));
    assert_eq!(anna.held().await, (0, 0, 0, 0));
}
