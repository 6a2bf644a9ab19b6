//! The thread that carries the packets of an internet.
//!
//! Owns: the order in which packets leave, and how many are on their way. Refuses: what a
//! line or a NAT decides.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tun_rs::SyncDevice;

use super::line::{Fate, Line, Way};
use super::nat::Nat;
use super::packet::destination;

/// The longest packet that an interface takes.
const PACKET_BYTES_MAX: usize = 1500;
/// The most packets on their way: more than 1 Gbit/s has in 200 ms.
const UNDER_WAY_MAX: usize = 32_768;
/// Packets taken from one interface before the others have their turn.
const TURN: usize = 64;
/// What is due so soon leaves at once, so that the thread does not wake for every packet.
const GRAIN: Duration = Duration::from_micros(100);
/// How long it may take to notice that it shall stop.
const LOOK_UP: Duration = Duration::from_millis(100);

/// What became of packets.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// They arrived.
    pub delivered: u64,
    /// A line lost them.
    pub lost: u64,
    /// A queue was full.
    pub dropped: u64,
    /// No host or mapping was there for them, or a NAT did not let them in.
    pub refused: u64,
}

/// The same, as it is counted.
#[derive(Default)]
pub(super) struct Tally {
    delivered: AtomicU64,
    lost: AtomicU64,
    dropped: AtomicU64,
    refused: AtomicU64,
}

impl Tally {
    pub(super) fn counts(&self) -> Counts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Counts {
            delivered: read(&self.delivered),
            lost: read(&self.lost),
            dropped: read(&self.dropped),
            refused: read(&self.refused),
        }
    }
}

fn count(count: &AtomicU64) {
    count.fetch_add(1, Ordering::Relaxed);
}

/// Where a host is plugged in.
pub(super) struct Port {
    device: SyncDevice,
    outside: Ipv4Addr,
    nat: Option<Nat>,
    up: Way,
    down: Way,
    /// Its interface is gone.
    is_gone: bool,
}

impl Port {
    pub(super) fn new(
        device: SyncDevice,
        outside: Ipv4Addr,
        nat: Option<Nat>,
        line: Line,
        seed: u64,
    ) -> Self {
        Self {
            device,
            outside,
            nat,
            up: Way::new(line, seed.wrapping_mul(2)),
            down: Way::new(line, seed.wrapping_mul(2).wrapping_add(1)),
            is_gone: false,
        }
    }
}

/// A packet on its way.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    at: Instant,
    /// What came first leaves first.
    number: u64,
    leg: Leg,
    bytes: Vec<u8>,
}

/// Which part of its way.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Leg {
    /// From its sender to the middle.
    Up,
    /// From the middle to this port.
    Down(usize),
}

pub(super) struct Router {
    ports: Vec<Port>,
    routes: HashMap<Ipv4Addr, usize>,
    flying: BinaryHeap<Reverse<Flying>>,
    numbers: u64,
    unused: Vec<Vec<u8>>,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
}

impl Router {
    pub(super) fn new(ports: Vec<Port>, tally: Arc<Tally>, stop: Arc<AtomicBool>) -> Self {
        let routes = ports.iter().enumerate();
        let routes = routes.map(|(number, port)| (port.outside, number));
        Self {
            routes: routes.collect(),
            ports,
            flying: BinaryHeap::new(),
            numbers: 0,
            unused: Vec::new(),
            tally,
            stop,
        }
    }

    pub(super) fn run(mut self) {
        while !self.stop.load(Ordering::Relaxed) {
            let ready = match self.wait() {
                Ok(ready) => ready,
                Err(error) => panic!("the packets cannot be waited for: {error}"),
            };
            for number in ready {
                self.read(number);
            }
            self.move_on(Instant::now());
        }
    }

    /// Waits for packets, or for when the next moves on; gives the ports that have some.
    fn wait(&mut self) -> io::Result<Vec<usize>> {
        let next = self.flying.peek().map(|Reverse(flying)| flying.at);
        let patience = next.map_or(LOOK_UP, |at| {
            at.saturating_duration_since(Instant::now()).min(LOOK_UP)
        });
        let patience = Timespec::try_from(patience).expect("it is short");
        let present = || self.ports.iter().enumerate().filter(|(_, p)| !p.is_gone);
        let mut fds: Vec<_> = present()
            .map(|(_, port)| PollFd::new(&port.device, PollFlags::IN))
            .collect();
        match poll(&mut fds, Some(&patience)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let told: Vec<_> = fds.iter().map(PollFd::revents).collect();
        let told = present()
            .map(|(number, _)| number)
            .zip(told)
            .collect::<Vec<_>>();
        let mut ready = Vec::new();
        for (number, flags) in told {
            // It went with its namespace.
            self.ports[number].is_gone = flags.contains(PollFlags::ERR);
            if flags.contains(PollFlags::IN) {
                ready.push(number);
            }
        }
        Ok(ready)
    }

    /// Takes what a host has sent.
    fn read(&mut self, number: usize) {
        for _ in 0..TURN {
            let mut bytes = self.unused.pop().unwrap_or_default();
            bytes.resize(PACKET_BYTES_MAX, 0);
            let Ok(length) = self.ports[number].device.recv(&mut bytes) else {
                self.unused.push(bytes);
                return;
            };
            bytes.truncate(length);
            let port = &mut self.ports[number];
            if port.nat.as_mut().is_some_and(|nat| !nat.leave(&mut bytes)) {
                count(&self.tally.refused);
                self.unused.push(bytes);
                continue;
            }
            let fate = port.up.send(Instant::now(), length);
            self.fly(fate, Leg::Up, bytes);
        }
    }

    fn fly(&mut self, fate: Fate, leg: Leg, bytes: Vec<u8>) {
        let at = match fate {
            Fate::Arrives(at) if self.flying.len() < UNDER_WAY_MAX => at,
            Fate::Lost => {
                count(&self.tally.lost);
                return self.unused.push(bytes);
            }
            Fate::Arrives(_) | Fate::Dropped => {
                count(&self.tally.dropped);
                return self.unused.push(bytes);
            }
        };
        let number = self.numbers;
        self.numbers += 1;
        self.flying.push(Reverse(Flying {
            at,
            number,
            leg,
            bytes,
        }));
    }

    /// Has all packets take their next step whose time has come.
    fn move_on(&mut self, now: Instant) {
        while let Some(Reverse(next)) = self.flying.peek()
            && next.at <= now + GRAIN
        {
            let Reverse(flying) = self.flying.pop().expect("it was there");
            match flying.leg {
                Leg::Up => self.turn_down(flying),
                Leg::Down(number) => self.deliver(number, flying.bytes),
            }
        }
    }

    /// In the middle: which way is it from here?
    fn turn_down(&mut self, flying: Flying) {
        let Flying { at, mut bytes, .. } = flying;
        let number = destination(&bytes).and_then(|to| self.routes.get(&to).copied());
        let Some(number) = number else {
            count(&self.tally.refused);
            return self.unused.push(bytes);
        };
        let port = &mut self.ports[number];
        if port.nat.as_mut().is_some_and(|nat| !nat.enter(&mut bytes)) {
            count(&self.tally.refused);
            return self.unused.push(bytes);
        }
        let fate = port.down.send(at, bytes.len());
        self.fly(fate, Leg::Down(number), bytes);
    }

    fn deliver(&mut self, number: usize, bytes: Vec<u8>) {
        // Not if its link was cut meanwhile.
        match self.ports[number].device.send(&bytes) {
            Ok(_) => count(&self.tally.delivered),
            Err(_) => count(&self.tally.dropped),
        }
        self.unused.push(bytes);
    }
}
