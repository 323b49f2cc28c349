//! The sample files of the demo: a small tree that was written by hand, and cargo that is made here.
//!
//! Invariant: everything is written below the two folders that the caller made, and the same on
//! every run, but for times.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// A sample file: its path below its side's folder, and its bytes.
type Sample = (&'static str, &'static [u8]);

macro_rules! samples {
    ($side:literal: $($path:literal,)*) => {
        &[$((
            $path,
            include_bytes!(concat!(
                env!("CARGO_MANIFEST_DIR"), "/../assets/demo/", $side, "/", $path
            )),
        ),)*]
    };
}

/// What lies on this machine.
const FILES: &[Sample] = samples!("files":
    "Start here.txt",
    "Harbour log/1 Casting off.md",
    "Harbour log/2 Fog.md",
    "Harbour log/3 Counting crates.md",
    "Harbour log/航海日志.md",
    "Names/.hidden.txt",
    "Names/Übergrößenträger.txt",
    "Names/日本語の名前.txt",
    "Names/🚤 small boat.txt",
    "Recipes/Congee.md",
    "Recipes/Pão de queijo.md",
    "Source/hello.rs",
    "Source/tide.py",
);

/// What lies in the home on the server.
const HOME: &[Sample] = samples!("home":
    "Welcome.txt",
    "archive/ledger 2025.csv",
    "inbox/From the harbour master.txt",
);

/// Large enough that gauges are seen on a fast disk, small enough for a laptop's `/tmp`.
const BIG_CARGO: [(&str, u64); 3] =
    [("disk image.img", 64 << 20), ("film.mov", 160 << 20), ("music.flac", 24 << 20)];

/// What fills a part of the quota from the start.
const PHOTOGRAPHS: (&str, u64) = ("archive/photographs.tar", 32 << 20);

/// So many small files: they travel in packs.
const CRATES: u64 = 400;
/// Sizes go up to this.
const CRATE_BYTES: u64 = 8 << 10;

/// Bytes that the generator makes at once.
const CHUNK_BYTES: usize = 1 << 20;

/// Fills the folder of this machine's side.
pub(super) fn fill_files(folder: &Path) -> io::Result<()> {
    write_all(folder, FILES)?;
    // A name that would drive a terminal: panes, listings and messages show it escaped.
    write(&folder.join("Names/rings \u{7}the bell.txt"), b"It does not.\n")?;
    for (name, bytes) in BIG_CARGO {
        generate(&folder.join("Big cargo").join(name), bytes)?;
    }
    for number in 1..=CRATES {
        let name = format!("Crates/{:02}/crate {number:03}.bin", number % 20);
        generate(&folder.join(name), number * 7919 % CRATE_BYTES)?;
    }
    Ok(())
}

/// Fills the home on the server.
pub(super) fn fill_home(home: &Path) -> io::Result<()> {
    write_all(home, HOME)?;
    let (name, bytes) = PHOTOGRAPHS;
    generate(&home.join(name), bytes)
}

fn write_all(folder: &Path, samples: &[Sample]) -> io::Result<()> {
    samples.iter().try_for_each(|(path, content)| write(&folder.join(path), content))
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    create(path)?.write_all(content)
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create_new(path)
}

/// A file of bytes that no compression shrinks, so that it looks like the cargo it stands for.
fn generate(path: &Path, bytes: u64) -> io::Result<()> {
    let mut file = create(path)?;
    let seed = path.file_name().unwrap_or_default().as_encoded_bytes();
    let mut stream = blake3::Hasher::new().update(seed).finalize_xof();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut left = bytes;
    while left > 0 {
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        stream.fill(&mut chunk[..length]);
        file.write_all(&chunk[..length])?;
        left -= length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every file below `folder`, relative to it.
    fn below(folder: &Path) -> Vec<String> {
        let mut open = vec![folder.to_owned()];
        let mut files = Vec::new();
        while let Some(next) = open.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else {
                    files.push(path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }

    #[test]
    fn every_sample_of_the_repository_is_in_the_program() {
        let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("../assets/demo");
        for (side, samples) in [("files", FILES), ("home", HOME)] {
            let mut embedded: Vec<_> = samples.iter().map(|(path, _)| (*path).to_owned()).collect();
            embedded.sort();
            assert_eq!(embedded, below(&assets.join(side)));
        }
    }

    #[test]
    fn cargo_is_the_same_on_every_run_and_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (folder.path().join("a/x"), folder.path().join("b/x"));
        let bytes = CHUNK_BYTES as u64 + 1;
        generate(&first, bytes).unwrap();
        generate(&second, bytes).unwrap();
        let content = fs::read(&first).unwrap();
        assert_eq!(content.len() as u64, bytes);
        assert_eq!(content, fs::read(&second).unwrap());
        assert_eq!(generate(&first, 1).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }
}
