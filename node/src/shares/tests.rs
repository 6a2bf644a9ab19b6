use libp2p_identity::ed25519::Keypair;
use shoal_protocol::access::{Grant, Rights};
use shoal_protocol::snapshot::{ProfileId, Shape};

use super::*;

const NOW: u64 = 1_000_000_000;

fn snapshot(entries: u64) -> Snapshot {
    Snapshot {
        profile: ProfileId(1),
        shape: Shape::Folder,
        manifest: None,
        entries,
        bytes: 0,
    }
}

fn ticket(issuer: &Keypair, snapshot: Snapshot, expires_unix_s: Option<u64>) -> Ticket {
    let holder = Keypair::generate();
    let grant = Grant {
        issuer: PeerKey::of(issuer),
        holder: PeerKey::of(&holder),
        scope: Scope::Snapshot(snapshot.id()),
        rights: Rights::READ,
        issued_unix_s: NOW,
        expires_unix_s,
        nonce: [7; 16],
    };
    Ticket::new(SignedGrant::sign(grant, issuer), None, None)
}

fn shares(me: &Keypair, records: Vec<Record>) -> Arc<Shares> {
    let records = records
        .into_iter()
        .map(|record| (record.ticket.grant().id(), record));
    let table = Table {
        records: records.collect(),
        ..Table::default()
    };
    Arc::new(Shares {
        me: PeerKey::of(me),
        table: RwLock::new(table),
    })
}

fn record(ticket: &Ticket, role: Role) -> Record {
    Record {
        ticket: ticket.clone(),
        role,
        name: Some("lab/x".to_owned()),
        by_daemon: true,
    }
}

#[test]
fn only_what_is_shared_is_opened_and_only_while_it_is() {
    let me = Keypair::generate();
    let mine = ticket(&me, snapshot(1), None);
    let shares = shares(&me, Vec::new());
    assert!(shares.opens(mine.grant(), NOW).is_none(), "not shared yet");
    let hold = shares.hold(snapshot(1));
    let allowed = shares.opens(mine.grant(), NOW).expect("shared");
    assert_eq!(allowed.snapshot, snapshot(1));
    let other = ticket(&me, snapshot(2), None);
    assert!(
        shares.opens(other.grant(), NOW).is_none(),
        "another snapshot"
    );
    drop(hold);
    assert!(shares.opens(mine.grant(), NOW).is_none(), "shared no more");
    assert!(
        allowed.revoked.is_cancelled(),
        "who is connected is cut off"
    );
}

#[test]
fn grants_are_honoured_of_those_alone_by_whose_leave_it_was_got() {
    let (me, sharer, stranger) = (
        Keypair::generate(),
        Keypair::generate(),
        Keypair::generate(),
    );
    let used = ticket(&sharer, snapshot(1), None);
    let shares = shares(&me, vec![record(&used, Role::Used)]);
    let _first = shares.hold(snapshot(1));
    let _second = shares.hold(snapshot(2));
    assert!(shares.opens(used.grant(), NOW).is_some());
    assert!(
        shares
            .opens(ticket(&sharer, snapshot(1), None).grant(), NOW)
            .is_some()
    );
    assert!(
        shares
            .opens(ticket(&stranger, snapshot(1), None).grant(), NOW)
            .is_none()
    );
    assert!(
        shares
            .opens(ticket(&sharer, snapshot(2), None).grant(), NOW)
            .is_none(),
        "the leave was for another snapshot"
    );
}

#[test]
fn what_a_daemon_keeps_ends_with_its_last_ticket() {
    let me = Keypair::generate();
    let mine = ticket(&me, snapshot(1), Some(NOW + 100));
    let shares = shares(&me, vec![record(&mine, Role::Issued)]);
    shares.keep(snapshot(1));
    assert!(shares.opens(mine.grant(), NOW + 50).is_some());
    assert!(shares.opens(mine.grant(), NOW + 10_000).is_none());
    shares.end_what_is_over();
    assert!(
        shares.list().is_empty(),
        "the clock of this machine is far behind {NOW}"
    );
}

#[test]
fn a_ticket_for_what_is_not_shared_now_is_known_until_it_ends() {
    let me = Keypair::generate();
    let mine = ticket(&me, snapshot(1), Some(NOW + 100));
    let forgotten = ticket(&me, snapshot(2), None);
    let shares = shares(&me, vec![record(&mine, Role::Issued)]);
    assert!(shares.opens(mine.grant(), NOW + 50).is_none());
    assert!(shares.is_remembered(mine.grant(), NOW + 50));
    assert!(!shares.is_remembered(mine.grant(), NOW + 10_000));
    assert!(!shares.is_remembered(forgotten.grant(), NOW));
}

#[test]
fn a_used_ticket_can_be_handed_on_until_it_ends() {
    let (me, sharer) = (Keypair::generate(), Keypair::generate());
    let used = ticket(&sharer, snapshot(1), None);
    let ended = ticket(&sharer, snapshot(2), Some(NOW));
    let shares = shares(
        &me,
        vec![record(&used, Role::Used), record(&ended, Role::Used)],
    );
    assert_eq!(shares.used_ticket(&snapshot(1).id()), Some(used));
    assert_eq!(shares.used_ticket(&snapshot(2).id()), None);
}

#[test]
fn records_survive_their_row() {
    let ticket = ticket(&Keypair::generate(), snapshot(1), Some(NOW));
    let before = record(&ticket, Role::Used);
    let after = Record::from_bytes(&before.to_bytes()).expect("reads back");
    assert_eq!(after.ticket, before.ticket);
    assert_eq!((after.role, after.by_daemon), (Role::Used, true));
    assert!(Record::from_bytes(b"something else").is_none());
}
