//! A server on a data folder of its own, and the people who use it. Both are the real programs.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use sampan_client::address::Place;
use sampan_client::state::State;
use sampan_protocol::Timestamp;
use sampan_protocol::login_key::LoginKey;
use sampan_server::config::Settings;
use sampan_server::store::local::Step;
use sampan_server::store::{EnrolledKey, NewAccount, QuotaLimits};
use sampan_server::verifier_of;
use tempfile::TempDir;

use super::dice::Dice;
use super::operation::Operation;
use crate::program::{Program, sampand};

/// Nothing here takes so long; a test that hangs fails.
pub(super) const PATIENCE: Duration = Duration::from_mins(2);

pub(super) const NAMES: [&str; 3] = ["ada", "bob", "cleo"];

/// Who says something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// The server that was started as this one.
    Server(usize),
    /// The client with this errand.
    Client(usize),
}

/// What is heard of a process.
#[derive(Debug)]
pub(super) enum Heard {
    Line(Who, String),
    /// It has no standard output any more: it is gone.
    End(Who),
}

/// A person: an account, a program, files.
pub(super) struct Person {
    pub(super) name: &'static str,
    pub(super) program: Program,
    pub(super) local: TempDir,
    /// Roots of all that ever was whole on either side.
    pub(super) whole: HashSet<[u8; 32]>,
}

pub(super) struct Server {
    pub(super) child: Child,
    pub(super) number: usize,
    /// Where it was told to die.
    pub(super) armed: Option<String>,
}

pub(super) struct World {
    pub(super) people: Vec<Person>,
    pub(super) server: Option<Server>,
    pub(super) started: usize,
    /// How many seconds its clock is ahead.
    pub(super) clock_ahead: u64,
    pub(super) port: u16,
    pub(super) heard: Receiver<Heard>,
    pub(super) sender: Sender<Heard>,
    folder: TempDir,
}

/// Rounds need so much, and servers a floor beside it.
const ROOM: u64 = 2 << 30;

/// In memory, if the machine has a file system there with room: a killed process leaves the same
/// there, and no round waits for a disk.
pub(super) fn folder() -> TempDir {
    let memory = "/dev/shm";
    match rustix::fs::statvfs(memory) {
        Ok(space) if space.f_bavail * space.f_frsize >= ROOM => tempfile::tempdir_in(memory),
        Ok(_) | Err(_) => TempDir::new(),
    }
    .unwrap()
}

impl World {
    pub(super) fn new(dice: &mut Dice) -> Self {
        let (sender, heard) = channel();
        let mut world = Self {
            people: Vec::new(),
            server: None,
            started: 0,
            clock_ahead: 0,
            port: free_port(dice),
            heard,
            sender,
            folder: folder(),
        };
        world.settle();
        world
    }

    /// Makes the accounts, and programs that hold keys of them: a login by key costs a thousandth of
    /// one by password.
    fn settle(&mut self) {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        let port = self.port;
        let data = self.data();
        self.people = runtime.block_on(async {
            let open = sampan_server::open(&data, &Settings::default()).await.unwrap();
            let fingerprint = open.identity().unwrap().fingerprint().to_string();
            let mut people = Vec::new();
            for name in NAMES {
                let verifier = verifier_of("correct horse", [7; 16]).unwrap();
                let limits = QuotaLimits { bytes: Some(1 << 30), entries: Some(100_000) };
                let account =
                    NewAccount { name: name.to_owned(), verifier, limits, take_home: false };
                let (account, ..) = open.accounts.add(account).await.unwrap();
                let seed = [account.id.0.to_le_bytes()[0]; 32];
                let key = EnrolledKey {
                    public_key: LoginKey::from_seed(&seed).public().0,
                    label: "test".to_owned(),
                    enrolled: Timestamp::default(),
                    used: None,
                };
                open.accounts.enrol_key(account.id, key).await.unwrap();
                let program = Program::within(folder());
                let place = place(name, port, "");
                let account = Place::parse(place.as_ref(), None).unwrap().account;
                let state = State::under(program.home());
                state.known_servers().set(&account.server, &fingerprint).unwrap();
                state.store_login_key(&account, &seed).unwrap();
                people.push(Person { name, program, local: folder(), whole: HashSet::new() });
            }
            open.store.close().await;
            people
        });
    }

    pub(super) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(super) fn home(&self, person: usize) -> PathBuf {
        self.data().join("homes").join(self.people[person].name)
    }

    /// A place in a person's home.
    pub(super) fn place(&self, person: usize, path: &str) -> String {
        place(self.people[person].name, self.port, path)
    }

    /// All that servers said on the side.
    pub(super) fn log(&self) -> String {
        let log = fs::read(self.folder.path().join("log")).unwrap_or_default();
        let log = String::from_utf8_lossy(&log);
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(60)..].join("\n")
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(sampand());
        command.args(words).arg("--data").arg(self.data());
        for variable in ["SAMPAND_DATA", "SAMPAND_CONFIG", "NOTIFY_SOCKET"] {
            command.env_remove(variable);
        }
        command.stdin(Stdio::null());
        command
    }

    /// Standard output of an administrator's command.
    pub(super) fn administers(&self, words: &[&str]) -> String {
        let output = self.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {output:?}\n{}", self.log());
        String::from_utf8(output.stdout).unwrap()
    }

    /// Starts a server; `false` if it died before it was ready, which only an armed one may.
    pub(super) fn serve(&mut self, armed: Option<String>) -> bool {
        assert!(self.server.is_none(), "one at a time");
        self.started += 1;
        let number = self.started;
        let log =
            File::options().append(true).create(true).open(self.folder.path().join("log")).unwrap();
        let address = format!("127.0.0.1:{}", self.port);
        let mut command = self.command(&["serve", "--listen", &address]);
        command.stdout(Stdio::piped()).stderr(log);
        if let Some(place) = &armed {
            command.env("SAMPAND_DIE_AT", place);
            if needs_failed_flush(place) {
                command.env("SAMPAND_FAIL_FLUSH", "1");
            }
        }
        if self.clock_ahead > 0 {
            command.env("SAMPAND_CLOCK_AHEAD", self.clock_ahead.to_string());
        }
        let mut child = command.spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let (ready, is_ready) = channel();
        let sender = self.sender.clone();
        std::thread::spawn(move || {
            let mut lines = BufReader::new(out).lines();
            let said = lines.next().is_some_and(|line| line.unwrap().starts_with("listening on "));
            ready.send(said).unwrap();
            lines.for_each(drop);
            // Nobody listens any more when the world has ended.
            let (Ok(()) | Err(_)) = sender.send(Heard::End(Who::Server(number)));
        });
        let is_ready = is_ready.recv_timeout(PATIENCE).expect("a server starts, or ends");
        self.server = Some(Server { child, number, armed });
        is_ready
    }

    /// The client with the number `errand`, whose words are `words`.
    pub(super) fn client(
        &self,
        errand: usize,
        person: usize,
        words: &[String],
        armed: Option<&str>,
    ) -> Client {
        let said = File::create(self.folder.path().join(format!("said {errand}"))).unwrap();
        let mut command = self.people[person].program.command(words);
        command.current_dir(self.people[person].local.path()).stdout(Stdio::piped()).stderr(said);
        if let Some(place) = armed {
            command.env("SAMPAN_DIE_AT", place);
        }
        let mut child = command.spawn().unwrap();
        let out = child.stdout.take().unwrap();
        let sender = self.sender.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines() {
                // A line that was cut short by a kill may be no text.
                let Ok(line) = line else { break };
                let (Ok(()) | Err(_)) = sender.send(Heard::Line(Who::Client(errand), line));
            }
            let (Ok(()) | Err(_)) = sender.send(Heard::End(Who::Client(errand)));
        });
        Client { child, armed: armed.map(ToOwned::to_owned) }
    }

    /// What a client said on the side.
    pub(super) fn said(&self, errand: usize) -> String {
        fs::read_to_string(self.folder.path().join(format!("said {errand}"))).unwrap_or_default()
    }
}

/// A running client.
pub(super) struct Client {
    pub(super) child: Child,
    pub(super) armed: Option<String>,
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let (Ok(()) | Err(_)) = server.child.kill();
            let (Ok(_) | Err(_)) = server.child.wait();
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let (Ok(()) | Err(_)) = self.child.kill();
        let (Ok(_) | Err(_)) = self.child.wait();
    }
}

fn place(name: &str, port: u16, path: &str) -> String {
    format!("sampan://{name}@127.0.0.1:{port}/{path}")
}

/// Whether only a failed flush leads to where somebody is to die.
fn needs_failed_flush(place: &str) -> bool {
    let mut steps = Step::ALL.iter().filter(|step| Operation::follows_failed_flush(**step));
    steps.any(|step| place.split(':').next() == Some(step.name()))
}

/// A port that stays ours while no server has it: one that the system gives to nobody by itself.
fn free_port(dice: &mut Dice) -> u16 {
    loop {
        let port = 20_000 + u16::try_from(dice.below(10_000)).unwrap();
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Whether `name` is a download on its way.
pub(super) fn is_staging(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(".sampan-") && name.ends_with(".part")
}
