//! Chance that can be repeated, and trees that are made by it.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, FileTimes};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// Numbers that follow from a seed (SplitMix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 up to `bound`, without it.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub(super) fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[usize::try_from(self.below(all.len() as u64)).unwrap()]
    }

    /// Small ones often, large ones too.
    pub(super) fn up_to(&mut self, most: u64) -> u64 {
        let bits = 64 - most.leading_zeros();
        let reach = 1 << self.below(u64::from(bits) + 1);
        1 + self.below(reach.min(most))
    }

    pub(super) fn bytes(&mut self, length: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(length).unwrap()];
        let mut hasher = blake3::Hasher::new();
        hasher.update(&self.next().to_le_bytes()).finalize_xof().fill(&mut bytes);
        bytes
    }
}

const MIB: u64 = 1 << 20;

/// Parts of names that are harmless on a disk and awkward everywhere else.
const ODD: [&[u8]; 14] = [
    b"plain",
    b"a b",
    b"-rf",
    b"*?[x]",
    b"new\nline",
    b"\x1b[31m",
    b".hidden",
    b"tab\t",
    b"'q\"",
    b"\xff\xfe",
    "\u{fc}\u{2603}".as_bytes(),
    "\u{65e5}\u{672c}".as_bytes(),
    b"~#%20",
    b"a.tar.gz",
];

/// A name that nothing else in its folder has.
fn name(dice: &mut Dice, number: usize) -> OsString {
    let mut bytes = number.to_string().into_bytes();
    bytes.extend_from_slice(dice.one_of::<&[u8]>(&ODD));
    if dice.below(20) == 0 {
        bytes.resize(255, b'x');
    }
    OsStr::from_bytes(&bytes).to_owned()
}

/// What a tree is made of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) small: usize,
    pub(super) big: usize,
}

/// Makes a tree at `at`: small files in folders of some depth, an empty one, and big ones.
pub(super) fn tree(dice: &mut Dice, at: &Path, shape: Shape) {
    fs::create_dir_all(at).unwrap();
    let mut folders = vec![at.to_owned()];
    for number in 0..=dice.below(5) {
        let above = dice.one_of(&folders).clone();
        let folder = above.join(name(dice, usize::try_from(number).unwrap() + 10_000));
        fs::create_dir(&folder).unwrap();
        folders.push(folder);
    }
    fs::create_dir(at.join("empty")).unwrap();
    for number in 0..shape.small {
        let path = dice.one_of(&folders).join(name(dice, number));
        let length = *dice.one_of(&[0, 1, 100, 3000, 20_000]);
        file(dice, &path, length);
    }
    for number in 0..shape.big {
        let path = dice.one_of(&folders).join(name(dice, number + 20_000));
        let odd = dice.below(2 * MIB);
        let length = *dice.one_of(&[MIB, MIB + 1, 2 * MIB, 300_000, MIB + odd, 3 * MIB + odd]);
        file(dice, &path, length);
    }
    // Not the time at which they were made: whether times arrive is to be seen.
    for folder in folders.iter().rev() {
        File::open(folder).unwrap().set_times(past(dice)).unwrap();
    }
}

/// Makes a file, or changes one.
pub(super) fn file(dice: &mut Dice, path: &Path, length: u64) {
    fs::write(path, dice.bytes(length)).unwrap();
    File::options().write(true).open(path).unwrap().set_times(past(dice)).unwrap();
}

fn past(dice: &mut Dice) -> FileTimes {
    let ago = Duration::new(1_000_000 + dice.below(1 << 28), 0);
    let nanos = Duration::from_nanos(dice.below(1_000_000_000));
    FileTimes::new()
        .set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30) + ago + nanos)
}

/// Gives about every third file below `at` other content.
pub(super) fn change_some(dice: &mut Dice, at: &Path) {
    let mut names: Vec<_> = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    for path in names {
        if path.is_dir() {
            change_some(dice, &path);
        } else if dice.below(3) == 0 {
            let length = fs::metadata(&path).unwrap().len() + dice.below(3);
            file(dice, &path, length);
        }
    }
}
