//! Runs errands to their end, whoever dies on the way: the server is started again, and a client
//! that was killed is given the same command again.

use std::collections::{HashMap, VecDeque};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::Child;
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::checks;
use super::world::{Client, Heard, PATIENCE, Who, World};

/// A command that somebody gives.
#[derive(Clone, Debug)]
pub(super) struct Errand {
    pub(super) person: usize,
    pub(super) words: Vec<String>,
}

/// Who is killed from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Victim {
    Server,
    Client,
    Both,
}

/// Who is to die where, in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Deaths {
    /// For each start of the server.
    pub(super) server: VecDeque<String>,
    /// For each start of the first errand's client.
    pub(super) client: VecDeque<String>,
    /// After so many lines of progress, counted anew each time.
    pub(super) lines: VecDeque<(u64, Victim)>,
    /// Where a server died, and a client.
    pub(super) hit_server: Vec<String>,
    pub(super) hit_client: Vec<String>,
    /// Kills from outside that came in time.
    pub(super) hit_lines: u64,
}

impl Deaths {
    pub(super) fn count(&self) -> u64 {
        (self.hit_server.len() + self.hit_client.len()) as u64 + self.hit_lines
    }
}

/// A file that a client said is across: its root, and where it is.
type Done = HashMap<PathBuf, String>;

/// Errands that run.
pub(super) struct Drive<'a> {
    world: &'a mut World,
    deaths: &'a mut Deaths,
    errands: &'a [Errand],
    clients: Vec<Option<Client>>,
    /// What each errand's clients said is across; a source is carried once.
    done: Vec<(Done, HashMap<String, u64>)>,
    /// Where the round is at work, on both sides.
    folder: &'a str,
    lines: u64,
    starts: u64,
    /// The server that each client met first.
    met: Vec<usize>,
    /// Errands for which that one was gone too soon.
    waiting: Vec<usize>,
}

/// Starts a server that lives long enough to be ready.
pub(super) fn serve(world: &mut World, deaths: &mut Deaths) {
    while !world.serve(deaths.server.pop_front()) {
        bury(world, deaths);
    }
}

/// A server that is gone: it was killed, by itself where it was told to or from outside.
pub(super) fn bury(world: &mut World, deaths: &mut Deaths) {
    let Some(mut server) = world.server.take() else { return };
    let status = server.child.wait().unwrap();
    assert_eq!(status.signal(), Some(9), "the server ended by {status}\n{}", world.log());
    deaths.hit_server.extend(server.armed.take());
}

pub(super) fn kill(child: &Child, signal: Signal) {
    // Not waited for yet, so the number is still its own.
    kill_process(Pid::from_child(child), signal).unwrap();
}

impl<'a> Drive<'a> {
    pub(super) fn new(
        world: &'a mut World,
        deaths: &'a mut Deaths,
        errands: &'a [Errand],
        folder: &'a str,
    ) -> Self {
        let done = errands.iter().map(|_| Default::default()).collect();
        let met = vec![0; errands.len()];
        Self {
            world,
            deaths,
            errands,
            clients: Vec::new(),
            done,
            folder,
            lines: 0,
            starts: 0,
            met,
            waiting: Vec::new(),
        }
    }

    /// Until every errand has ended well. Gives how many clients that took.
    #[track_caller]
    pub(super) fn run(mut self) -> u64 {
        if self.world.server.is_none() {
            serve(self.world, self.deaths);
        }
        self.clients = self.errands.iter().map(|_| None).collect();
        for errand in 0..self.errands.len() {
            self.start(errand);
        }
        while !self.waiting.is_empty() || self.clients.iter().any(Option::is_some) {
            let heard = self.world.heard.recv_timeout(PATIENCE);
            let heard = heard.unwrap_or_else(|_| {
                panic!("nothing happens any more\n{}\n{}", self.world.log(), self.world.said(0))
            });
            match heard {
                Heard::Line(Who::Client(errand), line) => self.line(errand, &line),
                Heard::Line(Who::Server(_), _) => {}
                Heard::End(Who::Server(number)) => self.server_ended(number),
                Heard::End(Who::Client(errand)) => self.client_ended(errand),
            }
        }
        self.acknowledged_is_there();
        self.starts
    }

    fn start(&mut self, errand: usize) {
        self.starts += 1;
        assert!(self.starts < 100, "it never ends: {:?}", self.errands);
        // Nobody can be met first who is gone.
        self.met[errand] = self.living_server();
        let armed = if errand == 0 { self.deaths.client.pop_front() } else { None };
        let Errand { person, words } = &self.errands[errand];
        self.clients[errand] = Some(self.world.client(errand, *person, words, armed.as_deref()));
    }

    /// A line of JSON: what is across must be there from now on.
    fn line(&mut self, errand: usize, line: &str) {
        let Ok(event) = serde_json::from_str::<Value>(line) else { return };
        if event["event"] == "done" && event["blake3"].is_string() {
            let (done, carried) = &mut self.done[errand];
            if event.get("to_b64").is_none() {
                let to = event["to"].as_str().unwrap();
                let home = self.world.home(self.errands[errand].person);
                let at = if to.starts_with('/') { to.into() } else { home.join(to) };
                done.insert(at, event["blake3"].as_str().unwrap().to_owned());
            }
            let from = event.get("from_b64").unwrap_or(&event["from"]).to_string();
            let times = carried.entry(from).or_default();
            *times += 1;
            assert_eq!(*times, 1, "carried twice: {line}");
        }
        self.lines += 1;
        let Some((after, victim)) = self.deaths.lines.front().copied() else { return };
        if self.lines < after {
            return;
        }
        self.lines = 0;
        self.deaths.lines.pop_front();
        self.deaths.hit_lines += 1;
        if victim != Victim::Client
            && let Some(server) = &self.world.server
        {
            kill(&server.child, Signal::KILL);
        }
        if victim != Victim::Server
            && let Some(client) = &self.clients[errand]
        {
            kill(&client.child, Signal::KILL);
        }
    }

    fn server_ended(&mut self, number: usize) {
        // It may be known already.
        if self.world.server.as_ref().is_some_and(|server| server.number == number) {
            bury(self.world, self.deaths);
            self.nothing_is_half();
            serve(self.world, self.deaths);
            for errand in std::mem::take(&mut self.waiting) {
                self.start(errand);
            }
        }
    }

    /// The number of the server that serves, after one that is gone was followed by another.
    fn living_server(&mut self) -> usize {
        let server = self.world.server.as_mut().expect("somebody serves");
        let number = server.number;
        if server.child.try_wait().unwrap().is_some() {
            self.server_ended(number);
        }
        self.world.server.as_ref().expect("somebody serves").number
    }

    fn client_ended(&mut self, errand: usize) {
        let Some(mut client) = self.clients[errand].take() else { return };
        let status = client.child.wait().unwrap();
        match (status.code(), status.signal()) {
            (Some(0), _) => {}
            (_, Some(9)) => {
                self.deaths.hit_client.extend(client.armed.take());
                self.nothing_is_half();
                self.start(errand);
            }
            // A first contact is not tried for long: it met a server that died, or is about to be
            // heard of as dead.
            (Some(3), _) if self.living_server() != self.met[errand] => self.start(errand),
            (Some(3), _) => self.waiting.push(errand),
            _ => panic!(
                "{:?} ended by {status}:\n{}\n{}",
                self.errands[errand],
                self.world.said(errand),
                self.world.log()
            ),
        }
    }

    /// Under every name lies what was whole somewhere, and what was acknowledged is there.
    fn nothing_is_half(&self) {
        for (number, person) in self.world.people.iter().enumerate() {
            checks::is_whole(&self.world.home(number).join(self.folder), &person.whole);
            checks::is_whole(&person.local.path().join(self.folder), &person.whole);
        }
        self.acknowledged_is_there();
    }

    fn acknowledged_is_there(&self) {
        for (at, root) in self.done.iter().flat_map(|(done, _)| done) {
            let found = std::fs::read(at).map(|bytes| blake3::hash(&bytes).to_hex().to_string());
            let found = found.unwrap_or_else(|error| error.to_string());
            assert_eq!(found, *root, "{} was acknowledged", at.display());
        }
    }
}

/// Stops the server in order. One that was told to die may still do so on the way.
pub(super) fn stop(world: &mut World, deaths: &mut Deaths) {
    let Some(mut server) = world.server.take() else { return };
    kill(&server.child, Signal::TERM);
    let status = server.child.wait().unwrap();
    match (status.code(), status.signal()) {
        (Some(0), _) => {}
        (_, Some(9)) => deaths.hit_server.extend(server.armed.take()),
        _ => panic!("the server ended by {status}\n{}", world.log()),
    }
}

/// What came of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// To what was waited for.
    Came,
    /// The server died before.
    Died,
}

/// Asks until it is so, or the server has died.
#[track_caller]
pub(super) fn comes_to(world: &mut World, is_so: impl Fn(&World) -> bool) -> Outcome {
    let started = Instant::now();
    loop {
        let server = world.server.as_mut().expect("somebody serves");
        if server.child.try_wait().unwrap().is_some() {
            return Outcome::Died;
        }
        if is_so(world) {
            return Outcome::Came;
        }
        assert!(started.elapsed() < PATIENCE, "it never comes to it\n{}", world.log());
    }
}
