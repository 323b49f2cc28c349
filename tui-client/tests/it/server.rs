//! A real server in this process, and programs that are at home on it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use sampan_client::address::{Account, Place};
use sampan_client::state::State;
use sampan_protocol::Timestamp;
use sampan_protocol::login_key::LoginKey;
use sampan_server::config::Settings;
use sampan_server::store::{AccountId, Accounts, EnrolledKey, NewAccount, QuotaLimits};
use sampan_server::{OpenData, RunningServer, verifier_of};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::program::Program;

/// The password of every account.
pub(crate) const PASSWORD: &str = "correct horse";

/// A server with a data folder of its own. Stops in order when dropped.
pub(crate) struct TestServer {
    running: Option<RunningServer>,
    open: Option<OpenData>,
    address: IpAddr,
    pub(crate) port: u16,
    runtime: Runtime,
    data: TempDir,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::start_in(TempDir::new().unwrap(), &Settings { disk_floor: 0, ..Settings::default() })
    }

    /// On IPv6; `None` on a machine that has none.
    pub(crate) fn start_on_ipv6() -> Option<Self> {
        std::net::TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).ok()?;
        let settings = Settings { disk_floor: 0, ..Settings::default() };
        Some(Self::start_at(Ipv6Addr::LOCALHOST.into(), TempDir::new().unwrap(), &settings))
    }

    /// With its data in `data`.
    pub(crate) fn start_in(data: TempDir, settings: &Settings) -> Self {
        Self::start_at(Ipv4Addr::LOCALHOST.into(), data, settings)
    }

    fn start_at(address: IpAddr, data: TempDir, settings: &Settings) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        let runtime = runtime.unwrap();
        let path = data.path().join("data");
        let (open, running) = runtime.block_on(async {
            let open = sampan_server::open(&path, settings).await.unwrap();
            let identity = open.identity().unwrap();
            let socket = TcpListener::bind((address, 0)).await.unwrap();
            let (store, accounts) = (Arc::clone(&open.store), Arc::clone(&open.accounts));
            let running =
                sampan_server::start(settings.bounds, store, accounts, &identity, vec![socket]);
            let running = running.await.unwrap();
            (open, running)
        });
        let port = running.addresses()[0].port();
        Self { running: Some(running), open: Some(open), address, port, runtime, data }
    }

    /// Makes an account, and a program that has met the server and holds a key of the account.
    pub(crate) fn user(&self, name: &str) -> User<'_> {
        self.limited_user(name, QuotaLimits::default())
    }

    /// The same, with a quota.
    pub(crate) fn limited_user(&self, name: &str, limits: QuotaLimits) -> User<'_> {
        let verifier = verifier_of(PASSWORD, [7; 16]).unwrap();
        let account = NewAccount { name: name.to_owned(), verifier, limits, take_home: false };
        let accounts = Arc::clone(&self.open.as_ref().unwrap().accounts);
        let (id, key) = self.runtime.block_on(async {
            let (account, ..) = accounts.add(account).await.unwrap();
            (account.id, self.enrol(&*accounts, account.id).await)
        });
        let (name, port) = (name.to_owned(), self.port);
        let user = User { server: self, name, program: Program::new(), id, port, key };
        user.introduce();
        user
    }

    /// A login by key costs a thousandth of one by password.
    async fn enrol(&self, accounts: &dyn Accounts, id: AccountId) -> [u8; 32] {
        let seed = [id.0.to_le_bytes()[0]; 32];
        let key = EnrolledKey {
            public_key: LoginKey::from_seed(&seed).public().0,
            label: "test".to_owned(),
            enrolled: Timestamp::default(),
            used: None,
        };
        accounts.enrol_key(id, key).await.unwrap();
        seed
    }

    /// What an administrator does with `user disable`.
    pub(crate) fn disable(&self, user: &User<'_>) {
        let accounts = Arc::clone(&self.open.as_ref().unwrap().accounts);
        self.runtime.block_on(accounts.set_disabled(user.id, true)).unwrap();
    }

    /// What a person would compare.
    pub(crate) fn fingerprint(&self) -> String {
        self.running.as_ref().unwrap().fingerprint().to_string()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            self.runtime.block_on(running.stop());
        }
        drop(self.open.take());
    }
}

/// An account with a program of its own.
pub(crate) struct User<'a> {
    server: &'a TestServer,
    name: String,
    pub(crate) program: Program,
    id: AccountId,
    /// Where the program finds the server.
    port: u16,
    key: [u8; 32],
}

impl User<'_> {
    /// The same, reaching the server over another port.
    pub(crate) fn through(self, port: u16) -> Self {
        let user = Self { port, ..self };
        user.introduce();
        user
    }

    /// The program has met the server and holds a key.
    fn introduce(&self) {
        let state = State::under(self.program.home());
        state.known_servers().set(&self.account().server, &self.server.fingerprint()).unwrap();
        state.store_login_key(&self.account(), &self.key).unwrap();
    }

    /// A place in the home.
    pub(crate) fn place(&self, path: &str) -> String {
        let server = SocketAddr::new(self.server.address, self.port);
        format!("sampan://{}@{server}/{path}", self.name)
    }

    pub(crate) fn account(&self) -> Account {
        Place::parse(self.place("").as_ref(), None).unwrap().account
    }

    /// The home's folder on the server's disk.
    pub(crate) fn home(&self) -> PathBuf {
        self.server.data.path().join("data/homes").join(&self.name)
    }

    /// The server forgets the key that this program holds.
    pub(crate) fn revoke_key(&self) {
        let accounts = Arc::clone(&self.server.open.as_ref().unwrap().accounts);
        let key = LoginKey::from_seed(&[self.id.0.to_le_bytes()[0]; 32]).public().0;
        assert!(self.server.runtime.block_on(accounts.revoke_key(self.id, key)).unwrap());
    }

    /// Keys that are enrolled.
    pub(crate) fn keys(&self) -> usize {
        let accounts = Arc::clone(&self.server.open.as_ref().unwrap().accounts);
        self.server.runtime.block_on(accounts.keys(self.id)).unwrap().len()
    }
}
