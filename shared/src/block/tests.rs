use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::wire::{decode_args, encode_args};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The input of the reference vectors: byte `i` of the file is `i mod 251`, as in BLAKE3's own.
fn pattern(length: usize) -> Vec<u8> {
    (0..=250_u8).cycle().take(length).collect()
}

fn row_of(bytes: &[u8]) -> (Vec<BlockHash>, Root) {
    let mut hasher = RowHasher::new(Blocks::of(bytes.len() as u64).unwrap());
    hasher.update(bytes).unwrap();
    hasher.finish().unwrap()
}

#[test]
fn a_root_is_the_plain_blake3() {
    let sizes = [
        0,
        1,
        64 * KIB - 1,
        64 * KIB,
        64 * KIB + 1,
        MIB - 1,
        MIB,
        MIB + 1,
        2 * MIB,
        3 * MIB + 1,
        5 * MIB,
    ];
    for size in sizes {
        let bytes = pattern(size);
        let (row, root) = row_of(&bytes);
        assert_eq!(root.0, *blake3::hash(&bytes).as_bytes(), "{size} bytes");
        assert_eq!(row.len(), size.div_ceil(MIB), "{size} bytes");
        if (1..=MIB).contains(&size) {
            assert_eq!(row[0].0, root.0, "a single block has only the root");
        }
    }
}

/// The vectors that PROTOCOL.md repeats. Input: byte `i` is `i mod 251`.
#[test]
fn reference_vectors() {
    let vectors: [(usize, &str, &[&str]); 6] = [
        (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262", &[]),
        (
            1,
            "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
            &["2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"],
        ),
        (
            MIB,
            "74cb441fd087764ca9c3694da742ebe30cbeb3060a17009ca81825c7a8d10343",
            &["74cb441fd087764ca9c3694da742ebe30cbeb3060a17009ca81825c7a8d10343"],
        ),
        (
            MIB + 1,
            "2f053cd7472cf0cd2f9adaf45c1180255b91b9a865404a63671a0ee5f792ed33",
            &[
                "8a576541118ebf5fad8d683c09b63402288a71616ecc72514abf780822136023",
                "c9c46c08771af7fa62d0dd0771306ffa15e31193e59c318d4b348f81f32b8b4b",
            ],
        ),
        (
            2 * MIB,
            "96fbba37478c16b7614c890b26832f67b541cf14e69ab8ebf0c739818588c9f1",
            &[
                "8a576541118ebf5fad8d683c09b63402288a71616ecc72514abf780822136023",
                "e01e387e729abf35ba39644daebfa3a124ab9fee5a6445295e0309cc4fda53a7",
            ],
        ),
        (
            3 * MIB + 1,
            "fd984eaa20053d346cc7c79a175338f91556e68b871d877b23568a4587d9875b",
            &[
                "8a576541118ebf5fad8d683c09b63402288a71616ecc72514abf780822136023",
                "e01e387e729abf35ba39644daebfa3a124ab9fee5a6445295e0309cc4fda53a7",
                "bdcf82608b11c686cb5a2618dc95a16978b73622e9a943dd26af5bdbf7f4b41b",
                "9e8dc00f4f13d64d38c3d0f9df6834af7f016831f7a3c8ccdb6922e27c4f8543",
            ],
        ),
    ];
    for (size, expected_root, expected_row) in vectors {
        let (row, root) = row_of(&pattern(size));
        let row: Vec<_> = row.iter().map(BlockHash::to_string).collect();
        assert_eq!(root.to_string(), expected_root, "{size} bytes");
        assert_eq!(row, expected_row, "{size} bytes");
    }
}

#[test]
fn blocks_in_any_order_and_any_pieces() {
    let bytes = pattern(3 * MIB + 1);
    let blocks = Blocks::of(bytes.len() as u64).unwrap();
    let (row, _) = row_of(&bytes);
    for index in [3, 0, 2, 1_usize] {
        let mut hasher = BlockHasher::new(blocks, BlockIndex(index as u64)).unwrap();
        let block = &bytes[index * MIB..bytes.len().min((index + 1) * MIB)];
        for piece in block.chunks(100_000) {
            hasher.update(piece).unwrap();
        }
        assert_eq!(hasher.finish().unwrap(), row[index]);
    }
}

#[test]
fn a_hash_comes_only_of_exactly_the_bytes_announced() {
    let blocks = Blocks::of(MIB as u64 + 3).unwrap();
    let no_block = BlockHasher::new(blocks, BlockIndex(2)).map(|_| ());
    assert_eq!(no_block, Err(HashError::NoSuchBlock { index: BlockIndex(2), count: 2 }));
    assert!(BlockHasher::new(Blocks::of(0).unwrap(), BlockIndex(0)).is_err());

    let mut short = BlockHasher::new(blocks, BlockIndex(1)).unwrap();
    short.update(b"ab").unwrap();
    assert_eq!((short.seen(), short.missing()), (2, 1));
    assert_eq!(short.update(b"cd"), Err(HashError::TooMany { expected: 3 }));
    assert_eq!(short.finish(), Err(HashError::TooFew { seen: 2, expected: 3 }));

    let mut row = RowHasher::new(Blocks::of(4).unwrap());
    assert_eq!(row.clone().finish(), Err(HashError::TooFew { seen: 0, expected: 4 }));
    row.update(b"abcd").unwrap();
    assert_eq!(row.update(b"e"), Err(HashError::TooMany { expected: 4 }));
}

#[test]
fn a_row_of_another_length_has_no_root() {
    let blocks = Blocks::of(3 * MIB as u64).unwrap();
    let error = root_of_row(&[BlockHash([0; 32])], blocks);
    assert_eq!(error, Err(RowLengthError { expected: 3, given: 1 }));
}

#[test]
fn lengths_and_offsets() {
    let blocks = Blocks::of(2 * BLOCK_BYTES + 5).unwrap();
    assert_eq!(blocks.count(), 3);
    let lengths: Vec<_> = (0..4).map(|index| blocks.length_of(BlockIndex(index))).collect();
    assert_eq!(lengths, [Some(BLOCK_BYTES), Some(BLOCK_BYTES), Some(5), None]);
    assert_eq!(blocks.offset_of(BlockIndex(2)), Some(2 * BLOCK_BYTES));
    assert_eq!(blocks.offset_of(BlockIndex(3)), None);
    assert_eq!(blocks.holding(2 * BLOCK_BYTES), Some(BlockIndex(2)));
    assert_eq!(blocks.holding(2 * BLOCK_BYTES + 5), None);
    assert_eq!(blocks.length_of_run(BlockIndex(1), 2), Some(BLOCK_BYTES + 5));
    assert_eq!(blocks.length_of_run(BlockIndex(3), 0), Some(0));
    assert_eq!(blocks.length_of_run(BlockIndex(1), 3), None);
    assert_eq!(blocks.length_of_run(BlockIndex(1), u64::MAX), None);

    assert_eq!(Blocks::of(0).unwrap().count(), 0);
    let largest = Blocks::of(MAX_FILE_BYTES).unwrap();
    assert_eq!(largest.length_of(BlockIndex(largest.count() - 1)), Some(BLOCK_BYTES - 1));
    assert_eq!(Blocks::of(MAX_FILE_BYTES + 1), Err(FileTooLarge { bytes: 1 << 63 }));
}

#[test]
fn grains_merge_to_their_block() {
    for size in [1, 64 * KIB, 64 * KIB + 1, MIB - 1, MIB, MIB + 1, 2 * MIB + 100_000] {
        let bytes = pattern(size);
        let blocks = Blocks::of(size as u64).unwrap();
        let (row, _) = row_of(&bytes);
        for (number, block) in bytes.chunks(MIB).enumerate() {
            let index = BlockIndex(number as u64);
            let grains = grains_of_block(blocks, index, block).unwrap();
            assert_eq!(grains.len(), block.len().div_ceil(GRAIN_BYTES));
            assert_eq!(merge_grains(&grains, blocks, index), Ok(row[number]), "{size}, {number}");
            assert!(merge_grains(&grains[1..], blocks, index).is_err());
            assert!(grains_of_block(blocks, index, &block[1..]).is_err());
        }
        let outside = BlockIndex(blocks.count());
        assert!(merge_grains(&[], blocks, outside).is_err());
    }
}

#[test]
fn rows_differ_where_bytes_do() {
    let old = pattern(4 * MIB);
    let mut new = old.clone();
    new[MIB + 17] ^= 1;
    new.extend_from_slice(b"longer");
    let differing = differing_blocks(&row_of(&old).0, &row_of(&new).0);
    assert_eq!(differing.iter().collect::<Vec<_>>(), [BlockIndex(1), BlockIndex(4)]);
    // Shorter than a block against longer: roots and chaining values are never equal.
    let differing = differing_blocks(&row_of(&old[..MIB]).0, &row_of(&old).0);
    assert_eq!(differing.len(), 4);
}

#[test]
fn hashes_as_text() {
    let root = row_of(b"").1;
    let text = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    assert_eq!(root.to_string(), text);
    assert_eq!(text.to_uppercase().parse(), Ok(root));
    assert!(text[1..].parse::<Root>().is_err());
    assert!(text.replace('a', "g").parse::<Root>().is_err());
    assert_eq!(encode_args(&root)[..2], [0xc4, 32]);
}

#[test]
fn a_set_travels_as_runs() {
    let set: BlockSet = [5, 0, 1, 2, 9].map(BlockIndex).into_iter().collect();
    let bytes = encode_args(&set);
    assert_eq!(bytes, b"\x93\x92\x00\x03\x92\x05\x01\x92\x09\x01");
    assert_eq!(decode_args::<BlockSet>(&bytes).unwrap(), set);
    assert_eq!(set.check(Blocks::of(10 * BLOCK_BYTES).unwrap()), Ok(()));
    assert_eq!(
        set.check(Blocks::of(9 * BLOCK_BYTES).unwrap()),
        Err(NotInFile { last: BlockIndex(9), count: 9 })
    );
    // Touching runs become one.
    let touching = decode_args::<BlockSet>(b"\x92\x92\x00\x03\x92\x03\x01").unwrap();
    assert!(touching.runs().eq(std::iter::once(0..4)));
}

#[test]
fn a_set_that_is_no_set_is_refused() {
    let refused: [&[u8]; 5] = [
        b"\x91\x92\x00\x00",
        b"\x92\x92\x05\x01\x92\x00\x01",
        b"\x92\x92\x00\x05\x92\x04\x01",
        b"\x91\x92\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x01",
        b"\x91\x93\x00\x01\x02",
    ];
    for bytes in refused {
        assert!(decode_args::<BlockSet>(bytes).is_err(), "{bytes:02x?}");
    }
    let many: Vec<(u64, u64)> = (0..=MAX_RUNS as u64).map(|run| (2 * run, 1)).collect();
    assert!(decode_args::<BlockSet>(&encode_args(&many)).is_err());
    decode_args::<BlockSet>(&encode_args(&many[1..])).unwrap();
}

#[test]
fn the_longest_set_fits_a_header() {
    let far = 1 << 42;
    let set: BlockSet = (0..=MAX_RUNS as u64).map(|run| BlockIndex(far + 2 * run)).collect();
    let bytes = encode_args(&set);
    assert!(bytes.len() < crate::limits::MAX_FRAME_BYTES * 3 / 4);
    assert_eq!(decode_args::<BlockSet>(&bytes).unwrap().len(), MAX_RUNS as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_size_in_any_pieces(size in 0..3 * MIB + 2, cuts in proptest::collection::vec(1..700_000_usize, 1..20)) {
        let bytes = pattern(size);
        let mut hasher = RowHasher::new(Blocks::of(size as u64).unwrap());
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, later) = rest.split_at(rest.len().min(*cut));
            hasher.update(piece).unwrap();
            rest = later;
            prop_assert_eq!(hasher.seen(), (size - rest.len()) as u64);
        }
        let (_, root) = hasher.finish().unwrap();
        prop_assert_eq!(root.0, *blake3::hash(&bytes).as_bytes());
    }
}

proptest! {
    /// A set does what a tree of numbers does.
    #[test]
    fn a_set_behaves_like_a_set(steps in proptest::collection::vec((any::<bool>(), 0_u64..40, 0_u64..8), 0..40), other in proptest::collection::btree_set(0_u64..50, 0..20)) {
        let mut set = BlockSet::new();
        let mut model = BTreeSet::new();
        for (insert, start, length) in steps {
            let range = start..start + length;
            if insert {
                model.extend(range.clone());
                set.insert_range(range);
            } else {
                model.retain(|index| !range.contains(index));
                set.remove_range(range);
            }
            prop_assert_eq!(set.iter().map(|block| block.0).collect::<Vec<_>>(), model.iter().copied().collect::<Vec<_>>());
            prop_assert_eq!(set.len(), model.len() as u64);
            let runs: Vec<_> = set.runs().collect();
            prop_assert!(runs.iter().all(|run| run.start < run.end));
            prop_assert!(runs.windows(2).all(|pair| pair[0].end < pair[1].start));
        }
        let missing: Vec<_> = set.missing_in(3..45).map(|block| block.0).collect();
        prop_assert_eq!(missing, (3..45).filter(|index| !model.contains(index)).collect::<Vec<_>>());
        let others: BlockSet = other.iter().copied().map(BlockIndex).collect();
        let difference: Vec<_> = set.difference(&others).iter().map(|block| block.0).collect();
        prop_assert_eq!(difference, model.difference(&other).copied().collect::<Vec<_>>());
        prop_assert_eq!(decode_args::<BlockSet>(&encode_args(&set)).unwrap(), set);
    }
}
