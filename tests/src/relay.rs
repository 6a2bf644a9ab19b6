//! A door in front of a node that lets only so many bytes through.
//!
//! Owns: the connections that pass it, and the count of what came out of the node. Tests use
//! it where a transfer has to be at a certain place: it stops there by itself, however
//! fast the machine is. Refuses: to understand what passes.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use shoal_protocol::access::{Address, Ticket};

/// Bytes that are moved at a time.
const PIECE_BYTES: usize = 64 << 10;

/// See the top of this file. Its threads live as long as the test's process.
pub struct Relay {
    gate: Arc<Gate>,
}

#[derive(Default)]
struct Gate {
    state: Mutex<Allowance>,
    more: Condvar,
}

#[derive(Default)]
struct Allowance {
    allowed: u64,
    passed: u64,
}

impl Relay {
    /// A closed door in front of the first source of `ticket`, and the same ticket with this
    /// door as the way to it.
    ///
    /// # Panics
    /// If the ticket has no source with an address, or no port of loopback is free.
    pub fn before(ticket: &str) -> (Self, String) {
        let ticket = Ticket::from_text(ticket).expect("a ticket");
        let source = ticket.sources().first().expect("a source").clone();
        let target = source.addresses.first().expect("an address").to_string();
        let target: SocketAddr = target.parse().expect("an address with an IP");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("bound");
        let gate = Arc::new(Gate::default());
        let shared = Arc::clone(&gate);
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(node) = TcpStream::connect(target) {
                    pass(client, node, &shared);
                }
            }
        });
        let here = Address::of_ip(address.ip(), address.port()).expect("a plain address");
        let ticket = ticket.with_source(source.peer, vec![here]).to_text();
        (Self { gate }, ticket)
    }

    /// Lets `bytes` more out of the node.
    pub fn allow(&self, bytes: u64) {
        let mut state = self.gate.lock();
        state.allowed = state.allowed.saturating_add(bytes);
        self.gate.more.notify_all();
    }

    /// Takes back what was allowed and did not pass yet; gives how much has passed.
    pub fn close(&self) -> u64 {
        let mut state = self.gate.lock();
        state.allowed = state.passed;
        state.passed
    }
}

impl Gate {
    fn lock(&self) -> std::sync::MutexGuard<'_, Allowance> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until something may pass, and takes up to `bytes_max` of it.
    fn take(&self, bytes_max: usize) -> usize {
        let mut state = self.lock();
        while state.allowed == state.passed {
            state = (self.more.wait(state)).unwrap_or_else(PoisonError::into_inner);
        }
        let room = usize::try_from(state.allowed - state.passed).unwrap_or(usize::MAX);
        let taken = room.min(bytes_max);
        state.passed += taken as u64;
        taken
    }

    /// Gives back what was taken and did not pass.
    fn give_back(&self, bytes: usize) {
        self.lock().passed -= bytes as u64;
        self.more.notify_all();
    }
}

/// Moves bytes both ways until either side is done.
fn pass(client: TcpStream, node: TcpStream, gate: &Arc<Gate>) {
    let (Ok(from_client), Ok(to_node)) = (client.try_clone(), node.try_clone()) else {
        return;
    };
    let gate = Arc::clone(gate);
    thread::spawn(move || copy(from_client, to_node, |bytes| bytes, |_| {}));
    thread::spawn(move || {
        copy(
            node,
            client,
            |bytes| gate.take(bytes),
            |left| gate.give_back(left),
        )
    });
}

/// Reads what `take` lets it, and tells `give_back` what of that did not come.
fn copy(
    mut from: TcpStream,
    mut to: TcpStream,
    take: impl Fn(usize) -> usize,
    give_back: impl Fn(usize),
) {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let room = take(piece.len());
        let read = from.read(&mut piece[..room]).unwrap_or(0);
        give_back(room - read);
        if read == 0 || to.write_all(&piece[..read]).is_err() {
            break;
        }
    }
    // Whatever the other direction waits for does not come any more.
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}
