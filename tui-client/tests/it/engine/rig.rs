//! A server that can be stopped and started again, and an engine on it.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sampan_client::address::{Account, Server};
use sampan_client::failure::Failure;
use sampan_client::local::Disk;
use sampan_client::remote::{Endpoint, Patience, Remote, RetryFor, Secret};
use sampan_client::state::{Journal, JournalKey, JournalScope, State};
use sampan_client::transfer::{
    Batch, BatchId, Command, Engine, Event, Options, Outcome, Route, Settings, Source, Started,
    Summary, Target,
};
use sampan_protocol::login_key::LoginKey;
use sampan_protocol::transport::Trust;
use sampan_protocol::{RemotePath, Timestamp};
use sampan_server::config::{Durability, Settings as ServerSettings};
use sampan_server::control::{AdminAnswer, AdminRequest};
use sampan_server::store::{EnrolledKey, NewAccount, QuotaLimits};
use sampan_server::{OpenData, RunningServer, verifier_of};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

const USER: &str = "anna";
const SEED: [u8; 32] = [9; 32];
/// Longer than any step of a test takes.
const PATIENCE: Duration = Duration::from_secs(90);

/// A server with one account, and folders for both sides.
pub(crate) struct Rig {
    pub(crate) folder: TempDir,
    pub(crate) port: u16,
    running: Option<(OpenData, RunningServer)>,
    fingerprint: Option<sampan_protocol::transport::Fingerprint>,
    settings: ServerSettings,
}

impl Rig {
    pub(crate) async fn start() -> Self {
        Self::with_limits(QuotaLimits::default()).await
    }

    pub(crate) async fn with_limits(limits: QuotaLimits) -> Self {
        let settings = ServerSettings { disk_floor: 0, ..ServerSettings::default() };
        Self::with(settings, limits).await
    }

    pub(crate) async fn with(settings: ServerSettings, limits: QuotaLimits) -> Self {
        Self::start_in(TempDir::new().unwrap(), settings, limits).await
    }

    /// With all of it in memory, for hundreds of rounds that do not wait for a disk.
    pub(crate) async fn in_memory() -> Self {
        let durability = Durability::Relaxed;
        let settings = ServerSettings { disk_floor: 0, durability, ..ServerSettings::default() };
        let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        Self::start_in(folder, settings, QuotaLimits::default()).await
    }

    async fn start_in(folder: TempDir, settings: ServerSettings, limits: QuotaLimits) -> Self {
        let mut rig = Self { folder, port: 0, running: None, fingerprint: None, settings };
        rig.resume_server().await;
        let verifier = verifier_of("correct horse", [7; 16]).unwrap();
        let account = NewAccount { name: USER.to_owned(), verifier, limits, take_home: false };
        let accounts = Arc::clone(&rig.running.as_ref().unwrap().0.accounts);
        let (account, ..) = accounts.add(account).await.unwrap();
        let key = EnrolledKey {
            public_key: LoginKey::from_seed(&SEED).public().0,
            label: "test".to_owned(),
            enrolled: Timestamp::default(),
            used: None,
        };
        accounts.enrol_key(account.id, key).await.unwrap();
        rig
    }

    /// Starts the server, on the port that it had before.
    pub(crate) async fn resume_server(&mut self) {
        let settings = self.settings.clone();
        let data = self.folder.path().join("data");
        let open = sampan_server::open(&data, &settings).await.unwrap();
        let identity = open.identity().unwrap();
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await.unwrap();
        self.port = socket.local_addr().unwrap().port();
        let (store, accounts) = (Arc::clone(&open.store), Arc::clone(&open.accounts));
        let running =
            sampan_server::start(settings.bounds, store, accounts, &identity, vec![socket]);
        let running = running.await.unwrap();
        self.fingerprint = Some(running.fingerprint());
        self.running = Some((open, running));
    }

    /// Stops the server in order.
    pub(crate) async fn stop_server(&mut self) {
        let (open, running) = self.running.take().unwrap();
        running.stop().await;
        drop(open);
    }

    /// A remote that reaches the server through `port`.
    pub(crate) async fn remote_at(&self, port: u16) -> Remote {
        self.patient_remote_at(port, Patience::default()).await
    }

    /// The same, which does not try to find a lost link again.
    pub(crate) async fn impatient_remote_at(&self, port: u16) -> Remote {
        let retry_for = RetryFor::For(Duration::ZERO);
        self.connect(Endpoint { retry_for, ..self.endpoint(port) }).await
    }

    /// The same, which bears so much silence.
    pub(crate) async fn patient_remote_at(&self, port: u16, patience: Patience) -> Remote {
        self.connect(Endpoint { patience, ..self.endpoint(port) }).await
    }

    fn endpoint(&self, port: u16) -> Endpoint {
        let server = Server { host: "127.0.0.1".to_owned(), port };
        Endpoint {
            account: Account { user: USER.to_owned(), server },
            trust: Trust::Key(self.fingerprint.unwrap()),
            stored: String::new(),
            timeout: Duration::from_secs(10),
            retry_for: RetryFor::For(Duration::from_mins(1)),
            patience: Patience::default(),
        }
    }

    async fn connect(&self, endpoint: Endpoint) -> Remote {
        Remote::connect(endpoint, Secret::Key(zeroize::Zeroizing::new(SEED))).await.unwrap()
    }

    pub(crate) async fn remote(&self) -> Remote {
        self.remote_at(self.port).await
    }

    /// Where the program keeps its own files.
    pub(crate) fn state_home(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    fn account(&self) -> Account {
        let server = Server { host: "127.0.0.1".to_owned(), port: self.port };
        Account { user: USER.to_owned(), server }
    }

    /// The journal of one command, kept like the program keeps it.
    pub(crate) fn journal(&self, name: &str) -> Journal {
        self.journal_in(&State::under(&self.state_home()), name).unwrap()
    }

    /// The same, among the program's files elsewhere.
    pub(crate) fn journal_in(&self, state: &State, name: &str) -> Result<Journal, Failure> {
        let operands = vec![name.as_bytes().to_vec()];
        let scope = JournalScope::Command { verb: "put", operands };
        let seed = *blake3::hash(name.as_bytes()).as_bytes();
        Journal::open(state, &JournalKey::new(&self.account(), &scope), seed, 1)
    }

    /// The journal of the screen's queue.
    pub(crate) fn queue_journal(&self) -> Journal {
        self.queue_journal_in(&State::under(&self.state_home())).unwrap()
    }

    /// The same, among the program's files elsewhere.
    pub(crate) fn queue_journal_in(&self, state: &State) -> Result<Journal, Failure> {
        Journal::open(state, &JournalKey::new(&self.account(), &JournalScope::Queue), [4; 32], 1)
    }

    /// A fresh local folder.
    pub(crate) fn local(&self, name: &str) -> PathBuf {
        let path = self.folder.path().join("local").join(name);
        std::fs::create_dir_all(&path).unwrap();
        path
    }

    /// The home on the server's disk.
    pub(crate) fn home(&self) -> PathBuf {
        self.folder.path().join("data/homes").join(USER)
    }

    /// Carries `route` to its end over a link of its own.
    pub(crate) async fn carry(&self, route: Route, options: Options) -> Told {
        let remote = self.remote().await;
        let mut run = Run::begin(remote.clone(), self.journal("carry"), route, options);
        let told = run.finish().await;
        run.stop().await;
        remote.close().await;
        told
    }

    /// What the quota says is what lies in the home, and nothing is in flight.
    pub(crate) async fn expect_exact_quota(&self) {
        let (mut bytes, mut entries) = (0, 0);
        let mut folders = vec![self.home()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                entries += 1;
                let about = entry.metadata().unwrap();
                if about.is_dir() {
                    folders.push(entry.path());
                } else {
                    bytes += about.len();
                }
            }
        }
        let remote = self.remote().await;
        let quota = remote.quota().await.unwrap();
        remote.close().await;
        assert_eq!((quota.used, quota.entries), (bytes, entries), "the ledger drifted");
        assert_eq!((quota.reserved, quota.reserved_entries), (0, 0), "something is in flight");
    }

    /// Waits until the server counts no session any more.
    pub(crate) async fn until_no_session_is_left(&self) {
        let administration = self.running.as_ref().unwrap().1.administration();
        let none_is_left = async {
            loop {
                match administration.perform(AdminRequest::Status).await {
                    AdminAnswer::Status(status) if status.sessions == Some(0) => return,
                    AdminAnswer::Status(_) => tokio::task::yield_now().await,
                    other => panic!("{other:?}"),
                }
            }
        };
        tokio::time::timeout(PATIENCE, none_is_left).await.expect("a session is still counted");
    }

    /// The bytes of uploads in flight.
    pub(crate) async fn reserved(&self) -> u64 {
        let remote = self.remote().await;
        let quota = remote.quota().await.unwrap();
        remote.close().await;
        quota.reserved
    }
}

/// An engine with one batch underway.
pub(crate) struct Run {
    engine: Engine,
    events: mpsc::Receiver<Event>,
    seen: Vec<Event>,
}

/// What a batch told.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) summary: Summary,
    pub(crate) events: Vec<Event>,
}

impl Run {
    pub(crate) fn begin(remote: Remote, journal: Journal, route: Route, options: Options) -> Self {
        let settings = Settings::default();
        Self::with(remote, journal, settings, route, options)
    }

    pub(crate) fn with(
        remote: Remote,
        journal: Journal,
        settings: Settings,
        route: Route,
        options: Options,
    ) -> Self {
        let started = Engine::start(remote, journal, settings);
        Self::of(started, Batch { route, options })
    }

    /// A run on a disk of its own kind.
    pub(crate) fn on(disk: Disk, remote: Remote, journal: Journal, route: Route) -> Self {
        let started = Engine::start_on(disk, remote, journal, Settings::default());
        Self::of(started, Batch { route, options: Options::default() })
    }

    fn of(started: Started, batch: Batch) -> Self {
        let Started { engine, events, .. } = started;
        assert!(engine.try_send(Command::Submit(BatchId(1), batch)));
        Self { engine, events, seen: Vec::new() }
    }

    /// An engine that goes on with what its journal holds.
    pub(crate) fn resume(
        remote: Remote,
        journal: Journal,
        settings: Settings,
    ) -> (Self, Vec<(BatchId, Batch)>) {
        let Started { engine, events, resumed } = Engine::start(remote, journal, settings);
        (Self { engine, events, seen: Vec::new() }, resumed)
    }

    pub(crate) fn tell(&self, command: Command) {
        assert!(self.engine.try_send(command));
    }

    /// The next event.
    pub(crate) async fn next(&mut self) -> Event {
        let event = tokio::time::timeout(PATIENCE, self.events.recv()).await;
        let event = event.expect("the engine tells something").expect("the engine lives");
        self.seen.push(event.clone());
        event
    }

    /// Waits until so many bytes of something are across.
    pub(crate) async fn until_moved(&mut self, wanted: u64) {
        loop {
            match self.next().await {
                Event::Progress { bytes, .. } if bytes >= wanted => return,
                Event::Summary { summary, .. } => panic!("it ended before: {summary:?}"),
                _ => {}
            }
        }
    }

    pub(crate) async fn finish(&mut self) -> Told {
        loop {
            if let Event::Summary { summary, .. } = self.next().await {
                return Told { summary, events: std::mem::take(&mut self.seen) };
            }
        }
    }

    /// What was told so far.
    pub(crate) fn seen(&self) -> &[Event] {
        &self.seen
    }

    pub(crate) async fn stop(self) {
        self.engine.stop().await.unwrap();
    }
}

impl Told {
    /// How the thing with this name ended.
    pub(crate) fn outcome_of(&self, name: &str) -> &Outcome {
        let named = |event: &&Event| match event {
            Event::Finished { from, .. } => {
                from.name().is_some_and(|found| found.as_bytes() == name.as_bytes())
            }
            _ => false,
        };
        match self.events.iter().find(named) {
            Some(Event::Finished { outcome, .. }) => outcome,
            _ => panic!("nothing was told of {name}: {:#?}", self.events),
        }
    }

    /// It all went well.
    pub(crate) fn expect_done(&self) -> &Summary {
        assert_eq!(self.summary.failed, 0, "{:#?}", self.summary.failures);
        &self.summary
    }
}

pub(crate) fn up(source: &Path, contents: bool, target: &str, is_folder: bool) -> Route {
    Route::Upload {
        sources: vec![Source { path: source.to_owned(), contents }],
        target: Target { path: home(target), is_folder },
    }
}

pub(crate) fn down(source: &str, contents: bool, target: &Path, is_folder: bool) -> Route {
    Route::Download {
        sources: vec![Source { path: home(source), contents }],
        target: Target { path: target.to_owned(), is_folder },
    }
}

pub(crate) fn home(path: &str) -> RemotePath {
    RemotePath::parse(path.as_bytes()).unwrap()
}

/// Bytes that no compression and no accident makes equal to others.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    let mut reader = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
    reader.fill(&mut bytes);
    bytes
}
