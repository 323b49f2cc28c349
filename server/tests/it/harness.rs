//! A server for one test. [`TestServer::finish`] asserts that nothing is left of what it did: no
//! orphan in staging, no live reservation; every test ends with it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sampan_protocol::Timestamp;
use sampan_protocol::login_key::LoginKey;
use sampan_protocol::scram::{Challenge, Verifier};
use sampan_protocol::transport::Fingerprint;
use sampan_server::config::{Bounds, Listen, Settings};
use sampan_server::control::Administration;
use sampan_server::store::{AccountId, EnrolledKey, NewAccount, QuotaLimits};
use sampan_server::{OpenData, RunningServer, bind, open, start};
use tempfile::TempDir;

use crate::peer::Peer;

/// Longer than any step takes; a test that waits so long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// What [`TestServer::add`] gives every account. Not what `sampand` would store: few rounds, so
/// that tests are quick.
pub(crate) const PASSWORD: &str = "correct horse";

/// A server, its data, and who lives there.
pub(crate) struct TestServer {
    settings: Settings,
    folder: TempDir,
    data: Option<OpenData>,
    server: Option<RunningServer>,
    is_finished: bool,
}

impl TestServer {
    /// With the shipped bounds.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// With other bounds.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Bounds)) -> Self {
        Self::start_set(|settings| change(&mut settings.bounds)).await
    }

    /// With other settings.
    pub(crate) async fn start_set(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings { disk_floor: 0, ..Settings::default() };
        settings.data = folder.path().join("data");
        settings.listen = Listen::At(vec!["127.0.0.1:0".parse().unwrap()]);
        change(&mut settings);
        let mut server = Self { settings, folder, data: None, server: None, is_finished: false };
        server.begin().await;
        server
    }

    async fn begin(&mut self) {
        let data = open(&self.settings.data, &self.settings).await.unwrap();
        let sockets = bind(&self.settings.listen).unwrap();
        let identity = data.identity().unwrap();
        let (store, accounts) = (data.store.clone(), data.accounts.clone());
        let server = start(self.settings.bounds, store, accounts, &identity, sockets).await;
        self.server = Some(server.unwrap());
        self.data = Some(data);
    }

    /// Stops it in order and starts it again on the same data.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.begin().await;
    }

    /// Stops it in order.
    pub(crate) async fn stop(&mut self) {
        let stopping = self.server.take().unwrap().stop();
        tokio::time::timeout(PATIENCE, stopping).await.expect("the server stops");
        self.data = None;
    }

    pub(crate) fn running(&self) -> &RunningServer {
        self.server.as_ref().unwrap()
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.running().addresses()[0]
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.running().fingerprint()
    }

    pub(crate) fn administration(&self) -> Administration {
        self.running().administration()
    }

    pub(crate) fn data(&self) -> &OpenData {
        self.data.as_ref().unwrap()
    }

    pub(crate) fn data_path(&self) -> &Path {
        &self.settings.data
    }

    /// A folder for the test's own use, beside the data.
    pub(crate) fn scratch(&self) -> &Path {
        self.folder.path()
    }

    /// Where an account's files lie.
    pub(crate) fn home(&self, name: &str) -> PathBuf {
        self.settings.data.join("homes").join(name)
    }

    /// Makes an account with [`PASSWORD`] and without limits.
    pub(crate) async fn add(&self, name: &str) -> AccountId {
        self.add_limited(name, QuotaLimits::default()).await
    }

    /// Makes an account with [`PASSWORD`].
    pub(crate) async fn add_limited(&self, name: &str, limits: QuotaLimits) -> AccountId {
        let verifier = verifier(PASSWORD);
        let account = NewAccount { name: name.to_owned(), verifier, limits, take_home: false };
        self.data().accounts.add(account).await.unwrap().0.id
    }

    /// Makes an account and logs in by a key.
    pub(crate) async fn peer(&self, name: &str) -> Peer {
        let account = self.add(name).await;
        self.enrol(account, &key(7)).await;
        self.peer_again(name).await
    }

    /// Logs in as an account that [`Self::peer`] made.
    pub(crate) async fn peer_again(&self, name: &str) -> Peer {
        let mut peer = Peer::connect(self).await;
        peer.log_in_by_key(name, &key(7)).await.unwrap();
        peer
    }

    /// Lets a key in.
    pub(crate) async fn enrol(&self, account: AccountId, key: &LoginKey) {
        let (public_key, enrolled) = (key.public().0, Timestamp::default());
        let key = EnrolledKey { public_key, label: "test".to_owned(), enrolled, used: None };
        self.data().accounts.enrol_key(account, key).await.unwrap();
    }

    /// Stops the server after asserting that nothing is left over of what it did.
    pub(crate) async fn finish(mut self) {
        self.is_finished = true;
        if self.server.is_none() {
            return;
        }
        let data = self.data.as_ref().unwrap();
        for account in data.accounts.all().await.unwrap() {
            let unfinished = data.store.uploads(account.id).await.unwrap();
            assert!(unfinished.is_empty(), "unfinished uploads are left: {unfinished:?}");
            let usage = data.store.usage(account.id).await.unwrap();
            let reserved = (usage.reserved, usage.reserved_entries);
            assert_eq!(reserved, (0, 0), "live reservations are left");
        }
        self.stop().await;
        let left: Vec<_> = std::fs::read_dir(self.settings.data.join("staging"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert!(left.is_empty(), "orphans are left in staging: {left:?}");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        assert!(self.is_finished || std::thread::panicking(), "a test ends with `finish`");
    }
}

/// A key that is the same each time.
pub(crate) fn key(number: u8) -> LoginKey {
    LoginKey::from_seed(&[number; 32])
}

/// What is stored of a password, with few rounds.
pub(crate) fn verifier(password: &str) -> Verifier {
    let challenge = Challenge { salt: [9; 16], iterations: 1000 };
    Verifier::derive(password, &challenge).unwrap()
}

/// Waits until something holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let holding = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    let held = tokio::time::timeout(PATIENCE, holding).await;
    held.unwrap_or_else(|_| panic!("it never held: {what}"));
}
