//! `sampan demo`: a private server, an account, sample files on both sides, and the screen on them.
//!
//! ```text
//! FOLDER/files    the left pane
//! FOLDER/client   the program's settings: SAMPAN_HOME
//! FOLDER/server   the server's DATA
//! ```
//!
//! The server listens on the loopback interface only. Its account has a password that nobody knows
//! and a key that lies in `client`, so that no question stands before the first look.
//!
//! Invariant: without `--keep` the folder is gone when the program is, however it ends but by
//! SIGKILL.

mod folder;
mod sample;

use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use rand::RngExt;
use sampan_protocol::login_key::LoginKey;
use sampan_protocol::transport::Trust;
use sampan_protocol::{RemotePath, Timestamp};
use sampan_server::config::{Bounds, Settings};
use sampan_server::store::{EnrolledKey, NewAccount, QuotaLimits};
use sampan_server::{OpenData, RunningServer, verifier_of};
use tokio::net::TcpListener;
use zeroize::Zeroizing;

use self::folder::DemoFolder;
use super::args::Demo;
use super::exit::Code;
use super::leftovers::Leftovers;
use super::report::tell;
use super::{Stop, screen};
use crate::address::{Account, Server};
use crate::catalogue::cli as text;
use crate::failure::{Failure, Situation};
use crate::place::shown;
use crate::remote::{Endpoint, FIRST_CONTACT, Patience, Remote, RetryFor, Secret};
use crate::runtime::{Right, Start};
use crate::state::State;

const USER: &str = "ada";

/// Takes the sample cargo, and shows what a full home is if it is carried twice.
const QUOTA_BYTES: u64 = 400_000_000;
const QUOTA_ENTRIES: u64 = 2000;

/// What running requests get when the demo ends.
const GRACE: Duration = Duration::from_secs(1);

/// Sets everything up, opens the screen, takes everything down.
pub(super) async fn run(demo: Demo, leftovers: &Leftovers) -> Result<Code, Stop> {
    let folder = DemoFolder::new(demo.keep.as_deref(), leftovers)?;
    tell(&text::demo_begins(&shown(folder.path())));
    let (files, home) = (folder.files(), folder.server().join("homes").join(USER));
    let filled = tokio::task::spawn_blocking(move || {
        sample::fill_files(&files)?;
        sample::fill_home(&home)
    });
    filled
        .await
        .map_err(io::Error::other)
        .and_then(|filled| filled)
        .map_err(|error| crate::local::failed(folder.path(), error))?;

    let seed = Zeroizing::new(rand::rng().random::<[u8; 32]>());
    let (server, data) = serve(&folder.server(), &seed).await?;
    let ended = show(&folder, &server, &seed).await;
    server.stop().await;
    drop(data);
    if let (Ok(_), Some(kept)) = (&ended, &demo.keep) {
        tell(&text::demo_kept(&shown(kept)));
    }
    ended
}

async fn show(
    folder: &DemoFolder,
    server: &RunningServer,
    seed: &Zeroizing<[u8; 32]>,
) -> Result<Code, Stop> {
    let address = server.addresses().first().ok_or_else(|| failed("it has no address"))?;
    let server_name = Server { host: address.ip().to_string(), port: address.port() };
    let account = Account { user: USER.to_owned(), server: server_name };
    let state = State::under(&folder.client());
    state.known_servers().set(&account.server, &server.fingerprint().to_string())?;
    state.store_login_key(&account, seed)?;
    let endpoint = Endpoint {
        account,
        trust: Trust::Key(server.fingerprint()),
        stored: shown(state.known_servers().path()).to_string(),
        timeout: FIRST_CONTACT,
        retry_for: RetryFor::Forever,
        patience: Patience::default(),
    };
    let remote = Remote::connect(endpoint, Secret::Key(seed.clone())).await?;
    let right = Right::Connected(remote, RemotePath::home());
    screen::open(Start { state, left: folder.files(), right }).await
}

async fn serve(data: &Path, seed: &Zeroizing<[u8; 32]>) -> Result<(RunningServer, OpenData), Stop> {
    let settings = Settings { disk_floor: 0, ..Settings::default() };
    let open = sampan_server::open(data, &settings).await.map_err(failed)?;
    let password: [u64; 4] = rand::rng().random();
    let salt = rand::rng().random();
    let verifier = tokio::task::spawn_blocking(move || {
        let password = password.map(|number| number.to_string()).join("");
        verifier_of(&password, salt)
    });
    let verifier = verifier.await.map_err(failed)?.map_err(failed)?;
    let limits = QuotaLimits { bytes: Some(QUOTA_BYTES), entries: Some(QUOTA_ENTRIES) };
    let account = NewAccount { name: USER.to_owned(), verifier, limits, take_home: true };
    let (account, ..) = open.accounts.add(account).await.map_err(failed)?;
    let key = EnrolledKey {
        public_key: LoginKey::from_seed(seed).public().0,
        label: "demo".to_owned(),
        enrolled: Timestamp::from(std::time::SystemTime::now()),
        used: None,
    };
    open.accounts.enrol_key(account.id, key).await.map_err(failed)?;
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed)?;
    let bounds = Bounds { grace: GRACE, ..settings.bounds };
    let identity = open.identity().map_err(failed)?;
    let (store, accounts) = (open.store.clone(), open.accounts.clone());
    let server = sampan_server::start(bounds, store, accounts, &identity, vec![socket]);
    Ok((server.await.map_err(failed)?, open))
}

fn failed(error: impl std::fmt::Display) -> Stop {
    Failure::new(Situation::Unexpected(error.to_string()), text::the_demo_server()).into()
}
