//! A small internet: hosts that reach each other over lines with delay, loss and reordering,
//! some of them behind a NAT of a chosen kind. The kernel has none of it here (no `netem`, no
//! netfilter), so every packet of such a host goes through a thread of this process.
//!
//! Owns: the interfaces of its hosts (TUN: whole IPv4 packets, so TCP and QUIC suffer the
//! same), the lines, the NATs, and what became of the packets. Chance is seeded. Needs root
//! and `/dev/net/tun`. Refuses: IPv6, broadcast and multicast; a LAN is a
//! [`Site`](crate::lab::Site) of the lab.
//!
//! ```sh
//! cargo run --release -p shoal-tests --bin bench -- path --delay 80 --loss 0.1 --mbit 200
//! ```
//!
//! measures TCP and `shoal get` over one such line; the same in code, for a measurement of
//! one's own:
//!
//! ```no_run
//! use std::time::Duration;
//! use shoal_tests::{internet::{Internet, Line}, lab::Lab};
//!
//! let mut lab = Lab::new().expect("root");
//! let mut internet = Internet::new(1);
//! let line = Line { mbit: 200, delay: Duration::from_millis(40), loss: 0.001, ..Line::default() };
//! let near = internet.host(&mut lab, Line::default()).expect("/dev/net/tun");
//! let far = internet.host(&mut lab, line).expect("/dev/net/tun");
//! let _running = internet.start();
//! far.command("ping").args(["-c", "3", &near.ip.to_string()]).status().expect("ping");
//! ```

mod line;
mod nat;
mod packet;
mod router;

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};

use tun_rs::{DeviceBuilder, SyncDevice};

use crate::lab::{Host, Lab};

pub use line::Line;
pub use nat::{NatKind, Scope};
pub use router::Counts;
use router::{Port, Router, Tally};

/// Packets that a host may have waiting for the router before its kernel drops some: enough
/// for a window of QUIC that is sent at once.
const DEVICE_QUEUE: u32 = 4096;

/// An internet that is being put together.
pub struct Internet {
    seed: u64,
    ports: Vec<Port>,
    tally: Arc<Tally>,
}

/// An internet at work; its packets stop when it is dropped.
pub struct Running {
    stop: Arc<AtomicBool>,
    tally: Arc<Tally>,
    router: Option<JoinHandle<()>>,
}

impl Internet {
    /// One without hosts.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            ports: Vec::new(),
            tally: Arc::default(),
        }
    }

    /// A host with a public address, on a line of its own. Nothing, and a word why, where the
    /// kernel gives no interface.
    pub fn host(&mut self, lab: &mut Lab, line: Line) -> Option<Host> {
        let ip = public_address(self.ports.len());
        self.plug(lab, line, ip, None)
    }

    /// A host behind a NAT that has a public address; its own address is private. Nothing, and
    /// a word why, where the kernel gives no interface.
    pub fn host_behind(&mut self, lab: &mut Lab, line: Line, kind: NatKind) -> Option<Host> {
        let number = self.ports.len();
        let inside = Ipv4Addr::new(192, 168, number as u8, 2);
        let nat = nat::Nat::new(kind, inside, public_address(number));
        self.plug(lab, line, inside, Some(nat))
    }

    fn plug(
        &mut self,
        lab: &mut Lab,
        line: Line,
        ip: Ipv4Addr,
        nat: Option<nat::Nat>,
    ) -> Option<Host> {
        static DEVICES: AtomicU32 = AtomicU32::new(0);
        let number = DEVICES.fetch_add(1, Ordering::Relaxed);
        let name = format!("sh{}t{number}", std::process::id());
        let device = match device(&name) {
            Ok(device) => device,
            Err(why) => {
                eprintln!("SKIPPED: an internet needs root and /dev/net/tun: {why}");
                return None;
            }
        };
        let host = lab.adopt(&name, ip);
        let outside = nat.as_ref().map_or(ip, nat::Nat::outside);
        let seed = self.seed.wrapping_add(self.ports.len() as u64);
        self.ports.push(Port::new(device, outside, nat, line, seed));
        Some(host)
    }

    /// Has packets flow.
    ///
    /// # Panics
    /// If there is no thread for it.
    pub fn start(self) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let tally = Arc::clone(&self.tally);
        let router = Router::new(self.ports, self.tally, Arc::clone(&stop));
        let thread = thread::Builder::new().name("internet".to_owned());
        Running {
            stop,
            tally,
            router: Some(thread.spawn(|| router.run()).expect("a thread")),
        }
    }
}

impl Running {
    /// What became of the packets so far.
    pub fn counts(&self) -> Counts {
        self.tally.counts()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(router) = self.router.take() {
            // It has nothing to say, and its panic has been printed.
            let _ = router.join();
        }
    }
}

/// An interface that is down, without an address.
fn device(name: &str) -> io::Result<SyncDevice> {
    let builder = DeviceBuilder::new().name(name).enable(false);
    let builder = builder.with(|builder| {
        builder.tx_queue_len(DEVICE_QUEUE);
    });
    let device = builder.build_sync()?;
    device.set_nonblocking(true)?;
    Ok(device)
}

/// Public addresses of hosts and NATs: of no LAN, and nobody's (RFC 2544). Each is of a network of
/// its own, as on the internet.
fn public_address(number: usize) -> Ipv4Addr {
    let network = u8::try_from(number + 1).expect("few hosts");
    Ipv4Addr::new(198, 18, network, 1)
}
