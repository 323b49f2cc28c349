//! One large transfer over links that are cut again and again (HARDENING 2.11).
//!
//! Each connection for bulk is cut after some bytes, drawn by the seed: so many that a block passes.
//! At worst all that a cut connection carried is sent again:
//!
//! ```text
//! on the wire ≤ content + 1/32 for frames and TLS + 64 KiB for each connection
//!               + what the cut connections carried
//!               + once, for each lane, what may be unanswered there
//! ```

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use sampan_client::transfer::Options;

use super::{KIB, LANES, MIB, UNANSWERED, carry, seed, tell};
use crate::engine::rig::{Rig, down, up};
use crate::proxy::Proxy;
use crate::proxy::plan::{Fault, Plan, Way, drawn};

/// In the default run.
const CUTS: u64 = 40;
/// In the long one, unless `SAMPAN_CUTS` says otherwise.
const MANY_CUTS: u64 = 1000;

/// Connections beyond these that are cut, for on some nothing goes that far.
const SPARE: u64 = 8;

/// After so many bytes a connection is cut. Up, one block goes after the other; down, two requests
/// are answered at the same time, so that one whole block needs two.
fn distance(way: Way, seed: u64, number: u64) -> u64 {
    let range = match way {
        Way::Up => 1100 * KIB..2000 * KIB,
        Way::Down => 2150 * KIB..3000 * KIB,
    };
    drawn(seed, number, range)
}

fn write_noise(path: &Path, bytes: u64) {
    let mut reader = blake3::Hasher::new().update(b"cuts").finalize_xof();
    let mut file = BufWriter::new(File::create(path).unwrap());
    std::io::copy(&mut reader.by_ref().take(bytes), &mut file).unwrap();
    file.flush().unwrap();
}

fn root_of(path: &Path) -> blake3::Hash {
    blake3::Hasher::new().update_reader(File::open(path).unwrap()).unwrap().finalize()
}

async fn crosses(way: Way, cuts: u64) {
    let seed = seed();
    // So much crosses before the last cut that there is something left for all of them.
    let blocks_for_a_cut = match way {
        Way::Up => 1,
        Way::Down => 2,
    };
    let planned = cuts + SPARE;
    let content = (planned * blocks_for_a_cut + 8) * MIB;
    let rig = Rig::start().await;
    let here = rig.local("here").join("file");
    write_noise(&here, content);
    if way == Way::Down {
        rig.carry(up(&here, false, "", true), Options::default()).await.expect_done();
    }
    // The first connection carries no bulk.
    let plan = move |number| {
        if (1..=planned).contains(&number) {
            Plan::one(way, distance(way, seed, number), Fault::Cut)
        } else {
            Plan::default()
        }
    };
    let proxy = Proxy::planned(rig.port, plan).await;
    let remote = rig.remote_at(proxy.port).await;
    let again = rig.local("again");
    let route = match way {
        Way::Up => up(&here, false, "", true),
        Way::Down => down("file", false, &again, true),
    };
    carry(&rig, &remote, "cuts", route).await;
    remote.close().await;

    let root = root_of(&here);
    assert_eq!(root_of(&rig.home().join("file")), root);
    if way == Way::Down {
        assert_eq!(root_of(&again.join("file")), root);
        assert_eq!(std::fs::read_dir(&again).unwrap().count(), 1, "nothing staged is left");
    }
    assert!(proxy.faults() >= cuts, "{} cuts, and the file was across", proxy.faults());
    rig.expect_exact_quota().await;
    rig.until_no_session_is_left().await;

    let cuts = proxy.faults();
    let carried: u64 = (1..=planned).map(|number| distance(way, seed, number)).sum();
    let wire = match way {
        Way::Up => proxy.sent(),
        Way::Down => proxy.received(),
    };
    tell(&format!(
        "{way:?}: {cuts} cuts of {content} bytes: {wire} on the wire, {} sent again for each cut; \
         the cut connections carried {} each",
        wire.saturating_sub(content) / cuts,
        carried / planned,
    ));
    let connections = 64 * KIB * proxy.connections();
    let most = content + content / 32 + connections + carried + LANES * UNANSWERED;
    assert!(wire <= most, "{wire} bytes on the wire, at most {most}");
}

fn many() -> u64 {
    let given = std::env::var("SAMPAN_CUTS").ok();
    given.map_or(MANY_CUTS, |cuts| cuts.parse().expect("a number of cuts"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_goes_up_over_a_link_that_is_cut_again_and_again() {
    crosses(Way::Up, CUTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_comes_down_over_a_link_that_is_cut_again_and_again() {
    crosses(Way::Down, CUTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and some gigabytes: cargo test -p sampan --test it -- --ignored cuts_by_the_thousand"]
async fn cuts_by_the_thousand_in_one_upload() {
    crosses(Way::Up, many()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes and some gigabytes: cargo test -p sampan --test it -- --ignored cuts_by_the_thousand"]
async fn cuts_by_the_thousand_in_one_download() {
    crosses(Way::Down, many()).await;
}
