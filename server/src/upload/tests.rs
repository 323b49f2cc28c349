use super::*;

const MIB: u64 = BLOCK_BYTES;

fn state(size: u64) -> UploadState {
    UploadState::new(Blocks::of(size).unwrap(), Epoch(1), BTreeMap::new())
}

/// Writes a piece of zeros.
fn write(
    state: &mut UploadState,
    epoch: u32,
    block: u64,
    offset: u64,
    length: u64,
) -> Result<Option<BlockHash>, Situation> {
    let mut taken = state.begin(Epoch(epoch), block, offset, length)?;
    taken.hasher.update(&vec![0; usize::try_from(length).unwrap()]).unwrap();
    let hash = state.finish(taken)?;
    if let Some(hash) = hash {
        state.stage(block, hash);
    }
    Ok(hash)
}

#[test]
fn stripes_are_powers_of_two_between_1_and_64_mib() {
    let cases = [
        (0, MIB),
        (1, MIB),
        (16 * MIB, MIB),
        (16 * MIB + 16, 2 * MIB),
        (1 << 30, 64 * MIB),
        (1 << 40, 64 * MIB),
        (u64::MAX, 64 * MIB),
    ];
    for (size, expected) in cases {
        assert_eq!(stripe(size), expected, "{size}");
    }
}

#[test]
fn gaps_overlaps_and_bytes_beyond_the_end_are_refused() {
    let mut upload = state(MIB + 10);
    assert_eq!(write(&mut upload, 1, 0, 0, 100), Ok(None));
    for (block, offset, length) in
        [(0, 99, 1), (0, 101, 1), (0, 100, MIB), (1, 0, 11), (1, 1, 1), (2, 0, 1), (0, 100, 0)]
    {
        let refused = write(&mut upload, 1, block, offset, length);
        assert_eq!(refused, Err(Situation::BlockRefused), "{block} {offset} {length}");
    }
    assert_eq!(write(&mut upload, 1, 0, 100, 10), Ok(None), "a refusal changes nothing");
    assert!(write(&mut upload, 1, 0, 110, MIB - 110).unwrap().is_some());
    assert!(write(&mut upload, 1, 1, 0, 10).unwrap().is_some());
    assert_eq!(upload.missing(), 0);
    assert_eq!(upload.staged_bytes(), MIB + 10);
}

#[test]
fn a_block_may_start_again_and_is_absent_meanwhile() {
    let mut upload = state(10);
    write(&mut upload, 1, 0, 0, 10).unwrap();
    assert_eq!(upload.missing(), 0);
    let taken = upload.begin(Epoch(1), 0, 0, 5).unwrap();
    assert!(taken.unstaged);
    assert_eq!(upload.missing(), 1);
    assert!(matches!(upload.begin(Epoch(1), 0, 0, 5), Err(Situation::BlockRefused)));
    upload.give_back(0);
    assert!(upload.is_quiet());
    write(&mut upload, 1, 0, 0, 10).unwrap();
    assert_eq!(upload.missing(), 0);
}

#[test]
fn an_older_epoch_changes_nothing() {
    let mut upload = state(3 * MIB);
    write(&mut upload, 1, 0, 0, 5).unwrap();
    let mut late = upload.begin(Epoch(1), 1, 0, MIB).unwrap();
    late.hasher.update(&vec![7; 1 << 20]).unwrap();
    assert!(!upload.is_quiet());
    upload.take_over(Epoch(2));
    assert_eq!(upload.finish(late), Err(Situation::UploadTaken));
    assert!(upload.is_quiet());
    assert_eq!(write(&mut upload, 1, 0, 5, 5), Err(Situation::UploadTaken));
    assert_eq!(write(&mut upload, 2, 0, 5, 5), Err(Situation::BlockRefused), "half is forgotten");
    assert_eq!(upload.missing(), 3);
}

#[test]
fn no_piece_is_taken_while_committing_or_gone() {
    let mut upload = state(10);
    upload.set_phase(Phase::Committing);
    assert_eq!(write(&mut upload, 1, 0, 0, 10), Err(Situation::BlockRefused));
    upload.set_phase(Phase::Gone);
    assert_eq!(write(&mut upload, 1, 0, 0, 10), Err(Situation::UploadNotFound));
}

#[test]
fn half_written_blocks_are_bounded() {
    let mut upload = state(2 * MAX_OPEN_BLOCKS as u64 * MIB);
    for block in 0..MAX_OPEN_BLOCKS as u64 {
        write(&mut upload, 1, block, 0, 1).unwrap();
    }
    let refused = write(&mut upload, 1, MAX_OPEN_BLOCKS as u64, 0, 1);
    assert!(matches!(refused, Err(Situation::LimitExceeded { .. })));
}

#[test]
fn a_commit_that_came_to_nothing_reopens_only_its_own_upload() {
    let mut state = state(1);
    state.set_phase(Phase::Committing);
    state.reopen();
    assert_eq!(state.phase(), Phase::Open);
    state.set_phase(Phase::Gone);
    state.reopen();
    assert_eq!(write(&mut state, 1, 0, 0, 1), Err(Situation::UploadNotFound));
}
