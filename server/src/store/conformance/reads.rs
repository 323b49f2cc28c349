use sampan_protocol::block::{GRAIN_BYTES, grains_of_block};
use sampan_protocol::limits::BLOCK_BYTES;

use super::*;

const MIB: usize = BLOCK_BYTES as usize;

pub(crate) async fn files_are_read_by_version(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let content = bytes(1, 2 * MIB + 700_000);
    let meta = anna.put("f", &content, Target::Absent).await.unwrap().attributes;
    let read = async |first, count| {
        let mut stream = anna.store.read(anna.id, &path("f"), &meta.version, first, count).await?;
        let mut read = Vec::new();
        while let Some(piece) = stream.recv().await {
            read.push(piece?);
        }
        Ok(read)
    };
    let pieces = read(1, 2).await.unwrap();
    let row = row_of(&content);
    let mut at = MIB;
    for piece in &pieces {
        assert_eq!(piece.block as usize * MIB + piece.offset as usize, at, "in order");
        assert!(piece.bytes.len() <= PIECE_BYTES);
        assert_eq!(piece.bytes, content[at..at + piece.bytes.len()]);
        at += piece.bytes.len();
        if let Some(hash) = piece.hash {
            assert_eq!(hash, row[piece.block as usize]);
        }
    }
    assert_eq!(at, content.len());
    assert_eq!(pieces.iter().filter(|piece| piece.hash.is_some()).count(), 2);
    assert!(read(0, 0).await.unwrap().is_empty());
    for (first, count) in [(0, 4), (3, 1), (u64::MAX, 1), (0, 1025)] {
        let refused: Result<Vec<_>> = read(first, count).await;
        assert!(matches!(situation(refused), Situation::LimitExceeded { .. }), "{first} {count}");
    }
    anna.put("g", b"g", Target::Absent).await.unwrap();
    anna.rename("g", "f", Target::Any).await.unwrap();
    let refused: Result<Vec<_>> = read(0, 1).await;
    assert_eq!(situation(refused), Situation::VersionChanged);
    anna.mkdir("d").await.unwrap();
    let folder = anna.store.read(anna.id, &path("d"), &meta.version, 0, 1).await.map(|_| ());
    assert_eq!(situation(folder), Situation::IsAFolder);
    let absent = anna.store.read(anna.id, &path("x"), &meta.version, 0, 1).await.map(|_| ());
    assert_eq!(situation(absent), Situation::NotFound);
}

pub(crate) async fn rows_and_sums_equal_plain_blake3(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    for (name, size) in [("0", 0), ("1", 1), ("2", MIB), ("3", MIB + 1), ("4", 20 * MIB + 3)] {
        let content = bytes(7, size);
        let meta = anna.put(name, &content, Target::Absent).await.unwrap().attributes;
        let (root, attributes) = anna.store.sum(anna.id, &path(name)).await.unwrap();
        assert_eq!((root, attributes), (root_of(&content), meta.clone()));
        let blocks = Blocks::of(size as u64).unwrap();
        for fine in [false, true] {
            let row = anna
                .store
                .read_row(anna.id, &path(name), &meta.version, 0, blocks.count(), fine)
                .await;
            let mut row = row.unwrap();
            let (mut hashes, mut next) = (Vec::new(), 0);
            while let Some(part) = row.recv().await {
                let part = part.unwrap();
                assert_eq!(part.first, next);
                let grains = MIB / GRAIN_BYTES;
                let each = if fine { grains } else { 1 };
                assert_eq!(part.blocks, part.hashes.len().div_ceil(each) as u64);
                next += part.blocks;
                hashes.extend(part.hashes.into_iter().map(|hash| hash.0));
            }
            let expected: Vec<[u8; 32]> = if fine {
                let grains = content.chunks(MIB).enumerate().flat_map(|(index, block)| {
                    grains_of_block(blocks, BlockIndex(index as u64), block).unwrap()
                });
                grains.map(|grain| grain.0).collect()
            } else {
                row_of(&content).into_iter().map(|hash| hash.0).collect()
            };
            assert_eq!(hashes, expected, "{name} {fine}");
        }
    }
}

pub(crate) async fn packs_of_files_are_read(fixture: &mut dyn Fixture) {
    let anna = user(fixture).await;
    let mut wanted = Vec::new();
    for number in 0..200_u64 {
        let name = format!("d/{number}");
        let content = bytes(number, (number * 97 % 5000) as usize);
        let outcome = anna.pack(anna.key(), vec![member(&name, &content, Target::Absent)]).await;
        let version = outcome.unwrap().pop().unwrap().unwrap().version;
        wanted.push((path(&name), version));
    }
    let large = anna.put("large", &vec![0; 256 * 1024 + 1], Target::Absent).await.unwrap();
    let version = wanted[0].1.clone();
    wanted.push((path("large"), large.attributes.version));
    wanted.push((path("d/1"), version.clone()));
    wanted.push((path("absent"), version.clone()));
    wanted.push((path("d"), version));
    let mut files = anna.store.read_pack(anna.id, wanted).await.unwrap();
    let mut next = 0;
    let mut refused = Vec::new();
    while let Some(file) = files.recv().await {
        assert_eq!(file.index, next);
        next += 1;
        match file.content {
            Ok((content, root)) => {
                let number = u64::from(file.index);
                assert_eq!(content, bytes(number, (number * 97 % 5000) as usize));
                assert_eq!(root, root_of(&content));
            }
            Err(error) => refused.push(situation::<()>(Err(error))),
        }
    }
    assert_eq!(next, 204);
    assert_eq!(
        refused,
        [
            Situation::TooLargeForPack,
            Situation::VersionChanged,
            Situation::NotFound,
            Situation::IsAFolder
        ]
    );
}
