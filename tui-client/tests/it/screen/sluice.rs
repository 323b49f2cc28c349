//! A link that lets a number of bytes through to the server and then holds: a transfer over it is
//! under way for as long as a test wants to look at it.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};

/// Bytes that are passed on at once.
const CHUNK: usize = 16 << 10;

/// Passes bytes on both ways; those to the server as far as they may.
pub(crate) struct Sluice {
    pub(crate) port: u16,
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    inner: Mutex<Inner>,
    moved: Condvar,
}

#[derive(Default)]
struct Inner {
    /// Bytes that may still pass; `None` for all.
    left: Option<usize>,
    /// Both ends of every connection.
    links: Vec<TcpStream>,
    /// Rises when all connections are cut.
    cuts: u64,
}

impl Sluice {
    /// Leads to a port of this machine. Everything passes until [`Self::hold_after`].
    pub(crate) fn to(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let gate = Arc::new(Gate::default());
        let at_gate = Arc::clone(&gate);
        // It ends with the test's process, as all its connections do.
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(client) = client else { return };
                // While there is no server, a client that comes is sent away at once.
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, server)) {
                    link(&client, &server, &at_gate);
                }
            }
        });
        Self { port, gate }
    }

    /// Lets so many more bytes through.
    pub(crate) fn hold_after(&self, bytes: usize) {
        self.gate.change(|inner| inner.left = Some(bytes));
    }

    /// Lets everything through.
    pub(crate) fn open(&self) {
        self.gate.change(|inner| inner.left = None);
    }

    /// Ends every connection that there is.
    pub(crate) fn cut(&self) {
        self.gate.change(|inner| {
            inner.cuts += 1;
            for link in inner.links.drain(..) {
                // One whose other end has gone already is cut.
                let _gone = link.shutdown(Shutdown::Both);
            }
        });
    }
}

impl Gate {
    fn change(&self, change: impl FnOnce(&mut Inner)) {
        change(&mut self.inner.lock().unwrap());
        self.moved.notify_all();
    }

    /// Waits until so many bytes may pass, or until the connection is cut.
    fn pass(&self, bytes: usize, cuts: u64) {
        let shut =
            |inner: &mut Inner| inner.cuts == cuts && inner.left.is_some_and(|left| left < bytes);
        let mut inner = self.moved.wait_while(self.inner.lock().unwrap(), shut).unwrap();
        inner.left = inner.left.map(|left| left.saturating_sub(bytes));
    }
}

fn link(client: &TcpStream, server: &TcpStream, gate: &Arc<Gate>) {
    let both = || (client.try_clone().unwrap(), server.try_clone().unwrap());
    let mut cuts = 0;
    gate.change(|inner| {
        let (client, server) = both();
        inner.links.extend([client, server]);
        cuts = inner.cuts;
    });
    let (mut from, mut to) = both();
    let at_gate = Arc::clone(gate);
    std::thread::spawn(move || pump(&mut from, &mut to, |bytes| at_gate.pass(bytes, cuts)));
    let (mut to, mut from) = both();
    std::thread::spawn(move || pump(&mut from, &mut to, |_| ()));
}

fn pump(from: &mut TcpStream, to: &mut TcpStream, pass: impl Fn(usize)) {
    let mut bytes = vec![0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut bytes) {
        pass(length);
        if to.write_all(&bytes[..length]).is_err() {
            break;
        }
    }
    for end in [from, to] {
        // The other direction has ended it.
        let _gone = end.shutdown(Shutdown::Both);
    }
}
