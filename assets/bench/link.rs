//! A long way between two network namespaces, for kernels without `netem`: moves the packets of
//! two TUN devices with a one-way delay, a rate, a drop-tail buffer and random loss.
//!
//! ```sh
//! rustc -O --edition 2024 link.rs
//! link SPACE_A TUN_A SPACE_B TUN_B DELAY_MS RATE_MBIT LOSS_PERCENT BUFFER_MS
//! ```
//!
//! Prints `up` when both devices are there, and ends when its standard input closes. Only `std`, so
//! that it needs nothing but the compiler.

use std::collections::VecDeque;
use std::ffi::{CString, c_char, c_int, c_ulong};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::time::Instant;

const CLONE_NEWNET: c_int = 0x4000_0000;
const O_RDWR: c_int = 2;
const O_NONBLOCK: c_int = 0o4000;
const TUNSETIFF: c_ulong = 0x4004_54ca;
const IFF_TUN_NO_PI: i16 = 0x1001;
const POLLIN: i16 = 1;
const MTU: usize = 4096;
/// Wake-ups are gathered: small against every delay in use.
const SHORTEST_WAIT: u64 = 60_000;
const LONGEST_WAIT: u64 = 200_000_000;

#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    rest: [u8; 22],
}

#[repr(C)]
struct PollFd {
    fd: c_int,
    events: i16,
    happened: i16,
}

#[repr(C)]
struct TimeSpec {
    seconds: i64,
    nanoseconds: i64,
}

unsafe extern "C" {
    fn open(path: *const c_char, flags: c_int, ...) -> c_int;
    fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    fn setns(fd: c_int, kind: c_int) -> c_int;
    fn ppoll(fds: *mut PollFd, count: c_ulong, wait: *const TimeSpec, mask: *const u8) -> c_int;
}

fn enter(space: &File) {
    // SAFETY: an open descriptor of a namespace; the kernel checks what it is.
    assert_eq!(unsafe { setns(space.as_raw_fd(), CLONE_NEWNET) }, 0, "enter the namespace");
}

/// Opens a device of a namespace; its packets can then be read from anywhere.
fn device(space: &str, name: &str) -> File {
    enter(&File::open(format!("/var/run/netns/{space}")).expect("the namespace is there"));
    let path = CString::new("/dev/net/tun").expect("a path without NUL");
    let mut request = InterfaceRequest { name: [0; 16], flags: IFF_TUN_NO_PI, rest: [0; 22] };
    assert!(name.len() < request.name.len(), "a name of at most 15 bytes");
    request.name[..name.len()].copy_from_slice(name.as_bytes());
    // SAFETY: a path that ends with NUL, a request of the size the kernel reads, and a descriptor
    // that nobody else owns.
    unsafe {
        let fd = open(path.as_ptr(), O_RDWR | O_NONBLOCK);
        assert!(fd >= 0, "open /dev/net/tun");
        assert_eq!(ioctl(fd, TUNSETIFF, &raw mut request), 0, "take the device {name}");
        File::from_raw_fd(fd)
    }
}

struct Link {
    delay: u64,
    ns_per_byte: f64,
    /// A packet whose random number is below is lost.
    loss: u64,
    buffer: u64,
    random: u64,
}

impl Link {
    fn loses(&mut self) -> bool {
        // xorshift64: the same losses in every run.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random < self.loss
    }
}

/// One way: what is under way, and until when the wire is busy. Times in nanoseconds.
struct Way {
    queue: VecDeque<(u64, Vec<u8>)>,
    busy_until: u64,
}

impl Way {
    /// Takes packets in; whether there were any.
    fn receive(&mut self, from: &mut File, link: &mut Link, now: impl Fn() -> u64) -> bool {
        let mut packet = [0; MTU];
        for taken in 0..64 {
            let length = match from.read(&mut packet) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return taken > 0,
                Err(error) => panic!("read a packet: {error}"),
            };
            let now = now();
            let start = self.busy_until.max(now);
            if link.loses() || start - now > link.buffer {
                continue;
            }
            self.busy_until = start + (length as f64 * link.ns_per_byte) as u64;
            self.queue.push_back((self.busy_until + link.delay, packet[..length].to_vec()));
        }
        true
    }

    /// Hands on what is due; whether there was any.
    fn deliver(&mut self, to: &mut File, now: u64) -> bool {
        let mut any = false;
        while self.queue.front().is_some_and(|(due, _)| *due <= now) {
            let (_, packet) = self.queue.pop_front().expect("just looked at");
            // A device that is down or full drops it, as a wire does.
            let _ = to.write(&packet);
            any = true;
        }
        any
    }
}

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let number = |at: usize| words[at].parse::<f64>().expect("a number");
    let home = File::open("/proc/self/ns/net").expect("our own namespace");
    let mut a = device(&words[1], &words[2]);
    let mut b = device(&words[3], &words[4]);
    enter(&home);
    let mut link = Link {
        delay: (number(5) * 1e6) as u64,
        ns_per_byte: if number(6) > 0.0 { 8000.0 / number(6) } else { 0.0 },
        loss: (number(7) / 100.0 * u64::MAX as f64) as u64,
        buffer: (number(8) * 1e6) as u64,
        random: 0x9E37_79B9_7F4A_7C15,
    };
    let mut there = Way { queue: VecDeque::new(), busy_until: 0 };
    let mut back = Way { queue: VecDeque::new(), busy_until: 0 };
    let begun = Instant::now();
    let now = || u64::try_from(begun.elapsed().as_nanos()).expect("less than 500 years");
    println!("up");
    loop {
        let mut any = there.receive(&mut a, &mut link, now);
        any |= back.receive(&mut b, &mut link, now);
        any |= there.deliver(&mut b, now());
        any |= back.deliver(&mut a, now());
        if any {
            continue;
        }
        let next = [&there, &back].iter().filter_map(|way| Some(way.queue.front()?.0)).min();
        let wait = next.map_or(LONGEST_WAIT, |due| due.saturating_sub(now()).max(SHORTEST_WAIT));
        let wait = TimeSpec {
            seconds: (wait / 1_000_000_000) as i64,
            nanoseconds: (wait % 1_000_000_000) as i64,
        };
        let watch = |fd| PollFd { fd, events: POLLIN, happened: 0 };
        let mut watched = [watch(a.as_raw_fd()), watch(b.as_raw_fd()), watch(0)];
        // SAFETY: three descriptors that are open, and a time that lives as long as the call.
        unsafe { ppoll(watched.as_mut_ptr(), 3, &raw const wait, std::ptr::null()) };
        if watched[2].happened != 0 {
            return;
        }
    }
}
