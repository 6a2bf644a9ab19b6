//! Tickets that give nothing: what is said, and with which code.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use libp2p_identity::ed25519::Keypair;
use shoal_node::identity::Identity;
use shoal_protocol::access::{Grant, HolderSecret, SignedGrant, Ticket};
use shoal_protocol::peer::PeerKey;
use shoal_tests::shoal::{Home, Running};

use crate::bad_input::assert_error;

/// Something small that alice shares, and its ticket.
struct Shared {
    dir: tempfile::TempDir,
    alice: Home,
    ticket: String,
    _sharer: Running,
}

impl Shared {
    fn new(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("f");
        std::fs::write(&source, b"hello").unwrap();
        let alice = Home::new();
        let mut sharer = alice.start(&[&["share", source.to_str().unwrap()], options].concat());
        Self {
            ticket: sharer.line(),
            _sharer: sharer,
            alice,
            dir,
        }
    }

    fn copy(&self) -> std::path::PathBuf {
        self.dir.path().join("copy")
    }

    fn get(&self, home: &Home, ticket: &str) -> shoal_tests::shoal::Finished {
        let copy = self.copy();
        home.run(&["get", ticket, copy.to_str().unwrap(), "--timeout", "5s"])
    }

    /// The same ticket with its grant changed, signed by `issuer`.
    fn changed(&self, issuer: &Keypair, change: impl FnOnce(&mut Grant)) -> String {
        let ticket = Ticket::from_text(&self.ticket).unwrap();
        let mut grant = ticket.grant().grant.clone();
        let secret = HolderSecret::from_bytes([7; 32]);
        grant.issuer = PeerKey::of(issuer);
        grant.holder = PeerKey::of(&secret.keypair());
        change(&mut grant);
        let source = &ticket.sources()[0];
        Ticket::new(SignedGrant::sign(grant, issuer), Some(secret), None)
            .with_source(source.peer, source.addresses.to_vec())
            .to_text()
    }

    fn alices_key(&self) -> Keypair {
        let identity = Identity::load_or_create(&self.alice.path()).unwrap();
        identity.keypair().clone()
    }
}

fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    now.as_secs()
}

#[test]
fn what_is_no_ticket_any_more_is_code_2() {
    let shared = Shared::new(&[]);
    let bob = Home::new();
    let get = |ticket: &str| shared.get(&bob, ticket);
    let ticket = &shared.ticket;

    assert_error(&get("shoal1garbage"), 2, &["ticket"]);
    assert_error(&get(&ticket[..ticket.len() - 7]), 2, &["ticket"]);
    let mut tampered = ticket.clone().into_bytes();
    let middle = tampered.len() / 2;
    tampered[middle] = if tampered[middle] == b'a' { b'b' } else { b'a' };
    let tampered = String::from_utf8(tampered).unwrap();
    assert_error(&get(&tampered), 2, &["ticket"]);
    let long = format!("shoal1{}", "a".repeat(100_000));
    assert_error(&get(&long), 2, &["ticket", "long"]);
    assert!(!Path::new(&shared.copy()).exists());
    assert_eq!(get(&ticket.to_uppercase()).code(), 0, "case matters");
}

#[test]
fn a_ticket_whose_time_is_over_or_has_not_come_is_code_7() {
    let shared = Shared::new(&[]);
    let bob = Home::new();
    let key = shared.alices_key();
    let expired = shared.changed(&key, |grant| {
        grant.issued_unix_s = now() - 90_000;
        grant.expires_unix_s = Some(now() - 3_600);
    });
    assert_error(&shared.get(&bob, &expired), 7, &["ticket", "expired"]);
    let early = shared.changed(&key, |grant| {
        grant.issued_unix_s = now() + 3_600;
        grant.expires_unix_s = None;
    });
    assert_error(&shared.get(&bob, &early), 7, &["ticket", "clock"]);
    assert!(!shared.copy().exists());
    // The same, still good, shows that nothing else was wrong with them.
    let good = shared.changed(&key, |_| {});
    shared.get(&bob, &good).ok();
}

#[test]
fn a_ticket_that_a_stranger_signed_opens_nothing() {
    let shared = Shared::new(&[]);
    let bob = Home::new();
    let forged = shared.changed(&Keypair::generate(), |_| {});
    let refused = shared.get(&bob, &forged);
    assert_error(&refused, 7, &[]);
    assert!(!shared.copy().exists());
}

#[test]
fn a_ticket_bound_to_another_node_is_refused() {
    let (bob, eve) = (Home::new(), Home::new());
    let status = bob.run(&["--json", "status"]).ok();
    let status: serde_json::Value = serde_json::from_str(&status.stdout).unwrap();
    let peer = status["peer"].as_str().expect("a peer id").to_owned();
    let shared = Shared::new(&["--to", &peer]);
    assert_error(&shared.get(&eve, &shared.ticket), 7, &["another node"]);
    shared.get(&bob, &shared.ticket).ok();
}
